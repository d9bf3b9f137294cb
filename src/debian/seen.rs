//! The newest release that was seen of each archive. An old one is no less genuine, and may hold what was mended since:
//! whoever answers in the archive's place must not bring it back. apt keeps the newer one that it has; here nothing of
//! it is kept but its date, so an older one is an error.

use std::collections::BTreeMap;
use std::path::PathBuf;

use layers::digest::Digest;
use layers::store::Store;

use super::DebianError;
use super::keys::Keys;
use super::release::{self, Release, seconds};
use crate::fetch::taken_apart;
use crate::json;
use crate::lock::{ArchivePin, PocketPin};

const RECORDS: &str = "releases";

/// What is known of releases.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Remembers them.
    pub store: &'a Store,
    /// What the lockfile pins of the suite so far.
    pub locked: Option<&'a ArchivePin>,
    /// When releases are looked at, in seconds since 1970.
    pub now: i64,
}

impl Seen<'_> {
    /// An error if a release of the same archive was seen that is newer than this one. Mirrors lag behind one another:
    /// each has its own memory. What somebody has signed who is not trusted now counts no more.
    pub fn check(&self, uri: &str, pocket: &str, release: &Release, keys: &Keys) -> Result<(), DebianError> {
        let key = Digest::of(format!("{uri} {pocket}")).hex();
        let _lock = self.store.lock(RECORDS)?;
        let record = self.store.record(RECORDS, &key)?;
        // Of each primary key that signed one, when the newest was made.
        let mut dates: BTreeMap<String, i64> =
            record.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        let remembered = dates.iter().filter(|(signer, _)| keys.knows(signer)).map(|(_, date)| *date).max();
        let same = |pin: &&PocketPin| pin.suite == pocket && taken_apart(&pin.uri).0 == uri;
        let locked = self.locked.and_then(|pin| pin.pockets.iter().find(same)).and_then(|pin| seconds(&pin.date));
        let newer = |date: &i64| *date > release.made;
        if let Some(newest) = remembered.max(locked).filter(newer) {
            return Err(DebianError::Older {
                url: format!("{uri}/dists/{pocket}/InRelease"),
                date: release.date.clone(),
                newest: release::written(newest),
                record: remembered.filter(newer).map(|_| self.place(&key)),
                locked: locked.is_some_and(|date| newer(&date)),
            });
        }
        let before = dates.clone();
        for signer in &release.signers {
            let date = dates.entry(signer.clone()).or_insert(release.made);
            *date = release.made.max(*date);
        }
        if dates != before {
            self.store.put_record(RECORDS, &key, &json::bytes(&dates))?;
        }
        Ok(())
    }

    fn place(&self, key: &str) -> PathBuf {
        self.store.root().join("records").join(RECORDS).join(key)
    }

    /// When the lockfile's release of the pocket was made, if that is of another mirror and newer than `date`.
    pub fn newer_elsewhere(&self, uri: &str, pocket: &str, date: &str) -> Option<&str> {
        let other = |pin: &&PocketPin| pin.suite == pocket && taken_apart(&pin.uri).0 != uri;
        let pin = self.locked?.pockets.iter().find(other)?;
        (seconds(&pin.date)? > seconds(date)?).then_some(&pin.date)
    }
}
