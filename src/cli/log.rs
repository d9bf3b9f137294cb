//! `alloy log`.

use std::io::{BufRead, BufReader};
use std::process::ExitCode;

use clap::Args as ClapArgs;

use super::context::{Global, store_path};
use super::error::{CommandError, Kind};
use super::ui;

/// Shows what the tasks of a build printed
///
/// The store keeps the last 20 logs of `build`, `install` and `verify`. A log has what was shown then, and everything
/// that the tasks printed, without secrets.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  alloy log
  alloy log --list
  alloy log 2")]
pub(super) struct Args {
    /// Which log, counted back from the newest
    #[arg(value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    number: u64,
    /// List the logs instead
    #[arg(long, conflicts_with = "number")]
    list: bool,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CommandError> {
    let logs = ui::logs(&store_path(global)?);
    let opened = |path: &std::path::PathBuf| {
        let failed = |error| CommandError::new(Kind::Failed, format!("cannot read {}: {error}", path.display()));
        layers::regular::open(path).map(BufReader::new).map_err(failed)
    };
    if args.list {
        for (at, path) in logs.iter().enumerate() {
            let mut first = String::new();
            let _ = opened(path)?.read_line(&mut first);
            outln!("{:>3}  {}", at + 1, first.trim_end());
        }
        return Ok(ExitCode::SUCCESS);
    }
    let at = usize::try_from(args.number).unwrap_or(usize::MAX) - 1;
    let Some(path) = logs.get(at) else {
        let known = if logs.is_empty() { "no log".to_owned() } else { ui::count(logs.len(), "log") };
        return Err(CommandError::new(Kind::Failed, format!("the store has {known}"))
            .hint("a build, an install and a verification leave one; --list shows which there are"));
    };
    for line in opened(path)?.lines() {
        let line =
            line.map_err(|error| CommandError::new(Kind::Failed, format!("cannot read {}: {error}", path.display())))?;
        outln!("{line}");
    }
    Ok(ExitCode::SUCCESS)
}
