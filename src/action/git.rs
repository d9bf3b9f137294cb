//! Git repositories in the image. What is cloned twice is to have the same bytes: git itself writes down when it did
//! what, and where each file lay on the disk.

use super::Fields;
use crate::op::{Checkout, DEFAULT_REVISION, Op, Secrets, is_commit};
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

/// Checks a revision out, or says which there are.
const CHECKOUT: &str = "\
git -c advice.detachedHead=false checkout --quiet \"$1\" -- && exit
echo \"$0 has no \\`$1\\`; its newest tags:\" $(git tag --sort=-creatordate | head -n 5)
exit 1";

/// Checks a commit out, which may be on no branch any more. What a server calls by the name of a commit need not be it.
const COMMIT: &str = "\
git cat-file -e \"$1^{commit}\" 2>/dev/null || git fetch --quiet origin \"$1\"
git -c advice.detachedHead=false checkout --quiet \"$1\" -- && test \"$(git rev-parse HEAD)\" = \"$(git rev-parse \"$1^{commit}\")\" && exit
echo \"$0 has no commit $1, which \\`$2\\` is pinned to; \\`alloy lock --update=$0\\` pins what it is now\"
exit 1";

/// The same of what is not there yet, without the history before it.
const SHALLOW: &str = "\
git init --quiet . && git remote add origin \"$0\" || exit
# A server of plain files cannot cut history.
git fetch --quiet --depth \"$3\" origin \"$1\" || git fetch --quiet origin \"$1\" || exit
git -c advice.detachedHead=false checkout --quiet FETCH_HEAD -- || exit
test -z \"$4\" || test \"$(git rev-parse HEAD)\" = \"$(git rev-parse \"$4^{commit}\")\" && exit
echo \"$0 has something else than the commit $4, which \\`$2\\` is pinned to\"
exit 1";

/// Deletes logs of references, and writes the indexes of all repositories below anew, without times and inode numbers:
/// those of the machine that clones are no use where the image runs, and git there looks at the files themselves.
const TIMELESS: &str = "\
find . -name .git -prune | sort | while read -r found; do
    cd \"${found%/.git}\" && rm -rf \"$(git rev-parse --git-path logs)\"
    git rev-parse --quiet --verify HEAD >/dev/null && rm -f \"$(git rev-parse --git-path index)\" && git read-tree HEAD
    cd \"$OLDPWD\"
done";

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
        let commit = self.checkout(url, revision);
        let mut ops = self.own_directory(dest)?;
        let name = revision.unwrap_or(DEFAULT_REVISION);
        if depth > 0 {
            let (pin, depth) = (commit.unwrap_or_default(), depth.to_string());
            let wanted = if pin.is_empty() { name } else { &pin };
            ops.push(self.git_tool(&["sh", "-c", SHALLOW, url, wanted, name, &depth, &pin], dest)?);
            return Ok(ops);
        }
        ops.push(self.git_tool(&["git", "clone", "--quiet", "--", url, "."], dest)?);
        match (commit, revision) {
            (Some(commit), _) => ops.push(self.git_tool(&["sh", "-c", COMMIT, url, &commit, name], dest)?),
            (None, Some(revision)) => ops.push(self.git_tool(&["sh", "-c", CHECKOUT, url, revision], dest)?),
            (None, None) => {}
        }
        Ok(ops)
    }

    /// The submodules of the repository in `dest`, as its commit has them.
    pub fn git_submodules(&self, dest: &str) -> Result<Op, Diagnostic> {
        self.git_tool(&["git", "submodule", "--quiet", "update", "--init", "--recursive"], dest)
    }

    /// Ends a task that made repositories in `dest`: the same bytes, whenever and wherever they were made.
    pub fn git_timeless(&self, dest: &str) -> Result<Op, Diagnostic> {
        self.git_tool(&["sh", "-c", TIMELESS], dest)
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
        match (&text, self.node(name)) {
            (Some(text), Some(node)) if text.starts_with('-') || text.contains(char::is_whitespace) => {
                Err(Diagnostic::error("word", node.span, format!("`{name}` cannot be `{text}`"))
                    .help("one word that does not begin with `-`"))
            }
            _ => Ok(text),
        }
    }
}
