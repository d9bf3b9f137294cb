//! Packages that a lockfile pins: from the archive, or from the registry where `alloy lock --mirror-to` kept them.

use std::io;
use std::path::PathBuf;

use layers::digest::Digest;
use layers::media_type::Descriptor;

use super::{Resolver, Result};
use crate::event::Event;
use crate::fetch::{Download, FetchError};
use crate::lock::DebPin;
use crate::registry::Reference;
use crate::tasks::Task;

impl Resolver<'_> {
    /// Fetches packages of an archive side by side.
    pub fn debs(&self, debs: &[DebPin]) -> Result<Vec<PathBuf>> {
        self.pinned(debs.iter().map(|deb| (deb.url(), deb.sha256, deb.size)))
    }

    /// Fetches packages by URL, digest and size, side by side.
    pub fn pinned(&self, packages: impl Iterator<Item = (String, Digest, u64)>) -> Result<Vec<PathBuf>> {
        let fetch = |(url, sha256, size)| {
            let download = Download { url, sha256: Some(sha256), size: Some(size), part_of: None };
            let fetcher = self.fetcher.clone();
            (sha256, size, Task::start(self.runtime, async move { fetcher.fetch(&download).await }))
        };
        let tasks: Vec<_> = packages.map(fetch).collect();
        let mut paths = Vec::new();
        for (sha256, size, task) in tasks {
            match task.wait().map_err(FetchError::from)? {
                Err(error) if self.may_be_kept(&error) => self.kept(sha256, size, &error)?,
                fetched => _ = fetched?,
            }
            paths.push(self.fetcher.path(&sha256));
        }
        Ok(paths)
    }

    /// True if the server no longer has the package, or cannot be reached, and the lockfile names a registry that may have
    /// it: what it is, its digest says.
    pub fn may_be_kept(&self, error: &FetchError) -> bool {
        let lost = matches!(error, FetchError::Status { .. } | FetchError::Digest { .. } | FetchError::Size { .. });
        let gone = matches!(error, FetchError::Connection { .. } | FetchError::Stalled { .. });
        (lost || gone) && self.mirror.is_some()
    }

    /// Gets the package of that digest out of the lockfile's mirror, in place of the server that answered with `error`.
    pub fn kept(&self, sha256: Digest, size: u64, error: &FetchError) -> Result<()> {
        let mirror = self.mirror.unwrap_or_default();
        self.reporter.event(Event::Note(format!("{error}; it is taken from {mirror}")));
        let reference: Reference = mirror.parse().map_err(crate::image::BaseRefError::from)?;
        let client = self.client(&reference)?;
        let descriptor = Descriptor { media_type: String::new(), digest: sha256, size };
        self.runtime.block_on(client.blob(&descriptor))?;
        let path = self.fetcher.path(&sha256);
        let failed = |source: io::Error| FetchError::Write { url: mirror.to_owned(), source };
        // Beside its place first: whoever finds it there finds all of it.
        let directory = path.parent().unwrap_or(&path);
        std::fs::create_dir_all(directory).map_err(failed)?;
        let mut file = tempfile::NamedTempFile::new_in(directory).map_err(failed)?;
        self.store.read_whole(&sha256, |mut blob| {
            io::copy(&mut blob, &mut file).map_err(failed)?;
            Ok::<_, super::ResolveError>(())
        })?;
        file.persist(&path).map_err(|error| failed(error.error))?;
        Ok(())
    }
}
