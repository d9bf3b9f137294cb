//! What downloads are worth: which URL is known to have given what, and what is forgotten since nobody could use it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use layers::digest::Digest;
use layers::stop::Stop;
use layers::store::StoreError;
use layers::unpack::is_whole;

use super::Resolver;
use crate::cache::{self, Place};
use crate::event::Event;
use crate::fetch::{Download, FetchError, WITNESSED, Witnessed};
use crate::op::{Source, Step};
use crate::target::{UNPACKING, told_of_archive};
use crate::tasks::Task;

/// What such records are called among a team.
pub const WITNESS: &str = "witness";

impl Resolver<'_> {
    /// Downloads of `steps` whose digests say nothing of their URLs by themselves.
    fn doubted<'s>(&self, steps: impl IntoIterator<Item = &'s Step>) -> Vec<(&'s Step, &'s str, Witnessed)> {
        let sources = steps.into_iter().flat_map(|step| step.sources().map(move |source| (step, source)));
        let doubted = sources.filter_map(|(step, source)| match source {
            Source::Url { url, sha256: Some(digest) } if self.fetcher().is_doubted(url) => {
                Some((step, url.as_str(), Witnessed::new(url, *digest)))
            }
            _ => None,
        });
        doubted.collect()
    }

    /// What is known, here or by the team, of what the URLs of `steps` gave; with each who said so.
    pub fn witnessed<'s>(
        &self,
        steps: impl IntoIterator<Item = &'s Step>,
    ) -> Result<Vec<(Witnessed, Option<Place>)>, StoreError> {
        let mut known = BTreeMap::new();
        for (_, _, one) in self.doubted(steps) {
            let key = one.key();
            if self.fetcher().has_witnessed(&one) {
                known.insert(key, (one, None));
            } else if cache::get::<Witnessed>(self.store, WITNESSED, &key.hex())?.is_some_and(|other| other == one) {
                self.fetcher().vouch(&one);
                known.insert(key, (one, None));
            } else if let Some((_, place)) =
                self.shared_value::<Witnessed>(WITNESS, key).filter(|(other, _)| *other == one)
            {
                cache::put(self.store, WITNESSED, &key.hex(), &one)?;
                self.fetcher().vouch(&one);
                known.insert(key, (one, Some(place)));
            }
        }
        Ok(known.into_values().collect())
    }

    /// URLs of `steps` that will be asked for, as their digests are known and not that they give them.
    pub fn unseen<'s>(&self, steps: impl IntoIterator<Item = &'s Step>) -> BTreeSet<String> {
        let unseen = self.doubted(steps).into_iter().filter(|(_, _, one)| !self.fetcher().has_witnessed(one));
        unseen.map(|(_, url, _)| self.fetcher().shown(url)).collect()
    }

    /// Asks those URLs of `steps` whose files would otherwise not be fetched: since their layers are there, as `cached`
    /// says, or since another URL has given what has that digest. Gives the step whose URL gave something else.
    pub fn ask_doubted<'s>(
        &self,
        cached: impl IntoIterator<Item = &'s Step>,
        others: impl IntoIterator<Item = &'s Step>,
    ) -> Result<(), (&'s Step, FetchError)> {
        let cached = self.doubted(cached).into_iter();
        let here = self.doubted(others).into_iter().filter(|(_, _, one)| self.fetcher().have(&one.digest));
        let mut asked: BTreeMap<Digest, (&Step, Task<Result<_, FetchError>>)> = BTreeMap::new();
        for (step, url, one) in cached.chain(here) {
            if self.fetcher().has_witnessed(&one) || asked.contains_key(&one.key()) {
                continue;
            }
            let shown = self.fetcher().shown(url);
            let note = format!("{shown} is asked for: its digest is known, and not that this URL gives it");
            self.reporter().event(Event::Note(note));
            let download = Download { url: url.to_owned(), sha256: Some(one.digest), size: None, part_of: None };
            let fetcher = self.fetcher().clone();
            let task = Task::start(self.runtime(), async move { fetcher.fetch(&download).await });
            asked.insert(one.key(), (step, task));
        }
        for (step, task) in asked.into_values() {
            task.wait().map_err(FetchError::from).and_then(|fetched| fetched).map_err(|error| (step, error))?;
        }
        Ok(())
    }

    /// What helps whom the archives of a task fail, as `message` says: what they are, and how to look into them.
    ///
    /// Forgets what URLs gave, where nothing pins it and the archive cannot be read to its end: the next time it is asked
    /// for again.
    pub fn told_of_archives(
        &self,
        step: &Step,
        digests: &BTreeMap<Source, Digest>,
        directory: &Path,
        message: &str,
    ) -> Result<Vec<String>, StoreError> {
        let mut hints = Vec::new();
        for source in step.sources().filter(|source| message.starts_with(UNPACKING) && step.unpacks(source)) {
            let path = match (source, digests.get(source)) {
                (Source::Local { path }, _) => directory.join(path),
                (_, Some(digest)) => self.fetcher().path(digest),
                _ => continue,
            };
            let shown = path.display().to_string();
            hints.extend(layers::regular::open(&path).and_then(|mut file| told_of_archive(&mut file, &shown)));
        }
        let mut forgotten = Vec::new();
        for source in step.sources().filter(|source| step.unpacks(source)) {
            let (Source::Url { url, sha256: None }, Some(digest)) = (source, digests.get(source)) else { continue };
            let file = layers::regular::open(&self.fetcher().path(digest));
            if file.is_ok_and(|file| is_whole(file, &Stop::default()).is_err()) {
                self.fetcher().forget(url)?;
                forgotten.push(self.fetcher().shown(url));
            }
        }
        if !forgotten.is_empty() {
            let shown = forgotten.join(", ");
            hints.push(format!(
                "what {shown} gave is forgotten, and asked for again the next time: nothing has to be deleted"
            ));
        }
        Ok(hints)
    }
}
