//! Blobs and manifests, from the store into the registry. What is there already is not sent.

use std::sync::atomic::{AtomicBool, Ordering};

use layers::digest::Digest;
use layers::media_type::Descriptor;
use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, LOCATION};
use reqwest::{Response, StatusCode};

use super::pull::CONTENT_DIGEST;
use super::reason::brief;
use super::scope::Scope;
use super::upload::Upload;
use super::{Client, RegistryError};
use crate::fetch::Temporary;

/// How a blob came to be in the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It was there.
    There,
    /// It was taken over from another repository of the registry.
    Mounted,
    /// It was sent.
    Sent,
}

/// What a registry says of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    There,
    Missing,
    /// It does not answer that question.
    Unknown,
}

impl Client {
    /// True if the registry has the blob; false, too, if it does not answer that question.
    pub async fn has_blob(&self, digest: &Digest) -> Result<bool, RegistryError> {
        let origin = &self.inner.origin;
        if origin.host.kept(&origin.repository, digest) {
            return Ok(true);
        }
        if origin.host.lacked(&origin.repository, digest) {
            return Ok(false);
        }
        Ok(self.presence(digest, None).await? == Presence::There)
    }

    /// Asks for the blob. One of another `size` is not there.
    pub(super) async fn presence(&self, digest: &Digest, size: Option<u64>) -> Result<Presence, RegistryError> {
        let origin = &self.inner.origin;
        let url = format!("{}/blobs/{digest}", self.inner.base);
        let what = format!("push to {}", self.reference());
        // What follows needs more than to read.
        let need = Scope::push(&origin.repository);
        let found = self.retry(|| async {
            let client = origin.host.client().await?;
            let response = origin.send_for(&need, &what, client, |client| client.head(&url)).await?;
            match response.status() {
                StatusCode::OK => {
                    let length = response.headers().get(CONTENT_LENGTH);
                    let length = length.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
                    // Some say 0 of everything.
                    let length = length.filter(|length| *length > 0);
                    let same = size.zip(length).is_none_or(|(size, length)| size == length);
                    Ok(if same { Presence::There } else { Presence::Missing })
                }
                StatusCode::NOT_FOUND => Ok(Presence::Missing),
                StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => Ok(Presence::Unknown),
                _ => Err(self.failure(&what, response).await),
            }
        });
        let found = found.await?;
        if found == Presence::There {
            origin.host.keeps(&origin.repository, digest);
        }
        Ok(found)
    }

    /// Makes sure that the registry has the blob, which is in the store.
    pub async fn push_blob(&self, descriptor: &Descriptor) -> Result<Pushed, RegistryError> {
        let origin = &self.inner.origin;
        let _permit = origin.host.permit().await;
        if self.has_blob(&descriptor.digest).await? {
            return Ok(Pushed::There);
        }
        self.upload(descriptor).await
    }

    /// Sends the blob, whatever the registry says that it has.
    pub async fn send_again(&self, descriptor: &Descriptor) -> Result<(), RegistryError> {
        let _permit = self.inner.origin.host.permit().await;
        self.upload(descriptor).await.map(drop)
    }

    async fn upload(&self, descriptor: &Descriptor) -> Result<Pushed, RegistryError> {
        let origin = &self.inner.origin;
        let pushed = Upload::new(self, descriptor)?.run().await?;
        origin.host.keeps(&origin.repository, &descriptor.digest);
        Ok(pushed)
    }

    /// Takes the blob over from another repository of the registry (distribution-spec 1.1, "Mounting a blob from another
    /// repository"). `None` if the registry would rather have it sent.
    pub async fn mount(&self, descriptor: &Descriptor, from: &str) -> Result<Option<Pushed>, RegistryError> {
        let origin = &self.inner.origin;
        let _permit = origin.host.permit().await;
        if self.has_blob(&descriptor.digest).await? {
            return Ok(Some(Pushed::There));
        }
        let what = format!("push {} to {}", descriptor.digest, self.reference());
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("mount", &descriptor.digest.to_string())
            .append_pair("from", from)
            .finish();
        let url = format!("{}/blobs/uploads/?{query}", self.inner.base);
        let need = Scope::push(&origin.repository).and(&Scope::pull(from));
        let response = self.retry(|| async {
            let client = origin.host.client().await?;
            let response =
                origin.send_for(&need, &what, client, |client| client.post(&url).header(CONTENT_LENGTH, 0)).await?;
            match response.status() {
                // One that took over something else has not got this.
                StatusCode::CREATED => Ok(self.keeps_what_was_sent(&response, &descriptor.digest).is_ok()),
                // Not what the specification says: the blob itself has to be there.
                StatusCode::OK => {
                    Ok(self.presence(&descriptor.digest, Some(descriptor.size)).await? == Presence::There)
                }
                status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                    Err(self.failure(&what, response).await)
                }
                _ => Ok(false),
            }
        });
        match response.await {
            Ok(true) => {
                origin.host.keeps(&origin.repository, &descriptor.digest);
                Ok(Some(Pushed::Mounted))
            }
            // It only spares a transfer: that it may not be read there is no reason to fail.
            Ok(false)
            | Err(
                RegistryError::Unauthorized { .. }
                | RegistryError::Token { .. }
                | RegistryError::Status { .. }
                | RegistryError::Elsewhere { .. }
                | RegistryError::Connection { .. }
                | RegistryError::Stalled { .. }
                | RegistryError::Limited { .. }
                | RegistryError::TooLarge { .. },
            ) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The digest of the manifest `name` (a tag or digest), without reading it. `None` if there is none, or the registry
    /// does not say.
    pub async fn manifest_digest(&self, name: &str, media_type: &str) -> Result<Option<Digest>, RegistryError> {
        let origin = &self.inner.origin;
        let url = format!("{}/manifests/{name}", self.inner.base);
        let what = format!("push {}", self.reference());
        let need = Scope::push(&origin.repository);
        let client = origin.host.client().await?;
        let ask = origin.send_for(&need, &what, client, |client| client.head(&url).header(ACCEPT, media_type));
        match ask.await {
            Ok(response) if response.status() == StatusCode::OK => {
                Ok(header(&response, CONTENT_DIGEST).and_then(|text| text.parse().ok()))
            }
            Ok(_) => Ok(None),
            // It only spares requests: what comes next tries again.
            Err(error) if error.is_temporary() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Puts a manifest or index under `name`, a tag or digest.
    pub async fn push_manifest(&self, name: &str, media_type: &str, bytes: &[u8]) -> Result<(), RegistryError> {
        self.put_manifest(name, media_type, bytes).await.map(drop)
    }

    /// The same; gives the headers of the answer. Of what the registry then says that it misses, though it said before
    /// that it has it, what is here is sent again.
    pub(super) async fn put_manifest(
        &self,
        name: &str,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<HeaderMap, RegistryError> {
        // Whether the answer to an earlier attempt may have been lost, and nothing else.
        let again = AtomicBool::new(false);
        let first = self.retry(|| async {
            match self.put_once(name, media_type, bytes).await {
                Err(error)
                    if (again.swap(true, Ordering::Relaxed) || matches!(error, RegistryError::Immutable { .. }))
                        && self.has_taken(&error, name, media_type, bytes).await =>
                {
                    Ok(Ok(HeaderMap::new()))
                }
                Err(error) => error.unknown_blobs().map_or(Err(error), |unknown| Ok(Err(unknown))),
                Ok(headers) => Ok(Ok(headers)),
            }
        });
        let unknown = match first.await? {
            Ok(headers) => return Ok(headers),
            Err(unknown) => unknown,
        };
        for blob in super::verify::named(bytes) {
            if (unknown.is_empty() || unknown.contains(&blob.digest)) && self.inner.store.holds(&blob) {
                self.send_again(&blob).await?;
            }
        }
        self.retry(|| self.put_once(name, media_type, bytes)).await
    }

    async fn put_once(&self, name: &str, media_type: &str, bytes: &[u8]) -> Result<HeaderMap, RegistryError> {
        let url = format!("{}/manifests/{name}", self.inner.base);
        let by_digest = name.contains(':');
        let what = match (by_digest, self.reference().manifest() == name) {
            (_, true) => format!("push {}", self.reference()),
            (true, _) => format!("push {}@{name}", self.repository()),
            (false, _) => format!("push {}:{name}", self.repository()),
        };
        let response =
            self.send(&what, |client| client.put(&url).header(CONTENT_TYPE, media_type).body(bytes.to_vec())).await?;
        if !response.status().is_success() {
            let error = self.failure(&what, response).await;
            return Err(if by_digest { error } else { error.of_a_tag() });
        }
        let (status, digest) = (response.status(), Digest::of(bytes));
        self.keeps_what_was_sent(&response, &digest)?;
        let said = header(&response, CONTENT_DIGEST).is_some();
        // Whoever says 200 may say it of everything: what is there then has to prove it.
        if status != StatusCode::CREATED && !said && !self.has_manifest(name, media_type, &digest).await? {
            return Err(self.failure(&what, response).await);
        }
        Ok(response.headers().clone())
    }

    /// True if the registry refuses, with `error`, to write over what it took before: this very manifest.
    async fn has_taken(&self, error: &RegistryError, name: &str, media_type: &str, bytes: &[u8]) -> bool {
        let refused = error.is_refusal() && !error.is_temporary();
        refused && self.has_manifest(name, media_type, &Digest::of(bytes)).await.unwrap_or(false)
    }

    async fn has_manifest(&self, name: &str, media_type: &str, digest: &Digest) -> Result<bool, RegistryError> {
        if let Some(found) = self.manifest_digest(name, media_type).await? {
            return Ok(found == *digest);
        }
        Ok(self.any_manifest(name).await?.is_some_and(|bytes| Digest::of(bytes) == *digest))
    }

    /// An error if the registry says that it keeps something else than what was sent.
    pub(super) fn keeps_what_was_sent(&self, response: &Response, sent: &Digest) -> Result<(), RegistryError> {
        let place =
            header(response, LOCATION.as_str()).and_then(|location| location.split('?').next()?.rsplit('/').next());
        let named = [header(response, CONTENT_DIGEST), place.filter(|part| part.starts_with("sha256:"))];
        match named.into_iter().flatten().find(|found| *found != sent.to_string()) {
            None => Ok(()),
            Some(found) => Err(RegistryError::Invalid {
                reference: self.reference().to_string(),
                message: format!("{sent} was sent, and the registry keeps {}", brief(found)),
            }),
        }
    }
}

pub(super) fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers().get(name).and_then(|value| value.to_str().ok())
}
