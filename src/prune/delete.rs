//! Deleting what no image needs. Nothing is made on the way: the disk may be full.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use layers::digest::Digest;
use layers::root::remove_tree;
use layers::store::{Stale, Store, StoreError};

use super::found::{Found, Item, What, children, size};
use crate::cache::{self, elsewhere};
use crate::event::{self, Event, Reporter};
use crate::resolve;
use crate::target::image::ImageTarget;
use crate::vars::Vars;

/// How many of what could not be deleted are named.
const NAMED: usize = 5;

/// From how many bytes on it is said beforehand what will be deleted.
const MUCH: u64 = 1 << 30;
/// How often it is said how far it got.
const OFTEN: Duration = Duration::from_secs(10);

/// What was not deleted so far.
pub struct Deleted {
    progress: Progress,
    /// Files of the image's users, which an ordinary user reaches only in a namespace of his own, and their bytes.
    hard: Vec<(PathBuf, u64)>,
    /// Held until they are deleted.
    stale: Vec<Stale>,
    failed: Vec<(PathBuf, String)>,
}

/// Says how far it got, as deleting millions of files takes minutes.
struct Progress {
    reporter: Reporter,
    total: u64,
    done: u64,
    said: Instant,
}

impl Progress {
    fn begin(&mut self, total: u64) {
        self.total = total;
        if total >= MUCH {
            self.say(format!("deleting {}", event::bytes(total)));
        }
    }

    fn add(&mut self, bytes: u64) {
        self.done += bytes;
        if self.said.elapsed() >= OFTEN {
            self.say(format!("deleted {} of {}", event::bytes(self.done), event::bytes(self.total.max(self.done))));
        }
    }

    fn say(&mut self, text: String) {
        self.reporter.event(Event::Note(text));
        self.said = Instant::now();
    }
}

impl Deleted {
    /// Nothing yet.
    pub fn new(reporter: Reporter) -> Self {
        let progress = Progress { reporter, total: 0, done: 0, said: Instant::now() };
        Self { progress, hard: Vec::new(), stale: Vec::new(), failed: Vec::new() }
    }

    /// Deletes what the dead left behind: of no use to anybody, whoever is at work. Who is `alone` knows that everything
    /// that is under way is theirs.
    pub fn left_behind(&mut self, store: &Store, found: &Found, alone: bool) -> Result<(), StoreError> {
        store.sweep_temporaries(false)?;
        for stale in store.stale()? {
            self.tree(&stale.path, 0);
            self.stale.push(stale);
        }
        if alone {
            for path in store.unheld_temporaries()? {
                self.tree(&path, 0);
            }
        }
        for (path, key) in &found.unfinished {
            // Where no lock can be made, they wait until somebody is alone.
            if let Ok(Some(_lock)) = store.try_lock(&format!("fetch-{key}")) {
                self.tree(path, 0);
            }
        }
        store.sweep_locks(false)?;
        Ok(())
    }

    /// Deletes what was chosen; `everything` is all that no image needs, and nobody else who is at work.
    pub fn unneeded(&mut self, store: &Store, found: &Found, everything: bool) -> Result<(), StoreError> {
        // Records first: one without its layer would be a lie, a layer without its record is only unused.
        for (key, _) in &found.records {
            cache::forget(store, key)?;
        }
        if everything {
            cache::forget_portable(store, |digest| found.needs(digest))?;
            store.forget_trusting(&cache::BELIEVED)?;
            let bases = resolve::base_layers(store)?;
            elsewhere::retain(store, |digest| found.needs(digest) || bases.contains(digest))?;
            store.forget_diff_ids(|digest| found.needs(digest) || bases.contains(digest))?;
        } else {
            let gone: BTreeSet<Digest> = found.items.iter().filter_map(Item::blob).collect();
            cache::forget_portable(store, |digest| !gone.contains(digest))?;
        }
        self.progress.begin(found.unneeded_bytes());
        for item in &found.items {
            match &item.what {
                What::Blob(digest) => {
                    store.remove_blob(digest)?;
                    self.progress.add(item.bytes);
                }
                What::Tree(name) => {
                    let path = store.retire_tree(name)?;
                    self.tree(&path, item.bytes);
                }
                What::Path(path) => self.tree(path, item.bytes),
            }
        }
        if everything {
            // Directories of caches that nothing is in any more.
            children(&store.root().join("cache")).iter().for_each(|path| self.tree(path, 0));
        }
        Ok(())
    }

    /// Deletes all of them, as far as this process can.
    pub fn all(&mut self, paths: &[PathBuf]) {
        paths.iter().for_each(|path| self.tree(path, 0));
    }

    /// Deletes a file or a directory of so many bytes, as far as this process can.
    fn tree(&mut self, path: &Path, bytes: u64) {
        match remove_tree(path) {
            Ok(()) => self.progress.add(bytes),
            Err(_) => self.hard.push((path.to_owned(), bytes)),
        }
    }

    /// Deletes in a namespace what could not be deleted without.
    pub fn out_of_reach(&mut self, store: &Store, vars: &Vars) {
        let hard = std::mem::take(&mut self.hard);
        if hard.is_empty() {
            return;
        }
        let all_failed = |error: String| hard.iter().map(|(path, _)| (path.clone(), error.clone())).collect::<Vec<_>>();
        match ImageTarget::start(store, vars) {
            Ok(mut target) => {
                for (path, bytes) in &hard {
                    match target.remove(vec![path.clone()]) {
                        Ok(()) => self.progress.add(*bytes),
                        Err(error) => self.failed.push((path.clone(), error.to_string())),
                    }
                }
                if let Err(error) = target.finish() {
                    self.failed.push((store.root().join("work"), error.to_string()));
                }
            }
            Err(error) => self.failed.extend(all_failed(error.to_string())),
        }
        self.stale.clear();
    }

    /// Bytes of what is still there.
    pub fn kept_bytes(&self) -> u64 {
        self.failed.iter().map(|(path, _)| size(path)).sum()
    }

    /// An error that names what is still there.
    pub fn check(self) -> Result<(), NotDeleted> {
        match self.failed.first() {
            None => Ok(()),
            Some((_, why)) => Err(NotDeleted { why: why.clone(), paths: paths_of(&self.failed) }),
        }
    }
}

fn paths_of(failed: &[(PathBuf, String)]) -> Vec<PathBuf> {
    failed.iter().map(|(path, _)| path.clone()).collect()
}

/// What should be gone, and is still there.
#[derive(Debug, thiserror::Error)]
#[error("not all of it could be deleted: {why}{}", named(paths))]
#[non_exhaustive]
pub struct NotDeleted {
    /// Why the first of them was not deleted.
    pub why: String,
    /// What is still there.
    pub paths: Vec<PathBuf>,
}

/// The first of `paths`, each on a line, and how many more there are.
fn named(paths: &[PathBuf]) -> String {
    let named: Vec<String> = paths.iter().take(NAMED).map(|path| format!("\n  {}", path.display())).collect();
    let more = paths.len().saturating_sub(NAMED);
    let more = if more > 0 { format!("\n  and {more} more") } else { String::new() };
    named.concat() + &more
}
