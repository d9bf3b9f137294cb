//! OCI image layouts (image-spec 1.1, "Image Layout"), as directories and in tars.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use layers::compress::decoder;
use layers::digest::Digest;
use layers::media_type::{self, Descriptor};
use layers::stop::Stop;
use layers::store::Store;
use layers::tar::{Kind, for_each};

use super::{Files, Image, ImageError, Index, IndexEntry, JSON_LIMIT, Manifest, Room, copy_blob, read_at_most, select};
use crate::plan::Platform;

/// The annotation that holds a tag.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";

fn read_error(path: &Path) -> impl FnOnce(io::Error) -> ImageError {
    move |source| ImageError::Read { path: path.to_owned(), source }
}

/// Reads the image `tag` of the layout at `path`; what it consists of is copied into the store.
pub fn read_layout(
    store: &Store,
    files: Files<'_>,
    path: &Path,
    tag: Option<&str>,
    platform: &Platform,
) -> Result<Image, ImageError> {
    let index = path.join("index.json");
    let bytes = files.read(&index, JSON_LIMIT).map_err(read_error(&index))?;
    let copy = |descriptor: &Descriptor| {
        if store.holds(descriptor) {
            return Ok(());
        }
        let path = path.join("blobs/sha256").join(descriptor.digest.hex());
        copy_blob(store, files, &path, descriptor, &Stop::default())
    };
    image(store, &path.display().to_string(), &bytes, tag, platform, copy)
}

/// What `read_layout` would read, without its layers. Nothing is copied.
pub fn look_at_layout(
    files: Files<'_>,
    path: &Path,
    tag: Option<&str>,
    platform: &Platform,
) -> Result<Image, ImageError> {
    let what = path.display().to_string();
    let index = path.join("index.json");
    let bytes = files.read(&index, JSON_LIMIT).map_err(read_error(&index))?;
    let json = |descriptor: &Descriptor| {
        let place = path.join("blobs/sha256").join(descriptor.digest.hex());
        let bytes = files.read(&place, JSON_LIMIT).map_err(read_error(&place))?;
        if Digest::of(&bytes) != descriptor.digest {
            return Err(ImageError::invalid(&what, format!("it has another file in place of {}", descriptor.digest)));
        }
        Ok(bytes)
    };
    let (digest, manifest, config) = chosen(&what, &bytes, tag, platform, json)?;
    Image::new(&what, digest, &manifest, &config)
}

/// Reads the one image of the tar at `path`. All its blobs are copied into the store.
pub fn read_layout_archive(
    store: &Store,
    files: Files<'_>,
    path: &Path,
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
        if name == "index.json" {
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
    image(store, &what, &index, None, platform, there)
}

/// The image `tag` for `platform`, of which `fetch` brings each part into the store.
fn image(
    store: &Store,
    what: &str,
    index: &[u8],
    tag: Option<&str>,
    platform: &Platform,
    fetch: impl Fn(&Descriptor) -> Result<(), ImageError>,
) -> Result<Image, ImageError> {
    let json = |descriptor: &Descriptor| {
        fetch(descriptor)?;
        Ok(store.read_blob(&descriptor.digest, JSON_LIMIT)?)
    };
    let (digest, manifest, config) = chosen(what, index, tag, platform, json)?;
    manifest.layers.iter().try_for_each(fetch)?;
    Image::new(what, digest, &manifest, &config)
}

/// The manifest of the image `tag` for `platform`, its digest, and its config; `json` reads the documents.
fn chosen(
    what: &str,
    index: &[u8],
    tag: Option<&str>,
    platform: &Platform,
    json: impl Fn(&Descriptor) -> Result<Vec<u8>, ImageError>,
) -> Result<(Digest, Manifest, Vec<u8>), ImageError> {
    let parse = |bytes: &[u8]| {
        serde_json::from_slice::<Index>(bytes)
            .map_err(|error| ImageError::invalid(what, format!("its index cannot be read: {error}")))
    };
    let entries = parse(index)?.manifests;
    let mut descriptor = tagged(what, &entries, tag, platform)?.descriptor.clone();
    // An index within the index, for several platforms.
    if media_type::is_index(&descriptor.media_type) {
        descriptor = select(what, &parse(&json(&descriptor)?)?, platform)?.descriptor.clone();
    }
    let manifest: Manifest = serde_json::from_slice(&json(&descriptor)?)
        .map_err(|error| ImageError::invalid(what, format!("its manifest cannot be read: {error}")))?;
    let config = json(&manifest.config)?;
    Ok((descriptor.digest, manifest, config))
}

fn tagged<'e>(
    what: &str,
    entries: &'e [IndexEntry],
    tag: Option<&str>,
    platform: &Platform,
) -> Result<&'e IndexEntry, ImageError> {
    let name = |entry: &IndexEntry| entry.annotations.get(REF_NAME).cloned();
    let matching: Vec<&IndexEntry> = match tag {
        Some(tag) => entries.iter().filter(|entry| name(entry).as_deref() == Some(tag)).collect(),
        None => entries.iter().collect(),
    };
    match matching.as_slice() {
        [entry] => Ok(entry),
        [] => {
            let names: Vec<String> = entries.iter().filter_map(name).collect();
            let message = format!("it has no image `{}`; it has {}", tag.unwrap_or_default(), names.join(", "));
            Err(ImageError::invalid(what, message))
        }
        // One image under several names.
        [first, rest @ ..] if rest.iter().all(|entry| entry.descriptor == first.descriptor) => Ok(first),
        several => {
            let names: BTreeMap<Option<String>, ()> = several.iter().map(|entry| (name(entry), ())).collect();
            if names.len() == 1 {
                // One image, its platforms listed side by side.
                let manifests = several.iter().map(|entry| (*entry).clone()).collect();
                let index = Index { schema_version: 2, media_type: None, manifests };
                let digest = select(what, &index, platform)?.descriptor.digest;
                let entry = several.iter().find(|entry| entry.descriptor.digest == digest);
                return entry.copied().ok_or_else(|| ImageError::invalid(what, "it is empty"));
            }
            let names: Vec<String> = names.into_keys().flatten().collect();
            Err(ImageError::invalid(what, format!("it has several images: name one of {}", names.join(", "))))
        }
    }
}
