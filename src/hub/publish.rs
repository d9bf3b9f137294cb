//! A blueprint on its way into a registry. The tag is moved last, when all is there.

use layers::digest::Digest;
use layers::media_type::{OCI_INDEX, OCI_MANIFEST};

use super::{HubError, Package};
use crate::registry::Reference;
use crate::resolve::Resolver;

/// Sends what the registry does not have of `package`, and gives it the names `destinations`, which are of one
/// repository, in their order. Gives the digest of the index.
pub fn publish(resolver: &Resolver<'_>, package: &Package, destinations: &[Reference]) -> Result<Digest, HubError> {
    let digest = Digest::of(&package.index);
    let Some(first) = destinations.first() else { return Ok(digest) };
    let client = resolver.client(first)?;
    resolver.runtime().block_on(async {
        for (descriptor, bytes) in &package.blobs {
            client.push_small(descriptor, bytes).await?;
        }
        client.push_blob(&package.layer).await?;
        for (_, manifest) in &package.manifests {
            client.push_manifest(&Digest::of(manifest).to_string(), OCI_MANIFEST, manifest).await?;
        }
        for destination in destinations {
            client.push_manifest(&destination.manifest(), OCI_INDEX, &package.index).await?;
        }
        Ok(digest)
    })
}
