//! What on a host no longer is as a blueprint, or an image, put it there.

use std::collections::BTreeMap;
use std::path::Path;

use layers::root::Root;
use layers::store::Store;

use super::ledger::files;
use super::seen::Seen;
use super::state::{Ending, Left, Record, StateError, StateFile, Wrote};
use super::{InstallError, claim, clones, text, whose};
use crate::blueprint::Blueprint;
use crate::target::host::{Host, Packages};

mod image;
mod together;

pub use image::{blueprint_layers, image};
pub use together::{Together, thousands, together};

/// What differs where the store does not have what a task wrote.
pub const LISTING: &str = "list of its files";

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
    /// Why no lines are shown, where they are not everybody's.
    pub hidden: Option<String>,
    /// Of a path that is not there any more, the directory nearest to the root that is missing, or the path itself.
    pub missing: Option<String>,
}

impl Finding {
    fn new(what: Subject, field: &'static str, was: String, is: String, by: String) -> Self {
        Self { what, field, was, is, by, lines: Vec::new(), hidden: None, missing: None }
    }

    /// How what is `now` at `path` differs from what `was`.
    pub(super) fn all(root: &Root, path: &str, was: &Seen, now: &Seen, by: &str) -> Vec<Self> {
        let missing = if *now == Seen::ABSENT { top_missing(root, Path::new(path)) } else { None };
        let finding = |(field, was, is)| Self {
            missing: missing.clone(),
            ..Self::new(Subject::Path(path.to_owned()), field, was, is, by.to_owned())
        };
        was.differences(now).into_iter().map(finding).collect()
    }

    fn show(&mut self, text::Comparison { lines, hidden }: text::Comparison) {
        (self.lines, self.hidden) = (lines, hidden);
    }

    /// True if the task of `record` has put it there.
    pub(super) fn is_by(&self, record: &Record) -> bool {
        self.by == by(record)
    }

    /// The path, if it is about one.
    pub fn path(&self) -> Option<&String> {
        match &self.what {
            Subject::Path(path) => Some(path),
            Subject::Package(_) => None,
        }
    }

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
    /// Why.
    pub why: String,
    /// In which way.
    pub left: Left,
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
    /// The state that was compared with is of a blueprint that is called otherwise: whose it is.
    pub other: Option<String>,
    /// Tasks that succeeded, and of which nothing is known that they wrote: commands say nothing of that.
    pub unknown: usize,
    /// Directories that tasks have cloned into, and in which nothing was looked at.
    pub unlooked: Vec<String>,
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
/// If it is known which `blueprint` is meant, the state must be of that one.
pub fn host(
    store: &Store,
    root: &Root,
    file: &StateFile,
    native: &str,
    blueprint: Option<&Blueprint>,
) -> Result<Drift, InstallError> {
    let nothing = || InstallError::NothingInstalled { path: file.path().to_owned() };
    let state = file.load()?.ok_or_else(nothing)?;
    let name = claim::name(root)?.ok_or_else(nothing)?;
    if state.host != name {
        let (path, found) = (file.path().to_owned(), state.host);
        return Err(StateError::Other { path, what: "host", found, wanted: name }.into());
    }
    let other = blueprint.map_or(Ok(None), |blueprint| whose::check(file, &state, blueprint))?;
    Ok(Drift { other, ..differences(store, root, native, state.tasks.iter())? })
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
        if let Some(left) = record.left() {
            let (name, place, why) = (record.name.clone(), record.place.clone(), record.why.clone());
            drift.undone.push(Undone { name, place, why, left });
            // What stands where it is to clone another revision is still alloy's.
            if left != Left::NotReached {
                continue;
            }
        }
        if record.wrote == Wrote::default() {
            drift.unknown += usize::from(record.outcome == Ending::Done);
            continue;
        }
        drift.by += 1;
        let by = by(record);
        let there = files(store, &record.wrote)?;
        if let Some(listing) = record.wrote.listing.filter(|_| there.len() == record.wrote.files.len()) {
            let what = Subject::Path(record.name.clone());
            let (was, is) = (listing.to_string(), "not in this store (--store)".to_owned());
            drift.findings.push(Finding::new(what, LISTING, was, is, by.clone()));
        }
        drift.unlooked.extend(clones::unlooked(record, &there));
        for (path, seen) in there {
            paths.insert(path, Expected { is: seen, by: by.clone() });
        }
        for (package, version) in record.wrote.packages.clone() {
            packages.insert(package, Expected { is: version, by: by.clone() });
        }
    }
    for Changed { at, path, was, now } in compare(root, native, paths, packages, &mut drift)? {
        drift.findings[at].show(text::compare(root, Path::new(&path), &was, &now, || text::kept(store, &was)));
    }
    Ok(drift)
}

/// A file whose content differs, and the finding that says so.
struct Changed {
    at: usize,
    path: String,
    was: Seen,
    now: Seen,
}

/// Adds to `drift` what differs. Gives the files whose contents do.
fn compare(
    root: &Root,
    native: &str,
    paths: BTreeMap<String, Expected<Seen>>,
    packages: BTreeMap<String, Expected<String>>,
    drift: &mut Drift,
) -> Result<Vec<Changed>, InstallError> {
    (drift.paths, drift.packages) = (paths.len(), packages.len());
    let (found, mut contents) = (&mut drift.findings, Vec::new());
    for (path, Expected { is: was, by }) in paths {
        let now = was.now(root, Path::new(&path))?;
        for finding in Finding::all(root, &path, &was, &now, &by) {
            if finding.field == "content" {
                contents.push(Changed { at: found.len(), path: path.clone(), was: was.clone(), now: now.clone() });
            }
            found.push(finding);
        }
    }
    let mut installed = Packages::default();
    let installed = installed.read(root, native);
    for (package, Expected { is: was, by }) in packages {
        let is = installed.get(&package).map_or("not installed", String::as_str).to_owned();
        if was != is {
            found.push(Finding::new(Subject::Package(package), "version", was, is, by));
        }
    }
    Ok(contents)
}

fn by(record: &Record) -> String {
    format!("{} ({})", record.place, record.name)
}

/// Of a path that is not there, what nearest to the root is missing.
fn top_missing(root: &Root, path: &Path) -> Option<String> {
    let above = path.ancestors().filter(|above| *above != Path::new("/"));
    let missing = above.take_while(|above| root.metadata(above).is_err());
    missing.last().and_then(Path::to_str).map(str::to_owned)
}
