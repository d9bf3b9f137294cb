//! The `git` program, kept from asking questions, running hooks and following links of foreign repositories.

use std::path::Path;
use std::process::{Command, Stdio};

use url::Url;

use super::super::error::{CommandError, Kind};

/// What git inherits from a hook or alias that runs alloy, and must not act on.
const INHERITED: [&str; 5] = ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR"];

/// Transports that move data alone: others run commands.
const PROTOCOLS: &str = "https:http:ssh:git:file";

/// git for one remote.
pub(super) struct Git {
    remote: String,
    stall: u64,
}

impl Git {
    /// For `remote`; a server that is silent for `stall` seconds counts as gone.
    pub(super) fn new(remote: impl Into<String>, stall: u64) -> Self {
        Self { remote: remote.into(), stall }
    }

    /// The remote, without its password.
    pub(super) fn shown(&self) -> String {
        match Url::parse(&self.remote) {
            Ok(mut url)
                if url.password().is_some() || !url.username().is_empty() && url.scheme().starts_with("http") =>
            {
                let _ = url.set_password(None);
                let _ = url.set_username("***");
                url.into()
            }
            _ => self.remote.clone(),
        }
    }

    /// What git says of the clone in `directory`, without its last line break.
    pub(super) fn local(directory: &Path, arguments: &[&str]) -> Result<String, CommandError> {
        Self::new("", 0).run(Some(directory), arguments, Kind::Failed)
    }

    /// The commit that the remote has now.
    pub(super) fn newest(&self) -> Result<String, CommandError> {
        let lines = self.run(None, &["ls-remote", "--", &self.remote, "HEAD"], Kind::Network)?;
        match lines.split_whitespace().next() {
            Some(commit) => Ok(commit.to_owned()),
            None => Err(CommandError::new(Kind::Network, format!("{} is empty", self.shown()))),
        }
    }

    /// Clones the newest state into `directory`, which is empty.
    pub(super) fn clone_into(&self, directory: &Path) -> Result<(), CommandError> {
        let place = directory.to_string_lossy();
        // A link of the repository becomes a file that names what it points to.
        let clone = |depth: &[&str]| {
            let options =
                ["-c", "core.symlinks=false", "clone", "--quiet", "--no-local", "--single-branch", "--no-tags"];
            let arguments = [&options, depth, &["--", &self.remote, &place]].concat();
            self.run(None, &arguments, Kind::Network)
        };
        match clone(&["--depth=1"]) {
            // A server of plain files cannot cut history.
            Err(error) if error.message.contains("dumb http") => clone(&[]).map(drop),
            cloned => cloned.map(drop),
        }
    }

    fn run(&self, directory: Option<&Path>, arguments: &[&str], kind: Kind) -> Result<String, CommandError> {
        let mut command = Command::new("git");
        command.args(["-c", "core.hooksPath=/dev/null", "-c", "http.lowSpeedLimit=1", "-c"]);
        command.arg(format!("http.lowSpeedTime={}", self.stall));
        command.args(directory.iter().flat_map(|directory| [Path::new("-C"), directory])).args(arguments);
        command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_ALLOW_PROTOCOL", PROTOCOLS).env("LC_ALL", "C");
        for name in INHERITED {
            command.env_remove(name);
        }
        let output = command.stdin(Stdio::null()).output().map_err(|error| {
            let failure = CommandError::new(Kind::Failed, format!("cannot run git: {error}"));
            failure.hint("install it: `apt-get install git`")
        })?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr).replace(&self.remote, &self.shown());
        let said = said.lines().map(super::printable).collect::<Vec<_>>().join("\n");
        Err(CommandError::new(kind, format!("git failed: {}", said.trim())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        let shown = |remote: &str| Git::new(remote, 1).shown();
        assert_eq!(shown("https://user:hunter2@git.example/c.git"), "https://***@git.example/c.git");
        assert_eq!(shown("https://glpat-secret@git.example/c.git"), "https://***@git.example/c.git");
        assert_eq!(shown("ssh://git@git.example/c.git"), "ssh://git@git.example/c.git");
        assert_eq!(shown("/srv/catalog"), "/srv/catalog");
    }
}
