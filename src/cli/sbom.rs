//! `alloy sbom`.

use std::process::ExitCode;

use clap::Args as ClapArgs;

use super::context::Global;
use super::documents::{DocumentArgs, show};
use super::error::CommandError;
use crate::documents::Which;

/// Prints the packages and downloads in an image, as SPDX 2.3 in JSON
///
/// The image may be in the store, or in a registry where the document is attached to it.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  alloy sbom arm-env
  alloy sbom registry.example/team/arm-env:1.2 --platform linux/arm64 | jq -r '.packages[].name'")]
pub(super) struct Args {
    #[command(flatten)]
    document: DocumentArgs,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CommandError> {
    show(Which::Sbom, &args.document, global).map(|()| ExitCode::SUCCESS)
}
