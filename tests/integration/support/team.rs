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

    /// All tags of a repository.
    pub fn tags(&self, repository: &str) -> Vec<String> {
        let url = format!("http://{}/v2/{repository}/tags/list", self.registry.address);
        let listed: Value = serde_json::from_str(&tool("curl", &["-sf", &url]).ok().stdout).unwrap();
        listed["tags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap().to_owned()).collect()
    }

    /// Names of the entries of this kind in a repository's list.
    pub fn names(&self, repository: &str, kind: &str) -> Vec<String> {
        let list = self.manifest(repository, LIST);
        let names = list["manifests"].as_array().unwrap().iter().flat_map(names);
        names.filter(|name| name.starts_with(&format!("alloy-cache-v1-{kind}"))).collect()
    }

    /// The manifest of an entry, or under a tag or digest.
    pub fn manifest(&self, repository: &str, name: &str) -> Value {
        serde_json::from_str(&self.text(repository, name)).unwrap()
    }

    /// The same as it is there.
    pub fn text(&self, repository: &str, name: &str) -> String {
        let found = if name.starts_with("alloy-cache-v1-") {
            let list = self.manifest(repository, LIST);
            let entries = list["manifests"].as_array().unwrap();
            let entry = entries.iter().find(|entry| names(entry).contains(&name.to_owned()));
            entry.unwrap_or_else(|| panic!("no {name} in {list:#}"))["digest"].as_str().unwrap().to_owned()
        } else {
            name.to_owned()
        };
        let url = format!("http://{}/v2/{repository}/manifests/{found}", self.registry.address);
        let accept = "Accept: application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json";
        tool("curl", &["-sf", "-H", accept, &url]).ok().stdout
    }

    /// Puts something else in the place of an entry, or under a tag.
    pub fn put(&self, repository: &str, name: &str, manifest: &str, place: &Path) {
        if !name.starts_with("alloy-cache-v1-") {
            return self.send(repository, name, "manifest", manifest, place);
        }
        let digest = layers::digest::Digest::of(manifest).to_string();
        self.send(repository, &digest, "manifest", manifest, place);
        let mut list = self.manifest(repository, LIST);
        let entries = list["manifests"].as_array_mut().unwrap();
        for entry in &mut *entries {
            let kept: Vec<String> = names(entry).into_iter().filter(|other| other != name).collect();
            entry["annotations"][NAMES] = kept.join(" ").into();
        }
        entries.push(serde_json::json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": manifest.len(),
            "annotations": {NAMES: name},
        }));
        self.send(repository, LIST, "index", &list.to_string(), place);
    }

    /// Puts a manifest or index under a tag or digest, whatever is there.
    pub fn send(&self, repository: &str, name: &str, kind: &str, manifest: &str, place: &Path) {
        let url = format!("http://{}/v2/{repository}/manifests/{name}", self.registry.address);
        let file = place.join("manifest.json");
        std::fs::write(&file, manifest).unwrap();
        let data = format!("@{}", text(&file));
        let kind = format!("Content-Type: application/vnd.oci.image.{kind}.v1+json");
        tool("curl", &["-sf", "-X", "PUT", "-H", &kind, "--data-binary", &data, &url]).ok();
    }
}

/// The tag of the list.
pub const LIST: &str = "alloy-cache";
const NAMES: &str = "vnd.alloy.cache.names";

/// Names of an entry of a list.
fn names(entry: &Value) -> Vec<String> {
    let names = entry["annotations"][NAMES].as_str().unwrap_or_default();
    names.split_whitespace().map(str::to_owned).collect()
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
