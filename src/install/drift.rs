//! What on a host no longer is as a blueprint, or an image, put it there.

use std::collections::BTreeMap;
use std::path::Path;

use layers::root::Root;
use layers::store::Store;

use super::ledger::files;
use super::seen::Seen;
use super::state::{Ending, Record, StateError, StateFile, Wrote};
use super::{InstallError, claim, text};
use crate::target::host::{Host, Packages};

mod image;

pub use image::{blueprint_layers, image};

/// One thing that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The path, or the package.
    pub what: Subject,
    /// Which of its properties.
    pub field: &'static str,
    /// As it was put there.
    pub was: String,
    /// As it is.
    pub is: String,
    /// Who put it there: a task and its place, or a layer.
    pub by: String,
    /// Lines of a text that were, and are, as `diff -u` has them; none where they are not known or not everybody's.
    pub lines: Vec<String>,
}

impl Finding {
    /// The path, or the package, in a message.
    pub fn subject(&self) -> String {
        match &self.what {
            Subject::Path(path) => path.clone(),
            Subject::Package(name) => format!("package {name}"),
        }
    }
}

/// A task that an installation has not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undone {
    /// Its name.
    pub name: String,
    /// Its file and line.
    pub place: String,
    /// Why: it failed, or was not reached.
    pub why: String,
    /// It failed; else it was not reached.
    pub failed: bool,
}

/// What was looked at, and what of it differs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drift {
    /// What differs.
    pub findings: Vec<Finding>,
    /// Tasks of which it is not known what they have put there.
    pub undone: Vec<Undone>,
    /// Paths that were looked at.
    pub paths: usize,
    /// Packages that were looked at.
    pub packages: usize,
    /// Tasks, or layers, whose work was looked at.
    pub by: usize,
    /// Tasks that succeeded, and of which nothing is known that they wrote: commands say nothing of that.
    pub unknown: usize,
}

impl Drift {
    /// True if all was done, and is as it was.
    pub fn is_none(&self) -> bool {
        self.findings.is_empty() && self.undone.is_empty()
    }
}

/// What a finding is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// An absolute path.
    Path(String),
    /// A package.
    Package(String),
}

/// What should be there, and who says so.
struct Expected<T> {
    is: T,
    by: String,
}

/// The root of the host that is looked at; what a killed installation left to mount on is deleted first.
pub fn open(path: &Path) -> Result<Root, InstallError> {
    claim::tidy(&Host::root(path)?);
    Ok(Root::open(path)?)
}

/// Compares the host with this root with what its state file says. `native` is dpkg's name of its architecture.
pub fn host(store: &Store, root: &Root, file: &StateFile, native: &str) -> Result<Drift, InstallError> {
    let nothing = || InstallError::NothingInstalled { path: file.path().to_owned() };
    let state = file.load()?.ok_or_else(nothing)?;
    let name = claim::name(root)?.ok_or_else(nothing)?;
    if state.host != name {
        let (path, found) = (file.path().to_owned(), state.host);
        return Err(StateError::Other { path, what: "host", found, wanted: name }.into());
    }
    differences(store, root, native, state.tasks.iter())
}

/// Compares the host with what `records` say.
pub(super) fn differences<'r>(
    store: &Store,
    root: &Root,
    native: &str,
    records: impl Iterator<Item = &'r Record>,
) -> Result<Drift, InstallError> {
    let (mut paths, mut packages, mut drift) = (BTreeMap::new(), BTreeMap::new(), Drift::default());
    // What a later task put there counts.
    for record in records {
        if record.outcome == Ending::Failed {
            let (name, place, why) = (record.name.clone(), record.place.clone(), record.why.clone());
            drift.undone.push(Undone { name, place, why, failed: !record.is_unreached() });
            continue;
        }
        if record.wrote == Wrote::default() {
            drift.unknown += usize::from(record.outcome == Ending::Done);
            continue;
        }
        drift.by += 1;
        let by = format!("{} ({})", record.place, record.name);
        let there = files(store, &record.wrote)?;
        if let Some(listing) = record.wrote.listing.filter(|_| there.len() == record.wrote.files.len()) {
            let what = Subject::Path(record.name.clone());
            let (was, is) = (listing.to_string(), "not in this store (--store)".to_owned());
            let (by, lines) = (by.clone(), Vec::new());
            drift.findings.push(Finding { what, field: "list of its files", was, is, by, lines });
        }
        for (path, seen) in there {
            paths.insert(path, Expected { is: seen, by: by.clone() });
        }
        for (package, version) in record.wrote.packages.clone() {
            packages.insert(package, Expected { is: version, by: by.clone() });
        }
    }
    compare(store, root, native, paths, packages, &mut drift)?;
    Ok(drift)
}

fn compare(
    store: &Store,
    root: &Root,
    native: &str,
    paths: BTreeMap<String, Expected<Seen>>,
    packages: BTreeMap<String, Expected<String>>,
    drift: &mut Drift,
) -> Result<(), InstallError> {
    (drift.paths, drift.packages) = (paths.len(), packages.len());
    let found = &mut drift.findings;
    for (path, Expected { is: expected, by }) in paths {
        for (field, was, is) in expected.differences(&expected.now(root, Path::new(&path))?) {
            let lines = match field {
                "content" => text::differences(store, root, Path::new(&path), &expected),
                _ => Vec::new(),
            };
            found.push(Finding { what: Subject::Path(path.clone()), field, was, is, by: by.clone(), lines });
        }
    }
    let mut installed = Packages::default();
    let installed = installed.read(root, native);
    for (package, Expected { is: was, by }) in packages {
        let is = installed.get(&package).map_or("not installed", String::as_str).to_owned();
        if was != is {
            let lines = Vec::new();
            found.push(Finding { what: Subject::Package(package), field: "version", was, is, by, lines });
        }
    }
    Ok(())
}
