//! `alloy push --verify`: what the registry has is read back, each byte.

use std::collections::BTreeSet;

use layers::digest::Digest;
use layers::media_type::Descriptor;

use super::super::error::CommandError;
use super::super::ui;
use super::{again, read, sent_of};
use crate::event::Event;
use crate::image::Local;
use crate::registry::{Client, Reference, RegistryError};
use crate::resolve::{ResolveError, Resolver};

/// Reads the image back from `destination`; what is not as it should be is sent again, and read once more.
pub(super) fn verify(resolver: &Resolver<'_>, image: &Local, destination: &Reference) -> Result<(), CommandError> {
    let start = std::time::Instant::now();
    let client = resolver.client(destination)?;
    let mut images = Vec::new();
    for image in image.images() {
        images.push((image, read(resolver, image)?));
    }
    let mut blobs: Vec<Descriptor> = Vec::new();
    for (_, (_, manifest)) in &images {
        blobs.extend(sent_of(manifest));
    }
    let mut seen = BTreeSet::new();
    blobs.retain(|blob| seen.insert(blob.digest));
    let damaged = resolver.runtime().block_on(client.damaged(&blobs)).map_err(ResolveError::from)?;
    if !damaged.is_empty() {
        let count = ui::count(damaged.len(), "blob");
        let what = format!("the registry does not have {count} of {destination} as it should: sent again");
        resolver.reporter().event(Event::Warning(what));
        let of_image = |digests: Vec<Digest>| digests.into_iter().filter(|digest| damaged.contains(digest)).collect();
        for (image, (_, manifest)) in &images {
            let own = sent_of(manifest).iter().map(|blob| blob.digest).collect();
            let own: Vec<Digest> = of_image(own);
            if !own.is_empty() {
                again(resolver, &client, image, manifest, &own)?;
            }
        }
        blobs.retain(|blob| damaged.contains(&blob.digest));
        let still = resolver.runtime().block_on(client.damaged(&blobs)).map_err(ResolveError::from)?;
        if let Some(digest) = still.into_iter().next() {
            return Err(RegistryError::Keeps { reference: destination.to_string(), digest }.into());
        }
    }
    for (part, (bytes, _)) in &images {
        manifest(resolver, &client, &part.manifest, bytes)?;
    }
    let descriptor = image.descriptor();
    let bytes = resolver.store.read_blob(&descriptor.digest, 16 << 20)?;
    manifest(resolver, &client, descriptor, &bytes)?;
    if let Some(found) = tagged(resolver, &client, &destination.manifest())?.filter(|found| *found != descriptor.digest)
    {
        let (reference, expected) = (destination.to_string(), descriptor.digest.to_string());
        return Err(RegistryError::Digest { reference, expected, found: found.to_string() }.into());
    }
    let (count, time) = (ui::count(seen.len(), "blob"), ui::duration(start.elapsed()));
    resolver
        .reporter()
        .event(Event::Note(format!("{destination} was read back: {count}, all as they should be, in {time}")));
    Ok(())
}

/// Puts a manifest once more if the registry does not have it as it should.
fn manifest(
    resolver: &Resolver<'_>,
    client: &Client,
    descriptor: &Descriptor,
    bytes: &[u8],
) -> Result<(), CommandError> {
    let name = descriptor.digest.to_string();
    if tagged(resolver, client, &name)? == Some(descriptor.digest) {
        return Ok(());
    }
    let put = client.push_manifest(&name, &descriptor.media_type, bytes);
    resolver.runtime().block_on(put).map_err(ResolveError::from)?;
    if tagged(resolver, client, &name)? == Some(descriptor.digest) {
        return Ok(());
    }
    let reference = client.reference().to_string();
    Err(RegistryError::Keeps { reference, digest: descriptor.digest }.into())
}

/// The digest of what the registry sends for a tag or digest.
fn tagged(resolver: &Resolver<'_>, client: &Client, name: &str) -> Result<Option<Digest>, CommandError> {
    let found = resolver.runtime().block_on(client.any_manifest(name)).map_err(ResolveError::from)?;
    Ok(found.map(Digest::of))
}
