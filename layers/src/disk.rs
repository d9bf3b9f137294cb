//! What is said of a disk that is full, which one and how much is left of what; and names that are to be on it.

use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::StatVfs;
use rustix::io::Errno;

/// Has a directory's names on the disk, where its file system can do that: not all can (fsync(2), `EINVAL`), and there a
/// rename is as safe as it gets.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    match rustix::fs::fsync(std::fs::File::open(path)?) {
        Ok(()) | Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// True if the disk is full, be it of bytes or of files, or if this user may have no more of it.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// How programs say it that do not quote the kernel: apt before it downloads, and Node.js.
const WORDS: [&str; 2] = ["You don't have enough free space in", "ENOSPC: no space left on device"];

/// True if `text` tells of a full disk, as the kernel and everybody who quotes it says so, or as apt does.
pub fn tells_of_full(text: &str) -> bool {
    if WORDS.iter().any(|words| text.contains(words)) {
        return true;
    }
    [Errno::NOSPC, Errno::DQUOT].iter().any(|errno| {
        let said = errno.to_string();
        text.contains(said.split(" (os error").next().unwrap_or(&said))
    })
}

/// True if `text` names a disk that is full, one of this machine.
pub fn names_full(text: &str) -> bool {
    tells_of_full(text) && text.contains(" the disk at ")
}

/// `error`, with the disk at `path` and what is left of it where that is full. Other errors are as they were.
pub fn told(error: io::Error, path: &Path) -> io::Error {
    if !is_full(&error) || is_told(&error) {
        return error;
    }
    // What was to be made is not there: its directory is.
    let (here, mut places) = (Path::new("."), path.ancestors());
    let place = places.find_map(|place| {
        let place = if place.as_os_str().is_empty() { here } else { place };
        Some((place, place.metadata().ok()?))
    });
    match place {
        // A device that is full is no disk.
        Some((place, found)) if found.is_dir() || found.is_file() => {
            with(error, mount_point(place), rustix::fs::statvfs(place).ok())
        }
        _ => error,
    }
}

/// The same, for a file of which it is known how many bytes it has when it is whole.
pub fn told_with(error: io::Error, path: &Path, whole: Option<u64>) -> io::Error {
    let (kind, error) = (error.kind(), told(error, path));
    match (whole, is_told(&error)) {
        (Some(whole), true) => match error.downcast::<Full>() {
            Ok(full) => io::Error::new(kind, Full { whole: Some(whole), ..full }),
            Err(error) => error,
        },
        _ => error,
    }
}

/// True if `text` names the disk that `path` is on as full.
pub fn names_that_of(text: &str, path: &Path) -> bool {
    let Some(path) = path.ancestors().find_map(|place| place.canonicalize().ok()) else { return false };
    let Some(mount) = mount_point(&path) else { return false };
    // Who sees other mounts, as in a sandbox, takes a directory further down for where the disk is.
    let mut places = path.ancestors().take_while(|place| place.starts_with(&mount));
    names_full(text) && places.any(|place| text.contains(&format!(" the disk at {} ", place.display())))
}

/// The same for what is open.
pub fn told_of(error: io::Error, fd: impl AsFd) -> io::Error {
    if !is_full(&error) || is_told(&error) {
        return error;
    }
    let fd = fd.as_fd();
    let path = std::fs::read_link(crate::root::by_descriptor(fd)).ok();
    with(error, path.and_then(|path| mount_point(&path)), rustix::fs::fstatvfs(fd).ok())
}

/// What is left of the disk at `path`, for who knows only by what was said that it is full.
pub fn left_at(path: &Path) -> Option<String> {
    let error = told(io::Error::from_raw_os_error(Errno::NOSPC.raw_os_error()), path);
    let full = error.get_ref()?.downcast_ref::<Full>()?;
    Some(full.left())
}

/// True if less than a twentieth is left of the disk at `path`, of its bytes or of its files.
pub fn is_scarce(path: &Path) -> bool {
    let less = |left: u64, of: u64| of > 0 && share(left, of) < 50;
    rustix::fs::statvfs(path).is_ok_and(|disk| less(disk.f_bavail, disk.f_blocks) || less(disk.f_favail, disk.f_files))
}

fn is_told(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Full>())
}

fn with(error: io::Error, mount: Option<PathBuf>, disk: Option<StatVfs>) -> io::Error {
    let (Some(mount), Some(disk)) = (mount, disk) else { return error };
    let quota = error.kind() == io::ErrorKind::QuotaExceeded;
    let left = match () {
        () if quota => Left::Quota,
        // What was short a moment ago may be less so by now: of files and bytes, it is what there is less of.
        () if disk.f_files > 0 && share(disk.f_favail, disk.f_files) < share(disk.f_bavail, disk.f_blocks) => {
            Left::Files { free: disk.f_favail, of: disk.f_files }
        }
        () => Left::Bytes {
            free: disk.f_bavail.saturating_mul(disk.f_frsize),
            of: disk.f_blocks.saturating_mul(disk.f_frsize),
        },
    };
    io::Error::new(error.kind(), Full { error, mount, left, whole: None })
}

/// Thousandths of `of` that are left.
fn share(left: u64, of: u64) -> u64 {
    left.saturating_mul(1000) / of.max(1)
}

/// The directory at which the file system of `path` is mounted, as far as it can be seen.
fn mount_point(path: &Path) -> Option<PathBuf> {
    let path = path.canonicalize().ok()?;
    let device = path.metadata().ok()?.dev();
    let same = |place: &&Path| place.metadata().is_ok_and(|found| found.dev() == device);
    let mount = path.ancestors().take_while(same).last()?;
    // What a build changes in an overlay lies beside that.
    match mount.parent() {
        Some(beside) if mount.ends_with("merged") => mount_point(beside),
        _ => Some(mount.to_owned()),
    }
}

#[derive(Debug)]
enum Left {
    Bytes { free: u64, of: u64 },
    Files { free: u64, of: u64 },
    Quota,
}

#[derive(Debug)]
struct Full {
    error: io::Error,
    mount: PathBuf,
    left: Left,
    /// Bytes of the whole file, where they are known.
    whole: Option<u64>,
}

impl std::error::Error for Full {}

impl Full {
    fn left(&self) -> String {
        let mount = self.mount.display();
        match self.left {
            Left::Bytes { free, of } => format!("the disk at {mount} has {} free of {}", bytes(free), bytes(of)),
            Left::Files { free: 0, of } => format!("the disk at {mount} takes no more files, it has all its {of}"),
            Left::Files { free, of } => format!("the disk at {mount} takes {free} more files of its {of}"),
            Left::Quota => format!("this user may have no more of the disk at {mount}"),
        }
    }
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.error, self.left())?;
        self.whole.map_or(Ok(()), |whole| write!(f, ", and the file has {}", bytes(whole)))
    }
}

fn bytes(n: u64) -> String {
    match n {
        0..0x10_0000 => format!("{} KiB", n >> 10),
        0x10_0000..0x4000_0000 => format!("{} MiB", n >> 20),
        _ => format!("{} GiB", n >> 30),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_named_once() {
        let place = tempfile::tempdir().unwrap();
        let full = || io::Error::from_raw_os_error(Errno::NOSPC.raw_os_error());
        let missing = place.path().join("not/there");
        let error = told(full(), &missing);
        let text = error.to_string();
        assert!(is_full(&error) && tells_of_full(&text) && text.contains(": the disk at /"), "{text}");
        assert_eq!(told(error, &missing).to_string(), text);
        let open = std::fs::File::open(place.path()).unwrap();
        assert_eq!(told_of(full(), &open).to_string().split(" has ").next(), text.split(" has ").next());
        let other = told(io::ErrorKind::NotFound.into(), &missing);
        assert!(!is_full(&other) && !tells_of_full(&other.to_string()));
    }

    #[test]
    fn programs_tell_of_it_in_words_of_their_own() {
        for text in [
            "E: You don't have enough free space in /var/cache/apt/archives/.",
            "dpkg: error processing archive x.deb: failed to write (No space left on device)",
            "npm error nospc ENOSPC: no space left on device, write",
        ] {
            assert!(tells_of_full(text), "{text}");
        }
        assert!(!tells_of_full("There is no space for you here"));
    }

    #[test]
    fn a_quota_and_a_disk_without_inodes_are_told_apart() {
        let quota = io::Error::from_raw_os_error(Errno::DQUOT.raw_os_error());
        assert!(told(quota, Path::new("/")).to_string().contains("may have no more of the disk at /"));
        let error = io::Error::from_raw_os_error(Errno::NOSPC.raw_os_error());
        let full = Full { error, mount: "/mnt".into(), left: Left::Files { free: 0, of: 20 }, whole: None };
        assert!(full.to_string().ends_with("the disk at /mnt takes no more files, it has all its 20"));
    }

    #[test]
    fn what_a_file_takes_is_told_and_whose_disk_it_is() {
        let place = tempfile::tempdir().unwrap();
        let full = || io::Error::from_raw_os_error(Errno::NOSPC.raw_os_error());
        let error = told_with(full(), place.path(), Some(5 << 30));
        let text = error.to_string();
        assert!(is_full(&error) && text.ends_with(", and the file has 5 GiB"), "{text}");
        assert!(names_that_of(&text, &place.path().join("not/there")), "{text}");
        assert!(!names_that_of(&text, Path::new("/proc")) && !names_that_of("no disk", place.path()));
        assert_eq!(told_with(full(), place.path(), None).to_string(), told(full(), place.path()).to_string());
    }
}
