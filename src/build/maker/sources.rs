//! What steps read: files of the blueprint, and downloads, waited for when a step wants them.

use std::path::PathBuf;

use layers::digest::Digest;
use tempfile::NamedTempFile;

use super::{Maker, Result};
use crate::build::BuildError;
use crate::fetch::{Download, FetchError, Fetched, Wanted};
use crate::op::{Source, Step};
use crate::resolve::{taken, taken_tree};

/// Where each source of a step is.
type Paths = Vec<(Source, PathBuf)>;

impl Maker<'_> {
    /// Where the sources of a step are, once they are there, and the copies of the blueprint's files among them, which
    /// are there as long as these are kept.
    pub(super) fn files(&mut self, step: &Step) -> Result<(Paths, Vec<NamedTempFile>)> {
        let (mut files, mut copies) = (Vec::new(), Vec::new());
        for source in step.sources() {
            let failed = |error| BuildError::of_download(step, error);
            let path = match source {
                Source::Local { path } | Source::Tree { path, .. } => {
                    let digest = self.inputs.sources.get(source);
                    let digest = digest.ok_or_else(|| BuildError::UnknownSource(source.clone()))?;
                    let (store, directory) = (self.build.resolver.store, self.build.directory);
                    let copy = match source {
                        Source::Tree { excludes, .. } => taken_tree(store, directory, path, excludes, digest),
                        _ => taken(store, directory, path, digest),
                    };
                    let copy = copy.map_err(|source| failed(FetchError::Local { path: path.clone(), source }))?;
                    let path = copy.path().to_owned();
                    copies.push(copy);
                    path
                }
                Source::Url { url, sha256 } => {
                    let digest = sha256.or_else(|| self.inputs.sources.get(source).copied());
                    let pinned = digest.zip(step.package(source));
                    let resolver = self.build.resolver;
                    let fetched = resolver.or_kept(url, pinned, || self.fetched(source, url, digest));
                    match (fetched, step.deb(source)) {
                        (Ok(fetched), _) => {
                            if let Some(wanted) = Wanted::of(step, source) {
                                let pinned = sha256.is_some();
                                self.build.resolver.fetcher().is_a(wanted, url, &fetched, pinned).map_err(failed)?;
                            }
                            self.build.resolver.fetcher().path(&fetched.digest)
                        }
                        (Err(error), Some(deb)) => return Err(BuildError::of_package(step, deb, error)),
                        (Err(error), None) => return Err(failed(error)),
                    }
                }
            };
            files.push((source.clone(), path));
        }
        Ok((files, copies))
    }

    /// Waits for a download, or fetches it now.
    fn fetched(
        &mut self,
        source: &Source,
        url: &str,
        sha256: Option<Digest>,
    ) -> std::result::Result<Fetched, FetchError> {
        if let Some(task) = self.fetches.remove(source) {
            task.wait()??;
        }
        let download = Download { url: url.to_owned(), sha256, size: None, part_of: None };
        self.build.resolver.runtime().block_on(self.build.resolver.fetcher().fetch(&download))
    }
}
