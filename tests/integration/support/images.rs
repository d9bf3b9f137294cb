//! Small images without a distribution below them, for tests of what happens on the way to a registry.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

use super::{ALLOY, Ended, Store, blueprint, run, text, tool};

const MANIFEST: &str = "name: Test\nversion: 1.0.0\nrun_order: [tasks.yml]\nimage: {env_from_profile: false}\n";
const TASKS: &str = "- {name: one, action: write_env_file, file: /etc/one, content: 'ONE=1'}\n";

/// A store with `small`, `large` and `documented`, and a blueprint that stands on whatever it is told to.
pub struct Images {
    pub store: Store,
    blueprint: TempDir,
}

/// The images of all tests: `small:1`, `old:1`, `large:1`, which is worth going on with, and `documented:1`, with which
/// an SBOM and provenance go.
pub fn images() -> &'static Images {
    static IMAGES: OnceLock<Images> = OnceLock::new();
    IMAGES.get_or_init(|| {
        let images = Images { store: Store::new(), blueprint: tasks() };
        for (name, size) in [("old", 1 << 10), ("small", 300 << 10), ("large", 40 << 20)] {
            let root = images.store.path().join(name);
            std::fs::create_dir_all(root.join("etc")).unwrap();
            std::fs::write(root.join("noise"), noise(size)).unwrap();
            let (base, tag) = (format!("rootfs:{}", text(&root)), format!("{name}:1"));
            // Tables count requests: of the image alone.
            let build = ["build", text(images.blueprint.path()), "--base", &base, "-t", &tag, "--no-attest"];
            images.store.run(&build).ok();
        }
        // One with an SBOM and provenance.
        let base = format!("rootfs:{}", text(&images.store.path().join("small")));
        images.store.run(&["build", text(images.blueprint.path()), "--base", &base, "-t", "documented:1"]).ok();
        images
    })
}

/// A blueprint that writes one file.
pub fn tasks() -> TempDir {
    blueprint(&[("manifest.yml", MANIFEST), ("tasks.yml", TASKS)])
}

impl Images {
    /// The push of a local image, impatient with silent servers.
    pub fn push_command(&self, image: &str, to: &str) -> Command {
        let mut command = self.store.alloy(&["push", image, to]);
        quiet(&mut command);
        command
    }

    #[track_caller]
    pub fn push(&self, image: &str, to: &str) -> Ended {
        run(&mut self.push_command(image, to))
    }

    /// Digest of a local image's manifest.
    pub fn digest(&self, image: &str) -> String {
        let inspected: Value = serde_json::from_str(&self.store.run(&["inspect", image]).ok().stdout).unwrap();
        inspected["digest"].as_str().unwrap().to_owned()
    }

    /// A build in `store` that has to read all of its base.
    pub fn build_command(&self, store: &Store, base: &str) -> Command {
        let mut command = Command::new(ALLOY);
        let dest = format!("type=oci-archive,dest={}", store.path().join("out.oci").display());
        command.args(["build", text(self.blueprint.path()), "--base", base, "-o", &dest, "--progress=plain"]);
        command.env("ALLOY_HOME", store.path().join("store"));
        quiet(&mut command);
        command
    }
}

/// Without the settings of whoever runs the test. A machine may be busy for a second or two; nobody waits longer.
pub fn quiet(command: &mut Command) {
    command.env("ALLOY_STALL_TIMEOUT", "3").env("HOME", "/nowhere");
    for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
        command.env_remove(name).env_remove(name.to_uppercase());
    }
    for name in ["DOCKER_AUTH_CONFIG", "DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"] {
        command.env_remove(name);
    }
}

/// Bytes that do not get smaller, the same every time for a size (xorshift).
fn noise(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ size as u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..size / 8).flat_map(|_| next()).collect()
}

/// Fails the test if a file below `directory` that is named by a digest is something else.
#[track_caller]
pub fn is_sound(directory: &Path) {
    let script = "cd \"$0\" && find . -type f | while read -r f; do case $f in \
                  */data) n=$(basename \"$(dirname \"$f\")\");; *) n=$(basename \"$f\");; esac; \
                  echo \"$n  $f\" | sha256sum --check --quiet || exit 1; done";
    tool("sh", &["-c", script, text(directory)]).ok();
}
