//! Why an image was not pulled.

use layers::digest::Digest;
use layers::path::shown;
use layers::store::StoreError;

use crate::build::BuildError;
use crate::fetch::FetchError;
use crate::image::ImageError;
use crate::registry::{Reference, RegistryError};
use crate::resolve::ResolveError;

/// Why an image was not pulled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the fields are what the messages say")]
pub enum PullError {
    /// The index lists another index, which can be pulled by itself.
    #[error("{error}")]
    Nested { error: Box<Self>, repository: Reference, digest: Digest },
    /// The manifest is that of something else, such as a blueprint.
    #[error("{name} is no image: its config is {}", shown(media_type.as_bytes()))]
    NoImage { name: String, media_type: String },
    /// The image is for another operating system.
    #[error("{0}")]
    NotLinux(RegistryError),
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
