//! Why an image was not pushed.

use layers::digest::Digest;
use layers::store::StoreError;

use crate::build::BuildError;
use crate::documents::DocumentError;
use crate::fetch::FetchError;
use crate::image::ImageError;
use crate::registry::RegistryError;
use crate::resolve::ResolveError;

/// Why an image was not pushed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the fields are what the messages say")]
pub enum PushError {
    /// The store's manifest of the image cannot be read.
    #[error("the manifest of {name} is damaged: {source}")]
    Manifest { name: String, source: serde_json::Error },
    /// The registry does not take the manifest. `by_digest`: it refused it by its digest, which only what goes with the
    /// image wants. `has_foreign`: the manifest names layers that are to be had from URLs.
    #[error("{error}")]
    Refused { error: RegistryError, by_digest: bool, has_foreign: bool },
    /// The manifest is in the registry, and has no tag, since something after it failed.
    #[error("{error}; {repository}@{digest} is there, without its tag")]
    Untagged { error: Box<PushError>, repository: String, digest: Digest },
    /// The SBOM that goes with the image cannot be made.
    #[error("{0}")]
    Sbom(DocumentError),
    #[error(transparent)]
    Document(#[from] DocumentError),
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    #[error(transparent)]
    Store(#[from] StoreError),
}
