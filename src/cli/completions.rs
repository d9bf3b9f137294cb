//! `alloy completions`.

use std::process::ExitCode;

use clap::{Args as ClapArgs, Command};
use clap_complete::Shell;

use super::error::CommandError;
use super::ui;

/// Prints completions for a shell
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Where shells look for them:
  bash  alloy completions bash > ~/.local/share/bash-completion/completions/alloy
  zsh   alloy completions zsh > ~/.zfunc/_alloy    (a directory of $fpath)
  fish  alloy completions fish > ~/.config/fish/completions/alloy.fish")]
pub(super) struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(args: &Args, mut command: Command) -> Result<ExitCode, CommandError> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut command, "alloy", &mut text);
    ui::out(&text);
    Ok(ExitCode::SUCCESS)
}
