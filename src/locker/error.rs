//! Why a lockfile cannot be made.

use std::io;
use std::path::PathBuf;

use layers::store::StoreError;

use crate::blueprint::Problems;
use crate::build::{BuildError, Lacking};
use crate::git::GitError;
use crate::plan::{Platform, PlatformError};
use crate::registry::RegistryError;
use crate::resolve::ResolveError;

/// The task that wants a revision, and what of it the failure is about.
#[derive(Clone, Debug)]
pub struct At {
    /// The task.
    pub task: String,
    /// The task file.
    pub file: String,
    /// The line that the task begins in.
    pub line: usize,
    /// A text of the field that is wrong.
    pub quoted: String,
}

/// Why a lockfile cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the fields are what the messages say")]
pub enum LockError {
    /// What is wrong with the blueprint.
    #[error("the blueprint has errors")]
    Problems(Problems),
    /// What failed on some of `of` platforms.
    #[error("{}", each(failed))]
    Platforms { of: usize, failed: Vec<(Platform, Self)> },
    /// Downloads that cannot be had; the others are pinned.
    #[error("{}", first(.0, "downloads cannot be pinned"))]
    Downloads(Vec<ResolveError>),
    /// Tasks whose packages cannot be found out, and what of them another suite has; the others are pinned.
    #[error("{}", first(errors, "tasks have packages that cannot be pinned"))]
    Packages { errors: Vec<BuildError>, lacking: Vec<Lacking> },
    /// Two downloads differ in nothing but what lets somebody in.
    #[error("two downloads would be called {name} in the lockfile, which leaves out what lets somebody in")]
    SameName { name: String },
    /// Nothing that is pinned has the name that was to be pinned anew.
    #[error("--update: nothing that is pinned is called `{name}`")]
    NothingCalled { name: String },
    /// The server of a git repository does not answer as it should; `hint` says what may help.
    #[error("{error}")]
    Revision { at: Option<At>, error: GitError, hint: Option<String> },
    /// The repository has no such revision.
    #[error("{url} has no tag, branch or commit `{revision}`")]
    NoRevision { at: Option<At>, url: String, revision: String },
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Platform(#[from] PlatformError),
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Problems> for LockError {
    fn from(problems: Problems) -> Self {
        Self::Problems(problems)
    }
}

fn each(failed: &[(Platform, LockError)]) -> String {
    failed.iter().map(|(platform, error)| format!("{platform}: {error}")).collect::<Vec<_>>().join("; ")
}

/// The only one of `errors`, or how many there are of `what` and the first of them.
fn first<E: ToString>(errors: &[E], what: &str) -> String {
    match errors {
        [] => what.to_owned(),
        [one] => one.to_string(),
        [one, ..] => format!("{} {what}: {}", errors.len(), one.to_string()),
    }
}
