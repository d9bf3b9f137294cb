//! A server that is logged in to by ssh, and agents that know keys: programs of OpenSSH, on this machine's loopback.

use std::fs::{self, Permissions};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

use super::http::until;
use super::{run, text, tool};

/// The port of scp-like addresses, and one that has to be named.
const PORTS: [u16; 2] = [22, 2222];

/// sshd, on an address of its own, that lets one key in, to get repositories and do nothing else.
pub struct Sshd {
    directory: TempDir,
    child: Child,
    /// On the loopback.
    pub address: String,
}

impl Sshd {
    pub fn start() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(1);
        let id = std::process::id();
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let address = format!("127.{}.{}.{number}", 10 + id / 250 % 200, 1 + id % 250);
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for name in ["host", "key", "stranger"] {
            make_key(&at(name));
        }
        let public = fs::read_to_string(at("key.pub")).unwrap();
        let only = "restrict,command=\"git shell -c \\\"$SSH_ORIGINAL_COMMAND\\\"\"";
        fs::write(at("authorized"), format!("{only} {public}")).unwrap();
        let listen: String = PORTS.iter().map(|port| format!("ListenAddress {address}:{port}\n")).collect();
        let config = format!(
            "{listen}HostKey {}\nAuthorizedKeysFile {}\nPidFile none\nUsePAM no\nStrictModes no\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n",
            text(&at("host")),
            text(&at("authorized")),
        );
        fs::write(at("config"), config).unwrap();
        // Where it locks processes in that have not logged in yet.
        fs::create_dir_all("/run/sshd").unwrap();
        let mut command = Command::new("/usr/sbin/sshd");
        command.args(["-D", "-e", "-f", text(&at("config"))]).stdin(Stdio::null());
        let log = fs::File::create(at("log")).unwrap();
        let child = command.stderr(log).spawn().unwrap_or_else(|error| panic!("sshd, of openssh-server: {error}"));
        until("sshd listens", || PORTS.iter().all(|port| TcpStream::connect((address.as_str(), *port)).is_ok()));
        // Whoever is a test's user reads what is known of it.
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        let server = Self { directory, child, address };
        fs::write(server.at("known_hosts"), server.known_as("host")).unwrap();
        fs::write(server.at("other_hosts"), server.known_as("stranger")).unwrap();
        fs::write(server.at("no_hosts"), "").unwrap();
        server
    }

    /// `key`, the key that is let in, `stranger`, one that is not; `known_hosts`, what is to be known of the server,
    /// `other_hosts`, the same with another key, `no_hosts`, nothing.
    pub fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn known_as(&self, key: &str) -> String {
        let public = fs::read_to_string(self.at(&format!("{key}.pub"))).unwrap();
        let (address, [kind, base64]) = (&self.address, words(&public));
        format!("{address} {kind} {base64}\n[{address}]:2222 {kind} {base64}\n")
    }

    /// The part of a public key that says which it is.
    pub fn public(&self, key: &str) -> String {
        words(&fs::read_to_string(self.at(&format!("{key}.pub"))).unwrap())[1].to_owned()
    }

    /// How a repository on this machine is cloned.
    pub fn url(&self, repository: &Path) -> String {
        format!("ssh://root@{}:2222{}", self.address, repository.display())
    }

    /// The same as scp has it.
    pub fn scp(&self, repository: &Path) -> String {
        format!("root@{}:{}", self.address, repository.display())
    }
}

fn words(public: &str) -> [&str; 2] {
    let mut words = public.split_whitespace();
    [words.next().unwrap(), words.next().unwrap()]
}

fn make_key(path: &Path) {
    let comment = format!("comment-of-{}", path.file_name().unwrap().to_str().unwrap());
    tool("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-C", &comment, "-f", text(path)]).ok();
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// ssh-agent, with some keys.
pub struct Agent {
    directory: TempDir,
    child: Child,
}

impl Agent {
    pub fn with(keys: &[&Path]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("own-agent-of-the-test");
        let mut command = Command::new("ssh-agent");
        command.args(["-D", "-a", text(&socket)]).stdin(Stdio::null()).stdout(Stdio::null());
        let agent = Self { directory, child: command.spawn().unwrap() };
        until("the agent listens", || socket.exists());
        for key in keys {
            run(Command::new("ssh-add").args(["-q", text(key)]).env("SSH_AUTH_SOCK", &socket)).ok();
        }
        agent
    }

    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("own-agent-of-the-test")
    }

    /// What it says of its keys.
    pub fn keys(&self) -> String {
        run(Command::new("ssh-add").arg("-l").env("SSH_AUTH_SOCK", self.socket())).stdout
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
