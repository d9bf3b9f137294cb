//! `--mirror-to`: the packages of a lockfile as an artifact of a registry, which loses nothing.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::sync::Arc;

use layers::media_type::{self, Descriptor};
use layers::store::Store;
use serde_json::json;

use crate::blueprint::Blueprint;
use crate::cli::context::Context;
use crate::cli::error::{CommandError, Kind};
use crate::cli::inputs::InputArgs;
use crate::event::Event;
use crate::fetch::Fetcher;
use crate::lock::{DebPin, Lock};
use crate::plan::Platform;
use crate::registry::Reference;

/// Of the artifact.
const DEBS: &str = "application/vnd.alloy.debs.v1";
/// Of a package in it.
const DEB: &str = "application/vnd.debian.binary-package";
/// A file's name (OCI image-spec 1.1, "Pre-Defined Annotation Keys").
const TITLE: &str = "org.opencontainers.image.title";

/// Sends all packages of `lock` to `reference`. Gives what the lockfile says of it: registry and repository, as every
/// package is there under its digest.
pub(super) fn keep(
    context: &Context,
    inputs: &InputArgs,
    blueprint: &Arc<Blueprint>,
    lock: &Lock,
    reference: &Reference,
) -> Result<Option<String>, CommandError> {
    if !reference.names_registry() || reference.digest.is_some() {
        let message = format!("--mirror-to {reference}: name a registry, a repository and a tag");
        return Err(CommandError::usage(message).hint("for instance: --mirror-to REGISTRY/team/debs:arm-env"));
    }
    let debs: BTreeMap<_, &DebPin> = lock
        .apt
        .values()
        .flat_map(|tasks| tasks.values())
        .flat_map(|pin| &pin.debs)
        .map(|deb| (deb.sha256, deb))
        .collect();
    let platform: Platform = lock.host.parse().map_err(|error| CommandError::from_error(Kind::Usage, &error))?;
    let prepared = inputs.prepare_with(blueprint, &platform, lock)?;
    let mut network = inputs.network(context, &prepared)?;
    network.mirror.clone_from(&lock.mirror);
    let resolver = network.resolver();
    let client = resolver.client(reference)?;
    let mut layers = Vec::new();
    resolver.debs(&debs.values().copied().cloned().collect::<Vec<_>>())?;
    for deb in debs.values() {
        into_store(&context.store, &network.fetcher, deb)?;
        let descriptor = Descriptor { media_type: DEB.to_owned(), digest: deb.sha256, size: deb.size };
        context.runtime.block_on(client.push_blob(&descriptor))?;
        let name = format!("{}_{}_{}.deb", deb.package, deb.version, deb.arch);
        layers.push(json!({
            "mediaType": DEB, "digest": deb.sha256, "size": deb.size, "annotations": {TITLE: name},
        }));
    }
    let empty = media_type::empty();
    context.runtime.block_on(client.push_small(&empty, media_type::EMPTY))?;
    let manifest = json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "artifactType": DEBS,
        "config": empty, "layers": layers,
    });
    let (tag, manifest) = (reference.manifest(), manifest.to_string());
    context.runtime.block_on(client.push_manifest(&tag, media_type::OCI_MANIFEST, manifest.as_bytes()))?;
    context.reporter.event(Event::Note(format!("{} packages are kept in {reference}", debs.len())));
    Ok(Some(client.repository()))
}

/// Registries are sent what the store has as a blob.
fn into_store(store: &Store, fetcher: &Fetcher, deb: &DebPin) -> Result<(), CommandError> {
    if store.contains(&deb.sha256) {
        return Ok(());
    }
    let path = fetcher.path(&deb.sha256);
    let failed = |error: io::Error| CommandError::new(Kind::Failed, format!("cannot read {}: {error}", path.display()));
    let mut writer = store.blob_writer()?;
    writer.fill(&mut File::open(&path).map_err(failed)?)?.map_err(failed)?;
    writer.commit(Some((deb.sha256, deb.size)))?;
    Ok(())
}
