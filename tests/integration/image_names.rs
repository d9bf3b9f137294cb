//! Which image of a file is meant, and under which names others find what alloy writes.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::layout::{Layout, OddLayer, files_only, named, tar_of};
use crate::support::{Ended, Store, text, tool};

fn build(store: &Store, base: &str) -> Ended {
    store.run(&["build", text(files_only().path()), "--base", base, "-t", "it", "--no-attest"])
}

/// What `/mark` holds in an image that is built on `base`.
#[track_caller]
fn mark(store: &Store, base: &str) -> String {
    let tar = store.path().join("root.tar");
    let output = format!("type=tar,dest={}", text(&tar));
    store.run(&["build", text(files_only().path()), "--base", base, "-o", &output, "--no-attest"]).ok();
    tool("tar", &["-xOf", text(&tar), "mark"]).ok().stdout
}

/// Puts an image that is known by its mark.
fn marked(layout: &Layout, mark: &str) -> Value {
    layout.image(&[OddLayer::file("mark", mark)], json!({}), |_| {})
}

fn digest(entry: &Value) -> &str {
    entry["digest"].as_str().unwrap()
}

#[test]
fn an_image_of_a_layout_is_named_with_its_colons_or_by_its_digest() {
    let (store, layout) = (Store::new(), Layout::new());
    let images = ["a:1", "b:2", "r.example:5000/team/app:1"].map(|name| (name, marked(&layout, name)));
    let entries: Vec<Value> = images.iter().map(|(name, entry)| named(entry, name)).collect();
    layout.index(&entries);
    for (name, entry) in &images {
        assert_eq!(mark(&store, &layout.base(&format!(":{name}"))), *name);
        assert_eq!(mark(&store, &layout.base(&format!("@{}", digest(entry)))), *name);
    }
    for behind in ["", ":3", ":b"] {
        let told = build(&store, &layout.base(behind)).fails(1).stderr;
        assert!(told.contains("a:1, b:2, r.example:5000/team/app:1"), "{behind}: {told}");
    }
    // A directory may have colons, too.
    let odd = store.path().join("with:colon");
    tool("cp", &["-r", text(&layout.path()), text(&odd)]).ok();
    assert_eq!(mark(&store, &format!("oci:{}:b:2", text(&odd))), "b:2");
    // The same in a tar.
    let tar = store.path().join("o.tar");
    tool("tar", &["-C", text(&layout.path()), "-cf", text(&tar), "."]).ok();
    assert_eq!(mark(&store, &format!("oci-archive:{}:b:2", text(&tar))), "b:2");
    assert_eq!(mark(&store, &format!("oci-archive:{}@{}", text(&tar), digest(&images[0].1))), "a:1");
    assert!(build(&store, &format!("oci-archive:{}", text(&tar))).fails(1).stderr.contains("name one of a:1"));
    let other = build(&store, &format!("docker-archive:{}", text(&tar))).fails(1).stderr;
    assert!(other.contains("it has no manifest.json: is it an OCI archive? `oci-archive:` reads these"), "{other}");
}

#[test]
fn images_without_names_are_listed_by_digest_and_platform() {
    let (store, layout) = (Store::new(), Layout::new());
    let entries = ["one", "two"].map(|name| marked(&layout, name));
    layout.index(&entries);
    let told = build(&store, &layout.base("")).fails(1).stderr;
    for entry in &entries {
        assert!(told.contains(&format!("{} (linux/", digest(entry))), "{told}");
        assert!(told.contains("as in `PATH@sha256:"), "{told}");
    }
    assert_eq!(mark(&store, &layout.base(&format!("@{}", digest(&entries[1])))), "two");
    // Of several for different platforms, the right one is meant.
    let other = layout.image(&[OddLayer::file("mark", "other")], json!({}), |config| {
        config["architecture"] = json!("s390x");
    });
    layout.index(&[other, entries[0].clone()]);
    assert_eq!(mark(&store, &layout.base("")), "one");
}

#[test]
fn what_is_beside_the_one_image_of_a_layout_is_no_image() {
    let (store, layout) = (Store::new(), Layout::new());
    let image = marked(&layout, "one");
    // An artifact, as ORAS writes it; one that is no manifest of an image at all; and what BuildKit attaches.
    let empty = layout.put("application/vnd.oci.empty.v1+json", b"{}");
    let manifest = "application/vnd.oci.image.manifest.v1+json";
    let artifact = json!({"schemaVersion": 2, "mediaType": manifest, "artifactType": "application/x-a",
        "config": empty, "layers": [empty], "subject": image});
    let mut artifact = layout.put(manifest, artifact.to_string().as_bytes());
    artifact["artifactType"] = json!("application/x-a");
    let other = layout.put("application/vnd.oci.artifact.manifest.v1+json", br#"{"blobs":[]}"#);
    let mut attached = marked(&layout, "attached");
    attached["annotations"] = json!({"vnd.docker.reference.type": "attestation-manifest"});
    layout.index(&[artifact.clone(), other, image, attached]);
    assert_eq!(mark(&store, &layout.base("")), "one");
    // Of artifacts alone, none is an image.
    layout.index(&[artifact]);
    let told = build(&store, &layout.base("")).fails(1).stderr;
    assert!(told.contains("it is no image: its config is application/vnd.oci.empty.v1+json"), "{told}");
}

#[test]
fn indexes_in_indexes_are_read_as_deep_as_anybody_writes_them() {
    let (store, layout) = (Store::new(), Layout::new());
    let image = marked(&layout, "deep");
    let mut entry = image.clone();
    for depth in 1..=5 {
        entry = layout.nested(&[entry]);
        layout.index(&[named(&entry, "latest")]);
        match depth {
            5 => assert!(build(&store, &layout.base("")).fails(1).stderr.contains("more than 4 deep")),
            _ => assert_eq!(mark(&store, &layout.base(":latest")), "deep", "{depth}"),
        }
        if depth == 3 {
            assert_eq!(mark(&store, &layout.base(&format!("@{}", digest(&image)))), "deep");
        }
    }
    // One that lists itself is none: no digest can be found for it. One that lists nothing is told of.
    layout.index(&[layout.nested(&[])]);
    build(&store, &layout.base("")).fails(1);
}

#[test]
fn what_a_layout_lists_says_itself_what_it_is() {
    const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    let (store, layout) = (Store::new(), Layout::new());
    let image = marked(&layout, "one");
    let nested = layout.nested(std::slice::from_ref(&image));
    let listed = |entry: &Value, kind: &str| {
        let mut entry = entry.clone();
        entry["mediaType"] = json!(kind);
        entry
    };
    let read = |path: &Path| -> Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
    let changed = |entry: &Value, change: &dyn Fn(&mut Value)| {
        let mut document = read(&layout.blob(digest(entry)));
        change(&mut document);
        layout.put(entry["mediaType"].as_str().unwrap(), document.to_string().as_bytes())
    };
    let tar = |layout: &Layout| {
        let tar = store.path().join("o.tar");
        tool("tar", &["-C", text(&layout.path()), "-cf", text(&tar), "."]).ok();
        format!("oci-archive:{}", text(&tar))
    };
    // A type that says nothing leaves it to the document.
    let untyped = changed(&nested, &|document| _ = document.as_object_mut().unwrap().remove("mediaType"));
    for kind in ["", "application/json", "application/x-other"] {
        for entry in [&image, &nested, &untyped] {
            layout.index(&[listed(entry, kind)]);
            assert_eq!(mark(&store, &layout.base("")), "one", "{kind}");
            assert_eq!(mark(&store, &layout.base(&format!("@{}", digest(&image)))), "one", "{kind}");
            assert_eq!(mark(&store, &tar(&layout)), "one", "{kind}");
        }
    }
    // What is one thing by its index and another one by itself is read by nobody.
    let inner = layout.nested(&[listed(&nested, MANIFEST)]);
    let both = changed(&image, &|document| document["manifests"] = json!([image]));
    let said_index = changed(&image, &|document| document["mediaType"] = json!(INDEX));
    let said_manifest = changed(&nested, &|document| document["mediaType"] = json!(MANIFEST));
    for (entry, said) in [
        (listed(&image, INDEX), "its index lists it as an index, and it is an image's manifest itself"),
        (listed(&nested, MANIFEST), "its index lists it as an image's manifest, and it is an index itself"),
        (listed(&untyped, MANIFEST), "may take it for either"),
        (inner, "its index lists it as an image's manifest, and it is an index itself"),
        (both.clone(), "may take it for either"),
        (listed(&both, INDEX), "may take it for either"),
        (listed(&both, ""), "may take it for either"),
        (said_index, "may take it for either"),
        (said_manifest, "may take it for either"),
    ] {
        layout.index(std::slice::from_ref(&entry));
        for base in [layout.base(""), tar(&layout)] {
            let told = build(&store, &base).fails(1).stderr;
            assert!(told.contains(said), "{entry}: {told}");
        }
    }
}

/// What `docker save` writes of images with these names, each of layers of one.
fn saved(place: &Path, images: &[(&str, &[&str], &[&str])]) -> String {
    let list: Vec<Value> = images
        .iter()
        .map(|(config, names, layers)| json!({"Config": config, "RepoTags": names, "Layers": layers}))
        .collect();
    fs::write(place.join("manifest.json"), json!(list).to_string()).unwrap();
    let tar = place.with_extension("tar");
    tool("tar", &["-C", text(place), "-cf", text(&tar), "."]).ok();
    format!("docker-archive:{}", text(&tar))
}

#[test]
fn an_image_of_several_in_an_archive_of_docker_is_named() {
    let store = Store::new();
    let place = store.path().join("saved");
    for (mark, directory) in [("x", "l1"), ("y", "l2")] {
        let tar = tar_of(&[("mark", mark)]);
        fs::create_dir_all(place.join(directory)).unwrap();
        fs::write(place.join(directory).join("layer.tar"), &tar).unwrap();
        let config = json!({"os": "linux", "architecture": arch(), "rootfs": {
            "type": "layers", "diff_ids": [layers::digest::Digest::of(&tar).to_string()],
        }});
        fs::write(place.join(format!("{mark}.json")), config.to_string()).unwrap();
    }
    // Docker writes a layer that several images have once.
    fs::create_dir_all(place.join("l3")).unwrap();
    symlink("../l1/layer.tar", place.join("l3/layer.tar")).unwrap();
    let base =
        saved(&place, &[("x.json", &["x:1"], &["l3/layer.tar"]), ("y.json", &["r.example/y:2"], &["l2/layer.tar"])]);
    assert_eq!(mark(&store, &format!("{base}:x:1")), "x");
    assert_eq!(mark(&store, &format!("{base}:docker.io/library/x:1")), "x");
    assert_eq!(mark(&store, &format!("{base}:r.example/y:2")), "y");
    for behind in ["", ":z:1"] {
        let told = build(&store, &format!("{base}{behind}")).fails(1).stderr;
        assert!(told.contains("x:1, r.example/y:2"), "{told}");
    }
    let single = saved(&place, &[("x.json", &["x:1"], &["l3/layer.tar"])]);
    assert_eq!(mark(&store, &single), "x");
    // A link that leads out of the archive leads nowhere, whatever lies there on this machine.
    fs::remove_file(place.join("l3/layer.tar")).unwrap();
    for target in [text(&place.join("l1/layer.tar")), "../../l1/layer.tar", "../../saved/l1/layer.tar"] {
        symlink(target, place.join("l3/layer.tar")).unwrap();
        let out = saved(&place, &[("x.json", &["x:1"], &["l3/layer.tar"])]);
        assert!(build(&store, &out).fails(1).stderr.contains("it has no l3/layer.tar"), "{target}");
        fs::remove_file(place.join("l3/layer.tar")).unwrap();
    }
}

fn arch() -> &'static str {
    if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" }
}

fn names(index: &[u8]) -> Vec<(String, String)> {
    let index: Value = serde_json::from_slice(index).unwrap();
    let name = |entry: &Value, key: &str| entry["annotations"][key].as_str().unwrap_or_default().to_owned();
    let both =
        |entry: &Value| (name(entry, "io.containerd.image.name"), name(entry, "org.opencontainers.image.ref.name"));
    index["manifests"].as_array().unwrap().iter().map(both).collect()
}

fn pair(whole: &str, tag: &str) -> (String, String) {
    (whole.to_owned(), tag.to_owned())
}

#[test]
fn outputs_have_the_whole_name_of_every_tag() {
    let store = Store::new();
    let (oci, archive) = (store.path().join("oci"), store.path().join("o.tar"));
    let layout = Layout::single(&[OddLayer::file("mark", "m")], json!({}));
    let write = |tags: &[&str], kind: &str, dest: &Path| {
        let (blueprint, output) = (files_only(), format!("type={kind},dest={}", text(dest)));
        let base = layout.base("");
        let mut words = vec!["build", text(blueprint.path()), "--base", &base, "-o", &output, "--no-attest"];
        words.extend(tags.iter().flat_map(|tag| ["-t", tag]));
        store.run(&words).ok();
    };
    let read = || names(&fs::read(oci.join("index.json")).unwrap());
    let (app, other) = (pair("docker.io/library/app:1.2", "1.2"), pair("r.example/team/other:1.2", "1.2"));
    write(&["app:1.2"], "oci", &oci);
    write(&["r.example/team/other:1.2"], "oci", &oci);
    assert_eq!(read(), [app.clone(), other.clone()]);
    // The same name once more is the same entry.
    write(&["app:1.2"], "oci", &oci);
    assert_eq!(read(), [other.clone(), app.clone()]);
    // What has a tag alone is what an older alloy wrote, or skopeo.
    let index: Value = serde_json::from_slice(&fs::read(oci.join("index.json")).unwrap()).unwrap();
    let old = named(&index["manifests"][0], "1.3");
    fs::write(oci.join("index.json"), json!({"schemaVersion": 2, "manifests": [old]}).to_string()).unwrap();
    assert_eq!(mark(&store, &format!("oci:{}:1.3", text(&oci))), "m");
    write(&["app:1.2"], "oci", &oci);
    assert_eq!(read(), [pair("", "1.3"), app.clone()]);
    write(&["app:1.3"], "oci", &oci);
    assert_eq!(read(), [app.clone(), pair("docker.io/library/app:1.3", "1.3")]);
    write(&["app:1.2", "r.example/team/other:1.2"], "oci-archive", &archive);
    let index = tool("tar", &["-xOf", text(&archive), "index.json"]).ok().stdout;
    assert_eq!(names(index.as_bytes()), [app, other]);
    for reference in [format!("oci-archive:{}:1.2", text(&archive)), format!("oci:{}:1.3", text(&oci))] {
        tool("skopeo", &["inspect", &reference]).ok();
    }
    assert_eq!(mark(&store, &format!("oci:{}:app:1.2", text(&oci))), "m");
    assert_eq!(mark(&store, &format!("oci-archive:{}:r.example/team/other:1.2", text(&archive))), "m");
}

#[test]
fn a_layout_keeps_what_others_wrote_into_its_index() {
    let (store, layout) = (Store::new(), Layout::new());
    let mut other = named(&marked(&layout, "m"), "other");
    other["artifactType"] = json!("application/x.thing");
    other["urls"] = json!(["https://example.invalid/x"]);
    other["platform"] = json!({"os": "linux", "architecture": "riscv64", "os.version": "1", "os.features": ["f"]});
    let mut index = json!({"schemaVersion": 2, "manifests": [other, Value::Null]});
    index["annotations"] = json!({"of": "somebody"});
    index["manifests"][1] = named(&marked(&layout, "n"), "replaced");
    index["manifests"][1]["data"] = json!("e30=");
    let place = layout.path().join("index.json");
    fs::write(&place, index.to_string()).unwrap();
    let (output, blueprint) = (format!("type=oci,dest={}", text(&layout.path())), files_only());
    let words = ["build", text(blueprint.path()), "-t", "replaced", "--base", "scratch", "-o", &output, "--no-attest"];
    let tag = |value: &Value| value["annotations"]["org.opencontainers.image.ref.name"].as_str().unwrap().to_owned();
    // Twice: the second time, alloy's own entry is replaced.
    for tagged in ["replaced", "replaced:latest"] {
        let words = words.map(|word| if word == "replaced" { tagged } else { word });
        store.run(&words).ok();
        let found: Value = serde_json::from_slice(&fs::read(&place).unwrap()).unwrap();
        assert_eq!(found["annotations"], index["annotations"]);
        assert_eq!(found["manifests"][0], other);
        let tags: Vec<String> = found["manifests"].as_array().unwrap().iter().map(tag).collect();
        assert_eq!(tags, ["other", "latest"]);
    }
    fs::write(layout.path().join("oci-layout"), r#"{"imageLayoutVersion":"2.0.0"}"#).unwrap();
    let told = store.run(&words).fails(1).stderr;
    assert!(told.contains("layout of version 2.0.0"), "{told}");
}
