//! A content store on disk, for any number of processes at once. A half-written thing never has its final name:
//! everything is written under `tmp/`, synced, then renamed.
//!
//! What is read is not trusted either: disks forget, and people edit. Blobs and downloads are hashed while they are read,
//! records carry a digest of their own; what is damaged is put aside, and counts as missing.
//!
//! ```text
//! blobs/sha256/<hex>     content, by its digest
//! records/<kind>/<key>   small values: what is known under a key
//! trees/<name>/tree      layers unpacked for overlays, each with a seal beside it
//! downloads/             downloads, by their digest
//! cache/                 what builds keep for package managers
//! work/  tmp/  locks/    what is under way
//! aside/                 what was found damaged
//! ```

use std::fs::{self, File, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::digest::Digest;
use crate::disk;

mod aside;
mod blob;
mod diff_ids;
mod error;
mod layer;
mod locks;
mod owned;
mod reading;
mod records;
mod seal;
mod temporary;
mod trees;
mod upgrade;
mod used;
mod version;
mod work;

pub use aside::{Damage, Fate};
pub use blob::BlobWriter;
pub use error::StoreError;
pub use layer::{LayerBlob, LayerWriter};
pub use locks::Lock;
pub use reading::Blob;
pub use trees::{TreeNames, layer_tree, stack_tree};
pub use work::{Stale, WorkDir};

use version::Found;

/// The version of the directory's layout.
const VERSION: &str = "2";
/// The one before, whose records have no digests.
const UNSEALED: &str = "1";
const PARTS: [&str; 8] = ["blobs/sha256", "records", "trees", "downloads", "cache", "work", "tmp", "locks"];

type Result<T> = std::result::Result<T, StoreError>;

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    move |source| StoreError::Io { what, path: path.to_owned(), source: disk::told(source, path) }
}

/// An open store.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
    /// Some kinds of records are known to those alone who trust the same: what, and which kinds.
    trust: Option<(String, &'static [&'static str])>,
    /// Where temporaries are made; `None` for the place of all.
    staging: Option<PathBuf>,
    /// Its damaged `version` was written anew.
    mended: bool,
    /// It is of the layout before, and only to be read.
    unsealed: bool,
    /// What was found damaged.
    found: aside::Found,
}

impl Store {
    /// Opens the store at `root`, making it where there is none. It has to be this user's alone to write in.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self> {
        // Overlay mounts and helpers in other directories need a path without links.
        let root = owned::directory(&root.into())?;
        let mut store = Self::at(root);
        match version::look(&store.root)? {
            Found::Whole => {}
            Found::Unsealed => upgrade::upgrade(&store.root)?,
            Found::Nothing => {
                let root = &store.root;
                fs::set_permissions(root, Permissions::from_mode(0o700)).map_err(failed("protect", root))?;
                PARTS.iter().try_for_each(|part| owned::part(root, part))?;
                // Those who find the disk full later can make none.
                drop(store.enter()?);
                // Last: without it the store is not complete.
                store.write_version()?;
            }
            Found::Mendable => {
                store.write_version()?;
                store.mended = true;
            }
        }
        Ok(store)
    }

    fn at(root: PathBuf) -> Self {
        Self { root, trust: None, staging: None, mended: false, unsealed: false, found: aside::Found::default() }
    }

    fn write_version(&self) -> Result<()> {
        self.replace(&self.root.join("version"), format!("{VERSION}\n").as_bytes())
    }

    /// True if this user may write in it, and it is not on a file system that can only be read.
    pub fn is_writable(&self) -> bool {
        rustix::fs::access(self.root.join("tmp"), rustix::fs::Access::WRITE_OK).is_ok()
    }

    /// True if its file `version` was damaged, and was written anew when the store was opened.
    pub fn was_mended(&self) -> bool {
        self.mended
    }

    /// The store at `root` that another process has opened: this one may see it with other owners.
    pub fn of_opener(root: impl Into<PathBuf>) -> Result<Self> {
        let root: PathBuf = root.into();
        if version::look(&root)? == Found::Nothing {
            return Err(failed("find", &root)(io::ErrorKind::NotFound.into()));
        }
        Ok(Self::at(root.canonicalize().map_err(failed("find", &root))?))
    }

    /// True if there is a store at `root`, whole or damaged.
    pub fn is_there(root: &Path) -> Result<bool> {
        match owned::readable(root) {
            Ok(root) => Ok(version::look(&root)? != Found::Nothing),
            Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The store at `root` as it is, to read from; where there is none, it is one with nothing in it.
    pub fn look(root: impl Into<PathBuf>) -> Result<Self> {
        let root: PathBuf = root.into();
        let root = match owned::readable(&root) {
            Ok(root) => root,
            Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                std::path::absolute(&root).map_err(failed("find", &root))?
            }
            Err(error) => return Err(error),
        };
        let mut store = Self::at(root);
        if version::look(&store.root)? == Found::Unsealed {
            match upgrade::upgrade(&store.root) {
                Err(error) if upgrade::is_refused(&error) => store.unsealed = true,
                done => done?,
            }
        }
        Ok(store)
    }

    /// Its directory, absolute.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The same store for whoever believes only what `trust` vouches for: it has records of its own of these `kinds`,
    /// and sees no others. Blobs and trees, which are known by what they are, are shared.
    pub fn trusting(&self, trust: &Digest, kinds: &'static [&'static str]) -> Self {
        Self { trust: Some((trust.hex()[..32].to_owned(), kinds)), ..self.clone() }
    }

    /// Where downloads are kept.
    pub fn downloads(&self) -> PathBuf {
        self.root.join("downloads")
    }

    /// Where `digest` is or would be.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs/sha256").join(digest.hex())
    }

    /// True if the blob is there.
    pub fn contains(&self, digest: &Digest) -> bool {
        self.blob_path(digest).is_file()
    }

    /// Its length in bytes, if it is there.
    pub fn blob_len(&self, digest: &Digest) -> Result<Option<u64>> {
        let path = self.blob_path(digest);
        match path.metadata() {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("look at", &path)(error)),
        }
    }

    /// Opens a blob, for whoever checks what comes: see [`Store::read_whole`].
    pub fn open_blob(&self, digest: &Digest) -> Result<File> {
        let path = self.blob_path(digest);
        crate::regular::open(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => StoreError::Missing(*digest),
            _ => match aside::unreadable(error) {
                Ok(why) => self.put_aside(&path, format!("blob {digest}"), why).into(),
                Err(error) => failed("open", &path)(error),
            },
        })
    }

    /// Reads a blob of at most `limit` bytes, and checks it.
    pub fn read_blob(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>> {
        let path = self.blob_path(digest);
        let size = self.blob_len(digest)?.ok_or(StoreError::Missing(*digest))?;
        if size > limit {
            // What it should hold is not that long.
            self.check_blob(digest)?;
            let (expected, found) = (format!("at most {limit} bytes in {digest}"), format!("{size}"));
            return Err(StoreError::Mismatch { expected, found });
        }
        self.read_whole(digest, |mut blob| {
            let mut bytes = Vec::new();
            blob.read_to_end(&mut bytes).map_err(failed("read", &path))?;
            Ok(bytes)
        })
    }

    /// Stores `bytes`.
    pub fn put_blob(&self, bytes: &[u8]) -> Result<Digest> {
        let digest = Digest::of(bytes);
        let path = self.blob_path(&digest);
        // One that is there may be damaged.
        if !crate::regular::read(&path, bytes.len() as u64).is_ok_and(|there| there == bytes) {
            self.replace(&path, bytes)?;
        }
        Ok(digest)
    }

    /// Deletes a blob; nothing there is fine. Gives the bytes that were freed.
    pub fn remove_blob(&self, digest: &Digest) -> Result<u64> {
        let size = self.blob_len(digest)?.unwrap_or_default();
        remove_file(&self.blob_path(digest))?;
        Ok(size)
    }

    /// Every blob, in no particular order.
    pub fn blobs(&self) -> Result<Vec<Digest>> {
        let names = list(&self.root.join("blobs/sha256"))?;
        Ok(names.iter().filter_map(|name| Digest::from_hex(name).ok()).collect())
    }
}

fn list(directory: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed("list", directory)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed("list", directory))?;
        names.extend(entry.file_name().into_string());
    }
    names.sort_unstable();
    Ok(names)
}

fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("delete", path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    pub(super) fn store() -> (tempfile::TempDir, Store) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path().join("store")).unwrap();
        (directory, store)
    }

    fn temporaries(store: &Store) -> usize {
        fs::read_dir(store.root().join("tmp")).unwrap().count()
    }

    #[test]
    fn blobs_have_the_name_of_their_content() {
        let (_directory, store) = store();
        let mut writer = store.blob_writer().unwrap();
        writer.write_all(b"hello").unwrap();
        let (digest, size) = writer.commit(None).unwrap();
        assert_eq!((digest, size), (Digest::of("hello"), 5));
        assert_eq!(store.put_blob(b"hello").unwrap(), digest);
        assert_eq!(store.read_blob(&digest, 5).unwrap(), b"hello");
        assert!(store.read_blob(&digest, 4).is_err());
        assert_eq!(store.blobs().unwrap(), [digest]);
        assert_eq!(store.remove_blob(&digest).unwrap(), 5);
        assert!(matches!(store.open_blob(&digest), Err(StoreError::Missing(_))));
    }

    #[test]
    fn what_is_wrong_or_given_up_leaves_nothing() {
        let (_directory, store) = store();
        let mut writer = store.blob_writer().unwrap();
        writer.write_all(b"hello").unwrap();
        assert!(writer.commit(Some((Digest::of("other"), 5))).is_err());
        drop(store.blob_writer().unwrap());
        assert!(store.blobs().unwrap().is_empty());
        assert_eq!(temporaries(&store), 0);
    }

    #[test]
    fn damage_is_noticed() {
        let (_directory, store) = store();
        let digest = store.put_blob(b"hello").unwrap();
        fs::write(store.blob_path(&digest), "hellO").unwrap();
        assert!(store.read_blob(&digest, 100).is_err());
    }

    #[test]
    fn only_directories_of_the_dead_are_stale() {
        let (_directory, store) = store();
        let alive = store.work_dir().unwrap();
        let gone = store.work_dir().unwrap();
        let dead = gone.path().to_owned();
        fs::write(dead.join("file"), "left").unwrap();
        drop(gone);
        // What nothing was put into needs nobody who deletes it.
        drop(store.work_dir().unwrap());
        assert_eq!(store.look_for_stale().unwrap(), std::slice::from_ref(&dead));
        let stale = store.stale().unwrap();
        assert!(stale.len() == 1 && stale[0].path == dead);
        assert!(store.stale().unwrap().is_empty(), "one deletes it");
        drop(stale);
        std::fs::remove_dir_all(&dead).unwrap();
        assert!(store.stale().unwrap().is_empty());
        drop(alive);
    }
}
