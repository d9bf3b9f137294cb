//! Packages that a lockfile pins: from the archive, or from the registry where `alloy lock --mirror-to` kept them.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use layers::digest::Digest;
use layers::media_type::Descriptor;

use super::{Resolver, Result};
use crate::debian::DebianError;
use crate::event::Event;
use crate::fetch::{Download, FetchError, Fetched, Transfer};
use crate::lock::DebPin;
use crate::registry::Reference;
use crate::tasks::Task;

impl Resolver<'_> {
    /// Fetches packages of an archive side by side.
    pub fn debs(&self, debs: &[DebPin]) -> Result<Vec<PathBuf>> {
        self.pinned(debs.iter().map(|deb| (deb.url(), deb.sha256, deb.size)), None)
    }

    /// Fetches packages by URL, digest and size, side by side; `shown` is the transfer that they are parts of.
    pub fn pinned(
        &self,
        packages: impl Iterator<Item = (String, Digest, u64)>,
        shown: Option<&Arc<Transfer>>,
    ) -> Result<Vec<PathBuf>> {
        let fetch = |(url, sha256, size): (String, Digest, u64)| {
            let part_of = shown.cloned();
            let download = Download { url: url.clone(), sha256: Some(sha256), size: Some(size), part_of };
            let fetcher = self.fetcher().clone();
            (url, sha256, size, Task::start(self.runtime(), async move { fetcher.fetch(&download).await }))
        };
        let tasks: Vec<_> = packages.map(fetch).collect();
        let mut paths = Vec::new();
        for (url, sha256, size, task) in tasks {
            self.or_kept(&url, Some((sha256, size)), || task.wait()?)?;
            paths.push(self.fetcher().path(&sha256));
        }
        Ok(paths)
    }

    /// What `fetched` gives of `url`, a file that is pinned, or the same file of the lockfile's mirror where the server no
    /// longer has it or cannot be reached: what it is, its digest says. A server that did not answer is not waited for
    /// again.
    pub fn or_kept(
        &self,
        url: &str,
        pinned: Option<(Digest, u64)>,
        fetched: impl FnOnce() -> std::result::Result<Fetched, FetchError>,
    ) -> std::result::Result<Fetched, FetchError> {
        let Some((digest, size)) = pinned.filter(|_| self.request.mirror.is_some()) else { return fetched() };
        let same = Fetched { digest, size };
        if self.request.kept.is_silent(url) && !self.fetcher().have(&digest) && self.take_kept(url, digest, size, None)
        {
            return Ok(same);
        }
        fetched().or_else(|error| if self.take_kept(url, digest, size, Some(&error)) { Ok(same) } else { Err(error) })
    }

    /// The indexes that a lockfile pins, out of its mirror, where the archive answers with `error`. False if they are not
    /// there either.
    pub(super) fn take_indexes(&self, error: &DebianError) -> bool {
        let error = match error {
            DebianError::Gone { .. } => None,
            DebianError::Fetch(error) => Some(error),
            _ => return false,
        };
        let pockets = self.request.pin.iter().flat_map(|pin| &pin.pockets);
        let mut missing = pockets.filter(|pocket| !self.fetcher().have(&pocket.sha256)).peekable();
        missing.peek().is_some()
            && missing.all(|pocket| {
                let url = format!("{}/{}", pocket.uri, pocket.index);
                self.take_kept(&url, pocket.sha256, pocket.size, error)
            })
    }

    /// Gets a file out of the lockfile's mirror, where `error` means that its server lost it. False if that failed.
    fn take_kept(&self, url: &str, sha256: Digest, size: u64, error: Option<&FetchError>) -> bool {
        let Some(mirror) = self.request.mirror.as_deref() else { return false };
        let gone = matches!(error, Some(FetchError::Connection { .. } | FetchError::Stalled { .. }));
        let lost = matches!(
            error,
            None | Some(FetchError::Status { .. } | FetchError::Digest { .. } | FetchError::Size { .. })
        );
        if !gone && !lost {
            return false;
        }
        if let Err(why) = self.out_of(mirror, sha256, size) {
            let message = format!(
                "{} cannot be taken from {mirror}, which alloy.lock.yml names: {why}",
                self.fetcher().shown(url)
            );
            self.reporter().event(Event::Warning(message));
            return false;
        }
        if self.request.kept.note(url, mirror, gone)
            && let Some(error) = error
        {
            self.reporter()
                .event(Event::Note(format!("{error}; it is taken from {mirror}, as is all else that is lost there")));
        }
        true
    }

    fn out_of(&self, mirror: &str, sha256: Digest, size: u64) -> Result<()> {
        let reference: Reference = mirror.parse().map_err(crate::image::BaseRefError::from)?;
        let client = self.client(&reference)?;
        let descriptor = Descriptor { media_type: String::new(), digest: sha256, size };
        self.runtime().block_on(client.blob(&descriptor))?;
        let path = self.fetcher().path(&sha256);
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
