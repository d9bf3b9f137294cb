//! `alloy cache prune`.

use std::collections::BTreeSet;
use std::process::ExitCode;

use clap::Args as ClapArgs;
use jiff::Timestamp;
use layers::digest::Digest;

use super::super::amount::{Age, age};
use super::super::context::{self, Global};
use super::super::error::CommandError;
use super::super::ui;
use super::{CacheArg, Listed, entries, open, table, told};
use crate::context::now;
use crate::plan::Platform;
use crate::resolve::Request;

/// Deletes entries of a cache; without --yes, it only lists them
///
/// If both conditions are given, entries that meet both are deleted. A registry frees the space of layers when it next
/// collects garbage.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    #[command(flatten)]
    cache: CacheArg,
    /// Delete entries that are older than this: 30d, 2w, 12h
    #[arg(long, value_name = "AGE", value_parser = age, required_unless_present = "unreferenced")]
    older_than: Option<Age>,
    /// Delete entries whose layer no image in the same repository has
    #[arg(long)]
    unreferenced: bool,
    /// Delete them
    #[arg(long)]
    yes: bool,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CommandError> {
    let context = context::open(global, Some(&args.cache.registry))?;
    let request = Request::new(&context, Platform::of_this_machine());
    let remote = open(&request.resolver(&context), &args.cache.cache)?;
    let listed = entries(&context, &remote)?;
    let mut needed: BTreeSet<Digest> = BTreeSet::new();
    if args.unreferenced && !listed.is_empty() {
        for tag in &context.runtime.block_on(remote.others())? {
            needed.extend(context.runtime.block_on(remote.layers(tag))?);
        }
    }
    let goes = |one: &&Listed| {
        // What leads to no layer is not referenced by anything: of it, age decides.
        let free = match one.layer() {
            Some((digest, _)) => !needed.contains(&digest),
            None => args.older_than.is_some(),
        };
        let old = args.older_than.is_none_or(|age| written(one).is_none_or(|at| at <= since(age)));
        old && (free || !args.unreferenced)
    };
    let gone: Vec<&Listed> = listed.iter().filter(goes).collect();
    table(&gone);
    if args.yes {
        let names: Vec<String> = gone.iter().flat_map(|one| one.names.clone()).collect();
        context.runtime.block_on(remote.delete(&names))?;
    }
    let count = told(gone.len());
    let layers: BTreeSet<(Digest, u64)> = gone.iter().filter_map(|one| one.layer()).collect();
    let size = ui::bytes(layers.iter().map(|(_, size)| size).sum());
    match args.yes {
        true => outln!("deleted {count} with layers of {size}"),
        false => outln!("would delete {count} with layers of {size}; --yes does it"),
    }
    Ok(ExitCode::SUCCESS)
}

/// The moment, in seconds since 1970, that was so long ago.
fn since(age: Age) -> i64 {
    now().saturating_sub(i64::try_from(age.0.as_secs()).unwrap_or(i64::MAX))
}

/// When it was written, in seconds since 1970; an entry that does not say is as old as can be.
fn written(one: &Listed) -> Option<i64> {
    one.created.parse::<Timestamp>().ok().map(Timestamp::as_second)
}
