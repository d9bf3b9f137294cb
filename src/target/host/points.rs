//! What a root lacks of the places where something is mounted for a command.
//!
//! It is made for as long as the command runs, and noted in the root itself first: of a run that is killed, the next one
//! deletes it, whichever store that has and wherever the root is by then. What is no longer empty, or is not the file
//! that was made, stays.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use layers::root::{FileKind, Root, RootError};

use super::super::TargetError;

/// Where it is noted: paths relative to the root, and the inode of each, or 0 where it may not have been made. All end
/// in NUL.
const NOTE: &str = "var/lib/alloy/mount-points";
/// Bytes of a note.
const LIMIT: u64 = 1 << 20;
/// As many links as the kernel follows.
const LINKS: usize = 40;

/// Something that is missing.
struct Point {
    path: PathBuf,
    directory: bool,
    inode: u64,
}

/// What was made in a root to mount on; it goes when this does.
pub(super) struct MountPoints<'r> {
    root: &'r Root,
    /// What holds others is before them.
    made: Vec<Point>,
}

impl<'r> MountPoints<'r> {
    /// Makes what is missing of `targets`, which are directories or files, through no link of somebody else's.
    pub(super) fn make(
        root: &'r Root,
        targets: impl IntoIterator<Item = (PathBuf, bool)>,
    ) -> Result<Self, TargetError> {
        // What could not be deleted after the command before is not to be forgotten.
        clear(root)?;
        let mut points = Self { root, made: Vec::new() };
        for (target, directory) in targets {
            points.missing(&target, directory)?;
        }
        if points.made.is_empty() {
            return Ok(points);
        }
        points.note()?;
        for point in &mut points.made {
            let (parent, name) = split(&point.path);
            let parent = root.directory(parent)?;
            if point.directory {
                parent.create_dir(name, 0o755)?;
                parent.set_mode(name, 0o755)?;
            } else {
                parent.create_file(name, 0o644)?;
            }
            point.inode = parent.metadata(name)?.inode.1;
        }
        points.note()?;
        Ok(points)
    }

    /// Adds what of `target` is not there.
    fn missing(&mut self, target: &Path, directory: bool) -> Result<(), TargetError> {
        let place = end(self.root, target)?;
        let mut missing = Vec::new();
        for path in place.ancestors().take_while(|path| !path.as_os_str().is_empty()) {
            if self.root.exists(path)? || self.made.iter().any(|known| known.path == path) {
                break;
            }
            missing.push(Point { path: path.to_owned(), directory: directory || path != place, inode: 0 });
        }
        self.made.extend(missing.into_iter().rev());
        Ok(())
    }

    fn note(&self) -> Result<(), TargetError> {
        let line = |point: &Point| Some(format!("{}\0{}\0", point.path.to_str()?, point.inode));
        let text: String = self.made.iter().filter_map(line).collect();
        let (parent, _) = split(Path::new(NOTE));
        self.root.create_dir_all(parent, 0o755)?;
        self.root.write_file(Path::new(NOTE), &mut text.as_bytes(), 0o644)?;
        Ok(())
    }
}

impl Drop for MountPoints<'_> {
    fn drop(&mut self) {
        // What cannot be deleted now stays noted: the next command, or the next run, deletes it.
        if remove(self.root, &self.made).is_ok() && !self.made.is_empty() {
            let _ = self.root.remove_all(Path::new(NOTE));
        }
    }
}

/// Deletes what a command or run has made in `root` that could not delete it itself. No other run may be at work there.
pub fn clear(root: &Root) -> Result<(), TargetError> {
    let note = Path::new(NOTE);
    let (parent, name) = split(note);
    if !root.exists(parent)? {
        return Ok(());
    }
    root.sweep(note)?;
    // A link there is nothing of ours.
    if !root.metadata(note).is_ok_and(|found| found.kind == FileKind::File) {
        return Ok(());
    }
    let text = String::from_utf8(root.read(note, LIMIT)?).unwrap_or_default();
    let mut parts = text.split_terminator('\0');
    let mut made = Vec::new();
    while let (Some(path), Some(Ok(inode))) = (parts.next(), parts.next().map(str::parse)) {
        made.push(Point { path: PathBuf::from(path), directory: true, inode });
    }
    remove(root, &made)?;
    Ok(root.directory(parent)?.remove_all(name)?)
}

/// Deletes what is as it was made. What a task has written by now stays. All is tried, and the first failure told.
fn remove(root: &Root, made: &[Point]) -> Result<(), RootError> {
    let mut removed = Ok(());
    for point in made.iter().rev() {
        let (parent, name) = split(&point.path);
        let Ok(parent) = root.directory(parent) else { continue };
        let empty = parent.metadata(name).is_ok_and(|found| match found.kind {
            _ if point.inode != 0 && point.inode != found.inode.1 => false,
            FileKind::File => found.size == 0,
            FileKind::Directory => parent.directory(name).and_then(|of| of.names()).is_ok_and(|names| names.is_empty()),
            _ => false,
        });
        if empty {
            let gone = parent.remove_all(name);
            removed = removed.and(gone);
        }
    }
    removed
}

/// Where `path` ends in `root`, its links followed: a link to nowhere is a name of what it means.
fn end(root: &Root, path: &Path) -> Result<PathBuf, TargetError> {
    let mut path = path.strip_prefix("/").unwrap_or(path).to_owned();
    for _ in 0..LINKS {
        let (parent, name) = split(&path);
        let place = root.resolve(parent)?.join(name);
        if !root.metadata(&place).is_ok_and(|found| found.kind == FileKind::Symlink) || root.exists(&place)? {
            return Ok(place);
        }
        let link = root.read_link(&place)?;
        path = match link.strip_prefix("/") {
            Ok(below) => below.to_owned(),
            Err(_) => place.parent().unwrap_or(Path::new("")).join(link),
        };
    }
    Err(TargetError::Host { path, source: io::Error::from(rustix::io::Errno::LOOP) })
}

fn split(path: &Path) -> (&Path, &OsStr) {
    (path.parent().unwrap_or(Path::new("")), path.file_name().unwrap_or(OsStr::new(".")))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn targets() -> [(PathBuf, bool); 3] {
        [("/etc/resolv.conf", false), ("/etc/hosts", false), ("/run/alloy", true)].map(|(path, is)| (path.into(), is))
    }

    fn all(place: &Path) -> Vec<String> {
        let mut found = Vec::new();
        let mut left = vec![place.to_owned()];
        while let Some(directory) = left.pop() {
            for entry in fs::read_dir(&directory).unwrap().map(Result::unwrap) {
                left.extend(entry.file_type().unwrap().is_dir().then(|| entry.path()));
                found.push(entry.path().strip_prefix(place).unwrap().to_str().unwrap().to_owned());
            }
        }
        found.sort();
        found
    }

    #[test]
    fn what_was_made_goes_and_what_was_written_stays() {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir(place.path().join("etc")).unwrap();
        fs::write(place.path().join("etc/hosts"), "").unwrap();
        let root = Root::open(place.path()).unwrap();
        let points = MountPoints::make(&root, targets()).unwrap();
        assert!(place.path().join("etc/resolv.conf").is_file() && place.path().join("run/alloy").is_dir());
        drop(points);
        assert_eq!(all(place.path()), ["etc", "etc/hosts", "var", "var/lib", "var/lib/alloy"]);
        let points = MountPoints::make(&root, targets()).unwrap();
        fs::write(place.path().join("etc/resolv.conf"), "nameserver 192.0.2.1").unwrap();
        drop(points);
        assert!(place.path().join("etc/resolv.conf").exists() && !place.path().join("run").exists());
    }

    #[test]
    fn the_next_run_deletes_what_a_dead_one_made() {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir(place.path().join("etc")).unwrap();
        let root = Root::open(place.path()).unwrap();
        std::mem::forget(MountPoints::make(&root, targets()).unwrap());
        // Somebody has made one of their own.
        fs::write(place.path().join("etc/theirs"), "").unwrap();
        fs::rename(place.path().join("etc/theirs"), place.path().join("etc/hosts")).unwrap();
        clear(&root).unwrap();
        assert_eq!(all(place.path()), ["etc", "etc/hosts", "var", "var/lib", "var/lib/alloy"]);
        clear(&root).unwrap();
    }

    #[test]
    fn a_kill_between_note_and_making_leaves_nothing() {
        let place = tempfile::tempdir().unwrap();
        let root = Root::open(place.path()).unwrap();
        let mut points = MountPoints { root: &root, made: Vec::new() };
        for (target, directory) in targets() {
            points.missing(&target, directory).unwrap();
        }
        points.note().unwrap();
        fs::create_dir(place.path().join("etc")).unwrap();
        fs::write(place.path().join("etc/resolv.conf"), "").unwrap();
        std::mem::forget(points);
        clear(&root).unwrap();
        assert_eq!(all(place.path()), ["var", "var/lib", "var/lib/alloy"]);
    }

    #[test]
    fn a_link_to_nowhere_is_a_name_of_what_it_means() {
        let place = tempfile::tempdir().unwrap();
        for directory in ["etc", "private"] {
            fs::create_dir(place.path().join(directory)).unwrap();
        }
        symlink("private", place.path().join("run")).unwrap();
        symlink("../run/resolve/stub", place.path().join("etc/resolv.conf")).unwrap();
        let root = Root::open(place.path()).unwrap();
        let points = MountPoints::make(&root, targets()).unwrap();
        assert!(place.path().join("private/resolve/stub").is_file());
        drop(points);
        assert!(place.path().join("etc/resolv.conf").is_symlink() && all(&place.path().join("private")).is_empty());
    }
}
