//! Small things under tags that are no images: cache entries.

use std::collections::BTreeSet;

use layers::digest::Digest;
use layers::media_type::{self, Descriptor};
use reqwest::header::{ACCEPT, CONTENT_LENGTH};
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use url::Url;

use super::listing::{Listing, Trail, next_page};
use super::pull::{ACCEPTED, CONTENT_DIGEST, whole};
use super::push::header;
use super::reason::brief;
use super::{Client, RegistryError};

/// What a manifest of an artifact may have: registries need not take more (distribution-spec 1.1, "Pushing Manifests").
const LIMIT: u64 = 4 << 20;
/// Tags asked for at once.
const PAGE: usize = 1000;

#[derive(Deserialize)]
pub(super) struct Tags {
    #[serde(default)]
    tags: Option<Vec<String>>,
}

impl Client {
    /// The artifact's manifest under `tag`, if there is one. Nothing is stored.
    pub async fn artifact(&self, tag: &str) -> Result<Option<Vec<u8>>, RegistryError> {
        self.small_manifest(tag, &[media_type::OCI_MANIFEST]).await
    }

    /// The manifest or index of whatever is under `name`, a tag or digest. Nothing is stored.
    pub async fn any_manifest(&self, name: &str) -> Result<Option<Vec<u8>>, RegistryError> {
        self.small_manifest(name, &ACCEPTED).await
    }

    /// The same, if it is what its name or the registry says that it is: an error of another one.
    pub async fn proved_manifest(&self, name: &str) -> Result<Option<Vec<u8>>, RegistryError> {
        let Some((bytes, promised)) = self.promised_manifest(name, &ACCEPTED).await? else { return Ok(None) };
        let promised = Some(name.to_owned()).filter(|name| name.contains(':')).or(promised);
        let found = Digest::of(&bytes).to_string();
        match promised.filter(|promised| promised.starts_with("sha256:") && *promised != found) {
            None => Ok(Some(bytes)),
            Some(expected) => {
                let (reference, expected) = (format!("{} ({name})", self.repository()), brief(&expected));
                Err(RegistryError::Digest { reference, expected, found })
            }
        }
    }

    async fn small_manifest(&self, tag: &str, accepted: &[&str]) -> Result<Option<Vec<u8>>, RegistryError> {
        Ok(self.promised_manifest(tag, accepted).await?.map(|(bytes, _)| bytes))
    }

    /// With the digest that the registry says it has.
    async fn promised_manifest(
        &self,
        tag: &str,
        accepted: &[&str],
    ) -> Result<Option<(Vec<u8>, Option<String>)>, RegistryError> {
        let accepted = accepted.join(", ");
        let url = format!("{}/manifests/{tag}", self.inner.base);
        let what = format!("ask {} for {tag}", self.repository());
        self.retry(|| async {
            let response = self.send(&what, |client| client.get(&url).header(ACCEPT, &accepted)).await?;
            match response.status() {
                StatusCode::OK => {
                    let promised = header(&response, CONTENT_DIGEST).map(str::to_owned);
                    Ok(Some((self.bounded(response).await?, promised)))
                }
                StatusCode::NOT_FOUND => Ok(None),
                _ => Err(self.failure(&what, response).await),
            }
        })
        .await
    }

    /// The body of an answer that is not large.
    pub(super) async fn bounded(&self, response: Response) -> Result<Vec<u8>, RegistryError> {
        whole(&self.inner.origin, response, LIMIT).await?.ok_or_else(|| RegistryError::Invalid {
            reference: self.repository(),
            message: format!("a manifest or list is larger than {LIMIT} bytes"),
        })
    }

    /// True if the registry has the blob, of the right length; true, too, if it does not tell the length.
    pub async fn keeps_blob(&self, blob: &Descriptor) -> Result<bool, RegistryError> {
        let url = format!("{}/blobs/{}", self.inner.base, blob.digest);
        let what = format!("ask {} for {}", self.repository(), blob.digest);
        let there = self.retry(|| async {
            let response = self.send(&what, |client| client.head(&url)).await?;
            match response.status() {
                // The length of what GET would send (RFC 9110, 9.3.2).
                StatusCode::OK => {
                    let length = response.headers().get(CONTENT_LENGTH);
                    let length = length.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
                    Ok(length.is_none_or(|length| length == blob.size))
                }
                StatusCode::NOT_FOUND => Ok(false),
                _ => Err(self.failure(&what, response).await),
            }
        });
        let there = there.await?;
        if there {
            self.inner.origin.host.keeps(&self.reference().repository, &blob.digest);
        }
        Ok(there)
    }

    /// All tags (distribution-spec 1.1, "Listing Tags"); none of a repository that is not there.
    pub async fn tags(&self) -> Result<Vec<String>, RegistryError> {
        let what = format!("list the tags of {}", self.repository());
        let first = format!("{}/tags/list?n={PAGE}", self.inner.base);
        let mut next = Url::parse(&first).ok();
        let (mut all, mut trail) = (Listing::default(), Trail::from(&first));
        while let Some(url) = next.take() {
            let (page, following) = self
                .retry(|| async {
                    let response = self.send(&what, |client| client.get(url.clone())).await?;
                    match response.status() {
                        StatusCode::OK => {}
                        StatusCode::NOT_FOUND if url.as_str() == first => return Ok((Vec::new(), None)),
                        _ => return Err(self.failure(&what, response).await),
                    }
                    let next = next_page(url.as_str(), &response).map_err(|why| self.cut("tags", &why))?;
                    let at = response.url().clone();
                    let bytes = self.bounded(response).await?;
                    if let Some(page) = self.inner.origin.page(&what, &at, &bytes) {
                        return Err(page);
                    }
                    let tags: Tags = serde_json::from_slice(&bytes).map_err(|error| RegistryError::Invalid {
                        reference: self.repository(),
                        message: format!("its list of tags is damaged: {error}"),
                    })?;
                    Ok((tags.tags.unwrap_or_default(), next))
                })
                .await?;
            all.add(page, following.is_some()).map_err(|too_much| RegistryError::Invalid {
                reference: self.repository(),
                message: format!("its list of tags has no end: {too_much}"),
            })?;
            following.iter().try_for_each(|next| trail.leads_to(next)).map_err(|why| self.cut("tags", &why))?;
            next = following;
        }
        Ok(all.names)
    }

    /// True if the registry, asked for what comes behind the last of `tags`, names none that is not among them. One that
    /// cannot be asked so has said all that it says.
    pub async fn ends_with(&self, tags: &[String]) -> Result<bool, RegistryError> {
        let (Some(last), what) = (tags.last(), format!("list the tags of {}", self.repository())) else {
            return Ok(true);
        };
        let last = url::form_urlencoded::byte_serialize(last.as_bytes()).collect::<String>();
        let url = format!("{}/tags/list?n={PAGE}&last={last}", self.inner.base);
        self.retry(|| async {
            let response = self.send(&what, |client| client.get(&url)).await?;
            match response.status() {
                StatusCode::OK => {}
                StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => return Ok(true),
                _ => return Err(self.failure(&what, response).await),
            }
            let bytes = self.bounded(response).await?;
            let behind = serde_json::from_slice::<Tags>(&bytes).ok().and_then(|page| page.tags).unwrap_or_default();
            Ok(behind.iter().all(|tag| tags.contains(tag)))
        })
        .await
    }

    /// A list that does not come whole, `why`.
    pub(super) fn cut(&self, of: &str, why: &str) -> RegistryError {
        let message = format!("its list of {of} comes in parts, and does not come whole: {why}");
        RegistryError::Invalid { reference: self.repository(), message }
    }

    /// Makes sure that the registry has a blob of a few bytes.
    pub async fn push_small(&self, descriptor: &Descriptor, bytes: &[u8]) -> Result<(), RegistryError> {
        self.inner.store.put_blob(bytes)?;
        self.push_blob(descriptor).await.map(drop)
    }

    /// Deletes the manifests under `tags` (distribution-spec 1.1, "Deleting Manifests"); those that are not there are
    /// fine. By digest: few registries delete by tag.
    pub async fn delete_tags(&self, tags: &[String]) -> Result<(), RegistryError> {
        let mut deleted = BTreeSet::new();
        for tag in tags {
            let Some(manifest) = self.artifact(tag).await? else { continue };
            let digest = Digest::of(&manifest);
            if deleted.insert(digest) {
                self.delete_manifest(&digest).await?;
            }
        }
        Ok(())
    }

    /// Deletes a manifest; one that is not there is fine.
    pub async fn delete_manifest(&self, digest: &Digest) -> Result<(), RegistryError> {
        let url = format!("{}/manifests/{digest}", self.inner.base);
        let what = format!("delete {digest} of {}", self.repository());
        self.retry(|| async {
            let response = self.send(&what, |client| client.delete(&url)).await?;
            match response.status() {
                StatusCode::ACCEPTED | StatusCode::OK | StatusCode::NO_CONTENT | StatusCode::NOT_FOUND => Ok(()),
                _ => Err(self.failure(&what, response).await),
            }
        })
        .await
    }

    /// Registry and repository, without a tag.
    pub fn repository(&self) -> String {
        format!("{}/{}", self.reference().registry, self.reference().repository)
    }
}
