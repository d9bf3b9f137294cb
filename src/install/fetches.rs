//! Downloads of the tasks that are to run: all begin at once, and each task waits for its own.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use layers::digest::Digest;
use tempfile::NamedTempFile;

use crate::fetch::{Download, FetchError, Fetched};
use crate::op::{Source, Step};
use crate::resolve::{Resolver, local, taken_tree};
use crate::tasks::Task;

/// Downloads under way.
pub struct Fetches<'a> {
    resolver: &'a Resolver<'a>,
    directory: &'a Path,
    digests: &'a BTreeMap<Source, Digest>,
    started: BTreeMap<Source, Task<Result<Fetched, FetchError>>>,
    /// What was made of files of the blueprint for the step at work.
    copies: Vec<NamedTempFile>,
}

impl<'a> Fetches<'a> {
    /// Begins the downloads of `steps`; `digests` says what they are, `directory` is the blueprint's.
    pub fn start<'s>(
        resolver: &'a Resolver<'a>,
        directory: &'a Path,
        digests: &'a BTreeMap<Source, Digest>,
        steps: impl Iterator<Item = &'s Step>,
    ) -> Self {
        let mut fetches = Self { resolver, directory, digests, started: BTreeMap::new(), copies: Vec::new() };
        for source in steps.flat_map(Step::sources) {
            let Some(download) = fetches.download(source) else { continue };
            if !fetches.started.contains_key(source) {
                let fetcher = resolver.fetcher.clone();
                let task = Task::start(resolver.runtime, async move { fetcher.fetch(&download).await });
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

    /// Where the sources of a step are, once they are there; those of the step before may be gone then.
    pub fn files(&mut self, step: &Step) -> Result<BTreeMap<Source, PathBuf>, FetchError> {
        let mut files = BTreeMap::new();
        self.copies.clear();
        for source in step.sources() {
            let path = match (source, self.download(source)) {
                (Source::Local { path }, _) => {
                    local(self.directory, path).map_err(|source| FetchError::Write { url: path.clone(), source })?
                }
                (Source::Tree { path, excludes }, _) => {
                    let failed = |source| FetchError::Write { url: path.clone(), source };
                    let digest = self.digests.get(source).ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
                    let copy =
                        taken_tree(self.resolver.store, self.directory, path, excludes, digest).map_err(failed)?;
                    let path = copy.path().to_owned();
                    self.copies.push(copy);
                    path
                }
                (Source::Url { .. }, Some(download)) => {
                    let fetched = match self.started.remove(source) {
                        Some(task) => task.wait()??,
                        None => self.resolver.runtime.block_on(self.resolver.fetcher.fetch(&download))?,
                    };
                    self.resolver.fetcher.path(&fetched.digest)
                }
                (Source::Url { .. }, None) => continue,
            };
            files.insert(source.clone(), path);
        }
        Ok(files)
    }
}
