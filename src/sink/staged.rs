//! A directory on its way to its name: beside it under `.NAME.alloy-XXXXXXXX`, locked while it is filled.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::Duration;

use layers::root::remove_tree;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use tempfile::TempDir;

use super::beside::{builder, held, prefix, sweep};
use super::look::above;

/// Directories that have not got their names yet, for whoever ends this process at once.
static UNFINISHED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

fn unfinished() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Deletes all directories that have not got their names yet, since this process ends now, wherever it is. A thread that
/// still writes into one may be in the way for a moment.
pub fn remove_unfinished() {
    for path in std::mem::take(&mut *unfinished()) {
        for _ in 0..20 {
            if remove_tree(&path).is_ok() || path.symlink_metadata().is_err() {
                break;
            }
            sleep(Duration::from_millis(10));
        }
    }
}

/// A directory that has not got its name yet. What has its temporary name at last is deleted.
pub struct Staged {
    directory: Option<TempDir>,
    /// Held, so that nobody takes it for left over.
    _lock: File,
}

impl Staged {
    /// A new directory that will be `path`. What the dead have left of others is deleted.
    pub fn of(path: &Path) -> io::Result<Self> {
        let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Self::within(above(path), name)
    }

    /// A new directory in `parent`; `stem` tells its remains from those of others.
    pub fn within(parent: &Path, stem: &std::ffi::OsStr) -> io::Result<Self> {
        sweep(parent, stem);
        let prefix = prefix(stem);
        loop {
            let directory = builder(&prefix).tempdir_in(parent)?;
            let lock = File::open(directory.path());
            if let Ok(lock) = lock
                && held(&lock, directory.path())
            {
                unfinished().insert(directory.path().to_owned());
                return Ok(Self { directory: Some(directory), _lock: lock });
            }
            // Somebody took it for left over before it was locked.
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.directory.as_ref().map_or(Path::new(""), TempDir::path)
    }

    /// Takes a free place. False if there is something by now.
    pub fn settle(mut self, path: &Path) -> io::Result<bool> {
        let settled = settle(self.path(), path)?;
        if settled {
            self.keep();
        }
        Ok(settled)
    }

    /// Takes the place of what is at `path`, which is deleted; or a free one.
    pub fn persist(mut self, path: &Path) -> io::Result<()> {
        if path.symlink_metadata().is_ok() {
            return exchange(self.path(), path);
        }
        fs::rename(self.path(), path)?;
        self.keep();
        Ok(())
    }

    /// Nothing has the old name any more.
    fn keep(&mut self) {
        let kept = self.directory.take().map(TempDir::keep);
        kept.map(|path| unfinished().remove(&path));
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if let Some(directory) = self.directory.take() {
            // Of an image there are directories that their owner may not search.
            let path = directory.keep();
            let _ = remove_tree(&path);
            unfinished().remove(&path);
        }
    }
}

/// `new` takes the free place `path`. False if there is something by now.
pub fn settle(new: &Path, path: &Path) -> io::Result<bool> {
    Ok(layers::rename::to_free(CWD, new, CWD, path)?)
}

/// `new` takes the place of `old`, and `old` that of `new`; or a free one, if there is no `old`.
pub fn exchange(new: &Path, old: &Path) -> io::Result<()> {
    match renameat_with(CWD, new, CWD, old, RenameFlags::EXCHANGE) {
        Err(Errno::NOENT) => fs::rename(new, old),
        // A file system without exchange, such as NFS.
        Err(Errno::INVAL | Errno::NOSYS) => {
            // Beside files of a tree: none of them has such a name.
            let mut aside = new.as_os_str().to_owned();
            aside.push(".alloy-aside");
            fs::rename(old, &aside)?;
            fs::rename(new, old)?;
            fs::rename(aside, new)
        }
        result => Ok(result?),
    }
}
