//! A team: a registry with a proxy that counts, a blueprint, and machines that have seen nothing yet.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::images::quiet;
use super::proxy::Proxy;
use super::registry::Registry;
use super::{Ended, Store, blueprint, run, text, tool};

const MANIFEST: &str =
    "name: Test\nversion: 1.0.0\nrun_order: [a.yml, b.yml, c.yml]\nimage: {env_from_profile: false}\n";

/// Content that does not get smaller, so that a layer that moves is seen in the counts.
fn noise(seed: usize) -> String {
    let pieces = (0..4000).map(|at| layers::digest::Digest::of(format!("{seed} {at}")).hex());
    pieces.collect::<Vec<_>>().join("\n")
}

pub struct Team {
    pub registry: Registry,
    pub proxy: Proxy,
    pub blueprint: TempDir,
    base: String,
    /// Images are pushed with documents about them.
    pub attest: bool,
}

impl Team {
    pub fn new() -> Self {
        let registry = Registry::start();
        let proxy = Proxy::start(&registry.address);
        let directory = blueprint(&[("manifest.yml", MANIFEST)]);
        let team = Self { base: proxy.image("team/base:1"), registry, proxy, blueprint: directory, attest: false };
        for (seed, name) in ["a", "b", "c"].into_iter().enumerate() {
            team.task(name, &noise(seed));
        }
        let store = Store::new();
        let root = store.path().join("root");
        std::fs::create_dir_all(root.join("etc")).unwrap();
        std::fs::write(root.join("etc/noise"), noise(100)).unwrap();
        let bare = blueprint(&[
            ("manifest.yml", "name: Base\nversion: 1.0.0\nrun_order: [a.yml]\nimage: {env_from_profile: false}\n"),
            ("a.yml", "- {name: base, action: write_env_file, file: /etc/base, content: base}\n"),
        ]);
        let base = format!("rootfs:{}", text(&root));
        let arguments =
            ["--base", &base, "-t", &team.base, "--push", "--no-attest", "--cache-to=none", "--cache-from=none"];
        store.run(&[&["build", text(bare.path())], &arguments[..]].concat()).ok();
        team.proxy.reset();
        team
    }

    /// Writes the task file `{name}.yml`, which writes `/srv/{name}`.
    pub fn task(&self, name: &str, content: &str) {
        let content: String = content.lines().map(|line| format!("    {line}\n")).collect();
        let task =
            format!("- name: write {name}\n  action: write_env_file\n  file: /srv/{name}\n  content: |\n{content}");
        self.write(&format!("{name}.yml"), &task);
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.blueprint.path().join(name), text).unwrap();
    }

    /// The build of the blueprint in `store`.
    pub fn command(&self, store: &Store, arguments: &[&str]) -> Command {
        let metadata = store.path().join("metadata.json");
        let mut command = store.alloy(&["build", text(self.blueprint.path()), "--base", &self.base]);
        if !self.attest {
            command.arg("--no-attest");
        }
        command.args(arguments).arg("--metadata-file").arg(metadata);
        quiet(&mut command);
        command
    }

    #[track_caller]
    pub fn build(&self, store: &Store, arguments: &[&str]) -> (Value, Ended) {
        let ended = run(&mut self.command(store, arguments)).ok();
        (serde_json::from_slice(&std::fs::read(store.path().join("metadata.json")).unwrap()).unwrap(), ended)
    }

    /// The image and its push.
    pub fn image(&self, name: &str) -> String {
        self.proxy.image(name)
    }

    /// Names of the tags in a repository that hold an entry of this kind.
    pub fn tags(&self, repository: &str, kind: &str) -> Vec<String> {
        let url = format!("http://{}/v2/{repository}/tags/list", self.registry.address);
        let listed: Value = serde_json::from_str(&tool("curl", &["-sf", &url]).ok().stdout).unwrap();
        let tags = listed["tags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap().to_owned());
        tags.filter(|tag| tag.starts_with(&format!("alloy-cache-v1-{kind}-"))).collect()
    }

    pub fn manifest(&self, repository: &str, tag: &str) -> Value {
        let url = format!("http://{}/v2/{repository}/manifests/{tag}", self.registry.address);
        let accept = "Accept: application/vnd.oci.image.manifest.v1+json";
        serde_json::from_str(&tool("curl", &["-sf", "-H", accept, &url]).ok().stdout).unwrap()
    }

    /// Puts something else under a tag.
    pub fn put(&self, repository: &str, tag: &str, manifest: &str, place: &Path) {
        let url = format!("http://{}/v2/{repository}/manifests/{tag}", self.registry.address);
        let file = place.join("manifest.json");
        std::fs::write(&file, manifest).unwrap();
        let (data, kind) = (format!("@{}", text(&file)), "Content-Type: application/vnd.oci.image.manifest.v1+json");
        tool("curl", &["-sf", "-X", "PUT", "-H", kind, "--data-binary", &data, &url]).ok();
    }
}

/// How each layer came to be there.
pub fn hits(metadata: &Value) -> Vec<Option<String>> {
    let layers = metadata["layers"].as_array().unwrap();
    layers.iter().map(|layer| layer["hit"].as_str().map(str::to_owned)).collect()
}

/// The digest of an image.
pub fn digest(metadata: &Value) -> &str {
    metadata["containerimage.digest"].as_str().unwrap()
}
