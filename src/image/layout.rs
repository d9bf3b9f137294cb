//! OCI image layouts (image-spec 1.1, "Image Layout"), as directories and in tars.

use std::io;
use std::path::{Path, PathBuf};

use layers::compress::decoder;
use layers::digest::Digest;
use layers::media_type::Descriptor;
use layers::stop::Stop;
use layers::store::{Store, StoreError};
use layers::tar::{Kind, for_each};

use super::chosen::{Chosen, chosen};
use super::{Files, Image, ImageError, JSON_LIMIT, Room, Wanted, copy_blob, place, read_at_most};
use crate::plan::Platform;

/// The annotation that holds a tag.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
const INDEX: &str = "index.json";

/// Where the layout is that stands behind `oci:`, and which of its images is meant.
pub fn layout_place(files: Files<'_>, text: &Path) -> (PathBuf, Wanted) {
    place(text, |path| files.hold(&path.join(INDEX)).is_ok())
}

/// The same of an archive.
pub fn archive_place(files: Files<'_>, text: &Path) -> (PathBuf, Wanted) {
    place(text, |path| files.open(path).is_ok())
}

fn read_error(path: &Path) -> impl FnOnce(io::Error) -> ImageError {
    move |source| ImageError::Read { path: path.to_owned(), source }
}

/// Reads the image of the layout at `path` that is `wanted`; what it consists of is copied into the store, but for layers
/// that are not there and to be had from URLs.
pub fn read_layout(
    store: &Store,
    files: Files<'_>,
    path: &Path,
    wanted: &Wanted,
    platform: &Platform,
) -> Result<Image, ImageError> {
    let index = path.join(INDEX);
    let bytes = files.read(&index, JSON_LIMIT).map_err(read_error(&index))?;
    let blob = |descriptor: &Descriptor| path.join("blobs/sha256").join(descriptor.digest.hex());
    let copy = |descriptor: &Descriptor| {
        if store.holds(descriptor) {
            return Ok(());
        }
        copy_blob(store, files, &blob(descriptor), descriptor, &Stop::default())
    };
    let has = |descriptor: &Descriptor| store.holds(descriptor) || files.hold(&blob(descriptor)).is_ok();
    image(store, &path.display().to_string(), &bytes, (wanted, platform), copy, has)
}

/// What `read_layout` would read, without its layers. Nothing is copied.
pub fn look_at_layout(
    files: Files<'_>,
    path: &Path,
    wanted: &Wanted,
    platform: &Platform,
) -> Result<Image, ImageError> {
    let what = path.display().to_string();
    let index = path.join(INDEX);
    let bytes = files.read(&index, JSON_LIMIT).map_err(read_error(&index))?;
    let json = |descriptor: &Descriptor| {
        let place = path.join("blobs/sha256").join(descriptor.digest.hex());
        let bytes = files.read(&place, JSON_LIMIT).map_err(read_error(&place))?;
        if Digest::of(&bytes) != descriptor.digest {
            return Err(ImageError::invalid(&what, format!("it has another file in place of {}", descriptor.digest)));
        }
        Ok(bytes)
    };
    let Chosen { digest, manifest, config } = chosen(&what, &bytes, wanted, platform, json)?;
    Image::new(&what, digest, &manifest, &config)
}

/// Reads the image of the tar at `path` that is `wanted`. All blobs of the tar are copied into the store.
pub fn read_layout_archive(
    store: &Store,
    files: Files<'_>,
    path: &Path,
    wanted: &Wanted,
    platform: &Platform,
) -> Result<Image, ImageError> {
    let what = path.display().to_string();
    let file = files.open(path).map_err(read_error(path))?;
    let mut room = Room::of(&file).map_err(read_error(path))?;
    let (_, reader) = decoder(file).map_err(read_error(path))?;
    let mut index = Vec::new();
    for_each::<_, ImageError>(reader, |entry, content| {
        let name = entry.path.to_string_lossy().into_owned();
        if entry.kind != Kind::File {
            return Ok(());
        }
        if name == INDEX {
            index = read_at_most(content, JSON_LIMIT).map_err(read_error(&path.join(&name)))?;
        } else if let Some(digest) = name.strip_prefix("blobs/sha256/").and_then(|hex| Digest::from_hex(hex).ok())
            && !store.contains(&digest)
        {
            let mut writer = store.blob_writer()?;
            writer.fill(&mut room.reader(content))?.map_err(read_error(path))?;
            writer.commit(Some((digest, entry.size)))?;
        }
        Ok(())
    })?;
    if index.is_empty() {
        return Err(ImageError::invalid(what, "it has no index.json: is it an OCI archive?"));
    }
    let there = |descriptor: &Descriptor| {
        let message = || format!("it has no blob {}", descriptor.digest);
        if store.contains(&descriptor.digest) { Ok(()) } else { Err(ImageError::invalid(what.clone(), message())) }
    };
    image(store, &what, &index, (wanted, platform), there, |descriptor| store.contains(&descriptor.digest))
}

/// The image that is `wanted` for a platform, of which `fetch` brings each part into the store; it `has` not all layers
/// that are to be had from URLs.
fn image(
    store: &Store,
    what: &str,
    index: &[u8],
    (wanted, platform): (&Wanted, &Platform),
    fetch: impl Fn(&Descriptor) -> Result<(), ImageError>,
    has: impl Fn(&Descriptor) -> bool,
) -> Result<Image, ImageError> {
    // One that is missing or damaged is told as that of the image; what is wrong with the store is not.
    let damaged = |error: &ImageError| match error {
        ImageError::Read { .. } | ImageError::Store(StoreError::Mismatch { .. }) => Some(error.to_string()),
        _ => None,
    };
    let json = |descriptor: &Descriptor| {
        fetch(descriptor).map_err(|error| match damaged(&error) {
            Some(reason) => ImageError::invalid(what, format!("its document {}: {reason}", descriptor.digest)),
            None => error,
        })?;
        Ok(store.read_blob(&descriptor.digest, JSON_LIMIT)?)
    };
    let Chosen { digest, manifest, config } = chosen(what, index, wanted, platform, json)?;
    let count = manifest.layers.len();
    for (at, layer) in manifest.layers.iter().enumerate() {
        if layer.stays_away() && !has(&layer.descriptor) {
            continue;
        }
        fetch(&layer.descriptor).map_err(|error| match damaged(&error) {
            Some(reason) => {
                let (what, digest) = (what.to_owned(), layer.descriptor.digest);
                ImageError::Layer { what, number: at + 1, count, digest, reason }
            }
            None => error,
        })?;
    }
    Image::new(what, digest, &manifest, &config)
}
