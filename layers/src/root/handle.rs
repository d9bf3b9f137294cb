//! One name of a directory, opened without following it: what is found out of it and what is done to it is of one and
//! the same file, whatever somebody puts in its place meanwhile.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use std::ffi::OsStr;

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, Timespec, Timestamps, XattrFlags};
use rustix::io::Errno;

use super::{DIRECTORY, Directory, FileKind, Metadata, Root, RootError, by_descriptor, xattr};
use crate::beneath::openat2;
use crate::disk;

/// A file of any kind, held but not opened: nothing is read, and no device is started (`O_PATH`).
#[derive(Debug)]
pub struct Handle {
    fd: OwnedFd,
    path: PathBuf,
}

impl Handle {
    fn failed(&self, what: &'static str) -> impl FnOnce(Errno) -> RootError {
        let path = self.path.clone();
        move |errno| RootError::new(what, &path, disk::told_of(errno.into(), &self.fd))
    }

    /// Its path in the root, when it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it is.
    pub fn metadata(&self) -> Result<Metadata, RootError> {
        rustix::fs::fstat(&self.fd).map(Metadata::from).map_err(self.failed("look at"))
    }

    /// Sets owner and group; a link's own.
    pub fn set_owner(&self, uid: Option<u32>, gid: Option<u32>) -> Result<(), RootError> {
        let (uid, gid) = super::ids(uid, gid).map_err(self.failed(super::OWNER))?;
        let set = rustix::fs::chownat(&self.fd, "", uid, gid, AtFlags::EMPTY_PATH);
        set.map_err(self.failed(super::OWNER))
    }

    /// Sets permission bits. A link has none: it is refused, and its target is nobody's business.
    pub fn set_mode(&self, mode: u32) -> Result<(), RootError> {
        if self.metadata()?.kind == FileKind::Symlink {
            return Err(self.failed("set the mode of the link")(Errno::LOOP));
        }
        // fchmod(2) refuses descriptors that only hold a file, and fchmodat2(2) is younger than the kernels that alloy
        // runs on; the name in /proc is the file itself.
        let set = rustix::fs::chmod(by_descriptor(self.fd.as_fd()), Mode::from_raw_mode(mode));
        set.map_err(self.failed("set the mode of"))
    }

    /// Sets an extended attribute; a link's own.
    pub fn set_xattr(&self, attribute: &OsStr, value: &[u8]) -> Result<(), RootError> {
        // The name in /proc is the file itself, a link as well: nothing is followed from there.
        let set = rustix::fs::setxattr(by_descriptor(self.fd.as_fd()), attribute, value, XattrFlags::empty());
        set.map_err(|errno| RootError::new("set an attribute of", &self.path, xattr::not_set(errno)))
    }

    /// Sets the modification time (seconds and nanoseconds), and the access time with it; a link's own.
    pub fn set_mtime(&self, mtime: (i64, u32)) -> Result<(), RootError> {
        let time = Timespec { tv_sec: mtime.0, tv_nsec: mtime.1.into() };
        let times = Timestamps { last_access: time, last_modification: time };
        let path = by_descriptor(self.fd.as_fd());
        let set = rustix::fs::utimensat(rustix::fs::CWD, path, &times, AtFlags::empty());
        set.map_err(self.failed("set the time of"))
    }

    /// It, if it can be what this process has just made as a file of that kind, a directory with mode 0700: whoever may
    /// write in the directory may have put something else under the name, and root would give that away.
    pub(crate) fn just_made(self, kind: FileKind) -> Result<Self, RootError> {
        let found = self.metadata()?;
        let own = found.kind == kind && found.uid == rustix::process::geteuid().as_raw();
        let fresh = own && (kind != FileKind::Directory || (found.mode & 0o777 == 0o700 && self.is_empty()?));
        if fresh {
            return Ok(self);
        }
        let message = "somebody put something else in its place while it was made";
        Err(RootError::new("make", &self.path, std::io::Error::other(message)))
    }

    /// True for a directory with nothing in it.
    fn is_empty(&self) -> Result<bool, RootError> {
        let flags = DIRECTORY.difference(OFlags::PATH);
        let fd = rustix::fs::openat(&self.fd, ".", flags, Mode::empty()).map_err(self.failed("open"))?;
        let names = rustix::fs::Dir::new(fd).map_err(self.failed("list"))?;
        for name in names {
            let name = name.map_err(self.failed("list"))?;
            if !matches!(name.file_name().to_bytes(), b"." | b"..") {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// It as a directory, to go on into; an error for anything else.
    pub fn into_directory(self) -> Result<Directory, RootError> {
        if self.metadata()?.kind != FileKind::Directory {
            return Err(self.failed("open")(Errno::NOTDIR));
        }
        Ok(Directory { fd: self.fd, path: self.path })
    }

    /// Opens it for reading if it is a regular file; nothing else is ever opened.
    pub fn open(&self) -> Result<std::fs::File, RootError> {
        if self.metadata()?.kind != FileKind::File {
            return Err(RootError::new("read", &self.path, std::io::Error::other("not a regular file")));
        }
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = rustix::fs::open(by_descriptor(self.fd.as_fd()), flags, Mode::empty());
        fd.map(std::fs::File::from).map_err(self.failed("open"))
    }

    /// An open file as what is held, and its path in the root for messages.
    pub fn of(fd: impl Into<OwnedFd>, path: PathBuf) -> Self {
        Self { fd: fd.into(), path }
    }
}

impl Root {
    /// Holds what `path` leads to, links followed as long as they stay beneath the root (`RESOLVE_BENEATH`): one that
    /// is absolute or leads out is an error of the kind `CrossesDevices`.
    pub fn beneath(&self, path: &Path) -> Result<Handle, RootError> {
        let relative = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let fd = openat2(&self.fd, relative, flags, Mode::empty(), resolve);
        Ok(Handle { fd: fd.map_err(|errno| RootError::new("open", path, errno))?, path: path.to_owned() })
    }
}

impl AsFd for Handle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Directory {
    /// What `name` is, held; a link itself.
    pub fn handle(&self, name: &OsStr) -> Result<Handle, RootError> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, name, flags, Mode::empty()).map_err(self.failed("open", name))?;
        Ok(Handle { fd, path: self.path.join(name) })
    }

    /// This directory, held.
    pub fn into_handle(self) -> Handle {
        Handle { fd: self.fd, path: self.path }
    }

    /// A further handle of this directory.
    pub fn again(&self) -> Result<Directory, RootError> {
        self.directory(OsStr::new("."))
    }

    /// The directory that `path` leads to from here, links followed as long as they stay beneath this directory
    /// (`RESOLVE_BENEATH`). With `rooted` this directory is the root: `/` and `..` stay in it.
    pub(crate) fn beneath(&self, path: &Path, rooted: bool) -> Result<Directory, RootError> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let bound = if rooted { ResolveFlags::IN_ROOT } else { ResolveFlags::BENEATH };
        let resolve = bound | ResolveFlags::NO_MAGICLINKS;
        let fd = openat2(&self.fd, path, DIRECTORY, Mode::empty(), resolve);
        Ok(Directory { fd: fd.map_err(self.failed("open", path.as_os_str()))?, path: self.path.join(path) })
    }

    /// Identifies the directory on this machine.
    pub(crate) fn inode(&self) -> Result<(u64, u64), RootError> {
        Ok(self.metadata(OsStr::new("."))?.inode)
    }

    /// What this directory is, also if it lets nobody in.
    pub(crate) fn own_metadata(&self) -> Result<Metadata, RootError> {
        rustix::fs::fstat(&self.fd).map(Metadata::from).map_err(self.failed("look at", OsStr::new("")))
    }

    /// Sets its permission bits.
    pub(crate) fn set_own_mode(&self, mode: u32) -> Result<(), RootError> {
        let set = rustix::fs::chmod(by_descriptor(self.fd.as_fd()), Mode::from_raw_mode(mode));
        set.map_err(self.failed("set the mode of", OsStr::new("")))
    }

    /// Where the directory is on this machine now.
    pub(crate) fn real_path(&self) -> Result<PathBuf, RootError> {
        let real = std::fs::read_link(by_descriptor(self.fd.as_fd()));
        real.map_err(|error| RootError::new("look at", &self.path, error))
    }

    /// Deletes `name`, which is no directory.
    pub fn remove_file(&self, name: &OsStr) -> Result<(), RootError> {
        rustix::fs::unlinkat(&self.fd, name, AtFlags::empty()).map_err(self.failed("delete", name))
    }

    /// Deletes the directory `name` if nothing is in it; gives whether it is gone.
    pub fn remove_empty(&self, name: &OsStr) -> Result<bool, RootError> {
        match rustix::fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR) {
            Ok(()) => Ok(true),
            Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
            Err(error) => Err(self.failed("delete", name)(error)),
        }
    }

    /// Moves `name`, which is no directory, to the same name of `other`, where nothing is.
    pub(crate) fn move_file(&self, name: &OsStr, other: &Directory) -> Result<(), RootError> {
        rustix::fs::renameat(&self.fd, name, &other.fd, name).map_err(self.failed("move", name))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;
    use crate::root::Root;

    #[test]
    fn a_handle_is_of_the_file_that_was_opened() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        std::fs::write(at("mine"), "").unwrap();
        std::fs::write(at("theirs"), "").unwrap();
        std::fs::set_permissions(at("theirs"), PermissionsExt::from_mode(0o600)).unwrap();
        let root = Root::open(place.path()).unwrap();
        let top = root.directory(Path::new("")).unwrap();
        let handle = top.handle(OsStr::new("mine")).unwrap();
        // What somebody does between the look and the act.
        std::fs::rename(at("mine"), at("moved")).unwrap();
        symlink("theirs", at("mine")).unwrap();
        handle.set_mode(0o777).unwrap();
        handle.set_mtime((7, 0)).unwrap();
        handle.set_xattr(OsStr::new("user.note"), b"mine").unwrap();
        assert_eq!(at("moved").metadata().unwrap().mtime(), 7);
        assert_ne!(at("theirs").metadata().unwrap().mtime(), 7);
        assert_eq!(top.xattrs(OsStr::new("moved")).unwrap().len(), 1);
        assert!(top.xattrs(OsStr::new("theirs")).unwrap().is_empty());
        let link = top.handle(OsStr::new("mine")).unwrap();
        link.set_mtime((8, 0)).unwrap();
        assert_eq!(at("mine").symlink_metadata().unwrap().mtime(), 8);
        assert_ne!(at("theirs").metadata().unwrap().mtime(), 8);
        assert_eq!(at("theirs").metadata().unwrap().mode() & 0o777, 0o600);
        assert_eq!(at("moved").metadata().unwrap().mode() & 0o777, 0o777);
        assert!(top.set_mode(OsStr::new("mine"), 0o777).is_err(), "a link has no mode");
        assert_eq!(at("theirs").metadata().unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn links_lead_as_far_as_the_root() {
        let (place, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::create_dir(place.path().join("d")).unwrap();
        std::fs::write(place.path().join("d/f"), "").unwrap();
        std::fs::write(outside.path().join("f"), "").unwrap();
        symlink("d", place.path().join("inside")).unwrap();
        symlink(outside.path(), place.path().join("absolute")).unwrap();
        symlink("../..", place.path().join("d/up")).unwrap();
        let root = Root::open(place.path()).unwrap();
        assert_eq!(root.beneath(Path::new("inside/f")).unwrap().metadata().unwrap().kind, FileKind::File);
        assert_eq!(root.beneath(Path::new("")).unwrap().metadata().unwrap().kind, FileKind::Directory);
        for path in ["absolute", "absolute/f", "d/up", "inside/up/f", "..", "/"] {
            let error = root.beneath(Path::new(path)).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::CrossesDevices, "{path}: {error}");
        }
        assert_eq!(root.beneath(Path::new("nothing")).unwrap_err().kind(), std::io::ErrorKind::NotFound);
    }

    #[test]
    fn only_regular_files_are_opened() {
        let place = tempfile::tempdir().unwrap();
        let root = Root::open(place.path()).unwrap();
        let top = root.directory(Path::new("")).unwrap();
        top.node(OsStr::new("pipe"), FileKind::Fifo, (0, 0)).unwrap();
        symlink("pipe", place.path().join("link")).unwrap();
        for name in ["pipe", "link"] {
            assert!(top.open_file(OsStr::new(name)).is_err(), "{name}");
            let error = root.open_file(Path::new(name)).unwrap_err().to_string();
            assert!(error.contains("not a regular file"), "{error}");
        }
    }
}
