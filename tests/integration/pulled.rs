//! Images of registries in the store, and images of the store as bases.

use serde_json::Value;

use crate::support::registry::Registry;
use crate::support::{Store, blueprint, text, tool};

const MANIFEST: &str = "name: Test\nversion: 1.0.0\nrun_order: [tasks.yml]\n";

/// A blueprint on a small root file system of its own.
struct Small {
    blueprint: tempfile::TempDir,
    root: tempfile::TempDir,
}

impl Small {
    fn new() -> Self {
        let image = "image: {env_from_profile: false, cmd: [/bin/true], labels: {team: small}}\n";
        let tasks = "- {name: one, action: write_env_file, file: /etc/one, content: '{{.Vars.ONE}}'}\n";
        let manifest = format!("{MANIFEST}variables: {{ONE: first}}\n{image}");
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("etc")).unwrap();
        std::fs::write(root.path().join("etc/root"), "root\n".repeat(1000)).unwrap();
        Self { blueprint: blueprint(&[("manifest.yml", &manifest), ("tasks.yml", tasks)]), root }
    }

    /// Builds it, and gives the digest.
    #[track_caller]
    fn build(&self, store: &Store, more: &[&str]) -> String {
        let base = format!("rootfs:{}", text(self.root.path()));
        let all = [&["build", "-q", text(self.blueprint.path()), "--base", &base], more].concat();
        let printed = store.run(&all).ok().stdout;
        printed.trim().rsplit('@').next().unwrap().to_owned()
    }
}

fn images(store: &Store, more: &[&str]) -> Vec<Value> {
    let all = [&["images", "--format", "json"], more].concat();
    serde_json::from_str(&store.run(&all).ok().stdout).unwrap()
}

#[test]
fn a_pulled_image_is_like_one_that_was_built() {
    let (small, registry, builder, store) = (Small::new(), Registry::start(), Store::new(), Store::new());
    let name = registry.image("team/small:1");
    let digest = small.build(&builder, &["-t", &name, "--push"]);
    let said = store.run(&["inspect", &name]).fails(1).stderr;
    assert!(said.contains(&format!("pull it: alloy pull {name}")), "{said}");
    let by_digest = format!("{}@{digest}", registry.image("team/small"));
    let said = store.run(&["inspect", &by_digest]).fails(1).stderr;
    assert!(said.contains(&format!("or pull it: alloy pull {by_digest}")), "{said}");

    let ended = store.run(&["pull", &name]).ok();
    assert_eq!(ended.stdout, format!("{name}@{digest}\n"));
    assert!(ended.stderr.contains("2 layers, 0 of them here"), "{}", ended.stderr);
    let again = store.run(&["pull", &name]).ok();
    assert!(again.stderr.contains("is there already"), "{}", again.stderr);
    assert_eq!(store.run(&["-q", "pull", &name]).ok().stdout, format!("{digest}\n"));
    let inspect = |store: &Store, name: &str| -> Value {
        serde_json::from_str(&store.run(&["inspect", name]).ok().stdout).unwrap()
    };
    assert_eq!(inspect(&store, &name), inspect(&builder, &name));
    // What is attached stays there, and is found there.
    let sbom = |store: &Store| store.run(&["sbom", &name]).ok().stdout;
    assert_eq!(sbom(&store), sbom(&builder));
    let said = store.run(&["verify", &name]).fails(1).stderr;
    assert!(said.contains("does not say what it was built from") && said.contains("pulled"), "{said}");
    let to = registry.image("team/other:2");
    let pushed = store.run(&["push", &name, &to]).ok();
    assert_eq!(pushed.stdout, format!("{to}@{digest}\n"));
    // What does not come along is told, and nobody says that it was built without.
    assert!(
        pushed.stderr.contains("is without an SBOM and without provenance: it was not built here"),
        "{}",
        pushed.stderr
    );
    let said = store.run(&["push", &name, &registry.image("team/small:again")]).ok().stderr;
    assert!(!said.contains("without an SBOM"), "the registry has them there: {said}");
    let said = store.run(&["sbom", &digest]).fails(1).stderr;
    assert!(said.contains("it was not built here") && said.contains("REGISTRY/NAME@DIGEST"), "{said}");
    store.run(&["prune"]).ok();
    assert_eq!(inspect(&store, &name)["digest"], digest);
    assert_eq!(store.run(&["rmi", &name]).ok().stdout, format!("{name}\n"));

    // By its digest it has a name that becomes no other image's.
    assert_eq!(store.run(&["pull", &by_digest]).ok().stdout, format!("{by_digest}\n"));
    assert_eq!(inspect(&store, &by_digest)["digest"], digest);
    store.run(&["run", "--rw", &by_digest, "true"]).fails(2);
    assert_eq!(store.run(&["untag", &by_digest]).ok().stdout, format!("{by_digest}\n"));
    store.run(&["inspect", &by_digest]).ok();
    store.run(&["prune"]).ok();
    store.run(&["inspect", &by_digest]).fails(1);

    // A name that moves in the registry moves here once it is pulled again; what both have is not fetched.
    store.run(&["pull", &name]).ok();
    let second = small.build(&builder, &["-t", &name, "--push", "--var", "ONE=second"]);
    let ended = store.run(&["pull", &name]).ok();
    assert_eq!(ended.stdout, format!("{name}@{second}\n"));
    assert!(ended.stderr.contains("2 layers, 1 of them here"), "{}", ended.stderr);
    assert!(ended.stderr.contains(&format!("{name} was {digest} before")), "{}", ended.stderr);
    store.run(&["pull", &registry.image("team/none:1")]).fails(4);
}

#[test]
fn of_an_index_those_are_pulled_that_are_wanted() {
    let (small, registry, builder, store) = (Small::new(), Registry::start(), Store::new(), Store::new());
    let name = registry.image("team/several:1");
    let digest = small.build(&builder, &["-t", &name, "--push", "--platform", "linux/amd64,linux/arm64,linux/s390x"]);
    let ended = store.run(&["pull", &name]).ok();
    assert!(ended.stderr.contains("linux/amd64") && ended.stderr.contains("--all-platforms"), "{}", ended.stderr);
    assert_eq!(images(&store, &[])[0]["platform"], "linux/amd64");
    let by_digest = format!("{}@{digest}", registry.image("team/several"));
    store.run(&["pull", &by_digest]).ok();
    store.run(&["inspect", &by_digest]).ok();
    let two = store.run(&["-q", "pull", "--platform", "linux/arm64,linux/s390x", &name]).ok().stdout;
    assert_ne!(two.trim(), digest);
    store.run(&["inspect", "--platform", "linux/s390x", two.trim()]).ok();
    store.run(&["inspect", "--platform", "linux/amd64", two.trim()]).fails(1);
    assert_eq!(store.run(&["-q", "pull", "--all-platforms", &name]).ok().stdout, format!("{digest}\n"));
    // All of it is here: it can be pushed elsewhere.
    let to = registry.image("elsewhere/several:1");
    assert_eq!(store.run(&["push", &name, &to]).ok().stdout, format!("{to}@{digest}\n"));
    let said = store.run(&["pull", "--platform", "linux/riscv64", &name]).fails(4).stderr;
    assert!(said.contains("no image for linux/riscv64"), "{said}");
}

#[test]
fn an_image_that_is_not_what_it_says_gets_no_name() {
    let (small, registry, builder, store) = (Small::new(), Registry::start(), Store::new(), Store::new());
    let name = registry.image("team/small:1");
    small.build(&builder, &["-t", &name, "--push"]);
    let layout = format!("dir:{}", text(&store.path().join("copied")));
    tool("skopeo", &["copy", "-q", "--src-tls-verify=false", &format!("docker://{name}"), &layout]).ok();
    // Another diff ID: the config is one that was not made for these layers.
    let copied = store.path().join("copied");
    let read = |file: &str| -> Value { serde_json::from_slice(&std::fs::read(copied.join(file)).unwrap()).unwrap() };
    let manifest = read("manifest.json");
    let digest = manifest["config"]["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap().to_owned();
    let mut config = read(&digest);
    config["rootfs"]["diff_ids"].as_array_mut().unwrap().reverse();
    let forged = config.to_string();
    let new = layers::digest::Digest::of(&forged);
    std::fs::write(copied.join(new.hex()), &forged).unwrap();
    let mut manifest = manifest;
    manifest["config"]["digest"] = Value::from(new.to_string());
    manifest["config"]["size"] = Value::from(forged.len());
    std::fs::write(copied.join("manifest.json"), manifest.to_string()).unwrap();
    let bad = registry.image("team/forged:1");
    let to = format!("docker://{bad}");
    tool("skopeo", &["copy", "-q", "--dest-tls-verify=false", &layout, &to]).ok();
    let said = store.run(&["pull", &bad]).fails(4).stderr;
    assert!(said.contains("is not what the image's config says"), "{said}");
    assert_eq!(images(&store, &[]), [Value::Null; 0]);
}

#[test]
fn an_image_of_the_store_is_a_base_by_its_name() {
    let (small, registry, store) = (Small::new(), Registry::start(), Store::new());
    let digest = small.build(&store, &["-t", "rig:1"]);
    let above = blueprint(&[
        ("manifest.yml", &format!("{MANIFEST}image: {{base: 'rig:1', env_from_profile: false}}\n")),
        ("tasks.yml", "- {name: two, action: write_env_file, file: /etc/two, content: two}\n"),
    ]);
    let directory = text(above.path());
    let ended = store.run(&["build", directory, "-t", "above"]).ok();
    let warned = "the base rig:1 is an image of this store";
    assert!(ended.stderr.contains(warned) && ended.stderr.contains(&digest), "{}", ended.stderr);
    assert!(ended.stderr.contains("whoever builds the blueprint elsewhere"), "{}", ended.stderr);
    let layers = |name: &str| -> Vec<Value> {
        let inspected: Value = serde_json::from_str(&store.run(&["inspect", name]).ok().stdout).unwrap();
        inspected["manifest"]["layers"].as_array().unwrap().clone()
    };
    assert_eq!(layers("above")[..2], layers("rig:1"));
    // Who names it on the command line knows; a plan says it too.
    let ended = store.run(&["plan", directory, "--base", "local:rig:1"]).ok();
    assert!(ended.stderr.contains(warned) && !ended.stderr.contains("elsewhere"), "{}", ended.stderr);
    store.run(&["verify", "above"]).ok();
    // Another image of that name is another base.
    small.build(&store, &["-t", "rig:1", "--var", "ONE=other"]);
    let ended = store.run(&["build", directory, "-t", "again"]).ok();
    assert_ne!(layers("again")[..2], layers("above")[..2], "{}", ended.stderr);
    let said = store.run(&["lock", directory]).fails(3).stderr;
    assert!(said.contains("the base `rig:1` is an image of this store alone"), "{said}");

    let local = MANIFEST.to_owned() + "image: {base: 'local:rig:1'}\n";
    let theirs = blueprint(&[("manifest.yml", &local), ("tasks.yml", "[]\n")]);
    let said = store.run(&["check", text(theirs.path())]).ok();
    assert!((said.stdout + &said.stderr).contains("is an image of whoever builds"));

    // A name with a registry is that registry's, unless it is said otherwise.
    let name = registry.image("team/rig:1");
    store.run(&["tag", "rig:1", &name]).ok();
    store.run(&["build", directory, "--base", &name]).fails(4);
    store.run(&["build", directory, "--base", &format!("local:{name}")]).ok();
    let said = store.run(&["build", directory, "--base", "local:none"]).fails(1).stderr;
    assert!(said.contains("there is no image `none:latest` in the store"), "{said}");
    // One that is neither would be Docker Hub's.
    let mut command = store.alloy(&["build", directory, "--base", "none"]);
    command.env("https_proxy", "http://127.0.0.1:1").env("HTTPS_PROXY", "http://127.0.0.1:1");
    command.env("ALLOY_STALL_TIMEOUT", "1");
    let said = crate::support::run(&mut command).fails(4).stderr;
    let wanted = "no image of the store is called `none:latest`, and docker.io/library/none:latest cannot be had";
    assert!(said.contains(wanted), "{said}");
}

#[test]
fn a_layout_has_all_tags_of_an_image() {
    let (small, store) = (Small::new(), Store::new());
    let at = |name: &str| text(&store.path().join(name)).to_owned();
    let (layout, archive, docker) = (at("layout"), at("archive"), at("docker"));
    let outputs = [("oci", &layout), ("oci-archive", &archive), ("docker-archive", &docker)];
    let outputs: Vec<String> = outputs.iter().map(|(kind, dest)| format!("type={kind},dest={dest}")).collect();
    let mut all = vec!["-t", "a:one", "-t", "b:two", "-t", "c:two"];
    outputs.iter().for_each(|output| all.extend(["-o", output]));
    let digest = small.build(&store, &all);
    for place in [format!("oci:{layout}:one"), format!("oci:{layout}:two"), format!("oci-archive:{archive}:two")] {
        let raw = tool("skopeo", &["inspect", "--raw", &place]).ok().stdout;
        assert_eq!(layers::digest::Digest::of(raw.trim_end()).to_string(), digest, "{place}");
    }
    let index: Value = serde_json::from_slice(&std::fs::read(format!("{layout}/index.json")).unwrap()).unwrap();
    assert_eq!(index["manifests"].as_array().unwrap().len(), 3);
    let saved = tool("tar", &["-xOf", &docker, "manifest.json"]).ok().stdout;
    let saved: Value = serde_json::from_str(&saved).unwrap();
    assert_eq!(saved[0]["RepoTags"], serde_json::json!(["a:one", "b:two", "c:two"]));
    // It is one image, whichever tag it is asked for by.
    for base in [format!("oci:{layout}"), format!("oci:{layout}:two"), format!("oci-archive:{archive}")] {
        store.run(&["build", text(small.blueprint.path()), "--base", &base]).ok();
    }
    small.build(&store, &["-t", "d:two", "-o", &outputs[0], "--var", "ONE=other"]);
    let index: Value = serde_json::from_slice(&std::fs::read(format!("{layout}/index.json")).unwrap()).unwrap();
    // Another image takes nobody else's name away.
    assert_eq!(index["manifests"].as_array().unwrap().len(), 4, "{index}");
    let both =
        store.run(&["build", text(small.blueprint.path()), "--base", &format!("oci:{layout}:two")]).fails(1).stderr;
    assert!(both.contains("docker.io/library/b:two") && both.contains("docker.io/library/d:two"), "{both}");
    for name in ["a:one", "c:two", "d:two"] {
        let base = format!("oci:{layout}:{name}");
        store.run(&["build", text(small.blueprint.path()), "--base", &base]).ok();
    }
}
