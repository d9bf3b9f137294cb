//! Files of the blueprint, and what they hold. Large ones are known by size and times, as git's index knows them, so
//! that an archive of gigabytes beside the blueprint costs nothing while it stays the same.

use std::fs::File;
use std::io::{self, Seek};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use layers::digest::Digest;
use layers::disk;
use layers::regular;
use layers::store::Store;
use layers::verified::HashingReader;
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

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

/// The same, opened: whoever owns the directory may put a link there meanwhile.
fn open(directory: &Path, path: &str) -> io::Result<(PathBuf, File)> {
    let real = local(directory, path)?;
    let file = regular::beneath(directory, real.strip_prefix(directory).unwrap_or(&real))?;
    Ok((real, file))
}

/// A copy of a file of the blueprint, which is what `digest` says. The file itself may be written to at any time, and a
/// layer is known by what it was made of: what is made of the copy is made of nothing else.
pub fn taken(store: &Store, directory: &Path, path: &str, digest: &Digest) -> io::Result<NamedTempFile> {
    let (real, file) = open(directory, path)?;
    let mut copy = store.temporary().map_err(io::Error::other)?;
    let mut file = HashingReader::new(file);
    io::copy(&mut file, copy.as_file_mut()).map_err(|error| disk::told(error, copy.path()))?;
    if file.finish()? != *digest {
        // Whatever was remembered of it may be wrong.
        store.remove_record(FILES, &key(&real)).map_err(io::Error::other)?;
        return Err(io::Error::other("it has changed since this began; whoever writes it has to be done first"));
    }
    copy.rewind()?;
    Ok(copy)
}

fn key(path: &Path) -> String {
    Digest::of(path.as_os_str().as_encoded_bytes()).hex()
}

/// What a file of the blueprint holds. With `remember`, what was read is recorded.
pub(super) fn digest(store: &Store, directory: &Path, path: &str, remember: bool) -> io::Result<Digest> {
    let (path, file) = open(directory, path)?;
    digest_of(store, &path, file, remember)
}

/// The same of an open file whose place on this machine is `path`.
pub(super) fn digest_of(store: &Store, path: &Path, file: File, remember: bool) -> io::Result<Digest> {
    let metadata = file.metadata()?;
    if metadata.len() < LARGE {
        return hash(file);
    }
    let key = key(path);
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
    let digest = hash(file)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    let settled = i64::try_from(now).unwrap_or(0) - changed.0.max(modified.0) > SETTLED;
    if remember && settled {
        // It is only to be quicker.
        let _ = cache::put(store, FILES, &key, &Known { size, modified, changed, inode, digest });
    }
    Ok(digest)
}

fn hash(file: File) -> io::Result<Digest> {
    HashingReader::new(file).finish()
}
