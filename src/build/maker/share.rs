//! What a build tells others, and what they told it.

use layers::digest::{ChainId, Digest};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Maker, Result};
use crate::build::Hit;
use crate::build::stack::Standing;
use crate::build::team::Brought;
use crate::build::uploads::Uploads;
use crate::cache::{self, Entry, Known, LayerRecord, Place};
use crate::plan::LayerKey;
use crate::registry::Reference;

impl Maker<'_> {
    /// Sends layers from now on to the repositories of `references`, and with what is known of them to the team's caches,
    /// as soon as they are there. `brought` is what came from those.
    pub fn upload(&mut self, references: &[Reference], brought: Brought) {
        self.uploads = Some(Uploads::new(self.build.resolver, references));
        self.brought = brought;
    }

    /// How a layer that was found came to be there.
    pub fn hit(&self, key: &LayerKey) -> Hit {
        self.brought.get(&key.digest()).map_or(Hit::Local, |place| Hit::Team(place.clone()))
    }

    fn chain(&self) -> Option<ChainId> {
        self.stack.diff_ids().into_iter().fold(None, |chain, diff_id| Some(ChainId::extend(chain, diff_id)))
    }

    /// The chain ID of the whole stack, if every layer was found to be what its image or its record says: here, or by
    /// whoever made the record that says `said`. A layer that nobody has looked into has a claimed diff ID, and a chain
    /// of those is passed on to nobody. An archive's layer may never have been wanted: of it, its own record is enough.
    pub(super) fn proven_chain(&mut self, said: Option<ChainId>) -> Result<Option<ChainId>> {
        let chain = self.chain();
        let base = self.stack.base().image.layers.iter().map(|layer| (layer.descriptor.digest, layer.diff_id, false));
        let made = self.stack.above().iter().map(|Standing { blob, archive }| {
            let has_record = archive.is_some();
            (blob.descriptor.digest, blob.diff_id, has_record)
        });
        let stack: Vec<_> = base.chain(made).collect();
        if said.is_some() && said == chain {
            self.proven = stack.len();
        }
        while let Some((blob, diff_id, has_record)) = stack.get(self.proven) {
            match self.build.resolver.store.known_diff_id(blob)? {
                Some(known) if known == *diff_id => {}
                None if *has_record => {}
                _ => return Ok(None),
            }
            self.proven += 1;
        }
        Ok(chain)
    }

    /// Tells the team.
    pub(super) fn share(&mut self, key: &LayerKey, record: &LayerRecord) {
        if let (Some(uploads), Some(entry)) = (&mut self.uploads, record.entry(key)) {
            uploads.share(&entry, self.brought.get(&key.digest()));
        }
    }

    /// Something that depends on `key` alone: known here, by the team, or found out by `find`; and told to both.
    pub(in crate::build) fn value<T: Serialize + DeserializeOwned>(
        &mut self,
        kind: &str,
        what: &'static str,
        key: Digest,
        find: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        if let Some(known) = self.known_value(kind, what, key)? {
            return Ok(known);
        }
        let value = find(self)?;
        cache::put(self.build.resolver.store, kind, &key.hex(), &value)?;
        self.share_value(what, key, &value, None);
        Ok(value)
    }

    /// The same, as far as it is known here or by the team; and told to both.
    pub(in crate::build) fn known_value<T: Serialize + DeserializeOwned>(
        &mut self,
        kind: &str,
        what: &'static str,
        key: Digest,
    ) -> Result<Option<T>> {
        let store = self.build.resolver.store;
        let (value, place) = match cache::get::<T>(store, kind, &key.hex())? {
            Some(value) => (value, None),
            None => {
                let Some((value, place)) = self.build.resolver.shared_value::<T>(what, key) else { return Ok(None) };
                cache::put(store, kind, &key.hex(), &value)?;
                (value, Some(place))
            }
        };
        self.share_value(what, key, &value, place.as_ref());
        Ok(Some(value))
    }

    pub(in crate::build) fn share_value(
        &mut self,
        what: &str,
        key: Digest,
        value: &impl Serialize,
        found: Option<&Place>,
    ) {
        if let (Some(uploads), Ok(value)) = (&mut self.uploads, serde_json::to_value(value)) {
            let known = Known::Value { what: what.to_owned(), value };
            uploads.share(&Entry { key, preimage: serde_json::Value::Null, known }, found);
        }
    }
}
