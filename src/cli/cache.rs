//! `alloy cache`.

use std::collections::HashMap;
use std::process::ExitCode;

use clap::{Args as ClapArgs, Subcommand};
use futures_util::{StreamExt, stream};
use layers::digest::Digest;
use layers::store::LayerBlob;

use super::context::{Global, RegistryArgs};
use super::error::{CommandError, Kind};
use crate::cache::{Known, Place, Remote, Written};
use crate::context::Context;
use crate::event::Event;
use crate::resolve::Resolver;

mod copy;
mod list;
mod prune;

/// Questions on their way at once.
const PARALLEL: usize = 24;

/// Manages the caches of a team, in registries or in directories
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  alloy cache ls registry.example/team/cache
  alloy cache prune registry.example/team/cache --older-than 30d --unreferenced
  alloy cache export type=local,dest=/mnt/stick/cache
  alloy cache import type=local,src=/mnt/stick/cache")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Ls(list::Args),
    Prune(prune::Args),
    Export(copy::ExportArgs),
    Import(copy::ImportArgs),
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CommandError> {
    match &args.command {
        Command::Ls(args) => list::run(args, global),
        Command::Prune(args) => prune::run(args, global),
        Command::Export(args) => copy::export(args, global),
        Command::Import(args) => copy::import(args, global),
    }
}

/// One cache.
#[derive(Debug, ClapArgs)]
struct CacheArg {
    /// REGISTRY/REPOSITORY, or type=local,dest=DIR
    #[arg(value_name = "CACHE")]
    cache: Place,
    #[command(flatten)]
    registry: RegistryArgs,
}

/// What is said of an entry that somebody left, and its names.
struct Listed {
    names: Vec<String>,
    kind: String,
    key: Digest,
    created: String,
    signed: bool,
    layer: Option<LayerBlob>,
    name: String,
}

fn open(resolver: &Resolver<'_>, place: &Place) -> Result<Remote, CommandError> {
    if let Place::Directory(path) = place
        && !path.join("index.json").is_file()
    {
        return Err(CommandError::new(Kind::Failed, format!("there is no cache in {}", path.display())));
    }
    Ok(resolver.remote(place)?)
}

/// Hands the manifest under each name of an entry to `each`, one after the other: a cache may have any number of
/// entries, and of large ones. What is no entry is told.
fn visit(
    context: &Context,
    remote: &Remote,
    mut each: impl FnMut(String, &[u8]) -> Result<(), CommandError>,
) -> Result<(), CommandError> {
    let handle = context.runtime.handle();
    let names = handle.block_on(remote.entries())?;
    let read = stream::iter(names).map(|(name, place)| async move {
        let manifest = remote.manifest(&place).await;
        (name, manifest)
    });
    let mut read = Box::pin(read.buffered(PARALLEL));
    while let Some((name, manifest)) = handle.block_on(read.next()) {
        // Somebody else may have deleted it just now.
        if let Some(manifest) = manifest? {
            each(name, &manifest)?;
        }
    }
    Ok(())
}

/// The entry that a manifest is. What is none is told.
fn entry(context: &Context, name: &str, manifest: &[u8]) -> Option<Written> {
    let told = |error| context.reporter().event(Event::Warning(format!("{name} is not looked at: {error}")));
    Written::read(manifest).map_err(told).ok()
}

/// All entries of a cache.
fn entries(context: &Context, remote: &Remote) -> Result<Vec<Listed>, CommandError> {
    let mut listed: Vec<Listed> = Vec::new();
    // An entry has a name for each of its keys.
    let mut known: HashMap<Digest, Option<usize>> = HashMap::new();
    visit(context, remote, |name, manifest| {
        let at = known.entry(Digest::of(manifest)).or_insert_with(|| {
            listed.push(Listed::new(entry(context, &name, manifest)?));
            Some(listed.len() - 1)
        });
        if let Some(one) = at.and_then(|at| listed.get_mut(at)) {
            one.names.push(name);
        }
        Ok(())
    })?;
    listed.sort_by(|a, b| (&a.kind, &a.created).cmp(&(&b.kind, &b.created)));
    Ok(listed)
}

impl Listed {
    fn new(written: Written) -> Self {
        let known = written.entry.known;
        Self {
            names: Vec::new(),
            kind: known.kind().to_owned(),
            key: written.entry.key,
            created: written.created,
            signed: written.signature.is_some(),
            layer: known.layer().cloned(),
            name: match known {
                Known::Layer { name, .. } => name,
                _ => String::new(),
            },
        }
    }

    fn layer(&self) -> Option<(Digest, u64)> {
        self.layer.as_ref().map(|layer| (layer.descriptor.digest, layer.descriptor.size))
    }

    /// For a table.
    fn row(&self) -> [String; 5] {
        let size = self.layer().map_or(String::new(), |(_, size)| super::ui::bytes(size));
        let created = self.created.split('T').next().unwrap_or_default().to_owned();
        [self.kind.clone(), self.key.hex()[..12].to_owned(), created, size, self.name.clone()]
    }
}

fn told(count: usize) -> String {
    if count == 1 { "1 entry".to_owned() } else { format!("{count} entries") }
}

const HEADER: [&str; 5] = ["KIND", "KEY", "CREATED", "SIZE", "NAME"];

fn table(listed: &[&Listed]) {
    let rows = listed.iter().map(|one| one.row());
    let rows: Vec<[String; 5]> = std::iter::once(HEADER.map(str::to_owned)).chain(rows).collect();
    super::ui::table(&rows);
}
