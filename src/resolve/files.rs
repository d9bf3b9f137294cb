//! Files of the blueprint, and what they hold. Large ones are known by size and times, as git's index knows them, so
//! that an archive of gigabytes beside the blueprint costs nothing while it stays the same.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use layers::digest::{Digest, Hasher};
use layers::regular;
use layers::store::Store;
use serde::{Deserialize, Serialize};

use crate::cache;

const FILES: &str = "files";
/// Smaller files are read: that costs no more than looking them up.
const LARGE: u64 = 1 << 20;
/// A file changed this recently may change again within the same tick of its clock (git's "racily clean").
const SETTLED: i64 = 2;

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    inode: u64,
    digest: Digest,
}

/// Where a file of the blueprint is. Links may not lead out of its directory.
pub fn local(directory: &Path, path: &str) -> io::Result<PathBuf> {
    let real = directory.join(path).canonicalize()?;
    if !real.starts_with(directory) {
        return Err(io::Error::other("it is outside the blueprint"));
    }
    if !real.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    Ok(real)
}

/// What the file at `path` holds. With `remember`, what was read is recorded.
pub(super) fn digest(store: &Store, path: &Path, remember: bool) -> io::Result<Digest> {
    let metadata = path.metadata()?;
    if metadata.len() < LARGE {
        return hash(path);
    }
    let key = Digest::of(path.as_os_str().as_encoded_bytes()).hex();
    let modified = (metadata.mtime(), metadata.mtime_nsec());
    let changed = (metadata.ctime(), metadata.ctime_nsec());
    let (size, inode) = (metadata.len(), metadata.ino());
    // A record that cannot be read is one that is not there.
    let known: Option<Known> = cache::get(store, FILES, &key).unwrap_or_default();
    if let Some(known) = known
        .filter(|known| (known.size, known.modified, known.changed, known.inode) == (size, modified, changed, inode))
    {
        return Ok(known.digest);
    }
    let digest = hash(path)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    let settled = i64::try_from(now).unwrap_or(0) - changed.0.max(modified.0) > SETTLED;
    if remember && settled {
        // It is only to be quicker.
        let _ = cache::put(store, FILES, &key, &Known { size, modified, changed, inode, digest });
    }
    Ok(digest)
}

fn hash(path: &Path) -> io::Result<Digest> {
    let mut hasher = Hasher::new();
    io::copy(&mut regular::open(path)?, &mut hasher)?;
    Ok(hasher.finish())
}
