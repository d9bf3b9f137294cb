//! Why git did not do what it was asked.

use std::io;
use std::path::PathBuf;

/// Why git did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the fields are what the messages say")]
pub enum GitError {
    /// The remote has no branch.
    #[error("{remote} is empty")]
    Empty { remote: String },
    /// The same, where a commit of it is looked for.
    #[error("{remote} is empty: it has no commit")]
    NoCommit { remote: String },
    /// The revision names a file or a directory.
    #[error("`{revision}` of {remote} is a {kind}, and not a commit")]
    NotACommit { revision: String, remote: String, kind: String },
    /// git ended with a failure, in a clone of this machine or at the remote.
    #[error("git failed: {said}")]
    Refused { said: String, at_remote: bool },
    #[error("cannot run git: {0}")]
    Start(io::Error),
    #[error("cannot make a directory for git: {0}")]
    Directory(io::Error),
    #[error("cannot write {path}: {source}")]
    Write { path: PathBuf, source: io::Error },
}

impl GitError {
    /// What git said, if it was git that failed.
    pub(super) fn said(&self) -> &str {
        if let Self::Refused { said, .. } = self { said } else { "" }
    }

    /// What to do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoCommit { .. } => Some("push a commit first, or name another repository".to_owned()),
            Self::NotACommit { .. } => Some("name another revision: a commit, or a tag or branch of one".to_owned()),
            Self::Start(_) => Some("install it: `apt-get install git`".to_owned()),
            Self::Refused { said, .. } => strangers(said),
            Self::Empty { .. } | Self::Directory(_) | Self::Write { .. } => None,
        }
    }
}

/// What helps where git does not read a repository that belongs to somebody else.
fn strangers(said: &str) -> Option<String> {
    let (_, place) = said.split_once("detected dubious ownership in repository at '")?;
    let place = place.split('\'').next().unwrap_or_default();
    Some(format!(
        "{place} belongs to another user than you: `chown` it, or, if you trust what is in it, \
         `git config --global --add safe.directory {place}`"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_of_somebody_else_is_told_with_what_helps() {
        let said = "fatal: detected dubious ownership in repository at '/srv/x/.git'\nTo add an exception";
        assert!(strangers(said).unwrap().contains("safe.directory /srv/x/.git`"));
        assert_eq!(strangers("fatal: not a git repository"), None);
    }
}
