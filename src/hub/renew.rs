//! A clone that becomes a later version of itself. What its user has changed in it is never lost: a file is replaced
//! or removed only if it still is what the clone before had put there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use layers::digest::Digest;
use layers::regular;
use serde::{Deserialize, Serialize};

use super::contents::failed;
use super::land::{free, land};
use super::{Found, HubError, MOST_TEXT};
use crate::blueprint::MANIFEST_FILE;
use crate::resolve::Resolver;
use crate::sink::{Sink, Staged};

/// What a clone was when it was made.
const RECORD: &str = ".alloy-clone.json";
/// Files that an error names.
const SHOWN: usize = 8;

#[derive(Default, Serialize, Deserialize)]
struct Record {
    /// The blueprint, with its digest.
    from: String,
    /// What its files held, by their paths.
    files: BTreeMap<PathBuf, Digest>,
}

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
    /// Puts its files at `dest`: into nothing, into an empty directory, or in place of another version that was cloned
    /// there.
    pub fn renew(&self, resolver: &Resolver<'_>, dest: &Path) -> Result<Renewed, HubError> {
        let filled = |tree: &Path| {
            self.fill(resolver, dest, tree)?;
            self.record(files(tree)?, tree)
        };
        match free(dest) {
            Ok(()) => return land(dest, filled).map(|()| Renewed::New),
            Err(HubError::Occupied { .. }) if dest.join(MANIFEST_FILE).is_file() => {}
            Err(error) => return Err(error),
        }
        let before = regular::read(&dest.join(RECORD), MOST_TEXT).ok();
        let before: Record = before.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        let staged = Staged::of(dest).map_err(failed("write beside", dest))?;
        let tree = staged.path().join("blueprint");
        fs::create_dir(&tree).map_err(failed("make", &tree))?;
        self.fill(resolver, dest, &tree)?;
        let new = files(&tree)?;
        let (mut changed, mut theirs) = (Vec::new(), Vec::new());
        for path in new.keys().chain(before.files.keys()).collect::<BTreeSet<_>>() {
            let here = digest(dest, path)?;
            let known = before.files.get(path);
            match (here, new.get(path)) {
                (Here::File(here), Some(new)) if here == *new => {}
                (Here::Nothing, None) => {}
                (Here::Nothing, Some(_)) => changed.push(path),
                (Here::File(here), _) if known == Some(&here) => changed.push(path),
                // A file that the later version does not have any more stays, as its user wants it.
                (Here::File(_) | Here::Other, None) => {}
                (Here::File(_) | Here::Other, Some(_)) => theirs.push(path.clone()),
            }
        }
        if !theirs.is_empty() {
            let more = theirs.len().saturating_sub(SHOWN);
            theirs.truncate(SHOWN);
            return Err(HubError::Changed { directory: dest.to_owned(), files: theirs, more });
        }
        for path in &changed {
            let place = dest.join(path);
            if !new.contains_key(*path) {
                fs::remove_file(&place).map_err(failed("remove", &place))?;
                tidy(dest, path);
                continue;
            }
            let parent = place.parent().unwrap_or(dest);
            fs::create_dir_all(parent).map_err(failed("make", parent))?;
            fs::rename(tree.join(path), &place).map_err(failed("write", &place))?;
        }
        let count = changed.len();
        self.record(new, dest)?;
        Ok(if count == 0 { Renewed::Same } else { Renewed::Files(count) })
    }

    fn record(&self, files: BTreeMap<PathBuf, Digest>, directory: &Path) -> Result<(), HubError> {
        let path = directory.join(RECORD);
        let record = Record { from: self.name(), files };
        let bytes = serde_json::to_vec_pretty(&record).unwrap_or_default();
        let written = Sink::at(&path).and_then(|sink| sink.write_all(&bytes));
        written.map_err(|error| failed("write", &path)(io::Error::other(error)))
    }
}

/// All files below a directory that was just unpacked, where nothing but files and directories is.
fn files(tree: &Path) -> Result<BTreeMap<PathBuf, Digest>, HubError> {
    let (mut found, mut directories) = (BTreeMap::new(), vec![PathBuf::new()]);
    while let Some(directory) = directories.pop() {
        let place = tree.join(&directory);
        for entry in fs::read_dir(&place).map_err(failed("list", &place))? {
            let entry = entry.map_err(failed("list", &place))?;
            let path = directory.join(entry.file_name());
            match digest(tree, &path)? {
                Here::File(digest) => drop(found.insert(path, digest)),
                _ => directories.push(path),
            }
        }
    }
    // Nobody else's record counts.
    found.remove(Path::new(RECORD));
    Ok(found)
}

/// What is at a path of a clone.
enum Here {
    Nothing,
    File(Digest),
    /// A directory, a link, or something behind one: nothing that a clone makes of a file.
    Other,
}

fn digest(root: &Path, path: &Path) -> Result<Here, HubError> {
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
    Ok(Here::File(hasher.finish()))
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
