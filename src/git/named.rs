//! What a name stands for at a remote: the commit, and of a tag what the tag itself is.

use super::{At, Git, GitError, reference_of};
use crate::op::{LIGHTWEIGHT, MOST_OF_A_TAG};

/// Where a reference is fetched to.
const NAMED: &str = "refs/alloy/named";

/// What git says of servers that cannot leave anything out: those of plain files, those that are old, and those that leave
/// out what a tag of a directory is.
const UNABLE: [&str; 3] = ["dumb http", "not support shallow", "did not send all necessary objects"];

/// What a name stands for.
#[derive(Debug)]
pub struct Named {
    /// The commit.
    pub commit: String,
    /// Of a tag, its object, or [`LIGHTWEIGHT`]. Nothing where a pin cannot have it.
    pub tag: Option<String>,
}

impl Git {
    /// What the remote has for a name now. What is neither a tag nor a branch is looked for among all that it has, as
    /// the build does: the beginning of a commit's name, a branch as `origin/NAME`, or what stands before a tag.
    pub fn named(&self, revision: &str) -> Result<Option<Named>, GitError> {
        let lines = self.listed(revision)?;
        let Some((reference, commit)) = reference_of(&lines, revision) else {
            return Ok(self.described(revision)?.map(|commit| Named { commit, tag: None }));
        };
        // A branch is a commit.
        if !reference.starts_with("refs/") || reference.starts_with("refs/heads/") {
            return Ok(Some(Named { commit: commit.to_owned(), tag: None }));
        }
        let place = self.fetched(commit.len(), &["--depth=1"], &[&format!("+{reference}:{NAMED}")])?;
        let inside = |words: &[&str]| self.run(Some(place.path()), words, At::Here);
        if let Ok(kind) = inside(&["cat-file", "-t", &format!("{NAMED}^{{}}")])
            && kind != "commit"
        {
            return Err(GitError::NotACommit { revision: revision.to_owned(), remote: self.shown(), kind });
        }
        // It may have moved since it was asked for.
        let commit = inside(&["rev-parse", "--verify", &format!("{NAMED}^{{commit}}")])?;
        let tag = match inside(&["cat-file", "-t", NAMED])?.as_str() {
            _ if !reference.starts_with("refs/tags/") => None,
            "tag" => {
                let text = self.output(Some(place.path()), &["cat-file", "tag", NAMED], At::Here)?;
                String::from_utf8(text).ok().filter(|text| is_of(text, &commit))
            }
            _ => Some(LIGHTWEIGHT.to_owned()),
        };
        Ok(Some(Named { commit, tag }))
    }

    /// The commit that is described otherwise than by its name or that of a tag or branch.
    pub(super) fn described(&self, revision: &str) -> Result<Option<String>, GitError> {
        let all = self.run(None, &["ls-remote", "--", &self.asked], At::Remote)?;
        let Some(digits) = all.split_whitespace().next().map(str::len) else {
            return Err(GitError::NoCommit { remote: self.shown() });
        };
        let all = ["+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"];
        let place = self.fetched(digits, &[], &all)?;
        let words = ["rev-parse", "--quiet", "--verify", &format!("{revision}^{{commit}}")];
        Ok(self.run(Some(place.path()), &words, At::Here).ok())
    }

    /// References of the remote in a repository of its own, without their files, where the server can leave them out;
    /// `digits` says which hash names its objects.
    fn fetched(&self, digits: usize, depth: &[&str], references: &[&str]) -> Result<tempfile::TempDir, GitError> {
        let fetch = |options: &[&str]| {
            let place = tempfile::tempdir().map_err(GitError::Directory)?;
            let kind = if digits == 64 { &["--object-format=sha256"][..] } else { &[] };
            self.run(Some(place.path()), &[&["init", "--quiet", "--bare"], kind].concat(), At::Here)?;
            self.run(Some(place.path()), &["remote", "add", "origin", &self.asked], At::Here)?;
            let words = [&["fetch", "--quiet", "--no-tags"], options, &["origin"], references].concat();
            self.run(Some(place.path()), &words, At::Remote)?;
            Ok::<_, GitError>(place)
        };
        // A server of plain files refuses a depth, and nothing else: it is not to be asked to leave out files.
        if depth.is_empty() {
            return fetch(&[]);
        }
        match fetch(&[depth, &["--filter=tree:0"]].concat()) {
            // In another directory: git notes that something is left out, and would ask for it again and again.
            Err(error) if UNABLE.iter().any(|words| error.said().contains(words)) => fetch(&[]),
            fetched => fetched,
        }
    }
}

/// True for the text of a tag of `commit` that fits in a lockfile.
fn is_of(text: &str, commit: &str) -> bool {
    text.len() <= MOST_OF_A_TAG && text.starts_with(&format!("object {commit}\ntype commit\ntag "))
}
