//! Blobs and manifests, from the store into the registry. What is there already is not sent.

use std::sync::Arc;

use futures_util::StreamExt;
use layers::digest::Digest;
use layers::media_type::Descriptor;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, LOCATION};
use reqwest::{Body, StatusCode};
use url::Url;

use super::{Client, RegistryError};
use crate::fetch::{Transfer, retry};

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

impl Client {
    /// True if the registry has the blob.
    pub async fn has_blob(&self, digest: &Digest) -> Result<bool, RegistryError> {
        let url = format!("{}/blobs/{digest}", self.inner.base);
        let what = format!("push to {}", self.reference());
        retry(|| async {
            let response = self.send(&what, |client| client.head(&url)).await?;
            match response.status() {
                StatusCode::OK => Ok(true),
                StatusCode::NOT_FOUND => Ok(false),
                _ => Err(self.failure(&what, response).await),
            }
        })
        .await
    }

    /// Makes sure that the registry has the blob, which is in the store.
    pub async fn push_blob(&self, descriptor: &Descriptor) -> Result<Pushed, RegistryError> {
        if self.has_blob(&descriptor.digest).await? {
            return Ok(Pushed::There);
        }
        retry(|| self.upload(descriptor)).await
    }

    /// Takes the blob over from another repository of the registry (distribution-spec 1.1, "Mounting a blob from another
    /// repository"). `None` if the registry would rather have it sent.
    pub async fn mount(&self, descriptor: &Descriptor, from: &str) -> Result<Option<Pushed>, RegistryError> {
        if self.has_blob(&descriptor.digest).await? {
            return Ok(Some(Pushed::There));
        }
        let what = format!("push {} to {}", descriptor.digest, self.reference());
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("mount", &descriptor.digest.to_string())
            .append_pair("from", from)
            .finish();
        let url = format!("{}/blobs/uploads/?{query}", self.inner.base);
        let response = self.send(&what, |client| client.post(&url).header(CONTENT_LENGTH, 0)).await?;
        Ok((response.status() == StatusCode::CREATED).then_some(Pushed::Mounted))
    }

    /// distribution-spec 1.1, "Pushing a blob monolithically: POST then PUT".
    async fn upload(&self, descriptor: &Descriptor) -> Result<Pushed, RegistryError> {
        let what = format!("push {} to {}", descriptor.digest, self.reference());
        let url = format!("{}/blobs/uploads/", self.inner.base);
        let response = self.send(&what, |client| client.post(&url).header(CONTENT_LENGTH, 0)).await?;
        if response.status() != StatusCode::ACCEPTED {
            return Err(self.failure(&what, response).await);
        }
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let location = location.and_then(|location| Url::parse(&url).ok()?.join(&location).ok());
        let mut location = location.ok_or_else(|| RegistryError::Invalid {
            reference: self.reference().to_string(),
            message: "the registry does not say where to upload to".into(),
        })?;
        location.query_pairs_mut().append_pair("digest", &descriptor.digest.to_string());
        let name = format!("{} {}", self.reference(), &descriptor.digest.hex()[..12]);
        let transfer = Transfer::start(&self.inner.reporter, name, Some(descriptor.size));
        let file = self.inner.store.open_blob(&descriptor.digest)?;
        let response = self.send(&what, |client| {
            let request = client.put(location.clone()).header(CONTENT_TYPE, "application/octet-stream");
            let request = request.header(CONTENT_LENGTH, descriptor.size);
            // A second attempt reads the file once more from its start.
            match file.try_clone().and_then(|mut file| std::io::Seek::rewind(&mut file).map(|()| file)) {
                Ok(file) => request.body(body(file, Arc::clone(&transfer))),
                Err(_) => request,
            }
        });
        let response = response.await?;
        match response.status() {
            StatusCode::CREATED | StatusCode::ACCEPTED | StatusCode::NO_CONTENT => Ok(Pushed::Sent),
            _ => Err(self.failure(&what, response).await),
        }
    }

    /// Puts a manifest or index under `name`, a tag or digest.
    pub async fn push_manifest(&self, name: &str, media_type: &str, bytes: &[u8]) -> Result<(), RegistryError> {
        self.put_manifest(name, media_type, bytes).await.map(drop)
    }

    /// The same; gives the headers of the answer.
    pub(super) async fn put_manifest(
        &self,
        name: &str,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<HeaderMap, RegistryError> {
        let url = format!("{}/manifests/{name}", self.inner.base);
        let what = format!("push {}", self.reference());
        retry(|| async {
            let response =
                self.send(&what, |client| client.put(&url).header(CONTENT_TYPE, media_type).body(bytes.to_vec()));
            let response = response.await?;
            if !response.status().is_success() {
                return Err(self.failure(&what, response).await);
            }
            Ok(response.headers().clone())
        })
        .await
    }
}

/// The file, piece by piece as the connection takes it.
fn body(file: std::fs::File, transfer: Arc<Transfer>) -> Body {
    let stream =
        futures_util::stream::unfold((tokio::fs::File::from_std(file), transfer), |(mut file, transfer)| async {
            use tokio::io::AsyncReadExt;
            let mut buffer = vec![0; 256 << 10];
            match file.read(&mut buffer).await {
                Ok(0) => None,
                Ok(length) => {
                    buffer.truncate(length);
                    transfer.add(length as u64);
                    Some((Ok(buffer), (file, transfer)))
                }
                Err(error) => Some((Err(error), (file, transfer))),
            }
        });
    Body::wrap_stream(stream.fuse())
}
