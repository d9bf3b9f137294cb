//! Locks between processes.

use std::fs::{self, File};
use std::path::PathBuf;

use super::{Result, Store, failed};

/// A lock that is held until it is dropped, or its process ends.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "held, not read")] File);

impl Store {
    /// Takes the lock `name`, waiting for it.
    pub fn lock(&self, name: &str) -> Result<Lock> {
        let (file, path) = self.lock_file(name)?;
        file.lock().map_err(failed("lock", &path))?;
        Ok(Lock(file))
    }

    /// Takes the lock `name`, unless somebody has it.
    pub fn try_lock(&self, name: &str) -> Result<Option<Lock>> {
        let (file, path) = self.lock_file(name)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock(file))),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(error)) => Err(failed("lock", &path)(error)),
        }
    }

    /// Takes the lock `name` together with all others who take it so, waiting for one who has it alone.
    pub fn lock_shared(&self, name: &str) -> Result<Lock> {
        let (file, path) = self.lock_file(name)?;
        file.lock_shared().map_err(failed("lock", &path))?;
        Ok(Lock(file))
    }

    fn lock_file(&self, name: &str) -> Result<(File, PathBuf)> {
        let path = self.root.join("locks").join(name);
        Ok((File::create(&path).map_err(failed("open", &path))?, path))
    }
}
