//! Images of the store that have no name: manifests and indexes that are there.

use std::collections::{BTreeMap, BTreeSet};

use layers::digest::Digest;
use layers::document;
use layers::media_type::{self, Descriptor};
use layers::store::Store;

use super::file::is_json;
use super::manifest::{platform_of, read_document};
use super::{ImageError, Index, Local, LocalImage, LocalIndex, Manifest};
use crate::context::now;

/// Bytes of a manifest.
const MANIFEST: u64 = 4 << 20;

/// Images whose digest begins with `digits`, and that have no name: those that were built without one, until the next
/// `prune`.
pub(super) fn unnamed(store: &Store, digits: &str) -> Result<BTreeMap<Digest, Local>, ImageError> {
    let mut found = BTreeMap::new();
    let Ok(blobs) = std::fs::read_dir(store.root().join("blobs/sha256")) else { return Ok(found) };
    for blob in blobs.flatten() {
        let name = blob.file_name();
        let Some(digest) = name.to_str().filter(|name| name.starts_with(digits)) else { continue };
        let Ok(digest) = Digest::from_hex(digest) else { continue };
        if blob.metadata().is_ok_and(|found| found.len() <= MANIFEST)
            && let Some(local) = of_bytes(store, digest, &store.read_blob(&digest, MANIFEST)?)?
        {
            found.insert(digest, local);
        }
    }
    Ok(found)
}

/// All images that have no name, none of `named` and no part of them, by their digests. An image with a layer that is
/// neither in the store nor `reachable` elsewhere is left out.
pub fn nameless(
    store: &Store,
    named: &[&Local],
    reachable: impl Fn(&Digest) -> bool,
) -> Result<Vec<Local>, ImageError> {
    let mut known: BTreeSet<Digest> = BTreeSet::new();
    for local in named {
        known.insert(local.descriptor().digest);
        known.extend(local.images().iter().map(|image| image.manifest.digest));
    }
    let mut found = Vec::new();
    for digest in store.blobs()?.into_iter().filter(|digest| !known.contains(digest)) {
        let path = store.blob_path(&digest);
        let small = path.metadata().is_ok_and(|found| found.len() <= MANIFEST);
        // To look at all is not to use them.
        let Some(bytes) = layers::regular::read(&path, MANIFEST).ok().filter(|_| small && is_json(&path)) else {
            continue;
        };
        let Ok(Some(local)) = of_bytes(store, digest, &bytes) else { continue };
        let whole = |image: &LocalImage| {
            let manifest: Option<Manifest> = read_document(store, &image.name, &image.manifest.digest).ok();
            manifest.is_some_and(|it| it.layers.iter().all(|layer| reachable(&layer.descriptor.digest)))
        };
        if local.images().iter().all(whole) {
            found.push(local);
        }
    }
    let parts: BTreeSet<Digest> = found
        .iter()
        .filter(|local| matches!(local, Local::Index(_)))
        .flat_map(|local| local.images().iter().map(|image| image.manifest.digest))
        .collect();
    found.retain(|local| !parts.contains(&local.descriptor().digest));
    found.sort_by_key(|local| local.descriptor().digest);
    Ok(found)
}

/// What the manifest or index of that digest stands for; `None` for what is neither.
fn of_bytes(store: &Store, digest: Digest, bytes: &[u8]) -> Result<Option<Local>, ImageError> {
    let name = digest.to_string();
    let said: serde_json::Value = serde_json::from_slice(bytes).unwrap_or_default();
    // What is neither an image nor an index is nothing that is meant here.
    let media_type = document::own_type(bytes, "the store", "").unwrap_or_default();
    let descriptor = Descriptor { media_type, digest, size: bytes.len() as u64 };
    if media_type::is_index(&descriptor.media_type) {
        let Ok(index) = serde_json::from_slice::<Index>(bytes) else { return Ok(None) };
        let images = index.manifests.into_iter().map(|entry| part(store, &name, entry.descriptor));
        let images = images.collect::<Result<_, _>>()?;
        return Ok(Some(Local::Index(LocalIndex {
            name,
            index: descriptor,
            tagged_at: now(),
            named_at: None,
            images,
        })));
    }
    // Documents that are attached to images are manifests, too, and none of an image.
    let is_image = said.get("artifactType").is_none() && media_type::is_manifest(&descriptor.media_type);
    let Some(manifest) = serde_json::from_slice::<Manifest>(bytes).ok().filter(|_| is_image) else { return Ok(None) };
    Ok(Some(Local::Image(image(store, &name, descriptor, &manifest)?)))
}

/// The image that the index `name` lists as `descriptor`.
fn part(store: &Store, name: &str, descriptor: Descriptor) -> Result<LocalImage, ImageError> {
    let bytes = store.read_blob(&descriptor.digest, MANIFEST)?;
    let invalid = |why: String| ImageError::invalid(name, format!("its manifest {}: {why}", descriptor.digest));
    if document::is_index(&bytes, &descriptor.media_type).map_err(invalid)? {
        return Err(ImageError::nested(name, &descriptor.digest));
    }
    let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|error| invalid(error.to_string()))?;
    image(store, name, descriptor, &manifest)
}

fn image(store: &Store, name: &str, descriptor: Descriptor, manifest: &Manifest) -> Result<LocalImage, ImageError> {
    let platform = platform_of(store, name, manifest)?;
    let (name, tagged_at) = (name.to_owned(), now());
    Ok(LocalImage { name, manifest: descriptor, platform, tagged_at, named_at: None, from: None, documents: None })
}
