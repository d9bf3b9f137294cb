//! Why a catalog was not fetched.

use std::io;
use std::path::PathBuf;

use crate::git::GitError;

/// Why a catalog was not fetched. The clone there was is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the fields are what the messages say")]
pub enum CloneError {
    #[error("cannot read {remote}: {source}")]
    Remote { remote: String, source: io::Error },
    #[error("there is no catalog yet, nor is it known where to get one")]
    NoRemote,
    #[error("{} is a clone of {remote}, which alloy has not made, and is left alone", directory.display())]
    OfAnother { directory: PathBuf, remote: String },
    #[error("{} was not made by `alloy catalog update`, and is left alone", directory.display())]
    NotOwn { directory: PathBuf },
    /// git may run programs that the clone's own configuration names.
    #[error("git is not run in {}: {what}, which alloy did not put there", directory.display())]
    Untrusted { directory: PathBuf, what: String },
    /// Somebody has worked in the clone; `own` if alloy made it.
    #[error("the catalog has changes of its own, which would be lost:\n{}", lines.join("\n"))]
    Changed { lines: Vec<String>, own: bool },
    #[error("{remote} holds no catalog")]
    NoCatalog { remote: String },
    #[error("cannot {doing} {}: {source}", path.display())]
    Files { doing: &'static str, path: PathBuf, source: io::Error },
    #[error(transparent)]
    Git(#[from] GitError),
}
