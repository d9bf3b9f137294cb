//! A file on its way to its name.
//!
//! Where the file system can (open(2), O_TMPFILE), it has no name meanwhile: of what is killed nothing is left. Where it
//! cannot, it is beside its place under `.NAME.alloy-XXXXXXXX`, locked by whoever writes it; whoever writes `NAME` next
//! deletes what nobody holds any more.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use layers::root::remove_tree;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat};
use tempfile::{Builder, TempPath};

use super::look::above;

/// Between the name and what makes it unique.
const MARK: &str = ".alloy-";
/// Characters that make it unique.
const UNIQUE: usize = 8;
/// Bytes of a name that are told; a name has 255 (limits.h, NAME_MAX).
const TOLD: usize = 200;
/// For anybody whom the umask lets.
const ANYBODY: u32 = 0o666;

/// A file that has not got its name yet. Without [`Self::persist`] it goes.
pub struct Beside {
    file: File,
    directory: PathBuf,
    prefix: OsString,
    /// Its name meanwhile, if it needs one.
    named: Option<TempPath>,
}

impl Beside {
    /// A new file that will be `path`. What the dead have left of others is deleted.
    pub fn of(path: &Path) -> io::Result<Self> {
        let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::IsADirectory))?;
        sweep(above(path), name);
        Self::within(above(path), name)
    }

    /// A new file that will get a name in `directory`; `stem` tells its remains from those of others.
    pub fn within(directory: &Path, stem: &OsStr) -> io::Result<Self> {
        let (directory, prefix) = (directory.to_owned(), prefix(stem));
        if let Some(file) = nameless(&directory) {
            return Ok(Self { file, directory, prefix, named: None });
        }
        loop {
            let mode = PermissionsExt::from_mode(ANYBODY);
            let made = builder(&prefix).permissions(mode).tempfile_in(&directory)?;
            let (file, path) = made.into_parts();
            if held(&file, &path) {
                return Ok(Self { file, directory, prefix, named: Some(path) });
            }
            // Somebody took it for left over before it was locked.
        }
    }

    /// What to write to.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Gives it its name, in place of what has it.
    pub fn persist(self, path: &Path) -> io::Result<()> {
        let Self { file, directory, prefix, named } = self;
        if let Some(named) = named {
            return named.persist(path).map_err(|error| error.error);
        }
        let by_descriptor = format!("/proc/self/fd/{}", file.as_raw_fd());
        let link = |to: &Path| linkat(CWD, &by_descriptor, CWD, to, AtFlags::SYMLINK_FOLLOW);
        match link(path) {
            Err(rustix::io::Errno::EXIST) => {
                // From here on whoever sweeps sees it.
                file.try_lock().map_err(io::Error::from)?;
                let named = builder(&prefix).make_in(directory, |to| Ok(link(to)?))?;
                named.into_temp_path().persist(path).map_err(|error| error.error)
            }
            linked => Ok(linked?),
        }
    }
}

/// A file without a name, where there is such a thing.
fn nameless(directory: &Path) -> Option<File> {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let file: OwnedFd = rustix::fs::open(directory, flags, Mode::from_raw_mode(ANYBODY)).ok()?;
    // It gets its name by this one.
    Path::new(&format!("/proc/self/fd/{}", file.as_raw_fd())).symlink_metadata().ok()?;
    Some(file.into())
}

pub(super) fn prefix(stem: &OsStr) -> OsString {
    let stem = &stem.as_bytes()[..stem.len().min(TOLD)];
    OsStr::from_bytes(&[b".", stem, MARK.as_bytes()].concat()).to_owned()
}

pub(super) fn builder(prefix: &OsStr) -> Builder<'_, 'static> {
    let mut builder = Builder::new();
    builder.prefix(prefix).rand_bytes(UNIQUE);
    builder
}

/// Locks what was just made as `path`. False if it is no longer there.
pub(super) fn held(file: &File, path: &Path) -> bool {
    // Without locks nobody sweeps either.
    let _ = file.try_lock();
    is_at(file, path)
}

/// True if `path` is a name of what is open.
pub(super) fn is_at(file: &File, path: &Path) -> bool {
    file.metadata().is_ok_and(|held| path.symlink_metadata().is_ok_and(|there| same(&held, &there)))
}

fn same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Deletes what the dead have left in `directory` of what was to be called `stem`.
pub fn sweep(directory: &Path, stem: &OsStr) {
    let prefix = prefix(stem);
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let unique = name.as_bytes().strip_prefix(prefix.as_bytes());
        if unique.is_some_and(|unique| unique.len() == UNIQUE && unique.iter().all(u8::is_ascii_alphanumeric)) {
            // What cannot be deleted stays where it is.
            let _ = remove_dead(&entry.path());
        }
    }
}

fn remove_dead(path: &Path) -> io::Result<()> {
    let own = |found: &Metadata| found.uid() == rustix::process::geteuid().as_raw();
    let found = path.symlink_metadata()?;
    if !own(&found) || !(found.is_file() || found.is_dir()) {
        return Ok(());
    }
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    // It lives as long as somebody holds it.
    if !same(&file.metadata()?, &found) || file.try_lock().is_err() || !held(&file, path) {
        return Ok(());
    }
    if found.is_dir() { remove_tree(path).map_err(io::Error::other) } else { std::fs::remove_file(path) }
}
