//! Between records of the store and entries for others.

use layers::digest::Digest;
use layers::store::{Store, StoreError};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{BasePreimage, Entry, Known, LayerRecord, MadeOf, PORTABLE, PortableRecord, Wanted};
use crate::fetch::WITNESSED;
use crate::json;
use crate::plan::{Inputs, LayerKey, PlannedLayer, PortablePreimage, Preimage, Trace};

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

/// Name of a base's record.
pub const BASE: &str = "base";

impl LayerRecord {
    /// What others may know of it; `None` for a record that is a second name of another.
    pub fn entry(&self, key: &LayerKey) -> Option<Entry> {
        let preimage = self.preimage.shared(key)?;
        let layer = self.layer.clone();
        if let MadeOf::Packages(_) = self.preimage {
            return Some(Entry { key: key.digest(), preimage, known: Known::Base { layer } });
        }
        let (name, archive, chain) = (self.name.clone(), self.archive.clone(), self.chain);
        let known = Known::Layer { name, layer, archive, way: self.way, output: self.output?, chain };
        Some(Entry { key: key.digest(), preimage, known })
    }
}

impl PortableRecord {
    /// What others may know of it.
    pub fn entry(&self) -> Entry {
        let (layer, tops) = (self.layer.clone(), self.tops.clone());
        let preimage = json::value(&self.preimage);
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

/// Keeps what somebody else knows: the record alone. What the entry says it was made of has to be true; `trace` is what
/// the layer's tasks are here, if it was asked for.
pub fn keep_entry(store: &Store, entry: &Entry, trace: Option<Trace>) -> Result<(), StoreError> {
    let key = LayerKey::from(entry.key);
    match &entry.known {
        Known::Layer { name, layer, archive, way, output, chain } => {
            let Some(preimage) = trace.map(MadeOf::tasks).or_else(|| entry.fingerprints()) else { return Ok(()) };
            let (name, layer, archive) = (name.clone(), layer.clone(), archive.clone());
            let (way, output) = (*way, Some(*output));
            let record = LayerRecord { name, layer, archive, way, preimage, output, chain: *chain };
            super::keep(store, &key, &record)
        }
        Known::Base { layer } => {
            let Some(preimage) = entry.made_of().map(MadeOf::Packages) else { return Ok(()) };
            let (name, layer) = (BASE.to_owned(), layer.clone());
            let record = LayerRecord { name, layer, archive: None, way: None, preimage, output: None, chain: None };
            super::keep(store, &key, &record)
        }
        Known::Portable { layer, tops } => {
            let Some(preimage) = entry.made_of() else { return Ok(()) };
            let record = PortableRecord { layer: layer.clone(), tops: tops.clone(), preimage };
            super::keep_portable(store, &key, &record)
        }
        Known::Value { what, value } => match VALUES.iter().find(|(_, known)| known == what) {
            Some((kind, _)) => super::put(store, kind, &entry.key.hex(), value),
            None => Ok(()),
        },
    }
}

impl Entry {
    /// What it says it was made of, if that can be read as such.
    fn made_of<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_value(self.preimage.clone()).ok()
    }

    fn fingerprints(&self) -> Option<MadeOf> {
        self.made_of().map(|preimage| MadeOf::Fingerprints { preimage })
    }

    /// What it is found under if what it says it is made of is true; `None` if that says nothing.
    fn computed(&self) -> Option<Digest> {
        match &self.known {
            Known::Layer { .. } => self.made_of::<Preimage>().map(|preimage| preimage.key().digest()),
            Known::Portable { .. } => self.made_of::<PortablePreimage>().map(|preimage| preimage.key().digest()),
            Known::Base { .. } => self.made_of::<BasePreimage>().map(|preimage| preimage.key().digest()),
            Known::Value { .. } => Some(self.key),
        }
    }

    /// Keeps an entry that nobody asked for: what it says it is made of must be what its key is made of.
    pub fn import(&self, store: &Store) -> Result<bool, StoreError> {
        if self.computed() != Some(self.key) {
            return Ok(false);
        }
        keep_entry(store, self, None).map(|()| true)
    }
}

impl Wanted {
    /// A layer, by how it comes about.
    pub fn layer(planned: &PlannedLayer) -> Self {
        let preimage = json::value(&planned.preimage);
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
        Self { kind: "portable", key, preimage: json::value(preimage), any_parent: false, portable: None }
    }

    /// The layer of a base that is made from packages.
    pub fn base(identity: Digest, inputs: &Inputs) -> Self {
        let key = LayerKey::of_base(identity, inputs).digest();
        Self {
            kind: "base",
            key,
            preimage: json::value(&BasePreimage::new(identity, inputs)),
            any_parent: false,
            portable: None,
        }
    }
}
