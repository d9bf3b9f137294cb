//! Layers are what their image's config says: the same check that docker and podman make ("Digest did not match").

use layers::at_once;
use layers::compress::Format;
use layers::digest::Digest;
use layers::media_type::Descriptor;
use layers::store::{Store, StoreError};

use super::{ImageError, Layer};

/// A warning, and the layer that it is about, of which it is told once.
pub type Warning = (Digest, String);

/// Fails unless all of `layers`, which are in the store, have the diff IDs that `what` says they have. Each blob is
/// decompressed for that once; later its diff ID is remembered. Gives what is worth a warning.
pub fn verify_layers(store: &Store, what: &str, layers: &[Layer]) -> Result<Vec<Warning>, ImageError> {
    let all: Vec<(usize, Layer)> = layers.iter().cloned().enumerate().collect();
    verify_some(store, what, &all, layers.len())
}

/// The same of some of `count` layers: their places, counted from the lowest, and they.
pub fn verify_some(
    store: &Store,
    what: &str,
    layers: &[(usize, Layer)],
    count: usize,
) -> Result<Vec<Warning>, ImageError> {
    let mut warnings = Vec::new();
    for (at, layer) in layers {
        warnings.extend(verify_type(store, what, (at + 1, count), layer)?);
    }
    let done = at_once::each(layers, |(_, layer)| store.diff_id(&layer.descriptor.digest));
    for ((at, layer), found) in layers.iter().zip(done) {
        let (what, number, claimed) = (what.to_owned(), at + 1, layer.diff_id);
        match found {
            Ok(found) if found == claimed => {}
            Ok(found) => return Err(ImageError::DiffId { what, number, count, claimed, found }),
            Err(StoreError::Damaged { blob: digest, message: reason }) => {
                return Err(ImageError::Layer { what, number, count, digest, reason });
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(warnings)
}

/// Looks whether a layer is compressed as its media type says; `(number, count)` is its place. docker, podman and
/// containerd tell gzip, zstd and no compression by the content, as alloy does: that is a warning, for the sake of tools
/// that go by the type. What is compressed in any other way is no layer (image-spec 1.1, "Image Layer Filesystem
/// Changeset"), and an error. One that is not in the store is not looked at.
pub fn verify_type(
    store: &Store,
    what: &str,
    (number, count): (usize, usize),
    layer: &Layer,
) -> Result<Option<Warning>, ImageError> {
    let Descriptor { digest, media_type, .. } = &layer.descriptor;
    if !store.contains(digest) {
        return Ok(None);
    }
    let format = Format::of(&store.blob_head(digest)?);
    if format.is_of(media_type) {
        return Ok(None);
    }
    // What is damaged is no other kind of layer.
    store.check_blob(digest)?;
    if matches!(format, Format::Plain | Format::Gzip | Format::Zstd) {
        let text = format!(
            "layer {number} of {count} of {what} has the media type {media_type}, and is compressed otherwise: docker, podman \
             and containerd read it by its content, and tools that go by the type, such as umoci, do not"
        );
        return Ok(Some((*digest, text)));
    }
    let reason = format!("its media type is {media_type}, and that is not how it is compressed; others cannot read it");
    Err(ImageError::Layer { what: what.to_owned(), number, count, digest: *digest, reason })
}
