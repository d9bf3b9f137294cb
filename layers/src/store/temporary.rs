//! Files that have no name of their own yet.
//!
//! Whoever writes one holds it by a lock on the file itself, so that those of the dead are known at once. What a
//! build's worker writes is in the build's directory, and goes with it.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::{Result, Store, failed, list, remove_file};

/// What the name of a file begins with that its writer holds.
const HELD: &str = "held-";
/// How old one of an older alloy is, which held none, before it counts as left behind: a day, in seconds.
const OLD: u64 = 24 * 3600;
/// What the name of a tree begins with that is being deleted.
const DEAD: &str = "dead-";

impl Store {
    /// Where files and directories are made that are renamed to a place in the store.
    pub fn temporaries(&self) -> PathBuf {
        self.staging.clone().unwrap_or_else(|| self.root.join("tmp"))
    }

    /// The same store for a build's worker: what it makes is in `place`, a directory of the build's own in the store.
    #[must_use]
    pub fn staging_in(self, place: &Path) -> Self {
        Self { staging: Some(place.to_owned()), ..self }
    }

    /// A new file; it is deleted when it is dropped.
    pub fn temporary(&self) -> Result<tempfile::NamedTempFile> {
        let place = self.temporaries();
        loop {
            let file = tempfile::Builder::new().prefix(HELD).tempfile_in(&place).map_err(failed("write to", &place))?;
            // Somebody who sweeps may have come between; then this one is theirs to delete.
            match file.as_file().try_lock_shared() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => continue,
                Err(TryLockError::Error(error)) => return Err(failed("lock", file.path())(error)),
            }
            if file.as_file().metadata().map_err(failed("look at", file.path()))?.nlink() > 0 {
                return Ok(file);
            }
        }
    }

    /// Writes a file whole, in place of what has its name.
    pub(super) fn replace(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let mut file = self.temporary()?;
        file.write_all(bytes).map_err(failed("write", path))?;
        self.persist(file, path)
    }

    /// Syncs, renames, and syncs the directory: after a crash the name has either nothing or everything.
    pub(super) fn persist(&self, file: tempfile::NamedTempFile, path: &Path) -> Result<()> {
        file.as_file().sync_data().map_err(failed("write", path))?;
        fs::set_permissions(file.path(), Permissions::from_mode(0o644)).map_err(failed("protect", path))?;
        let persisted = file.persist(path).or_else(|error| {
            // No file replaces a directory.
            if error.error.kind() != io::ErrorKind::IsADirectory {
                return Err(error.error);
            }
            self.moved_aside(path)?;
            error.file.persist(path).map_err(|error| error.error)
        });
        persisted.map_err(failed("write", path))?;
        let Some(directory) = path.parent() else { return Ok(()) };
        crate::disk::sync_directory(directory).map_err(failed("sync", directory))
    }

    /// Deletes the files of writers that died, unless this is only to `look`. Gives their bytes on the disk.
    pub fn sweep_temporaries(&self, look: bool) -> Result<u64> {
        let mut bytes = 0;
        for name in list(&self.root.join("tmp"))?.iter().filter(|name| name.starts_with(HELD)) {
            let path = self.root.join("tmp").join(name);
            let opened = OpenOptions::new().read(true).write(!look).custom_flags(libc_nofollow()).open(&path);
            let file: File = match opened {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) if look && error.kind() == io::ErrorKind::PermissionDenied => continue,
                Err(error) => return Err(failed("open", &path)(error)),
            };
            match file.try_lock() {
                Ok(()) => bytes += file.metadata().map_or(0, |found| found.blocks() * 512),
                Err(TryLockError::WouldBlock) => continue,
                Err(TryLockError::Error(error)) => return Err(failed("lock", &path)(error)),
            }
            if !look {
                remove_file(&path)?;
            }
        }
        Ok(bytes)
    }

    /// Takes the name of a tree that is to be deleted away, so that nobody takes the rest of it for the whole.
    pub fn retire_tree(&self, name: &str) -> Result<PathBuf> {
        let path = self.root.join("trees").join(name);
        if name.starts_with(DEAD) {
            return Ok(path);
        }
        let retired = self.root.join("trees").join(format!("{DEAD}{name}"));
        // The rest of one that was not deleted to its end: both are to go.
        if retired.symlink_metadata().is_ok() {
            return Ok(path);
        }
        fs::rename(&path, &retired).map_err(failed("rename", &path))?;
        Ok(retired)
    }

    /// What lies in the place for temporaries and nobody holds by a lock of its own, for who is alone in the store.
    pub fn unheld_temporaries(&self) -> Result<Vec<PathBuf>> {
        let names = list(&self.root.join("tmp"))?.into_iter().filter(|name| !name.starts_with(HELD));
        Ok(names.map(|name| self.root.join("tmp").join(name)).collect())
    }

    /// What older alloys left there.
    pub(super) fn old_temporaries(&self) -> Result<Vec<PathBuf>> {
        let mut all = self.unheld_temporaries()?;
        all.retain(|path| {
            let age = path.symlink_metadata().and_then(|found| found.modified()).ok();
            age.and_then(|time| time.elapsed().ok()).is_some_and(|age| age.as_secs() > OLD)
        });
        Ok(all)
    }
}

fn libc_nofollow() -> i32 {
    i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use crate::store::tests::store;

    #[test]
    fn only_files_of_the_dead_are_swept() {
        let (_directory, store) = store();
        let alive = store.temporary().unwrap();
        let mut dead = store.temporary().unwrap();
        dead.write_all(&[1; 8192]).unwrap();
        // Its process is gone, and its descriptor with it.
        let (file, path) = dead.keep().unwrap();
        drop(file);
        assert!(store.sweep_temporaries(true).unwrap() >= 8192 && path.exists());
        assert!(store.sweep_temporaries(false).unwrap() >= 8192 && !path.exists());
        assert!(alive.path().exists());
    }

    #[test]
    fn who_writes_while_others_sweep_loses_nothing() {
        let (_directory, store) = store();
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    store.sweep_temporaries(false).unwrap();
                }
            });
            for round in 0..300_u32 {
                store.put_record("x", "y", &round.to_le_bytes()).unwrap();
            }
            done.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        assert_eq!(store.record("x", "y").unwrap().unwrap(), 299_u32.to_le_bytes());
    }
}
