//! Blobs that are known and not here: in which repositories they are, so that they need not be pulled before somebody
//! wants to see them.

use std::collections::BTreeSet;

use layers::digest::Digest;
use layers::store::{Store, StoreError};

use super::{Place, get, put};

const KIND: &str = "elsewhere";

/// The places that have the blob, as far as is known.
pub fn places(store: &Store, digest: &Digest) -> Result<BTreeSet<Place>, StoreError> {
    Ok(get(store, KIND, &digest.hex())?.unwrap_or_default())
}

/// Notes that `place` has the blob.
pub fn note(store: &Store, digest: &Digest, place: &Place) -> Result<(), StoreError> {
    let mut known = places(store, digest)?;
    if known.insert(place.clone()) { put(store, KIND, &digest.hex(), &known) } else { Ok(()) }
}

/// Forgets where the blob is.
pub fn forget(store: &Store, digest: &Digest) -> Result<(), StoreError> {
    store.remove_record(KIND, &digest.hex())
}

/// Forgets all that are not `kept`.
pub fn retain(store: &Store, kept: impl Fn(&Digest) -> bool) -> Result<(), StoreError> {
    for (key, _) in store.records(KIND)? {
        if !Digest::from_hex(&key).is_ok_and(|digest| kept(&digest)) {
            store.remove_record(KIND, &key)?;
        }
    }
    Ok(())
}

/// True if the blob is here, or somebody is known to have it.
pub fn reachable(store: &Store, digest: &Digest) -> bool {
    store.contains(digest) || places(store, digest).is_ok_and(|places| !places.is_empty())
}
