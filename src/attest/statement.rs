//! An in-toto Statement v1 with a SLSA Provenance v1 predicate, as alloy writes it and reads it back.

use std::collections::BTreeMap;

use crate::json;
use layers::digest::Digest;
use serde::{Deserialize, Serialize};

/// `_type`.
pub(super) const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// `predicateType`.
pub const PREDICATE_TYPE: &str = "https://slsa.dev/provenance/v1";

/// Digests by algorithm.
pub type DigestSet = BTreeMap<String, String>;

/// A statement about one image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Statement {
    #[serde(rename = "_type")]
    pub(super) kind: String,
    pub(super) subject: Vec<Subject>,
    pub(super) predicate_type: String,
    pub(super) predicate: Predicate,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Subject {
    pub(super) name: String,
    pub(super) digest: DigestSet,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Predicate {
    pub(super) build_definition: Definition,
    pub(super) run_details: RunDetails,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Definition {
    pub(super) build_type: String,
    pub(super) external_parameters: External,
    pub(super) internal_parameters: Internal,
    pub(super) resolved_dependencies: Vec<Dependency>,
}

/// What whoever started the build decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct External {
    pub(super) blueprint: Blueprint,
    pub(super) platform: String,
    pub(super) base: String,
    pub(super) options: Vec<String>,
    /// Names alone.
    pub(super) secrets: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Blueprint {
    pub(super) name: String,
    pub(super) version: String,
}

/// What alloy made of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Internal {
    pub(super) source_date_epoch: u64,
    pub(super) compression: String,
    pub(super) layers: Vec<Layer>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Layer {
    pub(super) name: String,
    pub(super) key: String,
    /// `None` when its tasks changed nothing.
    pub(super) digest: Option<Digest>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RunDetails {
    pub(super) builder: Builder,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Builder {
    pub(super) id: String,
    pub(super) version: BTreeMap<String, String>,
}

/// A `ResourceDescriptor`: something that the image is made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// What it is called.
    pub name: String,
    /// Where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// What it is.
    #[serde(default, skip_serializing_if = "DigestSet::is_empty")]
    pub digest: DigestSet,
    /// `kind`, and what else there is to say.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Dependency {
    /// One of a kind.
    pub(super) fn new(kind: &str, name: impl Into<String>, uri: Option<String>, digest: Option<&Digest>) -> Self {
        let annotations = BTreeMap::from([("kind".to_owned(), kind.to_owned())]);
        let digest = digest.map(|digest| ("sha256".to_owned(), digest.hex()));
        Self { name: name.into(), uri, digest: digest.into_iter().collect(), annotations }
    }

    /// The same with one more annotation.
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.annotations.insert(name.to_owned(), value.to_owned());
        self
    }

    /// True for one of that kind.
    pub fn is(&self, kind: &str) -> bool {
        self.annotations.get("kind").is_some_and(|other| other == kind)
    }
}

impl Statement {
    /// The image's manifest; empty where there is none.
    pub(super) fn manifest(&self) -> &str {
        let digest = self.subject.first().and_then(|subject| subject.digest.get("sha256"));
        digest.map(String::as_str).unwrap_or_default()
    }

    /// As it is stored, sent and signed.
    pub fn bytes(&self) -> Vec<u8> {
        json::bytes(self)
    }
}
