//! Which names of packages an archive has at all.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;

use super::{IndexFile, MAIN, Pocket, Releases};
use crate::debian::DebianError;
use crate::debian::index;
use crate::fetch::Fetcher;

/// An index of a component, and the pocket that has it.
type Found<'r> = (&'r Pocket, &'r str, &'r IndexFile);

impl Releases {
    /// Those of `names` that are neither packages of the sources that the base has, nor provided by one. Indexes are read
    /// one group after another, those first that are there already or have most, until all names are found.
    pub async fn lacking(&self, fetcher: &Fetcher, names: &BTreeSet<String>) -> Result<BTreeSet<String>, DebianError> {
        let components: BTreeSet<&str> = self.components.split_whitespace().collect();
        let mut groups: BTreeMap<(bool, bool), Vec<Found<'_>>> = BTreeMap::new();
        for (at, pocket) in self.pockets.iter().enumerate() {
            for (name, file) in pocket.indexes.iter().filter(|(name, _)| components.contains(name.as_str())) {
                groups.entry((at != 0, name != MAIN)).or_default().push((pocket, name, file));
            }
        }
        let (mut left, mut read) = (names.clone(), 0);
        for group in groups.values() {
            if left.is_empty() {
                break;
            }
            let fetched = group.iter().map(|(pocket, name, file)| {
                let shown = if *name == MAIN { pocket.name.clone() } else { format!("{} {name}", pocket.name) };
                file.fetch(fetcher, &pocket.uri, shown, self.pinned)
            });
            for ((pocket, ..), file) in group.iter().zip(join_all(fetched).await) {
                let found = index::names(file?, &mut read, |name| {
                    left.remove(name);
                });
                found.map_err(|error| DebianError::Index {
                    url: format!("{} {}", pocket.uri, pocket.name),
                    message: error.to_string(),
                })?;
            }
        }
        Ok(left)
    }
}
