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
use crate::cache::{self, Entry, Place, Remote, RemoteError, Team, elsewhere};
use crate::registry::{Client, Reference};
use crate::resolve::Resolver;
use crate::tasks::Task;

/// Which entries a place has, as far as is known here.
const SHARED: &str = "shared";

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
    /// Tags that were there before.
    known: BTreeSet<String>,
    written: Mutex<Vec<String>>,
    failed: Mutex<Option<RemoteError>>,
}

/// Where it is recorded. Entries that nobody signed, or somebody else, are other entries.
fn record(place: &Place, team: &Team) -> String {
    let signer = team.signer().map_or_else(String::new, |key| format!("\n{}", key.hex()));
    // 2: entries that do not say which way an archive's layer came are written once more.
    Digest::of(format!("{place}{signer}\n2")).hex()
}

impl<'a> Uploads<'a> {
    /// Uploads to the repositories of `references`, and to the team's caches.
    pub(super) fn new(resolver: &'a Resolver<'a>, references: &[Reference]) -> Self {
        // What a cache of the same registry has, the push takes over from there.
        let apart = |reference: &&Reference| !resolver.team.to.iter().any(|place| place.shares_registry(reference));
        // One that cannot be reached is told of by the push.
        let clients = references.iter().filter(apart).filter_map(|reference| resolver.client(reference).ok()).collect();
        let cache = |remote: Remote| {
            let record = record(&remote.place(), resolver.team);
            let known = cache::get(resolver.store, SHARED, &record).ok().flatten().unwrap_or_default();
            Arc::new(Cache { remote, known, written: Mutex::default(), failed: Mutex::default() })
        };
        let places: Vec<Place> = resolver.team.to.iter().filter(|place| resolver.team.asks(place)).cloned().collect();
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
            self.running.push(Task::start(self.resolver.runtime, async move {
                let _ = client.push_blob(&blob).await;
            }));
        }
    }

    /// Begins to tell the team's caches of `entry`, its layer first. `found` is where it comes from, if not from here.
    pub(super) fn share(&mut self, entry: &Entry, found: Option<&Place>) {
        for cache in &self.caches {
            let tags = entry.tags();
            if found == Some(&cache.remote.place()) {
                cache.written.lock().unwrap_or_else(PoisonError::into_inner).extend(tags);
                continue;
            }
            if tags.iter().all(|tag| cache.known.contains(tag)) {
                continue;
            }
            let places: Vec<Place> = match entry.known.layer() {
                Some(layer) => elsewhere::places(self.resolver.store, &layer.descriptor.digest).unwrap_or_default(),
                None => BTreeSet::new(),
            }
            .into_iter()
            .collect();
            let created = Timestamp::from_second(self.resolver.now).unwrap_or_default().to_string();
            let job = Job {
                entry: entry.clone(),
                signature: self.resolver.team.signature(&created, &entry.record()),
                created,
                sources: self.resolver.remotes(&places),
                places,
                store: self.resolver.store.clone(),
            };
            let cache = Arc::clone(cache);
            self.running.push(Task::start(self.resolver.runtime, async move {
                match job.run(&cache.remote).await {
                    Ok(()) => cache.written.lock().unwrap_or_else(PoisonError::into_inner).extend(job.entry.tags()),
                    Err(error) => *cache.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error),
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
            let place = cache.remote.place();
            let written = std::mem::take(&mut *cache.written.lock().unwrap_or_else(PoisonError::into_inner));
            let known: BTreeSet<String> = cache.known.iter().cloned().chain(written).collect();
            if known != cache.known {
                // That it is not known next time costs a few requests.
                let _ = cache::put(self.resolver.store, SHARED, &record(&place, self.resolver.team), &known);
            }
            let error = cache.failed.lock().unwrap_or_else(PoisonError::into_inner).take();
            failed.extend(error.map(|error| (place, error)));
        }
        failed
    }
}

/// An entry on its way.
struct Job {
    entry: Entry,
    signature: Option<String>,
    created: String,
    /// Who has the layer.
    places: Vec<Place>,
    sources: Vec<Remote>,
    store: layers::store::Store,
}

impl Job {
    async fn run(&self, to: &Remote) -> Result<(), RemoteError> {
        if let Some(layer) = self.entry.known.layer() {
            self.blob(&layer.descriptor, to).await?;
        }
        to.write(&self.entry, &self.created, self.signature.as_deref()).await?;
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
