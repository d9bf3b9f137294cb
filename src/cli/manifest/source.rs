//! Images to be joined: of the store, or of a registry.

use std::collections::BTreeMap;

use layers::digest::Digest;
use layers::media_type;
use layers::store::Store;
use serde::de::DeserializeOwned;

use crate::cache::{Place, elsewhere};
use crate::cli::context::{Context, now};
use crate::cli::error::{CommandError, Kind};
use crate::cli::push;
use crate::image::{self, ImageError, Index, IndexEntry, LocalImage, Manifest, read_config};
use crate::plan::Platform;
use crate::registry::Reference;
use crate::resolve::Resolver;

/// Images and attestations of one index: each is fetched.
const MOST: usize = 500;

/// An image for one platform.
pub(super) struct Joined {
    /// As the user named it.
    pub(super) named: String,
    /// Where it was found.
    pub(super) place: &'static str,
    /// What was found.
    pub(super) image: LocalImage,
    annotations: BTreeMap<String, String>,
}

impl Joined {
    /// What `BuildKit` lists beside images: about them, and for no platform.
    pub(super) fn is_attestation(&self) -> bool {
        self.image.platform.os == "unknown"
    }

    /// As an index lists it.
    pub(super) fn into_entry(self) -> IndexEntry {
        IndexEntry { annotations: self.annotations, ..IndexEntry::of(&self.image) }
    }
}

/// The images that `text` stands for: of an index all that it lists.
pub(super) fn find(context: &Context, resolver: &Resolver<'_>, text: &str) -> Result<Vec<Joined>, CommandError> {
    let reference: Reference = text.parse().map_err(|error| CommandError::from_error(Kind::Usage, &error))?;
    let local = match reference.digest {
        Some(_) => None,
        None => image::local(&context.store, &reference.to_string())?,
    };
    if local.is_none() && reference.names_registry() {
        return remote(context, resolver, text, &reference);
    }
    // Says what is wrong with a name that is nowhere.
    let local = local.map_or_else(|| push::find(context, &reference), Ok)?;
    let images = local.images().iter().map(|image| {
        let manifest: Manifest = read(&context.store, text, &image.manifest.digest)?;
        let platform = platform(&context.store, text, &manifest)?;
        let image = LocalImage { platform, ..image.clone() };
        Ok(Joined { named: text.to_owned(), place: "the store", image, annotations: BTreeMap::new() })
    });
    images.collect()
}

fn remote(
    context: &Context,
    resolver: &Resolver<'_>,
    text: &str,
    reference: &Reference,
) -> Result<Vec<Joined>, CommandError> {
    let client = resolver.client(reference)?;
    let get = |name: &str| context.runtime.block_on(client.manifest(name));
    let (descriptor, _) = get(&reference.manifest())?;
    let mut entries = vec![IndexEntry { descriptor, platform: None, annotations: BTreeMap::new() }];
    if media_type::is_index(&entries[0].descriptor.media_type) {
        entries = read::<Index>(&context.store, text, &entries[0].descriptor.digest)?.manifests;
        if entries.len() > MOST {
            let message = format!("it lists {} images; alloy joins up to {MOST} of an index", entries.len());
            return Err(ImageError::invalid(text, message).into());
        }
        for entry in &entries {
            get(&entry.descriptor.digest.to_string())?;
        }
    }
    let images = entries.into_iter().map(|IndexEntry { descriptor, annotations, .. }| {
        let manifest: Manifest = read(&context.store, text, &descriptor.digest)?;
        context.runtime.block_on(client.document(&manifest.config))?;
        let platform = platform(&context.store, text, &manifest)?;
        for layer in manifest.layers.iter().filter(|layer| !context.store.holds(layer)) {
            elsewhere::note(&context.store, &layer.digest, &Place::beside(reference))?;
        }
        let (name, tagged_at) = (reference.to_string(), now());
        let image = LocalImage { name, manifest: descriptor, platform, tagged_at, from: None, documents: None };
        Ok(Joined { named: text.to_owned(), place: "the registry", image, annotations })
    });
    images.collect()
}

fn read<T: DeserializeOwned>(store: &Store, what: &str, digest: &Digest) -> Result<T, CommandError> {
    let bytes = store.read_blob(digest, 16 << 20)?;
    let invalid = |error: serde_json::Error| ImageError::invalid(what, format!("its manifest cannot be read: {error}"));
    Ok(serde_json::from_slice(&bytes).map_err(invalid)?)
}

/// What the image's config says it runs on.
fn platform(store: &Store, what: &str, manifest: &Manifest) -> Result<Platform, CommandError> {
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
        _ => Err(ImageError::invalid(what, "its config does not say what it runs on").into()),
    }
}
