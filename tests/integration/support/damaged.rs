//! A store with an image, and copies of it in which something is damaged.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::files::Files;
use super::{ALLOY, Ended, blueprint, run, text, tool};

const MANIFEST: &str = "name: Damage\nversion: 1.0.0\nrun_order: [a.yml, b.yml, c.yml]\n\
                        image: {base: \"rootfs:base\", env_from_profile: false}\n";

/// A store with an image, from which every case gets a copy of its own.
pub struct Whole {
    _files: Files,
    pub blueprint: TempDir,
    pub place: TempDir,
    pub digest: String,
    pub archive: Vec<u8>,
}

impl Whole {
    pub fn new() -> Self {
        let files = Files::serve();
        files.script(
            "mkdir one two; echo one > one/file; echo tool > tool; seq 9999 > two/numbers; \
             tar -C one --sort=name --mtime=@0 --owner=0 --group=0 -czf one.tar.gz .; tar -C two --mtime=@0 -cf two.tar numbers",
        );
        let archive = |name: &str| {
            format!(
                "- {{name: {name}, action: unarchive_from_url, url: \"{}\", sha256: {}, dest: /opt/{name}}}\n",
                files.url(name),
                files.sha256(name)
            )
        };
        let a = archive("one.tar.gz") + &archive("two.tar");
        let b = format!(
            "- {{name: tool, action: get_file, url: \"{}\", sha256: {}, dest: /opt/tool}}\n",
            files.url("tool"),
            files.sha256("tool")
        );
        let c = "- {name: count, action: run_command, command: 'cat /opt/tool /opt/one.tar.gz/file > /opt/all'}\n";
        let blueprint = blueprint(&[("manifest.yml", MANIFEST), ("a.yml", &a), ("b.yml", &b), ("c.yml", c)]);
        base(&blueprint.path().join("base"));
        let mut whole = Self {
            _files: files,
            blueprint,
            place: tempfile::tempdir().unwrap(),
            digest: String::new(),
            archive: Vec::new(),
        };
        let (built, archive) = whole.build("whole", &["-t", "image"]);
        whole.digest = digest(&built.ok());
        whole.archive = archive.unwrap();
        // All that the store can know, it knows.
        whole.alloy("whole", &["run", "image", "cat", "/opt/all"]).ok();
        whole.alloy("whole", &["build", text(whole.blueprint.path()), "-t", "image"]).ok();
        whole
    }

    pub fn alloy(&self, store: &str, arguments: &[&str]) -> Ended {
        let mut command = Command::new(ALLOY);
        command.arg("--progress=plain").args(arguments).env("ALLOY_HOME", self.place.path().join(store));
        run(&mut command)
    }

    /// A build, and the archive that it has written.
    pub fn build(&self, store: &str, more: &[&str]) -> (Ended, Option<Vec<u8>>) {
        let out = self.place.path().join("out.oci");
        let _ = fs::remove_file(&out);
        let output = format!("type=oci-archive,dest={}", text(&out));
        let ended = self.alloy(store, &[&["build", text(self.blueprint.path()), "-o", &output], more].concat());
        (ended, fs::read(&out).ok())
    }

    /// A copy of the store in which `file` is damaged.
    pub fn damaged(&self, file: &Path, damage: Damage) {
        let (whole, store) = (self.place.path().join("whole"), self.place.path().join("store"));
        tool("rm", &["-rf", text(&store)]).ok();
        tool("cp", &["-a", text(&whole), text(&store)]).ok();
        let path = store.join(file);
        let mut bytes = fs::read(&path).unwrap();
        damage(&mut bytes);
        fs::write(&path, bytes).unwrap();
    }

    /// Every file of the store that says something, by its kind.
    pub fn kinds(&self) -> BTreeMap<String, Vec<PathBuf>> {
        let store = self.place.path().join("whole");
        let mut kinds: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
        let found = tool("find", &[text(&store), "-type", "f", "-size", "+0", "-printf", "%P\\n"]).ok().stdout;
        for path in found.lines().map(PathBuf::from) {
            let names: Vec<_> = path.iter().map(|name| name.to_str().unwrap()).collect();
            let kind = match names.as_slice() {
                ["locks" | "work" | "tmp" | "version", ..] => continue,
                ["records", kind, _] => format!("records of {kind}"),
                ["trees", _, "seal"] => "seals".to_owned(),
                ["trees", ..] => "trees".to_owned(),
                [kind, ..] => (*kind).to_owned(),
                [] => unreachable!(),
            };
            kinds.entry(kind).or_default().push(path);
        }
        kinds
    }
}

/// A root file system with a shell and what it needs, of this machine.
fn base(place: &Path) {
    let script = "set -eu; mkdir -p \"$0/bin\" \"$0/etc\" \"$0/tmp\"; \
                  for p in sh bash cat; do cp -L /bin/$p \"$0/bin/$p\"; \
                  for l in $(ldd /bin/$p | grep -o '/[^ )]*'); do mkdir -p \"$0$(dirname $l)\"; cp -L $l \"$0$l\"; done; done; \
                  echo 'root:x:0:0::/:/bin/sh' > \"$0/etc/passwd\"; echo 'root:x:0:' > \"$0/etc/group\"";
    tool("sh", &["-c", script, text(place)]).ok();
}

pub fn digest(built: &Ended) -> String {
    built.stdout.trim().rsplit('@').next().unwrap().to_owned()
}

pub type Damage = fn(&mut Vec<u8>);

pub const FLIP: Damage = |bytes| {
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
};
pub const ZEROS: Damage = |bytes| bytes.fill(0);
pub const HALF: Damage = |bytes| bytes.truncate(bytes.len() / 2);
pub const EMPTY: Damage = Vec::clear;
pub const LONGER: Damage = |bytes| bytes.push(b'0');
