//! What refers to a manifest (distribution-spec 1.1, "Listing Referrers", "Pushing Manifests with Subject"): by the
//! registry's own list, or by a tag that clients keep where it has none.

use std::collections::BTreeMap;

use layers::digest::Digest;
use layers::media_type::{self, Descriptor, EMPTY, empty};
use reqwest::StatusCode;
use reqwest::header::ACCEPT;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::amend::Amended;
use super::listing::next_page;
use super::{Client, RegistryError};
use crate::fetch::retry;

/// Parts in which a registry may send its list.
const MOST_PAGES: usize = 32;
/// What they may have together, in bytes.
const MOST_BYTES: usize = 16 << 20;
/// By this a registry says that it has understood `subject`.
const UNDERSTOOD: &str = "oci-subject";

/// A document of the store, and the manifest that it is about.
#[derive(Clone, Debug)]
pub struct Artifact<'a> {
    /// What it is: its media type.
    pub kind: &'a str,
    /// The document.
    pub content: &'a Descriptor,
    /// The manifest it is about.
    pub subject: &'a Descriptor,
    /// Free texts.
    pub annotations: BTreeMap<String, String>,
}

/// Something that refers to a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Referrer {
    /// The manifest of what refers.
    #[serde(flatten)]
    pub descriptor: Descriptor,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Free texts, those of its manifest.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Listed {
    manifests: Vec<Referrer>,
}

/// Written in the order of the specification: equal artifacts are equal bytes.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'a> {
    schema_version: u32,
    media_type: &'a str,
    artifact_type: &'a str,
    config: Descriptor,
    layers: [&'a Descriptor; 1],
    subject: &'a Descriptor,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<String, String>,
}

impl Artifact<'_> {
    fn manifest(&self) -> Vec<u8> {
        let manifest = Manifest {
            schema_version: 2,
            media_type: media_type::OCI_MANIFEST,
            artifact_type: self.kind,
            config: empty(),
            layers: [self.content],
            subject: self.subject,
            annotations: &self.annotations,
        };
        serde_json::to_vec(&manifest).unwrap_or_default()
    }
}

/// Where clients keep the list for a registry that has none.
fn tag(subject: &Digest) -> String {
    format!("sha256-{}", subject.hex())
}

impl Client {
    /// Attaches what is not attached yet; all of it is about one manifest, which may be pushed later. True if anything
    /// was sent.
    pub async fn attach(&self, artifacts: &[Artifact<'_>]) -> Result<bool, RegistryError> {
        let Some(subject) = artifacts.first().map(|artifact| artifact.subject.digest) else { return Ok(false) };
        let listed = self.referrers(&subject).await?;
        let mut untold = Vec::new();
        let mut sent = false;
        for artifact in artifacts {
            let manifest = artifact.manifest();
            let (digest, size) = (Digest::of(&manifest), manifest.len() as u64);
            let origin = &self.inner.origin;
            let lost = origin.host.lacked(&origin.repository, &artifact.content.digest);
            if !lost && listed.iter().any(|referrer| referrer.descriptor.digest == digest) {
                continue;
            }
            self.push_small(&empty(), EMPTY).await?;
            self.push_blob(artifact.content).await?;
            let headers = self.put_manifest(&digest.to_string(), media_type::OCI_MANIFEST, &manifest).await?;
            sent = true;
            if !headers.contains_key(UNDERSTOOD) {
                untold.push(Referrer {
                    descriptor: Descriptor { media_type: media_type::OCI_MANIFEST.to_owned(), digest, size },
                    artifact_type: Some(artifact.kind.to_owned()),
                    annotations: artifact.annotations.clone(),
                });
            }
        }
        if !untold.is_empty() {
            let change = |found| with_entries(found, &untold).map_err(|text| self.unusable(&tag(&subject), text));
            self.amend(&tag(&subject), media_type::OCI_INDEX, change).await?;
        }
        Ok(sent)
    }

    /// All that refers to `subject`.
    pub async fn referrers(&self, subject: &Digest) -> Result<Vec<Referrer>, RegistryError> {
        if let Some(listed) = self.listed(subject).await? {
            return Ok(listed);
        }
        let Some(bytes) = self.any_manifest(&tag(subject)).await? else { return Ok(Vec::new()) };
        self.read_list(&bytes).map(|listed| listed.manifests)
    }

    /// The registry's own list; `None` where it keeps none.
    async fn listed(&self, subject: &Digest) -> Result<Option<Vec<Referrer>>, RegistryError> {
        let what = format!("list what is attached to {subject} of {}", self.reference());
        let mut url = format!("{}/referrers/{subject}", self.inner.base);
        let (mut all, mut sum) = (Vec::new(), 0_usize);
        for _ in 0..MOST_PAGES {
            let (bytes, next) = retry(|| async {
                let response =
                    self.send(&what, |client| client.get(&url).header(ACCEPT, media_type::OCI_INDEX)).await?;
                match response.status() {
                    StatusCode::OK => {}
                    // What registries say that have never heard of it.
                    StatusCode::NOT_FOUND
                    | StatusCode::BAD_REQUEST
                    | StatusCode::METHOD_NOT_ALLOWED
                    | StatusCode::NOT_ACCEPTABLE => return Ok((None, None)),
                    _ => return Err(self.failure(&what, response).await),
                }
                let next = next_page(&url, &response);
                Ok((Some(self.bounded(response).await?), next))
            })
            .await?;
            let Some(bytes) = bytes else { return Ok(None) };
            sum = sum.saturating_add(bytes.len());
            if sum > MOST_BYTES {
                return Err(RegistryError::Invalid {
                    reference: self.reference().to_string(),
                    message: format!("the list of what is attached to it is larger than {MOST_BYTES} bytes"),
                });
            }
            all.extend(self.read_list(&bytes)?.manifests);
            let Some(next) = next else { break };
            url = next.to_string();
        }
        Ok(Some(all))
    }

    fn read_list(&self, bytes: &[u8]) -> Result<Listed, RegistryError> {
        serde_json::from_slice(bytes).map_err(|error| RegistryError::Invalid {
            reference: self.reference().to_string(),
            message: format!("the list of what is attached to it is no index: {error}"),
        })
    }
}

/// The index with `entries` in it; `None` where they are. All else in it stays as it is.
fn with_entries(index: Option<Value>, entries: &[Referrer]) -> Result<Option<Amended>, &'static str> {
    let mut index =
        index.unwrap_or_else(|| json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": []}));
    let listed = index.get_mut("manifests").and_then(Value::as_array_mut);
    let listed = listed.ok_or("the tag is taken by something that lists nothing")?;
    let before = listed.len();
    for entry in entries {
        if !listed.iter().any(|other| other["digest"] == json!(entry.descriptor.digest)) {
            listed.push(serde_json::to_value(entry).unwrap_or_default());
        }
    }
    let added = listed.len() > before;
    Ok(added.then_some(Amended { manifest: index, blobs: Vec::new() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn referrer(text: &str) -> Referrer {
        let descriptor = Descriptor { media_type: media_type::OCI_MANIFEST.into(), digest: Digest::of(text), size: 1 };
        Referrer { descriptor, artifact_type: Some("application/x".into()), annotations: BTreeMap::new() }
    }

    #[test]
    fn entries_of_others_stay_as_they_are() {
        let theirs = json!({"mediaType": "x/y", "digest": "sha512:00", "size": 1, "data": "e30="});
        let index = json!({"schemaVersion": 2, "manifests": [theirs], "annotations": {"a": "b"}});
        let ours = [referrer("one"), referrer("two")];
        let amended = with_entries(Some(index), &ours).ok().flatten().unwrap().manifest;
        assert_eq!(amended["manifests"][0], theirs);
        assert_eq!(amended["annotations"]["a"], "b");
        assert_eq!(amended["manifests"][2]["digest"], json!(ours[1].descriptor.digest));
        assert!(with_entries(Some(amended), &ours).ok().unwrap().is_none());
        for other in [json!({"config": {}}), json!([]), json!("text"), json!(7), serde_json::Value::Null] {
            assert!(with_entries(Some(other), &ours).is_err());
        }
    }

    #[test]
    fn an_artifact_is_the_same_bytes() {
        let (content, subject) = (referrer("content").descriptor, referrer("subject").descriptor);
        let annotations = BTreeMap::from([("b".into(), "2".into()), ("a".into(), "1".into())]);
        let artifact = Artifact { kind: "application/spdx+json", content: &content, subject: &subject, annotations };
        let value: Value = serde_json::from_slice(&artifact.manifest()).unwrap();
        assert_eq!(value["config"]["digest"], json!(Digest::of("{}")));
        assert_eq!(value["subject"]["digest"], json!(subject.digest));
        assert!(artifact.manifest().ends_with(br#""annotations":{"a":"1","b":"2"}}"#));
    }
}
