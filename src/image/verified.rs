//! Layers are what their image's config says: the same check that docker and podman make ("Digest did not match").

use layers::at_once;
use layers::store::Store;

use super::{ImageError, Layer};

/// Fails unless all of `layers`, which are in the store, have the diff IDs that `what` says they have. Each blob is
/// decompressed for that once; later its diff ID is remembered.
pub fn verify_layers(store: &Store, what: &str, layers: &[Layer]) -> Result<(), ImageError> {
    let done = at_once::each(layers, |layer| store.diff_id(&layer.descriptor.digest));
    for (at, found) in done.into_iter().enumerate() {
        let (found, claimed) = (found?, layers[at].diff_id);
        if found != claimed {
            let (what, number, count) = (what.to_owned(), at + 1, layers.len());
            return Err(ImageError::DiffId { what, number, count, claimed, found });
        }
    }
    Ok(())
}
