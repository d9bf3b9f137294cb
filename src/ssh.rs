//! The keys of whoever builds, for commands that clone by ssh: an agent that is lent, and hosts that are known.
//!
//! The agent itself is in nobody's reach. Alloy listens on a socket of its own and hands on what a login takes (see
//! [`Proxy`]). Host keys are always checked against what this user knows of hosts; there is no way to turn that off.

use std::io::{self, Read, Write};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use layers::regular;
use serde::{Deserialize, Serialize};

mod advice;
mod error;
mod message;
mod proxy;

use advice::Keys;
pub use error::SshError;
pub use proxy::Proxy;

/// Name of the socket in the directory that commands are lent.
pub const SOCKET: &str = "agent";
/// Name of the ssh_config(5) there.
pub const CONFIG: &str = "config";
/// Name of the known hosts there.
pub const KNOWN_HOSTS: &str = "known_hosts";

/// Name of the git-config(1) there.
const GIT_CONFIG: &str = "gitconfig";
/// By this variable kas is told of one: all else that git is told by the environment, kas keeps from it.
pub const KAS_CONFIG: &str = "GITCONFIG_FILE";

/// Bytes of all known hosts together: a line has a few hundred.
const MOST_KNOWN: u64 = 16 << 20;

/// How long an agent may take to say which keys it has. It asks nobody for that.
const PATIENCE: Duration = Duration::from_secs(10);

/// The agent that this user lends, and the hosts that are known.
#[derive(Clone, Debug)]
pub struct Ssh {
    agent: PathBuf,
    keys: usize,
    known_hosts: String,
    /// Where those are from that were named.
    files: Vec<PathBuf>,
    /// Seconds after which a silent server counts as gone.
    stall: u64,
}

/// What commands are lent, as a value that the worker can be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loan {
    /// The socket of a [`Proxy`], where whoever lends it finds it.
    pub socket: PathBuf,
    known_hosts: String,
    stall: u64,
}

impl Ssh {
    /// Asks the agent at `socket`, else at that of `var`, an environment, for its keys, and reads the hosts that are
    /// known: those of `files`, else this user's. After `stall` seconds of silence, a server will count as gone.
    ///
    /// # Errors
    ///
    /// There is no agent, or it has no keys; a file cannot be read.
    pub fn open(
        socket: Option<&Path>,
        files: &[PathBuf],
        stall: Duration,
        var: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, SshError> {
        let named = || var("SSH_AUTH_SOCK").filter(|path| !path.is_empty()).map(PathBuf::from);
        let agent = socket.map(Path::to_owned).or_else(named);
        let agent = agent.ok_or_else(|| SshError::NoAgent { sudo: var("SUDO_USER").is_some() })?;
        // The build works in other directories.
        let agent = std::path::absolute(&agent).map_err(|source| SshError::Agent { path: agent.clone(), source })?;
        let keys = keys_of(&agent)?;
        let known_hosts = known(files, var)?;
        let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        let files = files.iter().map(absolute).collect();
        Ok(Self { agent, keys, known_hosts, files, stall: stall.as_secs().max(1) })
    }

    /// The agent's socket.
    pub fn agent(&self) -> &Path {
        &self.agent
    }

    /// Files of known hosts that were named in the place of this user's own.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// What commands are lent, with `socket` to reach the agent by.
    pub fn loan(&self, socket: PathBuf) -> Loan {
        Loan { socket, known_hosts: self.known_hosts.clone(), stall: self.stall }
    }

    /// What helps against what the last of `lines` says that is known of ssh; `ssh` is what was lent.
    pub fn advice<'l>(lines: impl DoubleEndedIterator<Item = &'l str> + Clone, ssh: Option<&Self>) -> Option<String> {
        advice::of(lines, ssh.map_or(Keys::NotLent, |ssh| Keys::Lent(ssh.keys)))
    }

    /// The same of what a program of this user's says, which has this user's own keys.
    pub fn own_advice(text: &str) -> Option<String> {
        advice::of(text.lines(), Keys::Own)
    }
}

impl Loan {
    /// The same for whoever finds the socket at `socket`.
    #[must_use]
    pub fn found_at(self, socket: PathBuf) -> Self {
        Self { socket, ..self }
    }

    /// Files that commands find in `place`, each by its name in it.
    pub fn files(&self, place: &Path) -> [(&'static str, String); 3] {
        let known = place.join(KNOWN_HOSTS);
        let git = format!("[core]\n\tsshCommand = {}\n", command(place));
        [(CONFIG, config(&known, self.stall)), (KNOWN_HOSTS, self.known_hosts.clone()), (GIT_CONFIG, git)]
    }

    /// Variables by which ssh, and git, find what is in `place`.
    pub fn env(place: &Path) -> [(String, String); 3] {
        let variable = |name: &str, value: String| (name.to_owned(), value);
        [
            variable("SSH_AUTH_SOCK", place.join(SOCKET).display().to_string()),
            variable("GIT_SSH_COMMAND", command(place)),
            variable(KAS_CONFIG, place.join(GIT_CONFIG).display().to_string()),
        ]
    }
}

/// How git starts ssh.
fn command(place: &Path) -> String {
    format!("ssh -F {}", place.join(CONFIG).display())
}

/// The ssh_config(5) of commands, which takes the place of all others: no file of an image has a say in which hosts are
/// believed. Nobody is there to be asked, and nothing but a key counts.
fn config(known: &Path, stall: u64) -> String {
    let known = known.display();
    // Three questions without an answer.
    let interval = stall.div_ceil(3);
    format!(
        "Host *\n    \
         BatchMode yes\n    \
         StrictHostKeyChecking yes\n    \
         UserKnownHostsFile {known}\n    \
         GlobalKnownHostsFile /dev/null\n    \
         UpdateHostKeys no\n    \
         PreferredAuthentications publickey\n    \
         ForwardAgent no\n    \
         ForwardX11 no\n    \
         ControlMaster no\n    \
         ControlPath none\n    \
         ConnectTimeout {stall}\n    \
         ServerAliveInterval {interval}\n    \
         ServerAliveCountMax 3\n"
    )
}

/// The hosts of `files`, else of this user's own.
fn known(files: &[PathBuf], var: impl Fn(&str) -> Option<String>) -> Result<String, SshError> {
    let own = || {
        let home = var("HOME").filter(|home| !home.is_empty()).map(|home| PathBuf::from(home).join(".ssh/known_hosts"));
        home.into_iter().chain([PathBuf::from("/etc/ssh/ssh_known_hosts")])
    };
    let mut all = String::new();
    let mut left = MOST_KNOWN;
    let mut take = |path: &Path| -> io::Result<()> {
        let text = regular::text(path, left)?;
        left = left.saturating_sub(text.len() as u64);
        all += &text;
        if !all.is_empty() && !all.ends_with('\n') {
            all.push('\n');
        }
        Ok(())
    };
    for path in files {
        take(path).map_err(|source| SshError::KnownHosts { path: path.clone(), source })?;
    }
    for path in own().filter(|_| files.is_empty()) {
        match take(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(SshError::KnownHosts { path, source: error });
            }
            _ => {}
        }
    }
    Ok(all)
}

/// How many keys the agent at `path` has; none is an error.
fn keys_of(path: &Path) -> Result<usize, SshError> {
    let failed = |source: io::Error| SshError::Agent { path: path.to_owned(), source };
    let kind = std::fs::metadata(path).map_err(failed)?.file_type();
    if kind.is_file() {
        return Err(SshError::KeyFile { path: path.to_owned() });
    }
    if !kind.is_socket() {
        return Err(SshError::NoSocket { path: path.to_owned() });
    }
    let mut stream = UnixStream::connect(path).map_err(failed)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(failed)?;
    stream.write_all(&message::frame(&[message::REQUEST_IDENTITIES])).map_err(failed)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length).map_err(failed)?;
    let strange = || SshError::Strange { path: path.to_owned() };
    let mut answer = vec![0; message::length(length).ok_or_else(strange)?];
    stream.read_exact(&mut answer).map_err(failed)?;
    match message::count(&answer).ok_or_else(strange)? {
        0 => Err(SshError::NoKeys { path: path.to_owned() }),
        keys => Ok(keys),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_those_that_are_named_or_this_users() {
        let home = tempfile::tempdir().unwrap();
        let var = |name: &str| (name == "HOME").then(|| home.path().display().to_string());
        let own = home.path().join(".ssh/known_hosts");
        std::fs::create_dir(own.parent().unwrap()).unwrap();
        std::fs::write(&own, "a.example ssh-ed25519 AAAA").unwrap();
        let named = home.path().join("named");
        std::fs::write(&named, "b.example ssh-ed25519 BBBB\n").unwrap();
        assert!(known(&[], var).unwrap().starts_with("a.example ssh-ed25519 AAAA\n"));
        assert_eq!(known(std::slice::from_ref(&named), var).unwrap(), "b.example ssh-ed25519 BBBB\n");
        let missing = home.path().join("missing");
        assert!(known(&[named, missing.clone()], var).unwrap_err().to_string().contains(missing.to_str().unwrap()));
    }

    #[test]
    fn what_is_no_agent_is_told_apart() {
        let place = tempfile::tempdir().unwrap();
        let open = |path: &Path| Ssh::open(Some(path), &[], Duration::from_secs(1), |_| None).unwrap_err();
        let key = place.path().join("id_ed25519");
        std::fs::write(&key, "-----BEGIN OPENSSH PRIVATE KEY-----\n").unwrap();
        assert!(matches!(open(&key), SshError::KeyFile { .. }));
        assert!(matches!(open(place.path()), SshError::NoSocket { .. }));
        assert!(matches!(open(&place.path().join("none")), SshError::Agent { .. }));
        let deaf = place.path().join("deaf");
        drop(std::os::unix::net::UnixListener::bind(&deaf).unwrap());
        assert!(matches!(open(&deaf), SshError::Agent { .. }), "nobody listens");
        assert!(matches!(
            Ssh::open(None, &[], Duration::from_secs(1), |_| None),
            Err(SshError::NoAgent { sudo: false })
        ));
        let by_sudo = |name: &str| (name == "SUDO_USER").then(|| "ann".to_owned());
        let said = Ssh::open(None, &[], Duration::from_secs(1), by_sudo).unwrap_err();
        assert!(said.hint().is_some_and(|hint| hint.contains("--preserve-env=SSH_AUTH_SOCK")));
    }

    #[test]
    fn host_keys_are_checked_and_nobody_is_asked() {
        let text = config(Path::new("/run/alloy/ssh/known_hosts"), 60);
        for line in ["BatchMode yes", "StrictHostKeyChecking yes", "ForwardAgent no", "ConnectTimeout 60"] {
            assert!(text.contains(line), "{text}");
        }
        assert!(text.contains("ServerAliveInterval 20\n") && config(Path::new("/x"), 1).contains("Interval 1\n"));
    }
}
