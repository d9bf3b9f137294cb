//! `alloy man`.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args as ClapArgs, Command};

use super::error::{CommandError, Kind};
use crate::sink::{Sink, Staged};

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
    let failed =
        |error| CommandError::new(Kind::Failed, format!("cannot write to {}: {error}", args.directory.display()));
    fs::create_dir_all(&args.directory).map_err(failed)?;
    let staged = Staged::within(&args.directory, OsStr::new("man")).map_err(failed)?;
    clap_mangen::generate_to(command, staged.path()).map_err(failed)?;
    for page in fs::read_dir(staged.path()).map_err(failed)? {
        let page = page.map_err(failed)?;
        let text = fs::read(page.path()).map_err(failed)?;
        Sink::at(&args.directory.join(page.file_name()))?.write_all(&text)?;
    }
    Ok(ExitCode::SUCCESS)
}
