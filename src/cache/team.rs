//! What a build shares with others: where it looks, where it leaves what it made, and whom it believes.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use layers::digest::Digest;

use super::Place;
use crate::sign::{SigningKey, VerifyingKey};

/// The caches of a team.
#[derive(Debug, Default)]
pub struct Team {
    /// Where entries are looked for; the first that has one is believed.
    pub from: Vec<Place>,
    /// Where entries are left.
    pub to: Vec<Place>,
    /// Who must have signed an entry.
    pub verify: Option<VerifyingKey>,
    /// Who signs entries.
    pub sign: Option<SigningKey>,
    /// Layers that turned out to be something else than was said, or nothing.
    distrusted: Mutex<BTreeSet<Digest>>,
    /// Places that did not answer: asking them again takes long.
    silent: Mutex<BTreeSet<Place>>,
}

impl Team {
    /// Shares with these places.
    pub fn new(from: Vec<Place>, to: Vec<Place>) -> Self {
        Self { from, to, ..Self::default() }
    }

    /// The signature of `record` in base64, where entries are signed.
    pub fn signature(&self, record: &str) -> Option<String> {
        self.sign.as_ref().map(|key| STANDARD.encode(key.sign(record.as_bytes())))
    }

    /// Entries that lead to this layer are not used any more.
    pub fn distrust(&self, digest: Digest) {
        self.distrusted.lock().unwrap_or_else(PoisonError::into_inner).insert(digest);
    }

    /// The place is not asked any more. True the first time.
    pub fn give_up(&self, place: &Place) -> bool {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner).insert(place.clone())
    }

    /// True if the place was not given up.
    pub fn asks(&self, place: &Place) -> bool {
        !self.silent.lock().unwrap_or_else(PoisonError::into_inner).contains(place)
    }

    /// True if an entry that leads to this layer may be used.
    pub fn trusts(&self, digest: &Digest) -> bool {
        !self.distrusted.lock().unwrap_or_else(PoisonError::into_inner).contains(digest)
    }
}
