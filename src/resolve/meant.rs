//! Suites that have packages which the archive of a base does not have: a blueprint that names no base may mean another
//! one than it gets.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::time::Duration;

use super::{Base, Origin, Resolver, Result};
use crate::cache;
use crate::context::now;
use crate::debian::{BaseOptions, DebianError, Distribution, Releases, Seen, releases};
use crate::event::Event;
use crate::image::BaseRef;

/// Releases that were asked for, by what a base of theirs depends on.
const INDEXES: &str = "indexes";
/// Suites that are looked at, in this order: what published blueprints are made for, then the stable releases of today.
const SUITES: [&str; 4] = ["jammy", "noble", "trixie", "bookworm"];
/// How long a release, and the indexes of one suite, are waited for. It is a help, which the build does not need.
const FOR_RELEASES: Duration = Duration::from_secs(10);
const FOR_INDEXES: Duration = Duration::from_secs(30);

/// A suite that has a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Other {
    /// Its code name.
    pub suite: &'static str,
    /// What names it as the base on the command line.
    pub flags: String,
}

impl Resolver<'_> {
    /// Remembers which indexes there are, so that they need not be asked for when the base is known.
    pub(super) fn remember(&self, releases: &Releases) -> Result<()> {
        // A lockfile names those of `main` alone.
        if self.request.pin.is_none() {
            cache::put(self.store, INDEXES, &releases.identity().hex(), releases)?;
        }
        Ok(())
    }

    /// Those of `names` that the archive of `base`, called `text`, does not have and another suite has. What cannot be
    /// asked is not known, and nothing is said of it.
    pub fn other_suites(&self, text: &str, base: &Base, names: &BTreeSet<String>) -> BTreeMap<String, Other> {
        let mut found = BTreeMap::new();
        let Ok(BaseRef::Deb { suite, contents }) = text.parse::<BaseRef>() else { return found };
        let known = match &base.origin {
            Origin::Archive(from) => cache::get(self.store, INDEXES, &from.releases.hex()).ok().flatten(),
            Origin::Registry(_) | Origin::Store => None,
        };
        let asked = || self.asked(&suite, &self.request.archive).and_then(|asked| asked.with(&contents).ok());
        let Some(own) = known.or_else(asked) else { return found };
        let lacking = |releases: &Releases, names: &BTreeSet<String>| {
            self.within(FOR_INDEXES, releases.lacking(self.fetcher(), names))
        };
        let Some(mut left) = lacking(&own, names) else { return found };
        let mut silent = Vec::new();
        for other in SUITES.into_iter().filter(|other| *other != suite) {
            let Some(first) = left.first() else { break };
            let distribution = Distribution::of(other);
            if silent.contains(&distribution) {
                continue;
            }
            let of_base = Distribution::of(&suite) == distribution;
            let options = if of_base {
                self.request.archive.clone()
            } else {
                BaseOptions { told: self.request.archive.told.clone(), ..BaseOptions::default() }
            };
            if !options.knows(other, self.platform.debian_arch()) {
                continue;
            }
            let more = if left.len() > 1 { format!(" and {} more", left.len() - 1) } else { String::new() };
            let note = format!("deb:{suite} has no package `{first}`{more}: looking whether deb:{other} has");
            self.reporter().event(Event::Note(note));
            let releases = self.asked(other, &options);
            let Some((releases, rest)) = releases.and_then(|it| lacking(&it, &left).map(|rest| (it, rest))) else {
                // Its other suites lie in the same place.
                silent.push(distribution);
                continue;
            };
            let mut flags = format!("--base deb:{other}");
            if let Some(mirror) = releases.mirror().filter(|_| !of_base && self.request.archive.mirror.is_some()) {
                flags += &format!(" --mirror {mirror}");
            }
            for name in left.difference(&rest) {
                found.insert(name.clone(), Other { suite: other, flags: flags.clone() });
            }
            left = rest;
        }
        found
    }

    /// Today's releases of a suite, whatever the lockfile pins.
    fn asked(&self, suite: &str, options: &BaseOptions) -> Option<Releases> {
        let seen = Seen { store: self.store, locked: None, now: now() };
        self.within(FOR_RELEASES, releases(self.fetcher(), suite, self.platform.debian_arch(), options, &seen))
    }

    fn within<T>(&self, time: Duration, asked: impl Future<Output = std::result::Result<T, DebianError>>) -> Option<T> {
        let asked = async { tokio::time::timeout(time, asked).await };
        self.runtime().block_on(asked).ok()?.ok()
    }
}
