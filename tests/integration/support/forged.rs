//! Images that are not what their config says.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::download::sha256;
use super::registry::Registry;
use super::{text, tool};

/// An image.
pub struct Forged {
    layers: Vec<Vec<u8>>,
    config: Vec<u8>,
    manifest: Vec<u8>,
}

pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", sha256(bytes))
}

/// A tar of a root whose tool says `says`.
pub fn layer(place: &Path, says: &str) -> Vec<u8> {
    let root = place.join(format!("root-{says}"));
    fs::create_dir_all(root.join("usr/bin")).unwrap();
    fs::write(root.join("usr/bin/tool"), says).unwrap();
    let tar = place.join(format!("{says}.tar"));
    tool("tar", &["-C", text(&root), "--owner=0", "--group=0", "--mtime=@0", "-cf", text(&tar), "usr"]).ok();
    fs::read(tar).unwrap()
}

impl Forged {
    /// An image of `layer`, gzipped, whose config claims the diff ID of `claimed`.
    pub fn new(place: &Path, layer: &[u8], claimed: &[u8]) -> Self {
        Self::of(place, &[layer.to_vec()], &[claimed.to_vec()], "gzip -n")
    }

    /// An image of layers that are what is claimed; `compress` is the filter that they go through, its type is gzip.
    pub fn stack(place: &Path, layers: &[Vec<u8>], compress: &str) -> Self {
        Self::of(place, layers, layers, compress)
    }

    fn of(place: &Path, layers: &[Vec<u8>], claimed: &[Vec<u8>], compress: &str) -> Self {
        let diff_ids: Vec<String> = claimed.iter().map(|layer| digest(layer)).collect();
        let config = json!({"architecture": std::env::consts::ARCH.replace("x86_64", "amd64").replace("aarch64", "arm64"),
            "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": diff_ids}});
        let packed = |layer: &Vec<u8>| {
            let (from, to) = (place.join("layer"), place.join("layer.packed"));
            fs::write(&from, layer).unwrap();
            tool("sh", &["-c", &format!("{compress} < \"$0\" > \"$1\""), text(&from), text(&to)]).ok();
            fs::read(to).unwrap()
        };
        let (layers, config): (Vec<_>, _) = (layers.iter().map(packed).collect(), config.to_string().into_bytes());
        let kind = "application/vnd.oci.image.layer.v1.tar+gzip";
        let described_layers: Vec<Value> = layers.iter().map(|layer| described(kind, layer)).collect();
        let manifest = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": described("application/vnd.oci.image.config.v1+json", &config), "layers": described_layers});
        Self { manifest: manifest.to_string().into_bytes(), layers, config }
    }

    /// As an OCI image layout.
    pub fn layout(&self, path: &Path) -> String {
        fs::create_dir_all(path.join("blobs/sha256")).unwrap();
        for blob in self.layers.iter().chain([&self.config, &self.manifest]) {
            fs::write(path.join("blobs/sha256").join(sha256(blob)), blob).unwrap();
        }
        let entry = described("application/vnd.oci.image.manifest.v1+json", &self.manifest);
        let index = json!({"schemaVersion": 2, "manifests": [entry]});
        fs::write(path.join("index.json"), index.to_string()).unwrap();
        fs::write(path.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        format!("oci:{}", text(path))
    }

    /// The same in a tar.
    pub fn layout_archive(&self, place: &Path) -> String {
        let (directory, tar) = (place.join("in-tar"), place.join("layout.tar"));
        self.layout(&directory);
        tool("tar", &["-C", text(&directory), "-cf", text(&tar), "oci-layout", "index.json", "blobs"]).ok();
        format!("oci-archive:{}", text(&tar))
    }

    /// As `docker save` writes it.
    pub fn docker_archive(&self, place: &Path) -> String {
        let (directory, tar) = (place.join("saved"), place.join("saved.tar"));
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("config.json"), &self.config).unwrap();
        fs::write(directory.join("layer.tar.gz"), &self.layers[0]).unwrap();
        let manifest = json!([{"Config": "config.json", "RepoTags": ["x:1"], "Layers": ["layer.tar.gz"]}]);
        fs::write(directory.join("manifest.json"), manifest.to_string()).unwrap();
        tool("tar", &["-C", text(&directory), "-cf", text(&tar), "config.json", "layer.tar.gz", "manifest.json"]).ok();
        format!("docker-archive:{}", text(&tar))
    }

    /// In a registry.
    pub fn pushed(&self, registry: &Registry, name: &str) -> String {
        self.layers.iter().for_each(|layer| drop(registry.put_blob(name, layer)));
        registry.put_blob(name, &self.config);
        registry.put_manifest(name, "1", &serde_json::from_slice::<Value>(&self.manifest).unwrap());
        registry.image(&format!("{name}:1"))
    }
}

pub fn described(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": digest(bytes), "size": bytes.len()})
}
