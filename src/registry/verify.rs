//! Whether a registry still has what was pushed: by asking, and by reading it back.

use std::collections::BTreeSet;

use futures_util::future::try_join_all;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use layers::digest::{Digest, Hasher};
use layers::media_type::Descriptor;
use reqwest::StatusCode;
use reqwest::header::ACCEPT_ENCODING;
use serde::Deserialize;

use super::push::Presence;
use super::{Client, RegistryError};
use crate::fetch::{Pace, Transfer};

/// Blobs asked for at once.
const ASKED: usize = 32;
/// How often a blob is read that does not come as it should: it may be the way.
const READ: usize = 2;

#[derive(Deserialize)]
struct Named {
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
}

/// The blobs that a manifest names; none of an index.
pub(super) fn named(manifest: &[u8]) -> Vec<Descriptor> {
    let named = serde_json::from_slice::<Named>(manifest);
    named.map_or_else(|_| Vec::new(), |named| named.layers.into_iter().chain(named.config).collect())
}

impl Client {
    /// Which of `blobs` the registry says that it lacks. They are asked for side by side; what it does not answer for
    /// counts as there.
    pub async fn lost(&self, blobs: &[Descriptor]) -> Result<BTreeSet<Digest>, RegistryError> {
        let origin = &self.inner.origin;
        let ask = |blob: Descriptor| async move {
            if self.presence(&blob.digest, Some(blob.size)).await? != Presence::Missing {
                return Ok(None);
            }
            origin.host.lacks(&origin.repository, &blob.digest);
            Ok::<_, RegistryError>(Some(blob.digest))
        };
        // Nothing is moved: a round trip is all that it takes.
        let found = stream::iter(blobs.iter().cloned().map(ask)).buffer_unordered(ASKED);
        found.try_filter_map(|found| async move { Ok(found) }).try_collect().await
    }

    /// Reads `blobs` back, side by side. Gives those that are not there, or not what they should be.
    pub async fn damaged(&self, blobs: &[Descriptor]) -> Result<BTreeSet<Digest>, RegistryError> {
        let read = |blob: Descriptor| async move {
            let _permit = self.inner.origin.host.permit().await;
            for _ in 0..READ {
                if self.retry(|| self.read_back(&blob)).await? {
                    return Ok(None);
                }
            }
            Ok::<_, RegistryError>(Some(blob.digest))
        };
        Ok(try_join_all(blobs.iter().cloned().map(read)).await?.into_iter().flatten().collect())
    }

    /// True if the registry sends the blob as it should be.
    async fn read_back(&self, blob: &Descriptor) -> Result<bool, RegistryError> {
        let from = &self.inner.origin;
        let url = format!("{}/blobs/{}", self.inner.base, blob.digest);
        let what = format!("read {} of {} back", blob.digest, self.reference());
        // The digest is that of the bytes as they lie there.
        let asked = self.send(&what, |client| client.get(&url).header(ACCEPT_ENCODING, "identity"));
        let mut response = asked.await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(false),
            _ => return Err(self.failure(&what, response).await),
        }
        let name = format!("{} {}", self.reference(), &blob.digest.hex()[..12]);
        let transfer = Transfer::start(&self.inner.reporter, name, Some(blob.size));
        let (mut hasher, mut pace, mut size) = (Hasher::new(), Pace::new(from.host.stall), 0);
        // Whoever sends less than it should may have no more: that is for the second time to say.
        while let Some(chunk) = response.chunk().await.map_err(|error| from.connection(&error))? {
            if !pace.keeps(chunk.len()) {
                return Err(RegistryError::Stalled { registry: self.reference().registry.clone() });
            }
            size += chunk.len() as u64;
            if size > blob.size {
                return Ok(false);
            }
            hasher.update(&chunk);
            transfer.add(chunk.len() as u64);
        }
        Ok(hasher.finish() == blob.digest)
    }
}
