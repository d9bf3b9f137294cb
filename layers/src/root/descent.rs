//! The way down into a tree of any depth: without recursion, and with a bounded number of open directories.

use std::ffi::OsStr;
use std::io;

use rustix::fs::{Mode, OFlags};

use super::{DIRECTORY, Directory, RootError};

/// Directories that are open at a time; `RLIMIT_NOFILE` is 1,024 as a rule (getrlimit(2)).
const OPEN: usize = 128;

/// Directories from the top to where a walk is, each with what is still to be done in it.
///
/// Of deep trees the upper ones are closed, and opened again from below on the way back. They must be the same ones
/// then: whoever moves directories meanwhile ends the walk.
#[derive(Debug)]
pub struct Descent<T> {
    levels: Vec<(Option<Directory>, (u64, u64), T)>,
}

impl<T> Default for Descent<T> {
    fn default() -> Self {
        Self { levels: Vec::new() }
    }
}

impl<T> Descent<T> {
    /// Goes down into `directory`.
    pub fn push(&mut self, directory: Directory, task: T) -> Result<(), RootError> {
        let inode = directory.inode()?;
        self.levels.push((Some(directory), inode, task));
        if let Some(upper) = self.levels.len().checked_sub(OPEN + 1) {
            self.levels[upper].0 = None;
        }
        Ok(())
    }

    /// Where the walk is; `None` when it is at its end.
    pub fn here(&mut self) -> Option<(&Directory, &mut T)> {
        let (directory, _, task) = self.levels.last_mut()?;
        // Only upper ones are closed.
        Some((directory.as_ref()?, task))
    }

    /// Goes up again, out of the directory that is given back.
    pub fn pop(&mut self) -> Result<Option<(Directory, T)>, RootError> {
        let Some((Some(directory), _, task)) = self.levels.pop() else { return Ok(None) };
        if let Some((above @ None, inode, _)) = self.levels.last_mut() {
            *above = Some(directory.above(*inode)?);
        }
        Ok(Some((directory, task)))
    }
}

impl Directory {
    /// The directory that this one is in, which has to be the one with this inode.
    fn above(&self, inode: (u64, u64)) -> Result<Self, RootError> {
        let opened = rustix::fs::openat(&self.fd, "..", DIRECTORY | OFlags::NOFOLLOW, Mode::empty());
        let fd = opened.map_err(self.failed("open", OsStr::new("..")))?;
        let above = Self { fd, path: self.path.parent().unwrap_or(&self.path).to_owned() };
        if above.inode()? != inode {
            let moved = io::Error::other("it was moved to another directory meanwhile");
            return Err(RootError::new("leave", &self.path, moved));
        }
        Ok(above)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::root::Root;

    const DEEP: usize = 3 * OPEN;

    /// A way down that is [`DEEP`], through directories that are made for it.
    fn descended(root: &Root) -> Descent<usize> {
        let mut descent = Descent::default();
        descent.push(root.directory(Path::new("")).unwrap(), 0).unwrap();
        for depth in 1..=DEEP {
            let (directory, _) = descent.here().unwrap();
            directory.create_dir(OsStr::new("d"), 0o755).unwrap();
            let next = directory.directory(OsStr::new("d")).unwrap();
            descent.push(next, depth).unwrap();
        }
        descent
    }

    #[test]
    fn the_way_back_is_the_way_down() {
        let place = tempfile::tempdir().unwrap();
        let root = Root::open(place.path()).unwrap();
        let mut descent = descended(&root);
        assert!(descent.levels.iter().filter(|(directory, ..)| directory.is_some()).count() <= OPEN + 1);
        for depth in (0..=DEEP).rev() {
            let (directory, found) = descent.pop().unwrap().unwrap();
            assert_eq!((found, directory.path().iter().count()), (depth, depth));
        }
        assert!(descent.pop().unwrap().is_none());
        root.directory(Path::new("")).unwrap().remove_all(OsStr::new("d")).unwrap();
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_directory_that_was_moved_ends_the_walk() {
        let place = tempfile::tempdir().unwrap();
        let root = Root::open(place.path()).unwrap();
        let mut descent = descended(&root);
        // The sixth from the top, which is closed by now.
        std::fs::rename(place.path().join("d/d/d/d/d/d"), place.path().join("moved")).unwrap();
        let error = std::iter::from_fn(|| descent.pop().transpose()).find_map(Result::err).unwrap();
        assert!(error.to_string().contains("it was moved to another directory meanwhile"), "{error}");
    }
}
