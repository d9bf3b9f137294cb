//! Downloads that nothing pins: what they gave, and a word about it.

use std::collections::BTreeMap;
use std::fs::File;

use layers::digest::Digest;
use layers::unpack::{Looks, strange};

use super::{ResolveError, Resolver, Result, place};
use crate::event::Event;
use crate::fetch::{Download, FetchError};
use crate::op::{Source, Step, file_of};
use crate::tasks::Task;

/// Suffixes of what is neither JSON nor XML.
const BINARY: [&str; 20] = [
    "7z", "a", "bin", "bz2", "deb", "elf", "exe", "gz", "hex", "img", "jar", "rpm", "run", "sh", "so", "tar", "tgz",
    "whl", "xz", "zip",
];

impl Resolver<'_> {
    /// Digests of downloads that nothing pins: what was seen of them before, or what comes now.
    pub(super) fn unpinned(
        &self,
        unpinned: Vec<(&Source, &Step, &str)>,
        digests: &mut BTreeMap<Source, Digest>,
    ) -> Result<()> {
        let ask = |(source, step, url): (&Source, &Step, &str)| {
            let known = if self.pull { None } else { self.fetcher.known(url) };
            let download = Download { url: url.to_owned(), sha256: None, size: None, part_of: None };
            let fetcher = self.fetcher.clone();
            let task = Task::start(self.runtime, async move {
                match known {
                    // Whoever reads it looks whether it still is.
                    Some(digest) => Ok(digest),
                    None => fetcher.fetch(&download).await.map(|fetched| fetched.digest),
                }
            });
            (source.clone(), step.name.clone(), place(step), task)
        };
        for (source, task, place, fetch) in unpinned.into_iter().map(ask).collect::<Vec<_>>() {
            let digest = fetch
                .wait()
                .map_err(FetchError::from)
                .and_then(|fetched| fetched)
                .map_err(|error| ResolveError::Download { task, place: place.clone(), error })?;
            let unpinned = format!("{place}: the download is not pinned");
            let warning = match self.strange(&source, &digest) {
                Some(looks) => format!(
                    "{unpinned}, and what came looks like {looks}: if that is not what is meant, --pull asks for it again"
                ),
                None => format!("{unpinned}; add `sha256: {}`", digest.hex()),
            };
            self.reporter.event(Event::Warning(warning));
            digests.insert(source, digest);
        }
        Ok(())
    }

    /// What a download looks like that is no such file by its name: a page of a login or an error, say.
    fn strange(&self, source: &Source, digest: &Digest) -> Option<&'static str> {
        let Source::Url { url, .. } = source else { return None };
        let looks = strange(&mut File::open(self.fetcher.path(digest)).ok()?).ok()??;
        let name = file_of(url).to_ascii_lowercase();
        let suffix = name.rsplit_once('.').map_or("", |(_, suffix)| suffix);
        let meant = match looks {
            Looks::Html => matches!(suffix, "html" | "htm" | "xhtml"),
            // Much that is meant is one of these.
            Looks::Json | Looks::Xml => !BINARY.contains(&suffix),
            Looks::LfsPointer | Looks::Empty => false,
            _ => true,
        };
        (!meant).then(|| looks.name())
    }
}
