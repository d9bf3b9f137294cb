//! Files of a clone that give way to others, and are looked at once more when they have: whoever saves one meanwhile
//! gets it back.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::HubError;
use super::contents::failed;
use super::renew::{Here, State, state};
use crate::sink::{exchange, settle};

/// Puts the file `path` of `tree` into the clone `dest`. What is there has to be in one of the `known` states.
pub(super) fn put(tree: &Path, dest: &Path, path: &Path, known: &BTreeSet<State>) -> Result<(), HubError> {
    let (new, place) = (tree.join(path), dest.join(path));
    let parent = place.parent().unwrap_or(dest);
    fs::create_dir_all(parent).map_err(failed("make", parent))?;
    if place.symlink_metadata().is_err() {
        return settle(&new, &place).map_err(failed("write", &place))?.then_some(()).ok_or_else(|| touched(&place));
    }
    exchange(&new, &place).map_err(failed("write", &place))?;
    if is_known(tree, path, known) {
        return Ok(());
    }
    exchange(&new, &place).map_err(failed("put back", &place))?;
    Err(touched(&place))
}

/// Removes the file `path` of the clone `dest` by way of `tree`, which has none of that name.
pub(super) fn remove(tree: &Path, dest: &Path, path: &Path, known: &BTreeSet<State>) -> Result<(), HubError> {
    let (aside, place) = (tree.join(path), dest.join(path));
    let parent = aside.parent().unwrap_or(tree);
    fs::create_dir_all(parent).map_err(failed("make", parent))?;
    fs::rename(&place, &aside).map_err(failed("remove", &place))?;
    if is_known(tree, path, known) {
        return Ok(());
    }
    // Of two that somebody has saved by now, the later one is at its place.
    settle(&aside, &place).map_err(failed("put back", &place))?;
    Err(touched(&place))
}

fn is_known(root: &Path, path: &Path, known: &BTreeSet<State>) -> bool {
    matches!(state(root, path), Ok(Here::File(state)) if known.contains(&state))
}

fn touched(place: &Path) -> HubError {
    HubError::Touched { file: place.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trees() -> (tempfile::TempDir, tempfile::TempDir) {
        let (tree, dest) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir(tree.path().join("a")).unwrap();
        fs::create_dir(dest.path().join("a")).unwrap();
        (tree, dest)
    }

    /// The state of a file that has this text.
    fn of(text: &str) -> BTreeSet<State> {
        BTreeSet::from([layers::digest::Digest::of(text).to_string()])
    }

    #[test]
    fn what_is_saved_meanwhile_is_put_back() {
        let (tree, dest) = trees();
        let (path, file) = (Path::new("a/x"), dest.path().join("a/x"));
        let read = || fs::read_to_string(&file).unwrap();
        // Nothing was there when it was looked at last.
        fs::write(tree.path().join(path), "new").unwrap();
        put(tree.path(), dest.path(), path, &BTreeSet::new()).unwrap();
        assert_eq!(read(), "new");
        for (saved, kept) in [("new", "newer"), ("saved", "saved")] {
            fs::write(&file, saved).unwrap();
            fs::write(tree.path().join(path), "newer").unwrap();
            let ended = put(tree.path(), dest.path(), path, &of("new"));
            assert_eq!((ended.is_ok(), read().as_str()), (saved == "new", kept));
            fs::remove_file(tree.path().join(path)).unwrap();
        }
        let error = remove(tree.path(), dest.path(), path, &of("new")).unwrap_err();
        assert!(matches!(error, HubError::Touched { .. }) && read() == "saved");
        remove(tree.path(), dest.path(), path, &of("saved")).unwrap();
        assert!(!file.exists());
    }
}
