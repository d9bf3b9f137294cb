//! What is published is what was built, and what everybody can pull.

use serde_json::Value;

use crate::support::forged::{Forged, digest, layer};
use crate::support::images::tasks;
use crate::support::registry::Registry;
use crate::support::team::Team;
use crate::support::{Ended, Store, blueprint, text, tool};

/// The tar of the topmost layer of an image in the store.
fn top(store: &Store, image: &str) -> Vec<u8> {
    let place = tempfile::tempdir().unwrap();
    let (archive, script) = (place.path().join("a.tar"), "cd \"$0\" && tar xf a.tar && tar xOf a.tar manifest.json");
    let manifest = {
        let output = format!("type=docker-archive,dest={}", archive.display());
        let directory = tasks();
        store.run(&["build", text(directory.path()), "--base", image, "--no-attest", "-o", &output]).ok();
        tool("sh", &["-c", script, text(place.path())]).ok().stdout
    };
    let saved: Value = serde_json::from_str(&manifest).unwrap();
    let name = saved[0]["Layers"].as_array().unwrap().last().unwrap().as_str().unwrap().to_owned();
    std::fs::read(place.path().join(name)).unwrap()
}

#[track_caller]
fn refused(ended: Ended, claimed: &[u8], found: &[u8]) {
    let ended = ended.fails(1);
    for part in ["layer 1 of ", &digest(claimed), &digest(found)] {
        assert!(ended.stderr.contains(part), "no `{part}` in {}", ended.stderr);
    }
}

#[test]
fn a_base_that_claims_what_was_built_here_is_neither_stood_on_nor_published() {
    let place = tempfile::tempdir().unwrap();
    let (registry, store) = (Registry::start(), Store::new());
    let good = Forged::new(place.path(), &layer(place.path(), "GOOD"), &layer(place.path(), "GOOD"));
    let good = good.pushed(&registry, "good");
    // The layer of a task: its tree has the name of its diff ID.
    let own = top(&store, &good);
    let evil = layer(place.path(), "EVIL");
    let base = Forged::new(place.path(), &evil, &own).pushed(&registry, "evil");
    let out = registry.image("out:1");
    let other = blueprint(&[
        ("manifest.yml", "name: Other\nversion: 1.0.0\nrun_order: [a.yml]\nimage: {env_from_profile: false}\n"),
        ("a.yml", "- {name: other, action: write_env_file, file: /etc/other, content: other}\n"),
    ]);
    for more in [&["--push"][..], &["--push", "--no-attest"], &[]] {
        let build = ["build", text(other.path()), "--base", &base, "-t", &out];
        refused(store.run(&[&build, more].concat()), &own, &evil);
    }
    assert_eq!(registry.tag("out", "1"), None);
}

#[test]
fn a_base_that_no_layer_needs_is_looked_into_before_it_is_published() {
    let place = tempfile::tempdir().unwrap();
    let (good, evil) = (layer(place.path(), "GOOD"), layer(place.path(), "EVIL"));
    let registry = Registry::start();
    let nothing = blueprint(&[
        ("manifest.yml", "name: None\nversion: 1.0.0\nrun_order: [a.yml]\nimage: {env_from_profile: false}\n"),
        ("a.yml", "[]\n"),
    ]);
    let (store, out) = (Store::new(), registry.image("out:1"));
    let build = |base: &str, more: &[&str]| {
        let arguments = ["build", text(nothing.path()), "--base", base, "-t", &out, "--no-attest"];
        store.run(&[&arguments, more].concat())
    };
    let base = Forged::new(place.path(), &evil, &good).pushed(&registry, "evil");
    // Nothing is fetched for an image that stays here. Twice: that it was built before says nothing of its base.
    build(&base, &[]).ok();
    for _ in 0..2 {
        refused(build(&base, &["--push"]), &good, &evil);
        refused(store.run(&["push", &out]), &good, &evil);
    }
    assert_eq!(registry.tag("out", "1"), None);
    let base = Forged::new(place.path(), &good, &good).pushed(&registry, "good");
    build(&base, &["--push"]).ok();
    assert!(registry.tag("out", "1").is_some());
}

#[test]
fn an_entry_of_two_layers_is_not_published() {
    let team = Team::new();
    let (image, store) = (team.image("team/image:1"), Store::new());
    let (first, _) = team.build(&Store::new(), &["-t", &image, "--push"]);
    let tag = |at: usize| format!("alloy-cache-v1-layer-{}", first["layers"][at]["key"].as_str().unwrap());
    let record = |manifest: &Value| {
        let record = manifest["annotations"]["vnd.alloy.cache.record"].as_str().unwrap();
        serde_json::from_str::<Value>(record).unwrap()
    };
    // The blob of one layer with the diff ID of another.
    let other = record(&team.manifest("team/image", &tag(0)));
    let mut manifest = team.manifest("team/image", &tag(1));
    let mut forged = record(&manifest);
    forged["known"]["layer"]["layer"]["diff_id"] = other["known"]["layer"]["layer"]["diff_id"].clone();
    assert_ne!(forged, record(&manifest));
    manifest["annotations"]["vnd.alloy.cache.record"] = forged.to_string().into();
    team.put("team/image", &tag(1), &manifest.to_string(), store.path());
    let (from, out) = (team.image("team/image"), team.image("team/out:1"));
    let arguments = ["-t", &out, "--push", "--cache-from", &from, "--cache-to", "none"];
    let ended = crate::support::run(&mut team.command(&store, &arguments)).fails(1);
    assert!(ended.stderr.contains("is not what the image's config says"), "{}", ended.stderr);
    assert_eq!(team.registry.tag("team/out", "1"), None);
    // By now it is known, and what is asked for is another entry, or made.
    let (second, _) = team.build(&store, &arguments);
    assert_eq!(second["containerimage.digest"], first["containerimage.digest"]);
    assert!(team.registry.tag("team/out", "1").is_some());
}
