//! `alloy provenance`.

use std::process::ExitCode;

use clap::Args as ClapArgs;

use super::context::Global;
use super::documents::{DocumentArgs, show};
use super::error::CommandError;
use crate::documents::Which;

/// Prints what an image was made from: an in-toto statement with SLSA provenance
///
/// The image may be in the store, or in a registry where the document is attached to it.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  alloy provenance arm-env
  alloy provenance registry.example/team/arm-env:1.2 | jq .predicate.buildDefinition.resolvedDependencies")]
pub(super) struct Args {
    #[command(flatten)]
    document: DocumentArgs,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CommandError> {
    show(Which::Provenance, &args.document, global).map(|()| ExitCode::SUCCESS)
}
