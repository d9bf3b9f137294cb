//! Bases that are files of this machine: read once, then known by size and time, as make knows its sources.

use std::io::{BufReader, Read};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use layers::compress::decoder;
use layers::diff::{DiffOptions, diff};
use layers::digest::Digest;
use layers::ids::Exchange;
use layers::root::{FileKind, Root};
use layers::store::LayerBlob;
use layers::tar::looks_like_tar;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::owners::{Owners, owners};
use super::{Base, Origin, ResolveError, Resolver, Result};
use crate::cache;
use crate::image::{self, Files, Image, ImageError, Layer, Room};
use crate::op::DEFAULT_PATH;
use crate::sandbox::{IdMap, Mode};
use crate::target::as_it_is;
use crate::target::image::{ImageTarget, RequestError};

/// Records of images whose layers were found to be what their configs say. Those that an older alloy wrote under
/// another name were believed without a look.
const FILES: &str = "base-files-verified";

#[derive(Serialize, Deserialize)]
struct Known {
    size: u64,
    mtime: (i64, i64),
    inode: u64,
    image: Image,
}

/// A file as it is now.
struct State {
    key: String,
    size: u64,
    mtime: (i64, i64),
    inode: u64,
}

impl Resolver<'_> {
    /// Which files may be a base.
    pub(super) fn files(&self) -> Files<'_> {
        Files { within: self.request.base_within.as_deref() }
    }

    /// True for a directory that may be a base.
    pub(super) fn is_directory(&self, path: &Path) -> bool {
        let kind = self.files().hold(path).ok().and_then(|held| held.metadata().ok()).map(|metadata| metadata.kind);
        kind == Some(FileKind::Directory)
    }

    /// What `read` reads from the file at `path`, unless that was done before and the file is the same.
    /// `what` tells apart several things in one file.
    pub(super) fn unchanged(&self, path: &Path, what: &str, read: impl FnOnce() -> Result<Image>) -> Result<Image> {
        let state = self.state(path, what)?;
        if let Some(image) = self.recorded(&state)? {
            return Ok(image);
        }
        let image = read()?;
        let State { key, size, mtime, inode } = state;
        cache::put(self.store, FILES, &key, &Known { size, mtime, inode, image: image.clone() })?;
        Ok(image)
    }

    /// What was read before, if the file is still the same.
    pub(super) fn read_before(&self, path: &Path, what: &str) -> Result<Option<Image>> {
        self.recorded(&self.state(path, what)?)
    }

    fn state(&self, path: &Path, what: &str) -> Result<State> {
        let failed = |source| ImageError::Read { path: path.to_owned(), source };
        let held = self.files().hold(path).map_err(failed)?;
        // Of the very file that would be read, wherever links lead.
        let by_descriptor = PathBuf::from(format!("/proc/self/fd/{}", held.as_fd().as_raw_fd()));
        let absolute = by_descriptor.read_link().map_err(failed)?;
        let metadata = by_descriptor.metadata().map_err(failed)?;
        // A layout whose links lead anywhere is not known to be one whose links do not.
        let bound = if self.request.base_within.is_some() { "bound " } else { "" };
        let key = format!("{bound}{} {what} {} {}", absolute.display(), self.platform, self.request.compression);
        let (size, mtime, inode) = (metadata.len(), (metadata.mtime(), metadata.mtime_nsec()), metadata.ino());
        Ok(State { key: Digest::of(key).hex(), size, mtime, inode })
    }

    fn recorded(&self, state: &State) -> Result<Option<Image>> {
        let known = cache::get::<Known>(self.store, FILES, &state.key)?;
        let same = |known: &Known| (known.size, known.mtime, known.inode) == (state.size, state.mtime, state.inode);
        let there = |image: &Image| image.layers.iter().all(|layer| self.store.holds(&layer.descriptor));
        Ok(known.filter(same).map(|known| known.image).filter(there))
    }

    /// The same image, if its layers are what its config says: nobody who pulls what is made from it finds out first.
    /// Layers that it names without having them are fetched.
    pub(super) fn verified(&self, path: &Path, image: Image) -> Result<Image> {
        self.foreign(&path.display().to_string(), &image)?;
        let warnings = image::verify_layers(self.store, &path.display().to_string(), &image.layers)?;
        warnings.into_iter().for_each(|warning| self.warn_once(warning));
        Ok(image)
    }

    /// A tar in any compression, as the one layer of an image.
    pub(super) fn rootfs(&self, path: &Path) -> Result<Image> {
        let failed = |source| ImageError::Read { path: path.to_owned(), source };
        let file = self.files().open(path).map_err(failed)?;
        let mut room = Room::of(&file).map_err(failed)?;
        let (_, reader) = decoder(file).map_err(failed)?;
        let mut reader = BufReader::with_capacity(256 << 10, room.reader(reader));
        let mut head = Vec::new();
        (&mut reader).take(512).read_to_end(&mut head).map_err(failed)?;
        if !looks_like_tar(&head) {
            return Err(ImageError::invalid(path.display().to_string(), "it is not a tar").into());
        }
        let mut writer = self.store.layer_writer(self.request.compression)?;
        writer.fill(&mut head.as_slice().chain(reader))?.map_err(failed)?;
        let layer = writer.finish()?;
        self.store.note_layer(&layer)?;
        Ok(single(layer))
    }

    /// True if a directory is to be read with the owners that it has on disk. An error if they can be read in no way.
    fn is_of_root(&self, path: &Path, held: &impl AsFd) -> Result<bool> {
        let top = format!("/proc/self/fd/{}", held.as_fd().as_raw_fd());
        let map = IdMap::of_current_user(self.context.vars()).map_err(RequestError::Sandbox)?;
        let owners =
            owners(Path::new(&top), &map).map_err(|source| ImageError::Read { path: path.to_owned(), source })?;
        match owners {
            Owners::Mapped => Ok(false),
            Owners::OnDisk => Ok(true),
            Owners::Unmapped { path: below, uid, gid } => {
                let (directory, path) = (path.display().to_string(), below.display().to_string());
                Err(ResolveError::Owner { directory, path, uid, gid })
            }
        }
    }

    /// A directory as a layer, read by whoever runs alloy.
    fn as_on_disk(&self, held: &impl AsFd) -> Result<Option<LayerBlob>> {
        let failed = |message: String| RequestError::Failed { message, hint: None };
        let exclude = as_it_is();
        let options = DiffOptions { mtime_max: u64::MAX, exclude: &exclude, lowers: &[], ids: Exchange::default() };
        let top = format!("/proc/self/fd/{}", held.as_fd().as_raw_fd());
        let top = Root::open(Path::new(&top)).map_err(|error| failed(error.to_string()))?;
        let mut writer = self.store.layer_writer(self.request.compression)?;
        let stats = diff(&top, &mut writer, &options).map_err(|error| failed(error.to_string()))?;
        Ok(if stats.is_empty() { None } else { Some(writer.finish()?) })
    }

    /// A directory, as the one layer of an image. Read anew every time: a directory does not tell that it has changed.
    pub(super) fn directory(&self, path: &Path) -> Result<Image> {
        let held = self.files().hold(path).map_err(|source| ImageError::Read { path: path.to_owned(), source })?;
        let mut target = ImageTarget::start(self.store, self.context.vars())?;
        let on_disk = target.mode() == Mode::Rootless && self.is_of_root(path, &held)?;
        let layer = match on_disk {
            true => self.as_on_disk(&held)?,
            false => target.capture(&held, self.request.compression)?,
        };
        target.finish()?;
        match layer {
            Some(layer) => {
                self.store.note_layer(&layer)?;
                Ok(single(layer))
            }
            None => Err(ImageError::invalid(path.display().to_string(), "the directory is empty").into()),
        }
    }
}

fn single(blob: LayerBlob) -> Image {
    let layer = Layer::new(blob.descriptor, blob.diff_id);
    bare(layer.diff_id.0, vec![layer])
}

/// The empty base. It is the same everywhere.
pub(super) fn empty() -> Base {
    let identity = Digest::of("alloy scratch 1");
    let config = json!({"config": {"Env": [format!("PATH={DEFAULT_PATH}")]}});
    Base { identity, origin: Origin::Store, image: Image { identity, config, layers: Vec::new() } }
}

/// An image that is nothing but a root file system.
pub(super) fn bare(identity: Digest, layers: Vec<Layer>) -> Image {
    let config = json!({"config": {"Env": [format!("PATH={DEFAULT_PATH}")], "Cmd": ["/bin/bash"]}});
    Image { identity, config, layers }
}
