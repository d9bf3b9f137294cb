//! A cache record on its way between machines: one small OCI artifact, under a tag that is made from its key.
//!
//! All of the record is in an annotation of the manifest, so that reading it is one request; the layer is the
//! artifact's layer, so that registries keep it. Whoever reads an entry believes only what fits what they asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;

use layers::digest::{ChainId, Digest};
use layers::media_type::{self, Descriptor, empty};
use layers::path::shown;
use layers::store::LayerBlob;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Way, came_so};
use crate::plan::{Contents, LayerKey};

/// `artifactType` of entries (OCI image-spec 1.1, "Guidelines for Artifact Usage").
pub const ARTIFACT_TYPE: &str = "application/vnd.alloy.cache.v1";
/// What every name of an entry begins with.
pub const TAG_PREFIX: &str = "alloy-cache-v1-";
const RECORD: &str = "vnd.alloy.cache.record";
const SIGNATURE: &str = "vnd.alloy.cache.signature";
const CREATED: &str = "org.opencontainers.image.created";

/// A record and what it answers to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The key that the entry is found under.
    pub key: Digest,
    /// The parts that the key was made of.
    pub preimage: Value,
    /// What is known under the key.
    pub known: Known,
}

/// What an entry tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Known {
    /// A layer of a blueprint.
    Layer {
        /// The name of the layer: the task file.
        name: String,
        /// The layer. There is none if its tasks changed nothing.
        layer: Option<LayerBlob>,
        /// What is in the layer, if it is that of an archive.
        archive: Option<Contents>,
        /// How the layer of an archive was made.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        way: Option<Way>,
        /// The other key that it is found under, which has the bytes of the layers below in place of how they came about.
        output: LayerKey,
        /// The chain ID of the stack with this layer on top.
        chain: Option<ChainId>,
    },
    /// A layer made of an archive alone.
    Portable {
        /// The layer.
        layer: LayerBlob,
        /// The names that the archive has directly below its destination.
        tops: BTreeSet<OsString>,
    },
    /// The layer of a base that is made from packages.
    Base {
        /// The layer.
        layer: Option<LayerBlob>,
    },
    /// Something that was found out about a stack of layers, or about an archive.
    Value {
        /// What kind of thing it is.
        what: String,
        /// What was found out.
        value: Value,
    },
}

/// What somebody looks for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The kind, as tags name it.
    pub kind: &'static str,
    /// The key.
    pub key: Digest,
    /// What the key is made of.
    pub preimage: Value,
    /// How the layers below came about makes no difference.
    pub any_parent: bool,
    /// It is an archive's layer. `None` for what is no layer of a blueprint.
    pub portable: Option<bool>,
}

/// Why an entry is not used.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// Not one.
    #[error("it is no cache entry: {}", shown(.0.as_bytes()))]
    Form(String),
    /// Of something else.
    #[error("it belongs to another key")]
    Key,
    /// The key is right, what it says it is made of is not.
    #[error("it was made of something else than what is asked for")]
    Preimage,
    /// The archive was unpacked where it would not be now, or the other way round.
    #[error("its layer came another way than it comes now")]
    Way,
    /// Record and manifest tell two stories.
    #[error("its record does not fit its layer")]
    Layer,
    /// Signatures are asked for.
    #[error("it is not signed")]
    Unsigned,
    /// And this one is not good.
    #[error("its signature is not by the key that is trusted, or of an older alloy, which did not sign its time")]
    Signature,
    /// An old one in place of a new one.
    #[error("it was made at {created}, and one that was made at {newest} was seen there before")]
    Replayed {
        /// When it was made.
        created: String,
        /// When the newest was.
        newest: String,
    },
    /// It is listed, and not there.
    #[error("it is gone, though the list has it")]
    Gone,
    /// What it points at.
    #[error("its layer {0} is not there")]
    Missing(Digest),
}

/// An entry as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The entry.
    pub entry: Entry,
    /// When it was written (RFC 3339), by the clock of whoever wrote it.
    pub created: String,
    /// The record as it was signed.
    pub record: String,
    /// The signature, in base64.
    pub signature: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Artifact {
    schema_version: u32,
    media_type: String,
    #[serde(default)]
    artifact_type: String,
    config: Value,
    layers: Vec<Descriptor>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

impl Known {
    /// The layer it leads to.
    pub fn layer(&self) -> Option<&LayerBlob> {
        match self {
            Self::Layer { layer, .. } | Self::Base { layer } => layer.as_ref(),
            Self::Portable { layer, .. } => Some(layer),
            Self::Value { .. } => None,
        }
    }

    /// The kind, as tags name it.
    pub fn kind(&self) -> &str {
        match self {
            Self::Layer { .. } => "layer",
            Self::Portable { .. } => "portable",
            Self::Base { .. } => "base",
            Self::Value { what, .. } => what,
        }
    }
}

impl Entry {
    /// The names it is found under.
    pub fn names(&self) -> Vec<String> {
        let kind = self.known.kind();
        let mut tags = vec![tag(kind, &self.key)];
        if let Known::Layer { output, .. } = &self.known {
            tags.push(tag(kind, &output.digest()));
        }
        tags
    }

    /// What is signed together with its time: everything an entry says.
    pub fn record(&self) -> String {
        crate::json::text(self)
    }

    /// The manifest; `signature` is of `created` and [`Entry::record`], in base64.
    pub fn manifest(&self, created: &str, signature: Option<&str>) -> Vec<u8> {
        let mut annotations =
            BTreeMap::from([(RECORD.to_owned(), self.record()), (CREATED.to_owned(), created.to_owned())]);
        annotations.extend(signature.map(|signature| (SIGNATURE.to_owned(), signature.to_owned())));
        let empty = empty();
        let artifact = Artifact {
            schema_version: 2,
            media_type: media_type::OCI_MANIFEST.to_owned(),
            artifact_type: ARTIFACT_TYPE.to_owned(),
            config: json!({"mediaType": empty.media_type, "digest": empty.digest, "size": empty.size, "data": "e30="}),
            layers: vec![self.known.layer().map_or(empty, |layer| layer.descriptor.clone())],
            annotations,
        };
        crate::json::bytes(&artifact)
    }
}

impl Written {
    /// Reads a manifest.
    pub fn read(manifest: &[u8]) -> Result<Self, EntryError> {
        let artifact: Artifact =
            serde_json::from_slice(manifest).map_err(|error| EntryError::Form(error.to_string()))?;
        if artifact.artifact_type != ARTIFACT_TYPE {
            return Err(EntryError::Form(format!("its type is `{}`", artifact.artifact_type)));
        }
        let annotation = |name: &str| artifact.annotations.get(name).cloned();
        let record = annotation(RECORD).ok_or_else(|| EntryError::Form("it has no record".into()))?;
        let entry: Entry = serde_json::from_str(&record).map_err(|error| EntryError::Form(error.to_string()))?;
        let layer = entry.known.layer().map_or_else(empty, |layer| layer.descriptor.clone());
        let (created, signature) = (annotation(CREATED).unwrap_or_default(), annotation(SIGNATURE));
        // The one that registries keep is the one that is used.
        if artifact.layers != [layer] || entry.known.layer().is_some_and(|layer| !is_layer(&layer.descriptor)) {
            return Err(EntryError::Layer);
        }
        Ok(Self { entry, created, record, signature })
    }
}

fn is_layer(descriptor: &Descriptor) -> bool {
    media_type::oci_layer(&descriptor.media_type) == Some(descriptor.media_type.as_str())
}

impl Wanted {
    /// The name it would be found under.
    pub fn name(&self) -> String {
        tag(self.kind, &self.key)
    }

    /// Fails unless `entry` is what is wanted.
    pub fn check(&self, entry: &Entry) -> Result<(), EntryError> {
        let output = match &entry.known {
            Known::Layer { output, .. } if self.any_parent => output.digest(),
            _ => entry.key,
        };
        if entry.known.kind() != self.kind || output != self.key {
            return Err(EntryError::Key);
        }
        if let (Known::Layer { layer: Some(_), archive, way, .. }, Some(portable)) = (&entry.known, self.portable)
            && !came_so(*way, archive.as_ref(), portable)
        {
            return Err(EntryError::Way);
        }
        let comparable = |preimage: &Value| {
            let mut preimage = preimage.clone();
            if self.any_parent
                && let Some(fields) = preimage.as_object_mut()
            {
                fields.remove("parent");
            }
            preimage
        };
        if comparable(&entry.preimage) == comparable(&self.preimage) { Ok(()) } else { Err(EntryError::Preimage) }
    }
}

fn tag(kind: &str, key: &Digest) -> String {
    format!("{TAG_PREFIX}{kind}-{}", key.hex())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_entry_says_begins_no_line_of_a_warning() {
        let evil = "x\nerror: y\u{1b}[2J";
        let entry = |artifact_type: &str, record: Value| {
            let manifest = json!({"schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "artifactType": artifact_type,
                "config": {}, "layers": [], "annotations": {RECORD: record.to_string()}});
            Written::read(manifest.to_string().as_bytes()).unwrap_err().to_string()
        };
        let key = Digest::of("");
        let strange = json!({"key": key, "preimage": {}, "known": {evil: {}}});
        for told in [entry(evil, Value::Null), entry(ARTIFACT_TYPE, strange)] {
            assert!(told.contains("error: y") && !told.contains(char::is_control), "{told:?}");
        }
    }
}
