//! Directories of builds under way, and what killed ones left behind.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use super::{Lock, Result, Store, StoreError, failed, list};
use crate::disk;

/// The file of a directory that names trees.
const USES: &str = "uses";

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

    /// Names trees that are needed as long as this value lives, also by somebody who works in the store no more.
    pub fn uses(&self, trees: &[String]) -> Result<()> {
        let path = self.path.join(USES);
        fs::write(&path, trees.join("\n")).map_err(failed("write", &path))
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        // Where no worker was had that deletes it, nothing is in it. Its lock is held still.
        let _ = fs::remove_dir(&self.path);
    }
}

/// Something that the dead left behind; nobody else deletes it while this value lives.
#[derive(Debug)]
pub struct Stale {
    /// Where it is.
    pub path: PathBuf,
    _lock: Option<Lock>,
}

impl Store {
    /// A directory for one build.
    pub fn work_dir(&self) -> Result<WorkDir> {
        loop {
            let name = unique("build-");
            // First: what has no lock is left over from the dead.
            let Some(lock) = self.try_lock(&name)? else { continue };
            let path = self.root.join("work").join(name);
            // What is lent to commands may hold passwords, and what they write may be set-id: nobody else goes in, even
            // where the store was opened to others.
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(WorkDir { path, _lock: lock }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed("make", &path)(error)),
            }
        }
    }

    /// What killed processes left behind and may be deleted while others work: directories of builds that nobody holds,
    /// and temporaries of older alloys that are older than a day.
    pub fn stale(&self) -> Result<Vec<Stale>> {
        let mut stale = Vec::new();
        for name in list(&self.root.join("work"))? {
            let lock = match self.try_lock(&name) {
                Ok(None) => continue,
                Ok(lock) => lock,
                // Where no lock can be made, nobody begins to work either.
                Err(StoreError::Io { source, .. }) if disk::is_full(&source) && !self.is_held(&name)? => None,
                Err(error) => return Err(error),
            };
            let path = self.root.join("work").join(name);
            // Somebody else may have deleted it meanwhile.
            if path.symlink_metadata().is_ok() {
                stale.push(Stale { path, _lock: lock });
            }
        }
        stale.extend(self.old_temporaries()?.into_iter().map(|path| Stale { path, _lock: None }));
        Ok(stale)
    }

    /// Trees that somebody has named as needed, and is alive.
    pub fn used_trees(&self) -> Result<BTreeSet<String>> {
        let mut used = BTreeSet::new();
        for name in list(&self.root.join("work"))? {
            let path = self.root.join("work").join(&name).join(USES);
            match fs::read_to_string(&path) {
                Ok(names) if self.is_held(&name)? => used.extend(names.lines().map(str::to_owned)),
                // Who may not read it deletes nothing here either.
                Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => {
                    return Err(failed("read", &path)(error));
                }
                _ => {}
            }
        }
        Ok(used)
    }

    /// Where [`Store::stale`] would find something, for who deletes nothing.
    pub fn look_for_stale(&self) -> Result<Vec<PathBuf>> {
        let mut stale = self.old_temporaries()?;
        for name in list(&self.root.join("work"))? {
            if !self.is_held(&name)? {
                stale.push(self.root.join("work").join(name));
            }
        }
        Ok(stale)
    }
}

/// A name that no other process makes up at the same time, nor any before.
fn unique(prefix: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    format!("{prefix}{now:x}-{:x}-{:x}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}
