//! Keys: `H(version ‖ platform ‖ parent ‖ fingerprints)`, the first parent being the base.

use std::collections::BTreeMap;

use layers::compress::Compression;
use layers::digest::{DiffId, Digest, Hasher};
use serde::{Deserialize, Serialize};

use super::{LoweredLayer, Platform, PortableStep};
use crate::op::{Fingerprint, Source, Step};

/// Raised when the meaning of a key changes, or what was made under one is no longer good enough: 2 came with archives
/// that keep neither set-id bits of strangers nor device nodes, and with packages that nobody else can plant; 3
/// with places to mount on that enter no layer; 4 with what tasks name in `/run`.
const VERSION: u32 = 4;

/// What a layer is found under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LayerKey(Digest);

impl LayerKey {
    /// The key of the layer that a base of this identity becomes.
    pub fn of_base(identity: Digest, inputs: &Inputs) -> Self {
        Self::base(identity, &inputs.compression.to_string(), inputs.epoch)
    }

    /// The same, of what its key is made of.
    pub fn base(identity: Digest, compression: &str, epoch: u64) -> Self {
        let mut hasher = Hasher::new();
        let part = format!("base\0{identity}\0{compression}\0{epoch}");
        hasher.update(part.as_bytes());
        Self(hasher.finish())
    }

    /// As what it was hashed to.
    pub fn digest(&self) -> Digest {
        self.0
    }

    /// As a name for records.
    pub fn hex(&self) -> String {
        self.0.hex()
    }
}

/// Of a key that somebody wrote down.
impl From<Digest> for LayerKey {
    fn from(digest: Digest) -> Self {
        Self(digest)
    }
}

/// What the world outside the blueprint is, as values.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// Digest of the base.
    pub base: Digest,
    /// What every source holds.
    pub sources: BTreeMap<Source, Digest>,
    /// How layers are compressed.
    pub compression: Compression,
    /// `SOURCE_DATE_EPOCH`, in seconds since 1970.
    pub epoch: u64,
}

/// A layer to be.
#[derive(Clone, Debug)]
pub struct PlannedLayer {
    /// What it is called.
    pub name: String,
    /// The task files it is made of.
    pub files: Vec<String>,
    /// What is done, in order.
    pub steps: Vec<Step>,
    /// Set for an archive that is made without looking at what is below.
    pub portable: Option<PortableStep>,
    /// What it is found under.
    pub key: LayerKey,
    /// What the key is made of, to explain a miss.
    pub preimage: Preimage,
}

/// What a key is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preimage {
    /// Meaning of keys.
    pub version: u32,
    /// What the image is for.
    pub platform: Platform,
    /// Compression of the layer.
    pub compression: String,
    /// Latest time in the layer.
    pub epoch: u64,
    /// Key of the layer below, or digest of the base.
    pub parent: Digest,
    /// The steps.
    pub steps: Vec<Fingerprint>,
}

/// All layers, lowest first.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The layers.
    pub layers: Vec<PlannedLayer>,
}

impl Plan {
    /// Keys for `layers`. `Err` names a source without a digest.
    pub fn new(layers: Vec<LoweredLayer>, platform: &Platform, inputs: &Inputs) -> Result<Self, Source> {
        let mut parent = inputs.base;
        let mut planned = Vec::new();
        for LoweredLayer { name, files, steps, portable } in layers {
            let mut fingerprints = Vec::new();
            for step in &steps {
                let unknown = || step.sources().find(|source| !inputs.sources.contains_key(source)).cloned();
                match Fingerprint::of(step, &inputs.sources) {
                    Some(fingerprint) => fingerprints.push(fingerprint),
                    None => return Err(unknown().unwrap_or(Source::Local { path: String::new() })),
                }
            }
            let preimage = Preimage {
                version: VERSION,
                platform: platform.clone(),
                compression: inputs.compression.to_string(),
                epoch: inputs.epoch,
                parent,
                steps: fingerprints,
            };
            let key = preimage.key();
            parent = key.0;
            planned.push(PlannedLayer { name, files, steps, portable, key, preimage });
        }
        Ok(Self { layers: planned })
    }
}

impl Preimage {
    /// What the layer is also found under: what commands see of all below, which is its bytes and `env`, the variables of
    /// the base, in place of how that came about. A layer below that is rebuilt and comes out the same leaves this as it is.
    pub fn output_key(&self, env: &[(String, String)], below: &[DiffId]) -> LayerKey {
        let mut hasher = Hasher::new();
        let mut part = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        part(b"output");
        part(&env.len().to_le_bytes());
        for (name, value) in env {
            part(name.as_bytes());
            part(value.as_bytes());
        }
        for DiffId(digest) in below {
            part(digest.as_bytes());
        }
        Self { parent: hasher.finish(), ..self.clone() }.key()
    }

    /// The key. Every part goes in with its length, so that parts cannot run together.
    pub fn key(&self) -> LayerKey {
        let mut hasher = Hasher::new();
        let mut part = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        part(&self.version.to_le_bytes());
        part(self.platform.to_string().as_bytes());
        part(self.compression.as_bytes());
        part(&self.epoch.to_le_bytes());
        part(self.parent.as_bytes());
        for fingerprint in &self.steps {
            part(fingerprint.0.as_bytes());
        }
        LayerKey(hasher.finish())
    }
}
