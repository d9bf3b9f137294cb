//! Why a build failed.

use layers::digest::Digest;
use layers::media_type::Descriptor;
use layers::store::{LayerBlob, StoreError};

use super::foreign::Need;
use crate::cache::{Place, RemoteError};
use crate::debian::DebianError;
use crate::fetch::FetchError;
use crate::image::{ImageError, MAX_LAYERS};
use crate::op::{Deb, Source, Step};
use crate::registry::RegistryError;
use crate::resolve::ResolveError;
use crate::sandbox::NoEmulator;
use crate::target::image::RequestError;

/// A task that failed.
#[derive(Debug)]
pub struct TaskFailure {
    /// The task's name.
    pub task: String,
    /// Its action.
    pub action: String,
    /// The layer it is in.
    pub layer: String,
    /// Its file.
    pub file: String,
    /// Its line.
    pub line: usize,
    /// What failed.
    pub message: String,
    /// Exit status of the command, where it was one.
    pub exit: Option<i32>,
    /// The end of what it printed.
    pub output: Vec<String>,
    /// What to do, where that is known.
    pub hints: Vec<String>,
    /// What was there when it failed, as an image.
    pub image: Option<Descriptor>,
    /// Looking into that helps: something of the root failed, such as a command.
    pub looked_into: bool,
}

impl TaskFailure {
    /// What failed of `step` in `layer`, and the end of what it printed.
    pub fn of(step: &Step, layer: &str, message: String, output: Vec<String>) -> Self {
        Self {
            task: step.name.clone(),
            action: step.action.clone(),
            layer: layer.to_owned(),
            file: step.file.clone(),
            line: step.line,
            message,
            exit: None,
            output,
            hints: Vec::new(),
            image: None,
            looked_into: false,
        }
    }
}

impl BuildError {
    /// True for what one task fails of, whatever becomes of the others.
    pub(super) fn is_of_task(&self) -> bool {
        let of_task = |error: &ResolveError| matches!(error, ResolveError::Download { .. } | ResolveError::At { .. });
        match self {
            Self::Task { .. } | Self::Download { .. } => true,
            Self::Resolve(error) => of_task(error),
            _ => false,
        }
    }

    /// A download that `step` waited for in vain.
    pub(super) fn of_download(step: &Step, error: FetchError) -> Self {
        let (task, file, line) = (step.name.clone(), step.file.clone(), step.line);
        Self::Download { task, file, line, error }
    }

    /// What became of a package that a lockfile pins.
    pub(super) fn of_package(step: &Step, deb: &Deb, error: FetchError) -> Self {
        let package = format!("{} {}", deb.package, deb.version);
        let (task, file, line) = (step.name.clone(), step.file.clone(), step.line);
        Self::Package { package, task, file, line, error }
    }
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the fields are what the messages say")]
pub enum BuildError {
    #[error("{}: {}", failure.task, failure.message)]
    Task { failure: Box<TaskFailure>, partial: Option<LayerBlob> },
    #[error("{task} ({file}:{line}): {error}")]
    Download { task: String, file: String, line: usize, error: FetchError },
    #[error("{task} ({file}:{line}): {package}, which alloy.lock.yml pins, cannot be had: {error}")]
    Package { package: String, task: String, file: String, line: usize, error: FetchError },
    #[error("layer {digest} cannot be had: {reason}")]
    Lost { digest: Digest, reason: String },
    #[error("the cache {place} does not have everything: {error}")]
    Cache { place: Place, error: RemoteError },
    #[error("what deb:{suite} is made of is not what the cache says")]
    Claim { suite: String },
    #[error("{task} ({file}:{line}): it wants to log in by ssh, and no agent is lent to it")]
    NoAgent { task: String, file: String, line: usize },
    #[error("there is no user `{name}` in the image that the tasks begin with, and no task before makes one")]
    User { name: String, task: String, file: String, line: usize },
    #[error("{error}; {need}")]
    Foreign { need: Need, error: NoEmulator },
    #[error("`image.env` of manifest.yml: `{name}` refers to `${wanted}`, which neither {base} nor a line above sets")]
    Unset { name: String, wanted: String, base: String },
    #[error(
        "the base {base} has {below} layers, and the blueprint adds {own}: alloy can put up to {MAX_LAYERS} on top of each \
         other, since the kernel's overlay takes 500 and one is alloy's own"
    )]
    TooManyLayers { base: String, below: usize, own: usize },
    #[error("{0:?} has no digest")]
    UnknownSource(Source),
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error(transparent)]
    Debian(#[from] DebianError),
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error(transparent)]
    Store(#[from] StoreError),
}
