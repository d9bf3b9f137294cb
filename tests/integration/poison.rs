//! What one image, archive or build leaves in the store is not taken by another for something else.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::download::sha256;
use crate::support::images::tasks;
use crate::support::registry::Registry;
use crate::support::{Ended, Store, text, tool};

/// An image with one layer, which holds `usr/bin/tool`.
struct Forged {
    layer: Vec<u8>,
    config: Vec<u8>,
    manifest: Vec<u8>,
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", sha256(bytes))
}

/// A tar of a root whose tool says `says`.
fn layer(place: &Path, says: &str) -> Vec<u8> {
    let root = place.join(format!("root-{says}"));
    fs::create_dir_all(root.join("usr/bin")).unwrap();
    fs::write(root.join("usr/bin/tool"), says).unwrap();
    let tar = place.join(format!("{says}.tar"));
    tool("tar", &["-C", text(&root), "--owner=0", "--group=0", "--mtime=@0", "-cf", text(&tar), "usr"]).ok();
    fs::read(tar).unwrap()
}

impl Forged {
    /// An image of `layers`, gzipped, whose config claims the diff IDs of `claimed`.
    fn new(place: &Path, layer: &[u8], claimed: &[u8]) -> Self {
        let config = json!({"architecture": std::env::consts::ARCH.replace("x86_64", "amd64").replace("aarch64", "arm64"),
            "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": [digest(claimed)]}});
        let plain = place.join("layer");
        fs::write(&plain, layer).unwrap();
        tool("gzip", &["-nkf", text(&plain)]).ok();
        let (layer, config) = (fs::read(place.join("layer.gz")).unwrap(), config.to_string().into_bytes());
        let manifest = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": described("application/vnd.oci.image.config.v1+json", &config),
            "layers": [described("application/vnd.oci.image.layer.v1.tar+gzip", &layer)]});
        Self { manifest: manifest.to_string().into_bytes(), layer, config }
    }

    /// As an OCI image layout.
    fn layout(&self, path: &Path) -> String {
        fs::create_dir_all(path.join("blobs/sha256")).unwrap();
        for blob in [&self.layer, &self.config, &self.manifest] {
            fs::write(path.join("blobs/sha256").join(sha256(blob)), blob).unwrap();
        }
        let entry = described("application/vnd.oci.image.manifest.v1+json", &self.manifest);
        let index = json!({"schemaVersion": 2, "manifests": [entry]});
        fs::write(path.join("index.json"), index.to_string()).unwrap();
        fs::write(path.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        format!("oci:{}", text(path))
    }

    /// The same in a tar.
    fn layout_archive(&self, place: &Path) -> String {
        let (directory, tar) = (place.join("in-tar"), place.join("layout.tar"));
        self.layout(&directory);
        tool("tar", &["-C", text(&directory), "-cf", text(&tar), "oci-layout", "index.json", "blobs"]).ok();
        format!("oci-archive:{}", text(&tar))
    }

    /// As `docker save` writes it.
    fn docker_archive(&self, place: &Path) -> String {
        let (directory, tar) = (place.join("saved"), place.join("saved.tar"));
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("config.json"), &self.config).unwrap();
        fs::write(directory.join("layer.tar.gz"), &self.layer).unwrap();
        let manifest = json!([{"Config": "config.json", "RepoTags": ["x:1"], "Layers": ["layer.tar.gz"]}]);
        fs::write(directory.join("manifest.json"), manifest.to_string()).unwrap();
        tool("tar", &["-C", text(&directory), "-cf", text(&tar), "config.json", "layer.tar.gz", "manifest.json"]).ok();
        format!("docker-archive:{}", text(&tar))
    }

    /// In a registry.
    fn pushed(&self, registry: &Registry, name: &str) -> String {
        registry.put_blob(name, &self.layer);
        registry.put_blob(name, &self.config);
        registry.put_manifest(name, "1", &serde_json::from_slice::<Value>(&self.manifest).unwrap());
        registry.image(&format!("{name}:1"))
    }
}

fn described(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": digest(bytes), "size": bytes.len()})
}

/// Builds on `base`, with a task that has to see the files of the base.
fn build(store: &Store, base: &str, more: &[&str]) -> Ended {
    let blueprint = tasks();
    let arguments = ["build", text(blueprint.path()), "--base", base, "-t", "x:1", "--no-attest"];
    store.run(&[&arguments, more].concat())
}

/// What the tools in all trees of the store say, without those of a layer that was made.
fn trees(store: &Store) -> Vec<(PathBuf, String)> {
    let trees = fs::read_dir(store.path().join("store/trees")).unwrap();
    let tools = trees.map(|tree| tree.unwrap().path().join("usr/bin/tool"));
    tools.filter_map(|tool| Some((tool.clone(), fs::read_to_string(tool).ok()?))).collect()
}

#[test]
fn a_false_diff_id_is_an_error_and_poisons_nothing() {
    let place = tempfile::tempdir().unwrap();
    let (good, evil) = (layer(place.path(), "GOOD"), layer(place.path(), "EVIL"));
    let honest = Forged::new(place.path(), &good, &good);
    let forged = Forged::new(place.path(), &evil, &good);
    let registry = Registry::start();
    let ways = [
        forged.layout(&place.path().join("evil")),
        forged.layout_archive(place.path()),
        forged.docker_archive(place.path()),
        forged.pushed(&registry, "evil"),
    ];
    let store = Store::new();
    for base in &ways {
        // Twice: a failure leaves nothing behind that makes the next one believe it.
        for _ in 0..2 {
            let ended = build(&store, base, &[]).fails(1);
            let where_from = base.split_once(':').unwrap().1;
            for part in [where_from, "layer 1 of 1", &digest(&good), &digest(&evil)] {
                assert!(ended.stderr.contains(part), "{base}: no `{part}` in {}", ended.stderr);
            }
        }
        assert_eq!(trees(&store), []);
    }
    build(&store, &honest.pushed(&registry, "good"), &[]).ok();
    let found = trees(&store);
    assert!(!found.is_empty() && found.iter().all(|(_, says)| says == "GOOD"), "{found:?}");
}

#[test]
fn an_image_nobody_looked_into_is_checked_before_it_is_written_out() {
    let place = tempfile::tempdir().unwrap();
    let (good, evil) = (layer(place.path(), "GOOD"), layer(place.path(), "EVIL"));
    let registry = Registry::start();
    let base = Forged::new(place.path(), &evil, &good).pushed(&registry, "evil");
    // Nothing has to be made on top of the base: its tree is never wanted.
    let manifest = "name: Test\nversion: 1.0.0\nrun_order: [tasks.yml]\nimage: {env_from_profile: false}\n";
    let blueprint = crate::support::blueprint(&[("manifest.yml", manifest), ("tasks.yml", "[]\n")]);
    for kind in ["oci", "oci-archive", "docker-archive", "tar", "dir"] {
        let (store, dest) = (Store::new(), place.path().join(format!("out-{kind}")));
        let output = format!("type={kind},dest={}", dest.display());
        let arguments = ["build", text(blueprint.path()), "--base", &base, "--no-attest", "-o", &output];
        let ended = store.run(&arguments).fails(1);
        assert!(ended.stderr.contains(&digest(&evil)), "{kind}: {}", ended.stderr);
        assert!(!dest.exists(), "{kind}");
    }
}

#[test]
fn trees_that_an_older_alloy_named_by_claims_are_not_believed() {
    let place = tempfile::tempdir().unwrap();
    let good = layer(place.path(), "GOOD");
    let base = Forged::new(place.path(), &good, &good).layout(&place.path().join("good"));
    let store = Store::new();
    build(&store, &base, &[]).ok();
    // One layer: its chain ID is its diff ID.
    let old = store.path().join("store/trees").join(format!("chain-{}", sha256(&good)));
    fs::create_dir_all(old.join("usr/bin")).unwrap();
    fs::write(old.join("usr/bin/tool"), "EVIL").unwrap();
    let metadata = place.path().join("metadata.json");
    build(&store, &base, &["--no-cache", "--metadata-file", text(&metadata)]).ok();
    store.run(&["prune"]).ok();
    assert!(!old.exists());
    assert!(trees(&store).iter().all(|(_, says)| says == "GOOD"));
}
