//! Layers are what their image's config says: the same check that docker and podman make ("Digest did not match").

use layers::at_once;
use layers::compress::Format;
use layers::media_type::Descriptor;
use layers::store::{Store, StoreError};

use super::{ImageError, Layer};

/// Fails unless all of `layers`, which are in the store, have the diff IDs that `what` says they have. Each blob is
/// decompressed for that once; later its diff ID is remembered.
pub fn verify_layers(store: &Store, what: &str, layers: &[Layer]) -> Result<(), ImageError> {
    let all: Vec<(usize, Layer)> = layers.iter().cloned().enumerate().collect();
    verify_some(store, what, &all, layers.len())
}

/// The same of some of `count` layers: their places, counted from the lowest, and they.
pub fn verify_some(store: &Store, what: &str, layers: &[(usize, Layer)], count: usize) -> Result<(), ImageError> {
    for (at, layer) in layers {
        verify_type(store, what, (at + 1, count), layer)?;
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
    Ok(())
}

/// Fails unless a layer is compressed as its media type says. alloy tells by the content, others by the type: they
/// could not read it. `(number, count)` is its place. One that is not in the store is not looked at.
pub fn verify_type(
    store: &Store,
    what: &str,
    (number, count): (usize, usize),
    layer: &Layer,
) -> Result<(), ImageError> {
    let Descriptor { digest, media_type, .. } = &layer.descriptor;
    if !store.contains(digest) {
        return Ok(());
    }
    if Format::of(&store.blob_head(digest)?).is_of(media_type) {
        return Ok(());
    }
    // What is damaged is no other kind of layer.
    store.check_blob(digest)?;
    let reason = format!("its media type is {media_type}, and that is not how it is compressed; others cannot read it");
    Err(ImageError::Layer { what: what.to_owned(), number, count, digest: *digest, reason })
}
