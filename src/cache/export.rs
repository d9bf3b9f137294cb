//! Between records of the store and entries for others.

use layers::digest::Digest;
use layers::store::{Store, StoreError};
use serde_json::{Value, json};

use super::{Entry, Known, LayerRecord, PORTABLE, PortableRecord, Wanted};
use crate::plan::{Inputs, LayerKey, PlannedLayer, PortablePreimage, Preimage, Trace};

/// Name of a base's record.
pub const BASE: &str = "base";

/// What the key of a base's layer is made of.
pub fn base_preimage(identity: Digest, inputs: &Inputs) -> Value {
    json!({"base": identity, "compression": inputs.compression.to_string(), "epoch": inputs.epoch})
}

impl LayerRecord {
    /// What others may know of it; `None` for a record that is a second name of another.
    pub fn entry(&self, key: &LayerKey) -> Option<Entry> {
        let layer = self.layer.clone();
        if self.name == BASE {
            return Some(Entry { key: key.digest(), preimage: self.preimage.clone(), known: Known::Base { layer } });
        }
        // Of what its author wrote, the fingerprints are enough.
        let preimage: Preimage = serde_json::from_value::<Trace>(self.preimage.clone()).ok()?.preimage;
        if preimage.key() != *key {
            return None;
        }
        let (name, archive, chain) = (self.name.clone(), self.archive.clone(), self.chain);
        let known = Known::Layer { name, layer, archive, output: self.output?, chain };
        Some(Entry { key: key.digest(), preimage: serde_json::to_value(preimage).ok()?, known })
    }
}

impl PortableRecord {
    /// What others may know of it.
    pub fn entry(&self) -> Entry {
        let (layer, tops) = (self.layer.clone(), self.tops.clone());
        let preimage = serde_json::to_value(&self.preimage).unwrap_or_default();
        Entry { key: self.preimage.key().digest(), preimage, known: Known::Portable { layer, tops } }
    }
}

/// All that the store could tell others.
pub fn entries(store: &Store) -> Result<Vec<Entry>, StoreError> {
    let parsed = |key: &str| Digest::from_hex(key).ok().map(LayerKey::from);
    let layers = super::all(store)?.into_iter().filter_map(|(key, record)| record.entry(&parsed(&key)?));
    let portable = store.records(PORTABLE)?.into_iter();
    let portable =
        portable.filter_map(|(_, bytes)| Some(serde_json::from_slice::<PortableRecord>(&bytes).ok()?.entry()));
    Ok(layers.chain(portable).collect())
}

/// Keeps what somebody else knows: the record alone. Values are for whoever asked for them.
pub fn keep_entry(store: &Store, entry: &Entry, preimage: Value) -> Result<(), StoreError> {
    let key = LayerKey::from(entry.key);
    match &entry.known {
        Known::Layer { name, layer, archive, output, chain } => {
            let (name, layer, archive) = (name.clone(), layer.clone(), archive.clone());
            let record = LayerRecord { name, layer, archive, preimage, output: Some(*output), chain: *chain };
            super::keep(store, &key, &record)
        }
        Known::Base { layer } => {
            let (name, layer) = (BASE.to_owned(), layer.clone());
            let record = LayerRecord { name, layer, archive: None, preimage, output: None, chain: None };
            super::keep(store, &key, &record)
        }
        Known::Portable { layer, tops } => match serde_json::from_value::<PortablePreimage>(preimage) {
            Ok(preimage) => {
                let record = PortableRecord { layer: layer.clone(), tops: tops.clone(), preimage };
                super::keep_portable(store, &key, &record)
            }
            Err(_) => Ok(()),
        },
        Known::Value { .. } => Ok(()),
    }
}

impl Wanted {
    /// A layer, by how it comes about.
    pub fn layer(planned: &PlannedLayer) -> Self {
        let preimage = serde_json::to_value(&planned.preimage).unwrap_or_default();
        Self { kind: "layer", key: planned.key.digest(), preimage, any_parent: false }
    }

    /// A layer, by the bytes below it.
    pub fn output(planned: &PlannedLayer, output: LayerKey) -> Self {
        Self { key: output.digest(), any_parent: true, ..Self::layer(planned) }
    }

    /// An archive's layer.
    pub fn portable(preimage: &PortablePreimage) -> Self {
        let key = preimage.key().digest();
        Self { kind: "portable", key, preimage: serde_json::to_value(preimage).unwrap_or_default(), any_parent: false }
    }

    /// The layer of a base that is made from packages.
    pub fn base(identity: Digest, inputs: &Inputs) -> Self {
        let key = LayerKey::of_base(identity, inputs).digest();
        Self { kind: "base", key, preimage: base_preimage(identity, inputs), any_parent: false }
    }
}
