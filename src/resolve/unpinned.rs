//! Downloads that nothing pins: what they gave, and a word about it.

use std::collections::BTreeMap;
use std::fs::File;

use layers::digest::Digest;

use super::{ResolveError, Resolver, Result, place};
use crate::event::Event;
use crate::fetch::{Download, FetchError, unlike_its_name};
use crate::op::{Source, Step};
use crate::tasks::Task;

impl Resolver<'_> {
    /// Digests of downloads that nothing pins: what was seen of them before, or what comes now.
    pub(super) fn unpinned(
        &self,
        unpinned: Vec<(&Source, &Step, &str)>,
        digests: &mut BTreeMap<Source, Digest>,
    ) -> Result<()> {
        let ask = |(source, step, url): (&Source, &Step, &str)| {
            let known = if self.request.pull { None } else { self.fetcher().known(url) };
            let download = Download { url: url.to_owned(), sha256: None, size: None, part_of: None };
            let fetcher = self.fetcher().clone();
            let task = Task::start(self.runtime(), async move {
                match known {
                    // Whoever reads it looks whether it still is.
                    Some(digest) => Ok(digest),
                    None => fetcher.fetch(&download).await.map(|fetched| fetched.digest),
                }
            });
            // Several may stand in one list.
            let listed = step.installs(source) && step.fields.get("debs").is_some();
            (source.clone(), step.name.clone(), place(step), listed, task)
        };
        for (source, task, place, listed, fetch) in unpinned.into_iter().map(ask).collect::<Vec<_>>() {
            let digest = fetch
                .wait()
                .map_err(FetchError::from)
                .and_then(|fetched| fetched)
                .map_err(|error| ResolveError::Download { task, place: place.clone(), error })?;
            let url = match &source {
                Source::Url { url, .. } if listed => Some(self.fetcher().shown(url)),
                _ => None,
            };
            let what = url.as_ref().map_or_else(|| "the download".to_owned(), |url| format!("`{url}` in `debs`"));
            let unpinned = format!("{place}: {what} is not pinned");
            let warning = match self.strange(&source, &digest) {
                Some(looks) => format!(
                    "{unpinned}, and what came looks like {looks}: if that is not what is meant, --pull asks for it again"
                ),
                None => match url {
                    Some(url) => format!("{unpinned}; write `{{url: '{url}', sha256: {}}}`", digest.hex()),
                    None => format!("{unpinned}; add `sha256: {}`", digest.hex()),
                },
            };
            self.reporter().event(Event::Warning(warning));
            digests.insert(source, digest);
        }
        Ok(())
    }

    /// What a download looks like that is no such file by its name.
    fn strange(&self, source: &Source, digest: &Digest) -> Option<&'static str> {
        let Source::Url { url, .. } = source else { return None };
        let mut file = File::open(self.fetcher().path(digest)).ok()?;
        Some(unlike_its_name(url, &mut file).ok()??.name())
    }
}
