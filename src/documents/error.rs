//! Why a document of an image cannot be had.

use layers::digest::Digest;
use layers::store::StoreError;

use crate::build::BuildError;
use crate::image::ImageError;
use crate::registry::RegistryError;
use crate::resolve::ResolveError;

/// Why a document of an image cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the fields are what the messages say")]
pub enum DocumentError {
    /// What the store has of the image is not what alloy wrote.
    #[error("what the store has of {name} is damaged: {source}")]
    Damaged { name: String, source: serde_json::Error },
    /// The registry has no such document of the image.
    #[error("no {document} is attached to {reference} ({subject})")]
    NotAttached { document: &'static str, reference: String, subject: Digest },
    /// The registry's document is larger than alloy reads.
    #[error("the {document} of {reference} is larger than {limit} bytes")]
    TooLarge { document: &'static str, reference: String, limit: u64 },
    /// The registry lists something as attached that does not say so itself.
    #[error("{digest} is listed as attached to {subject}, and is nothing of the kind")]
    NotOfSubject { digest: Digest, subject: Digest },
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    #[error(transparent)]
    Store(#[from] StoreError),
}
