//! `--mirror-to`: the packages of a lockfile as an artifact of a registry, which loses nothing.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::sync::Arc;

use layers::digest::Digest;
use layers::media_type::{self, Descriptor};
use layers::store::Store;
use serde_json::json;

use crate::blueprint::Blueprint;
use crate::cli::context::Context;
use crate::cli::error::{CommandError, Kind};
use crate::cli::inputs::InputArgs;
use crate::event::Event;
use crate::fetch::Fetcher;
use crate::lock::{DebPin, Lock, PackagePin};
use crate::plan::Platform;
use crate::registry::Reference;

/// Of the artifact.
const PACKAGES: &str = "application/vnd.alloy.packages.v1";
/// Of a package of Debian's in it.
const DEB: &str = "application/vnd.debian.binary-package";
/// Of a wheel, a tarball of npm or a crate.
const FILE: &str = "application/octet-stream";
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
    let debs = lock.apt.values().flat_map(|tasks| tasks.values()).flat_map(|pin| &pin.debs);
    let debs: BTreeMap<Digest, &DebPin> = debs.map(|deb| (deb.sha256, deb)).collect();
    let files: BTreeMap<Digest, &PackagePin> = lock.packages.files().map(|file| (file.sha256, file)).collect();
    let platform: Platform = lock.host.parse().map_err(|error| CommandError::from_error(Kind::Usage, &error))?;
    let prepared = inputs.prepare_with(blueprint, &platform, lock)?;
    let mut network = inputs.network(context, &prepared)?;
    network.mirror.clone_from(&lock.mirror);
    let resolver = network.resolver();
    let client = resolver.client(reference)?;
    resolver.debs(&debs.values().copied().cloned().collect::<Vec<_>>())?;
    resolver.pinned(files.values().map(|file| (file.url.clone(), file.sha256, file.size)))?;
    let debs = debs.values().map(|deb| {
        let name = format!("{}_{}_{}.deb", deb.package, deb.version, deb.arch);
        (name, Descriptor { media_type: DEB.to_owned(), digest: deb.sha256, size: deb.size })
    });
    let files = files.values().map(|file| {
        let name = file.url.rsplit('/').next().unwrap_or(&file.name).to_owned();
        (name, Descriptor { media_type: FILE.to_owned(), digest: file.sha256, size: file.size })
    });
    let mut layers = Vec::new();
    for (name, blob) in debs.chain(files) {
        into_store(&context.store, &network.fetcher, &blob)?;
        context.runtime.block_on(client.push_blob(&blob))?;
        layers.push(json!({
            "mediaType": blob.media_type, "digest": blob.digest, "size": blob.size, "annotations": {TITLE: name},
        }));
    }
    let empty = media_type::empty();
    context.runtime.block_on(client.push_small(&empty, media_type::EMPTY))?;
    let manifest = json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "artifactType": PACKAGES,
        "config": empty, "layers": layers,
    });
    let (tag, manifest) = (reference.manifest(), manifest.to_string());
    context.runtime.block_on(client.push_manifest(&tag, media_type::OCI_MANIFEST, manifest.as_bytes()))?;
    context.reporter.event(Event::Note(format!("{} packages are kept in {reference}", layers.len())));
    Ok(Some(client.repository()))
}

/// Registries are sent what the store has as a blob.
fn into_store(store: &Store, fetcher: &Fetcher, blob: &Descriptor) -> Result<(), CommandError> {
    if store.contains(&blob.digest) {
        return Ok(());
    }
    let path = fetcher.path(&blob.digest);
    let failed = |error: io::Error| CommandError::new(Kind::Failed, format!("cannot read {}: {error}", path.display()));
    let mut writer = store.blob_writer()?;
    writer.fill(&mut File::open(&path).map_err(failed)?)?.map_err(failed)?;
    writer.commit(Some((blob.digest, blob.size)))?;
    Ok(())
}
