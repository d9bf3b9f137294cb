//! What stands where the user wants something written.

use std::fs::Metadata;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use layers::disk;
use rustix::fs::{Access, AtFlags, CWD, OFlags, StatxAttributes, StatxFlags, accessat, fcntl_getfl, statx};
use rustix::io::Errno;

use super::real::{Obstacle, Real, foreign, theirs};
use super::{Goal, Kept, STANDARD_OUTPUT, SinkError};

/// As many links as the kernel follows.
const LINKS: usize = 40;
/// Where devices are.
const DEVICES: &str = "/dev";
/// Of linux/magic.h.
const PROC_SUPER_MAGIC: u64 = 0x9fa0;

/// The directory that holds `path`.
pub(super) fn above(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// How a shell would have to be told of a path that begins with somebody's home directory, `~` or `~name`; `./~` is a
/// file of that name.
pub fn unexpanded_home(path: &str) -> Option<String> {
    let rest = path.strip_prefix('~')?;
    Some(match rest.split_once('/') {
        None if rest.is_empty() => "\"$HOME\"".to_owned(),
        Some(("", inside)) => format!("\"$HOME/{inside}\""),
        Some((name, inside)) => format!("\"$(echo ~{name})/{inside}\""),
        None => format!("\"$(echo ~{rest})\""),
    })
}

/// What a stream that is to go to `path` will be.
pub(super) fn goal(path: &Path) -> Result<Goal, SinkError> {
    if path == Path::new(STANDARD_OUTPUT) {
        return standard(io::stdout().as_fd(), Goal::Output, path);
    }
    let place = Looked::at(path)?;
    if path.as_os_str().as_bytes().ends_with(b"/") {
        return Err(SinkError::Directory { path: path.to_owned() });
    }
    place.stream(path)
}

/// One of this process's own streams, if it takes anything.
fn standard(fd: BorrowedFd<'_>, goal: Goal, named: &Path) -> Result<Goal, SinkError> {
    let name = if named == Path::new(STANDARD_OUTPUT) { Path::new("standard output") } else { named };
    if is_closed(fd) { Err(SinkError::Shut { path: name.to_owned() }) } else { Ok(goal) }
}

/// True for a stream that can only be read: as it is for one that was closed when this process began.
pub(super) fn is_closed(fd: BorrowedFd<'_>) -> bool {
    fcntl_getfl(fd).is_ok_and(|flags| flags & OFlags::RWMODE == OFlags::RDONLY)
}

/// Where a directory that is to be at `path` will be: without links, as far as it exists; and what is there. What holds
/// it can be made, and written to.
pub fn directory(path: &Path) -> Result<(PathBuf, Option<Metadata>), SinkError> {
    if path == Path::new(STANDARD_OUTPUT) {
        return Err(SinkError::Tree);
    }
    let failed = |source| SinkError::write(path.to_owned(), source);
    if let Ok(real) = refused_if_foreign(path, path)? {
        let metadata = real.path.metadata().map_err(failed)?;
        theirs(&real.followed, metadata.uid(), path)?;
        return Ok((real.path, Some(metadata)));
    }
    // What is not there is made, with all above it.
    let absolute = std::path::absolute(path).map_err(failed)?;
    let mut missing = Vec::new();
    let mut there = absolute.as_path();
    while let (Err(error), Some(name), Some(parent)) =
        (refused_if_foreign(there, path)?, there.file_name(), there.parent())
    {
        if error.kind() == io::ErrorKind::NotADirectory {
            return Err(SinkError::NotADirectory { path: path.to_owned(), directory: parent.to_owned() });
        }
        if error.kind() != io::ErrorKind::NotFound {
            return Err(failed(error));
        }
        if there.symlink_metadata().is_ok() {
            // A link to nowhere: what it means is not made on a guess.
            return Err(SinkError::NotADirectory { path: path.to_owned(), directory: there.to_owned() });
        }
        missing.push(name);
        there = parent;
    }
    let real = refused_if_foreign(there, path)?.map_err(failed)?;
    not_a_device(&real.path, path)?;
    theirs(&real.followed, real.path.metadata().map_err(failed)?.uid(), path)?;
    may_make_in(&real.path, path)?;
    Ok((missing.iter().rev().fold(real.path, |place, name| place.join(name)), None))
}

/// Where `path` leads on the way to `named`: what the kernel says, unless a link of somebody else's is in the way.
fn refused_if_foreign(path: &Path, named: &Path) -> Result<io::Result<Real>, SinkError> {
    match Real::of(path) {
        Ok(real) => Ok(Ok(real)),
        Err(Obstacle::Io(error)) => Ok(Err(error)),
        Err(foreign @ Obstacle::Foreign(_)) => {
            Err(foreign.told(named, |source| SinkError::write(named.to_owned(), source)))
        }
    }
}

/// An error unless names can be made in `directory`, to write `path`.
pub(super) fn may_make_in(directory: &Path, path: &Path) -> Result<(), SinkError> {
    let (directory, path) = (directory.to_owned(), path.to_owned());
    match access(&directory, Access::WRITE_OK | Access::EXEC_OK) {
        // Rights are not all: in /proc and /sys, nobody makes files.
        Ok(()) if directory.is_dir() => match tempfile::tempfile_in(&directory) {
            // A disk without room may have some when it is written to.
            Err(source) if !disk::is_full(&source) => Err(SinkError::Closed { path, directory, source }),
            _ => Ok(()),
        },
        Ok(()) => Err(SinkError::NotADirectory { path, directory }),
        Err(source) => Err(SinkError::Closed { path, directory, source }),
    }
}

/// An error for what would be made among devices: the name of a device that is not there was meant. What is mounted
/// below them, and the directory for shared memory, is for files.
fn not_a_device(directory: &Path, named: &Path) -> Result<(), SinkError> {
    let devices = Path::new(DEVICES);
    let device_of = |path: &Path| path.metadata().map(|found| found.dev()).ok();
    let among = directory.starts_with(devices)
        && !directory.starts_with(devices.join("shm"))
        && device_of(directory) == device_of(devices);
    if among { Err(SinkError::NoDevice { path: named.to_owned() }) } else { Ok(()) }
}

fn access(path: &Path, how: Access) -> io::Result<()> {
    Ok(accessat(CWD, path, how, AtFlags::EACCESS)?)
}

/// True if something is mounted there.
pub fn is_mount_point(path: &Path) -> bool {
    let found = statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS);
    found.is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// True for what takes bytes from several without confusion.
pub(super) fn is_device(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| found.file_type().is_char_device())
}

/// True for a terminal, by its number (Linux `Documentation/admin-guide/devices.txt`): to open somebody else's might hang.
pub(super) fn is_terminal(path: &Path) -> bool {
    let number = path.metadata().map(|found| rustix::fs::major(found.rdev()));
    is_device(path) && number.is_ok_and(|number| matches!(number, 4 | 5 | 136..=143))
}

/// The end of a chain of links.
struct Looked {
    /// The directory, without links.
    directory: PathBuf,
    /// The name in it.
    path: PathBuf,
    /// What has that name.
    found: Option<Metadata>,
    /// It is a name that the kernel gives a descriptor.
    descriptor: bool,
}

impl Looked {
    fn at(named: &Path) -> Result<Self, SinkError> {
        let failed = |source| SinkError::write(named.to_owned(), source);
        let mut path = std::path::absolute(named).map_err(failed)?;
        let mut followed: Vec<(PathBuf, u32)> = Vec::new();
        for _ in 0..LINKS {
            let Some(name) = path.file_name() else { return Err(SinkError::Directory { path: named.to_owned() }) };
            let above = above(&path).to_owned();
            let mut real = refused_if_foreign(&above, named)?.map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => SinkError::Missing { path: named.to_owned(), directory: above.clone() },
                io::ErrorKind::NotADirectory => {
                    SinkError::NotADirectory { path: named.to_owned(), directory: above.clone() }
                }
                _ => failed(error),
            })?;
            followed.append(&mut real.followed);
            let directory = real.path.clone();
            let place = directory.join(name);
            let found = match place.symlink_metadata() {
                Ok(found) => found,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    theirs(&followed, directory.metadata().map_err(failed)?.uid(), named)?;
                    return Ok(Self { directory, path: place, found: None, descriptor: false });
                }
                Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                    return Err(SinkError::NotADirectory { path: named.to_owned(), directory });
                }
                Err(error) => return Err(failed(error)),
            };
            let of_kernel =
                rustix::fs::statfs(&directory).is_ok_and(|is| is.f_type.cast_unsigned() == PROC_SUPER_MAGIC);
            if !found.is_symlink() || of_kernel {
                let found = if of_kernel { place.metadata().map_err(failed)? } else { found };
                theirs(&followed, found.uid(), named)?;
                return Ok(Self { directory, path: place, found: Some(found), descriptor: of_kernel });
            }
            let target = real.link(&place, &found).map_err(|obstacle| obstacle.told(named, failed))?;
            followed.append(&mut real.followed);
            path = directory.join(target);
        }
        Err(failed(Errno::LOOP.into()))
    }

    fn stream(self, named: &Path) -> Result<Goal, SinkError> {
        let Self { directory, path, found, descriptor } = self;
        let failed = |source| SinkError::write(named.to_owned(), source);
        let Some(found) = found else {
            not_a_device(&directory, named)?;
            may_make_in(&directory, named)?;
            return Ok(Goal::File { path, kept: None });
        };
        let own = descriptor && directory.starts_with(format!("/proc/{}", std::process::id()));
        match path.file_name().and_then(|name| name.to_str()) {
            // What stands for them may have no name to be opened by.
            Some("1") if own => return standard(io::stdout().as_fd(), Goal::Output, named),
            Some("2") if own => return standard(io::stderr().as_fd(), Goal::Error, named),
            _ => {}
        }
        let kind = found.file_type();
        if kind.is_dir() {
            return Err(SinkError::Directory { path: named.to_owned() });
        }
        if kind.is_socket() {
            return Err(SinkError::Socket { path: named.to_owned() });
        }
        if kind.is_block_device() {
            return Err(SinkError::Block { path: named.to_owned() });
        }
        let theirs = !descriptor && foreign(&found, &directory);
        if descriptor || !kind.is_file() {
            if theirs {
                return Err(SinkError::Foreign { path: named.to_owned(), found: path });
            }
            access(&path, Access::WRITE_OK).map_err(failed)?;
            return Ok(Goal::Opened { path, emptied: false });
        }
        if theirs {
            // Whoever may replace it does, and makes a file of their own.
            let root = rustix::process::geteuid().is_root();
            let error = SinkError::Foreign { path: named.to_owned(), found: path.clone() };
            return if root { Ok(Goal::File { path, kept: None }) } else { Err(error) };
        }
        let kept = Kept { mode: found.mode() & 0o777, owner: (found.uid(), found.gid()) };
        match may_make_in(&directory, named) {
            Ok(()) if !is_mount_point(&path) => Ok(Goal::File { path, kept: Some(kept) }),
            // A file that was lent alone, as containers do, is written where it is.
            _ if access(&path, Access::WRITE_OK).is_ok() => Ok(Goal::Opened { path, emptied: true }),
            Ok(()) => Err(SinkError::MountPoint { path: named.to_owned() }),
            Err(error) => Err(error),
        }
    }
}
