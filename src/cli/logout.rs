//! `alloy logout`.

use std::process::ExitCode;

use clap::Args as ClapArgs;

use super::context::keychain;
use super::error::CommandError;
use super::login::named;
use super::ui;
use crate::registry::Reference;

/// Deletes the stored password of a registry
///
/// It is deleted from the file that `alloy login` writes, or from the credential helper that the file names.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// The registry
    #[arg(value_name = "REGISTRY")]
    registry: String,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, CommandError> {
    let registry = named(&args.registry)?;
    let keychain = keychain();
    let mut text = match keychain.erase(&registry)? {
        Some(place) => format!("logged out of {registry}; taken out of {place}\n"),
        None => format!("not logged in to {registry}\n"),
    };
    let any: Option<Reference> = format!("{registry}/any").parse().ok();
    if let Some(left) = any.map(|any| keychain.find(&any)).transpose()?.and_then(|found| found.used) {
        text += &format!("still there: {left}\n");
    }
    ui::tell(&text);
    Ok(ExitCode::SUCCESS)
}
