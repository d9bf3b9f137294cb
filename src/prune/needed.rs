//! What images need.

use std::collections::{BTreeMap, BTreeSet};

use layers::digest::{ChainId, Digest};
use layers::store::{Store, StoreError, layer_tree, stack_tree};

use crate::image::{Documents, Image, JSON_LIMIT, Local, Manifest, Strange};

/// What images need.
#[derive(Default)]
pub struct Needed {
    /// Manifests, configs, layers and documents.
    pub blobs: BTreeSet<Digest>,
    /// Names of unpacked layers.
    pub trees: BTreeSet<String>,
    /// Layers, and how many manifests name each.
    pub layers: BTreeMap<Digest, usize>,
    /// Images of which it is not known what they need.
    pub unknown: Vec<Unknown>,
}

/// An image of which it is not known what it needs.
pub struct Unknown {
    /// The name.
    pub name: String,
    /// Why it is not known.
    pub why: String,
    /// What takes its name away.
    pub give_up: String,
}

impl Unknown {
    /// An image whose name has a record that cannot be read.
    pub(super) fn strange(strange: &Strange) -> Self {
        Self { name: strange.name(), why: strange.why.clone(), give_up: strange.give_up() }
    }
}

impl Needed {
    /// What the images `kept` need. What cannot be read just now is an error.
    pub fn by(store: &Store, kept: &[Local]) -> Result<Self, StoreError> {
        let mut needed = Self::default();
        let mut seen = BTreeSet::new();
        needed.blobs.extend(kept.iter().map(|local| local.descriptor().digest));
        for local in kept.iter().flat_map(Local::images) {
            needed.blobs.insert(local.manifest.digest);
            needed.blobs.extend(local.documents.iter().flat_map(Documents::blobs).map(|document| document.digest));
            let manifest = match read(store, &local.manifest.digest)? {
                Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| error.to_string()),
                Err(why) => Err(why),
            };
            let manifest: Manifest = match manifest {
                Ok(manifest) => manifest,
                Err(why) => {
                    let (name, give_up) = (local.name.clone(), format!("alloy prune {}", local.name));
                    needed.unknown.push(Unknown { name, why, give_up });
                    continue;
                }
            };
            needed.blobs.insert(manifest.config.digest);
            let layers: BTreeSet<Digest> = manifest.layers.iter().map(|layer| layer.descriptor.digest).collect();
            if seen.insert(local.manifest.digest) {
                layers.iter().for_each(|layer| *needed.layers.entry(*layer).or_default() += 1);
            }
            needed.blobs.extend(layers);
            // Trees can be unpacked anew.
            let config = read(store, &manifest.config.digest)?.unwrap_or_default();
            let Ok(image) = Image::new(&local.name, local.manifest.digest, &manifest, &config) else { continue };
            let mut chain: Option<ChainId> = None;
            for layer in &image.layers {
                let extended = ChainId::extend(chain, layer.diff_id);
                needed.trees.extend([layer_tree(layer.diff_id), stack_tree(extended)]);
                chain = Some(extended);
            }
        }
        Ok(needed)
    }
}

/// A blob of JSON, or why the store has it no more. What cannot be read just now is an error: nothing follows from it.
fn read(store: &Store, digest: &Digest) -> Result<Result<Vec<u8>, String>, StoreError> {
    match store.read_blob(digest, JSON_LIMIT) {
        Ok(bytes) => Ok(Ok(bytes)),
        Err(error @ (StoreError::Missing(_) | StoreError::Wrong(_) | StoreError::Mismatch { .. })) => {
            Ok(Err(error.to_string()))
        }
        Err(error) => Err(error),
    }
}
