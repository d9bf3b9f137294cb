//! Git repositories in the image. What is cloned twice is to have the same bytes: git itself writes down when it did
//! what, and where each file lay on the disk.

use super::Fields;
use crate::op::{Checkout, DEFAULT_REVISION, Op, Secrets, is_commit, is_described};
use crate::yaml::{Diagnostic, Node};

/// Settings for every git that a task starts, by whatever tool hands them on (git-config(1), `GIT_CONFIG_COUNT`). Logs
/// of references hold the time of day; a collection of garbage in the background might be cut off in its middle; nobody
/// is there to be asked for a password.
const ENV: [(&str, &str); 8] = [
    ("GIT_CONFIG_COUNT", "3"),
    ("GIT_CONFIG_KEY_0", "core.logAllRefUpdates"),
    ("GIT_CONFIG_VALUE_0", "false"),
    ("GIT_CONFIG_KEY_1", "gc.auto"),
    ("GIT_CONFIG_VALUE_1", "0"),
    ("GIT_CONFIG_KEY_2", "maintenance.auto"),
    ("GIT_CONFIG_VALUE_2", "false"),
    ("GIT_TERMINAL_PROMPT", "0"),
];

/// Checks a revision out, of which nothing is kept but the commit that it is and its history.
const CHECKOUT: &str = concat!(include_str!("git/fetching.sh"), include_str!("git/checkout.sh"));

/// The same where the lockfile has the tag itself. What it has no tag of is checked out as ever.
const TAGGED_CHECKOUT: &str =
    concat!(include_str!("git/fetching.sh"), include_str!("git/tags.sh"), include_str!("git/checkout.sh"));

/// Has west make a workspace of a commit.
const WORKSPACE: &str = concat!(include_str!("git/fetching.sh"), include_str!("git/workspace.sh"));

/// The same where the lockfile has the tag itself.
const TAGGED_WORKSPACE: &str =
    concat!(include_str!("git/fetching.sh"), include_str!("git/tags.sh"), include_str!("git/workspace.sh"));

/// Makes repositories the same whenever and wherever they were cloned.
const CANONICAL: &str = include_str!("git/canonical.sh");

/// Lets [`CANONICAL`] keep the tag that west, which got it by its name, has checked out.
const WEST_KEEPS: &str =
    r#"cd "$(west config manifest.path)" && echo "refs/tags/$0" > "$(git rev-parse --git-dir)/alloy-keep""#;

/// The same of tags that kas looks for when it builds.
const KAS_KEEPS: &str =
    r#"test -z "$KAS_REPO_TAG" || echo "refs/tags/$KAS_REPO_TAG" >> "$(git rev-parse --git-dir)/alloy-keep" || true"#;

/// By this variable kas is told where to build (kas(1), "Environment variables").
const KAS_BUILD_DIR: &str = "KAS_BUILD_DIR";

/// repo's own repository, as its launcher clones it.
pub const REPO_URL: &str = "https://gerrit.googlesource.com/git-repo";

/// What repo's launcher checks out of it.
pub const REPO_REVISION: &str = "stable";

/// Makes a checkout of repo what its launcher makes of one.
const REPO_TOOL: &str = include_str!("git/repo_tool.sh");

/// Ends a task whose directory is not empty, before anything is cloned into it.
const EMPTY: &str =
    r#"test -z "$(ls -A)" || { echo "ERROR: $PWD already exists and is not an empty directory"; exit 1; }"#;

/// Has repo make a workspace.
const REPO_SYNC: &str = concat!(include_str!("git/fetching.sh"), include_str!("git/repo_sync.sh"));

/// Makes workspaces of repo the same whenever and wherever they were made.
const REPO_TIMELESS: &str = include_str!("git/repo_timeless.sh");

impl Fields<'_> {
    /// A program that works with git repositories, in the login environment of whoever runs the task.
    pub fn git_tool(&self, words: &[&str], cwd: &str) -> Result<Op, Diagnostic> {
        let mut op = self.tool(words, cwd)?;
        if let Op::Run { env, .. } = &mut op {
            env.extend(ENV.map(|(name, value)| (name.to_owned(), value.to_owned())));
        }
        Ok(op)
    }

    /// Notes that the task takes a revision out of a repository, and says which commit it is, where that is known.
    pub fn checkout(&mut self, url: &str, revision: Option<&str>) -> Option<String> {
        let revision = revision.unwrap_or(DEFAULT_REVISION).to_owned();
        let mut checkout = Checkout { url: url.to_owned(), revision, commit: None };
        checkout.commit = match is_commit(&checkout.revision) {
            true => Some(checkout.revision.to_ascii_lowercase()),
            false => self.lookup().commit(&checkout.key(), &checkout.revision),
        };
        let commit = checkout.commit.clone();
        self.checkouts.push(checkout);
        commit
    }

    /// A revision of a git repository, with its submodules, in `dest`.
    pub fn git(&mut self, url: &str, revision: Option<&str>, dest: &str) -> Result<Vec<Op>, Diagnostic> {
        let mut ops = self.git_alone(url, revision, dest, 0)?;
        ops.push(self.git_submodules(dest)?);
        Ok(ops)
    }

    /// The same without submodules; with `depth`, with no more commits than that.
    pub fn git_alone(
        &mut self,
        url: &str,
        revision: Option<&str>,
        dest: &str,
        depth: u32,
    ) -> Result<Vec<Op>, Diagnostic> {
        let commit = self.checkout(url, revision).unwrap_or_default();
        let mut ops = self.own_directory(dest)?;
        let revision = revision.unwrap_or(DEFAULT_REVISION);
        let (name, depth) = (named(revision, &commit), depth.to_string());
        let words = ["sh", "-c", CHECKOUT, url, name, &commit, &depth, dest];
        ops.push(self.git_pinned(words, TAGGED_CHECKOUT, revision)?);
        Ok(ops)
    }

    /// A script that checks `revision` out, in the words that it gets where nothing is known of a tag, and the script to
    /// take in its place where the lockfile has that.
    fn git_pinned(&self, words: [&str; 8], tagged: &str, revision: &str) -> Result<Op, Diagnostic> {
        let (url, dest) = (words[3], words[7]);
        let Some(tag) = self.lookup().tag(&Secrets::as_written(url), revision) else {
            return self.git_tool(&words, dest);
        };
        let mut words = words.to_vec();
        words[2] = tagged;
        words.push(&tag);
        self.git_tool(&words, dest)
    }

    /// A workspace of west, in `dest`, of a manifest that is in a repository.
    pub fn git_workspace(&mut self, url: &str, revision: &str, dest: &str) -> Result<Vec<Op>, Diagnostic> {
        let mut ops = self.own_directory(dest)?;
        match self.checkout(url, Some(revision)) {
            Some(commit) => {
                let name = named(revision, &commit);
                let words = ["sh", "-c", WORKSPACE, url, name, &commit, "0", dest];
                ops.push(self.git_pinned(words, TAGGED_WORKSPACE, revision)?);
            }
            None => {
                ops.push(self.git_tool(&["west", "init", "-m", url, "--mr", revision, "."], dest)?);
                ops.push(self.git_tool(&["sh", "-c", WEST_KEEPS, revision], dest)?);
            }
        }
        ops.push(self.git_tool(&["west", "update"], dest)?);
        Ok(ops)
    }

    /// What kas makes of a configuration in the repository in `dest`, with a build directory of its own or `build`.
    pub fn git_layers(&self, file: &str, dest: &str, build: Option<&str>) -> Result<Vec<Op>, Diagnostic> {
        let words = [&["kas", "checkout", file][..], &["kas", "for-all-repos", file, KAS_KEEPS]];
        let mut ops = words.iter().map(|words| self.git_tool(words, dest)).collect::<Result<Vec<_>, _>>()?;
        for op in &mut ops {
            if let (Op::Run { env, .. }, Some(build)) = (op, build) {
                env.insert(KAS_BUILD_DIR.to_owned(), build.to_owned());
            }
        }
        Ok(ops)
    }

    /// A workspace of repo, in `dest`, of a manifest that is in a repository. repo itself is cloned like everything else:
    /// its launcher would take what is newest that day.
    pub fn git_manifest(
        &mut self,
        url: &str,
        revision: Option<&str>,
        file: Option<&str>,
        dest: &str,
    ) -> Result<Vec<Op>, Diagnostic> {
        let tool = format!("{dest}/.repo/repo");
        let tool_url = self.git_word("repo_url")?.unwrap_or_else(|| REPO_URL.to_owned());
        let tool_revision = self.git_word("repo_rev")?.unwrap_or_else(|| REPO_REVISION.to_owned());
        let (groups, depth) = (self.git_word("groups")?.unwrap_or_default(), self.number("depth")?.to_string());
        let pinned = self.checkout(url, revision);
        let named = pinned.as_deref().or(revision).unwrap_or(DEFAULT_REVISION);
        let mut ops = self.own_directory(dest)?;
        ops.push(self.git_tool(&["sh", "-c", EMPTY], dest)?);
        ops.extend(self.own_directory(&format!("{dest}/.repo"))?);
        ops.extend(self.git_alone(&tool_url, Some(&tool_revision), &tool, 0)?);
        ops.push(self.git_tool(&["sh", "-c", REPO_TOOL, &tool_url], &tool)?);
        ops.push(self.git_timeless(&tool)?);
        let words = ["sh", "-c", REPO_SYNC, url, named, file.unwrap_or("default.xml"), &groups, &depth];
        ops.push(self.git_tool(&words, dest)?);
        ops.push(self.git_tool(&["sh", "-c", REPO_TIMELESS], dest)?);
        Ok(ops)
    }

    /// The submodules of the repository in `dest`, as its commit has them.
    pub fn git_submodules(&self, dest: &str) -> Result<Op, Diagnostic> {
        self.git_tool(&["git", "submodule", "--quiet", "update", "--init", "--recursive"], dest)
    }

    /// Ends a task that made repositories in `dest`: the same bytes, whenever and wherever they were made.
    pub fn git_timeless(&self, dest: &str) -> Result<Op, Diagnostic> {
        self.git_tool(&["sh", "-c", CANONICAL], dest)
    }

    /// A revision or URL that git does not take for an option.
    pub fn git_word(&self, name: &str) -> Result<Option<String>, Diagnostic> {
        // What stands before the host of a URL goes to git by another way.
        let login = |node: &&Node| node.text(name).is_ok_and(|text| !Secrets::beside_logins(text));
        let text = match self.node(name).filter(login) {
            Some(_) => Some(self.text_or_secret(name)?),
            None => self.optional(name)?,
        };
        let text = text.map(|text| text.trim().to_owned());
        if let (Some(text), Some(node)) = (&text, self.node(name))
            && let Some(tag) = text.strip_suffix("^{}")
        {
            return Err(Diagnostic::error("word", node.span, format!("`{name}` cannot be `{text}`"))
                .help(format!("write `{tag}`: of a tag, what is checked out is the commit that it names")));
        }
        match (&text, self.node(name)) {
            (Some(text), Some(node)) if text.starts_with('-') || text.contains(char::is_whitespace) => {
                Err(Diagnostic::error("word", node.span, format!("`{name}` cannot be `{text}`"))
                    .help("one word that does not begin with `-`"))
            }
            _ => Ok(text),
        }
    }
}

/// What a revision is called in scripts: one that is a commit, or describes one, as the commit.
fn named<'a>(revision: &'a str, commit: &'a str) -> &'a str {
    if is_commit(revision) || is_described(revision, commit) { commit } else { revision }
}
