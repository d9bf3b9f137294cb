//! What root makes in a directory of somebody else's, as whoever calls `sudo -E` has it made in their home: it becomes
//! theirs, as the directory is. Else they could neither use it nor delete it.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, fchown, fstat, openat, statat};
use rustix::process::{Gid, Uid, geteuid};

/// A place where something is about to be made.
#[derive(Debug)]
pub struct Theirs {
    parent: OwnedFd,
    name: OsString,
    owner: (Uid, Gid),
    /// It is there, and empty: what is in it afterwards is root's making.
    within: bool,
}

impl Theirs {
    /// `None` unless root makes `path`, or the directories that lead to it, where another user is at home. What is root's
    /// already stays so.
    pub fn of(path: &Path) -> Option<Self> {
        if !geteuid().is_root() {
            return None;
        }
        let path = std::path::absolute(path).ok()?;
        if path.components().any(|part| part == Component::ParentDir) {
            return None;
        }
        if path.symlink_metadata().is_ok_and(|found| found.uid() == 0) {
            return None;
        }
        let (parent, name) = path.ancestors().find_map(|made| {
            let parent = made.parent()?;
            Some((open(CWD, parent.as_os_str(), OFlags::empty()).ok()?, made.file_name()?.to_owned()))
        })?;
        let found = fstat(&parent).ok()?;
        let owner = (Uid::from_raw(found.st_uid), Gid::from_raw(found.st_gid));
        let within = std::fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_none());
        (!owner.0.is_root()).then_some(Self { parent, name, owner, within })
    }

    /// Gives it to them, whatever of it is root's. Nothing that somebody else has put there meanwhile is given away.
    pub fn hand_over(&self) -> io::Result<()> {
        if self.within {
            return self.give_all(&open(self.parent.as_fd(), &self.name, OFlags::NOFOLLOW)?);
        }
        self.give(self.parent.as_fd(), &self.name)
    }

    fn give_all(&self, directory: &OwnedFd) -> io::Result<()> {
        for entry in Dir::read_from(directory)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                self.give(directory.as_fd(), OsStr::from_bytes(name))?;
            }
        }
        Ok(())
    }

    fn give(&self, parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
        let found = match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(rustix::io::Errno::NOENT) => return Ok(()),
            found => found?,
        };
        let opened = match FileType::from_raw_mode(found.st_mode) {
            FileType::Directory => open(parent, name, OFlags::NOFOLLOW)?,
            FileType::RegularFile => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                openat(parent, name, flags, Mode::empty())?
            }
            _ => return Ok(()),
        };
        let is = fstat(&opened)?;
        // A file of two names may be one of root's from elsewhere.
        if is.st_uid != 0 || (is.st_dev, is.st_ino) != (found.st_dev, found.st_ino) || !is_single(&is) {
            return Ok(());
        }
        if FileType::from_raw_mode(is.st_mode) == FileType::Directory {
            self.give_all(&opened)?;
        }
        Ok(fchown(&opened, Some(self.owner.0), Some(self.owner.1))?)
    }
}

fn is_single(found: &Stat) -> bool {
    FileType::from_raw_mode(found.st_mode) == FileType::Directory || found.st_nlink == 1
}

fn open(at: BorrowedFd<'_>, name: &OsStr, more: OFlags) -> rustix::io::Result<OwnedFd> {
    openat(at, name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | more, Mode::empty())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::chown;

    use super::*;

    #[test]
    fn what_root_makes_at_somebody_s_home_is_theirs() {
        if !geteuid().is_root() {
            return;
        }
        let place = tempfile::tempdir().unwrap();
        let (home, outside) = (place.path().join("home"), place.path().join("outside"));
        fs::create_dir(&home).unwrap();
        chown(&home, Some(1234), Some(1235)).unwrap();
        fs::write(&outside, "x").unwrap();
        let made = home.join("a/b");
        let theirs = Theirs::of(&made).unwrap();
        fs::create_dir_all(&made).unwrap();
        for name in ["file", "other"] {
            fs::write(made.join(name), name).unwrap();
        }
        chown(made.join("other"), Some(77), Some(77)).unwrap();
        fs::hard_link(&outside, made.join("hard")).unwrap();
        std::os::unix::fs::symlink(&outside, made.join("link")).unwrap();
        theirs.hand_over().unwrap();
        let owner = |path: &Path| path.symlink_metadata().map(|found| (found.uid(), found.gid())).unwrap();
        for path in [home.join("a"), made.clone(), made.join("file")] {
            assert_eq!(owner(&path), (1234, 1235), "{}", path.display());
        }
        assert_eq!(owner(&made.join("other")), (77, 77));
        assert_eq!((owner(&outside), owner(&made.join("link"))), ((0, 0), (0, 0)));
        let empty = home.join("empty");
        fs::create_dir(&empty).unwrap();
        chown(&empty, Some(1234), Some(1235)).unwrap();
        let theirs = Theirs::of(&empty).unwrap();
        fs::write(empty.join("x"), "x").unwrap();
        theirs.hand_over().unwrap();
        assert_eq!(owner(&empty.join("x")), (1234, 1235));
        // What is root's, or in a directory of root's, stays so; what is theirs may be exchanged.
        fs::create_dir(home.join("root")).unwrap();
        assert!(Theirs::of(&home.join("root")).is_none() && Theirs::of(&home.join("root/x")).is_none());
        assert!(Theirs::of(&place.path().join("x")).is_none() && Theirs::of(&home.join("a")).is_some());
        assert!(Theirs::of(&home.join("a/../x")).is_none());
    }
}
