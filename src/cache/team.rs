//! What a build shares with others: where it looks, where it leaves what it made, and whom it believes.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use layers::digest::Digest;

use super::Place;

/// The caches of a team.
#[derive(Debug, Default)]
pub struct Team {
    /// Where entries are looked for; the first that has one is believed.
    pub from: Vec<Place>,
    /// Where entries are left.
    pub to: Vec<Place>,
    /// Layers that turned out to be something else than was said, or nothing.
    distrusted: Mutex<BTreeSet<Digest>>,
}

impl Team {
    /// Shares with these places.
    pub fn new(from: Vec<Place>, to: Vec<Place>) -> Self {
        Self { from, to, distrusted: Mutex::default() }
    }

    /// Entries that lead to this layer are not used any more.
    pub fn distrust(&self, digest: Digest) {
        self.distrusted.lock().unwrap_or_else(PoisonError::into_inner).insert(digest);
    }

    /// True if an entry that leads to this layer may be used.
    pub fn trusts(&self, digest: &Digest) -> bool {
        !self.distrusted.lock().unwrap_or_else(PoisonError::into_inner).contains(digest)
    }
}
