//! Documents that are attached to images in registries.

use layers::digest::Digest;
use layers::media_type::{self, Descriptor};
use serde::Deserialize;

use super::{DocumentError, LIMIT, Which, read};
use crate::event::Event;
use crate::image::{self, ImageError, Index};
use crate::registry::{Client, Reference, Referrer, RegistryError};
use crate::resolve::Resolver;

/// Manifests of a registry's list that are looked at, of those that it lists as what is wanted, and of the others.
const LOOKED_AT: usize = 32;

/// True if the registry has an SBOM and a provenance statement of `subject`.
pub fn are_attached(resolver: &Resolver<'_>, client: &Client, subject: &Digest) -> Result<bool, RegistryError> {
    let referrers = resolver.runtime().block_on(client.referrers(subject))?;
    for which in [Which::Sbom, Which::Provenance] {
        if fitting(resolver, client, &referrers, which)?.is_empty() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Those of `referrers` that are of that kind, by what their manifests say. Those that the registry lists as such are
/// looked at first, and the others only where these are something else.
fn fitting(
    resolver: &Resolver<'_>,
    client: &Client,
    referrers: &[Referrer],
    which: Which,
) -> Result<Vec<Referrer>, RegistryError> {
    let (listed, others): (Vec<_>, Vec<_>) = referrers.iter().partition(|referrer| which.is(referrer));
    for some in [listed, others] {
        let mut found = Vec::new();
        for referrer in some.into_iter().take(LOOKED_AT) {
            let described = resolver.runtime().block_on(client.described(referrer.clone()))?;
            found.extend(which.is(&described).then_some(described));
        }
        if !found.is_empty() {
            return Ok(found);
        }
    }
    Ok(Vec::new())
}

/// The document that is attached to the image `name` of a registry; it is kept in the store.
pub fn attached(resolver: &Resolver<'_>, name: &Reference, which: Which) -> Result<Vec<u8>, DocumentError> {
    let client = resolver.client(name)?;
    let subject = manifest(resolver, &client, name)?;
    let referrers = resolver.runtime().block_on(client.referrers(&subject))?;
    let mut fitting = fitting(resolver, &client, &referrers, which)?;
    let (count, document, reference) = (fitting.len(), which.name(), name.to_string());
    let Some(referrer) = fitting.pop() else {
        return Err(DocumentError::NotAttached { document, reference, subject });
    };
    if count > 1 {
        let note =
            format!("{count} documents of that kind are attached to {name}; this is {}", referrer.descriptor.digest);
        resolver.reporter().event(Event::Note(note));
    }
    let found = content(resolver, &client, &referrer.descriptor.digest, &subject)?;
    if found.size > LIMIT {
        return Err(DocumentError::TooLarge { document, reference, limit: LIMIT });
    }
    resolver.runtime().block_on(client.blob(&found))?;
    Ok(read(resolver.store, &found)?)
}

/// The digest of the image that `name` stands for on the resolver's platform.
fn manifest(resolver: &Resolver<'_>, client: &Client, name: &Reference) -> Result<Digest, DocumentError> {
    let (descriptor, bytes) = resolver.runtime().block_on(client.manifest(&name.manifest()))?;
    if !media_type::is_index(&descriptor.media_type) {
        return Ok(descriptor.digest);
    }
    let what = name.to_string();
    let index: Index = serde_json::from_slice(&bytes).map_err(|error| ImageError::invalid(&what, error.to_string()))?;
    Ok(image::select(&what, &index, resolver.platform)?.descriptor.digest)
}

#[derive(Deserialize)]
struct Attached {
    subject: Option<Descriptor>,
    layers: Vec<Descriptor>,
}

/// The document of the artifact `digest`, which says itself that it is about `subject`.
fn content(
    resolver: &Resolver<'_>,
    client: &Client,
    digest: &Digest,
    subject: &Digest,
) -> Result<Descriptor, DocumentError> {
    let (_, bytes) = resolver.runtime().block_on(client.manifest(&digest.to_string()))?;
    let attached = serde_json::from_slice(&bytes).ok().filter(|attached: &Attached| {
        attached.subject.as_ref().is_some_and(|about| about.digest == *subject) && attached.layers.len() == 1
    });
    let document = attached.and_then(|attached| attached.layers.into_iter().next());
    document.ok_or(DocumentError::NotOfSubject { digest: *digest, subject: *subject })
}
