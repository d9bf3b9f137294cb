//! Manifests and indexes of blueprints. Fields are written in the order of the specification: equal blueprints are
//! equal bytes.

use std::collections::BTreeMap;

use layers::digest::Digest;
use layers::media_type::{self, Descriptor};
use serde::{Deserialize, Serialize};

use super::{BLUEPRINT, Form};
use crate::json;
use crate::plan::Platform;

pub(super) type Annotations = BTreeMap<String, String>;

/// The manifest for one host.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    schema_version: u32,
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) artifact_type: Option<String>,
    pub(super) config: Descriptor,
    pub(super) layers: Vec<Descriptor>,
    #[serde(default)]
    pub(super) annotations: Annotations,
}

impl Manifest {
    pub(super) fn new(artifact_type: Option<&str>, config: Descriptor, layers: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(media_type::OCI_MANIFEST.to_owned()),
            artifact_type: artifact_type.map(str::to_owned),
            config,
            layers,
            annotations: Annotations::new(),
        }
    }

    /// What it says it is a manifest of: of tools before image-spec 1.1, the config's type says it.
    pub(super) fn kind(&self) -> &str {
        self.artifact_type.as_deref().unwrap_or(&self.config.media_type)
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        json::bytes(self)
    }
}

/// The manifests for all hosts.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Index {
    schema_version: u32,
    media_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_type: Option<&'static str>,
    manifests: Vec<Entry>,
    annotations: Annotations,
}

/// One manifest. Without a platform, it is for every host.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(flatten)]
    descriptor: Descriptor,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<Platform>,
}

impl Index {
    pub(super) fn new(form: Form, manifests: &[(Option<Platform>, Vec<u8>)], annotations: Annotations) -> Self {
        let artifact_type = (form == Form::Alloy).then_some(BLUEPRINT);
        let entries = manifests.iter().map(|(platform, bytes)| {
            let media_type = media_type::OCI_MANIFEST.to_owned();
            let descriptor = Descriptor { media_type, digest: Digest::of(bytes), size: bytes.len() as u64 };
            Entry { descriptor, artifact_type, platform: platform.clone() }
        });
        Self {
            schema_version: 2,
            media_type: media_type::OCI_INDEX,
            artifact_type,
            manifests: entries.collect(),
            annotations,
        }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        json::bytes(self)
    }
}
