//! Which URL gave what. A digest that its author took from another URL says nothing of a new one: before somebody is told
//! that a file came from there, it has come from there once.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

use layers::digest::Digest;
use layers::store::{Store, StoreError};
use layers::unpack::{Looks, no_installer, no_package, strange};
use serde::{Deserialize, Serialize};

use super::{Came, Download, FetchError, Fetched, Fetcher, Known, RECORDS};
use crate::json;
use crate::op::{Secrets, Source, Step};

/// Records of what URLs gave, by URL and digest.
pub const WITNESSED: &str = "witnessed";

/// A URL gave a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Witnessed {
    /// The URL as its author wrote it, without secrets.
    pub url: String,
    /// What it gave.
    pub digest: Digest,
}

impl Witnessed {
    /// `url`, which may hold markers of secrets, gave a file of that digest.
    pub fn new(url: &str, digest: Digest) -> Self {
        Self { url: Secrets::as_written(url), digest }
    }

    /// What it is recorded under.
    pub fn key(&self) -> Digest {
        Digest::of(format!("{}\n{}", self.url, self.digest))
    }

    /// Records it.
    pub(super) fn keep(&self, store: &Store) -> Result<(), StoreError> {
        store.put_record(WITNESSED, &self.key().hex(), &json::bytes(self))
    }
}

/// What a task makes of a download.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// It is unpacked.
    Archive,
    /// apt installs it.
    Package,
    /// It is run, as installers of SDKs are.
    Installer,
}

impl Wanted {
    /// What it is for `step`, where that shows in how it begins.
    pub fn of(step: &Step, source: &Source) -> Option<Self> {
        match () {
            // Its files alone are wanted, and it is a package all the same.
            () if step.unpacks(source) && step.action == "install_deb_to_sysroot" => Some(Self::Package),
            () if step.unpacks(source) => Some(Self::Archive),
            () if step.installs(source) => Some(Self::Package),
            () if step.runs(source) => Some(Self::Installer),
            () => None,
        }
    }

    /// In a sentence.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Archive => "archive",
            Self::Package => "Debian package",
            Self::Installer => "installer",
        }
    }
}

impl Fetcher {
    /// The same, which believes the digests of `urls` only where the URL itself has given the file: their authors may have
    /// taken them from elsewhere.
    #[must_use]
    pub fn doubting(self, urls: BTreeSet<String>) -> Self {
        Self { doubted: Arc::new(urls), ..self }
    }

    /// True if the file has to come from its URL, though one of that digest may be here.
    pub(super) fn doubts(&self, download: &Download) -> bool {
        let doubted = |digest: &Digest| {
            self.doubted.contains(&download.url) && !self.has_witnessed(&Witnessed::new(&download.url, *digest))
        };
        download.sha256.as_ref().is_some_and(doubted)
    }

    /// True if the digests of that URL are not believed as they are.
    pub fn is_doubted(&self, url: &str) -> bool {
        self.doubted.contains(url)
    }

    /// True if that was seen on this machine, or somebody is believed who says so.
    pub fn has_witnessed(&self, one: &Witnessed) -> bool {
        let key = one.key();
        let vouched = self.shared.vouched.lock().unwrap_or_else(PoisonError::into_inner).contains(&key);
        vouched || self.shared.store.record(WITNESSED, &key.hex()).is_ok_and(|record| record.is_some())
    }

    /// Somebody who is believed has seen it.
    pub fn vouch(&self, one: &Witnessed) {
        self.shared.vouched.lock().unwrap_or_else(PoisonError::into_inner).insert(one.key());
    }

    /// A URL that gave a file of that digest, other than `url`.
    pub(super) fn gave(&self, digest: &Digest, url: &str) -> Option<String> {
        let own = Secrets::as_written(url);
        let records = self.shared.store.records(WITNESSED).ok()?.into_iter();
        let known = records.filter_map(|(_, bytes)| serde_json::from_slice::<Witnessed>(&bytes).ok());
        known.filter(|one| one.digest == *digest && one.url != own).map(|one| self.shown(&one.url)).next()
    }

    /// That `download` gave a file of another digest than the one that is `expected`; of one that is no file as it is named,
    /// its size and looks.
    pub(super) fn other(
        &self,
        download: &Download,
        expected: Digest,
        found: Digest,
        looks: Option<(u64, Looks)>,
    ) -> FetchError {
        let (url, written) = (self.shown(&download.url), Secrets::as_written(&download.url));
        let came = looks.map(|(size, looks)| Came { size, looks, near: self.unsent(&download.url) });
        let pin = (self.pins.get(&written) == Some(&expected)).then_some(written);
        let gave = self.gave(&expected, &download.url);
        FetchError::Digest { url, expected, found, known: Box::new(Known { gave, pin, came }) }
    }

    /// Fails unless the file begins as what is `wanted` does. What `url` gave is not remembered where nothing pins it: the
    /// next build asks again.
    pub fn is_a(&self, wanted: Wanted, url: &str, fetched: &Fetched, pinned: bool) -> Result<(), FetchError> {
        let path = self.path(&fetched.digest);
        let write = |source| FetchError::Write { url: self.shown(url), source };
        let mut file = layers::regular::open(&path).map_err(write)?;
        let looks = match wanted {
            Wanted::Archive => strange(&mut file),
            Wanted::Package => no_package(&mut file),
            Wanted::Installer => no_installer(&mut file),
        };
        let Some(looks) = looks.map_err(write)? else { return Ok(()) };
        if !pinned {
            self.forget(url)?;
        }
        let near = self.unsent(url);
        Err(FetchError::Useless { url: self.shown(url), size: fetched.size, wanted, looks, near })
    }

    /// Forgets what `url` gave: it was of no use.
    pub fn forget(&self, url: &str) -> Result<(), StoreError> {
        self.shared.store.remove_record(RECORDS, &Digest::of(url).hex())
    }
}
