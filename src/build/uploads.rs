//! Finished layers on their way to others, while later ones are made: to the registries that the image is pushed to, and
//! with what is known of them to the team's caches.
//!
//! What fails on the way to an image's registry is tried once more by the push itself, which says what is wrong. What
//! fails on the way to a cache is a warning: the image is none the worse for it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use layers::digest::Digest;
use layers::media_type::Descriptor;
use layers::store::LayerBlob;

use super::BuildError;
use crate::cache::{self, Entry, Place, Remote, RemoteError, elsewhere};
use crate::context::now;
use crate::registry::{Client, Reference};
use crate::resolve::Resolver;
use crate::tasks::Task;

/// Uploads under way.
pub(super) struct Uploads<'a> {
    resolver: &'a Resolver<'a>,
    clients: Vec<Client>,
    caches: Vec<Arc<Cache>>,
    running: Vec<Task<()>>,
}

/// A place that entries are left in.
struct Cache {
    remote: Remote,
    failed: Mutex<Option<RemoteError>>,
}

impl<'a> Uploads<'a> {
    /// Uploads to the repositories of `references`, and to the team's caches.
    pub(super) fn new(resolver: &'a Resolver<'a>, references: &[Reference]) -> Self {
        // What a cache of the same registry has, the push takes over from there.
        let apart = |reference: &&Reference| !resolver.team().to.iter().any(|place| place.shares_registry(reference));
        // One that cannot be reached is told of by the push.
        let clients = references.iter().filter(apart).filter_map(|reference| resolver.client(reference).ok()).collect();
        let cache = |remote: Remote| Arc::new(Cache { remote, failed: Mutex::default() });
        let places: Vec<Place> =
            resolver.team().to.iter().filter(|place| resolver.team().asks(place)).cloned().collect();
        let caches = resolver.remotes(&places).into_iter().map(cache).collect();
        Self { resolver, clients, caches, running: Vec::new() }
    }

    /// Begins to upload a blob of the store.
    pub(super) fn start(&mut self, blob: &Descriptor) {
        if !self.resolver.store.holds(blob) {
            return;
        }
        for client in self.clients.clone() {
            let blob = blob.clone();
            self.running.push(Task::start(self.resolver.runtime(), async move {
                let _ = client.push_blob(&blob).await;
            }));
        }
    }

    /// Begins to tell the team's caches of `entry`, its layer first. `found` is where it comes from, if not from here.
    pub(super) fn share(&mut self, entry: &Entry, found: Option<&Place>) {
        for cache in &self.caches {
            let place = cache.remote.place();
            if found == Some(&place) {
                continue;
            }
            let places: Vec<Place> = match entry.known.layer() {
                Some(layer) => elsewhere::places(self.resolver.store, &layer.descriptor.digest).unwrap_or_default(),
                None => BTreeSet::new(),
            }
            .into_iter()
            .collect();
            let created = Timestamp::from_second(now()).unwrap_or_default().to_string();
            let signature = self.resolver.team().signature(&created, &entry.record());
            let job = Job {
                again: self.resolver.team().refused(&place, &entry.names()),
                entry: entry.clone(),
                signed: signature.zip(self.resolver.team().signer()),
                created,
                sources: self.resolver.remotes(&places),
                places,
                store: self.resolver.store.clone(),
            };
            let cache = Arc::clone(cache);
            self.running.push(Task::start(self.resolver.runtime(), async move {
                if let Err(error) = job.run(&cache.remote).await {
                    *cache.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                }
            }));
        }
    }

    /// Waits until all are done. Gives the caches that do not have everything, and why.
    pub(super) fn finish(self) -> Vec<(Place, RemoteError)> {
        let mut failed = Vec::new();
        for upload in self.running {
            // What went wrong, the tasks have said by other means.
            let _ = upload.wait();
        }
        for cache in &self.caches {
            let published = self.resolver.runtime().block_on(cache.remote.publish());
            let error = cache.failed.lock().unwrap_or_else(PoisonError::into_inner).take().or(published.err());
            failed.extend(error.map(|error| (cache.remote.place(), error)));
        }
        failed
    }
}

/// An entry on its way.
struct Job {
    entry: Entry,
    /// What is there under its names is of no use.
    again: bool,
    /// The signature, and who signed.
    signed: Option<(String, Digest)>,
    created: String,
    /// Who has the layer.
    places: Vec<Place>,
    sources: Vec<Remote>,
    store: layers::store::Store,
}

impl Job {
    async fn run(&self, to: &Remote) -> Result<(), RemoteError> {
        let signed = self.signed.as_ref().map(|(signature, signer)| (signature.as_str(), *signer));
        if !self.again && to.lists(&self.entry.names(), signed.map(|(_, signer)| signer).as_ref()).await? {
            return Ok(());
        }
        if let Some(layer) = self.entry.known.layer() {
            self.blob(&layer.descriptor, to).await?;
        }
        to.write(&self.entry, &self.created, signed).await?;
        if let Some(layer) = self.entry.known.layer() {
            // That it is not known costs sending it once more.
            let _ = elsewhere::note(&self.store, &layer.descriptor.digest, &to.place());
        }
        Ok(())
    }

    async fn blob(&self, blob: &Descriptor, to: &Remote) -> Result<(), RemoteError> {
        if !self.places.is_empty() && to.mount(blob, &self.places).await? {
            return Ok(());
        }
        for source in &self.sources {
            if self.store.holds(blob) {
                break;
            }
            source.pull(blob, &self.store).await?;
        }
        to.push(blob, &self.store).await
    }
}

/// Tells the team's caches everything that the store knows. Gives how many entries that are.
pub fn export(resolver: &Resolver<'_>) -> Result<usize, BuildError> {
    let mut uploads = Uploads::new(resolver, &[]);
    let mut count = 0;
    for entry in cache::entries(resolver.store)? {
        let there = |layer: &LayerBlob| elsewhere::reachable(resolver.store, &layer.descriptor.digest);
        if entry.known.layer().is_none_or(there) {
            uploads.share(&entry, None);
            count += 1;
        }
    }
    match uploads.finish().into_iter().next() {
        Some((place, error)) => Err(BuildError::Cache { place, error }),
        None => Ok(count),
    }
}
