//! Images to be joined: of the store, or of a registry.

use std::collections::BTreeMap;

use layers::media_type;

use crate::cli::error::{CommandError, Kind};
use crate::cli::pull::{MOST, fetched};
use crate::context::Context;
use crate::image::{self, ImageError, Index, IndexEntry, LocalImage, Manifest};
use crate::registry::Reference;
use crate::resolve::Resolver;

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
    let local = match image::named(&context.store, text) {
        Ok(local) => local,
        Err(_) if reference.names_registry() => return remote(context, resolver, text, &reference),
        Err(error) => return Err(error.into()),
    };
    let images = local.images().iter().map(|image| {
        let manifest: Manifest = image::read_document(&context.store, text, &image.manifest.digest)?;
        let platform = image::platform_of(&context.store, text, &manifest)?;
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
        entries = image::read_document::<Index>(&context.store, text, &entries[0].descriptor.digest)?.manifests;
        if entries.len() > MOST {
            let message = format!("it lists {} images; alloy joins up to {MOST} of an index", entries.len());
            return Err(ImageError::invalid(text, message).sent(text));
        }
    }
    let images = entries.into_iter().map(|entry| {
        let image = fetched(context, &client, text, reference, entry.descriptor.clone())?;
        entry.agrees(text, &image.platform).map_err(|error| error.sent::<CommandError>(text))?;
        let annotations = entry.annotations;
        Ok(Joined { named: text.to_owned(), place: "the registry", image, annotations })
    });
    images.collect()
}
