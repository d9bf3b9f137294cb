//! What steps take out of git repositories.

use serde::{Deserialize, Serialize};

use super::Secrets;

/// What stands for the revision that a server hands out when it is asked for none (git-ls-remote(1)).
pub const DEFAULT_REVISION: &str = "HEAD";

/// A revision of a git repository that a step checks out.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Checkout {
    /// The repository; it may hold markers of secrets.
    pub url: String,
    /// A commit, tag or branch.
    pub revision: String,
    /// The commit that the author or the lockfile says it is.
    pub commit: Option<String>,
}

impl Checkout {
    /// The repository as a lockfile has it: as its author wrote it, without user and password.
    pub fn key(&self) -> String {
        Secrets::as_written(&self.url)
    }

    /// True for a revision that is a commit by itself: nothing else pins it.
    pub fn is_commit(&self) -> bool {
        is_commit(&self.revision)
    }
}

/// True for the whole name of a commit, in SHA-1 or SHA-256.
pub fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::is_commit;

    #[test]
    fn a_part_of_a_commit_is_none() {
        assert!(is_commit(&"0a".repeat(20)) && is_commit(&"0A".repeat(32)));
        assert!(!is_commit("0a1b2c3") && !is_commit(&"0g".repeat(20)) && !is_commit("v1.0"));
    }
}
