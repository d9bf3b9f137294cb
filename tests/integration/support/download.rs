//! Builds that do nothing but download, onto a base with next to nothing in it.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::{ALLOY, Ended, Store, blueprint, run, text};

const PROXIES: [&str; 4] = ["http_proxy", "https_proxy", "all_proxy", "no_proxy"];

/// A store, and a blueprint whose tasks are downloads.
pub struct Downloads {
    pub store: Store,
    pub blueprint: TempDir,
}

impl Downloads {
    /// Of each of `files` one task, with the pin if there is one. Task `n` is line `n` of `tasks.yml`.
    pub fn new(files: &[(String, Option<String>)]) -> Self {
        let task = |(at, (url, pin)): (usize, &(String, Option<String>))| {
            let pin = pin.as_ref().map_or(String::new(), |pin| format!(", sha256: {pin}"));
            format!("- {{name: get {at}, action: get_file, url: '{url}', dest: /srv/{at}{pin}}}\n")
        };
        Self::of_tasks(&files.iter().enumerate().map(task).collect::<String>())
    }

    pub fn of_tasks(tasks: &str) -> Self {
        let manifest = "name: Test\nversion: 1.0.0\nrun_order: [tasks.yml]\nimage: {env_from_profile: false}\n";
        let blueprint = blueprint(&[("manifest.yml", manifest), ("tasks.yml", tasks)]);
        let store = Store::new();
        std::fs::create_dir_all(store.path().join("bare/etc")).unwrap();
        Self { store, blueprint }
    }

    /// One download.
    pub fn one(url: &str, sha256: Option<&str>) -> Self {
        Self::new(&[(url.to_owned(), sha256.map(str::to_owned))])
    }

    /// The blueprint's directory.
    pub fn path(&self) -> &Path {
        self.blueprint.path()
    }

    /// Writes a file of the blueprint.
    pub fn write(&self, name: &str, content: &str) {
        std::fs::write(self.path().join(name), content).unwrap();
    }

    /// The build, with a short patience for silent servers and without this machine's proxies.
    pub fn command(&self, more: &[&str]) -> Command {
        let mut command = self.alloy("build");
        command.args(["-t", "got"]).args(more);
        command
    }

    /// The same of another command that builds.
    pub fn alloy(&self, name: &str) -> Command {
        let mut command = Command::new(ALLOY);
        let base = format!("rootfs:{}", self.store.path().join("bare").display());
        command.args([name, text(self.blueprint.path()), "--progress=plain", "--base", &base]);
        command.env("ALLOY_HOME", self.store.path().join("store")).env("ALLOY_STALL_TIMEOUT", "2");
        for name in PROXIES {
            command.env_remove(name).env_remove(name.to_uppercase());
        }
        command
    }

    #[track_caller]
    pub fn build(&self, more: &[&str]) -> Ended {
        run(&mut self.command(more))
    }

    /// What lies among the store's downloads, and ends so.
    pub fn kept(&self, end: &str) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(self.store.path().join("store/downloads")) else { return Vec::new() };
        entries.map(|entry| entry.unwrap().path()).filter(|path| text(path).ends_with(end)).collect()
    }

    /// What the image has as `/srv/{at}`, read from the outside.
    pub fn got(&self, at: usize) -> Vec<u8> {
        let place = tempfile::tempdir().unwrap();
        let output = format!("type=dir,dest={}", place.path().join("root").display());
        self.build(&["-o", &output]).ok();
        std::fs::read(place.path().join(format!("root/srv/{at}"))).unwrap()
    }
}

/// Some bytes; of every seed others.
pub fn content(seed: usize) -> Vec<u8> {
    (0..1 << 20).map(|at| u8::try_from(at * (seed + 31) % 251).unwrap()).collect()
}

/// Their digest.
pub fn sha256(content: &[u8]) -> String {
    layers::digest::Digest::of(content).hex()
}
