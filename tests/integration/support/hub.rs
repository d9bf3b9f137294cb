//! Blueprints to publish, and artifacts that nobody should publish.

use std::path::Path;
use std::process::Command;

use layers::compress::Encoder;
use layers::digest::Digest;
use layers::media_type::EMPTY;
use layers::tar::{Entry, Kind, TarWriter, plain_directory};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::images::quiet;
use super::registry::Registry;
use super::{Ended, Store, blueprint, run, text, tool};

pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const BLUEPRINT: &str = "application/vnd.alloy.blueprint.v1";

/// What belongs to [`board`].
pub const BELONGS: [&str; 8] = [
    "LICENSE",
    "README.md",
    "alloy.lock.yml",
    "files/tool.tar",
    "manifest.yml",
    "tasks/10-write.yml",
    "tasks/20-unpack.yml",
    "variables.yml",
];

/// A blueprint with everything that a blueprint may have, and what lies around it.
pub fn board() -> TempDir {
    let lock = |indent: &str, arch: &str| {
        let sha256 = Digest::of(arch).hex();
        format!("{indent}toolchain.x.gcc@stable: {{url: 'https://a.example/{arch}.tar', sha256: {sha256}}}\n")
    };
    let lock = format!(
        "host: linux/amd64\ntoolchains:\n{}hosts:\n  linux/arm64:\n    toolchains:\n{}",
        lock("  ", "amd64"),
        lock("      ", "arm64")
    );
    let manifest = "name: Board\nversion: 1.2.0\ndescription: What a board needs.\nauthors: [Ann, Bob]\n\
                    vendor: Example\nlicenses: Apache-2.0\nsupported_hosts: [linux/arm64, linux/amd64]\n\
                    toolchains: [{ref: toolchain.x.gcc, alias: GCC}]\nimage: {env_from_profile: false}\n\
                    run_order: [tasks/10-write.yml, tasks/20-unpack.yml]\n";
    let directory = blueprint(&[
        ("manifest.yml", manifest),
        ("variables.yml", "TOOL: tool\n"),
        ("alloy.lock.yml", &lock),
        ("README.md", "# Board\n"),
        ("LICENSE", "Apache-2.0\n"),
        (".env", "SOME_TOKEN=hunter2-hunter2\n"),
        ("alloy.state.yml", "version: 1\n"),
        ("notes.txt", "not for others\n"),
    ]);
    let script = "cd \"$0\" && mkdir tasks files .git && echo x > .git/config && echo tool > files/tool && \
                  tar -C files -cf files/tool.tar tool && echo '[]' > tasks/99-unused.yml";
    tool("sh", &["-c", script, text(directory.path())]).ok();
    let write = "- {name: write, action: write_env_file, file: /etc/gcc, content: '{{.Vars.GCC_URL}}'}\n";
    std::fs::write(directory.path().join("tasks/10-write.yml"), write).unwrap();
    let unpack = "- {name: unpack, action: unpack, source: 'files/{{.Vars.TOOL}}.tar', dest: /opt/tool, \
                  exclude: [wsl2]}\n";
    std::fs::write(directory.path().join("tasks/20-unpack.yml"), unpack).unwrap();
    directory
}

/// alloy, without what whoever runs the test has set.
pub fn alloy(store: &Store, directory: &Path, arguments: &[&str]) -> Command {
    let mut command = store.alloy(arguments);
    quiet(&mut command);
    for name in ["ALLOY_REGISTRY", "ALLOY_REGISTRY_USERNAME", "ALLOY_REGISTRY_PASSWORD", "SOURCE_DATE_EPOCH"] {
        command.env_remove(name);
    }
    command.current_dir(directory);
    command
}

/// Runs [`alloy`].
#[track_caller]
pub fn hub(store: &Store, directory: &Path, arguments: &[&str]) -> Ended {
    run(&mut alloy(store, directory, arguments))
}

/// All files below a directory, sorted.
pub fn files(directory: &Path) -> Vec<String> {
    let found = tool("find", &[text(directory), "-type", "f", "-printf", "%P\\n"]).ok().stdout;
    // What a clone remembers is no file of the blueprint.
    let own = |name: &&str| *name != ".alloy-clone.json";
    let mut names: Vec<String> = found.lines().filter(own).map(str::to_owned).collect();
    names.sort();
    names
}

/// What a registry has under a name, as skopeo sees it.
#[track_caller]
pub fn raw(reference: &str) -> Value {
    let name = format!("docker://{reference}");
    serde_json::from_str(&tool("skopeo", &["inspect", "--raw", "--tls-verify=false", &name]).ok().stdout).unwrap()
}

/// A compressed archive of these members; the text of a link is its target.
pub fn archive(members: &[(Kind, &str, &str)]) -> Vec<u8> {
    let mut tar = TarWriter::new(Vec::new());
    for (kind, path, text) in members {
        let link = if matches!(kind, Kind::Symlink | Kind::HardLink) { *text } else { "" };
        let size = text.len() as u64;
        let entry = Entry { kind: *kind, size, link: link.into(), ..plain_directory(Path::new(path)) };
        tar.append(&entry, &mut text.as_bytes()).unwrap();
    }
    let mut encoder = Encoder::new(Vec::new(), "gzip".parse().unwrap()).unwrap();
    std::io::Write::write_all(&mut encoder, &tar.finish().unwrap()).unwrap();
    encoder.finish().unwrap()
}

impl Registry {
    /// Puts a blob there, by hand.
    #[track_caller]
    pub fn put_blob(&self, name: &str, bytes: &[u8]) -> Value {
        let (digest, file) = (Digest::of(bytes), tempfile::NamedTempFile::new().unwrap());
        std::fs::write(file.path(), bytes).unwrap();
        let url = format!("http://{}/v2/{name}/blobs/uploads/", self.address);
        let head = tool("curl", &["-sfi", "--noproxy", "*", "-X", "POST", &url]).ok().stdout;
        let place = head.lines().find_map(|line| line.strip_prefix("Location: ")).unwrap().trim();
        let (url, data) = (format!("{place}&digest={digest}"), format!("@{}", file.path().display()));
        let kind = "Content-Type: application/octet-stream";
        tool("curl", &["-sf", "--noproxy", "*", "-X", "PUT", "-H", kind, "--data-binary", &data, &url]).ok();
        json!({"mediaType": "application/octet-stream", "digest": digest, "size": bytes.len()})
    }

    /// Puts a manifest there, by hand.
    #[track_caller]
    pub fn put_manifest(&self, name: &str, tag: &str, manifest: &Value) {
        let url = format!("http://{}/v2/{name}/manifests/{tag}", self.address);
        let kind = format!("Content-Type: {}", manifest["mediaType"].as_str().unwrap());
        let text = manifest.to_string();
        tool("curl", &["-sf", "--noproxy", "*", "-X", "PUT", "-H", &kind, "-d", &text, &url]).ok();
    }

    /// The manifest of an artifact with these layers, which are there.
    pub fn artifact(&self, name: &str, layers: &[Value]) -> Value {
        let mut config = self.put_blob(name, EMPTY);
        config["mediaType"] = json!("application/vnd.oci.empty.v1+json");
        json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": BLUEPRINT, "config": config, "layers": layers,
        })
    }
}
