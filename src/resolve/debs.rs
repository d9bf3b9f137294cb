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
    /// Fetches packages side by side.
    pub fn debs(&self, debs: &[DebPin]) -> Result<Vec<PathBuf>> {
        let fetch = |deb: &DebPin| {
            let (url, sha256, size) = (deb.url(), Some(deb.sha256), Some(deb.size));
            let download = Download { url, sha256, size, part_of: None };
            let fetcher = self.fetcher.clone();
            Task::start(self.runtime, async move { fetcher.fetch(&download).await })
        };
        let tasks: Vec<_> = debs.iter().map(fetch).collect();
        for (deb, task) in debs.iter().zip(tasks) {
            if let Err(error) = task.wait().map_err(FetchError::from)? {
                self.kept(deb.sha256, deb.size, error)?;
            }
        }
        Ok(debs.iter().map(|deb| self.fetcher.path(&deb.sha256)).collect())
    }

    /// The package of that digest out of the lockfile's mirror, in place of the archive that answered with `error`.
    pub fn kept(&self, sha256: Digest, size: u64, error: FetchError) -> Result<()> {
        let lost = matches!(error, FetchError::Status { .. } | FetchError::Digest { .. } | FetchError::Size { .. });
        let (Some(mirror), true) = (self.mirror, lost) else { return Err(error.into()) };
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
