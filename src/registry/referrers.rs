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
use super::listing::{Trail, next_page};
use super::{Client, RegistryError};
use crate::json;

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
    /// What it is called, for people.
    pub name: &'a str,
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

/// The registry's own list of what refers to a manifest.
enum Own {
    /// It has one.
    Listed(Vec<Referrer>),
    /// It keeps none.
    No,
    /// It would have one, and answers this instead.
    Broken(RegistryError),
}

/// What became of documents that were to be attached.
#[derive(Debug, Default)]
pub struct Attached {
    /// Whether anything was sent.
    pub sent: bool,
    /// What the registry did not take, and why.
    pub refused: Vec<RegistryError>,
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
        json::bytes(&manifest)
    }
}

/// Where clients keep the list for a registry that has none.
fn tag(subject: &Digest) -> String {
    format!("sha256-{}", subject.hex())
}

impl Client {
    /// Attaches what is not attached yet; all of it is about one manifest. What the registry refuses is told, and keeps
    /// nothing else from being attached.
    pub async fn attach(&self, artifacts: &[Artifact<'_>]) -> Result<Attached, RegistryError> {
        let Some(subject) = artifacts.first().map(|artifact| artifact.subject.digest) else {
            return Ok(Attached::default());
        };
        let (listed, broken) = match self.own_list(&subject).await? {
            Own::Listed(listed) => (listed, false),
            own => match self.tagged(&subject).await {
                Ok(listed) => (listed.unwrap_or_default(), matches!(own, Own::Broken(_))),
                // Nobody knows what is there: whatever comes of it, it is told when the list is written.
                Err(error) if error.is_of_one_request() => (Vec::new(), true),
                Err(error) => return Err(error),
            },
        };
        let (mut attached, mut untold, mut failed) = (Attached::default(), Vec::new(), None);
        for artifact in artifacts {
            match self.attach_one(artifact, &listed).await {
                Ok(None) => {}
                Ok(Some((referrer, understood))) => {
                    attached.sent = true;
                    // Of a list that does not work, nobody knows whether it would have it.
                    untold.extend((broken || !understood).then_some(referrer));
                }
                Err(error) => {
                    let error = error.while_doing(&format!("attach the {} to {}", artifact.name, self.reference()));
                    match error.is_of_one_request() {
                        true => attached.refused.push(error),
                        false => {
                            failed = Some(error);
                            break;
                        }
                    }
                }
            }
        }
        // Also if something failed behind it: what is there is to be found.
        if !untold.is_empty() {
            let tag = tag(&subject);
            let change = |found| with_entries(found, &untold).map_err(|text| self.unusable(&tag, text));
            match self.amend(&tag, media_type::OCI_INDEX, change).await {
                Err(error) if error.is_of_one_request() => {
                    let doing = format!("list what is attached to {} under the tag {tag}", self.reference());
                    attached.refused.push(error.while_doing(&doing));
                }
                done => done.map(drop)?,
            }
        }
        failed.map_or(Ok(attached), Err)
    }

    /// Attaches one document, unless it is `listed`. Gives it as it is to be listed, and whether the registry lists it.
    async fn attach_one(
        &self,
        artifact: &Artifact<'_>,
        listed: &[Referrer],
    ) -> Result<Option<(Referrer, bool)>, RegistryError> {
        let manifest = artifact.manifest();
        let (digest, size) = (Digest::of(&manifest), manifest.len() as u64);
        let origin = &self.inner.origin;
        let lost = origin.host.lacked(&origin.repository, &artifact.content.digest);
        if !lost && listed.iter().any(|referrer| referrer.descriptor.digest == digest) {
            return Ok(None);
        }
        self.push_small(&empty(), EMPTY).await?;
        self.push_blob(artifact.content).await?;
        let headers = self.put_manifest(&digest.to_string(), media_type::OCI_MANIFEST, &manifest).await?;
        let referrer = Referrer {
            descriptor: Descriptor { media_type: media_type::OCI_MANIFEST.to_owned(), digest, size },
            artifact_type: Some(artifact.kind.to_owned()),
            annotations: artifact.annotations.clone(),
        };
        Ok(Some((referrer, headers.contains_key(UNDERSTOOD))))
    }

    /// All that refers to `subject`.
    pub async fn referrers(&self, subject: &Digest) -> Result<Vec<Referrer>, RegistryError> {
        match self.own_list(subject).await? {
            Own::Listed(listed) if !listed.is_empty() => Ok(listed),
            // Some answer with an empty list, and list nothing.
            Own::Listed(_) | Own::No => Ok(self.tagged(subject).await?.unwrap_or_default()),
            Own::Broken(error) => self.tagged(subject).await?.ok_or(error),
        }
    }

    /// The list that clients keep under a tag, if there is one.
    async fn tagged(&self, subject: &Digest) -> Result<Option<Vec<Referrer>>, RegistryError> {
        let Some(bytes) = self.any_manifest(&tag(subject)).await? else { return Ok(None) };
        entries(&bytes)
            .map(Some)
            .ok_or_else(|| self.unusable(&tag(subject), "the tag is taken by something that lists nothing"))
    }

    async fn own_list(&self, subject: &Digest) -> Result<Own, RegistryError> {
        match self.own_pages(subject).await {
            // A list that does not come whole is none: what is missing of it may be what is looked for.
            Err(error @ RegistryError::Invalid { .. }) => Ok(Own::Broken(error)),
            own => own,
        }
    }

    async fn own_pages(&self, subject: &Digest) -> Result<Own, RegistryError> {
        let what = format!("list what is attached to {subject} of {}", self.reference());
        let first = format!("{}/referrers/{subject}", self.inner.base);
        let (mut url, mut all, mut sum, mut trail) = (first.clone(), Vec::new(), 0_usize, Trail::from(&first));
        for _ in 0..MOST_PAGES {
            let page = self.retry(|| async {
                let response =
                    self.send(&what, |client| client.get(&url).header(ACCEPT, media_type::OCI_INDEX)).await?;
                if response.status() != StatusCode::OK {
                    return Err(self.failure(&what, response).await);
                }
                let next = next_page(&url, &response).map_err(|why| self.cut("what is attached", &why))?;
                Ok((self.bounded(response).await?, next))
            });
            let (bytes, next) = match page.await {
                Ok(page) => page,
                Err(error) if url == first => return without_list(error),
                Err(error) => return Err(error),
            };
            sum = sum.saturating_add(bytes.len());
            if sum > MOST_BYTES {
                let too_much = format!("it is larger than {MOST_BYTES} bytes");
                return Err(self.cut("what is attached", &too_much));
            }
            match entries(&bytes) {
                Some(entries) => all.extend(entries),
                // A page for people, or an answer to another question: it does not know this one.
                None if url == first => return Ok(Own::No),
                None => return Err(self.cut("what is attached", "a later part of it is no index")),
            }
            let Some(next) = next else { return Ok(Own::Listed(all)) };
            trail.leads_to(&next).map_err(|why| self.cut("what is attached", &why))?;
            url = next.to_string();
        }
        Err(self.cut("what is attached", &format!("it has more than {MOST_PAGES} parts")))
    }

    /// `referrer` as its own manifest describes it: lists of some registries say something else of it. As it is listed
    /// where the manifest cannot be read.
    pub async fn described(&self, referrer: Referrer) -> Result<Referrer, RegistryError> {
        let digest = referrer.descriptor.digest;
        let bytes = self.any_manifest(&digest.to_string()).await?.filter(|bytes| Digest::of(bytes) == digest);
        let Some(own) = bytes.and_then(|bytes| serde_json::from_slice::<Described>(&bytes).ok()) else {
            return Ok(referrer);
        };
        let config = own.config.map(|config| config.media_type).filter(|kind| kind != empty().media_type.as_str());
        let layer = own.layers.into_iter().next().map(|layer| layer.media_type);
        Ok(Referrer { artifact_type: own.artifact_type.or(config).or(layer), annotations: own.annotations, ..referrer })
    }
}

/// What a manifest says of what it is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Described {
    artifact_type: Option<String>,
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// What an answer that is no list says of lists.
fn without_list(error: RegistryError) -> Result<Own, RegistryError> {
    match error {
        // What registries say that have never heard of it.
        RegistryError::Status { status: 400 | 404 | 405 | 406 | 501, .. } => Ok(Own::No),
        error if error.is_of_one_request() && !matches!(error, RegistryError::Invalid { .. }) => Ok(Own::Broken(error)),
        error => Err(error),
    }
}

/// The entries of an index; `None` if it is none. What cannot be read of them is of no kind that is known here.
fn entries(bytes: &[u8]) -> Option<Vec<Referrer>> {
    match serde_json::from_slice::<Value>(bytes).ok()?.as_object_mut()?.remove("manifests")? {
        Value::Null => Some(Vec::new()),
        Value::Array(all) => Some(all.into_iter().filter_map(|one| serde_json::from_value(one).ok()).collect()),
        _ => None,
    }
}

/// The index with `entries` in it; `None` where they are. All else in it stays as it is.
fn with_entries(index: Option<Value>, entries: &[Referrer]) -> Result<Option<Amended>, &'static str> {
    let mut index =
        index.unwrap_or_else(|| json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": []}));
    let listed = index.get_mut("manifests");
    // So does Go write an empty list.
    let listed = listed.map(|listed| {
        if listed.is_null() {
            *listed = json!([]);
        }
        listed
    });
    let listed = listed.and_then(Value::as_array_mut);
    let listed = listed.ok_or("the tag is taken by something that lists nothing")?;
    let before = listed.len();
    for entry in entries {
        if !listed.iter().any(|other| other["digest"] == json!(entry.descriptor.digest)) {
            listed.push(json::value(entry));
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
    fn a_list_is_what_lists() {
        let entry = serde_json::to_string(&referrer("one")).unwrap();
        let count = |text: &str| entries(text.as_bytes()).map(|entries| entries.len());
        assert_eq!(count(&format!(r#"{{"manifests": [{entry}, {{"digest": "sha512:00"}}]}}"#)), Some(1));
        assert_eq!(count(r#"{"manifests": null}"#), Some(0));
        for other in ["{}", "[]", "null", "<html></html>", "", r#"{"manifests": {}}"#] {
            assert_eq!(count(other), None, "{other}");
        }
    }

    #[test]
    fn an_artifact_is_the_same_bytes() {
        let (content, subject) = (referrer("content").descriptor, referrer("subject").descriptor);
        let annotations = BTreeMap::from([("b".into(), "2".into()), ("a".into(), "1".into())]);
        let kind = "application/spdx+json";
        let artifact = Artifact { kind, name: "SBOM", content: &content, subject: &subject, annotations };
        let value: Value = serde_json::from_slice(&artifact.manifest()).unwrap();
        assert_eq!(value["config"]["digest"], json!(Digest::of("{}")));
        assert_eq!(value["subject"]["digest"], json!(subject.digest));
        assert!(artifact.manifest().ends_with(br#""annotations":{"a":"1","b":"2"}}"#));
    }
}
