//! A real registry on this machine, with or without passwords.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A running registry; ends with the test.
pub struct Registry {
    pub address: String,
    child: Child,
    _directory: TempDir,
}

impl Registry {
    pub fn start() -> Self {
        Self::with(|_| String::new())
    }

    /// One that wants `user` and `password` for everything.
    pub fn with_password(user: &str, password: &str) -> Self {
        Self::with(|directory| {
            let line = super::tool("htpasswd", &["-Bbn", user, password]).ok().stdout;
            let path = directory.path().join("htpasswd");
            std::fs::write(&path, line).unwrap();
            format!("auth:\n  htpasswd:\n    realm: test\n    path: {}\n", path.display())
        })
    }

    fn with(auth: impl FnOnce(&TempDir) -> String) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let config = directory.path().join("config.yml");
        let data = directory.path().join("data");
        let text = format!(
            "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {address}\n{}",
            data.display(),
            auth(&directory)
        );
        std::fs::write(&config, text).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&config).stdout(Stdio::null()).stderr(Stdio::null());
        let registry = Self { address, child: command.spawn().unwrap(), _directory: directory };
        let start = Instant::now();
        while TcpStream::connect(&registry.address).is_err() {
            assert!(start.elapsed() < Duration::from_secs(20), "the registry does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        registry
    }

    /// A reference into it.
    pub fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
