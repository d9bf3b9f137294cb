//! Image layouts that other tools might have written, and odder ones.

use std::fs;
use std::path::{Path, PathBuf};

use layers::compress::{Compression, Encoder};
use layers::digest::Digest;
use layers::tar::{Entry, Kind, TarWriter, plain_directory};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{blueprint, text};

/// OCI's name of a layer that is not compressed.
pub const PLAIN: &str = "application/vnd.oci.image.layer.v1.tar";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A layout in a directory of its own, `oci`.
pub struct Layout {
    place: TempDir,
}

/// One layer: the bytes of its blob, its diff ID and how a manifest names it.
#[derive(Clone)]
pub struct OddLayer {
    pub blob: Vec<u8>,
    pub diff_id: String,
    pub media_type: String,
    pub urls: Vec<String>,
}

/// A tar with these files.
pub fn tar_of(files: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = TarWriter::new(Vec::new());
    for (path, content) in files {
        let size = content.len() as u64;
        let entry = Entry { kind: Kind::File, mode: 0o755, size, ..plain_directory(Path::new(path)) };
        tar.append(&entry, &mut content.as_bytes()).unwrap();
    }
    tar.finish().unwrap()
}

impl OddLayer {
    /// A layer of these files, compressed as `how` says.
    pub fn of(files: &[(&str, &str)], media_type: &str, how: &str) -> Self {
        let tar = tar_of(files);
        let compression: Compression = how.parse().unwrap();
        let mut encoder = Encoder::new(Vec::new(), compression).unwrap();
        std::io::copy(&mut tar.as_slice(), &mut encoder).unwrap();
        let diff_id = Digest::of(&tar).to_string();
        Self { blob: encoder.finish().unwrap(), diff_id, media_type: media_type.to_owned(), urls: Vec::new() }
    }

    /// One with a single file, not compressed.
    pub fn file(path: &str, content: &str) -> Self {
        Self::of(&[(path, content)], PLAIN, "none")
    }

    pub fn urls(self, urls: &[&str]) -> Self {
        Self { urls: urls.iter().map(|url| (*url).to_owned()).collect(), ..self }
    }

    pub fn digest(&self) -> String {
        Digest::of(&self.blob).to_string()
    }
}

impl Layout {
    pub fn new() -> Self {
        let layout = Self { place: tempfile::tempdir().unwrap() };
        fs::create_dir_all(layout.path().join("blobs/sha256")).unwrap();
        fs::write(layout.path().join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        layout
    }

    /// A layout of one image without a name.
    pub fn single(layers: &[OddLayer], config: Value) -> Self {
        let layout = Self::new();
        let entry = layout.image(layers, config, |_| {});
        layout.index(&[entry]);
        layout
    }

    pub fn path(&self) -> PathBuf {
        self.place.path().join("oci")
    }

    /// The layout as a base, with what is to stand behind it.
    pub fn base(&self, behind: &str) -> String {
        format!("oci:{}{behind}", text(&self.path()))
    }

    pub fn blob(&self, digest: &str) -> PathBuf {
        self.path().join("blobs").join(digest.replace(':', "/"))
    }

    /// Puts a blob; gives what it is called.
    pub fn put(&self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = Digest::of(bytes).to_string();
        fs::write(self.blob(&digest), bytes).unwrap();
        json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
    }

    /// Puts an image whose config is changed at last; gives the entry of an index.
    pub fn image(&self, layers: &[OddLayer], config: Value, change: impl FnOnce(&mut Value)) -> Value {
        let entries = layers.iter().map(|layer| {
            let mut entry = self.put(&layer.media_type, &layer.blob);
            if !layer.urls.is_empty() {
                entry["urls"] = json!(layer.urls);
            }
            entry
        });
        let entries: Vec<Value> = entries.collect();
        let architecture = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
        let ids: Vec<&str> = layers.iter().map(|layer| layer.diff_id.as_str()).collect();
        let mut config = json!({
            "architecture": architecture, "os": "linux", "config": config,
            "rootfs": {"type": "layers", "diff_ids": ids},
        });
        change(&mut config);
        let config = self.put("application/vnd.oci.image.config.v1+json", config.to_string().as_bytes());
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": entries});
        self.put(kind, manifest.to_string().as_bytes())
    }

    /// Puts an index into the layout as a blob; gives its entry.
    pub fn nested(&self, entries: &[Value]) -> Value {
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries});
        self.put(INDEX, index.to_string().as_bytes())
    }

    /// Writes what the layout lists.
    pub fn index(&self, entries: &[Value]) {
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries});
        fs::write(self.path().join("index.json"), index.to_string()).unwrap();
    }
}

/// `entry` with the name that skopeo gives.
pub fn named(entry: &Value, name: &str) -> Value {
    let mut entry = entry.clone();
    entry["annotations"] = json!({"org.opencontainers.image.ref.name": name});
    entry
}

/// A blueprint of one file that needs no command, for any base.
pub fn files_only() -> TempDir {
    let manifest = "name: Odd\nversion: 1.0.0\nrun_order: [a.yml]\nimage: {env_from_profile: false}\n";
    blueprint(&[
        ("manifest.yml", manifest),
        ("a.yml", "- {name: write, action: write_env_file, file: /srv/own, content: own}\n"),
    ])
}
