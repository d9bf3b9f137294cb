//! Locks between processes.
//!
//! A lock is a file that somebody holds (`flock(2)`). Whoever lets go of it deletes the file: who opened it meanwhile
//! holds one without a name, notices that, and opens the one that has the name by then. Two files stay: [`STORE`] and
//! [`DOOR`], which all processes pass.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{Result, Store, failed, list};

/// Held together by all that work in the store, and alone by who deletes from it.
const STORE: &str = "store";
/// Held for a moment by who begins to work in the store; alone by who waits for [`STORE`], so that those at work become fewer.
const DOOR: &str = "door";

/// A lock that is held until it is dropped, or its process ends.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
}

impl Drop for Lock {
    fn drop(&mut self) {
        if [STORE, DOOR].iter().any(|name| self.path.ends_with(name)) {
            return;
        }
        // Others who hold it, too, delete it later. A file that is left behind is no lock.
        if self.file.try_lock().is_ok() && is_named(&self.file, &self.path).unwrap_or(false) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Store {
    /// Takes the lock `name`, waiting for it.
    pub fn lock(&self, name: &str) -> Result<Lock> {
        let path = self.lock_path(name);
        loop {
            let file = create(&path).map_err(failed("open", &path))?;
            file.lock().map_err(failed("lock", &path))?;
            if is_named(&file, &path).map_err(failed("lock", &path))? {
                return Ok(Lock { file, path });
            }
        }
    }

    /// Takes the lock `name`, unless somebody has it.
    pub fn try_lock(&self, name: &str) -> Result<Option<Lock>> {
        let path = self.lock_path(name);
        loop {
            let file = create(&path).map_err(failed("open", &path))?;
            if !try_alone(&file).map_err(failed("lock", &path))? {
                return Ok(None);
            }
            if is_named(&file, &path).map_err(failed("lock", &path))? {
                return Ok(Some(Lock { file, path }));
            }
        }
    }

    /// Takes the lock `name` together with all others who take it so, waiting for one who has it alone.
    pub fn lock_shared(&self, name: &str) -> Result<Lock> {
        let path = self.lock_path(name);
        loop {
            let file = create(&path).map_err(failed("open", &path))?;
            file.lock_shared().map_err(failed("lock", &path))?;
            if is_named(&file, &path).map_err(failed("lock", &path))? {
                return Ok(Lock { file, path });
            }
        }
    }

    /// Works in the store from now on: nothing that others see is deleted from it as long as the lock is held.
    pub fn enter(&self) -> Result<Lock> {
        let _door = self.lock_shared(DOOR)?;
        self.lock_shared(STORE)
    }

    /// The same for who only reads; without a lock where none can be made and none is there, since nobody deletes then
    /// who would ask for it.
    pub fn enter_reading(&self) -> Result<Option<Lock>> {
        let path = self.lock_path(STORE);
        let Some(file) = open(&path).map_err(failed("open", &path))? else { return Ok(None) };
        file.lock_shared().map_err(failed("lock", &path))?;
        Ok(Some(Lock { file, path }))
    }

    /// Keeps everybody else out, unless somebody is at work.
    pub fn enter_alone(&self) -> Result<Option<Lock>> {
        self.try_lock(STORE)
    }

    /// Lets nobody begin to work until the lock is dropped, unless somebody else does so.
    pub fn close_door(&self) -> Result<Option<Lock>> {
        self.try_lock(DOOR)
    }

    /// True if somebody works in the store.
    pub fn is_at_work(&self) -> Result<bool> {
        self.is_held(STORE)
    }

    /// True if somebody holds the lock `name`. Nothing is made for that, not even where nothing can be.
    pub fn is_held(&self, name: &str) -> Result<bool> {
        let path = self.lock_path(name);
        match open(&path).map_err(failed("open", &path))? {
            Some(file) => Ok(!try_alone(&file).map_err(failed("lock", &path))?),
            None => Ok(false),
        }
    }

    /// Locks whose holders died. They are deleted, unless this is only to `look`.
    pub fn sweep_locks(&self, look: bool) -> Result<usize> {
        let mut dead = 0;
        for name in list(&self.root.join("locks"))?.iter().filter(|name| ![STORE, DOOR].contains(&name.as_str())) {
            let path = self.lock_path(name);
            let Some(file) = open(&path).map_err(failed("open", &path))? else { continue };
            if try_alone(&file).map_err(failed("lock", &path))? {
                dead += 1;
                if !look {
                    drop(Lock { file, path });
                }
            }
        }
        Ok(dead)
    }

    fn lock_path(&self, name: &str) -> PathBuf {
        self.root.join("locks").join(name)
    }
}

/// Opens a lock. It is nobody else's to open: who holds one makes others wait.
fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// Opens a lock that is there, if this user may; for reading where it cannot be written.
fn open(path: &Path) -> io::Result<Option<File>> {
    let opened = OpenOptions::new().read(true).write(true).open(path);
    let opened = match opened {
        Err(error) if is_closed(&error) => File::open(path),
        opened => opened,
    };
    match opened {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound || is_closed(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_closed(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

fn try_alone(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(fs::TryLockError::WouldBlock) => Ok(false),
        Err(fs::TryLockError::Error(error)) => Err(error),
    }
}

/// True if `path` is still the name of `file`.
fn is_named(file: &File, path: &Path) -> io::Result<bool> {
    let held = file.metadata()?;
    match path.symlink_metadata() {
        Ok(found) => Ok((found.dev(), found.ino()) == (held.dev(), held.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use crate::store::Store;
    use crate::store::tests::store;

    /// The two that stay, and others.
    fn files(store: &Store) -> usize {
        std::fs::read_dir(store.root().join("locks")).unwrap().count()
    }

    #[test]
    fn a_lock_has_one_holder_and_leaves_nothing() {
        let (_directory, store) = store();
        let (inside, entered) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for round in 0..300 {
                        let lock =
                            if round % 2 == 0 { Some(store.lock("x").unwrap()) } else { store.try_lock("x").unwrap() };
                        if lock.is_some() {
                            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                            entered.fetch_add(1, Ordering::SeqCst);
                            std::thread::yield_now();
                            inside.fetch_sub(1, Ordering::SeqCst);
                        }
                    }
                });
            }
        });
        assert!(entered.load(Ordering::SeqCst) >= 8 * 150);
        assert_eq!(files(&store), 2);
    }

    #[test]
    fn the_last_of_several_holders_deletes_a_lock() {
        let (_directory, store) = store();
        let (one, other) = (store.lock_shared("x").unwrap(), store.lock_shared("x").unwrap());
        drop(one);
        assert!(store.is_held("x").unwrap() && store.try_lock("x").unwrap().is_none());
        drop(other);
        assert!(!store.is_held("x").unwrap());
        assert_eq!(files(&store), 2);
    }

    #[test]
    fn who_works_keeps_others_from_being_alone() {
        let (_directory, store) = store();
        let at_work = store.enter().unwrap();
        assert!(store.enter_alone().unwrap().is_none() && store.is_at_work().unwrap());
        drop(at_work);
        assert!(store.enter_alone().unwrap().is_some() && !store.is_at_work().unwrap());
    }

    #[test]
    fn locks_of_the_dead_are_swept() {
        let (_directory, store) = store();
        let held = store.lock("held").unwrap();
        std::fs::write(store.root().join("locks/dead"), "").unwrap();
        assert_eq!(store.sweep_locks(true).unwrap(), 1);
        assert_eq!(store.sweep_locks(false).unwrap(), 1);
        assert_eq!(store.sweep_locks(false).unwrap(), 0);
        assert!(store.is_held("held").unwrap());
        drop(held);
    }
}
