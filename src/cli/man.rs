//! `alloy man`.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args as ClapArgs, Command};

use super::error::{CommandError, Kind};

/// Writes man pages: one for alloy, and one for each command
#[derive(Debug, ClapArgs)]
#[command(after_help = "Example: alloy man ~/.local/share/man/man1")]
pub(super) struct Args {
    /// The directory they go to; made if it is not there
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

pub(super) fn run(args: &Args, command: Command) -> Result<ExitCode, CommandError> {
    // Those that clap adds say only how to ask for others.
    let command = command.disable_help_subcommand(true);
    let written = fs::create_dir_all(&args.directory).and_then(|()| clap_mangen::generate_to(command, &args.directory));
    let failed =
        |error| CommandError::new(Kind::Failed, format!("cannot write to {}: {error}", args.directory.display()));
    written.map_err(failed)?;
    Ok(ExitCode::SUCCESS)
}
