//! Images that a registry should not have answered with: exit code 4, a text that says what is wrong, and no name.

use serde_json::{Value, json};

use crate::support::Store;
use crate::support::forged::{described, digest};
use crate::support::memory_registry::MemoryRegistry;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// Puts a manifest or an index there; its descriptor.
fn put(registry: &MemoryRegistry, tag: &str, kind: &str, value: &Value) -> Value {
    let bytes = value.to_string().into_bytes();
    let described = described(kind, &bytes);
    registry.look(|state| {
        state.manifests.insert(digest(&bytes), bytes.clone());
        state.manifests.insert(tag.to_owned(), bytes);
    });
    described
}

/// An image without layers for a platform; its descriptor.
fn image(registry: &MemoryRegistry, tag: &str, os: &str, more: &Value) -> Value {
    let mut config = json!({"os": os, "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": []}});
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let config = config.to_string();
    let bytes = config.clone().into_bytes();
    registry.look(|state| state.blobs.insert(digest(&bytes), bytes));
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST,
        "config": described(CONFIG, config.as_bytes()), "layers": []});
    put(registry, tag, MANIFEST, &manifest)
}

fn index(registry: &MemoryRegistry, tag: &str, manifests: &[Value]) -> Value {
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests});
    put(registry, tag, INDEX, &index)
}

fn on(mut entry: Value, os: &str) -> Value {
    entry["platform"] = json!({"os": os, "architecture": "amd64"});
    entry
}

#[test]
fn what_a_registry_answers_wrongly_is_the_registry_s() {
    let (registry, store) = (MemoryRegistry::listing(), Store::new());
    let (linux, windows) = (json!({}), json!({"os.version": "10.0.17763"}));
    let linux = image(&registry, "linux", "linux", &linux);
    let windows = image(&registry, "windows", "windows", &windows);
    image(&registry, "more-diff-ids", "linux", &json!({"rootfs": {"type": "layers", "diff_ids": [linux["digest"]]}}));
    image(&registry, "no-platform", "", &json!({}));
    let both = [on(linux.clone(), "linux"), on(windows.clone(), "windows")];
    let inner = index(&registry, "both", &both);
    index(&registry, "nested", &[on(inner, "linux")]);
    index(&registry, "only-windows", &both[1..]);
    let mut long = on(linux.clone(), "linux");
    long["size"] = json!(linux["size"].as_u64().unwrap() + 1);
    index(&registry, "wrong-size", &[long]);
    for (tag, more, said) in [
        ("windows", None, "it has windows/amd64"),
        ("only-windows", None, "it has windows/amd64"),
        ("only-windows", Some("--all-platforms"), "lists no image for Linux"),
        ("nested", Some("--platform=linux/amd64"), "its index lists another index"),
        ("wrong-size", Some("--platform=linux/amd64"), "and the index says"),
        ("more-diff-ids", None, "team/x:more-diff-ids: "),
        ("no-platform", None, "does not say what it runs on"),
    ] {
        let name = registry.image(&format!("team/x:{tag}"));
        let said_of = Store::new().run(&[&["pull", name.as_str()][..], more.as_slice()].concat()).fails(4).stderr;
        assert!(said_of.contains(said), "{tag}: {said_of}");
    }
    // Of an index, those for Linux are taken, and it is said which are not.
    let name = registry.image("team/x:both");
    let told = store.run(&["pull", "--all-platforms", &name]).ok().stderr;
    assert!(told.contains("of an index that lists more"), "{told}");
    let listed: Value = serde_json::from_str(&store.run(&["images", "--format", "json"]).ok().stdout).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(listed[0]["platform"], "linux/amd64", "{listed}");
    // As a base it is no other thing.
    let directory = crate::support::tasks("- {name: a, action: write_env_file, file: /a, content: x}\n");
    let directory = crate::support::text(directory.path());
    let build = |tag: &str| {
        let base = registry.image(&format!("team/x:{tag}"));
        store.run(&["build", directory, "--platform", "linux/amd64", "--base", &base])
    };
    let ended = build("windows").fails(4);
    assert!(ended.stderr.contains("it has windows/amd64"), "{}", ended.stderr);
    build("nested").ok();
}

#[test]
fn an_index_of_a_registry_is_read_as_far_as_it_says_something() {
    let (registry, store) = (MemoryRegistry::listing(), Store::new());
    let (linux, arm) = (json!({}), json!({"architecture": "arm64"}));
    let linux = image(&registry, "linux", "linux", &linux);
    let arm = image(&registry, "arm", "linux", &arm);
    // As others name what they attach: with a config that says nothing, though it looks like an image's.
    let artifact = |tag: &str, kind: &str| {
        let config =
            json!({"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": []}}).to_string();
        registry.look(|state| state.blobs.insert(digest(config.as_bytes()), config.clone().into_bytes()));
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "application/x-a",
            "config": described(kind, config.as_bytes()), "layers": []});
        put(&registry, tag, MANIFEST, &manifest)
    };
    let chart = artifact("chart", "application/vnd.cncf.helm.config.v1+json");
    let empty = artifact("empty", "application/vnd.oci.empty.v1+json");
    index(&registry, "unsaid", &[linux.clone(), arm.clone()]);
    index(&registry, "beside", &[chart, linux.clone(), empty]);
    index(&registry, "none", &[]);
    let mut inner = index(&registry, "inner", &[linux, arm.clone()]);
    for tag in ["1", "2", "3"] {
        inner = index(&registry, tag, &[inner]);
    }
    index(&registry, "deep", &[inner, arm.clone()]);
    index(&registry, "others", &[arm.clone(), on(arm, "windows")]);
    let directory = crate::support::tasks("- {name: a, action: write_env_file, file: /a, content: x}\n");
    let directory = crate::support::text(directory.path());
    let build = |tag: &str| {
        let base = registry.image(&format!("team/x:{tag}"));
        store.run(&["build", directory, "--platform", "linux/amd64", "--base", &base])
    };
    for tag in ["unsaid", "beside", "deep"] {
        build(tag).ok();
    }
    for (tag, said) in [
        ("none", "has no image for linux/amd64; it has none at all"),
        ("others", "has no image for linux/amd64; it has linux/arm64, windows/amd64"),
        ("chart", "team/x:chart: it is no image: its config is application/vnd.cncf.helm.config.v1+json"),
        ("empty", "team/x:empty: it is no image: its config is application/vnd.oci.empty.v1+json"),
    ] {
        let ended = build(tag).fails(4);
        assert!(ended.stderr.contains(said), "{tag}: {}", ended.stderr);
    }
}

#[test]
fn an_image_is_for_the_platform_that_it_says() {
    let (registry, store) = (MemoryRegistry::listing(), Store::new());
    let arm = image(&registry, "arm", "linux", &json!({"architecture": "arm64"}));
    let s390x = image(&registry, "s390x", "linux", &json!({"architecture": "s390x"}));
    let amd = image(&registry, "amd", "linux", &json!({}));
    let listed = |mut entry: Value, architecture: &str| {
        entry["platform"] = json!({"os": "linux", "architecture": architecture});
        entry
    };
    index(&registry, "lies", &[listed(amd.clone(), "arm64"), listed(amd.clone(), "amd64")]);
    index(&registry, "true", &[listed(arm, "arm64"), listed(amd, "amd64")]);
    let name = |tag: &str| registry.image(&format!("team/x:{tag}"));
    let directory = crate::support::tasks("- {name: a, action: write_env_file, file: /a, content: x}\n");
    let directory = crate::support::text(directory.path());
    // An index that contradicts what it lists.
    let said = ["for linux/arm64", "says that it is for linux/amd64"];
    let joined = registry.image("team/x:joined");
    for command in [
        &["pull", "--platform", "linux/arm64", &name("lies")][..],
        &["pull", "--all-platforms", &name("lies")],
        &["build", directory, "--platform", "linux/arm64", "--base", &name("lies")],
        &["manifest", "create", &joined, &name("lies")],
    ] {
        let ended = store.run(command).fails(4).stderr;
        assert!(said.iter().all(|part| ended.contains(part)), "{command:?}: {ended}");
    }
    store.run(&["pull", "--platform", "linux/arm64", &name("true")]).ok();
    // A single image: an error where a platform was asked for, else a warning.
    let other = name("s390x");
    for command in [
        &["pull", "--platform", "linux/arm64", &other][..],
        &["build", directory, "--platform", "linux/arm64", "--base", &other],
    ] {
        let ended = store.run(command).fails(4).stderr;
        assert!(ended.contains("has no image for linux/arm64; it has linux/s390x"), "{command:?}: {ended}");
    }
    let told = store.run(&["pull", &other]).ok().stderr;
    assert!(told.contains("warning: ") && told.contains("is for linux/s390x and for nothing else"), "{told}");
    let told = Store::new().run(&["pull", "--platform", "linux/s390x", &other]).ok().stderr;
    assert!(!told.contains("warning: "), "{told}");
    assert!(s390x.is_object());
}
