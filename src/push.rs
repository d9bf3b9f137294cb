//! Images into registries: what a registry does not have, what goes with an image, and last of all its name.

mod attach;
mod checked;
mod error;
mod send;
mod verify;

use std::collections::BTreeSet;
use std::time::Instant;

use futures_util::future::try_join_all;
use layers::media_type::Descriptor;
use tokio::try_join;

pub use error::PushError;

use crate::event::{self, Event};
use crate::image::{Local, LocalImage, LocalIndex, Manifest};
use crate::registry::{Client, Reference, RegistryError};
use crate::resolve::Resolver;
use crate::sign::SigningKey;

/// Bytes of a manifest.
const MANIFEST_LIMIT: u64 = 16 << 20;

/// What goes with an image.
#[derive(Debug, Default)]
pub struct Attach {
    /// An SBOM and a provenance statement, where the image was built with them.
    pub documents: bool,
    /// Who signs.
    pub key: Option<SigningKey>,
}

/// A push to one name of a registry.
pub struct Push<'a> {
    resolver: &'a Resolver<'a>,
    client: Client,
    destination: &'a Reference,
    attach: &'a Attach,
}

/// An image of the store, and its manifest as bytes and as what they say.
struct Part<'i> {
    image: &'i LocalImage,
    bytes: Vec<u8>,
    manifest: Manifest,
}

impl Part<'_> {
    /// What of the image goes to a registry: not what its author wants had from elsewhere.
    fn sent(&self) -> Vec<Descriptor> {
        let layers = self.manifest.layers.iter().filter(|layer| !layer.stays_away()).map(|layer| &layer.descriptor);
        layers.chain([&self.manifest.config]).cloned().collect()
    }
}

impl<'a> Push<'a> {
    /// A push to `destination`. Nothing is sent yet.
    pub fn new(resolver: &'a Resolver<'a>, destination: &'a Reference, attach: &'a Attach) -> Result<Self, PushError> {
        Ok(Self { resolver, client: resolver.client(destination)?, destination, attach })
    }

    /// Pushes what the registry does not have of `image`, and what goes with it. The tag is moved last, when all is there.
    pub fn image(&self, image: &Local) -> Result<(), PushError> {
        let start = Instant::now();
        let blobs = self.blobs(image)?;
        let (descriptor, tag) = (image.descriptor(), self.destination.manifest());
        let found = self.resolver.runtime().block_on(self.client.manifest_digest(&tag, &descriptor.media_type))?;
        let there = found == Some(descriptor.digest);
        let lost = if there { self.resolver.runtime().block_on(self.lost(image, &blobs))? } else { 0 };
        if there && lost == 0 {
            self.note(format!("{} is there already", self.destination));
            return self.complete(image);
        }
        if there {
            self.warn(format!(
                "the registry has lost {} of {}; what is missing is sent again",
                event::count(lost, "part"),
                self.destination
            ));
        }
        let sent = match image {
            Local::Image(image) => self.send(image, &self.destination.manifest())?,
            Local::Index(index) => self.send_index(index)?,
        };
        if lost > 0 {
            let still = self.resolver.runtime().block_on(self.client.lost(&blobs))?;
            if let Some(digest) = still.into_iter().next() {
                return Err(RegistryError::Keeps { reference: self.destination.to_string(), digest }.into());
            }
        }
        let (sent, time) = (event::bytes(sent), event::duration(start.elapsed()));
        self.note(format!("pushed {}: {sent} sent in {time}", self.destination));
        Ok(())
    }

    /// What of `image` is to be in the registry, each blob once; and all of it is what the image's config says. Nothing
    /// is sent before all of it is known: a registry is left without half an index.
    fn blobs(&self, image: &Local) -> Result<Vec<Descriptor>, PushError> {
        let mut blobs = Vec::new();
        for image in image.images() {
            let part = self.read(image)?;
            checked::check(self.resolver, &part)?;
            blobs.extend(part.sent());
            blobs.extend(self.known_documents(image)?);
        }
        let mut seen = BTreeSet::new();
        blobs.retain(|blob| seen.insert(blob.digest));
        Ok(blobs)
    }

    fn read<'i>(&self, image: &'i LocalImage) -> Result<Part<'i>, PushError> {
        let bytes = self.resolver.store.read_blob(&image.manifest.digest, MANIFEST_LIMIT)?;
        let manifest = serde_json::from_slice(&bytes)
            .map_err(|source| PushError::Manifest { name: image.name.clone(), source })?;
        Ok(Part { image, bytes, manifest })
    }

    /// How many of the image's parts the registry does not have, though it has the manifest that names them.
    async fn lost(&self, image: &Local, blobs: &[Descriptor]) -> Result<usize, RegistryError> {
        let parts = image.images().iter().filter(|part| part.manifest.digest != image.descriptor().digest);
        let parts = try_join_all(parts.map(|part| has_manifest(&self.client, &part.manifest)));
        let (blobs, parts) = try_join!(self.client.lost(blobs), parts)?;
        Ok(blobs.len() + parts.into_iter().filter(|there| !there).count())
    }

    fn send_index(&self, index: &LocalIndex) -> Result<u64, PushError> {
        let mut sent = 0;
        for image in &index.images {
            sent += self.send(image, &image.manifest.digest.to_string())?;
        }
        self.put_index(&index.index, &index.images)?;
        Ok(sent)
    }

    fn note(&self, text: String) {
        self.resolver.reporter().event(Event::Note(text));
    }

    fn warn(&self, text: String) {
        self.resolver.reporter().event(Event::Warning(text));
    }
}

/// True unless the registry says that it does not have the manifest.
async fn has_manifest(client: &Client, manifest: &Descriptor) -> Result<bool, RegistryError> {
    let found = client.manifest_digest(&manifest.digest.to_string(), &manifest.media_type).await?;
    Ok(found == Some(manifest.digest))
}
