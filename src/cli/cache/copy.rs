//! `alloy cache export` and `alloy cache import`.

use std::collections::HashSet;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args as ClapArgs;
use layers::digest::Digest;
use layers::store::StoreError;

use super::super::context::{self, Global};
use super::super::error::{CommandError, Kind};
use super::super::interrupt::{self, CtrlC};
use super::super::team::{signing_key, verifying_key};
use super::super::ui;
use super::{CacheArg, entry, open, told, visit};
use crate::build;
use crate::cache::{DirectoryError, RemoteError, Team, elsewhere};
use crate::event::Event;
use crate::fetch::FetchError;
use crate::plan::Platform;
use crate::registry::RegistryError;
use crate::resolve::Request;

/// Writes everything that the store knows about layers to a cache, together with the layers
#[derive(Debug, ClapArgs)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    cache: CacheArg,
    /// Sign the entries with this private key, and export only those that were built or verified with it
    #[arg(long, value_name = "FILE", env = "ALLOY_SIGN_KEY", hide_env_values = true)]
    sign_key: Option<PathBuf>,
}

/// Copies everything that a cache has into the store, together with the layers
#[derive(Debug, ClapArgs)]
pub(super) struct ImportArgs {
    #[command(flatten)]
    cache: CacheArg,
    /// Copy only what is known about layers; the layers themselves are fetched when they are needed
    #[arg(long)]
    lazy: bool,
    /// Use only entries that the owner of this public key has signed
    #[arg(long, value_name = "FILE", env = "ALLOY_CACHE_VERIFY_KEY", hide_env_values = true)]
    cache_verify_key: Option<PathBuf>,
}

pub(super) fn export(args: &ExportArgs, global: &Global) -> Result<ExitCode, CommandError> {
    let context = context::open(global, Some(&args.cache.registry))?;
    interrupt::obey(&context.runtime, CtrlC::Ours)?;
    let mut request = Request::new(&context, Platform::of_this_machine());
    let mut team = Team::new(Vec::new(), vec![args.cache.cache.clone()]);
    let key = signing_key(args.sign_key.as_deref())?;
    let signs = key.is_some();
    if let Some(key) = key {
        team.sign_with(key);
    }
    request.share(team);
    let count = build::export(&request.resolver(&context))?;
    if count == 0 && signs {
        let message = "nothing in the store was built or verified under this key, so there is nothing to sign";
        return Err(CommandError::new(Kind::Failed, message)
            .hint("build with `--cache-verify-key` and the public half of the key, then export"));
    }
    outln!("{} has {}", args.cache.cache, told(count));
    Ok(ExitCode::SUCCESS)
}

pub(super) fn import(args: &ImportArgs, global: &Global) -> Result<ExitCode, CommandError> {
    let context = context::open(global, Some(&args.cache.registry))?;
    interrupt::obey(&context.runtime, CtrlC::Ours)?;
    let mut request = Request::new(&context, Platform::of_this_machine());
    let mut team = Team::default();
    team.verify = verifying_key(args.cache_verify_key.as_deref())?;
    request.share(team);
    let resolver = request.resolver(&context);
    let remote = open(&resolver, &args.cache.cache)?;
    let place = remote.place();
    let (mut count, mut bytes) = (0, 0);
    let mut brought = HashSet::new();
    visit(&context, &remote, |name, manifest| {
        let Some(written) = entry(&context, &name, manifest) else { return Ok(()) };
        let key = written.entry.key;
        let refused = |reason: &dyn std::fmt::Display| {
            context.reporter().event(Event::Warning(format!("{key} of {place} is not brought: {reason}")));
        };
        // Under another name nobody would look for a newer one.
        if !written.entry.names().contains(&name) {
            refused(&format_args!("{name} is not a name of its keys"));
            return Ok(());
        }
        if let Err(error) = resolver.signed(&name, &written) {
            refused(&error);
            return Ok(());
        }
        // The same under another of its names.
        if !brought.insert(Digest::of(manifest)) {
            return Ok(());
        }
        if let Some(layer) = written.entry.known.layer() {
            let blob = &layer.descriptor;
            // Before the record, which would be a lie without it.
            match context.runtime.block_on(async {
                if args.lazy { remote.has(blob).await } else { remote.pull(blob, &context.store).await.map(|()| true) }
            }) {
                Ok(true) => elsewhere::note(resolver.store, &blob.digest, &place)?,
                Ok(false) => {
                    refused(&"its layer is not there");
                    return Ok(());
                }
                // What cannot be written here, no other layer can be either.
                Err(error) if is_of_store(&error) => return Err(error.into()),
                Err(error) => {
                    refused(&error);
                    return Ok(());
                }
            }
            bytes += if args.lazy { 0 } else { blob.size };
        }
        if written.entry.import(resolver.store)? {
            count += 1;
        } else {
            refused(&"its key is not made of what it says");
        }
        Ok(())
    })?;
    if count == 0 {
        return Err(CommandError::new(Kind::Failed, format!("{place} has nothing to bring")));
    }
    outln!("brought {} and {} from {place}", told(count), ui::bytes(bytes));
    Ok(ExitCode::SUCCESS)
}

/// True if the store could not be written, whatever the cache has.
fn is_of_store(error: &RemoteError) -> bool {
    let io = |error: &StoreError| matches!(error, StoreError::Io { .. });
    match error {
        RemoteError::Store(error)
        | RemoteError::Directory(DirectoryError::Store(error))
        | RemoteError::Registry(RegistryError::Store(error)) => io(error),
        RemoteError::Registry(RegistryError::Fetch(error)) => match error {
            FetchError::Store(error) => io(error),
            error => matches!(error, FetchError::Write { .. }),
        },
        _ => false,
    }
}
