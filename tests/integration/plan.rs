//! What a build would do, and why.

use serde_json::Value;

use crate::support::{Store, blueprint, shared, text};

const MANIFEST: &str = "name: Planned\nversion: 1.0.0\nrun_order: [a.yml, b.yml, c.yml]\nvariables: {WORD: one}\n";
const A: &str =
    "- {name: Words, action: write_env_file, file: /srv/words, content: \"alpha\\nbeta {{.Vars.WORD}}\\n\"}\n";
const B: &str = "- {name: Tools, action: apt_install, packages: [base-files, passwd, apt]}\n";
const C: &str = "- {name: Place, action: unpack, source: x.tar, dest: /opt/x}\n";

/// Names, states, and reasons without the layer below.
fn plan(store: &Store, arguments: &[&str]) -> Vec<(String, String, Vec<String>)> {
    let mut all = vec!["plan", "--format", "json"];
    all.extend(arguments);
    let plan: Value = serde_json::from_str(&store.run(&all).ok().stdout).unwrap();
    let words = |value: &Value| value.as_str().unwrap().to_owned();
    let of_layer = |layer: &Value| {
        let reasons = layer["reasons"].as_array().unwrap().iter().filter(|reason| reason["code"] != "below");
        (words(&layer["name"]), words(&layer["state"]), reasons.map(|reason| words(&reason["what"])).collect())
    };
    plan["layers"].as_array().unwrap().iter().map(of_layer).collect()
}

fn states(plan: &[(String, String, Vec<String>)]) -> Vec<&str> {
    plan.iter().map(|(_, state, _)| state.as_str()).collect()
}

#[test]
fn misses_are_told_in_the_authors_words() {
    let store = shared();
    let directory = blueprint(&[("manifest.yml", MANIFEST), ("a.yml", A), ("b.yml", B), ("c.yml", C)]);
    let (place, write) =
        (text(directory.path()), |name, text| std::fs::write(directory.path().join(name), text).unwrap());
    let archive = |content: &[u8]| {
        let mut tar = layers::tar::TarWriter::new(Vec::new());
        let size = content.len() as u64;
        let entry = layers::tar::Entry {
            kind: layers::tar::Kind::File,
            mode: 0o644,
            size,
            ..layers::tar::plain_directory("file".as_ref())
        };
        tar.append(&entry, &mut &content[..]).unwrap();
        std::fs::write(directory.path().join("x.tar"), tar.finish().unwrap()).unwrap();
    };
    archive(b"one");
    assert_eq!(plan(store, &[place])[2].2, ["it was not built here before"]);
    store.build(&[place]);
    assert_eq!(states(&plan(store, &[place])), ["local", "local", "local"]);
    // One thing at a time, each told where it is and nowhere else.
    let changed = plan(store, &[place, "--var", "WORD=two"]);
    assert_eq!(states(&changed), ["miss", "miss", "local"], "an archive does not depend on what is below");
    assert_eq!(changed[0].2, ["`content` changed in line 2 from `beta one` to `beta two`"]);
    assert!(changed[1].2.is_empty());
    write("b.yml", B.replace("apt]", "apt, tar]"));
    let changed = plan(store, &[place]);
    assert_eq!(states(&changed), ["local", "miss", "local"]);
    assert_eq!(changed[1].2, ["`packages[3]` is new: tar"]);
    write("b.yml", B.replace("apt]", "dpkg]"));
    assert_eq!(plan(store, &[place])[1].2, ["`packages[2]` changed from apt to dpkg"]);
    write("b.yml", B.to_owned());
    archive(b"two");
    let changed = plan(store, &[place]);
    assert_eq!(states(&changed), ["local", "local", "miss"]);
    assert!(changed[2].2[0].starts_with("the file x.tar changed from "), "{changed:?}");
    let changed = plan(store, &[place, "--compression", "gzip"]);
    assert_eq!(changed[0].2, ["the compression changed from zstd:2 to gzip:6"]);
    let changed = plan(store, &[place, "--base", "deb:trixie"]);
    assert_eq!(states(&changed), ["miss", "miss", "miss"]);
    // The build says it too.
    let ended = store.run(&["build", place]).ok();
    assert!(ended.stderr.contains("c.yml is built anew: the file x.tar changed from "), "{}", ended.stderr);
}

#[test]
fn planning_leaves_nothing_behind() {
    let store = Store::new();
    let directory = blueprint(&[
        ("manifest.yml", "name: x\nversion: 1.0.0\nrun_order: [a.yml]\n"),
        ("a.yml", "- {name: Get, action: get_file, url: \"http://127.0.0.1:9/x\", dest: /srv/x}\n"),
    ]);
    let ended = store.run(&["plan", text(directory.path())]).ok();
    assert!(ended.stdout.contains("what the base deb:bookworm is has not been asked yet"), "{}", ended.stdout);
    assert!(ended.stdout.contains("download http://127.0.0.1:9/x: size unknown"), "{}", ended.stdout);
    assert!(!store.path().join("store").exists());
}

#[test]
fn downloads_are_told_with_their_size() {
    let store = Store::new();
    let digest = "a".repeat(64);
    let directory = blueprint(&[
        ("manifest.yml", "name: x\nversion: 1.0.0\nrun_order: [a.yml]\n"),
        ("a.yml", "- {name: Get, action: get_file, url: \"http://127.0.0.1:9/x\", dest: /srv/x}\n"),
        ("alloy.lock.yml", &format!("downloads:\n  http://127.0.0.1:9/x: {{sha256: {digest}, size: 2097152}}\n")),
    ]);
    let ended = store.run(&["plan", text(directory.path())]).ok();
    assert!(ended.stdout.contains("download http://127.0.0.1:9/x: 2.0 MiB"), "{}", ended.stdout);
}
