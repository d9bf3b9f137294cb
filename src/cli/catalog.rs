//! `alloy catalog`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args as ClapArgs, Subcommand};

use super::context::{self, Global};
use super::error::CommandError;
use crate::catalog::Catalog;

mod add;
mod info;
mod search;
mod update;

/// Manages the catalog, which says what names of toolchains, SDKs and tools stand for
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  alloy catalog update --remote https://git.example/alloy-catalog
  alloy catalog search cortex-m gcc
  alloy catalog info toolchain.arm-gnu.arm-none-eabi@stable
  alloy catalog add --catalog . 14.2.rel1.yaml")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Update(update::Args),
    Search(search::Args),
    Info(info::Args),
    Add(add::Args),
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CommandError> {
    match &args.command {
        Command::Update(args) => update::run(args, global),
        Command::Search(args) => search::run(args, global),
        Command::Info(args) => info::run(args, global),
        Command::Add(args) => add::run(args, global),
    }
}

/// Which catalog
#[derive(Debug, Default, ClapArgs)]
pub(super) struct CatalogArg {
    /// The catalog's directory [default: catalog/ in the store]
    #[arg(long, value_name = "DIR", env = "ALLOY_CATALOG", hide_env_values = true)]
    catalog: Option<PathBuf>,
}

impl CatalogArg {
    /// Its directory, which may not be there yet.
    pub(super) fn directory(&self, global: &Global) -> Result<PathBuf, CommandError> {
        match &self.catalog {
            Some(directory) => Ok(directory.clone()),
            None => Ok(context::store_path(global)?.join("catalog")),
        }
    }

    /// The catalog.
    pub(super) fn open(&self, global: &Global) -> Result<Catalog, CommandError> {
        Ok(Catalog::open(&self.directory(global)?)?)
    }
}

/// A text of somebody else, fit for a terminal.
pub(super) fn printable(text: &str) -> String {
    layers::path::shown(text.as_bytes())
}
