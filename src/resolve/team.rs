//! What a team's caches know: all that is wanted, asked for at once, and believed only if it fits.

use std::collections::BTreeMap;

use futures_util::{StreamExt, stream};
use layers::digest::Digest;
use serde::de::DeserializeOwned;

use super::{ResolveError, Resolver};
use crate::cache::{CheckError, Directory, Entry, EntryError, Known, Place, Remote, RemoteError, Wanted, Written};
use crate::event::Event;

/// Questions on their way at once.
const PARALLEL: usize = 24;

impl Resolver<'_> {
    /// Opens a place; one that is open already stays so.
    pub fn remote(&self, place: &Place) -> Result<Remote, ResolveError> {
        self.team().opened(place, || {
            Ok(match place {
                Place::Registry(reference) => Remote::repository(self.client(reference)?),
                Place::Directory(path) => Remote::directory(Directory::new(path)),
            })
        })
    }

    /// Opens those of `places` that can be opened, and tells of the others.
    pub fn remotes(&self, places: &[Place]) -> Vec<Remote> {
        let open = |place: &Place| match self.remote(place) {
            Ok(remote) => Some(remote),
            Err(error) => {
                self.not_used(place, &error);
                None
            }
        };
        places.iter().filter_map(open).collect()
    }

    fn not_used(&self, place: &Place, error: &dyn std::fmt::Display) {
        if self.team().give_up(place) {
            self.reporter().event(Event::Warning(format!("the cache {place} is not used: {error}")));
        }
    }

    /// What the team knows of each of `wanted`, and where it was found. The first place that has a good answer counts.
    pub fn ask(&self, wanted: &[Wanted]) -> Vec<Option<(Entry, Place)>> {
        let mut found: Vec<Option<(Entry, Place)>> = wanted.iter().map(|_| None).collect();
        if wanted.is_empty() || self.team().from.is_empty() {
            return found;
        }
        let places: Vec<Place> = self.team().from.iter().filter(|place| self.team().asks(place)).cloned().collect();
        let remotes = self.remotes(&places);
        let questions =
            remotes.iter().flat_map(|remote| wanted.iter().enumerate().map(move |(at, one)| (remote, at, one)));
        let questions = questions.collect::<Vec<_>>();
        let asked = stream::iter(questions)
            .map(|(remote, at, one)| async move { (remote, at, self.answer(remote, one).await) })
            .buffered(PARALLEL)
            .collect::<Vec<_>>();
        // One line for a place that is not there, not one for each key.
        let mut silent: BTreeMap<Place, RemoteError> = BTreeMap::new();
        for (remote, at, answer) in self.runtime().block_on(asked) {
            match answer {
                Ok(Some(entry)) if found[at].is_none() => found[at] = Some((entry, remote.place())),
                Ok(_) => {}
                Err(RemoteError::Entry(error)) => {
                    let (name, place) = (wanted[at].name(), remote.place());
                    self.reporter()
                        .event(Event::Warning(format!("cache entry {name} of {place} is not used: {error}")));
                    self.team().refuse(place, name);
                }
                Err(error) => drop(silent.entry(remote.place()).or_insert(error)),
            }
        }
        for (place, error) in &silent {
            self.not_used(place, error);
        }
        found
    }

    async fn answer(&self, remote: &Remote, wanted: &Wanted) -> Result<Option<Entry>, RemoteError> {
        let Some(written) = remote.read(&wanted.name()).await? else { return Ok(None) };
        wanted.check(&written.entry)?;
        self.signed(&wanted.name(), &written)?;
        let Some(layer) = written.entry.known.layer() else { return Ok(Some(written.entry)) };
        let blob = &layer.descriptor;
        if !self.team().trusts(&blob.digest) {
            self.team().refuse(remote.place(), wanted.name());
            return Ok(None);
        }
        // Registries forget layers that nothing leads to; better known now than when it is needed.
        if !self.store.holds(blob) && !remote.has(blob).await? {
            return Err(EntryError::Missing(blob.digest).into());
        }
        Ok(Some(written.entry))
    }

    /// Fails unless whoever is trusted has signed the entry under `tag`, and nothing newer was seen there.
    pub fn signed(&self, tag: &str, written: &Written) -> Result<(), CheckError> {
        self.team().check(self.store, tag, written)
    }

    /// What the team knows of that kind under `key`, and who said so.
    pub fn shared_value<T: DeserializeOwned>(&self, what: &'static str, key: Digest) -> Option<(T, Place)> {
        let wanted = Wanted { kind: what, key, preimage: serde_json::Value::Null, any_parent: false, portable: None };
        let (entry, place) = self.ask(std::slice::from_ref(&wanted)).pop()??;
        match entry.known {
            Known::Value { value, .. } => Some((serde_json::from_value(value).ok()?, place)),
            _ => None,
        }
    }
}
