//! What the key of a layer was made of, as the layer's record keeps it: to explain the next miss, and to tell others.

use layers::digest::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::json;
use crate::plan::{Inputs, LayerKey, Preimage, Trace};

/// What a layer's key was made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum MadeOf {
    /// Tasks of a blueprint that was planned here, with what their author wrote.
    Tasks(Box<Trace>),
    /// Tasks of which the fingerprints alone are known: somebody else's record was imported.
    Fingerprints {
        /// The fingerprints, and all else that was hashed.
        preimage: Preimage,
    },
    /// Packages.
    Packages(BasePreimage),
    /// What another version of alloy has written.
    Other(Value),
}

/// What the key of the layer of a base is made of that alloy makes from packages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BasePreimage {
    base: Digest,
    compression: String,
    epoch: u64,
}

impl BasePreimage {
    /// That of the base that is `identity`, made with `inputs`.
    pub fn new(identity: Digest, inputs: &Inputs) -> Self {
        Self { base: identity, compression: inputs.compression.to_string(), epoch: inputs.epoch }
    }

    /// The key.
    pub fn key(&self) -> LayerKey {
        LayerKey::base(self.base, &self.compression, self.epoch)
    }
}

impl MadeOf {
    /// Of tasks.
    pub fn tasks(trace: Trace) -> Self {
        Self::Tasks(Box::new(trace))
    }

    /// True if it says what the tasks' author wrote.
    pub fn explains(&self) -> bool {
        matches!(self, Self::Tasks(_))
    }

    /// The tasks, where it says what their author wrote.
    pub fn trace(self) -> Option<Trace> {
        match self {
            Self::Tasks(trace) => Some(*trace),
            Self::Fingerprints { .. } | Self::Packages(_) | Self::Other(_) => None,
        }
    }

    /// What others may know of it: of what an author wrote, the fingerprints. Nothing if that does not give `key`.
    pub(super) fn shared(&self, key: &LayerKey) -> Option<Value> {
        let (found, value) = match self {
            Self::Tasks(trace) => (trace.preimage.key(), json::value(&trace.preimage)),
            Self::Fingerprints { preimage } => (preimage.key(), json::value(preimage)),
            Self::Packages(base) => (base.key(), json::value(base)),
            Self::Other(_) => return None,
        };
        (found == *key).then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn records_are_told_apart_by_what_they_have() {
        let digest = Digest::of("x");
        let base: MadeOf = serde_json::from_value(json!({"base": digest, "compression": "zstd", "epoch": 3})).unwrap();
        let MadeOf::Packages(packages) = &base else { panic!("{base:?}") };
        assert_eq!(base.shared(&packages.key()).unwrap()["base"], json!(digest));
        assert!(base.shared(&LayerKey::from(digest)).is_none());
        let strange: MadeOf = serde_json::from_value(json!({"preimage": {"of": "another version"}})).unwrap();
        assert!(matches!(strange, MadeOf::Other(_)) && !strange.explains() && strange.trace().is_none());
    }
}
