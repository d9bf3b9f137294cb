//! Downloads of the tasks that are to run: all begin at once, and each task waits for its own.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use layers::digest::Digest;
use layers::store::StoreError;
use tempfile::NamedTempFile;

use crate::fetch::{Download, FetchError, Fetched, Wanted};
use crate::op::{Source, Step};
use crate::resolve::{Resolver, taken, taken_tree};
use crate::tasks::Task;

/// Where each source of a step is.
type Paths = BTreeMap<Source, PathBuf>;

/// Downloads under way.
pub struct Fetches<'a> {
    resolver: &'a Resolver<'a>,
    directory: &'a Path,
    digests: &'a BTreeMap<Source, Digest>,
    started: BTreeMap<Source, Task<Result<Fetched, FetchError>>>,
}

impl<'a> Fetches<'a> {
    /// Begins the downloads of `steps`; `digests` says what they are, `directory` is the blueprint's.
    pub fn start<'s>(
        resolver: &'a Resolver<'a>,
        directory: &'a Path,
        digests: &'a BTreeMap<Source, Digest>,
        steps: impl Iterator<Item = &'s Step>,
    ) -> Self {
        let mut fetches = Self { resolver, directory, digests, started: BTreeMap::new() };
        for source in steps.flat_map(Step::sources) {
            let Some(download) = fetches.download(source) else { continue };
            if !fetches.started.contains_key(source) {
                let fetcher = resolver.fetcher().clone();
                let task = Task::start(resolver.runtime(), async move { fetcher.fetch(&download).await });
                fetches.started.insert(source.clone(), task);
            }
        }
        fetches
    }

    fn download(&self, source: &Source) -> Option<Download> {
        let Source::Url { url, .. } = source else { return None };
        let sha256 = self.digests.get(source).copied();
        Some(Download { url: url.clone(), sha256, size: None, part_of: None })
    }

    /// What helps whom the archives of a step fail, as `message` says. What was of no use is forgotten.
    pub fn told_of_archives(&self, step: &Step, message: &str) -> Result<Vec<String>, StoreError> {
        self.resolver.told_of_archives(step, self.digests, self.directory, message)
    }

    /// Where the sources of a step are, once they are there, and the copies of the blueprint's files among them, which
    /// are there as long as these are kept.
    pub fn files(&mut self, step: &Step) -> Result<(Paths, Vec<NamedTempFile>), FetchError> {
        let (mut files, mut copies) = (Paths::new(), Vec::new());
        for source in step.sources() {
            let path = match (source, self.download(source)) {
                (Source::Local { path } | Source::Tree { path, .. }, _) => {
                    let copy = self.copy(source).map_err(|source| FetchError::Local { path: path.clone(), source })?;
                    let place = copy.path().to_owned();
                    copies.push(copy);
                    place
                }
                (Source::Url { url, sha256 }, Some(download)) => {
                    let pinned = download.sha256.zip(step.package(source));
                    let fetched = self.resolver.or_kept(url, pinned, || match self.started.remove(source) {
                        Some(task) => task.wait()?,
                        None => self.resolver.runtime().block_on(self.resolver.fetcher().fetch(&download)),
                    })?;
                    if let Some(wanted) = Wanted::of(step, source) {
                        self.resolver.fetcher().is_a(wanted, url, &fetched, sha256.is_some())?;
                    }
                    self.resolver.fetcher().path(&fetched.digest)
                }
                (Source::Url { .. }, None) => continue,
            };
            files.insert(source.clone(), path);
        }
        Ok((files, copies))
    }

    /// A copy of what the blueprint has. What is recorded as done is what the digest says.
    fn copy(&self, source: &Source) -> io::Result<NamedTempFile> {
        let digest = self.digests.get(source).ok_or(io::ErrorKind::NotFound)?;
        let (store, directory) = (self.resolver.store, self.directory);
        match source {
            Source::Tree { path, excludes } => taken_tree(store, directory, path, excludes, digest),
            Source::Local { path } | Source::Url { url: path, .. } => taken(store, directory, path, digest),
        }
    }
}
