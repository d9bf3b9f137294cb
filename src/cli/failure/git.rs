//! Errors of git.

use super::with;
use crate::cli::error::{CommandError, Kind};
use crate::git::GitError;

impl From<GitError> for CommandError {
    fn from(error: GitError) -> Self {
        let kind = match error {
            GitError::Empty { .. } | GitError::Refused { at_remote: true, .. } => Kind::Network,
            _ => Kind::Failed,
        };
        with(kind, &error, error.hint())
    }
}
