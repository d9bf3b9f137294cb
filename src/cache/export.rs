//! Between records of the store and entries for others.

use layers::digest::Digest;
use layers::store::{Store, StoreError};
use serde_json::{Value, json};

use super::{Entry, Known, LayerRecord, PORTABLE, PortableRecord, Wanted};
use crate::fetch::WITNESSED;
use crate::plan::{Inputs, LayerKey, PlannedLayer, PortablePreimage, Preimage};

/// Records of what was found out, and what they are called among a team.
pub const VALUES: [(&str, &str); 4] =
    [(PROFILES, PROFILE), (INVENTORIES, INVENTORY), (SUITES, SUITE), (WITNESSED, "witness")];
/// What a login shell sets, by all that it depends on.
pub const PROFILES: &str = "profiles";
/// The same among a team.
pub const PROFILE: &str = "profile";
/// What is in images, by their layers.
pub const INVENTORIES: &str = "inventories";
/// The same among a team.
pub const INVENTORY: &str = "inventory";
/// What bases are made of, by the archive's indexes.
pub const SUITES: &str = "suites";
/// The same among a team.
pub const SUITE: &str = "suite";
/// In a record, beside what explains it.
const PREIMAGE: &str = "preimage";

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
        let preimage: Preimage = serde_json::from_value(self.preimage[PREIMAGE].clone()).ok()?;
        if preimage.key() != *key {
            return None;
        }
        let (name, archive, chain) = (self.name.clone(), self.archive.clone(), self.chain);
        let known = Known::Layer { name, layer, archive, way: self.way, output: self.output?, chain };
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
    let mut values = Vec::new();
    for (kind, what) in VALUES {
        for (key, bytes) in store.records(kind)? {
            let (Ok(key), Ok(value)) = (Digest::from_hex(&key), serde_json::from_slice(&bytes)) else { continue };
            values.push(Entry { key, preimage: Value::Null, known: Known::Value { what: what.to_owned(), value } });
        }
    }
    let parsed = |key: &str| Digest::from_hex(key).ok().map(LayerKey::from);
    let layers = super::all(store)?.into_iter().filter_map(|(key, record)| record.entry(&parsed(&key)?));
    let portable = store.records(PORTABLE)?.into_iter();
    let portable =
        portable.filter_map(|(_, bytes)| Some(serde_json::from_slice::<PortableRecord>(&bytes).ok()?.entry()));
    Ok(layers.chain(portable).chain(values).collect())
}

/// Keeps what somebody else knows: the record alone.
pub fn keep_entry(store: &Store, entry: &Entry, preimage: Value) -> Result<(), StoreError> {
    let key = LayerKey::from(entry.key);
    match &entry.known {
        Known::Layer { name, layer, archive, way, output, chain } => {
            let (name, layer, archive) = (name.clone(), layer.clone(), archive.clone());
            let (way, output) = (*way, Some(*output));
            let record = LayerRecord { name, layer, archive, way, preimage, output, chain: *chain };
            super::keep(store, &key, &record)
        }
        Known::Base { layer } => {
            let (name, layer) = (BASE.to_owned(), layer.clone());
            let record = LayerRecord { name, layer, archive: None, way: None, preimage, output: None, chain: None };
            super::keep(store, &key, &record)
        }
        Known::Portable { layer, tops } => match serde_json::from_value::<PortablePreimage>(preimage) {
            Ok(preimage) => {
                let record = PortableRecord { layer: layer.clone(), tops: tops.clone(), preimage };
                super::keep_portable(store, &key, &record)
            }
            Err(_) => Ok(()),
        },
        Known::Value { what, value } => match VALUES.iter().find(|(_, known)| known == what) {
            Some((kind, _)) => super::put(store, kind, &entry.key.hex(), value),
            None => Ok(()),
        },
    }
}

impl Entry {
    /// What it is found under if what it says it is made of is true; `None` if that says nothing.
    fn computed(&self) -> Option<Digest> {
        match &self.known {
            Known::Layer { .. } => Some(serde_json::from_value::<Preimage>(self.preimage.clone()).ok()?.key().digest()),
            Known::Portable { .. } => {
                Some(serde_json::from_value::<PortablePreimage>(self.preimage.clone()).ok()?.key().digest())
            }
            Known::Base { .. } => {
                let field = |name: &str| self.preimage.get(name);
                let identity: Digest = serde_json::from_value(field("base")?.clone()).ok()?;
                let key = LayerKey::base(identity, field("compression")?.as_str()?, field("epoch")?.as_u64()?);
                Some(key.digest())
            }
            Known::Value { .. } => Some(self.key),
        }
    }

    /// Keeps an entry that nobody asked for: what it says it is made of must be what its key is made of.
    pub fn import(&self, store: &Store) -> Result<bool, StoreError> {
        if self.computed() != Some(self.key) {
            return Ok(false);
        }
        let preimage = match &self.known {
            Known::Layer { .. } => json!({PREIMAGE: self.preimage}),
            _ => self.preimage.clone(),
        };
        keep_entry(store, self, preimage).map(|()| true)
    }
}

impl Wanted {
    /// A layer, by how it comes about.
    pub fn layer(planned: &PlannedLayer) -> Self {
        let preimage = serde_json::to_value(&planned.preimage).unwrap_or_default();
        Self {
            kind: "layer",
            key: planned.key.digest(),
            preimage,
            any_parent: false,
            portable: Some(planned.portable.is_some()),
        }
    }

    /// A layer, by the bytes below it.
    pub fn output(planned: &PlannedLayer, output: LayerKey) -> Self {
        Self { key: output.digest(), any_parent: true, ..Self::layer(planned) }
    }

    /// An archive's layer.
    pub fn portable(preimage: &PortablePreimage) -> Self {
        let key = preimage.key().digest();
        Self {
            kind: "portable",
            key,
            preimage: serde_json::to_value(preimage).unwrap_or_default(),
            any_parent: false,
            portable: None,
        }
    }

    /// The layer of a base that is made from packages.
    pub fn base(identity: Digest, inputs: &Inputs) -> Self {
        let key = LayerKey::of_base(identity, inputs).digest();
        Self { kind: "base", key, preimage: base_preimage(identity, inputs), any_parent: false, portable: None }
    }
}
