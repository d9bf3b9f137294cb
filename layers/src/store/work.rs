//! Directories of builds under way, and what killed ones left behind.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{Lock, Result, Store, failed, list};

/// A directory of one build's own, known as such while this value lives.
#[derive(Debug)]
pub struct WorkDir {
    path: PathBuf,
    _lock: Lock,
}

impl WorkDir {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Store {
    /// A directory for one build.
    pub fn work_dir(&self) -> Result<WorkDir> {
        let place = self.root.join("work");
        // What is lent to commands may hold passwords, and what they write may be set-id: nobody else goes in, even where
        // the store was opened to others.
        let mode = Permissions::from_mode(0o700);
        let made = tempfile::Builder::new().prefix("build-").permissions(mode).tempdir_in(&place);
        let made = made.map_err(failed("write to", &place))?;
        let path = made.keep();
        // A moment without a lock is harmless: an empty directory that somebody clears is noticed at once.
        let lock = self.lock(&lock_of(&path))?;
        Ok(WorkDir { path, _lock: lock })
    }

    /// What killed processes left behind: work directories nobody holds, and temporary files older than a day.
    pub fn stale(&self) -> Result<Vec<PathBuf>> {
        let mut stale = Vec::new();
        for name in list(&self.root.join("work"))? {
            let path = self.root.join("work").join(name);
            if self.try_lock(&lock_of(&path))?.is_some() {
                stale.push(path);
            }
        }
        for name in list(&self.root.join("tmp"))? {
            let path = self.root.join("tmp").join(name);
            let age = path.symlink_metadata().and_then(|m| m.modified()).ok().and_then(|time| time.elapsed().ok());
            if age.is_some_and(|age| age.as_secs() > 24 * 3600) {
                stale.push(path);
            }
        }
        Ok(stale)
    }
}

fn lock_of(work: &Path) -> String {
    work.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
