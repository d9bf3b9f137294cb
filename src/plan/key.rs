//! Keys: `H(version ‖ platform ‖ parent ‖ fingerprints)`, the first parent being the base.

use std::collections::BTreeMap;

use layers::compress::Compression;
use layers::digest::{DiffId, Digest};
use layers::key::KeyHasher;
use serde::{Deserialize, Serialize};

use super::{LoweredLayer, Platform, PortableStep};
use crate::op::{Fingerprint, Source, Step};

/// Raised when the meaning of a key changes, or what was made under one is no longer good enough: 2 came with archives
/// that keep neither set-id bits of strangers nor device nodes, and with packages that nobody else can plant; 3
/// with places to mount on that enter no layer; 4 with what tasks name in `/run`.
const VERSION: u32 = 5;

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
        let key = KeyHasher::new("base").with(identity.as_bytes()).with(compression).with(epoch.to_le_bytes());
        Self(key.finish())
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
        let mut key = KeyHasher::new("output").with((env.len() as u64).to_le_bytes());
        for (name, value) in env {
            key.part(name);
            key.part(value);
        }
        for DiffId(digest) in below {
            key.part(digest.as_bytes());
        }
        Self { parent: key.finish(), ..self.clone() }.key()
    }

    /// The key.
    pub fn key(&self) -> LayerKey {
        let mut key = KeyHasher::new("layer").with(self.version.to_le_bytes());
        key.part(self.platform.to_string());
        key.part(&self.compression);
        key.part(self.epoch.to_le_bytes());
        key.part(self.parent.as_bytes());
        for fingerprint in &self.steps {
            key.part(fingerprint.0.as_bytes());
        }
        LayerKey(key.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::portable::{Ancestor, Facts};

    /// Keys are promises: a change here makes every cached layer of every team unreachable. Whoever means that raises a
    /// `VERSION`.
    #[test]
    fn every_kind_of_key_is_what_it_has_always_been() {
        let (digest, compression) = (Digest::of("x"), "zstd:3".parse().unwrap());
        let source = Source::Local { path: "x".into() };
        let sources = BTreeMap::from([(source.clone(), digest)]);
        let inputs = Inputs { base: digest, sources, compression, epoch: 1 };
        let preimage = Preimage {
            version: VERSION,
            platform: "linux/arm64/v8".parse().unwrap(),
            compression: inputs.compression.to_string(),
            epoch: 1,
            parent: digest,
            steps: vec![Fingerprint(digest), Fingerprint(Digest::of("y"))],
        };
        let env = [("PATH".to_owned(), "/bin".to_owned())];
        let step = PortableStep {
            archive: source,
            dest: "/opt/x".into(),
            strip: 1,
            owner: None,
            mode: Some(crate::op::Mode::Octal(0o750)),
            creates: None,
        };
        let ancestor =
            Ancestor { path: "opt".into(), mode: 0o700, uid: 1, gid: 2, xattrs: vec![("user.a".into(), vec![3])] };
        let facts = Facts { dest: "opt/x".into(), ancestors: vec![ancestor], owner: Some((1000, Some(7))) };
        let found = [
            ("base", LayerKey::of_base(digest, &inputs)),
            ("layer", preimage.key()),
            ("output", preimage.output_key(&env, &[DiffId(digest)])),
            ("portable", step.preimage(&facts, &inputs).unwrap().key()),
        ];
        let found: String = found.iter().map(|(kind, key)| format!("{kind} {}\n", key.hex())).collect();
        assert_eq!(found, include_str!("golden.txt"), "{found}");
    }
}
