//! Layers are what their image's config says: the same check that docker and podman make ("Digest did not match").

use layers::at_once;
use layers::store::Store;

use super::{ImageError, Layer};

/// Fails unless all of `layers`, which are in the store, have the diff IDs that `what` says they have. Each blob is
/// decompressed for that once; later its diff ID is remembered.
pub fn verify_layers(store: &Store, what: &str, layers: &[Layer]) -> Result<(), ImageError> {
    let all: Vec<(usize, Layer)> = layers.iter().cloned().enumerate().collect();
    verify_some(store, what, &all, layers.len())
}

/// The same of some of `count` layers: their places, counted from the lowest, and they.
pub fn verify_some(store: &Store, what: &str, layers: &[(usize, Layer)], count: usize) -> Result<(), ImageError> {
    let done = at_once::each(layers, |(_, layer)| store.diff_id(&layer.descriptor.digest));
    for ((at, layer), found) in layers.iter().zip(done) {
        let (found, claimed) = (found?, layer.diff_id);
        if found != claimed {
            let (what, number) = (what.to_owned(), at + 1);
            return Err(ImageError::DiffId { what, number, count, claimed, found });
        }
    }
    Ok(())
}
