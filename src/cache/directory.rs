//! Cache entries in a directory: an OCI image layout, so that other tools can look into it and copy it.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use layers::digest::Digest;
use layers::media_type::{Descriptor, EMPTY};
use layers::path::shown;
use layers::stop::Stop;
use layers::store::{Store, StoreError};

use super::entry::TAG_PREFIX;
use super::listing::{Listed, Listing};
use crate::image::{Files, ImageError, Index, IndexEntry, LAYOUT, PARTS, REF_NAME, copy_blob};
use crate::sink::{Beside, Parts, SinkError, sweep};

/// A cache's directory is named by whoever runs alloy: where it is read, links lead anywhere.
const FILES: Files<'_> = Files { within: None };
/// What a manifest may have, as for those in registries.
const LIMIT: u64 = 4 << 20;
/// How files are called that were not finished.
const UNFINISHED: &str = "layout";
/// An index lists every entry that there is.
const INDEX_LIMIT: u64 = 64 << 20;

/// An OCI image layout.
#[derive(Clone, Debug)]
pub struct Directory {
    path: PathBuf,
}

/// Why it cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// A file operation failed.
    #[error("cannot {what} {path}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Something else is there.
    #[error("{path} is not empty, and no OCI image layout")]
    Occupied {
        /// The directory.
        path: PathBuf,
    },
    /// It is not to be written to.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The index cannot be read.
    #[error("{path} is damaged: {}", shown(message.as_bytes()))]
    Index {
        /// The index.
        path: PathBuf,
        /// Why.
        message: String,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

type Result<T> = std::result::Result<T, DirectoryError>;

fn failed(what: &'static str, path: &Path) -> impl Fn(io::Error) -> DirectoryError {
    let path = path.to_owned();
    move |source| DirectoryError::Io { what, path: path.clone(), source: layers::disk::told(source, &path) }
}

impl Directory {
    /// The layout at `path`, there or not.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn blob(&self, digest: &Digest) -> PathBuf {
        self.path.join("blobs/sha256").join(digest.hex())
    }

    fn index_path(&self) -> PathBuf {
        self.path.join("index.json")
    }

    fn index(&self) -> Result<Index> {
        let path = self.index_path();
        let bytes = match FILES.read(&path, INDEX_LIMIT) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Index::new(Vec::new())),
            Err(error) => return Err(failed("read", &path)(error)),
        };
        serde_json::from_slice(&bytes).map_err(|error| DirectoryError::Index { path, message: error.to_string() })
    }

    /// The manifest under `name`, a tag or digest, if there is one.
    pub fn manifest(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let tagged = || -> Result<Option<Digest>> {
            let named = |entry: &&IndexEntry| entry.annotations.get(REF_NAME).map(String::as_str) == Some(name);
            Ok(self.index()?.manifests.iter().find(named).map(|entry| entry.descriptor.digest))
        };
        let Some(digest) = name.parse().ok().map_or_else(tagged, |digest| Ok(Some(digest)))? else { return Ok(None) };
        let path = self.blob(&digest);
        let bytes = match FILES.read(&path, LIMIT) {
            Ok(bytes) => bytes,
            Err(error) if matches!(error.kind(), io::ErrorKind::FileTooLarge | io::ErrorKind::NotFound) => {
                return Ok(None);
            }
            Err(error) => return Err(failed("read", &path)(error)),
        };
        // A manifest whose digest no longer matches counts as missing.
        Ok((Digest::of(&bytes) == digest).then_some(bytes))
    }

    /// Bytes of a blob, if it is there.
    pub fn blob_size(&self, digest: &Digest) -> Option<u64> {
        self.blob(digest).metadata().ok().map(|metadata| metadata.len())
    }

    /// Brings a blob into `store`, checked.
    pub fn pull(&self, blob: &Descriptor, store: &Store, stop: &Stop) -> Result<()> {
        if store.holds(blob) {
            return Ok(());
        }
        let path = self.blob(&blob.digest);
        copy_blob(store, FILES, &path, blob, stop).map_err(|error| match error {
            ImageError::Read { path, source } => failed("read", &path)(source),
            ImageError::Store(error) => error.into(),
            other => failed("read", &path)(io::Error::other(other.to_string())),
        })
    }

    /// Brings a blob here from `store`.
    pub fn push(&self, blob: &Descriptor, store: &Store, stop: &Stop) -> Result<()> {
        self.begin()?;
        if self.blob_size(&blob.digest) == Some(blob.size) {
            return Ok(());
        }
        store.read_whole(&blob.digest, |content| {
            let mut from = stop.reader(content);
            self.replace(&self.blob(&blob.digest), |mut file| io::copy(&mut from, &mut file).map(drop))
        })
    }

    /// Writes a manifest, which nothing leads to yet.
    pub fn put(&self, manifest: &[u8]) -> Result<()> {
        self.begin()?;
        for bytes in [EMPTY, manifest] {
            self.replace(&self.blob(&Digest::of(bytes)), |mut file| file.write_all(bytes))?;
        }
        Ok(())
    }

    /// Lists entries whose manifests were written.
    pub fn publish(&self, new: &[Listed]) -> Result<()> {
        let _lock = self.parts().lock()?;
        let mut manifests = self.index()?.manifests;
        let names: BTreeSet<&String> = new.iter().flat_map(|listed| &listed.names).collect();
        manifests.retain(|entry| !entry.annotations.get(REF_NAME).is_some_and(|tag| names.contains(tag)));
        manifests.extend(new.iter().flat_map(Listed::layout_entries));
        self.put_index(manifests)
    }

    /// The entries that it has.
    pub fn list(&self) -> Result<Listing> {
        Ok(Listing::of_layout(self.index()?.manifests))
    }

    /// Tags beside the entries.
    pub fn others(&self) -> Result<Vec<String>> {
        let tagged = |mut entry: IndexEntry| entry.annotations.remove(REF_NAME);
        let tags = self.index()?.manifests.into_iter().filter_map(tagged);
        Ok(tags.filter(|tag| !tag.starts_with(TAG_PREFIX)).collect())
    }

    /// Deletes what is under `tags`, and the blobs that only entries had which are gone.
    pub fn delete(&self, tags: &[String]) -> Result<()> {
        self.parts().check()?;
        let _lock = self.parts().lock()?;
        let (gone, kept): (Vec<_>, Vec<_>) = self
            .index()?
            .manifests
            .into_iter()
            .partition(|entry| entry.annotations.get(REF_NAME).is_some_and(|tag| tags.contains(tag)));
        let manifests: Vec<Digest> = gone.iter().map(|entry| entry.descriptor.digest).collect();
        let foreign =
            kept.iter().any(|entry| !entry.annotations.get(REF_NAME).is_some_and(|t| t.starts_with(TAG_PREFIX)));
        let needed = self.needed(&kept);
        self.put_index(kept)?;
        let mut blobs = manifests.clone();
        // Blobs of other people's images cannot be told from ours.
        if !foreign {
            blobs.extend(manifests.iter().flat_map(|digest| self.layers(digest)));
        }
        for digest in blobs.into_iter().filter(|digest| !needed.contains(digest)) {
            let path = self.blob(&digest);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("delete", &path)(error)),
                _ => {}
            }
        }
        Ok(())
    }

    fn needed(&self, entries: &[IndexEntry]) -> Vec<Digest> {
        let manifests = entries.iter().map(|entry| entry.descriptor.digest);
        let mut needed = vec![Digest::of(EMPTY)];
        needed.extend(manifests.clone().chain(manifests.flat_map(|digest| self.layers(&digest))));
        needed
    }

    fn layers(&self, manifest: &Digest) -> Vec<Digest> {
        #[derive(serde::Deserialize)]
        struct Layers {
            layers: Vec<Descriptor>,
        }
        let bytes = FILES.read(&self.blob(manifest), LIMIT).unwrap_or_default();
        let layers = serde_json::from_slice::<Layers>(&bytes).map(|manifest| manifest.layers).unwrap_or_default();
        layers.into_iter().map(|layer| layer.digest).collect()
    }

    /// Makes the layout where there is none.
    fn begin(&self) -> Result<()> {
        sweep(&self.path, OsStr::new(UNFINISHED));
        let marker = self.path.join("oci-layout");
        self.parts().check()?;
        if marker.is_file() {
            return Ok(());
        }
        // What begins with a dot is on its way; and somebody may begin the same layout at this moment, and be quicker.
        let own = ["blobs", "index.json", "oci-layout"];
        let foreign = |name: &str| !name.starts_with('.') && !own.contains(&name);
        let mut names = fs::read_dir(&self.path).into_iter().flatten().flatten().map(|entry| entry.file_name());
        if names.any(|name| foreign(&name.to_string_lossy())) {
            return Err(DirectoryError::Occupied { path: self.path.clone() });
        }
        self.parts().make()?;
        let _lock = self.parts().lock()?;
        if !self.index_path().is_file() {
            self.put_index(Vec::new())?;
        }
        // Last: it is what makes the directory a layout.
        self.replace(&marker, |mut file| file.write_all(LAYOUT))
    }

    fn parts(&self) -> Parts<'_> {
        Parts::of(&self.path, PARTS)
    }

    fn put_index(&self, manifests: Vec<IndexEntry>) -> Result<()> {
        let index = Index::new(manifests).bytes();
        self.replace(&self.index_path(), |mut file| file.write_all(&index))
    }

    /// Writes a file, which gets its name when it is complete.
    fn replace(&self, path: &Path, write: impl FnOnce(&File) -> io::Result<()>) -> Result<()> {
        let failed = failed("write", path);
        let file = Beside::within(&self.path, OsStr::new(UNFINISHED)).map_err(&failed)?;
        write(file.file()).map_err(&failed)?;
        file.file().sync_data().map_err(&failed)?;
        // All of a team read it.
        file.file().set_permissions(PermissionsExt::from_mode(0o644)).map_err(&failed)?;
        file.persist(path).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_begin_a_layout_at_once() {
        for _ in 0..200 {
            let place = tempfile::tempdir().unwrap();
            let path = place.path().join("cache");
            std::thread::scope(|scope| {
                for _ in 0..6 {
                    scope.spawn(|| Directory::new(&path).begin().unwrap());
                }
            });
            assert!(path.join("oci-layout").is_file());
        }
    }
}
