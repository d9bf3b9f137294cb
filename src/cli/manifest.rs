//! `alloy manifest`.

use std::process::ExitCode;

use clap::{Args as ClapArgs, Subcommand};

use super::context::Global;
use super::error::CommandError;

mod create;

/// Works with indexes, which hold images for several platforms under one name
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Create(create::Args),
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CommandError> {
    match &args.verb {
        Verb::Create(args) => create::run(args, global),
    }
}
