//! Blobs that are known and not here: in which repositories they are, so that they need not be pulled before somebody
//! wants to see them.

use std::collections::BTreeSet;

use layers::digest::Digest;
use layers::store::{Store, StoreError};

use super::{Place, get, put};

const KIND: &str = "elsewhere";
/// Of URLs that images name.
const URLS: &str = "elsewhere-urls";
/// URLs that are remembered of one blob.
const MOST_URLS: usize = 16;

/// The places that have the blob, as far as is known.
pub fn places(store: &Store, digest: &Digest) -> Result<BTreeSet<Place>, StoreError> {
    Ok(get(store, KIND, &digest.hex())?.unwrap_or_default())
}

/// Notes that `place` has the blob.
pub fn note(store: &Store, digest: &Digest, place: &Place) -> Result<(), StoreError> {
    let mut known = places(store, digest)?;
    if known.insert(place.clone()) { put(store, KIND, &digest.hex(), &known) } else { Ok(()) }
}

/// URLs that an image names for the blob, which is none that registries have to have.
pub fn urls(store: &Store, digest: &Digest) -> Result<Vec<String>, StoreError> {
    Ok(get(store, URLS, &digest.hex())?.unwrap_or_default())
}

/// Notes that an image names `new` for the blob.
pub fn note_urls(store: &Store, digest: &Digest, new: &[String]) -> Result<(), StoreError> {
    let mut known = urls(store, digest)?;
    let before = known.len();
    for url in new {
        if !known.contains(url) && known.len() < MOST_URLS {
            known.push(url.clone());
        }
    }
    if known.len() == before { Ok(()) } else { put(store, URLS, &digest.hex(), &known) }
}

/// Forgets where the blob is.
pub fn forget(store: &Store, digest: &Digest) -> Result<(), StoreError> {
    store.remove_record(KIND, &digest.hex())
}

/// Forgets all that are not `kept`.
pub fn retain(store: &Store, kept: impl Fn(&Digest) -> bool) -> Result<(), StoreError> {
    for kind in [KIND, URLS] {
        for (key, _) in store.records(kind)? {
            if !Digest::from_hex(&key).is_ok_and(|digest| kept(&digest)) {
                store.remove_record(kind, &key)?;
            }
        }
    }
    Ok(())
}

/// True if the blob is here, or somebody is known to have it.
pub fn reachable(store: &Store, digest: &Digest) -> bool {
    let somewhere = || places(store, digest).is_ok_and(|places| !places.is_empty());
    store.contains(digest) || somewhere() || urls(store, digest).is_ok_and(|urls| !urls.is_empty())
}
