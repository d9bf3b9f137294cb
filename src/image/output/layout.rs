//! An OCI image layout in a directory: added to where there is one. Whoever reads it, whenever, finds the old index or
//! the new one, and every blob that an index names.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use layers::digest::{Digest, Hasher};
use layers::media_type::Descriptor;
use serde::Deserialize;
use serde_json::Value;

use super::super::{Files, ImageError, Index, JSON_LIMIT};
use super::source::Source;
use crate::json;
use crate::sink::{Beside, Made, Parts, SinkError, Staged, directory, sweep};

/// What `oci-layout` holds (OCI image-spec 1.1, "Image Layout").
pub const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
const MARKER: &str = "oci-layout";
/// Its field in that file.
const VERSION: &str = "imageLayoutVersion";
const INDEX: &str = "index.json";
const BLOBS: &str = "blobs";
/// Directories that blobs are written to.
pub const PARTS: &[&str] = &[BLOBS, "blobs/sha256"];
/// How files are called that were not finished.
const UNFINISHED: &str = "layout";

/// A place for a layout.
#[derive(Debug)]
pub(super) struct Layout {
    path: PathBuf,
}

fn write_error(path: &Path) -> impl Fn(io::Error) -> ImageError + '_ {
    move |source| ImageError::Write { path: path.to_owned(), source: layers::disk::told(source, path) }
}

impl Layout {
    /// An error unless `path` is free, empty, a layout, or what is left of one that was not finished.
    pub(super) fn look(path: &Path) -> Result<Self, ImageError> {
        let (path, found) = directory(path)?;
        let Some(found) = found else { return Ok(Self { path }) };
        if !found.is_dir() {
            return Err(ImageError::Occupied { path });
        }
        let names = fs::read_dir(&path).map_err(write_error(&path))?;
        let names: Vec<_> = names.flatten().map(|entry| entry.file_name()).collect();
        let of_layout = |name: &std::ffi::OsString| {
            let left = name.to_string_lossy();
            [BLOBS, INDEX].iter().any(|known| name == known)
                || left.starts_with(&format!(".{UNFINISHED}."))
                || Parts::is_lock(name)
        };
        if !names.iter().any(|name| name == MARKER) && !names.iter().all(of_layout) {
            return Err(ImageError::Occupied { path });
        }
        crate::sink::may_make_in(&path)?;
        Parts::of(&path, PARTS).check()?;
        let layout = Self { path };
        match layout.version() {
            Some(version) if !version.starts_with("1.") => {
                let said = format!(
                    "it is an image layout of version {}, and alloy writes those of version 1; give another directory",
                    layers::path::shown(version.as_bytes())
                );
                Err(ImageError::invalid(layout.path.display().to_string(), said))
            }
            _ => Ok(layout),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the image: a layout of its own, or into the one that is there, in place of others of its tags and platform.
    pub(super) fn write(&self, image: &Source<'_>) -> Result<(), ImageError> {
        if self.path.symlink_metadata().is_err() && self.make(image)? {
            return Ok(());
        }
        self.add(image)
    }

    /// Makes a layout beside, which gets its name when it is whole. False if something has that name by then.
    fn make(&self, image: &Source<'_>) -> Result<bool, ImageError> {
        let failed = write_error(&self.path);
        let mut made = Made::default();
        made.directory(self.path.parent().unwrap_or(Path::new("/"))).map_err(&failed)?;
        let staged = Staged::of(&self.path).map_err(&failed)?;
        let beside = Self { path: staged.path().to_owned() };
        Parts::of(&beside.path, PARTS).make().map_err(|error| self.told(&beside, error.into()))?;
        beside.fill(image, &mut Vec::new()).map_err(|error| self.told(&beside, error))?;
        // As any other directory that this user makes.
        let usual = fs::metadata(beside.path.join(BLOBS)).map_err(&failed)?.permissions();
        fs::set_permissions(&beside.path, usual).map_err(&failed)?;
        let settled = staged.settle(&self.path).map_err(failed)?;
        if settled {
            made.keep();
        }
        Ok(settled)
    }

    /// An error of what is `beside`, with the name that was to be had.
    fn told(&self, beside: &Self, error: ImageError) -> ImageError {
        let named =
            |path: PathBuf| path.strip_prefix(&beside.path).map(|inside| self.path.join(inside)).unwrap_or(path);
        match error {
            ImageError::Write { path, source } => ImageError::Write { path: named(path), source },
            ImageError::Sink(SinkError::Write { path, source }) => ImageError::Write { path: named(path), source },
            error => error,
        }
    }

    /// Adds the image to what is there. If that fails, what was made for it goes.
    fn add(&self, image: &Source<'_>) -> Result<(), ImageError> {
        let parts = Parts::of(&self.path, PARTS);
        let missing = |path: &PathBuf| path.symlink_metadata().is_err();
        let made: Vec<PathBuf> = parts.names().filter(missing).collect();
        let new_lock = Some(parts.lock_path()).filter(missing);
        let (mut new, mut held) = (Vec::new(), None);
        let done = (|| {
            parts.make()?;
            // Those who add to an index do so one after the other.
            held = Some(parts.lock()?);
            // Who came before may have failed, and taken it away.
            parts.make()?;
            self.fill(image, &mut new)
        })();
        if done.is_err() {
            // What cannot be deleted stays where it is.
            new.iter().for_each(|path| drop(fs::remove_file(path)));
            made.iter().for_each(|path| drop(fs::remove_dir(path)));
            if let (Some(lock), Some(_)) = (new_lock, &held) {
                let _ = fs::remove_file(lock);
            }
        }
        done
    }

    /// Writes what is missing. Files that nothing names yet are in `new`.
    fn fill(&self, image: &Source<'_>, new: &mut Vec<PathBuf>) -> Result<(), ImageError> {
        let blobs = self.path.join(BLOBS).join("sha256");
        [&self.path, &blobs].into_iter().for_each(|place| sweep(place, OsStr::new(UNFINISHED)));
        for descriptor in image.blobs()? {
            let path = blobs.join(descriptor.digest.hex());
            if is_whole(&path, &descriptor) {
                continue;
            }
            image.store.read_whole(&descriptor.digest, |mut blob| {
                replace(&path, |mut file| io::copy(&mut blob, &mut file).map(drop))
            })?;
            new.push(path);
        }
        let (index, bytes) = (self.path.join(INDEX), self.with(image)?);
        let before = index.symlink_metadata().is_ok();
        replace(&index, |mut file| file.write_all(&bytes))?;
        match before {
            // It names them.
            true => new.clear(),
            false => new.push(index),
        }
        // Last: it is what makes the directory a layout.
        match self.version() {
            Some(_) => Ok(()),
            None => replace(&self.path.join(MARKER), |mut file| file.write_all(LAYOUT)),
        }
    }

    /// Which version of the specification it says that it follows; nothing if it is not whole.
    fn version(&self) -> Option<String> {
        let bytes = Files::default().read(&self.path.join(MARKER), JSON_LIMIT).ok()?;
        let marker: Value = serde_json::from_slice(&bytes).ok()?;
        Some(marker.get(VERSION)?.as_str()?.to_owned())
    }

    /// The index with the image in it. What others wrote there stays, whatever it means to them.
    fn with(&self, image: &Source<'_>) -> Result<Vec<u8>, ImageError> {
        let Some((mut index, listed)) = self.index()? else { return Ok(Index::new(image.entries()).bytes()) };
        let is_known = json::value(&listed) == index;
        let mut manifests = listed.manifests;
        let replaced: Vec<bool> = manifests.iter().map(|entry| image.replaces(entry)).collect();
        if is_known {
            manifests.retain(|entry| !image.replaces(entry));
            manifests.extend(image.entries());
            return Ok(Index::new(manifests).bytes());
        }
        let raw = index["manifests"].take();
        let raw = raw.as_array().cloned().unwrap_or_default();
        let kept = raw.into_iter().zip(replaced).filter(|(_, replaced)| !replaced).map(|(entry, _)| entry);
        let own = image.entries().into_iter().map(|entry| json::value(&entry));
        index["manifests"] = kept.chain(own).collect();
        Ok(json::bytes(&index))
    }

    /// What is listed, as it stands there and as far as alloy knows it; nothing in a directory that is no layout yet.
    fn index(&self) -> Result<Option<(Value, Index)>, ImageError> {
        if !self.path.join(MARKER).is_file() {
            return Ok(None);
        }
        let path = self.path.join(INDEX);
        let bytes = match Files::default().read(&path, JSON_LIMIT) {
            // Whoever began it did not get so far, and nothing in it has a name.
            Ok(bytes) if bytes.is_empty() => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(|source| ImageError::Read { path: path.clone(), source })?,
        };
        let wrong = |error: serde_json::Error| {
            let said = format!("it is no image index ({error}); write to another directory, or delete this one");
            ImageError::invalid(path.display().to_string(), said)
        };
        let raw: Value = serde_json::from_slice(&bytes).map_err(wrong)?;
        let index = Index::deserialize(&raw).map_err(wrong)?;
        Ok(Some((raw, index)))
    }
}

/// True for a blob that is there, to its last byte.
fn is_whole(path: &Path, blob: &Descriptor) -> bool {
    let digest = || -> io::Result<Digest> {
        let mut file = Files::default().open(path)?;
        let mut hasher = Hasher::new();
        io::copy(&mut file, &mut hasher)?;
        Ok(hasher.finish())
    };
    // A link to it is not it.
    path.symlink_metadata().is_ok_and(|found| found.is_file() && found.len() == blob.size)
        && digest().is_ok_and(|found| found == blob.digest)
}

/// Writes a file, which gets its name when it is complete.
fn replace(path: &Path, write: impl FnOnce(&File) -> io::Result<()>) -> Result<(), ImageError> {
    let failed = write_error(path);
    let directory = path.parent().unwrap_or(Path::new("."));
    let file = Beside::within(directory, OsStr::new(UNFINISHED)).map_err(&failed)?;
    write(file.file()).map_err(&failed)?;
    file.persist(path).map_err(failed)
}
