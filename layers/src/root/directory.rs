//! Operations on the names of one open directory.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Timespec, Timestamps};
use rustix::io::Errno;

use super::{DIRECTORY, Descent, FileKind, Metadata, RootError, xattr};
use crate::beneath::openat2;
use crate::disk;

/// An open directory of a root, on whose names operations work without any resolution.
#[derive(Debug)]
pub struct Directory {
    pub(super) fd: OwnedFd,
    pub(super) path: PathBuf,
}

impl Directory {
    pub(super) fn failed(&self, what: &'static str, name: &OsStr) -> impl FnOnce(Errno) -> RootError {
        let path = self.path.join(name);
        move |errno| RootError::new(what, &path, disk::told_of(errno.into(), &self.fd))
    }

    /// Its path in the root.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A directory in this one; a link is not followed.
    pub fn directory(&self, name: &OsStr) -> Result<Directory, RootError> {
        let fd = rustix::fs::openat(&self.fd, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty());
        Ok(Directory { fd: fd.map_err(self.failed("open", name))?, path: self.path.join(name) })
    }

    /// What `name` is.
    pub fn metadata(&self, name: &OsStr) -> Result<Metadata, RootError> {
        let stat = rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW);
        stat.map(Metadata::from).map_err(self.failed("look at", name))
    }

    /// The directory itself, opened to be read or locked.
    pub fn open(&self) -> Result<File, RootError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, ".", flags, Mode::empty());
        fd.map(File::from).map_err(|e| RootError::new("open", &self.path, e))
    }

    /// Sorted names, `.` and `..` left out.
    pub fn names(&self) -> Result<Vec<OsString>, RootError> {
        let failed = |e| RootError::new("list", &self.path, e);
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(self.open()?).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_bytes();
            if !matches!(name, b"." | b"..") {
                names.push(OsStr::from_bytes(name).to_owned());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Opens a regular file for reading; a link is not followed.
    pub fn open_file(&self, name: &OsStr) -> Result<File, RootError> {
        self.handle(name)?.open()
    }

    /// Makes a file that must not exist.
    pub fn create_file(&self, name: &OsStr, mode: u32) -> Result<File, RootError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, name, flags, Mode::from_raw_mode(mode));
        fd.map(File::from).map_err(self.failed("make", name))
    }

    /// Opens a file that is nobody else's to open, as one that is locked has to be; where there is none, it is made. A
    /// link is not followed.
    pub fn private_file(&self, name: &OsStr) -> Result<File, RootError> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, name, flags, Mode::RUSR | Mode::WUSR);
        let fd = fd.map_err(self.failed("open", name))?;
        let found = rustix::fs::fstat(&fd).map_err(self.failed("look at", name))?;
        let is_file = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile;
        let own = found.st_uid == rustix::process::geteuid().as_raw() && found.st_nlink == 1;
        if !is_file || !own || found.st_mode & 0o077 != 0 {
            let message = "others may have it open: it should be a file of mode 0600 of whoever runs alloy; delete it";
            return Err(RootError::new("use", &self.path.join(name), io::Error::other(message)));
        }
        Ok(File::from(fd))
    }

    /// Makes a directory that must not exist.
    pub fn create_dir(&self, name: &OsStr, mode: u32) -> Result<(), RootError> {
        rustix::fs::mkdirat(&self.fd, name, Mode::from_raw_mode(mode)).map_err(self.failed("make", name))
    }

    /// Makes a symbolic link.
    pub fn symlink(&self, name: &OsStr, target: &Path) -> Result<(), RootError> {
        rustix::fs::symlinkat(target, &self.fd, name).map_err(self.failed("make the link", name))
    }

    /// Makes `name` a further name of `other_name` in `other`.
    pub fn hard_link(&self, name: &OsStr, other: &Directory, other_name: &OsStr) -> Result<(), RootError> {
        let linked = rustix::fs::linkat(&other.fd, other_name, &self.fd, name, AtFlags::empty());
        linked.map_err(self.failed("make the hard link", name))
    }

    /// Makes a device node or a named pipe.
    pub fn node(&self, name: &OsStr, kind: FileKind, device: (u32, u32)) -> Result<(), RootError> {
        let kind = match kind {
            FileKind::CharDevice => FileType::CharacterDevice,
            FileKind::BlockDevice => FileType::BlockDevice,
            _ => FileType::Fifo,
        };
        let device = rustix::fs::makedev(device.0, device.1);
        let made = rustix::fs::mknodat(&self.fd, name, kind, Mode::from_raw_mode(0o600), device);
        made.map_err(self.failed("make the node", name))
    }

    /// Where a link points.
    pub fn read_link(&self, name: &OsStr) -> Result<PathBuf, RootError> {
        let target = rustix::fs::readlinkat(&self.fd, name, Vec::new()).map_err(self.failed("read the link", name))?;
        Ok(PathBuf::from(OsStr::from_bytes(target.as_bytes())))
    }

    /// Sets owner and group; a link itself, not its target.
    pub fn set_owner(&self, name: &OsStr, uid: Option<u32>, gid: Option<u32>) -> Result<(), RootError> {
        let (uid, gid) = super::ids(uid, gid).map_err(self.failed(super::OWNER, name))?;
        let set = rustix::fs::chownat(&self.fd, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW);
        set.map_err(self.failed(super::OWNER, name))
    }

    /// Sets permission bits; a link is refused.
    pub fn set_mode(&self, name: &OsStr, mode: u32) -> Result<(), RootError> {
        self.handle(name)?.set_mode(mode)
    }

    /// Sets the modification time (seconds and nanoseconds), and the access time with it.
    pub fn set_mtime(&self, name: &OsStr, mtime: (i64, u32)) -> Result<(), RootError> {
        let time = Timespec { tv_sec: mtime.0, tv_nsec: mtime.1.into() };
        let times = Timestamps { last_access: time, last_modification: time };
        let set = rustix::fs::utimensat(&self.fd, name, &times, AtFlags::SYMLINK_NOFOLLOW);
        set.map_err(self.failed("set the time of", name))
    }

    /// Extended attributes, sorted by name; a link's own.
    pub fn xattrs(&self, name: &OsStr) -> Result<Vec<(OsString, Vec<u8>)>, RootError> {
        xattr::read(&self.fd, name).map_err(self.failed("read the attributes of", name))
    }

    /// Names of extended attributes; a link's own.
    pub fn xattr_names(&self, name: &OsStr) -> Result<Vec<OsString>, RootError> {
        xattr::names(&self.fd, name).map_err(self.failed("read the attributes of", name))
    }

    /// Sets an extended attribute; a link's own.
    pub fn set_xattr(&self, name: &OsStr, attribute: &OsStr, value: &[u8]) -> Result<(), RootError> {
        let failed = |errno| RootError::new("set an attribute of", &self.path.join(name), xattr::not_set(errno));
        xattr::set(&self.fd, name, attribute, value).map_err(failed)
    }

    /// Removes an extended attribute; a link's own. None there is fine.
    pub fn remove_xattr(&self, name: &OsStr, attribute: &OsStr) -> Result<(), RootError> {
        xattr::remove(&self.fd, name, attribute).map_err(self.failed("remove an attribute of", name))
    }

    /// Deletes `name` with all below it. Nothing there is fine.
    pub fn remove_all(&self, name: &OsStr) -> Result<(), RootError> {
        if self.unlink(name)? {
            self.clear(name)?;
            self.remove_dir(name)?;
        }
        Ok(())
    }

    /// Deletes all that is in the directory `name`.
    pub fn clear(&self, name: &OsStr) -> Result<(), RootError> {
        let mut descent = Descent::default();
        descent.push(self.opened_up(name)?, None)?;
        while let Some((directory, names)) = descent.here() {
            let names: &mut std::vec::IntoIter<OsString> = match names {
                Some(names) => names,
                None => names.insert(directory.names()?.into_iter()),
            };
            let Some(name) = names.next() else {
                let Some((emptied, _)) = descent.pop()? else { break };
                if let (Some((above, _)), Some(name)) = (descent.here(), emptied.path.file_name()) {
                    above.remove_dir(name)?;
                }
                continue;
            };
            if directory.unlink(&name)? {
                let below = directory.opened_up(&name)?;
                descent.push(below, None)?;
            }
        }
        Ok(())
    }

    /// Deletes `name` unless it is a directory; gives whether it is one. Nothing there is fine.
    fn unlink(&self, name: &OsStr) -> Result<bool, RootError> {
        match rustix::fs::unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(false),
            Err(Errno::ISDIR | Errno::PERM) => Ok(true),
            Err(error) => Err(self.failed("delete", name)(error)),
        }
    }

    /// Deletes the directory `name`, in which nothing is any more.
    fn remove_dir(&self, name: &OsStr) -> Result<(), RootError> {
        match rustix::fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(self.failed("delete", name)(error)),
        }
    }

    /// The directory `name`, which can be emptied. An owner without permission still may give it to himself. What is
    /// mounted there belongs to somebody else: an error.
    fn opened_up(&self, name: &OsStr) -> Result<Directory, RootError> {
        let denied = |error: &RootError| error.kind() == io::ErrorKind::PermissionDenied;
        let listed = |directory: Directory| directory.open().map(|_| directory);
        match self.unmounted(name).and_then(listed) {
            // Root needs none. What nobody may change is told when something is to be deleted in it.
            Ok(directory) if !rustix::process::geteuid().is_root() => {
                let mode = directory.own_metadata()?.mode;
                if mode & 0o300 != 0o300 {
                    let _ = directory.set_own_mode(mode | 0o700);
                }
                Ok(directory)
            }
            Err(error) if denied(&error) => {
                self.set_mode(name, 0o700)?;
                self.unmounted(name)
            }
            other => other,
        }
    }

    /// A directory in this one that is on the same mount; a link is not followed.
    fn unmounted(&self, name: &OsStr) -> Result<Directory, RootError> {
        let flags = DIRECTORY | OFlags::NOFOLLOW;
        let fd = openat2(&self.fd, name, flags, Mode::empty(), ResolveFlags::NO_XDEV);
        let fd = fd.map_err(|errno| match errno {
            Errno::XDEV => {
                RootError::new("delete", &self.path.join(name), io::Error::other("something is mounted there"))
            }
            errno => self.failed("open", name)(errno),
        })?;
        Ok(Directory { fd, path: self.path.join(name) })
    }
}
