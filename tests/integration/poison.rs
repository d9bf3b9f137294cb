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

/// In place of `hello`: a package of the same name, version and size that leaves `/etc/trojan`.
const PLANT: &str = r#"
set -eu
cd /var/cache/apt/archives
apt-get update -q
apt-get install -y --download-only hello
deb=$(ls hello_*.deb); size=$(stat -c %s "$deb")
dpkg-deb -R "$deb" /tmp/w
rm -rf /tmp/w/usr/share/doc /tmp/w/usr/share/locale /tmp/w/usr/share/info /tmp/w/usr/share/man /tmp/w/DEBIAN/md5sums
printf '#!/bin/sh\necho TROJAN > /etc/trojan\n' > /tmp/w/DEBIAN/postinst
chmod 755 /tmp/w/DEBIAN/postinst
dpkg-deb -b --root-owner-group -Zxz /tmp/w /tmp/t.deb
pad=$((size - $(stat -c %s /tmp/t.deb) - 60))
test "$pad" -gt 0
printf '%-16s%-12s%-6s%-6s%-8s%-10s`\n' _pad 0 0 0 100644 "$pad" >> /tmp/t.deb
head -c "$pad" /dev/zero >> /tmp/t.deb
cp /tmp/t.deb "$deb"
test "$(stat -c %s "$deb")" = "$size"
for list in /var/lib/apt/lists/*_Packages; do printf '\nPackage: trojan\n' >> "$list"; done
touch /etc/planted
"#;

fn run_command(script: &str) -> String {
    let script: String = script.trim().lines().map(|line| format!("    {line}\n")).collect();
    format!("- name: command\n  action: run_command\n  reason: test\n  command: |\n{script}")
}

#[test]
fn packages_and_lists_that_a_build_left_are_not_the_next_ones() {
    let store = Store::new();
    let hello = "- {name: hello, action: apt_install, packages: [hello]}\n";
    let refresh = "- {name: refresh, action: apt_install, packages: []}\n";
    let build = |name: &str, tasks: &str| {
        let blueprint = crate::support::tasks(tasks);
        store.run(&["build", text(blueprint.path()), "-t", name, "--no-attest"])
    };
    // The commands of one layer come before its end, when lists are taken back.
    build("evil:1", &format!("{refresh}{}", run_command(PLANT))).ok();
    assert_eq!(kept_lists(&store), Vec::<String>::new(), "what was written to is not kept");
    let look = run_command("! grep -ls trojan /var/lib/apt/lists/*");
    build("good:1", &format!("{hello}{look}")).ok();
    let script = "test -x /usr/bin/hello && test ! -e /etc/trojan";
    store.run(&["run", "good:1", "--", "sh", "-c", script]).ok();
    // What the good one fetched is what the archive has, and the next one finds it.
    let lists = kept_lists(&store);
    assert!(lists.iter().any(|name| name.contains("_Packages")), "{lists:?}");
    let evil = build("evil:2", &run_command(PLANT)).ok();
    assert_eq!(kept_lists(&store), lists, "{}", evil.stderr);
    let again = build("good:2", &format!("{look}{hello}")).ok();
    assert!(again.stderr.contains("Need to get 0 B"), "{}", again.stderr);
    store.run(&["run", "good:2", "--", "sh", "-c", script]).ok();
}

/// Names of lists that the store keeps.
fn kept_lists(store: &Store) -> Vec<String> {
    let places = fs::read_dir(store.path().join("store/cache/lists")).into_iter().flatten().flatten();
    let files = places.flat_map(|place| fs::read_dir(place.path()).unwrap().flatten());
    let mut names: Vec<String> = files.map(|file| file.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
