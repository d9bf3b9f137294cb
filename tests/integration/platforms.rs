//! Images for several platforms: built, kept, written, pushed, joined.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::registry::Registry;
use crate::support::{ALLOY, Store, blueprint, cached, text, tool};

pub const BOTH: &str = "linux/amd64,linux/arm64";
pub const MANIFEST: &str = "name: Several\nversion: 1.0.0\nrun_order: [words.yml, tools.yml]\n\
                        image: {env_from_profile: false}\n";
/// Runs nothing: no emulator is needed for it.
pub const WORDS: &str = "- {name: Words, action: write_env_file, file: /srv/words, content: the same everywhere}\n";
const TOOLS: &str = "- {name: Tool, action: unpack, dest: /opt/tool, \
                     per_arch: {amd64: {source: amd64.tar}, arm64: {source: arm64.tar}}}\n";

/// A blueprint whose second file is another one on each platform, and a root file system for it to stand on.
pub struct Several {
    blueprint: TempDir,
    root: TempDir,
}

impl Several {
    pub fn new() -> Self {
        let blueprint = blueprint(&[("manifest.yml", MANIFEST), ("words.yml", WORDS), ("tools.yml", TOOLS)]);
        for name in ["amd64", "arm64"] {
            let mut tar = layers::tar::TarWriter::new(Vec::new());
            let entry = layers::tar::Entry {
                kind: layers::tar::Kind::File,
                mode: 0o644,
                size: name.len() as u64,
                ..layers::tar::plain_directory("arch".as_ref())
            };
            tar.append(&entry, &mut name.as_bytes()).unwrap();
            std::fs::write(blueprint.path().join(format!("{name}.tar")), tar.finish().unwrap()).unwrap();
        }
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("srv")).unwrap();
        Self { blueprint, root }
    }

    fn path(&self) -> &str {
        text(self.blueprint.path())
    }

    pub fn base(&self) -> String {
        format!("--base=rootfs:{}", text(self.root.path()))
    }

    #[track_caller]
    pub fn build(&self, store: &Store, platform: &str, more: &[&str]) -> Value {
        store.build(&[&[self.path(), &self.base(), "--platform", platform], more].concat())
    }
}

/// What a registry or a layout has under a name, as it is.
fn raw(image: &str) -> String {
    tool("skopeo", &["inspect", "--raw", "--tls-verify=false", image]).ok().stdout
}

pub fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Platforms of an index, and that it is one.
pub fn platforms(index: &Value) -> Vec<String> {
    assert_eq!(index["mediaType"], "application/vnd.oci.image.index.v1+json");
    let entries = index["manifests"].as_array().unwrap().iter().map(|entry| &entry["platform"]);
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    entries.map(|platform| format!("{}/{}", word(&platform["os"]), word(&platform["architecture"]))).collect()
}

fn sha256(text: &str) -> String {
    layers::digest::Digest::of(text).to_string()
}

#[test]
fn an_index_is_pushed_with_all_its_images() {
    let (several, registry, store) = (Several::new(), Registry::start(), Store::new());
    let name = registry.image("team/several:1");
    let metadata = several.build(&store, BOTH, &["-t", &name, "--push"]);
    let index = raw(&format!("docker://{name}"));
    assert_eq!(platforms(&parsed(&index)), ["linux/amd64", "linux/arm64"]);
    assert_eq!(metadata["containerimage.digest"], sha256(&index));
    assert_eq!(metadata["image.name"], name);
    for (entry, architecture) in parsed(&index)["manifests"].as_array().unwrap().iter().zip(["amd64", "arm64"]) {
        let part = &metadata["platforms"][format!("linux/{architecture}")];
        assert_eq!(part["containerimage.digest"], entry["digest"]);
        let config = ["inspect", "--config", "--raw", "--tls-verify=false", "--override-arch", architecture];
        let config = tool("skopeo", &[&config[..], &[&format!("docker://{name}")]].concat()).ok().stdout;
        assert_eq!(parsed(&config)["architecture"], architecture);
        assert_eq!(part["containerimage.config.digest"], sha256(&config));
    }
    // All of it is there: skopeo reads every blob, and checks it.
    let copy = format!("oci:{}/copy:x", text(store.path()));
    tool("skopeo", &["copy", "-q", "--all", "--src-tls-verify=false", &format!("docker://{name}"), &copy]).ok();
    assert_eq!(raw(&copy), index);

    // The order asked for is the order of the index; what is asked for twice is there once.
    let turned = several.build(&store, "linux/arm64/v8", &["--platform", BOTH, "-t", &registry.image("x:turned")]);
    assert_ne!(turned["containerimage.digest"], metadata["containerimage.digest"]);
    let again = several.build(&store, BOTH, &["-t", &name, "--push"]);
    assert_eq!(again["containerimage.digest"], metadata["containerimage.digest"]);
    for architecture in ["linux/amd64", "linux/arm64"] {
        assert!(cached(&again["platforms"][architecture]).iter().all(|(_, cached)| *cached));
    }
    // One platform is a manifest, as ever.
    let single = several.build(&store, "linux/arm64", &["-t", &registry.image("team/several:arm64"), "--push"]);
    assert_eq!(single["containerimage.digest"], parsed(&index)["manifests"][1]["digest"]);
    let single = raw(&format!("docker://{}", registry.image("team/several:arm64")));
    assert_eq!(sha256(&single), parsed(&index)["manifests"][1]["digest"].as_str().unwrap());

    // An index is a base for each of its platforms.
    let empty = Store::new();
    let greet = blueprint(&[("manifest.yml", &MANIFEST.replace(", tools.yml", "")), ("words.yml", WORDS)]);
    let derived = empty.build(&[text(greet.path()), "--base", &name, "--platform", BOTH]);
    for architecture in ["linux/amd64", "linux/arm64"] {
        let base = &derived["platforms"][architecture]["base"]["identity"];
        assert_eq!(*base, metadata["platforms"][architecture]["containerimage.digest"]);
    }
}

#[test]
fn progress_says_the_platform() {
    let (several, store) = (Several::new(), Store::new());
    let build = |how: &str| {
        let mut command = std::process::Command::new(ALLOY);
        command.env("ALLOY_HOME", store.path().join("store"));
        command.args(["build", several.path(), &several.base(), "--platform", BOTH, "--progress", how]);
        crate::support::run(&mut command).ok().stderr
    };
    let plain = build("plain");
    for line in ["[linux/amd64 1/2] words.yml\n", "[linux/arm64 2/2] tools.yml\n", "[linux/arm64 2/2] built, "] {
        assert!(plain.contains(line), "no {line}: {plain}");
    }
    let events: Vec<Value> = build("json").lines().map(parsed).collect();
    let begun = events.iter().filter(|event| event["event"] == "layer-started" && event["name"] == "words.yml");
    let begun: Vec<&str> = begun.map(|event| event["platform"].as_str().unwrap()).collect();
    assert_eq!(begun, ["linux/amd64", "linux/arm64"]);
}

#[test]
fn files_hold_all_platforms() {
    let (several, store) = (Several::new(), Store::new());
    let place = |name: &str| store.path().join(name).to_str().unwrap().to_owned();
    let output = |kind: &str, name: &str| format!("type={kind},dest={}", place(name));
    let (layout, archive, dir) = (output("oci", "l"), output("oci-archive", "a.tar"), output("dir", "d"));
    let metadata = several.build(&store, BOTH, &["-t", "several", "-o", &layout, "-o", &archive, "-o", &dir]);
    for image in [format!("oci:{}:latest", place("l")), format!("oci-archive:{}:latest", place("a.tar"))] {
        assert_eq!(sha256(&raw(&image)), metadata["containerimage.digest"].as_str().unwrap());
        tool("skopeo", &["copy", "-q", "--all", &image, &format!("oci:{}:x", place("copy"))]).ok();
    }
    for architecture in ["amd64", "arm64"] {
        let file = Path::new(&place("d")).join(format!("linux_{architecture}/opt/tool/arch"));
        assert_eq!(std::fs::read_to_string(file).unwrap(), architecture);
        // Each is a base by itself.
        let base = format!("oci:{}:latest", place("l"));
        let platform = format!("linux/{architecture}");
        let derived = store.build(&[several.path(), "--base", &base, "--platform", &platform]);
        let part = &metadata["platforms"][&platform];
        assert_eq!(derived["base"]["identity"], part["containerimage.digest"]);
    }
    for kind in ["docker-archive", "tar"] {
        let output = output(kind, "x");
        let arguments = ["build", several.path(), &several.base(), "--platform", BOTH, "-o", &output];
        let refused = store.run(&arguments).fails(2);
        assert!(refused.stderr.contains(&format!("type={kind} holds one platform, not 2")), "{}", refused.stderr);
    }
    assert!(!Path::new(&place("x")).exists());
}

#[test]
fn the_store_keeps_an_index_as_one_image() {
    let (several, registry, store) = (Several::new(), Registry::start(), Store::new());
    let metadata = several.build(&store, BOTH, &["-t", "several", "-t", "twice:1"]);
    let digest = metadata["containerimage.digest"].as_str().unwrap();
    several.build(&store, "linux/arm64", &["-t", "one"]);

    let listed = store.run(&["images", "--json"]).ok().stdout;
    let listed: Vec<Value> = listed.lines().map(parsed).collect();
    let names: Vec<&Value> = listed.iter().map(|image| &image["name"]).collect();
    assert_eq!(names, ["one:latest", "several:latest", "twice:1"]);
    assert_eq!(listed[0]["platform"], "linux/arm64");
    assert_eq!(listed[1]["digest"], digest);
    assert_eq!(listed[1]["platforms"][1]["digest"], listed[0]["digest"]);
    assert!(store.run(&["images"]).ok().stdout.contains("linux/amd64,linux/arm64"));

    let inspected = parsed(&store.run(&["inspect", "several"]).ok().stdout);
    assert_eq!(platforms(&inspected["index"]), ["linux/amd64", "linux/arm64"]);
    assert_eq!(inspected["images"][1]["config"]["architecture"], "arm64");
    let arm64 = parsed(&store.run(&["inspect", "several", "--platform", "linux/arm64"]).ok().stdout);
    assert_eq!(arm64["digest"], listed[0]["digest"]);
    let none = store.run(&["run", "--platform", "linux/s390x", "several", "true"]).fails(1);
    assert!(none.stderr.contains("no image for linux/s390x; it has linux/amd64, linux/arm64"), "{}", none.stderr);

    let identical = store.run(&["verify", "several"]).ok().stdout;
    assert_eq!(identical.matches("identical: 3 layers").count(), 2, "{identical}");
    let one = store.run(&["verify", "several", "--platform", "linux/arm64"]).ok().stdout;
    assert!(one.starts_with("identical: 3 layers"), "{one}");
    let all = parsed(
        &store.run(&["verify", several.path(), &several.base(), "--platform", BOTH, "--format=json"]).ok().stdout,
    );
    assert_eq!((&all["identical"], &all["platforms"]["linux/arm64"]["identical"]), (&json!(true), &json!(true)));
    let planned = store.run(&["plan", several.path(), &several.base(), "--platform", BOTH]).ok().stdout;
    assert!(planned.contains("linux/amd64:\n") && planned.contains("linux/arm64:\n"), "{planned}");

    // Nothing of it is pruned, and all of it is pushed.
    store.run(&["prune", "one"]).ok();
    let name = registry.image("team/kept:1");
    let pushed = store.run(&["push", "several", &name]).ok().stdout;
    assert_eq!(pushed, format!("{name}@{digest}\n"));
    assert_eq!(sha256(&raw(&format!("docker://{name}"))), digest);
    let copy = format!("oci:{}/copy:x", text(store.path()));
    tool("skopeo", &["copy", "-q", "--all", "--src-tls-verify=false", &format!("docker://{name}"), &copy]).ok();
    store.run(&["prune", "--all"]).ok();
    assert_eq!(store.run(&["images", "--json"]).ok().stdout, "");
}

#[test]
fn images_of_several_runners_are_joined() {
    let (several, registry) = (Several::new(), Registry::start());
    let together = registry.image("team/joined:together");
    let expected = several.build(&Store::new(), BOTH, &["-t", &together, "--push"]);
    // Two runners, and one that only joins. It has neither of the images.
    let [amd64, arm64] = ["amd64", "arm64"].map(|architecture| {
        let name = registry.image(&format!("team/joined:{architecture}"));
        several.build(&Store::new(), &format!("linux/{architecture}"), &["-t", &name, "--push"]);
        name
    });
    let (joiner, joined) = (Store::new(), registry.image("team/joined:1"));
    let ended = joiner.run(&["manifest", "create", &joined, &amd64, &arm64]).ok();
    let digest = expected["containerimage.digest"].as_str().unwrap();
    assert_eq!(ended.stdout, format!("{joined}@{digest}\n"));
    assert_eq!(raw(&format!("docker://{joined}")), raw(&format!("docker://{together}")));

    // Into another repository, one by its digest: what it lists is taken over.
    let pinned = format!(
        "{}@{}",
        registry.image("team/joined"),
        expected["platforms"]["linux/arm64"]["containerimage.digest"].as_str().unwrap()
    );
    let elsewhere = registry.image("other/joined:1");
    let ended = joiner.run(&["manifest", "create", &elsewhere, &amd64, &pinned]).ok();
    assert_eq!(ended.stdout, format!("{elsewhere}@{digest}\n"));
    let copy = format!("oci:{}/copy:x", text(joiner.path()));
    tool("skopeo", &["copy", "-q", "--all", "--src-tls-verify=false", &format!("docker://{elsewhere}"), &copy]).ok();

    // Into another registry, from the store and from an index.
    let other = Registry::start();
    several.build(&joiner, "linux/amd64", &["-t", "here"]);
    let far = other.image("far/joined:1");
    let ended = joiner.run(&["manifest", "create", &far, "here", &pinned]).ok();
    assert_eq!(ended.stdout, format!("{far}@{digest}\n"));
    assert!(ended.stderr.contains("linux/amd64: here from the store"), "{}", ended.stderr);
    let again = other.image("again/joined:1");
    assert_eq!(joiner.run(&["manifest", "create", &again, &elsewhere]).ok().stdout, format!("{again}@{digest}\n"));

    // Nothing is pushed of what makes no sense.
    let create = |images: &[&str], code| {
        let name = registry.image("team/joined:wrong");
        let ended = joiner.run(&[&["manifest", "create", &name], images].concat()).fails(code);
        tool("skopeo", &["inspect", "--raw", "--tls-verify=false", &format!("docker://{name}")]).fails(1);
        ended.stderr
    };
    let twice = create(&[&amd64, &arm64, &pinned], 2);
    assert!(twice.contains(&format!("`{arm64}` and `{pinned}` are both for linux/arm64")), "{twice}");
    let missing = registry.image("team/joined:none");
    assert!(create(&[&amd64, &missing], 4).contains("was not found"));
    assert!(create(&["nowhere"], 1).contains("there is no image `nowhere:latest` in the store"));
    let nameless = joiner.run(&["manifest", "create", "joined", &amd64]).fails(2);
    assert!(nameless.stderr.contains("names no registry"), "{}", nameless.stderr);
}

#[test]
fn annotations_of_an_index_are_kept() {
    let (several, registry, store) = (Several::new(), Registry::start(), Store::new());
    let name = registry.image("team/noted:1");
    several.build(&store, BOTH, &["-t", &name, "--push"]);
    let mut index = parsed(&raw(&format!("docker://{name}")));
    index["manifests"][0]["annotations"] = json!({"org.example.note": "kept"});
    let url = format!("http://{}/v2/team/noted/manifests/noted", registry.address);
    let kind = format!("Content-Type: {}", index["mediaType"].as_str().unwrap());
    tool("curl", &["-sfX", "PUT", "-H", &kind, "-d", &index.to_string(), &url]).ok();
    let (from, to) = (registry.image("team/noted:noted"), registry.image("other/noted:1"));
    Store::new().run(&["manifest", "create", &to, &from]).ok();
    assert_eq!(parsed(&raw(&format!("docker://{to}"))), index);
}

#[test]
fn what_is_wrong_on_any_platform_is_told_at_once() {
    let store = Store::new();
    let manifest = MANIFEST.replace("run_order", "supported_hosts: [linux/amd64]\nrun_order");
    let lock = format!(
        "host: linux/amd64\ntoolchains: {{toolchain.a.gcc: {{url: 'https://a.example/x', sha256: {}}}}}\n",
        "a".repeat(64)
    );
    let tools = "- {name: Tool, action: get_file, dest: /x, per_arch: {amd64: {url: 'http://127.0.0.1:9/x'}}}\n\
                 - {name: Pinned, action: unarchive_from_ref, ref: toolchain.a.gcc, dest: /opt/gcc}\n\
                 - {name: Wrong, action: run_comand, command: x, reason: test}\n";
    let files =
        [("manifest.yml", manifest.as_str()), ("words.yml", WORDS), ("tools.yml", tools), ("alloy.lock.yml", &lock)];
    let directory = blueprint(&files);
    let build = |more: &[&str]| {
        let all =
            [&["build", text(directory.path()), "--platform", "linux/amd64,linux/arm64,linux/s390x"], more].concat();
        store.run(&all).fails(3).stderr
    };
    let told = build(&[]);
    for part in [
        "does not support linux/arm64",
        "does not support linux/s390x",
        "arm64",
        "s390x",
        "for linux/arm64",
        "for linux/s390x",
    ] {
        assert!(told.contains(part), "no {part}: {told}");
    }
    assert!(!told.contains("for linux/amd64") && !told.contains("support linux/amd64"), "{told}");
    // What is wrong everywhere is told once.
    assert_eq!(told.matches("tools.yml:3:").count(), 1, "{told}");
    let ignored = build(&["--ignore-supported-hosts"]);
    assert!(!ignored.contains("does not support") && ignored.contains("tools.yml:1:"), "{ignored}");
    assert!(!store.path().join("store").exists(), "nothing was begun");
}
