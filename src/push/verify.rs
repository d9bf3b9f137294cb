//! What a registry has of an image is read back, each byte.

use std::collections::BTreeSet;
use std::time::Instant;

use layers::digest::Digest;
use layers::media_type::Descriptor;

use super::{MANIFEST_LIMIT, Part, Push, PushError};
use crate::event;
use crate::image::Local;
use crate::registry::RegistryError;

impl Push<'_> {
    /// Reads the image back from the destination; what is not as it should be is sent again, and read once more.
    pub fn verify(&self, image: &Local) -> Result<(), PushError> {
        let start = Instant::now();
        let parts: Vec<Part<'_>> = image.images().iter().map(|image| self.read(image)).collect::<Result<_, _>>()?;
        let mut blobs: Vec<Descriptor> = parts.iter().flat_map(Part::sent).collect();
        let mut seen = BTreeSet::new();
        blobs.retain(|blob| seen.insert(blob.digest));
        let damaged = self.resolver.runtime().block_on(self.client.damaged(&blobs))?;
        if !damaged.is_empty() {
            let count = event::count(damaged.len(), "blob");
            let name = self.destination;
            self.warn(format!("the registry does not have {count} of {name} as it should: sent again"));
            self.mend(&parts, &damaged.into_iter().collect())?;
        }
        for part in &parts {
            self.mend_manifest(&part.image.manifest, &part.bytes)?;
        }
        let descriptor = image.descriptor();
        let bytes = self.resolver.store.read_blob(&descriptor.digest, MANIFEST_LIMIT)?;
        self.mend_manifest(descriptor, &bytes)?;
        let found = self.tagged(&self.destination.manifest())?;
        if let Some(found) = found.filter(|found| *found != descriptor.digest) {
            let (reference, expected) = (self.destination.to_string(), descriptor.digest.to_string());
            return Err(RegistryError::Digest { reference, expected, found: found.to_string() }.into());
        }
        let (count, time) = (event::count(seen.len(), "blob"), event::duration(start.elapsed()));
        self.note(format!("{} was read back: {count}, all as they should be, in {time}", self.destination));
        Ok(())
    }

    /// Sends again the blobs of `parts` that are `damaged`, and reads them once more.
    fn mend(&self, parts: &[Part<'_>], damaged: &BTreeSet<Digest>) -> Result<(), PushError> {
        let mut blobs = Vec::new();
        for part in parts {
            let own: Vec<Descriptor> = part.sent().into_iter().filter(|blob| damaged.contains(&blob.digest)).collect();
            if !own.is_empty() {
                self.again(part, &own.iter().map(|blob| blob.digest).collect::<Vec<_>>())?;
            }
            blobs.extend(own);
        }
        let mut seen = BTreeSet::new();
        blobs.retain(|blob| seen.insert(blob.digest));
        let still = self.resolver.runtime().block_on(self.client.damaged(&blobs))?;
        match still.into_iter().next() {
            Some(digest) => Err(RegistryError::Keeps { reference: self.destination.to_string(), digest }.into()),
            None => Ok(()),
        }
    }

    /// Puts a manifest once more if the registry does not have it as it should.
    fn mend_manifest(&self, descriptor: &Descriptor, bytes: &[u8]) -> Result<(), PushError> {
        let name = descriptor.digest.to_string();
        if self.tagged(&name)? == Some(descriptor.digest) {
            return Ok(());
        }
        self.resolver.runtime().block_on(self.client.push_manifest(&name, &descriptor.media_type, bytes))?;
        if self.tagged(&name)? == Some(descriptor.digest) {
            return Ok(());
        }
        let reference = self.client.reference().to_string();
        Err(RegistryError::Keeps { reference, digest: descriptor.digest }.into())
    }

    /// The digest of what the registry sends for a tag or digest.
    fn tagged(&self, name: &str) -> Result<Option<Digest>, PushError> {
        let found = self.resolver.runtime().block_on(self.client.any_manifest(name))?;
        Ok(found.map(Digest::of))
    }
}
