//! Throw-away roots to install to: never this machine's own.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

use super::{ALLOY, Ended, Store, repository, run, shared, text, tool};

/// Runs `script`, which makes archives beside it, in a directory of `place` that is deleted after it.
pub fn archive(place: &Path, script: &str) {
    let script = format!("set -e; mkdir tree; cd tree; {script}");
    run(Command::new("sh").args(["-c", &script]).current_dir(place)).ok();
    std::fs::remove_dir_all(place.join("tree")).unwrap();
}

/// A root of a test's own.
pub struct Host {
    directory: TempDir,
}

impl Host {
    /// A small Debian, as alloy makes it for images.
    pub fn debian() -> Self {
        static BASE: OnceLock<PathBuf> = OnceLock::new();
        let base = BASE.get_or_init(|| {
            let base = shared().path().join("host-base");
            let output = format!("type=dir,dest={}", text(&base));
            shared().run(&["build", text(&repository("examples/hello")), "-o", &output]).ok();
            base
        });
        let host = Self { directory: tempfile::tempdir().unwrap() };
        tool("cp", &["-a", "--reflink=auto", &format!("{}/.", text(base)), text(host.path())]).ok();
        // What the blueprint of the base wrote is no part of the base.
        std::fs::remove_file(host.at("etc/profile.d/hello.sh")).unwrap();
        host
    }

    /// What a blueprint makes.
    pub fn of(blueprint: &Path) -> Self {
        let host = Self { directory: tempfile::tempdir().unwrap() };
        std::fs::remove_dir(host.path()).unwrap();
        let output = format!("type=dir,dest={}", text(host.path()));
        shared().run(&["build", text(blueprint), "-o", &output]).ok();
        host
    }

    /// A root without any program: for tasks that only write files.
    pub fn bare() -> Self {
        let host = Self { directory: tempfile::tempdir().unwrap() };
        std::fs::create_dir(host.at("etc")).unwrap();
        std::fs::write(host.at("etc/os-release"), "ID=debian\nPRETTY_NAME=\"Debian, all but empty\"\n").unwrap();
        host
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A path in it.
    pub fn at(&self, path: &str) -> PathBuf {
        self.path().join(path)
    }

    /// The text of a file in it.
    #[track_caller]
    pub fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.at(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Owner, group and mode of a path in it.
    #[track_caller]
    pub fn attributes(&self, path: &str) -> (u32, u32, u32) {
        let found = self.at(path).symlink_metadata().unwrap_or_else(|error| panic!("{path}: {error}"));
        (found.uid(), found.gid(), found.mode() & 0o7777)
    }

    /// `alloy install` of a blueprint to it, as its owner would have called it: not by sudo.
    pub fn command(&self, store: &Store, blueprint: &Path, more: &[&str]) -> Command {
        let mut command = Command::new(ALLOY);
        command.args(["install", "--blueprint-dir", text(blueprint), "--root", text(self.path())]).args(more);
        command.env("ALLOY_HOME", store.path().join("store")).env_remove("SUDO_USER").env("USER", "root");
        command
    }

    #[track_caller]
    pub fn install(&self, store: &Store, blueprint: &Path, more: &[&str]) -> Ended {
        run(&mut self.command(store, blueprint, more))
    }

    /// `alloy drift` of it.
    #[track_caller]
    pub fn drift(&self, store: &Store, more: &[&str]) -> Ended {
        run(&mut self.drift_command(store, more))
    }

    pub fn drift_command(&self, store: &Store, more: &[&str]) -> Command {
        let mut all = vec!["drift", "--root", text(self.path())];
        all.extend(more);
        store.command(&all)
    }
}
