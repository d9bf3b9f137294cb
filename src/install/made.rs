//! What a task may take for alloy's own when it writes: what it, and the other tasks, are known to have made.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use layers::root::Made;
use layers::store::Store;

use super::InstallError;
use super::former::Former;
use super::ledger::{files, relative};
use super::prepared::Prepared;
use super::seen::What;
use super::state::Record;

type All = BTreeMap<PathBuf, Made>;

impl Prepared<'_> {
    /// What tasks have made, as the one at `at` finds it: its own record counts most, then the tasks before it.
    ///
    /// A link of a task before it is no stranger, whatever was there when the task wrote last; nor is one to which a later
    /// task has moved a directory. A link that a later task has made of a *file* counts for nothing: where the blueprint is
    /// installed for the first time, that task comes later, too.
    pub fn made(&self, store: &Store, at: usize) -> Result<All, InstallError> {
        let (former, others): (Vec<&Former>, Vec<&Former>) = self.left.iter().partition(|other| other.of == Some(at));
        let (former, others) = (former.into_iter().map(|it| &it.record), others.into_iter().map(|it| &it.record));
        let (earlier, later) = (&self.records[..at], &self.records[at + 1..]);
        let mut made = of(store, others.chain(later.iter().flatten()))?;
        let earlier = of(store, earlier.iter().flatten())?;
        let own = of(store, former.chain(&self.records[at]))?;
        let moved = |made: &All, path: &PathBuf, is: &Made| {
            *is == Made::Directory && matches!(made.get(path), Some(Made::Link(_)))
        };
        for (path, is) in &earlier {
            if !moved(&made, path, is) {
                made.insert(path.clone(), is.clone());
            }
        }
        for (path, is) in own {
            if !matches!(earlier.get(&path), Some(Made::Link(_))) && !moved(&made, &path, &is) {
                made.insert(path, is);
            }
        }
        Ok(made)
    }

    /// Directories that the task at `at` has made before, whose record is its `own` or that of what it was: they are there
    /// when it is done again, and its own all the same.
    pub fn directories(
        &self,
        store: &Store,
        at: usize,
        own: Option<&Record>,
    ) -> Result<BTreeSet<PathBuf>, InstallError> {
        let former = self.formerly(at).map(|former| &former.record);
        let mut found = BTreeSet::new();
        for record in former.chain(own) {
            let made = files(store, &record.wrote)?.into_iter().filter(|(_, seen)| seen.what == What::Directory);
            found.extend(made.map(|(path, _)| relative(&path)));
        }
        Ok(found)
    }
}

/// Those of `directories` in which something was `written`.
pub fn leading_to(mut directories: BTreeSet<PathBuf>, written: &[PathBuf]) -> BTreeSet<PathBuf> {
    let ways: BTreeSet<&Path> = written.iter().flat_map(|path| path.ancestors().skip(1)).collect();
    directories.retain(|directory| ways.contains(directory.as_path()));
    directories
}

/// What these records tell, the later ones over the earlier ones.
fn of<'r>(store: &Store, records: impl Iterator<Item = &'r Record>) -> Result<All, InstallError> {
    let mut made = All::new();
    for record in records {
        for (path, seen) in files(store, &record.wrote)? {
            let path = relative(&path);
            match seen.what {
                What::File(_) => made.insert(path, Made::File),
                What::Directory | What::Repository(_) => made.insert(path, Made::Directory),
                What::Link(target) => made.insert(path, Made::Link(target.into())),
                What::Special | What::Absent => made.remove(&path),
            };
        }
    }
    Ok(made)
}
