//! A shell for what the documentation shows.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};

use tempfile::TempDir;

use super::http::Authority;
use super::registry::Registry;
use super::{ALLOY, Ended, repository, run, shared, text};

/// A shell in a directory of its own, as somebody has it who follows the documentation: alloy is in PATH, `registry.example` is a
/// registry, and what the machine has at /mnt and /run stays as it is.
pub struct Shell {
    _registry: Registry,
    pub place: TempDir,
}

impl Shell {
    pub fn new() -> Self {
        Self::with(None)
    }

    /// The same, where the registry wants to know who asks.
    pub fn with(user: Option<(&str, &str)>) -> Self {
        static SHELLS: AtomicU8 = AtomicU8::new(1);
        // Its port is that of the name alone.
        let address = format!("127.71.0.{}", SHELLS.fetch_add(1, Ordering::Relaxed));
        let (authority, place) = (Authority::new(), tempfile::tempdir().unwrap());
        let registry = Registry::tls_at(&format!("{address}:443"), &authority, user);
        let certificates = place.path().join("config/containers/certs.d");
        fs::create_dir_all(&certificates).unwrap();
        fs::rename(authority.certs(place.path(), false), certificates.join("registry.example")).unwrap();
        let write = |name: &str, text: &str| fs::write(place.path().join(name), text).unwrap();
        fs::create_dir_all(place.path().join("bin")).unwrap();
        std::os::unix::fs::symlink(ALLOY, place.path().join("bin/alloy")).unwrap();
        std::os::unix::fs::symlink(repository("examples"), place.path().join("examples")).unwrap();
        write("hosts", &format!("127.0.0.1 localhost\n{address} registry.example\n"));
        write(
            "setup",
            "set -eu -o pipefail\nmount -t tmpfs none /mnt\nmount -t tmpfs none /run\n\
             mount --bind \"${BASH_SOURCE%/*}/hosts\" /etc/hosts\n\
             export no_proxy=\"${no_proxy:-},registry.example\" NO_PROXY=\"${NO_PROXY:-},registry.example\"\n\
             cargo() { [ \"$1 $2 $3\" = 'run --release --' ]; shift 3; alloy \"$@\"; }\n",
        );
        Self { _registry: registry, place }
    }

    /// Runs `script` in `directory`.
    pub fn run(&self, directory: &Path, script: &str) -> Ended {
        let setup = self.place.path().join("setup");
        let path = format!("{}:{}", text(&self.place.path().join("bin")), std::env::var("PATH").unwrap());
        let mut command = Command::new("unshare");
        command.args(["-m", "bash", "-c", &format!(". {}; {script}", text(&setup))]).current_dir(directory);
        command.env("PATH", path).env("ALLOY_HOME", shared().path().join("store"));
        command.env("XDG_CONFIG_HOME", self.place.path().join("config"));
        run(&mut command)
    }
}
