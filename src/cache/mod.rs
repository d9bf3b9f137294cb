//! From a layer's key to the layer. Records are small; the layer itself is a blob of the store, or of a registry that
//! is known to have it.

mod directory;
pub mod elsewhere;
mod entry;
mod export;
mod listing;
mod made_of;
mod parts;
mod place;
mod remote;
mod team;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::time::SystemTime;

use layers::digest::{ChainId, Digest};
use layers::store::{LayerBlob, Store, StoreError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use directory::{Directory, DirectoryError};
pub use entry::{Entry, EntryError, Known, TAG_PREFIX, Wanted, Written};
pub use export::{BASE, INVENTORIES, INVENTORY, PROFILE, PROFILES, SUITE, SUITES, entries, keep_entry};
pub use listing::LIST_TAG;
pub use made_of::{BasePreimage, MadeOf};
pub use place::{Place, PlaceError};
pub use remote::{Remote, RemoteError};
pub use team::{BELIEVED, CheckError, Team};

use crate::json;
use crate::plan::{Contents, LayerKey, PlannedLayer, PortablePreimage};

/// What is known of a layer that was built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerRecord {
    /// The name of the layer: the task file, or `base`.
    pub name: String,
    /// The layer. There is none if its tasks changed nothing.
    pub layer: Option<LayerBlob>,
    /// What is in the layer, if it is that of an archive.
    #[serde(default)]
    pub archive: Option<Contents>,
    /// How the layer of an archive was made. Other layers do not have it, and neither do records of an older alloy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub way: Option<Way>,
    /// The parts that the key was made of, to explain why the layer is not found the next time.
    pub preimage: MadeOf,
    /// The other key that it is found under, which has the bytes of the layers below in place of how they came about.
    #[serde(default)]
    pub output: Option<LayerKey>,
    /// The chain ID of the stack with this layer on top.
    #[serde(default)]
    pub chain: Option<ChainId>,
}

/// Which way an archive became a layer: the bytes are not the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// It was made in one pass, without unpacking the archive.
    Streamed,
    /// The archive was unpacked where it goes, since the archive, or what is there, does not allow the other way.
    InPlace,
}

impl LayerRecord {
    /// True if the layer is what would be made for `planned` now.
    pub fn fits(&self, planned: &PlannedLayer) -> bool {
        self.layer.is_none() || came_so(self.way, self.archive.as_ref(), planned.portable.is_some())
    }
}

/// True if a layer came the way that it comes now. An older alloy unpacked an archive in place also when its download had
/// failed once, and did not say which it was.
fn came_so(way: Option<Way>, archive: Option<&Contents>, portable: bool) -> bool {
    let streamed = way == Some(Way::Streamed) || archive.is_some();
    if portable { streamed || way == Some(Way::InPlace) } else { !streamed }
}

/// A layer made of an archive alone, which other blueprints share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortableRecord {
    /// The layer.
    pub layer: LayerBlob,
    /// The names that the archive has directly below its destination.
    pub tops: BTreeSet<OsString>,
    /// The parts that the key was made of.
    pub preimage: PortablePreimage,
}

const LAYERS: &str = "layers";
const PORTABLE: &str = "portable";

/// The record of `key`, if its layer is here, or somebody is known to have it.
pub fn find(store: &Store, key: &LayerKey) -> Result<Option<LayerRecord>, StoreError> {
    Ok(record(store, key)?.filter(|record| record.layer.as_ref().is_none_or(|blob| usable(store, blob))))
}

/// True if the layer can be had, as far as is known, and is what is said of it: a record may name the blob of one layer
/// and the diff ID of another.
fn usable(store: &Store, layer: &LayerBlob) -> bool {
    let blob = &layer.descriptor.digest;
    elsewhere::reachable(store, blob)
        && store.known_diff_id(blob).is_ok_and(|known| known.is_none_or(|known| known == layer.diff_id))
}

/// What was recorded under `key`, its layer there or not.
pub fn record(store: &Store, key: &LayerKey) -> Result<Option<LayerRecord>, StoreError> {
    get(store, LAYERS, &key.hex())
}

/// Keeps the record of `key`. The layer's blob must be in the store already.
pub fn keep(store: &Store, key: &LayerKey, record: &LayerRecord) -> Result<(), StoreError> {
    put(store, LAYERS, &key.hex(), record)
}

/// The record of a portable layer, if that is here, or somebody is known to have it.
pub fn find_portable(store: &Store, key: &LayerKey) -> Result<Option<PortableRecord>, StoreError> {
    let record: Option<PortableRecord> = get(store, PORTABLE, &key.hex())?;
    Ok(record.filter(|record| usable(store, &record.layer)))
}

/// Keeps the record of a portable layer.
pub fn keep_portable(store: &Store, key: &LayerKey, record: &PortableRecord) -> Result<(), StoreError> {
    put(store, PORTABLE, &key.hex(), record)
}

/// Forgets portable layers whose blob is not one of `kept`.
pub fn forget_portable(store: &Store, kept: impl Fn(&Digest) -> bool) -> Result<(), StoreError> {
    for (key, bytes) in store.records(PORTABLE)? {
        let record: Option<PortableRecord> = serde_json::from_slice(&bytes).ok();
        if !record.is_some_and(|record| kept(&record.layer.descriptor.digest)) {
            store.remove_record(PORTABLE, &key)?;
        }
    }
    Ok(())
}

/// All records of layers, with their keys in hexadecimal digits.
pub fn all(store: &Store) -> Result<Vec<(String, LayerRecord)>, StoreError> {
    let records = store.records(LAYERS)?;
    Ok(records.into_iter().filter_map(|(key, bytes)| Some((key, serde_json::from_slice(&bytes).ok()?))).collect())
}

/// When the record of a layer was used last.
pub fn last_used(store: &Store, key: &str) -> SystemTime {
    store.record_used(LAYERS, key)
}

/// Forgets a layer.
pub fn forget(store: &Store, key: &str) -> Result<(), StoreError> {
    store.remove_record(LAYERS, key)
}

/// A record of any kind; one that an older alloy wrote differently counts as absent.
pub fn get<T: DeserializeOwned>(store: &Store, kind: &str, key: &str) -> Result<Option<T>, StoreError> {
    Ok(store.record(kind, key)?.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

/// Writes a record of any kind.
pub fn put<T: Serialize>(store: &Store, kind: &str, key: &str, value: &T) -> Result<(), StoreError> {
    store.put_record(kind, key, &json::bytes(value))
}
