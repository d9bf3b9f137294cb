//! A directory as a root: no path and no link inside can lead out of it.
//!
//! Every operation opens the *parent* with `openat2(RESOLVE_IN_ROOT)` (openat2(2), Linux 5.6) and then works on the
//! last name alone, without following it. Paths are relative to the root; a leading `/` is the root.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Gid, Mode, OFlags, ResolveFlags, Uid};
use rustix::io::Errno;

use crate::beneath::openat2;

mod descent;
mod directory;
mod handle;
mod made;
mod resolve;
mod shared;
mod write;
mod xattr;

pub use descent::Descent;
pub use directory::Directory;
pub use handle::Handle;
pub use made::{Made, Strayed};

/// A directory handle, and the path it was opened by, for messages.
#[derive(Debug)]
pub struct Root {
    fd: OwnedFd,
    path: PathBuf,
    /// Others may be at work in it.
    shared: bool,
    /// Directories that archives are unpacked into: links in them lead to nothing outside.
    bounds: Vec<PathBuf>,
    /// What is remembered to have been made, relative to the root.
    made: BTreeMap<PathBuf, Made>,
}

/// What is not done where an owner cannot be set.
const OWNER: &str = "set the owner of";

/// Owners as the kernel takes them. The largest number is nobody's.
fn ids(uid: Option<u32>, gid: Option<u32>) -> Result<(Option<Uid>, Option<Gid>), Errno> {
    match [uid, gid].contains(&Some(u32::MAX)) {
        true => Err(Errno::INVAL),
        false => Ok((uid.map(Uid::from_raw), gid.map(Gid::from_raw))),
    }
}

/// A failed operation on a path of a root.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {path}: {source}")]
pub struct RootError {
    what: &'static str,
    path: String,
    source: io::Error,
}

impl RootError {
    /// An operation that failed on `path`.
    pub fn new(what: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        // Without the `.` of a directory that was opened once more.
        let path: PathBuf = Path::new("/").join(path).components().collect();
        let path = path.to_string_lossy().into_owned();
        Self { what, path, source: source.into() }
    }

    /// True if an owner could not be set.
    pub fn is_of_owner(&self) -> bool {
        self.what == OWNER
    }

    /// What the kernel said.
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }

    /// The same, for who says himself what was to be done to which path.
    pub fn into_source(self) -> io::Error {
        self.source
    }
}

/// What a path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

/// What is known of a path without reading it; a link is itself, not its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// What it is.
    pub kind: FileKind,
    /// Permission bits, set-id and sticky included.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Length in bytes.
    pub size: u64,
    /// Modification time: seconds since 1970 and nanoseconds.
    pub mtime: (i64, u32),
    /// Number of hard links.
    pub links: u64,
    /// Device numbers, for device nodes.
    pub device: (u32, u32),
    /// Identifies the file on this machine.
    pub inode: (u64, u64),
}

impl From<rustix::fs::Stat> for Metadata {
    fn from(stat: rustix::fs::Stat) -> Self {
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => FileKind::Directory,
            FileType::Symlink => FileKind::Symlink,
            FileType::CharacterDevice => FileKind::CharDevice,
            FileType::BlockDevice => FileKind::BlockDevice,
            FileType::Fifo => FileKind::Fifo,
            FileType::Socket => FileKind::Socket,
            _ => FileKind::File,
        };
        Self {
            kind,
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            size: u64::try_from(stat.st_size).unwrap_or_default(),
            mtime: (stat.st_mtime, u32::try_from(stat.st_mtime_nsec).unwrap_or_default()),
            links: stat.st_nlink,
            device: (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev)),
            inode: (stat.st_dev, stat.st_ino),
        }
    }
}

const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

impl Root {
    /// Opens the directory `path`.
    pub fn open(path: &Path) -> Result<Self, RootError> {
        let fd = rustix::fs::open(path, DIRECTORY, Mode::empty()).map_err(|e| RootError::new("open", path, e))?;
        Ok(Self { fd, path: path.to_owned(), shared: false, bounds: Vec::new(), made: BTreeMap::new() })
    }

    /// Opens the directory `path` as a root in which others may be at work: what is changed in it is not reached
    /// through a link of somebody who does not own it.
    pub fn shared(path: &Path) -> Result<Self, RootError> {
        Ok(Self { shared: true, ..Self::open(path)? })
    }

    /// Archives of others are unpacked into these directories of a shared root: a path that begins with one of them
    /// does not leave it, whatever links the archives bring.
    pub fn bound(&mut self, directories: impl IntoIterator<Item = PathBuf>) {
        self.bounds = directories.into_iter().collect();
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn openat(&self, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        openat2(&self.fd, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
    }

    /// Opens a directory to work in it, following links inside the root.
    pub fn directory(&self, path: &Path) -> Result<Directory, RootError> {
        let fd = self.open_to_change(path).map_err(|e| RootError::new("open", path, e))?;
        Ok(Directory { fd, path: path.to_owned() })
    }

    /// Opens the directory `path` to work in it. `None` if there is none, or one that only a link leads to.
    pub fn directory_without_links(&self, path: &Path) -> Result<Option<Directory>, RootError> {
        let plain = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
        match openat2(&self.fd, plain, DIRECTORY, Mode::empty(), resolve) {
            Ok(fd) => Ok(Some(Directory { fd, path: path.to_owned() })),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(error) => Err(RootError::new("open", path, error)),
        }
    }

    /// The parent of `path`, opened, and the last name; for the root itself the name is `.`.
    fn parent<'p>(&self, path: &'p Path) -> Result<(Directory, &'p OsStr), RootError> {
        let (parent, name) = split(path);
        Ok((self.directory(parent)?, name))
    }

    /// The same, to look at what is there.
    fn parent_to_read<'p>(&self, path: &'p Path) -> Result<(Directory, &'p OsStr), RootError> {
        let (parent, name) = split(path);
        let fd = self.openat(parent, DIRECTORY).map_err(|e| RootError::new("open", parent, e))?;
        Ok((Directory { fd, path: parent.to_owned() }, name))
    }

    /// True if something is at `path`, following links inside the root.
    pub fn exists(&self, path: &Path) -> Result<bool, RootError> {
        match self.openat(path, OFlags::PATH) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(false),
            Err(error) => Err(RootError::new("look at", path, error)),
        }
    }

    /// What is at `path`; a link is itself.
    pub fn metadata(&self, path: &Path) -> Result<Metadata, RootError> {
        let (parent, name) = self.parent_to_read(path)?;
        parent.metadata(name)
    }

    /// What is at `path`, or where it links to inside the root.
    pub fn metadata_followed(&self, path: &Path) -> Result<Metadata, RootError> {
        let failed = |e| RootError::new("look at", path, e);
        let fd = self.openat(path, OFlags::PATH).map_err(failed)?;
        rustix::fs::fstat(fd).map(Metadata::from).map_err(failed)
    }

    /// Opens a regular file for reading, following links inside the root.
    pub fn open_file(&self, path: &Path) -> Result<File, RootError> {
        // Held first: opening a device may do something, and a named pipe would wait for a writer.
        let fd = self.openat(path, OFlags::PATH).map_err(|e| RootError::new("open", path, e))?;
        Handle::of(fd, path.to_owned()).open()
    }

    /// Reads a file of at most `limit` bytes.
    pub fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>, RootError> {
        let failed = |e| RootError::new("read", path, e);
        let mut bytes = Vec::new();
        self.open_file(path)?.take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > limit {
            return Err(failed(io::Error::other(format!("larger than {limit} bytes"))));
        }
        Ok(bytes)
    }

    /// `mkdir -p`: what is missing is made, root-owned, with `mode`; links inside the root are followed. Gives the inode
    /// of the directory.
    pub fn create_dir_all(&self, path: &Path, mode: u32) -> Result<(u64, u64), RootError> {
        let inode = |fd: &OwnedFd| rustix::fs::fstat(fd).map(|stat| Metadata::from(stat).inode);
        match self.open_to_change(path) {
            Ok(fd) => return inode(&fd).map_err(|errno| RootError::new("look at", path, errno)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(RootError::new("make the directory", path, error)),
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(RootError::new("make the directory", path, io::Error::from(io::ErrorKind::InvalidInput)));
        };
        self.create_dir_all(parent, mode)?;
        let parent = self.directory(parent)?;
        parent.create_dir(name, 0o700)?;
        let made = parent.handle(name)?;
        let made = if self.shared { made.just_made(FileKind::Directory)? } else { made };
        made.set_mode(mode)?;
        Ok(made.metadata()?.inode)
    }

    /// Sorted names in a directory, `.` and `..` left out.
    pub fn read_dir(&self, path: &Path) -> Result<Vec<OsString>, RootError> {
        let fd = self.openat(path, DIRECTORY).map_err(|e| RootError::new("open", path, e))?;
        Directory { fd, path: path.to_owned() }.names()
    }

    /// Where the link at `path` points.
    pub fn read_link(&self, path: &Path) -> Result<PathBuf, RootError> {
        let (parent, name) = self.parent_to_read(path)?;
        parent.read_link(name)
    }

    /// Sets owner and group of the path itself.
    pub fn chown(&self, path: &Path, uid: Option<u32>, gid: Option<u32>) -> Result<(), RootError> {
        let (parent, name) = self.parent(path)?;
        parent.set_owner(name, uid, gid)
    }

    /// Sets permission bits; not for links.
    pub fn chmod(&self, path: &Path, mode: u32) -> Result<(), RootError> {
        let (parent, name) = self.parent(path)?;
        parent.set_mode(name, mode)
    }

    /// Extended attributes of the path itself, sorted by name.
    pub fn xattrs(&self, path: &Path) -> Result<Vec<(OsString, Vec<u8>)>, RootError> {
        let (parent, name) = self.parent_to_read(path)?;
        parent.xattrs(name)
    }

    /// Deletes what is at `path`, with all below it. Nothing there is fine.
    pub fn remove_all(&self, path: &Path) -> Result<(), RootError> {
        match self.parent(path) {
            Ok((parent, name)) => parent.remove_all(name),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Deletes a directory with all in it, as far as permissions can be had. Nothing there is fine.
pub fn remove_tree(path: &Path) -> Result<(), RootError> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
    match Root::open(parent) {
        Ok(root) => root.remove_all(Path::new(name)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// The parent and the last name of `path`; for the root itself the name is `.`.
fn split(path: &Path) -> (&Path, &OsStr) {
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => (parent, name),
        _ => (Path::new(""), OsStr::new(".")),
    }
}

/// A path by which calls that take no descriptor reach what `fd` refers to.
pub(crate) fn by_descriptor(fd: BorrowedFd<'_>) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> (tempfile::TempDir, Root) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("root");
        std::fs::create_dir(&path).unwrap();
        let root = Root::open(&path).unwrap();
        (directory, root)
    }

    #[test]
    fn no_link_leads_out() {
        let (outside, root) = root();
        std::fs::write(outside.path().join("secret"), "s").unwrap();
        let top = root.directory(Path::new("")).unwrap();
        top.symlink(OsStr::new("up"), Path::new("../..")).unwrap();
        top.symlink(OsStr::new("abs"), outside.path()).unwrap();
        top.symlink(OsStr::new("file"), &outside.path().join("secret")).unwrap();
        assert!(root.read(Path::new("up/secret"), 10).is_err());
        assert!(root.read(Path::new("abs/secret"), 10).is_err());
        // Both lead to a file inside the root instead.
        root.write_file(Path::new("up/secret"), &mut &b"mine"[..], 0o644).unwrap();
        assert!(root.write_file(Path::new("file"), &mut &b"mine"[..], 0o644).is_err(), "its directory is not inside");
        assert_eq!(std::fs::read(outside.path().join("secret")).unwrap(), b"s");
        assert_eq!(std::fs::read(root.path().join("secret")).unwrap(), b"mine");
        root.remove_all(Path::new("abs")).unwrap();
        assert!(outside.path().join("secret").exists());
    }

    #[test]
    fn whole_trees_are_deleted() {
        let (directory, root) = root();
        root.create_dir_all(Path::new("x/y/z"), 0o700).unwrap();
        root.write_file(Path::new("x/y/f"), &mut &b""[..], 0o000).unwrap();
        root.chmod(Path::new("x/y"), 0o000).unwrap();
        remove_tree(&root.path().join("x")).unwrap();
        remove_tree(&directory.path().join("nothing")).unwrap();
        assert!(root.read_dir(Path::new("")).unwrap().is_empty());
    }
}
