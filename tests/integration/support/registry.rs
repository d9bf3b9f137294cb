//! A real registry on this machine, with or without passwords and TLS.

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::http::Authority;

/// A running registry; ends with the test.
pub struct Registry {
    pub address: String,
    child: Child,
    directory: TempDir,
}

impl Registry {
    pub fn start() -> Self {
        Self::with(|_| String::new())
    }

    /// One that takes manifests with URLs, which by default it does not.
    pub fn with_urls() -> Self {
        Self::with(|_| "validation:\n  manifests:\n    urls:\n      allow: ['^http://']\n".to_owned())
    }

    /// One that wants `user` and `password` for everything.
    pub fn with_password(user: &str, password: &str) -> Self {
        Self::with(|directory| passwords(directory, user, password))
    }

    /// One that speaks TLS with a certificate of `authority`; `more` is of its `tls` section.
    pub fn tls(authority: &Authority, more: &str, user: Option<(&str, &str)>) -> Self {
        Self::with(|directory| tls(directory, authority, more, user))
    }

    /// One that wants to see a certificate of `authority`.
    pub fn mutual(authority: &Authority) -> Self {
        Self::tls(authority, &format!("    clientcas: [{}]\n", authority.bundle().display()), None)
    }

    /// One that speaks TLS at an address of this machine's.
    pub fn tls_at(address: &str, authority: &Authority, user: Option<(&str, &str)>) -> Self {
        Self::at(address.to_owned(), |directory| tls(directory, authority, "", user))
    }

    fn with(auth: impl FnOnce(&TempDir) -> String) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self::at(format!("127.0.0.1:{port}"), auth)
    }

    fn at(address: String, auth: impl FnOnce(&TempDir) -> String) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("config.yml");
        let data = directory.path().join("data");
        let text = format!(
            "version: 0.1\nstorage:\n  delete:\n    enabled: true\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {address}\n{}",
            data.display(),
            auth(&directory)
        );
        std::fs::write(&config, text).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&config).stdout(Stdio::null()).stderr(Stdio::null());
        let registry = Self { address, child: command.spawn().unwrap(), directory };
        let start = Instant::now();
        while TcpStream::connect(&registry.address).is_err() {
            assert!(start.elapsed() < Duration::from_secs(20), "the registry does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        registry
    }

    /// Where it keeps blobs, in files whose directories are named by their digests.
    pub fn blobs(&self) -> PathBuf {
        self.directory.path().join("data/docker/registry/v2/blobs/sha256")
    }

    /// The digest that a tag stands for; `None` if there is no such tag.
    pub fn tag(&self, name: &str, tag: &str) -> Option<String> {
        let url = format!("http://{}/v2/{name}/manifests/{tag}", self.address);
        let accept = "Accept: application/vnd.oci.image.manifest.v1+json";
        let head = super::tool("curl", &["-sI", "--noproxy", "*", "-H", accept, &url]).ok().stdout.to_ascii_lowercase();
        let line = head.lines().find_map(|line| line.strip_prefix("docker-content-digest:"));
        line.map(|digest| digest.trim().to_owned())
    }

    /// A reference into it.
    pub fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }
}

fn tls(directory: &TempDir, authority: &Authority, more: &str, user: Option<(&str, &str)>) -> String {
    let (certificate, key) = authority.certificate();
    let (certificate, key) = (certificate.display(), key.display());
    let users = user.map_or(String::new(), |(user, password)| passwords(directory, user, password));
    format!("  tls:\n    certificate: {certificate}\n    key: {key}\n{more}{users}")
}

fn passwords(directory: &TempDir, user: &str, password: &str) -> String {
    let line = super::tool("htpasswd", &["-Bbn", user, password]).ok().stdout;
    let path = directory.path().join("htpasswd");
    std::fs::write(&path, line).unwrap();
    format!("auth:\n  htpasswd:\n    realm: test\n    path: {}\n", path.display())
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
