//! A place for cache entries, opened: what can be done with it, whatever it is.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, stream};
use layers::digest::Digest;
use layers::media_type::{self, Descriptor, EMPTY, empty};
use layers::stop::Stop;
use layers::store::Store;
use tokio::sync::OnceCell;

use super::directory::{Directory, DirectoryError};
use super::entry::{Entry, TAG_PREFIX, Written};
use super::listing::{LIST_TAG, Listed, Listing};
use super::parts::{Parts, parts};
use super::{EntryError, Place};
use crate::registry::{Client, Pushed, RegistryError};
use crate::tasks;

/// Of one tag.
const MOST_MANIFESTS: usize = 100;
/// How often a list is written anew that others have written at the same moment.
const ATTEMPTS: usize = 8;
/// Others who began to write a list when we did are done after this time.
const WAIT: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// Requests on their way at once.
const PARALLEL: usize = 16;

/// An opened place. Cheap to clone; all clones know what one has read.
#[derive(Clone)]
pub struct Remote(Arc<Opened>);

struct Opened {
    kind: Kind,
    /// What is there, once it was asked for; or why that is not known: asking again takes long.
    listing: tokio::sync::Mutex<Option<std::result::Result<Arc<Listing>, String>>>,
    /// Entries that were written and are in no list yet.
    waiting: Mutex<Vec<Listed>>,
    /// The repository has the value with nothing in it.
    prepared: OnceCell<()>,
}

enum Kind {
    Registry(Client),
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
    /// It failed before.
    #[error("{0}")]
    Silent(String),
    /// The list's tag is taken.
    #[error("its tag {LIST_TAG} holds something else than the list of a cache")]
    Taken,
    /// The list cannot be written.
    #[error(
        "{0}; every build writes that tag anew: a repository that lets tags be written over is named with `--cache-to`, \
         and `--cache-to none` shares nothing"
    )]
    Kept(RegistryError),
    /// What may be needed is not deleted.
    #[error("it cannot be told which layers are needed: {0}")]
    Unknown(String),
    /// Others write all the time.
    #[error("others wrote its list {ATTEMPTS} times while it was written")]
    Busy,
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
    directory: &Directory,
    work: impl FnOnce(&Directory, &Stop) -> std::result::Result<T, DirectoryError> + Send + 'static,
) -> Result<T> {
    let directory = directory.clone();
    Ok(tasks::aside(move |stop| work(&directory, stop)).await??)
}

impl Remote {
    /// A repository, by its client.
    pub fn repository(client: Client) -> Self {
        Self::new(Kind::Registry(client))
    }

    /// An OCI image layout.
    pub fn directory(directory: Directory) -> Self {
        Self::new(Kind::Directory(directory))
    }

    fn new(kind: Kind) -> Self {
        let (listing, waiting, prepared) = Default::default();
        Self(Arc::new(Opened { kind, listing, waiting, prepared }))
    }

    /// The place.
    pub fn place(&self) -> Place {
        match &self.0.kind {
            Kind::Registry(client) => Place::beside(client.reference()),
            Kind::Directory(directory) => Place::Directory(directory.path().to_owned()),
        }
    }

    /// What is there, as it was when that was asked first.
    async fn listing(&self) -> Result<Arc<Listing>> {
        let mut known = self.0.listing.lock().await;
        if let Some(known) = &*known {
            return known.clone().map_err(RemoteError::Silent);
        }
        match self.list().await {
            Ok(listing) => {
                let listing = Arc::new(listing);
                *known = Some(Ok(Arc::clone(&listing)));
                Ok(listing)
            }
            Err(error) => {
                *known = Some(Err(error.to_string()));
                Err(error)
            }
        }
    }

    /// What is there now.
    async fn list(&self) -> Result<Listing> {
        let client = match &self.0.kind {
            Kind::Registry(client) => client,
            Kind::Directory(directory) => return aside(directory, |directory, _| directory.list()).await,
        };
        if let Some(bytes) = client.any_manifest(LIST_TAG).await? {
            return Listing::read(&bytes).ok_or(RemoteError::Taken);
        }
        match client.tags().await {
            Ok(tags) => Ok(Listing::of_tags(tags)),
            // Not everybody who may read entries may see all tags.
            Err(RegistryError::Unauthorized { .. } | RegistryError::Denied { .. }) => Ok(Listing::default()),
            Err(error) if error.status().is_some() => Ok(Listing::default()),
            Err(error) => Err(error.into()),
        }
    }

    /// The entry under `name`, if there is one.
    pub async fn read(&self, name: &str) -> Result<Option<Written>> {
        let Some(found) = self.listing().await?.find(name) else { return Ok(None) };
        let manifest = self.manifest(&found).await?.ok_or(EntryError::Gone)?;
        Ok(Some(Written::read(&manifest)?))
    }

    /// True if an entry is there under all of `names`, by `signer` where that is somebody.
    pub async fn lists(&self, names: &[String], signer: Option<&Digest>) -> Result<bool> {
        Ok(self.listing().await?.has(names, signer))
    }

    /// The manifest under `name`, a tag or what [`Self::entries`] gave beside it.
    pub async fn manifest(&self, name: &str) -> Result<Option<Vec<u8>>> {
        match &self.0.kind {
            Kind::Registry(client) => Ok(client.artifact(name).await?),
            Kind::Directory(directory) => {
                let name = name.to_owned();
                aside(directory, move |directory, _| directory.manifest(&name)).await
            }
        }
    }

    /// True if the blob is there, of the right size.
    pub async fn has(&self, blob: &Descriptor) -> Result<bool> {
        match &self.0.kind {
            Kind::Registry(client) => Ok(client.keeps_blob(blob).await?),
            Kind::Directory(directory) => Ok(directory.blob_size(&blob.digest) == Some(blob.size)),
        }
    }

    /// Brings the blob into `store`, checked.
    pub async fn pull(&self, blob: &Descriptor, store: &Store) -> Result<()> {
        match &self.0.kind {
            Kind::Registry(client) => Ok(client.blob(blob).await?),
            Kind::Directory(directory) => {
                let (blob, store) = (blob.clone(), store.clone());
                aside(directory, move |directory, stop| directory.pull(&blob, &store, stop)).await
            }
        }
    }

    /// Takes the blob over from one of `places`, if it can be had without sending it.
    pub async fn mount(&self, blob: &Descriptor, places: impl IntoIterator<Item = &Place>) -> Result<bool> {
        let Kind::Registry(client) = &self.0.kind else { return self.has(blob).await };
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
        match &self.0.kind {
            Kind::Registry(client) => client.push_blob(blob).await.map(drop).map_err(Into::into),
            Kind::Directory(directory) => {
                let (blob, store) = (blob.clone(), store.clone());
                aside(directory, move |directory, stop| directory.push(&blob, &store, stop)).await
            }
        }
    }

    /// Writes an entry, by `signer` where it has a signature. Its layer is there already. It is found when it was
    /// [published](Self::publish).
    pub async fn write(&self, entry: &Entry, created: &str, signed: Option<(&str, Digest)>) -> Result<()> {
        let manifest = entry.manifest(created, signed.map(|(signature, _)| signature));
        let listed = Listed::of(entry, &manifest, created, signed.map(|(_, signer)| signer));
        match &self.0.kind {
            Kind::Registry(client) => {
                let nothing = empty();
                self.0.prepared.get_or_try_init(|| client.push_small(&nothing, EMPTY)).await?;
                let digest = listed.descriptor.digest.to_string();
                client.push_manifest(&digest, media_type::OCI_MANIFEST, &manifest).await?;
            }
            Kind::Directory(directory) => aside(directory, move |directory, _| directory.put(&manifest)).await?,
        }
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(listed);
        Ok(())
    }

    /// Lists what was written. Registries know no lock: whoever writes a list looks whether it is still there when all
    /// who began at the same time must be done, and writes it anew where it is not.
    pub async fn publish(&self) -> Result<()> {
        let new = std::mem::take(&mut *self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        if new.is_empty() {
            return Ok(());
        }
        let client = match &self.0.kind {
            Kind::Registry(client) => client,
            Kind::Directory(directory) => return aside(directory, move |directory, _| directory.publish(&new)).await,
        };
        for _ in 0..ATTEMPTS {
            let begun = Instant::now();
            let mut listing = self.list().await?;
            if new.iter().all(|listed| listing.holds(listed)) {
                return Ok(());
            }
            self.adopt(&mut listing).await?;
            new.iter().for_each(|listed| listing.add(listed.clone()));
            let written = put(client, &mut listing).await?;
            *self.0.listing.lock().await = Some(Ok(Arc::new(listing)));
            tokio::time::sleep(begun.elapsed().saturating_mul(2).clamp(WAIT.0, WAIT.1)).await;
            // Not every registry says it; then the list is read.
            if client.manifest_digest(LIST_TAG, media_type::OCI_INDEX).await? == Some(written) {
                return Ok(());
            }
        }
        Err(RemoteError::Busy)
    }

    /// Lists what an older alloy left under a tag for each name.
    async fn adopt(&self, listing: &mut Listing) -> Result<()> {
        let tags = listing.tags().clone();
        let read = stream::iter(tags).map(|tag| async move { self.manifest(&tag).await });
        let manifests: Vec<Option<Vec<u8>>> = read.buffered(PARALLEL).try_collect().await?;
        for manifest in manifests.into_iter().flatten() {
            // What is no entry stays what it is.
            let Ok(written) = Written::read(&manifest) else { continue };
            let listed = Listed::of(&written.entry, &manifest, &written.created, None);
            listing.add(listed);
        }
        Ok(())
    }

    /// Names of all entries; with each what its manifest is quickest read by.
    pub async fn entries(&self) -> Result<Vec<(String, String)>> {
        Ok(self.listing().await?.names().collect())
    }

    /// Tags beside the entries: of images, mostly.
    pub async fn others(&self) -> Result<Vec<String>> {
        match &self.0.kind {
            Kind::Registry(client) => self.images(client).await,
            Kind::Directory(directory) => aside(directory, |directory, _| directory.others()).await,
        }
    }

    /// Tags of images in a repository: all of them, or an error. A list that may be cut, or that somebody else's rights
    /// would show more of, says nothing of what is needed.
    async fn images(&self, client: &Client) -> Result<Vec<String>> {
        let (tags, repository) = (client.tags().await?, client.repository());
        let cut = |how: &str| RemoteError::Unknown(format!("the list of tags of {repository} {how}"));
        let listed = self.listing().await?.is_kept();
        let images = tags.iter().filter(|tag| *tag != LIST_TAG && !tag.starts_with(TAG_PREFIX));
        let images: Vec<String> = images.cloned().collect();
        match () {
            () if listed && !tags.iter().any(|tag| tag == LIST_TAG) => {
                Err(cut(&format!("is not whole: it lacks {LIST_TAG}, which is there")))
            }
            () if images.is_empty() => Err(cut("has no image")),
            () if !client.ends_with(&tags).await? => Err(cut("is not whole: there are more behind its end")),
            () => Ok(images),
        }
    }

    /// Digests of all layers that the image under `tag` has, for every platform: all of them, or an error.
    pub async fn layers(&self, tag: &str) -> Result<BTreeSet<Digest>> {
        let (mut layers, mut waiting) = (BTreeSet::new(), vec![tag.to_owned()]);
        // An index of indexes of indexes is nothing that anybody makes.
        for _ in 0..MOST_MANIFESTS {
            let Some(name) = waiting.pop() else { break };
            let unknown = |why: String| RemoteError::Unknown(format!("the manifest {name} {why}"));
            let Some(bytes) = self.any_manifest(&name).await? else { return Err(unknown("is not there".into())) };
            match parts(&bytes).map_err(unknown)? {
                Parts::Layers(all) => layers.extend(all.into_iter().map(|layer| layer.digest)),
                Parts::Manifests(all) => waiting.extend(all.into_iter().map(|manifest| manifest.digest.to_string())),
            }
        }
        match waiting.is_empty() {
            true => Ok(layers),
            false => Err(RemoteError::Unknown(format!("{tag} lists more than {MOST_MANIFESTS} manifests"))),
        }
    }

    async fn any_manifest(&self, name: &str) -> Result<Option<Vec<u8>>> {
        match &self.0.kind {
            Kind::Registry(client) => Ok(client.proved_manifest(name).await?),
            Kind::Directory(_) => self.manifest(name).await,
        }
    }

    /// Deletes the entries of these names.
    pub async fn delete(&self, names: &[String]) -> Result<()> {
        let client = match &self.0.kind {
            Kind::Registry(client) => client,
            Kind::Directory(directory) => {
                let names = names.to_vec();
                return aside(directory, move |directory, _| directory.delete(&names)).await;
            }
        };
        let mut listing = self.list().await?;
        let (tags, names): (Vec<String>, Vec<String>) =
            names.iter().cloned().partition(|name| listing.tags().contains(name));
        // Nobody finds them any more: then they may go.
        let gone = listing.remove(&names);
        if !gone.is_empty() {
            put(client, &mut listing).await?;
        }
        *self.0.listing.lock().await = None;
        for digest in gone {
            client.delete_manifest(&digest).await?;
        }
        Ok(client.delete_tags(&tags).await?)
    }
}

/// Writes the list of a repository. Entries whose manifests the registry has lost are left out: it takes no index of
/// what it has not.
async fn put(client: &Client, listing: &mut Listing) -> Result<Digest> {
    let index = listing.write_index();
    match client.push_manifest(LIST_TAG, media_type::OCI_INDEX, &index).await {
        Ok(()) => return Ok(Digest::of(&index)),
        Err(error) if matches!(error.status(), Some(400 | 404)) => {}
        Err(error @ RegistryError::Immutable { .. }) => return Err(RemoteError::Kept(error)),
        Err(error) => return Err(error.into()),
    }
    let asked = stream::iter(listing.manifests().map(|manifest| manifest.digest)).map(|digest| async move {
        let there = client.artifact(&digest.to_string()).await?.is_some();
        Ok::<_, RemoteError>((!there).then_some(digest))
    });
    let gone: Vec<Option<Digest>> = asked.buffered(PARALLEL).try_collect().await?;
    listing.leave_out(&gone.into_iter().flatten().collect());
    let index = listing.write_index();
    client.push_manifest(LIST_TAG, media_type::OCI_INDEX, &index).await?;
    Ok(Digest::of(&index))
}
