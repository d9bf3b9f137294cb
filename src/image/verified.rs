//! Layers are what their image's config says: the same check that docker and podman make ("Digest did not match").

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use layers::digest::DiffId;
use layers::store::{Store, StoreError};

use super::{ImageError, Layer};

/// Fails unless all of `layers`, which are in the store, have the diff IDs that `what` says they have. Each blob is
/// decompressed for that once; later its diff ID is remembered.
pub fn verify_layers(store: &Store, what: &str, layers: &[Layer]) -> Result<(), ImageError> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, Result<DiffId, StoreError>)>> = Mutex::default();
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(layers.len());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(layer) = layers.get(at) else { break };
                    let found = store.diff_id(&layer.descriptor.digest);
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((at, found));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_unstable_by_key(|(at, _)| *at);
    for (at, found) in done {
        let (found, claimed) = (found?, layers[at].diff_id);
        if found != claimed {
            let (what, number, count) = (what.to_owned(), at + 1, layers.len());
            return Err(ImageError::DiffId { what, number, count, claimed, found });
        }
    }
    Ok(())
}
