//! Why a name could not be resolved.

use layers::digest::Digest;
use layers::store::StoreError;

use crate::debian::DebianError;
use crate::fetch::FetchError;
use crate::image::{BaseRefError, ImageError};
use crate::op::Step;
use crate::registry::RegistryError;

/// Why a name could not be resolved.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the fields are what the messages say")]
pub enum ResolveError {
    #[error(transparent)]
    Base(#[from] BaseRefError),
    #[error(transparent)]
    Debian(#[from] DebianError),
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Target(#[from] crate::target::image::RequestError),
    #[error(
        "{what}: layer {number} of {count} ({digest}) is not in it, and cannot be had from where it says: {reason}"
    )]
    Foreign { what: String, number: usize, count: usize, digest: Digest, reason: String },
    #[error("no image of the store is called `{name}`, and {full} cannot be had: {error}")]
    Nowhere { name: String, full: String, error: RegistryError, suite: Option<&'static str> },
    #[error("there is no image `{name}` in the store")]
    NotLocal { name: String },
    #[error("the base `{name}` is an image of this store alone: it cannot be pinned for others")]
    Here { name: String },
    #[error("{task} ({place}): cannot read {path}: {message}")]
    Local { task: String, place: String, path: String, message: String },
    #[error("{place}: {task}: {error}")]
    Download { task: String, place: String, error: FetchError },
    #[error("{place}: {task}: {error}")]
    At { task: String, place: String, error: Box<Self> },
    #[error("{url}, the package {name}, is not what its registry says it is ({integrity})")]
    Integrity { name: String, url: String, integrity: String },
    #[error("the registry of crates at {index} {message}")]
    Crate { index: String, message: String },
    #[error("{path} of {directory} belongs to {uid}:{gid}, whom this user's namespace does not have")]
    Owner { directory: String, path: String, uid: u32, gid: u32 },
    #[error("no sha256 pins {}", .0.iter().map(|need| format!("\n  {need}")).collect::<String>())]
    Unpinned(Vec<String>),
}

impl ResolveError {
    /// The same of what `step` needs, so that it can be told where that is.
    #[must_use]
    pub fn of_step(self, step: &Step) -> Self {
        match self {
            Self::Fetch(error) => {
                Self::Download { task: step.name.clone(), place: format!("{}:{}", step.file, step.line), error }
            }
            error @ (Self::Integrity { .. } | Self::Crate { .. }) => Self::At {
                task: step.name.clone(),
                place: format!("{}:{}", step.file, step.line),
                error: Box::new(error),
            },
            other => other,
        }
    }
}
