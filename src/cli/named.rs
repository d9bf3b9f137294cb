//! Images of the store by all that alloy prints of them: names, digests, and the beginnings of digests.

use std::collections::{BTreeMap, BTreeSet};

use layers::digest::Digest;
use layers::document;
use layers::media_type::{self, Descriptor};
use layers::store::Store;
use serde::de::DeserializeOwned;

use super::error::{CommandError, Kind};
use super::prune::is_json;
use super::push;
use crate::cache::elsewhere;
use crate::context::{Context, now};
use crate::image::{self, ImageError, Index, Local, LocalImage, LocalIndex, Manifest, NO_PLATFORM, read_config};
use crate::plan::Platform;
use crate::registry::Reference;

/// Digits of a digest that are enough to mean one, behind `sha256:` and without it: what is shorter may be a name.
const FEWEST: [usize; 2] = [4, 7];
/// Bytes of a manifest.
const MANIFEST: u64 = 4 << 20;

/// The image that `text` stands for: `NAME[:TAG]`, `NAME@DIGEST`, a digest, or the beginning of one. Of an index, a
/// digest may be that of one of its images.
pub(super) fn find(context: &Context, text: &str) -> Result<Local, CommandError> {
    let digits = digits(text);
    let reference = match text.parse::<Reference>() {
        Ok(reference) => reference,
        Err(error) => match digits {
            Some(digits) => return by_digits(context, text, digits),
            None => return Err(CommandError::from_error(Kind::Usage, &error)),
        },
    };
    if let Some(digest) = reference.digest {
        // It was pulled so; the digest may be that of an index, of which one image is here.
        if let Some(local) = image::local(&context.store, &reference.to_string())? {
            return Ok(nameless(local));
        }
        let local = image::local(&context.store, &named(&reference))?;
        let found = local.as_ref().and_then(|local| local.with_digest(|found| found == digest).pop());
        return found.map_or_else(|| by_digits(context, text, &digest.hex()), Ok);
    }
    // A name counts first: one may consist of such digits.
    if let Some(local) = image::local(&context.store, &reference.to_string())? {
        return Ok(local);
    }
    match digits {
        Some(digits) => by_digits(context, text, digits),
        None => {
            push::find(context, &reference).map_err(|error| short(text).into_iter().fold(error, CommandError::hint))
        }
    }
}

/// That more digits make `text` the beginning of a digest, where it may have been meant to be one.
fn short(text: &str) -> Option<String> {
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    let hex = !digits.is_empty() && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let [behind, alone] = FEWEST;
    (hex && digits.len() < alone)
        .then(|| format!("the beginning of a digest has at least {alone} digits, or {behind} behind `sha256:`"))
}

/// The names that `text` takes away: one, or all of what a digest stands for.
pub(super) fn names(context: &Context, text: &str) -> Result<Vec<String>, CommandError> {
    let reference = text.parse::<Reference>();
    if let Ok(reference) = &reference
        && image::local(&context.store, &reference.to_string())?.is_some()
    {
        return Ok(vec![reference.to_string()]);
    }
    let by_name = reference.as_ref().is_ok_and(|reference| reference.digest.is_none());
    let found = find(context, text)?;
    if let (true, Ok(reference)) = (by_name, &reference)
        && found.name() == reference.to_string()
    {
        return Ok(vec![reference.to_string()]);
    }
    let digest = found.descriptor().digest;
    let all = image::locals(&context.store)?.into_iter().filter(|local| local.descriptor().digest == digest);
    let all: Vec<String> = all.map(|local| local.name().to_owned()).collect();
    if all.is_empty() {
        let message = format!("{digest} has no name of its own that could be taken away");
        return Err(CommandError::usage(message).hint("`alloy images` lists names"));
    }
    // With a name, that one is meant.
    let one = reference.ok().filter(|reference| reference.digest.is_some()).map(|reference| named(&reference));
    match one {
        Some(one) if all.contains(&one) => Ok(vec![one]),
        // Others may be somebody else's.
        Some(one) => {
            let message = format!("the image of that digest is not called `{one}`");
            Err(CommandError::new(Kind::Failed, message).hint(format!("its names are {}", all.join(", "))))
        }
        None => Ok(all),
    }
}

/// An image that was pulled by its digest has a name that never becomes another image's.
fn nameless(local: Local) -> Local {
    let digest = local.descriptor().digest.to_string();
    match local {
        Local::Image(mut image) if image.name.contains('@') => {
            image.name = digest;
            Local::Image(image)
        }
        Local::Index(mut index) if index.name.contains('@') => {
            index.images.iter_mut().for_each(|image| image.name.clone_from(&digest));
            index.name = digest;
            Local::Index(index)
        }
        local => local,
    }
}

/// The name before a digest, with its tag.
fn named(reference: &Reference) -> String {
    let mut name = reference.clone();
    name.digest = None;
    name.tag.get_or_insert_with(|| "latest".to_owned());
    name.to_string()
}

/// The digits of `text`, if it may be a digest or the beginning of one.
fn digits(text: &str) -> Option<&str> {
    let (digits, fewest) = match text.strip_prefix("sha256:") {
        Some(digits) => (digits, FEWEST[0]),
        None => (text, FEWEST[1]),
    };
    let hex = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (hex && (fewest..=64).contains(&digits.len())).then_some(digits)
}

fn by_digits(context: &Context, text: &str, digits: &str) -> Result<Local, CommandError> {
    let mut found: BTreeMap<Digest, Local> = BTreeMap::new();
    for local in image::locals(&context.store)? {
        for one in local.with_digest(|digest| digest.hex().starts_with(digits)) {
            found.entry(one.descriptor().digest).or_insert_with(|| nameless(one));
        }
    }
    if found.is_empty() {
        found = unnamed(&context.store, digits)?;
    }
    if found.len() > 1 {
        let all: Vec<String> = found.keys().map(ToString::to_string).collect();
        let message = format!("`{text}` is the beginning of several digests: {}", all.join(", "));
        return Err(CommandError::usage(message).hint("give more of it"));
    }
    found.into_values().next().ok_or_else(|| {
        let message = format!("the store has no image of the digest `{text}`");
        let error = CommandError::new(Kind::Failed, message).hint("`alloy images` lists those that are there");
        match text.parse::<Reference>() {
            Ok(reference) if reference.names_registry() => error.hint(format!("or pull it: alloy pull {text}")),
            _ => error,
        }
    })
}

/// Images that have no name: those that were built without one, until the next `prune`.
fn unnamed(store: &Store, digits: &str) -> Result<BTreeMap<Digest, Local>, CommandError> {
    let mut found = BTreeMap::new();
    let Ok(blobs) = std::fs::read_dir(store.root().join("blobs/sha256")) else { return Ok(found) };
    for blob in blobs.flatten() {
        let name = blob.file_name();
        let Some(digest) = name.to_str().filter(|name| name.starts_with(digits)) else { continue };
        let Ok(digest) = Digest::from_hex(digest) else { continue };
        if blob.metadata().is_ok_and(|found| found.len() <= MANIFEST)
            && let Some(local) = of_manifest(store, digest)?
        {
            found.insert(digest, local);
        }
    }
    Ok(found)
}

/// All images that have no name, none of `named` and no part of them, by their digests. What has lost a part of itself is
/// none.
pub(super) fn nameless_of(store: &Store, named: &[&Local]) -> Result<Vec<Local>, CommandError> {
    let mut known: BTreeSet<Digest> = BTreeSet::new();
    for local in named {
        known.insert(local.descriptor().digest);
        known.extend(local.images().iter().map(|image| image.manifest.digest));
    }
    let mut found = Vec::new();
    for digest in store.blobs()?.into_iter().filter(|digest| !known.contains(digest)) {
        let path = store.blob_path(&digest);
        let small = path.metadata().is_ok_and(|found| found.len() <= MANIFEST);
        // To look at all is not to use them.
        let Some(bytes) = layers::regular::read(&path, MANIFEST).ok().filter(|_| small && is_json(&path)) else {
            continue;
        };
        let Ok(Some(local)) = of_bytes(store, digest, &bytes) else { continue };
        let here = |image: &LocalImage| {
            let manifest: Option<Manifest> = read(store, &image.name, &image.manifest.digest).ok();
            manifest
                .is_some_and(|it| it.layers.iter().all(|layer| elsewhere::reachable(store, &layer.descriptor.digest)))
        };
        if local.images().iter().all(here) {
            found.push(local);
        }
    }
    let parts: BTreeSet<Digest> = found
        .iter()
        .filter(|local| matches!(local, Local::Index(_)))
        .flat_map(|local| local.images().iter().map(|image| image.manifest.digest))
        .collect();
    found.retain(|local| !parts.contains(&local.descriptor().digest));
    found.sort_by_key(|local| local.descriptor().digest);
    Ok(found)
}

/// What the manifest or index of that digest stands for; `None` for what is neither.
fn of_manifest(store: &Store, digest: Digest) -> Result<Option<Local>, CommandError> {
    of_bytes(store, digest, &store.read_blob(&digest, MANIFEST)?)
}

fn of_bytes(store: &Store, digest: Digest, bytes: &[u8]) -> Result<Option<Local>, CommandError> {
    let name = digest.to_string();
    let image = |descriptor: Descriptor, manifest: &Manifest| -> Result<LocalImage, CommandError> {
        let platform = platform(store, &name, manifest)?;
        let (name, tagged_at) = (name.clone(), now());
        Ok(LocalImage { name, manifest: descriptor, platform, tagged_at, named_at: None, from: None, documents: None })
    };
    let said: serde_json::Value = serde_json::from_slice(bytes).unwrap_or_default();
    // What is neither an image nor an index is nothing that is meant here.
    let media_type = document::own_type(bytes, "the store", "").unwrap_or_default();
    let descriptor = Descriptor { media_type, digest, size: bytes.len() as u64 };
    if media_type::is_index(&descriptor.media_type) {
        let Ok(index) = serde_json::from_slice::<Index>(bytes) else { return Ok(None) };
        let images = index.manifests.into_iter().map(|entry| {
            let descriptor = entry.descriptor;
            let bytes = store.read_blob(&descriptor.digest, MANIFEST)?;
            let invalid =
                |why: String| ImageError::invalid(&name, format!("its manifest {}: {why}", descriptor.digest));
            if document::is_index(&bytes, &descriptor.media_type).map_err(invalid)? {
                return Err(ImageError::nested(&name, &descriptor.digest).into());
            }
            let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|error| invalid(error.to_string()))?;
            image(descriptor, &manifest)
        });
        let images = images.collect::<Result<_, _>>()?;
        let (index, tagged_at) = (descriptor, now());
        return Ok(Some(Local::Index(LocalIndex { name: name.clone(), index, tagged_at, named_at: None, images })));
    }
    // Documents that are attached to images are manifests, too, and none of an image.
    let is_image = said.get("artifactType").is_none() && media_type::is_manifest(&descriptor.media_type);
    let Some(manifest) = serde_json::from_slice::<Manifest>(bytes).ok().filter(|_| is_image) else { return Ok(None) };
    Ok(Some(Local::Image(image(descriptor, &manifest)?)))
}

/// A manifest or index of the store.
pub(super) fn read<T: DeserializeOwned>(store: &Store, what: &str, digest: &Digest) -> Result<T, ImageError> {
    let bytes = store.read_blob(digest, 16 << 20)?;
    serde_json::from_slice(&bytes)
        .map_err(|error| ImageError::invalid(what, format!("its manifest cannot be read: {error}")))
}

/// What the image's config says it runs on.
pub(super) fn platform(store: &Store, what: &str, manifest: &Manifest) -> Result<Platform, ImageError> {
    let config = read_config(what, &store.read_blob(&manifest.config.digest, 16 << 20)?)?;
    let field = |name: &str| config[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    // As Go names them: what else stands there would be shown, and handed on.
    let is_name = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    match (field("os"), field("architecture")) {
        (Some(os), Some(architecture))
            if [Some(&os), Some(&architecture), field("variant").as_ref()]
                .into_iter()
                .flatten()
                .all(|text| is_name(text)) =>
        {
            Ok(Platform { os, architecture, variant: field("variant") })
        }
        _ => Err(ImageError::invalid(what, NO_PLATFORM)),
    }
}
