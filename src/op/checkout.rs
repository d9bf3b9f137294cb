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

/// What a lockfile has of a tag that is a name and nothing else.
pub const LIGHTWEIGHT: &str = "lightweight";

/// Bytes of a tag's object that a lockfile has.
pub const MOST_OF_A_TAG: usize = 8 << 10;

/// True for a revision that is no name of a tag or branch, and stands for `commit`: the beginning of a commit's name, a
/// branch as git calls it that has fetched it, or what no name has in it (git-check-ref-format(1)).
pub fn is_described(revision: &str, commit: &str) -> bool {
    let begins = |digits: &str| {
        digits.len() >= 4
            && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
            && commit.starts_with(&digits.to_ascii_lowercase())
    };
    // `git describe`: how far it is behind which tag.
    let far = revision.rsplit_once("-g").is_some_and(|(_, digits)| begins(digits));
    let fetched = ["origin/", "remotes/origin/", "refs/remotes/"].iter().any(|above| revision.starts_with(above));
    !commit.is_empty()
        && (begins(revision) || far || fetched || revision.contains(['~', '^', ':']) || revision.contains("@{"))
}

/// True for the whole name of a commit, in SHA-1 or SHA-256.
pub fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::{is_commit, is_described};

    #[test]
    fn what_describes_a_commit_is_no_name() {
        let commit = "0a1b2c3d".repeat(5);
        for revision in ["0a1b", "0A1B2C3", "origin/main", "refs/remotes/origin/x", "main~3", "v1^2", "v1-12-g0a1b2c3"]
        {
            assert!(is_described(revision, &commit), "{revision}");
            assert!(!is_described(revision, ""), "{revision}");
        }
        for revision in ["v1.0", "main", "0a1", "0a1c", "HEAD", "refs/tags/v1", "x-g0b1c", "feature/origin/x"] {
            assert!(!is_described(revision, &commit), "{revision}");
        }
    }

    #[test]
    fn a_part_of_a_commit_is_none() {
        assert!(is_commit(&"0a".repeat(20)) && is_commit(&"0A".repeat(32)));
        assert!(!is_commit("0a1b2c3") && !is_commit(&"0g".repeat(20)) && !is_commit("v1.0"));
    }
}
