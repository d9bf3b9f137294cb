//! `alloy cache ls`.

use std::process::ExitCode;

use clap::Args as ClapArgs;
use serde_json::json;

use super::super::context::{self, Global};
use super::super::error::CommandError;
use super::super::ui::{self, Format};
use super::{CacheArg, entries, open, table};
use crate::plan::Platform;
use crate::resolve::Request;

/// Lists the entries of a cache
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    #[command(flatten)]
    cache: CacheArg,
    /// How to print the result
    #[arg(long, value_enum, default_value_t, value_name = "FORM")]
    format: Format,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CommandError> {
    let context = context::open(global, Some(&args.cache.registry))?;
    let request = Request::new(&context, Platform::of_this_machine());
    let remote = open(&request.resolver(&context), &args.cache.cache)?;
    let listed = entries(&context, &remote)?;
    match args.format {
        Format::Human => table(&listed.iter().collect::<Vec<_>>()),
        Format::Json => {
            let listed = listed.iter().map(|one| {
                json!({
                    "kind": one.kind,
                    "key": one.key,
                    "created": one.created,
                    "names": one.names,
                    "signed": one.signed,
                    "layer": one.layer,
                })
            });
            ui::json(json!(listed.collect::<Vec<_>>()));
        }
    }
    Ok(ExitCode::SUCCESS)
}
