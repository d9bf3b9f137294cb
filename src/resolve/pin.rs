//! What a name stands for today, for a lockfile.

use std::collections::BTreeMap;

use super::named::told;
use super::{Resolver, Result};
use crate::event::{Event, Wait};
use crate::fetch::{Download, FetchError, Fetched};
use crate::image::BaseRef;
use crate::lock::{BasePin, DownloadPin};
use crate::tasks::Task;

impl Resolver<'_> {
    /// Pins a base for the resolver's platform, where it was `before` so far. `None` for what cannot move: a digest, or
    /// a file of this machine.
    pub fn pin_base(&self, text: &str, before: Option<&BasePin>) -> Result<Option<BasePin>> {
        let note = || {
            self.reporter().event(Event::Note(format!("resolving {text}")));
            Wait::start(self.reporter(), format!("an answer about {text}"))
        };
        let base: BaseRef = text.parse()?;
        self.not_here(&base)?;
        match base {
            BaseRef::Registry(reference) if reference.digest.is_none() => {
                let _wait = note();
                let client = self.client(&reference)?;
                let found = self.runtime().block_on(client.manifest(&reference.manifest()));
                let (descriptor, _) = found.map_err(|error| told(error.into(), &reference))?;
                Ok(Some(BasePin::Image(descriptor.digest)))
            }
            BaseRef::Deb { suite, contents } => {
                let _wait = note();
                let platform = self.platform.to_string();
                let before = before.and_then(|pin| pin.archive(&platform));
                let releases = self.releases_after(&suite, before)?.with(&contents)?;
                self.remember(&releases)?;
                Ok(Some(BasePin::Archive(BTreeMap::from([(platform, releases.pin())]))))
            }
            _ => Ok(None),
        }
    }

    /// Fetches `urls` side by side, whatever they held before, and pins what they hold now, each for itself.
    pub fn pin_downloads(&self, urls: &[String]) -> Vec<std::result::Result<DownloadPin, FetchError>> {
        let fetch = |url: &String| {
            let download = Download { url: url.clone(), sha256: None, size: None, part_of: None };
            let fetcher = self.fetcher().clone();
            Task::start(self.runtime(), async move { fetcher.fetch(&download).await })
        };
        let tasks: Vec<_> = urls.iter().map(fetch).collect();
        let pin = |task: Task<std::result::Result<Fetched, FetchError>>| {
            let fetched = task.wait().map_err(FetchError::from).and_then(|fetched| fetched)?;
            Ok(DownloadPin { sha256: fetched.digest, size: Some(fetched.size) })
        };
        tasks.into_iter().map(pin).collect()
    }
}
