//! Git repositories in the image. What is cloned twice is to have the same bytes: git itself writes down when it did
//! what, and where each file lay on the disk.

use super::Fields;
use crate::op::{Op, Secrets};
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

    /// A revision of a git repository, with its submodules, in `dest`.
    pub fn git(&self, url: &str, revision: Option<&str>, dest: &str) -> Result<Vec<Op>, Diagnostic> {
        let mut ops = self.own_directory(dest)?;
        ops.push(self.git_tool(&["git", "clone", "--quiet", "--", url, "."], dest)?);
        if let Some(revision) = revision {
            ops.push(self.git_tool(&["sh", "-c", CHECKOUT, url, revision], dest)?);
        }
        ops.push(self.git_tool(&["git", "submodule", "--quiet", "update", "--init", "--recursive"], dest)?);
        Ok(ops)
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
