//! What a task has cloned on a host: the files that git follows in each repository, as its index has them
//! (gitformat-index(5)), and the commit that is checked out. What builds put beside them is nobody's record.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use layers::root::{FileKind, Root};

use super::ledger::Files;
use super::seen::{Seen, What};
use super::state::Record;
use crate::op::{Op, Step};
use crate::target::{head, in_root};

/// git's own directory, or the file that says where it is.
pub const GIT: &str = ".git";
/// repo's own directory, with what belongs to all of its repositories.
const REPO: &str = ".repo";
/// Actions that clone.
const CLONE: [&str; 5] = ["git_clone", "mcu_sdk", "yocto_manifest", "buildroot_config", "build_from_source"];
/// Bytes of an index: git needs about 100 for a file.
const INDEX: u64 = 256 << 20;
const SMALL: u64 = 64 << 10;
/// Files of one task; of more, none are followed.
const MOST: usize = 300_000;
/// Directories that are looked into.
const DIRECTORIES: usize = 200_000;

/// Directories that `step`, if it clones, makes for that.
pub fn places(step: &Step) -> Vec<PathBuf> {
    let made =
        step.ops.iter().filter_map(|op| if let Op::MakeDir { path } = op { Some(PathBuf::from(path)) } else { None });
    if step.checkouts.is_empty() { Vec::new() } else { made.collect() }
}

/// Paths that `step` has cloned, relative to the root; none where they are too many.
pub fn of(root: &Root, step: &Step) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for place in places(step) {
        match below(root, &in_root(&place)) {
            Some(paths) if found.len() + paths.len() <= MOST => found.extend(paths),
            _ => return Vec::new(),
        }
    }
    found
}

/// Files of the clone in `place`, relative to it; none where they are too many.
pub fn files_of(root: &Root, place: &Path) -> Vec<PathBuf> {
    let place = in_root(place);
    let found = below(root, &place).filter(|paths| paths.len() <= MOST).unwrap_or_default();
    found.into_iter().filter_map(|path| path.strip_prefix(&place).map(Path::to_owned).ok()).collect()
}

/// Files of the repositories in and below `place`; `None` where not all can be told.
fn below(root: &Root, place: &Path) -> Option<Vec<PathBuf>> {
    let (mut found, mut open, mut seen) = (Vec::new(), vec![place.to_owned()], 0);
    while let Some(at) = open.pop() {
        seen += 1;
        let Ok(directory) = root.directory(&at) else { continue };
        for name in directory.names().ok()? {
            let path = at.join(&name);
            if name == GIT {
                let files = tracked(root, &at)?;
                found.push(path);
                found.extend(files.into_iter().map(|file| at.join(file)));
            } else if name != REPO && directory.metadata(&name).ok()?.kind == FileKind::Directory {
                open.push(path);
            }
        }
        if seen > DIRECTORIES || found.len() > MOST {
            return None;
        }
    }
    Some(found)
}

/// Files that git follows in the repository whose work tree is `work`.
fn tracked(root: &Root, work: &Path) -> Option<Vec<PathBuf>> {
    let own = work.join(GIT);
    let place = elsewhere(root, &own).unwrap_or(own);
    let config = head(root, &place.join("config"), SMALL).unwrap_or_default().to_ascii_lowercase();
    let hash = if config.contains("objectformat = sha256") { 32 } else { 20 };
    // A repository in which nothing is checked out has none.
    let Ok(index) = root.read(&place.join("index"), INDEX) else { return Some(Vec::new()) };
    names(&index, hash)
}

/// Where the file `git`, which stands in the place of git's own directory, says that this is (gitrepository-layout(5)).
pub fn elsewhere(root: &Root, git: &Path) -> Option<PathBuf> {
    let text = head(root, git, SMALL)?;
    Some(in_root(&git.parent()?.join(text.strip_prefix("gitdir: ")?.trim())))
}

/// The names in an index, those left out that are no files or are not checked out; `hash` is the length of one.
fn names(index: &[u8], hash: usize) -> Option<Vec<PathBuf>> {
    let number = |at: usize| Some(u32::from_be_bytes(index.get(at..at + 4)?.try_into().ok()?));
    let version = number(4).filter(|version| index.starts_with(b"DIRC") && (2..=4).contains(version))?;
    let (count, mut at) = (number(8)?, 12);
    let (mut found, mut last) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let begin = at;
        let mode = number(begin + 24)?;
        at = begin + 40 + hash;
        let flags = u16::from_be_bytes(index.get(at..at + 2)?.try_into().ok()?);
        at += 2;
        let mut left_out = false;
        if version > 2 && flags & 0x4000 != 0 {
            left_out = index.get(at)? & 0x40 != 0;
            at += 2;
        }
        if version == 4 {
            let (kept, next) = cut(index, at)?;
            last.truncate(last.len().checked_sub(kept)?);
            at = next;
        } else {
            last.clear();
        }
        let length = index.get(at..)?.iter().position(|byte| *byte == 0)?;
        last.extend_from_slice(&index[at..at + length]);
        // Entries of older versions end with zeros, up to a multiple of eight.
        at = if version == 4 { at + length + 1 } else { begin + ((at + length - begin + 8) & !7) };
        index.get(begin..at)?;
        let path = PathBuf::from(OsString::from_vec(last.clone()));
        let plain = path.components().all(|part| matches!(part, std::path::Component::Normal(_)));
        if !plain {
            return None;
        }
        // Directories of sparse indexes and submodules are none.
        if !left_out && matches!(mode >> 12, 0o10 | 0o12) {
            found.push(path);
        }
    }
    Some(found)
}

/// The number at `at`, as packs have it, and where it ends.
fn cut(bytes: &[u8], mut at: usize) -> Option<(usize, usize)> {
    let mut byte = *bytes.get(at)?;
    let mut value = usize::from(byte & 0x7f);
    while byte & 0x80 != 0 {
        at += 1;
        byte = *bytes.get(at)?;
        value = value.checked_add(1)?.checked_mul(128)? + usize::from(byte & 0x7f);
    }
    Some((value, at + 1))
}

/// Directories that the task of `record` has cloned into, and of whose content it says nothing: an earlier alloy did not
/// look, or there is too much of it.
pub fn unlooked(record: &Record, files: &Files) -> Vec<String> {
    if !CLONE.contains(&record.action.as_str()) {
        return Vec::new();
    }
    let bare = |(path, seen): &(&String, &Seen)| seen.what == What::Directory && !has_below(files, path);
    files.iter().filter(bare).map(|(path, _)| path.clone()).collect()
}

/// True if the task of `record`, which wrote `files`, has cloned into `place`.
pub fn has_made(files: &Files, place: &Path, record: &Record) -> bool {
    CLONE.contains(&record.action.as_str()) && place.to_str().is_some_and(|place| files.contains_key(place))
}

/// True if the task of `record`, which wrote `files`, has cloned into a directory below `place`.
pub fn has_made_below(files: &Files, place: &Path, record: &Record) -> bool {
    let is_below = |path: &String| Path::new(path).starts_with(place) && Path::new(path).ends_with(GIT);
    CLONE.contains(&record.action.as_str()) && files.keys().any(is_below)
}

fn has_below(files: &Files, path: &str) -> bool {
    let inside = format!("{path}/");
    files.range(inside.clone()..).next().is_some_and(|(path, _)| path.starts_with(&inside))
}

/// What is known of `place` and what is below it.
pub fn within<'f>(files: &'f Files, place: &Path) -> BTreeMap<&'f String, &'f Seen> {
    files.iter().filter(|(path, _)| Path::new(path).starts_with(place)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An entry of version 2, whose name is `name`.
    fn entry(mode: u32, name: &str) -> Vec<u8> {
        let mut entry = vec![0; 62];
        entry[24..28].copy_from_slice(&mode.to_be_bytes());
        entry[61] = u8::try_from(name.len()).unwrap();
        entry.extend(name.as_bytes());
        entry.resize((entry.len() + 8) & !7, 0);
        entry
    }

    #[test]
    fn an_index_names_what_git_follows() {
        let entries = [(0o100_644, "a"), (0o120_000, "dir/link"), (0o160_000, "module"), (0o100_755, "x.sh")];
        let mut index = b"DIRC\0\0\0\x02\0\0\0\x04".to_vec();
        entries.iter().for_each(|(mode, name)| index.extend(entry(*mode, name)));
        let found = names(&index, 20).unwrap();
        assert_eq!(found, ["a", "dir/link", "x.sh"].map(PathBuf::from));
        assert!((0..index.len()).all(|end| names(&index[..end], 20).is_none()), "a cut is noticed");
        let mut out = b"DIRC\0\0\0\x02\0\0\0\x01".to_vec();
        out.extend(entry(0o100_644, "../x"));
        assert_eq!(names(&out, 20), None);
    }

    #[test]
    fn names_may_be_shortened() {
        let mut index = b"DIRC\0\0\0\x04\0\0\0\x02".to_vec();
        for (kept, name) in [(0, "dir/one"), (3, "two")] {
            let mut fixed = vec![0; 62];
            fixed[24..28].copy_from_slice(&0o100_644_u32.to_be_bytes());
            index.extend(fixed);
            index.push(kept);
            index.extend(name.bytes().chain([0]));
        }
        assert_eq!(names(&index, 20).unwrap(), ["dir/one", "dir/two"].map(PathBuf::from));
        assert_eq!(cut(&[0x80, 0x00], 0), Some((128, 2)));
    }
}
