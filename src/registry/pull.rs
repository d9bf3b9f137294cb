//! Manifests and blobs, from the registry into the store.

use std::io::Write;

use layers::digest::Digest;
use layers::media_type::{self, Descriptor};
use reqwest::StatusCode;
use reqwest::header::{ACCEPT, CONTENT_TYPE, RANGE};

use super::{Client, RegistryError};
use crate::fetch::{Transfer, retry};

/// Manifests are small (distribution-spec 1.1 asks registries for at least 4 MiB).
pub(super) const MANIFEST_LIMIT: u64 = 8 << 20;
const ACCEPTED: [&str; 4] =
    [media_type::OCI_INDEX, media_type::OCI_MANIFEST, media_type::DOCKER_LIST, media_type::DOCKER_MANIFEST];
/// Times that a transfer is continued after it broke off.
const CONTINUED: u32 = 8;

impl Client {
    /// The manifest or index `name` (a tag or digest): its descriptor and its bytes, stored as a blob.
    pub async fn manifest(&self, name: &str) -> Result<(Descriptor, Vec<u8>), RegistryError> {
        retry(|| self.manifest_once(name)).await
    }

    async fn manifest_once(&self, name: &str) -> Result<(Descriptor, Vec<u8>), RegistryError> {
        let reference = self.reference().to_string();
        let url = format!("{}/manifests/{name}", self.inner.base);
        let what = format!("pull {reference}");
        let response = self.send(&what, |client| client.get(&url).header(ACCEPT, ACCEPTED.join(", "))).await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Err(RegistryError::NotFound { reference }),
            _ => return Err(self.failure(&what, response).await),
        }
        let invalid = |message: String| RegistryError::Invalid { reference: reference.clone(), message };
        let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_owned();
        if response.content_length().is_some_and(|length| length > MANIFEST_LIMIT) {
            return Err(invalid(format!("its manifest is larger than {MANIFEST_LIMIT} bytes")));
        }
        let bytes = response.bytes().await.map_err(|error| self.connection(&error))?.to_vec();
        let digest = Digest::of(&bytes);
        if name.contains(':') && name != digest.to_string() {
            return Err(invalid(format!("the registry sent {digest} for {name}")));
        }
        if !media_type::is_index(&media_type) && !media_type::is_manifest(&media_type) {
            return Err(invalid(format!(
                "`{media_type}` is not an image: Docker's schema 1 and artifacts are not read"
            )));
        }
        self.inner.store.put_blob(&bytes)?;
        Ok((Descriptor { media_type, digest, size: bytes.len() as u64 }, bytes))
    }

    /// A blob, into the store unless it is there.
    pub async fn blob(&self, descriptor: &Descriptor) -> Result<(), RegistryError> {
        let store = &self.inner.store;
        if store.contains(&descriptor.digest) {
            return Ok(());
        }
        // Another build may be pulling the same one.
        let (name, locked) = (format!("pull-{}", descriptor.digest.hex()), store.clone());
        let lock = tokio::task::spawn_blocking(move || locked.lock(&name)).await;
        let _lock = lock.map_err(|error| RegistryError::Connection {
            registry: self.reference().registry.clone(),
            message: error.to_string(),
        })??;
        if store.contains(&descriptor.digest) {
            return Ok(());
        }
        let name = format!("{} {}", self.reference(), &descriptor.digest.hex()[..12]);
        let transfer = Transfer::start(&self.inner.reporter, name, Some(descriptor.size));
        let mut writer = store.blob_writer()?;
        for _ in 0..CONTINUED {
            let before = writer.len();
            match self.blob_part(descriptor, &mut writer, &transfer).await {
                Ok(()) => break,
                // As long as something comes, it is worth going on.
                Err(RegistryError::Connection { .. } | RegistryError::Short { .. }) if writer.len() > before => {}
                Err(error) => return Err(error),
            }
        }
        writer.commit(Some((descriptor.digest, descriptor.size)))?;
        Ok(())
    }

    async fn blob_part(
        &self,
        descriptor: &Descriptor,
        writer: &mut layers::store::BlobWriter,
        transfer: &Transfer,
    ) -> Result<(), RegistryError> {
        let url = format!("{}/blobs/{}", self.inner.base, descriptor.digest);
        let what = format!("pull {} of {}", descriptor.digest, self.reference());
        let start = writer.len();
        let response = retry(|| async {
            let response = self.send(&what, |client| match start {
                0 => client.get(&url),
                _ => client.get(&url).header(RANGE, format!("bytes={start}-")),
            });
            let response = response.await?;
            if response.status().is_success() { Ok(response) } else { Err(self.failure(&what, response).await) }
        });
        let mut response = response.await?;
        let mut skip = if response.status() == StatusCode::PARTIAL_CONTENT { 0 } else { start };
        loop {
            let chunk = response.chunk().await.map_err(|error| self.connection(&error))?;
            let Some(chunk) = chunk else { break };
            let skipped = skip.min(chunk.len() as u64);
            skip -= skipped;
            let fresh = &chunk[usize::try_from(skipped).unwrap_or(chunk.len())..];
            if writer.len() + fresh.len() as u64 > descriptor.size {
                let message = format!("{} is longer than {} bytes", descriptor.digest, descriptor.size);
                return Err(RegistryError::Invalid { reference: self.reference().to_string(), message });
            }
            writer.write_all(fresh).map_err(|source| layers::store::StoreError::Io {
                what: "write a blob to",
                path: self.inner.store.root().to_owned(),
                source,
            })?;
            transfer.add(fresh.len() as u64);
        }
        if writer.len() < descriptor.size {
            let (digest, done, size) = (descriptor.digest, writer.len(), descriptor.size);
            return Err(RegistryError::Short { reference: self.reference().to_string(), digest, done, size });
        }
        Ok(())
    }
}
