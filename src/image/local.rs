//! Images by name in the local store.

use std::collections::BTreeMap;
use std::path::PathBuf;

use layers::digest::Digest;
use layers::media_type::Descriptor;
use layers::store::{Store, StoreError};
use serde::{Deserialize, Serialize};

use crate::plan::{LayerKey, Platform};

const KIND: &str = "images";

/// A name and what it stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalImage {
    /// The name, with its tag.
    pub name: String,
    /// The manifest.
    pub manifest: Descriptor,
    /// What it runs on.
    pub platform: Platform,
    /// When the name was given, in seconds since 1970.
    pub tagged_at: i64,
    /// The registry reference that has the layers which were never pulled.
    pub base: Option<String>,
    /// What it was built from; `None` for what was not built here alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<BuiltFrom>,
    /// What is said of it; `None` where that was not wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub documents: Option<Documents>,
}

/// What is said of an image: blobs of the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Documents {
    /// What it was made from.
    pub provenance: Descriptor,
    /// What is in it; `None` until somebody wants to know.
    pub sbom: Option<Descriptor>,
}

impl Documents {
    /// Their blobs.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        std::iter::once(&self.provenance).chain(&self.sbom)
    }
}

/// What an image was built from, to build it once more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuiltFrom {
    /// The blueprint's directory, absolute.
    pub directory: PathBuf,
    /// Options of the build, without values of secrets.
    pub options: Vec<String>,
    /// Variables whose values were left out of the options.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub withheld: Vec<String>,
    /// `SOURCE_DATE_EPOCH`, in seconds since 1970.
    pub epoch: u64,
    /// What the base was.
    pub base: Digest,
    /// Keys of the blueprint's layers, by their names.
    pub layers: BTreeMap<String, LayerKey>,
}

fn key(name: &str) -> String {
    Digest::of(name).hex()
}

/// Gives a name.
pub fn tag(store: &Store, image: &LocalImage) -> Result<(), StoreError> {
    store.put_record(KIND, &key(&image.name), &serde_json::to_vec(image).unwrap_or_default())
}

/// What a name stands for.
pub fn local(store: &Store, name: &str) -> Result<Option<LocalImage>, StoreError> {
    Ok(store.record(KIND, &key(name))?.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

/// All names, sorted.
pub fn locals(store: &Store) -> Result<Vec<LocalImage>, StoreError> {
    let records = store.records(KIND)?;
    let mut all: Vec<LocalImage> =
        records.into_iter().filter_map(|(_, bytes)| serde_json::from_slice(&bytes).ok()).collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

/// Takes a name away.
pub fn forget(store: &Store, name: &str) -> Result<(), StoreError> {
    store.remove_record(KIND, &key(name))
}
