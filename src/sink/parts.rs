//! A directory that files are added to, in parts of its own, by one process after the other.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use super::SinkError;
use super::beside::is_at;

/// Whoever holds it writes.
const LOCK: &str = ".lock";

/// Where the directory is, and which parts it has, an outer one before those in it.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'p> {
    top: &'p Path,
    parts: &'p [&'p str],
}

impl<'p> Parts<'p> {
    /// Of the directory `top`, there or not.
    pub fn of(top: &'p Path, parts: &'p [&'p str]) -> Self {
        Self { top, parts }
    }

    /// True for the name of something that is in such a directory beside its parts.
    pub fn is_lock(name: &std::ffi::OsStr) -> bool {
        name == LOCK
    }

    fn failed(path: &Path) -> impl Fn(io::Error) -> SinkError + '_ {
        move |source| SinkError::write(path.to_owned(), source)
    }

    /// What is written lands in this directory, which is named by whoever runs alloy: none of its parts leads elsewhere.
    /// Root writes in no directory of somebody else's, who could make a link of a part at any time.
    pub fn check(self) -> Result<(), SinkError> {
        let root = rustix::process::geteuid().is_root();
        let look = |path: &Path, found: io::Result<fs::Metadata>| match found {
            Ok(found) if !found.is_dir() => Err(SinkError::Part { path: path.to_owned() }),
            Ok(found) if root && found.uid() != 0 => Err(SinkError::Stranger { path: path.to_owned() }),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Self::failed(path)(error)),
            _ => Ok(()),
        };
        look(self.top, fs::metadata(self.top))?;
        self.parts.iter().map(|part| self.top.join(part)).try_for_each(|path| look(&path, path.symlink_metadata()))
    }

    /// Makes what is missing of it.
    pub fn make(self) -> Result<(), SinkError> {
        self.check()?;
        fs::create_dir_all(self.top).map_err(Self::failed(self.top))?;
        for part in self.parts.iter().map(|part| self.top.join(part)) {
            match fs::create_dir(&part) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(Self::failed(&part)(error)),
                _ => {}
            }
        }
        // Somebody may have been quicker.
        self.check()
    }

    /// Waits until nobody else writes. Who can only read cannot hold it: that would hold up those who write.
    pub fn lock(self) -> Result<File, SinkError> {
        let path: PathBuf = self.top.join(LOCK);
        let failed = Self::failed(&path);
        // Whoever else writes here may have put a link or a FIFO in its place.
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        loop {
            let opened = rustix::fs::open(&path, flags, Mode::from_raw_mode(0o600));
            let file = File::from(opened.map_err(|error| failed(error.into()))?);
            // Whoever can open it can hold it for as long as they like: those alone who write here as well.
            let writers = fs::metadata(self.top).map_err(Self::failed(self.top))?.mode() & 0o022;
            if file.metadata().map_err(&failed)?.uid() == rustix::process::geteuid().as_raw() {
                file.set_permissions(PermissionsExt::from_mode(0o600 | writers)).map_err(&failed)?;
            }
            file.lock().map_err(&failed)?;
            // Who held it may have failed, and deleted it with all else that they had made.
            if is_at(&file, &path) {
                return Ok(file);
            }
        }
    }

    /// The names of what is made in such a directory, an inner one before those that hold it.
    pub fn names(self) -> impl Iterator<Item = PathBuf> + use<'p> {
        self.parts.iter().rev().map(move |part| self.top.join(part))
    }

    /// The file that [`Self::lock`] makes.
    pub fn lock_path(self) -> PathBuf {
        self.top.join(LOCK)
    }
}
