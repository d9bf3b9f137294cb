//! A place for cache entries, opened: what can be done with it, whatever it is.

use std::collections::BTreeSet;
use std::sync::Arc;

use layers::digest::Digest;
use layers::media_type::{self, Descriptor, EMPTY, empty};
use layers::stop::Stop;
use layers::store::Store;
use serde::Deserialize;

use tokio::sync::OnceCell;

use super::directory::{Directory, DirectoryError};
use super::entry::{Entry, Written};
use super::{EntryError, Place};
use crate::registry::{Client, Pushed, RegistryError};
use crate::tasks;

/// Of one tag.
const MOST_MANIFESTS: usize = 100;

/// What a manifest or index leads to.
#[derive(Deserialize)]
struct Parts {
    #[serde(default)]
    layers: Vec<Descriptor>,
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

/// An opened place. Cheap to clone.
#[derive(Clone)]
pub enum Remote {
    /// A repository, and whether it has the value with nothing in it yet.
    Registry(Client, Arc<OnceCell<()>>),
    /// An OCI image layout.
    Directory(Directory),
}

/// Why a place does not do what it is asked.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The directory.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// What is there.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// The store.
    #[error(transparent)]
    Store(#[from] layers::store::StoreError),
    /// A task ended early.
    #[error(transparent)]
    Ended(#[from] tasks::Ended),
}

impl From<super::CheckError> for RemoteError {
    fn from(error: super::CheckError) -> Self {
        match error {
            super::CheckError::Entry(error) => error.into(),
            super::CheckError::Store(error) => error.into(),
        }
    }
}

type Result<T> = std::result::Result<T, RemoteError>;

/// Files are read and written where nothing waits for it.
async fn aside<T: Send + 'static>(
    work: impl FnOnce(&Stop) -> std::result::Result<T, DirectoryError> + Send + 'static,
) -> Result<T> {
    Ok(tasks::aside(work).await??)
}

impl Remote {
    /// A repository, by its client.
    pub fn repository(client: Client) -> Self {
        Self::Registry(client, Arc::default())
    }

    /// The place.
    pub fn place(&self) -> Place {
        match self {
            Self::Registry(client, _) => Place::beside(client.reference()),
            Self::Directory(directory) => Place::Directory(directory.path().to_owned()),
        }
    }

    /// The entry under `tag`, if there is one.
    pub async fn read(&self, tag: &str) -> Result<Option<Written>> {
        Ok(self.manifest(tag).await?.map(|manifest| Written::read(&manifest)).transpose()?)
    }

    /// The manifest under `name`, a tag or what [`Self::tags`] gave beside it.
    pub async fn manifest(&self, name: &str) -> Result<Option<Vec<u8>>> {
        match self {
            Self::Registry(client, _) => Ok(client.artifact(name).await?),
            Self::Directory(directory) => {
                let (directory, name) = (directory.clone(), name.to_owned());
                aside(move |_| directory.manifest(&name)).await
            }
        }
    }

    /// True if the blob is there, of the right size.
    pub async fn has(&self, blob: &Descriptor) -> Result<bool> {
        match self {
            Self::Registry(client, _) => Ok(client.keeps_blob(blob).await?),
            Self::Directory(directory) => Ok(directory.blob_size(&blob.digest) == Some(blob.size)),
        }
    }

    /// Brings the blob into `store`, checked.
    pub async fn pull(&self, blob: &Descriptor, store: &Store) -> Result<()> {
        match self {
            Self::Registry(client, _) => Ok(client.blob(blob).await?),
            Self::Directory(directory) => {
                let (directory, blob, store) = (directory.clone(), blob.clone(), store.clone());
                aside(move |stop| directory.pull(&blob, &store, stop)).await
            }
        }
    }

    /// Takes the blob over from one of `places`, if it can be had without sending it.
    pub async fn mount(&self, blob: &Descriptor, places: impl IntoIterator<Item = &Place>) -> Result<bool> {
        let Self::Registry(client, _) = self else { return self.has(blob).await };
        if client.has_blob(&blob.digest).await? {
            return Ok(true);
        }
        for from in places.into_iter().filter_map(|place| place.mounts_to(client.reference())) {
            if matches!(client.mount(blob, from).await?, Some(Pushed::Mounted | Pushed::There)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Brings the blob there from `store`, which has it.
    pub async fn push(&self, blob: &Descriptor, store: &Store) -> Result<()> {
        match self {
            Self::Registry(client, _) => client.push_blob(blob).await.map(drop).map_err(Into::into),
            Self::Directory(directory) => {
                let (directory, blob, store) = (directory.clone(), blob.clone(), store.clone());
                aside(move |stop| directory.push(&blob, &store, stop)).await
            }
        }
    }

    /// Writes an entry under all its tags. Its layer is there already.
    pub async fn write(&self, entry: &Entry, created: &str, signature: Option<&str>) -> Result<()> {
        let (manifest, tags) = (entry.manifest(created, signature), entry.tags());
        match self {
            Self::Registry(client, prepared) => {
                let nothing = empty();
                prepared.get_or_try_init(|| client.push_small(&nothing, EMPTY)).await?;
                for tag in tags {
                    client.push_manifest(&tag, media_type::OCI_MANIFEST, &manifest).await?;
                }
                Ok(())
            }
            Self::Directory(directory) => {
                let directory = directory.clone();
                aside(move |_| directory.write(&tags, &manifest)).await
            }
        }
    }

    /// All tags, of entries and of images beside them; with each the name that its manifest is quickest read by.
    pub async fn tags(&self) -> Result<Vec<(String, String)>> {
        Ok(match self {
            Self::Registry(client, _) => client.tags().await?.into_iter().map(|tag| (tag.clone(), tag)).collect(),
            Self::Directory(directory) => {
                let directory = directory.clone();
                let tags = aside(move |_| directory.tags()).await?;
                tags.into_iter().map(|(tag, digest)| (tag, digest.to_string())).collect()
            }
        })
    }

    /// Digests of all layers that the image under `tag` has, for every platform.
    pub async fn layers(&self, tag: &str) -> Result<BTreeSet<Digest>> {
        let (mut layers, mut waiting) = (BTreeSet::new(), vec![tag.to_owned()]);
        // An index of indexes of indexes is nothing that anybody makes.
        for _ in 0..MOST_MANIFESTS {
            let Some(name) = waiting.pop() else { break };
            let Some(bytes) = self.any_manifest(&name).await? else { continue };
            let Ok(parts) = serde_json::from_slice::<Parts>(&bytes) else { continue };
            layers.extend(parts.layers.into_iter().map(|layer| layer.digest));
            waiting.extend(parts.manifests.into_iter().map(|manifest| manifest.digest.to_string()));
        }
        Ok(layers)
    }

    async fn any_manifest(&self, name: &str) -> Result<Option<Vec<u8>>> {
        match self {
            Self::Registry(client, _) => Ok(client.any_manifest(name).await?),
            Self::Directory(directory) => {
                let (directory, name) = (directory.clone(), name.to_owned());
                aside(move |_| directory.manifest(&name)).await
            }
        }
    }

    /// Deletes what is under `tags`.
    pub async fn delete(&self, tags: &[String]) -> Result<()> {
        match self {
            Self::Registry(client, _) => client.delete_tags(tags).await.map_err(Into::into),
            Self::Directory(directory) => {
                let (directory, tags) = (directory.clone(), tags.to_vec());
                aside(move |_| directory.delete(&tags)).await
            }
        }
    }
}
