//! The `git` program, kept from asking questions, running hooks and following links of foreign repositories.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use layers::path::shown;
use url::Url;

use crate::fetch::{Login, taken_apart};
use crate::op::{git_helper, is_commit};
use crate::ssh::Ssh;

mod error;
mod named;

pub use error::GitError;
pub use named::Named;

/// What git inherits from a hook or alias that runs alloy, and must not act on.
const INHERITED: [&str; 5] = ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR"];

/// Transports that move data alone: others run commands.
const PROTOCOLS: &str = "https:http:ssh:git:file";

/// How this user's git is told to start ssh (git(1)).
#[derive(Clone, Debug, Default)]
pub struct Programs {
    /// `GIT_SSH_COMMAND`: a command, with its options.
    pub ssh_command: Option<String>,
    /// `GIT_SSH`: a program, which counts less than git's own configuration.
    pub ssh: Option<String>,
}

/// Where git works.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    /// In a repository of this machine.
    Here,
    /// At the remote.
    Remote,
}

/// git for one remote.
pub struct Git {
    remote: String,
    /// The remote as it may stand on a command line, which everybody on the machine can read.
    asked: String,
    login: Option<Login>,
    stall: u64,
    /// Further settings, which hold who this user is.
    settings: Vec<(String, String)>,
    /// The agent and the known hosts, where they are not this user's own.
    ssh: Option<Ssh>,
    programs: Programs,
}

impl Git {
    /// For `remote`; a server that is silent for `stall` seconds counts as gone.
    pub fn new(remote: impl Into<String>, stall: u64) -> Self {
        let remote = remote.into();
        let (asked, login) = match taken_apart(&remote) {
            (place, Some(login)) if place.starts_with("http") => (place, Some(login)),
            // git is started elsewhere.
            _ if !remote.is_empty() && !remote.contains("://") && Path::new(&remote).exists() => {
                (std::path::absolute(&remote).map_or_else(|_| remote.clone(), |path| path.display().to_string()), None)
            }
            _ => (remote.clone(), None),
        };
        Self { remote, asked, login, stall, settings: Vec::new(), ssh: None, programs: Programs::default() }
    }

    /// The same, with further settings.
    #[must_use]
    pub fn with(self, settings: Vec<(String, String)>) -> Self {
        Self { settings, ..self }
    }

    /// The same, with `ssh` in the place of this user's own agent.
    #[must_use]
    pub fn with_ssh(self, ssh: Option<&Ssh>) -> Self {
        Self { ssh: ssh.cloned(), ..self }
    }

    /// The same, with ssh started as `programs` says.
    #[must_use]
    pub fn with_programs(self, programs: &Programs) -> Self {
        Self { programs: programs.clone(), ..self }
    }

    /// The remote, without its password.
    pub fn shown(&self) -> String {
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
    pub fn local(directory: &Path, arguments: &[&str]) -> Result<String, GitError> {
        Self::new("", 0).run(Some(directory), arguments, At::Here)
    }

    /// The commit that the remote has now.
    pub fn newest(&self) -> Result<String, GitError> {
        let lines = self.run(None, &["ls-remote", "--", &self.asked, "HEAD"], At::Remote)?;
        match lines.split_whitespace().next() {
            Some(commit) => Ok(commit.to_owned()),
            None => Err(GitError::Empty { remote: self.shown() }),
        }
    }

    /// The commit that the remote has for a revision now, if it has one.
    pub fn commit(&self, revision: &str) -> Result<Option<String>, GitError> {
        let lines = self.listed(revision)?;
        let named = reference_of(&lines, revision).map(|(_, commit)| commit.to_owned());
        named.map_or_else(|| self.described(revision), |commit| Ok(Some(commit)))
    }

    /// References of the remote whose names end like a revision.
    fn listed(&self, revision: &str) -> Result<String, GitError> {
        let peeled = format!("{revision}^{{}}");
        self.run(None, &["ls-remote", "--", &self.asked, revision, &peeled], At::Remote)
    }

    /// Clones the newest state into `directory`, which is empty.
    pub fn clone_into(&self, directory: &Path) -> Result<(), GitError> {
        let place = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
        let place = place.to_string_lossy();
        // A link of the repository becomes a file that names what it points to.
        let clone = |depth: &[&str]| {
            let options =
                ["-c", "core.symlinks=false", "clone", "--quiet", "--no-local", "--single-branch", "--no-tags"];
            let arguments = [&options, depth, &["--", &self.asked, &place]].concat();
            self.run(None, &arguments, At::Remote)
        };
        match clone(&["--depth=1"]) {
            // A server of plain files cannot cut history.
            Err(error) if error.said().contains("dumb http") => clone(&[]).map(drop),
            cloned => cloned.map(drop),
        }?;
        self.remember(directory)
    }

    /// Lets the clone know the remote with its password, as git's own would, for the next update.
    fn remember(&self, directory: &Path) -> Result<(), GitError> {
        if self.login.is_none() {
            return Ok(());
        }
        let path = directory.join(".git/config");
        let failed = |source| GitError::Write { path: path.clone(), source };
        let text = layers::regular::text(&path, 1 << 20).map_err(failed)?;
        let text = text.replace(&format!("url = {}\n", self.asked), &format!("url = {}\n", self.remote));
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).map_err(failed)?;
        std::fs::write(&path, text).map_err(failed)
    }

    fn run(&self, directory: Option<&Path>, arguments: &[&str], at: At) -> Result<String, GitError> {
        let output = self.output(directory, arguments, at)?;
        Ok(String::from_utf8_lossy(&output).trim_end().to_owned())
    }

    /// What git prints.
    fn output(&self, directory: Option<&Path>, arguments: &[&str], at: At) -> Result<Vec<u8>, GitError> {
        let mut command = started_in(directory);
        command.args(["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "log.showSignature=false"]);
        command.args(["-c", "protocol.ext.allow=never", "-c", "http.lowSpeedLimit=1", "-c"]);
        command.arg(format!("http.lowSpeedTime={}", self.stall));
        command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_ALLOW_PROTOCOL", PROTOCOLS).env("LC_ALL", "C");
        if let Some(Login { place, user, password }) = &self.login {
            let key = format!("credential.{place}.helper");
            command.args(["-c", &format!("{key}="), "-c", &format!("{key}={}", git_helper(0))]);
            command.env("ALLOY_GIT_USER_0", user).env("ALLOY_GIT_PASSWORD_0", password);
        }
        // Not where git only looks at a clone.
        if !self.asked.is_empty() {
            command.env("GIT_SSH_COMMAND", self.ssh_command(directory));
        }
        command.envs(self.ssh.iter().map(|ssh| ("SSH_AUTH_SOCK", ssh.agent())));
        // By the environment, which others cannot read.
        for (at, (name, value)) in self.settings.iter().enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{at}"), name).env(format!("GIT_CONFIG_VALUE_{at}"), value);
        }
        if !self.settings.is_empty() {
            command.env("GIT_CONFIG_COUNT", self.settings.len().to_string());
        }
        let output = command.args(arguments).output().map_err(GitError::Start)?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let said = String::from_utf8_lossy(&output.stderr).replace(&self.remote, &self.shown());
        let said = said.lines().map(|line| shown(line.as_bytes())).collect::<Vec<_>>().join("\n");
        Err(GitError::Refused { said: said.trim().to_owned(), at_remote: at == At::Remote })
    }
}

/// git for the repository in `directory`, or for none: what a blueprint's own `.git/config` says, or that of any directory
/// above, counts for nothing. It may name programs.
fn started_in(directory: Option<&Path>) -> Command {
    let mut command = Command::new("git");
    let place = directory.unwrap_or(Path::new("/"));
    let above = place.parent().and_then(|above| std::path::absolute(above).ok());
    command.current_dir(place).env("GIT_CEILING_DIRECTORIES", above.as_deref().unwrap_or(Path::new("/")));
    INHERITED.iter().for_each(|name| _ = command.env_remove(name));
    command.stdin(Stdio::null());
    command
}

impl Git {
    /// The ssh that this user's git would start (git(1), `GIT_SSH_COMMAND`), with options by which it asks nothing and
    /// believes no host that is not known. What comes first counts (ssh(1), `-o`).
    fn ssh_command(&self, directory: Option<&Path>) -> String {
        let own = || {
            let output = started_in(directory).args(["config", "--get", "core.sshCommand"]).output().ok()?;
            let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            (output.status.success() && !text.is_empty()).then_some(text)
        };
        let Programs { ssh_command, ssh } = &self.programs;
        let given = ssh_command.clone().or_else(own).or_else(|| ssh.as_deref().map(quoted));
        let known = self.ssh.as_ref().map(Ssh::files).unwrap_or_default();
        with_options(given.as_deref().unwrap_or("ssh"), self.stall, known)
    }
}

/// The command `given` with options of ours before its own.
fn with_options(given: &str, stall: u64, known: &[PathBuf]) -> String {
    let mut options = format!(
        "-o BatchMode=yes -o StrictHostKeyChecking=yes -o ConnectTimeout={} -o ServerAliveInterval={}",
        stall.max(1),
        stall.div_ceil(3).max(1)
    );
    if !known.is_empty() {
        let files: Vec<String> = known.iter().map(|path| format!("\"{}\"", path.display())).collect();
        let files = quoted(&format!("UserKnownHostsFile={}", files.join(" ")));
        options += &format!(" -o {files} -o GlobalKnownHostsFile=/dev/null");
    }
    let plain = |program: &&str| !program.contains(['"', '\'', '\\', '$', '`', ';', '&', '|', '(']);
    let (program, rest) = given.split_once(' ').unwrap_or((given, ""));
    match Some(program).filter(plain) {
        Some(program) => format!("{program} {options} {rest}").trim_end().to_owned(),
        // Where the program's name ends is for a shell to say.
        None => format!("{given} {options}"),
    }
}

/// A word for a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// The reference that `revision` is, and its commit, in what `git ls-remote` says: of references whose names end like it,
/// the one that git would take (gitrevisions(7)). What a tag points to stands behind the tag, with `^{}` at its end.
fn reference_of<'a>(lines: &'a str, revision: &str) -> Option<(String, &'a str)> {
    let references: BTreeMap<&str, &str> =
        lines.lines().filter_map(|line| line.split_once('\t')).map(|(commit, name)| (name, commit)).collect();
    let of = |name: String| {
        let commit = references.get(format!("{name}^{{}}").as_str()).or_else(|| references.get(name.as_str()));
        commit.filter(|commit| is_commit(commit)).map(|commit| (name, *commit))
    };
    ["", "refs/", "refs/tags/", "refs/heads/"].iter().find_map(|above| of(format!("{above}{revision}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_is_what_git_takes_it_for() {
        let [branch, tag, peeled, other] = ["0a", "0b", "0c", "0d"].map(|digits| digits.repeat(20));
        let lines = format!(
            "{other}\trefs/heads/next/v1\n{branch}\trefs/heads/v1\n{tag}\trefs/tags/v1\n{peeled}\trefs/tags/v1^{{}}\n{branch}\tHEAD"
        );
        let of = |revision: &str| reference_of(&lines, revision);
        assert_eq!(of("v1"), Some(("refs/tags/v1".into(), peeled.as_str())));
        assert_eq!(of("refs/heads/v1"), Some(("refs/heads/v1".into(), branch.as_str())));
        assert_eq!(of("next/v1"), Some(("refs/heads/next/v1".into(), other.as_str())));
        assert_eq!(of("HEAD"), Some(("HEAD".into(), branch.as_str())));
        assert_eq!(of("1"), None);
    }

    #[test]
    fn ssh_asks_nothing_whatever_it_is_told() {
        let plain = with_options("ssh", 60, &[]);
        assert!(plain.starts_with("ssh -o BatchMode=yes -o StrictHostKeyChecking=yes -o ConnectTimeout=60"), "{plain}");
        let own = with_options("ssh -i ~/.ssh/ci -o StrictHostKeyChecking=no", 60, &[]);
        assert!(own.starts_with("ssh -o BatchMode=yes") && own.ends_with(" -i ~/.ssh/ci -o StrictHostKeyChecking=no"));
        assert!(with_options("'/opt/my ssh' -v", 60, &[]).starts_with("'/opt/my ssh' -v -o BatchMode=yes"));
        let known = with_options("ssh", 60, &["/a b".into(), "/it's".into()]);
        assert!(
            known.contains(r#"-o 'UserKnownHostsFile="/a b" "/it'\''s"' -o GlobalKnownHostsFile=/dev/null"#),
            "{known}"
        );
    }

    #[test]
    fn passwords_are_not_shown() {
        let shown = |remote: &str| Git::new(remote, 1).shown();
        assert_eq!(shown("https://user:hunter2@git.example/c.git"), "https://***@git.example/c.git");
        assert_eq!(shown("https://glpat-secret@git.example/c.git"), "https://***@git.example/c.git");
        assert_eq!(shown("ssh://git@git.example/c.git"), "ssh://git@git.example/c.git");
        assert_eq!(shown("/srv/catalog"), "/srv/catalog");
    }
}
