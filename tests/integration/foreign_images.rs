//! Images that alloy did not make, as bases: what their layers may be called, what is said in their configs, and how many
//! layers there may be.

use std::fs;

use serde_json::{Value, json};

use crate::support::http::{Server, refused, whole};
use crate::support::layout::{Layout, OddLayer, PLAIN, files_only};
use crate::support::registry::Registry;
use crate::support::{Ended, Store, blueprint, text, tool};

const FOREIGN: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
const OCI_FOREIGN: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar";

/// A build of a file on `base`, called `it`.
fn build(store: &Store, base: &str) -> Ended {
    let blueprint = files_only();
    store.run(&["build", text(blueprint.path()), "--base", base, "-t", "it", "--no-attest"])
}

fn manifest(store: &Store, image: &str) -> Value {
    let inspected: Value = serde_json::from_str(&store.run(&["inspect", image]).ok().stdout).unwrap();
    let digest = inspected["digest"].as_str().unwrap().replace(':', "/");
    serde_json::from_slice(&fs::read(store.path().join("store/blobs").join(digest)).unwrap()).unwrap()
}

fn config(store: &Store) -> Value {
    serde_json::from_str::<Value>(&store.run(&["inspect", "it"]).ok().stdout).unwrap()["config"].take()
}

/// A file of the image `it`.
fn content(store: &Store, path: &str) -> String {
    let (blueprint, tar) = (files_only(), store.path().join("root.tar"));
    let output = format!("type=tar,dest={}", text(&tar));
    store.run(&["build", text(blueprint.path()), "--base", "local:it", "-o", &output, "--no-attest"]).ok();
    tool("tar", &["-xOf", text(&tar), path]).ok().stdout
}

#[test]
fn layers_are_read_whatever_docker_and_oci_call_them() {
    for (media_type, how, kept) in [
        ("application/vnd.docker.image.rootfs.diff.tar.zstd", "zstd", "application/vnd.oci.image.layer.v1.tar+zstd"),
        (FOREIGN, "gzip", &*format!("{OCI_FOREIGN}+gzip")),
        (OCI_FOREIGN, "none", OCI_FOREIGN),
        (&*format!("{OCI_FOREIGN}+zstd"), "zstd", &*format!("{OCI_FOREIGN}+zstd")),
    ] {
        let store = Store::new();
        let odd = OddLayer::of(&[("mark", "marked")], media_type, how).urls(&["https://a.example/layer"]);
        let layout = Layout::single(&[OddLayer::file("etc/x", "x"), odd], json!({}));
        build(&store, &layout.base("")).ok();
        assert_eq!(content(&store, "mark"), "marked", "{media_type}");
        let layer = &manifest(&store, "it")["layers"][1];
        assert_eq!(layer["mediaType"], kept);
        let urls = if kept.contains("nondistributable") { json!(["https://a.example/layer"]) } else { Value::Null };
        assert_eq!(layer["urls"], urls, "{media_type}");
    }
}

#[test]
fn a_foreign_layer_comes_from_where_its_image_says() {
    let odd = OddLayer::of(&[("mark", "marked")], FOREIGN, "gzip");
    let (right, wrong) = (odd.blob.clone(), Server::start(|_, _, stream| whole(stream, b"something else")));
    let server = Server::start(move |_, _, stream| whole(stream, &right));
    let without = |urls: &[&str]| {
        let odd = odd.clone().urls(urls);
        let layout = Layout::single(&[OddLayer::file("etc/x", "x"), odd.clone()], json!({}));
        fs::remove_file(layout.blob(&odd.digest())).unwrap();
        layout
    };
    let store = Store::new();
    let (closed, there) = (refused(), server.path("layer"));
    build(&store, &without(&[&closed, "ftp://a.example/l", &there]).base("")).ok();
    assert_eq!(content(&store, "mark"), "marked");
    let asked = server.asked().len();
    for (url, said) in [
        (wrong.path("layer"), "layer 2 of 2"),
        ("ftp://a.example/l".to_owned(), "only http and https are asked"),
        ("file:///etc/passwd".to_owned(), "only http and https are asked"),
        (closed, "cannot"),
    ] {
        let (layout, store) = (without(&[&url]), Store::new());
        let told = build(&store, &layout.base("")).fails(4).stderr;
        for part in [said, &url, &odd.digest(), text(&layout.path())] {
            assert!(told.contains(part), "{url}: no {part} in {told}");
        }
    }
    assert_eq!(server.asked().len(), asked, "others were asked");
}

#[test]
fn a_push_leaves_foreign_layers_where_they_are() {
    let (registry, store) = (Registry::with_urls(), Store::new());
    let odd = OddLayer::of(&[("mark", "marked")], FOREIGN, "gzip");
    let right = odd.blob.clone();
    let server = Server::start(move |_, _, stream| whole(stream, &right));
    let odd = odd.urls(&[&server.path("layer")]);
    let layout = Layout::single(&[OddLayer::file("etc/x", "x"), odd.clone()], json!({}));
    build(&store, &layout.base("")).ok();
    let image = registry.image("odd:1");
    store.run(&["push", "it", &image]).ok();
    let there = registry.blobs().join(&odd.digest()["sha256:".len()..][..2]);
    let there = there.join(&odd.digest()["sha256:".len()..]);
    assert!(!there.exists(), "{}", there.display());
    let told = store.run(&["push", "it", &Registry::start().image("odd:1")]).fails(4).stderr;
    assert!(told.contains("layers that are to be had from URLs"), "{told}");
    // What is there already is whole.
    assert!(store.run(&["push", "it", &image]).ok().stderr.contains("is there already"));
    assert_eq!(server.asked().len(), 0);
    // Whoever pulls it, or builds on it, has the layer from the URL.
    for by_pull in [true, false] {
        let (other, before) = (Store::new(), server.asked().len());
        match by_pull {
            true => other.run(&["pull", &image]).ok(),
            false => other.run(&["build", text(files_only().path()), "--base", &image, "-t", "it"]).ok(),
        };
        let base = if by_pull { format!("local:{image}") } else { "local:it".to_owned() };
        build(&other, &base).ok();
        assert_eq!(content(&other, "mark"), "marked");
        assert!(server.asked().len() > before, "by pull: {by_pull}");
        assert_eq!(manifest(&other, "it")["layers"][1]["urls"], json!([server.path("layer")]));
    }
}

#[test]
fn a_config_without_diff_ids_is_told_with_what_to_do() {
    let store = Store::new();
    for change in [
        (|config: &mut Value| config["rootfs"]["diff_ids"] = Value::Null) as fn(&mut Value),
        |config| config["rootfs"]["diff_ids"] = json!([]),
        |config| drop(config.as_object_mut().unwrap().remove("rootfs")),
    ] {
        let layout = Layout::new();
        let entry = layout.image(&[OddLayer::file("a", "a")], json!({}), change);
        layout.index(&[entry]);
        let told = build(&store, &layout.base("")).fails(1).stderr;
        assert!(told.contains("has no diff IDs") && told.contains("rootfs:FILE"), "{told}");
    }
}

#[test]
fn what_a_base_wants_done_in_builds_on_it_is_told_and_not_handed_on() {
    let store = Store::new();
    let config = json!({"OnBuild": ["COPY . /app", "RUN make"], "Cmd": ["sh"]});
    let layout = Layout::single(&[OddLayer::file("a", "a")], config);
    let told = build(&store, &layout.base("")).ok().stderr;
    assert_eq!(told.matches("OnBuild").count(), 1, "{told}");
    assert!(told.contains("`COPY . /app`, `RUN make`"), "{told}");
    let config = config_of(&store);
    assert_eq!((&config["OnBuild"], &config["Cmd"]), (&Value::Null, &json!(["sh"])));
    assert!(!build(&store, "local:it").ok().stderr.contains("OnBuild"));
}

fn config_of(store: &Store) -> Value {
    config(store)["config"].take()
}

#[test]
fn a_variable_that_a_base_sets_twice_is_set_once() {
    let store = Store::new();
    let layout = Layout::single(&[OddLayer::file("a", "a")], json!({"Env": ["A=1", "B=1", "A=2", "B=2"]}));
    let manifest = "name: Odd\nversion: 1.0.0\nrun_order: [a.yml]\nimage: {env_from_profile: false, env: {A: '3'}}\n";
    let task = "- {name: write, action: write_env_file, file: /srv/own, content: own}\n";
    let blueprint = blueprint(&[("manifest.yml", manifest), ("a.yml", task)]);
    store.run(&["build", text(blueprint.path()), "--base", &layout.base(""), "-t", "it", "--no-attest"]).ok();
    assert_eq!(config_of(&store)["Env"], json!(["A=3", "B=2"]));
}

#[test]
fn the_empty_base_holds_what_tasks_put_there() {
    let (store, other) = (Store::new(), Store::new());
    let manifest = "name: Odd\nversion: 1.0.0\nrun_order: [a.yml]\nimage: {base: scratch}\n";
    let tasks = "- {name: write, action: write_env_file, file: /srv/own, content: own}\n\
                 - {name: copy, action: copy, source: a.yml, dest: /srv/copied}\n";
    let blueprint = blueprint(&[("manifest.yml", manifest), ("a.yml", tasks)]);
    let directory = text(blueprint.path());
    for command in ["check", "plan", "lock"] {
        let told = store.run(&[command, directory]).ok();
        assert!(!told.stderr.contains("warning"), "{}", told.stderr);
    }
    store.run(&["build", directory, "-t", "it", "--locked"]).ok();
    assert_eq!(content(&store, "srv/copied"), tasks);
    let config = config(&store);
    assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), 1);
    let digest = |store: &Store| serde_json::from_str::<Value>(&store.run(&["inspect", "it"]).ok().stdout).unwrap();
    other.run(&["build", directory, "-t", "it", "--base", "scratch"]).ok();
    assert_eq!(digest(&store)["digest"], digest(&other)["digest"]);
    store.run(&["verify", "it"]).ok();
    store.run(&["sbom", "it"]).ok();
    let provenance = store.run(&["provenance", "it"]).ok().stdout;
    assert!(!provenance.contains(r#""name": "base""#), "{provenance}");
    // No image may take its name away.
    assert!(store.run(&["build", directory, "-t", "scratch"]).fails(2).stderr.contains("is no name for an image"));
}

#[test]
fn a_command_on_the_empty_base_says_that_there_is_no_shell() {
    let store = Store::new();
    let blueprint = blueprint(&[
        ("manifest.yml", "name: Odd\nversion: 1.0.0\nrun_order: [a.yml]\nimage: {base: scratch}\n"),
        ("a.yml", "- {name: run, action: run_command, reason: test, command: 'true'}\n"),
    ]);
    let told = store.run(&["build", text(blueprint.path())]).fails(1).stderr;
    assert!(told.contains("a base with a shell") && told.contains("`scratch`"), "{told}");
}

/// A layout with so many layers.
fn layered(count: usize) -> Layout {
    let layers: Vec<OddLayer> = (0..count).map(|at| OddLayer::file(&format!("f{at}"), &at.to_string())).collect();
    Layout::single(&layers, json!({}))
}

#[test]
fn too_many_layers_are_told_of_before_anything_is_built() {
    let store = Store::new();
    let told = build(&store, &layered(127).base("")).ok().stderr;
    assert!(told.contains("has 128 layers, 127 of them from the base"), "{told}");
    assert!(!build(&store, &layered(126).base("")).ok().stderr.contains("warning"));
    // One more than can be run.
    let many = layered(499);
    let (blueprint, base) = (files_only(), many.base(""));
    for command in ["build", "plan"] {
        let told = store.run(&[command, text(blueprint.path()), "--base", &base]);
        // A plan does not read the base; it knows of it once somebody has.
        if command == "build" || told.code != Some(0) {
            let told = told.fails(1).stderr;
            assert!(told.contains("has 499 layers, and the blueprint adds 1"), "{told}");
            assert!(told.contains("up to 499") && !told.contains("a.yml"), "{told}");
        }
    }
    let told = build(&store, &layered(500).base("")).fails(1).stderr;
    assert!(told.contains("it has 500 layers, and alloy can put up to 499"), "{told}");
}

#[test]
fn what_is_built_anew_because_somebody_asks_is_told_so() {
    let store = Store::new();
    let manifest = "name: Odd\nversion: 1.0.0\nrun_order: [a.yml, b.yml]\nimage: {base: scratch}\n";
    let task = |name: &str| format!("- {{name: {name}, action: write_env_file, file: /srv/{name}, content: x}}\n");
    let always = task("b").replace("content: x", "content: x, always_run: true");
    let blueprint = blueprint(&[("manifest.yml", manifest), ("a.yml", &task("a")), ("b.yml", &always)]);
    let directory = text(blueprint.path());
    store.run(&["build", directory, "--no-attest"]).ok();
    for (command, option, said) in [
        ("build", "--no-cache=b.yml", "b.yml is built anew: --no-cache asks for it"),
        ("build", "--no-cache", "a.yml is built anew: --no-cache asks for it"),
        ("build", "--refresh", "b.yml is built anew: --refresh asks for it"),
        ("plan", "--no-cache=b.yml", "--no-cache asks for it"),
        ("plan", "--refresh", "--refresh asks for it"),
    ] {
        let told = store.run(&[command, directory, option]).ok();
        let told = format!("{}{}", told.stdout, told.stderr);
        assert!(told.contains(said) && !told.contains("no longer in the store"), "{command} {option}: {told}");
    }
    store.run(&["plan", directory, "--no-cache=c.yml"]).fails(2);
}

#[test]
fn a_plain_layer_with_urls_is_sent_as_any_other() {
    let (registry, store) = (Registry::start(), Store::new());
    let plain = OddLayer::of(&[("a", "a")], PLAIN, "none").urls(&["https://a.example/layer"]);
    let layout = Layout::single(std::slice::from_ref(&plain), json!({}));
    build(&store, &layout.base("")).ok();
    store.run(&["push", "it", &registry.image("plain:1")]).ok();
    let other = Store::new();
    other.run(&["pull", &registry.image("plain:1")]).ok();
}
