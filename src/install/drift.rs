//! What on a host no longer is as a blueprint, or an image, put it there.

use std::collections::BTreeMap;
use std::path::Path;

use layers::root::Root;
use layers::store::Store;

use super::ledger::files;
use super::seen::Seen;
use super::state::{Ending, StateError, StateFile};
use super::{InstallError, claim};
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
pub fn host(store: &Store, root: &Root, file: &StateFile, native: &str) -> Result<Vec<Finding>, InstallError> {
    let nothing = || InstallError::NothingInstalled { path: file.path().to_owned() };
    let state = file.load()?.ok_or_else(nothing)?;
    let name = claim::name(root)?.ok_or_else(nothing)?;
    if state.host != name {
        let (path, found) = (file.path().to_owned(), state.host);
        return Err(StateError::Other { path, what: "host", found, wanted: name }.into());
    }
    let (mut paths, mut packages, mut found) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
    // What a later task put there counts.
    for record in state.tasks.iter().filter(|record| record.outcome != Ending::Failed) {
        let by = format!("{} ({})", record.place, record.name);
        let there = files(store, &record.wrote)?;
        if let Some(listing) = record.wrote.listing.filter(|_| there.len() == record.wrote.files.len()) {
            let what = Subject::Path(record.name.clone());
            let (was, is) = (listing.to_string(), "not in this store (--store)".to_owned());
            found.push(Finding { what, field: "list of its files", was, is, by: by.clone() });
        }
        for (path, seen) in there {
            paths.insert(path, Expected { is: seen, by: by.clone() });
        }
        for (package, version) in record.wrote.packages.clone() {
            packages.insert(package, Expected { is: version, by: by.clone() });
        }
    }
    compare(root, native, paths, packages, &mut found)?;
    Ok(found)
}

fn compare(
    root: &Root,
    native: &str,
    paths: BTreeMap<String, Expected<Seen>>,
    packages: BTreeMap<String, Expected<String>>,
    found: &mut Vec<Finding>,
) -> Result<(), InstallError> {
    for (path, Expected { is: expected, by }) in paths {
        for (field, was, is) in expected.differences(&expected.now(root, Path::new(&path))?) {
            found.push(Finding { what: Subject::Path(path.clone()), field, was, is, by: by.clone() });
        }
    }
    let mut installed = Packages::default();
    let installed = installed.read(root, native);
    for (package, Expected { is: was, by }) in packages {
        let is = installed.get(&package).map_or("not installed", String::as_str).to_owned();
        if was != is {
            found.push(Finding { what: Subject::Package(package), field: "version", was, is, by });
        }
    }
    Ok(())
}
