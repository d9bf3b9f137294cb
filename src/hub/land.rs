//! A directory that is there whole or not at all.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use super::contents::failed;
use super::renew::is_unfinished;
use super::{HubError, RECORD};
use crate::blueprint::MANIFEST_FILE;
use crate::sink::{Staged, sweep};

/// How a directory is called that is not finished, in the one that it will fill.
const UNFINISHED: &str = "blueprint";

/// An error unless a blueprint can be put at `dest`: into nothing, into an empty directory, or into one that a clone has
/// begun to fill.
pub fn free(dest: &Path) -> Result<(), HubError> {
    sweep(dest, OsStr::new(UNFINISHED));
    match fs::read_dir(dest).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) if is_unfinished(dest) => Ok(()),
        Ok(false) => Err(occupied(dest)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => match dest.symlink_metadata() {
            Ok(_) => Err(occupied(dest)),
            Err(_) => Ok(()),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => Err(occupied(dest)),
        Err(error) => Err(failed("look at", dest)(error)),
    }
}

/// Has a directory filled, and puts what is in it at `dest`.
pub(super) fn land(dest: &Path, fill: impl FnOnce(&Path) -> Result<(), HubError>) -> Result<(), HubError> {
    free(dest)?;
    if dest.is_dir() {
        return land_in(dest, fill);
    }
    let parent = dest.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(failed("make", parent))?;
    let staged = Staged::of(dest).map_err(failed("write to", parent))?;
    let tree = tree(&staged)?;
    fill(&tree)?;
    fs::rename(&tree, dest).map_err(|error| match error.kind() {
        // Somebody else was quicker.
        std::io::ErrorKind::DirectoryNotEmpty | std::io::ErrorKind::AlreadyExists => occupied(dest),
        _ => failed("make", dest)(error),
    })
}

/// Into a directory that is there, and stays the same one: somebody may stand in it. The record comes first: by it a
/// later clone knows what a killed one has put there. The manifest comes last: without it, what is there is no blueprint.
fn land_in(dest: &Path, fill: impl FnOnce(&Path) -> Result<(), HubError>) -> Result<(), HubError> {
    let staged = Staged::within(dest, OsStr::new(UNFINISHED)).map_err(failed("write to", dest))?;
    let tree = tree(&staged)?;
    fill(&tree)?;
    let names = fs::read_dir(&tree).and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect());
    let mut names: Vec<_> = names.map_err(failed("list", &tree))?;
    names.sort_by_key(|name| (name == MANIFEST_FILE, name != RECORD));
    for name in names {
        let place = dest.join(&name);
        fs::rename(tree.join(&name), &place).map_err(failed("make", &place))?;
    }
    Ok(())
}

/// Of a directory of ours, one that anybody may read whom the umask lets.
fn tree(staged: &Staged) -> Result<PathBuf, HubError> {
    let tree = staged.path().join("blueprint");
    fs::create_dir(&tree).map_err(failed("make", &tree))?;
    Ok(tree)
}

fn occupied(dest: &Path) -> HubError {
    HubError::Occupied { path: dest.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(tree: &Path) -> Result<(), HubError> {
        fs::write(tree.join(MANIFEST_FILE), "x").map_err(failed("write", tree))
    }

    fn names(directory: &Path) -> Vec<String> {
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn nothing_is_left_of_what_fails() {
        let place = tempfile::tempdir().unwrap();
        let (new, empty) = (place.path().join("a/new"), place.path().join("empty"));
        fs::create_dir(&empty).unwrap();
        let fails = |tree: &Path| fill(tree).and(Err(occupied(tree)));
        assert!(land(&new, fails).is_err() && land(&empty, fails).is_err());
        assert!(!new.exists() && names(new.parent().unwrap()).is_empty() && names(&empty).is_empty());
        for dest in [&new, &empty] {
            land(dest, fill).unwrap();
            assert_eq!(names(dest), [MANIFEST_FILE]);
            assert!(matches!(land(dest, fill), Err(HubError::Occupied { .. })));
        }
        let file = new.join(MANIFEST_FILE);
        assert!(matches!(free(&file), Err(HubError::Occupied { .. })));
        std::os::unix::fs::symlink("nowhere", place.path().join("link")).unwrap();
        assert!(matches!(free(&place.path().join("link")), Err(HubError::Occupied { .. })));
    }
}
