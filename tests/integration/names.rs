//! What is printed can be typed: names with digests, digests, and their beginnings are names of images.

use crate::support::registry::Registry;
use crate::support::{Ended, Store, blueprint, repository, text};

/// The last line on standard output.
fn printed(ended: &Ended) -> String {
    ended.stdout.lines().last().unwrap().to_owned()
}

#[test]
fn what_a_build_prints_names_its_image() {
    let (store, registry) = (Store::with_base(), Registry::start());
    let hello = repository("examples/hello");
    let named = printed(&store.run(&["build", "-q", text(&hello), "-t", "hello", "-t", "other:1"]).ok());
    let digest = named.split_once('@').unwrap().1.to_owned();
    let short = &digest["sha256:".len()..][..12];
    for name in [named.as_str(), &digest, &digest[..16], short] {
        assert_eq!(store.run(&["run", name, "printenv", "GREETING"]).ok().stdout, "Hello from a layer\n", "{name}");
        let inspected: serde_json::Value = serde_json::from_str(&store.run(&["inspect", name]).ok().stdout).unwrap();
        assert_eq!(inspected["digest"], digest, "{name}");
    }
    for command in ["sbom", "provenance", "verify"] {
        store.run(&[command, &named]).ok();
    }
    let to = registry.image("hello:1");
    assert_eq!(printed(&store.run(&["push", short, &to]).ok()), format!("{to}@{digest}"));
    let said = store.run(&["push", &named]).fails(2).stderr;
    assert!(said.contains("alloy push") && said.contains("REGISTRY"), "{said}");
    // A name that has become another image's is not what its digest was.
    let greeting = store.run(&["build", "-q", text(&hello), "-t", "hello", "--var", "GREETING=again"]).ok();
    assert_ne!(printed(&greeting), named);
    let said = store.run(&["run", &named, "printenv", "GREETING"]).ok();
    assert_eq!(said.stdout, "Hello from a layer\n", "its digest is under another name");
    let none = format!("hello@sha256:{}", "0".repeat(64));
    let said = store.run(&["run", &none, "true"]).fails(1).stderr;
    assert!(said.contains("the store has no image of the digest") && said.contains("alloy images"), "{said}");
    // Too short for a digest: it is a name.
    let said = store.run(&["inspect", &digest[..10]]).fails(1).stderr;
    assert!(said.contains("there is no image"), "{said}");
}

#[test]
fn an_image_without_a_name_is_there_until_it_is_pruned() {
    let store = Store::with_base();
    let hello = repository("examples/hello");
    let digest = printed(&store.run(&["build", "-q", text(&hello)]).ok());
    assert!(digest.starts_with("sha256:"), "{digest}");
    let run = |name: &str| store.run(&["run", name, "printenv", "GREETING"]);
    assert_eq!(run(&digest).ok().stdout, "Hello from a layer\n");
    let said = store.run(&["run", "--rw", &digest, "true"]).fails(2).stderr;
    assert!(said.contains(&digest) && said.contains("--rw=NAME"), "{said}");
    // Other blobs begin like that: layers, configs, documents. They are no images.
    let other = std::fs::read_dir(store.path().join("store/blobs/sha256")).unwrap().flatten();
    let others = other.map(|blob| blob.file_name().into_string().unwrap());
    for other in others.filter(|other| !digest.ends_with(other.as_str())) {
        store.run(&["inspect", &format!("sha256:{other}")]).fails(1);
    }
    let tagged = store.run(&["tag", &digest[..15], "kept", "kept:2"]).ok().stdout;
    assert_eq!(tagged, format!("kept:latest@{digest}\nkept:2@{digest}\n"));
    store.run(&["prune"]).ok();
    assert_eq!(run("kept:2").ok().stdout, "Hello from a layer\n");
    assert_eq!(store.run(&["untag", "kept:2"]).ok().stdout, "kept:2\n");
    store.run(&["tag", "kept", "kept:3", "kept:4"]).ok();
    assert_eq!(store.run(&["untag", &format!("kept:3@{digest}")]).ok().stdout, "kept:3\n");
    let said = store.run(&["untag", "kept:4", "kept:nine"]).fails(1).stderr;
    assert!(said.contains("there is no image `kept:nine`"), "{said}");
    run("kept:4").ok();
    assert_eq!(store.run(&["rmi", &digest]).ok().stdout, "kept:4\nkept:latest\n");
    assert_eq!(store.run(&["images"]).ok().stdout.lines().count(), 1);
    store.run(&["prune"]).ok();
    let said = run(&digest).fails(1).stderr;
    assert!(said.contains("the store has no image of the digest"), "{said}");
}

#[test]
fn printed_names_are_pushed_and_built_on_and_take_no_others_away() {
    let (store, registry) = (Store::with_base(), Registry::start());
    let hello = repository("examples/hello");
    let image = registry.image("team/hello:1");
    let named = printed(&store.run(&["build", "-q", text(&hello), "-t", &image]).ok());
    assert_eq!(printed(&store.run(&["push", &named]).ok()), named);
    let digest = named.split_once('@').unwrap().1.to_owned();
    store.run(&["tag", &digest, "kept:1", "kept:2"]).ok();
    // Twice, as a job does that is run again.
    store.run(&["untag", &format!("kept:1@{digest}")]).ok();
    for command in ["untag", "prune"] {
        let said = store.run(&[command, &format!("kept:1@{digest}")]).fails(1).stderr;
        assert!(said.contains("is not called `kept:1`") && said.contains("kept:2"), "{said}");
    }
    store.run(&["inspect", "kept:2"]).ok();
    // All names that go are told.
    store.run(&["tag", &digest, "also:1", "also:2"]).ok();
    let said = store.run(&["prune", "--dry-run", &digest]).ok().stderr;
    for name in ["also:1", "also:2", "kept:2", image.as_str()] {
        assert!(said.contains(&format!("the name {name} would be taken away")), "{name}: {said}");
    }
    let said = store.run(&["prune", "also:1", "also:2"]).ok().stderr;
    assert!(said.contains("the name also:1 is taken away") && said.contains("the name also:2 is"), "{said}");
    let manifest = "name: Above\nversion: 1.0.0\nrun_order: [a.yml]\n";
    let task =
        "- {name: a, action: run_command, reason: test, command: 'cat /etc/same >> /etc/all; echo x > /etc/same'}\n";
    let above = blueprint(&[("manifest.yml", manifest), ("a.yml", task)]);
    let short = &digest["sha256:".len()..][..12];
    for base in [digest.as_str(), short, &format!("kept:2@{digest}"), &format!("local:{digest}")] {
        let said = store.run(&["build", text(above.path()), "--base", base]).ok().stderr;
        assert!(said.contains(&format!("is an image of this store ({digest})")), "{base}: {said}");
    }
}

#[test]
fn a_base_that_has_a_layer_twice_is_verified_and_stays_whole() {
    let store = Store::with_base();
    let manifest = "name: Twice\nversion: 1.0.0\nrun_order: [a.yml]\n";
    let same = "- {name: a, action: run_command, reason: test, command: echo same > /etc/same}\n";
    let above = "- {name: a, action: run_command, reason: test, command: cat /etc/same > /etc/above}\n";
    let [same, above] = [same, above].map(|task| blueprint(&[("manifest.yml", manifest), ("a.yml", task)]));
    let hello = repository("examples/hello");
    store.run(&["build", text(&hello), "-t", "hello"]).ok();
    store.run(&["build", text(same.path()), "--base", "hello", "-t", "same:1"]).ok();
    store.run(&["build", text(same.path()), "--base", "same:1", "-t", "same:2"]).ok();
    store.run(&["build", text(above.path()), "--base", "same:2", "-t", "above"]).ok();
    store.run(&["verify", "above"]).ok();
    store.run(&["store", "check"]).ok();
    assert_eq!(store.run(&["run", "above", "cat", "/etc/above"]).ok().stdout, "same\n");
}
