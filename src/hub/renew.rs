//! A clone that becomes a later version of itself. What its user has changed in it is never lost: a file is replaced
//! or removed only if it still is what the clone before had put there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use layers::regular;
use serde::{Deserialize, Serialize};

use super::contents::failed;
use super::land::{free, land};
use super::unpack::is_git_s;
use super::{Found, HubError, MOST_TEXT, swap};
use crate::blueprint::MANIFEST_FILE;
use crate::json;
use crate::resolve::Resolver;
use crate::sink::{Sink, Staged};

/// What a clone was when it was made: a file of its own, which no blueprint has.
pub const RECORD: &str = ".alloy-clone.json";
/// Files that an error names.
const SHOWN: usize = 8;

#[derive(Default, Serialize, Deserialize)]
struct Record {
    /// The blueprint, with its digest.
    from: String,
    /// What its files were, by their paths. While a clone becomes another version, both are.
    files: BTreeMap<PathBuf, BTreeSet<State>>,
    /// It is on its way to another version, or to its first one: a file that is missing may not have come yet.
    #[serde(default)]
    unfinished: bool,
}

impl Record {
    fn of(directory: &Path) -> Option<Self> {
        serde_json::from_slice(&regular::read(&directory.join(RECORD), MOST_TEXT).ok()?).ok()
    }

    /// Where another tool, or somebody, has put files: those that are what the `new` version has are its clone, with
    /// whatever mode; what is missing comes, and nothing else is anybody's but theirs.
    fn of_another(new: &BTreeMap<PathBuf, State>) -> Self {
        let either = |state: &State| {
            let digest = state.trim_end_matches(PROGRAM);
            BTreeSet::from([digest.to_owned(), format!("{digest}{PROGRAM}")])
        };
        let files = new.iter().map(|(path, state)| (path.clone(), either(state))).collect();
        Self { from: String::new(), files, unfinished: true }
    }

    /// What a clone makes of a file that is not there, and that the later version has in this state: true if its user
    /// has removed it, and the later version has nothing else to say.
    fn was_removed(&self, path: &Path, wanted: &State) -> bool {
        !self.unfinished && self.files.get(path).is_some_and(|states| states.contains(wanted))
    }
}

/// True of a directory in which a clone was begun and not ended: it has no manifest yet.
pub(super) fn is_unfinished(directory: &Path) -> bool {
    let no_manifest = directory.join(MANIFEST_FILE).symlink_metadata().is_err();
    no_manifest && Record::of(directory).is_some_and(|record| record.unfinished)
}

/// Stands behind the digest of a program.
const PROGRAM: &str = "+x";

/// The digest of a file, and [`PROGRAM`] behind it where it is one.
pub(super) type State = String;

/// How a clone was brought up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewed {
    /// Nothing was there before.
    New,
    /// It was this version already.
    Same,
    /// So many files are others now, or gone.
    Files(usize),
}

impl Found {
    /// Puts its files at `dest`: into nothing, into an empty directory, or, where that is wanted, in place of another
    /// version that was cloned there, and beside whatever else is there.
    pub fn put(&self, resolver: &Resolver<'_>, dest: &Path, renews: bool) -> Result<Renewed, HubError> {
        match free(dest) {
            Ok(()) if is_unfinished(dest) => {}
            Ok(()) => {
                let mut content = BTreeMap::new();
                let filled = |tree: &Path| {
                    self.fill(resolver, dest, tree)?;
                    content = recorded(files(tree)?);
                    self.record(&content, true, tree)
                };
                land(dest, filled)?;
                return self.record(&content, false, dest).map(|()| Renewed::New);
            }
            Err(HubError::Occupied { .. }) if renews && dest.is_dir() => {}
            Err(HubError::Occupied { path }) if renews => return Err(HubError::NoDirectory { path }),
            Err(error) => return Err(error),
        }
        let dest = &dest.canonicalize().map_err(failed("look at", dest))?;
        // Links that whoever owns it puts there meanwhile lead wherever they like.
        let owner = dest.metadata().map_err(failed("look at", dest))?.uid();
        if owner != rustix::process::geteuid().as_raw() {
            return Err(HubError::NotOwn { directory: dest.clone() });
        }
        let known = Record::of(dest);
        let first = is_unfinished(dest);
        let staged = Staged::of(dest).map_err(failed("write beside", dest))?;
        let tree = staged.path().join("blueprint");
        fs::create_dir(&tree).map_err(failed("make", &tree))?;
        self.fill(resolver, dest, &tree)?;
        let new = files(&tree)?;
        let cloned = known.is_some();
        let before = known.unwrap_or_else(|| Record::of_another(&new));
        let mut plan = Plan::of(dest, &before, &new)?;
        if !plan.theirs.is_empty() {
            let (directory, mut files) = (dest.clone(), plan.theirs);
            let more = files.len().saturating_sub(SHOWN);
            files.truncate(SHOWN);
            return Err(match cloned {
                true => HubError::Changed { directory, files, more },
                false => HubError::Others { directory, reference: self.name(), files, more },
            });
        }
        if plan.gone.is_empty() && plan.put.is_empty() {
            self.record(&recorded(new), false, dest)?;
            return Ok(if first { Renewed::New } else { Renewed::Same });
        }
        // Whoever goes on after a kill finds files of both.
        let mut both = before.files;
        for (path, state) in &new {
            both.entry(path.clone()).or_default().insert(state.clone());
        }
        self.record(&both, true, dest)?;
        let count = plan.gone.len() + plan.put.len();
        let none = BTreeSet::new();
        let known = |path: &Path| both.get(path).unwrap_or(&none);
        let aside = staged.path().join("gone");
        for path in &plan.gone {
            swap::remove(&aside, dest, path, known(path))?;
            tidy(dest, path);
        }
        // Without a manifest it is no blueprint: a first one comes last.
        plan.put.sort_by_key(|path| path == Path::new(MANIFEST_FILE));
        for path in &plan.put {
            swap::put(&tree, dest, path, known(path))?;
        }
        self.record(&recorded(new), false, dest)?;
        Ok(if first { Renewed::New } else { Renewed::Files(count) })
    }

    fn record(
        &self,
        files: &BTreeMap<PathBuf, BTreeSet<State>>,
        unfinished: bool,
        directory: &Path,
    ) -> Result<(), HubError> {
        let path = directory.join(RECORD);
        let record = Record { from: self.name(), files: files.clone(), unfinished };
        let bytes = json::pretty(&record);
        let written = Sink::at(&path).and_then(|sink| sink.write_all(&bytes));
        written.map_err(|error| failed("write", &path)(io::Error::other(error)))
    }
}

fn recorded(files: BTreeMap<PathBuf, State>) -> BTreeMap<PathBuf, BTreeSet<State>> {
    files.into_iter().map(|(path, state)| (path, BTreeSet::from([state]))).collect()
}

/// What has to be done, path by path.
#[derive(Default)]
struct Plan {
    /// Files that the later version does not have.
    gone: Vec<PathBuf>,
    /// Files that it has otherwise, or anew.
    put: Vec<PathBuf>,
    /// What its user has made there, in the way of the later version.
    theirs: Vec<PathBuf>,
}

impl Plan {
    fn of(dest: &Path, before: &Record, new: &BTreeMap<PathBuf, State>) -> Result<Self, HubError> {
        let mut plan = Self::default();
        let known = |path: &Path, state: &State| before.files.get(path).is_some_and(|states| states.contains(state));
        for path in before.files.keys().filter(|path| !new.contains_key(*path) && may_be_ours(path)) {
            match state(dest, path)? {
                Here::File(state) if known(path, &state) => plan.gone.push(path.clone()),
                // What its user has changed stays, as its user wants it.
                _ => {}
            }
        }
        for (path, wanted) in new {
            match state(dest, path)? {
                Here::File(here) if here == *wanted => {}
                Here::File(here) if known(path, &here) => plan.put.push(path.clone()),
                Here::Nothing if before.was_removed(path, wanted) => {}
                Here::Nothing => plan.put.push(path.clone()),
                Here::Other if plan.makes_room(dest, path)? => plan.put.push(path.clone()),
                Here::File(_) | Here::Other => plan.theirs.push(path.clone()),
            }
        }
        Ok(plan)
    }

    /// True if what is in the way of `path`, a file above it or a directory in its place, is all gone by then.
    fn makes_room(&self, dest: &Path, path: &Path) -> Result<bool, HubError> {
        if path.ancestors().skip(1).any(|above| self.gone.iter().any(|gone| gone == above)) {
            return Ok(true);
        }
        let place = dest.join(path);
        if !place.symlink_metadata().is_ok_and(|found| found.is_dir()) {
            return Ok(false);
        }
        let inside = files(&place)?;
        Ok(inside.keys().all(|inner| self.gone.contains(&path.join(inner))))
    }
}

/// True for a path that a clone may have made: what git and its user keep there is nobody else's.
fn may_be_ours(path: &Path) -> bool {
    layers::path::plain(path.as_os_str().as_encoded_bytes()).is_ok() && !path.iter().any(is_git_s)
}

/// All that is below a directory, but for directories.
fn files(tree: &Path) -> Result<BTreeMap<PathBuf, State>, HubError> {
    let (mut found, mut directories) = (BTreeMap::new(), vec![PathBuf::new()]);
    while let Some(directory) = directories.pop() {
        let place = tree.join(&directory);
        for entry in fs::read_dir(&place).map_err(failed("list", &place))? {
            let entry = entry.map_err(failed("list", &place))?;
            let path = directory.join(entry.file_name());
            match state(tree, &path)? {
                Here::File(state) => drop(found.insert(path, state)),
                _ if entry.file_type().is_ok_and(|kind| kind.is_dir()) => directories.push(path),
                // A link or something else is nothing that a clone has made.
                _ => drop(found.insert(path, String::new())),
            }
        }
    }
    Ok(found)
}

/// What is at a path of a clone.
pub(super) enum Here {
    Nothing,
    File(State),
    /// A directory, a link, or something behind one: nothing that a clone makes of a file.
    Other,
}

pub(super) fn state(root: &Path, path: &Path) -> Result<Here, HubError> {
    let mut place = root.to_owned();
    let mut names = path.iter().peekable();
    while let Some(name) = names.next() {
        place.push(name);
        match place.symlink_metadata() {
            Ok(found) if names.peek().is_some() && found.is_dir() => {}
            Ok(found) if names.peek().is_none() && found.is_file() => {}
            Ok(_) => return Ok(Here::Other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Here::Nothing),
            Err(error) => return Err(failed("look at", &place)(error)),
        }
    }
    let mut file = regular::beneath(root, path).map_err(failed("read", &place))?;
    let mut hasher = layers::digest::Hasher::new();
    io::copy(&mut file, &mut hasher).map_err(failed("read", &place))?;
    let program = file.metadata().map_err(failed("read", &place))?.permissions().mode() & 0o100 != 0;
    Ok(Here::File(format!("{}{}", hasher.finish(), if program { PROGRAM } else { "" })))
}

/// Removes the directories that have nothing in them now.
fn tidy(dest: &Path, path: &Path) {
    for parent in path.ancestors().skip(1).take_while(|parent| *parent != Path::new("")) {
        // One that has something in it is somebody's.
        if fs::remove_dir(dest.join(parent)).is_err() {
            return;
        }
    }
}
