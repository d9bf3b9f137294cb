//! `alloy cache`.

use std::process::ExitCode;

use clap::{Args as ClapArgs, Subcommand};
use futures_util::{StreamExt, stream};
use layers::digest::Digest;

use super::context::{Context, Global, Network, RegistryArgs};
use super::error::{CommandError, Kind};
use crate::cache::{Place, Remote, TAG_PREFIX, Written};
use crate::event::Event;
use crate::plan::Platform;

mod copy;
mod list;
mod prune;

/// Questions on their way at once.
const PARALLEL: usize = 24;

/// Looks after the caches of a team: in registries, and in directories for CI caches and sites without a network
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

impl CacheArg {
    fn network<'a>(&self, context: &'a Context) -> Network<'a> {
        Network::new(context, &self.registry, Platform::of_this_machine())
    }
}

/// An entry that somebody left, and its tags.
struct Listed {
    tags: Vec<String>,
    written: Written,
}

fn open(network: &Network<'_>, place: &Place) -> Result<Remote, CommandError> {
    if let Place::Directory(path) = place
        && !path.join("index.json").is_file()
    {
        return Err(CommandError::new(Kind::Failed, format!("there is no cache in {}", path.display())));
    }
    Ok(network.resolver().remote(place)?)
}

/// All entries of a cache, and the tags beside them that are none.
fn entries(context: &Context, remote: &Remote) -> Result<(Vec<Listed>, Vec<String>), CommandError> {
    let handle = context.runtime.handle();
    let (tags, others): (Vec<String>, Vec<String>) =
        handle.block_on(remote.tags())?.into_iter().partition(|tag| tag.starts_with(TAG_PREFIX));
    let read = stream::iter(tags).map(|tag| async move {
        let written = remote.read(&tag).await;
        (tag, written)
    });
    let mut listed: Vec<Listed> = Vec::new();
    for (tag, written) in handle.block_on(read.buffered(PARALLEL).collect::<Vec<_>>()) {
        match written {
            // An entry has a tag for each of its keys.
            Ok(Some(written)) => match listed.iter_mut().find(|one| one.written == written) {
                Some(one) => one.tags.push(tag),
                None => listed.push(Listed { tags: vec![tag], written }),
            },
            // Somebody else may have deleted it just now.
            Ok(None) => {}
            Err(crate::cache::RemoteError::Entry(error)) => {
                context.reporter.event(Event::Warning(format!("{tag} is not looked at: {error}")));
            }
            Err(error) => return Err(error.into()),
        }
    }
    listed.sort_by(|a, b| {
        (a.written.entry.known.kind(), &a.written.created).cmp(&(b.written.entry.known.kind(), &b.written.created))
    });
    Ok((listed, others))
}

impl Listed {
    fn layer(&self) -> Option<(Digest, u64)> {
        self.written.entry.known.layer().map(|layer| (layer.descriptor.digest, layer.descriptor.size))
    }

    /// For a table.
    fn row(&self) -> [String; 5] {
        let known = &self.written.entry.known;
        let name = match known {
            crate::cache::Known::Layer { name, .. } => name.clone(),
            _ => String::new(),
        };
        let size = self.layer().map_or(String::new(), |(_, size)| super::ui::bytes(size));
        let created = self.written.created.split('T').next().unwrap_or_default().to_owned();
        [known.kind().to_owned(), self.written.entry.key.hex()[..12].to_owned(), created, size, name]
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
