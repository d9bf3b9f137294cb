//! What is published is what was built: before anything of an image is sent, its layers are what its config says.

use std::collections::BTreeSet;

use layers::digest::ChainId;
use layers::media_type::Descriptor;
use layers::store::layer_tree;

use super::{Part, PushError};
use crate::build::ensure_blobs;
use crate::cache;
use crate::image::{self, Image, Layer};
use crate::resolve::Resolver;

/// Fails if a layer of the image is not what the image's config says it is.
///
/// Of a layer that is here, or was, that is known. One that never was is fetched for it, unless a record vouches for it:
/// that of a layer which was made on top, by somebody who looked, or that of an archive's layer. An image that was not built
/// here and only gets a new name is its author's.
pub(super) fn check(resolver: &Resolver<'_>, part: &Part<'_>) -> Result<(), PushError> {
    let store = resolver.store;
    // An index lists attestations beside images.
    let Some(layers) = layers(resolver, part)? else { return Ok(()) };
    let vouched = vouched(resolver, part, &layers)?;
    let (mut wanted, mut missing) = (Vec::new(), Vec::new());
    for (at, layer) in layers.iter().enumerate() {
        let blob = &layer.descriptor.digest;
        if store.known_diff_id(blob)?.is_none() && !store.contains(blob) {
            // With a tree of the ID that is claimed, something was taken for this layer that nobody compared with it.
            if vouched.contains(&at) && store.tree(&layer_tree(layer.diff_id)).is_none() {
                continue;
            }
            missing.push(layer.descriptor.clone());
        }
        wanted.push((at, layer.clone()));
    }
    ensure_blobs(resolver, &missing)?;
    let warnings = image::verify_some(store, &part.image.name, &wanted, layers.len())?;
    warnings.into_iter().for_each(|warning| resolver.warn_once(warning));
    Ok(())
}

/// The same of one layer that had to be fetched to be sent.
pub(super) fn check_one(resolver: &Resolver<'_>, part: &Part<'_>, blob: &Descriptor) -> Result<(), PushError> {
    let layers = layers(resolver, part)?.unwrap_or_default();
    let same = |(_, layer): &(usize, Layer)| layer.descriptor.digest == blob.digest;
    let wanted: Vec<_> = layers.iter().cloned().enumerate().filter(same).collect();
    let warnings = image::verify_some(resolver.store, &part.image.name, &wanted, layers.len())?;
    warnings.into_iter().for_each(|warning| resolver.warn_once(warning));
    Ok(())
}

/// Layers with their diff IDs; `None` of what is no image.
fn layers(resolver: &Resolver<'_>, part: &Part<'_>) -> Result<Option<Vec<Layer>>, PushError> {
    let Part { image, manifest, .. } = part;
    if manifest.layers.iter().any(|layer| image::layer_type(&layer.descriptor.media_type).is_none()) {
        return Ok(None);
    }
    ensure_blobs(resolver, std::slice::from_ref(&manifest.config))?;
    let config = resolver.store.read_blob(&manifest.config.digest, image::JSON_LIMIT)?;
    Ok(Some(Image::new(&image.name, image.manifest.digest, manifest, &config)?.layers))
}

/// Which layers somebody vouches for.
fn vouched(resolver: &Resolver<'_>, part: &Part<'_>, layers: &[Layer]) -> Result<BTreeSet<usize>, PushError> {
    let Some(from) = &part.image.from else { return Ok((0..layers.len()).collect()) };
    let (mut chains, mut archives) = (BTreeSet::new(), Vec::new());
    for key in from.layers.values() {
        let Some(record) = cache::record(resolver.store, key)? else { continue };
        chains.extend(record.chain);
        // An archive's layer is known by the archive: whoever made it had nothing to look at below.
        archives.extend(record.layer.filter(|_| record.archive.is_some()));
    }
    let (mut vouched, mut chain) = (BTreeSet::new(), None);
    for (at, layer) in layers.iter().enumerate() {
        let next = ChainId::extend(chain, layer.diff_id);
        if chains.contains(&next) {
            vouched.extend(0..=at);
        }
        if archives.iter().any(|it| (&it.descriptor, it.diff_id) == (&layer.descriptor, layer.diff_id)) {
            vouched.insert(at);
        }
        chain = Some(next);
    }
    Ok(vouched)
}
