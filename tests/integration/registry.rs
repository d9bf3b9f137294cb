//! Bases from registries, and pushes to them.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::registry::Registry;
use crate::support::{Store, cached, repository, run, shared, tasks, text, tool};

#[test]
fn a_base_from_a_registry_with_a_password() {
    let registry = Registry::with_password("ann", "s3cret");
    let place = tempfile::tempdir().unwrap();
    let auth_file = place.path().join("auth.json");
    tool(
        "skopeo",
        &[
            "login",
            "--tls-verify=false",
            "--authfile",
            text(&auth_file),
            "-u",
            "ann",
            "-p",
            "s3cret",
            &registry.address,
        ],
    )
    .ok();
    let image = registry.image("team/hello:1");
    let hello = repository("examples/hello");
    let build = |store: &Store, arguments: &[&str], authorised: bool| {
        let mut command = store.alloy(&["build", text(&hello)]);
        command.args(arguments).env("HOME", place.path()).env_remove("REGISTRY_AUTH_FILE");
        if authorised {
            command.env("REGISTRY_AUTH_FILE", &auth_file);
        }
        run(&mut command)
    };
    let refused = build(shared(), &["-t", &image, "--push"], false).fails(4);
    assert!(
        refused.stderr.contains("wants credentials") && refused.stderr.contains("alloy login"),
        "{}",
        refused.stderr
    );
    build(shared(), &["-t", &image, "--push"], true).ok();

    let store = Store::new();
    build(&store, &["--base", &image], false).fails(4);
    let greeting = ["--base", &image, "--var", "GREETING=again", "-t", "again"];
    build(&store, &greeting, true).ok();
    assert_eq!(store.run(&["run", "again", "printenv", "GREETING"]).ok().stdout, "again\n");
    // The same again: nobody has to be asked.
    drop(registry);
    build(&store, &greeting, false).ok();
    let asked = [&greeting[..], &["--pull"]].concat();
    build(&store, &asked, false).fails(4);
}

#[test]
fn the_platform_is_picked_from_an_index() {
    let registry = Registry::start();
    let image = registry.image("team/multi:1");
    shared().build(&[text(&repository("examples/hello")), "-t", &image, "--push"]);
    let inspected: Value = serde_json::from_str(&shared().run(&["inspect", &image]).ok().stdout).unwrap();
    let mut entry = inspected["manifest"].clone();
    let size =
        tool("skopeo", &["inspect", "--raw", "--tls-verify=false", &format!("docker://{image}")]).ok().stdout.len();
    entry = json!({"mediaType": entry["mediaType"], "digest": inspected["digest"], "size": size});
    let with = |entry: &Value, architecture: &str| {
        let mut entry = entry.clone();
        entry["platform"] = json!({"os": "linux", "architecture": architecture});
        entry
    };
    let manifests = [with(&entry, "s390x"), with(&entry, "amd64")];
    let media_type = "application/vnd.oci.image.index.v1+json";
    let index = json!({"schemaVersion": 2, "mediaType": media_type, "manifests": manifests}).to_string();
    let url = format!("http://{}/v2/team/multi/manifests/index", registry.address);
    tool("curl", &["-sfX", "PUT", "-H", &format!("Content-Type: {media_type}"), "-d", &index, &url]).ok();

    let base = registry.image("team/multi:index");
    let greet = tasks("- {name: one, action: write_env_file, file: /srv/x, content: x}\n");
    let store = Store::new();
    let metadata = store.build(&[text(greet.path()), "--base", &base]);
    assert_eq!(metadata["base"]["identity"], inspected["digest"]);
    let missing = store.run(&["build", text(greet.path()), "--base", &base, "--platform", "linux/arm64"]).fails(4);
    assert!(missing.stderr.contains("no image for linux/arm64; it has linux/s390x, linux/amd64"), "{}", missing.stderr);
    // By digest, too.
    let pinned = format!("{}@{}", registry.image("team/multi"), inspected["digest"].as_str().unwrap());
    let metadata = store.build(&[text(greet.path()), "--base", &pinned]);
    assert_eq!(cached(&metadata), [("tasks.yml".to_owned(), true)]);
}

#[test]
fn nothing_is_pulled_when_every_layer_is_there() {
    let registry = Registry::start();
    let base = registry.image("team/base:1");
    shared().build(&[text(&repository("examples/hello")), "-t", &base, "--push"]);
    let greet = tasks("- {name: one, action: write_env_file, file: /srv/x, content: x}\n");
    let store = Store::new();
    let derived = registry.image("team/derived:1");
    store.build(&[text(greet.path()), "--base", &base, "-t", &registry.image("team/first:1"), "--push"]);
    // A colleague's store, with the layers of the blueprint alone: the base stays where it is. What is in the image is
    // known, too.
    tool("sh", &["-c", &format!("cd {}/store && find blobs -size +1M -delete && rm -rf trees", text(store.path()))])
        .ok();
    store.build(&[text(greet.path()), "--base", &base, "-t", &derived, "--push"]);
    let blobs =
        Command::new("find").args([store.path().join("store/blobs").to_str().unwrap(), "-size", "+1M"]).output();
    assert_eq!(String::from_utf8_lossy(&blobs.unwrap().stdout), "");
    tool(
        "skopeo",
        &[
            "copy",
            "-q",
            "--src-tls-verify=false",
            &format!("docker://{derived}"),
            &format!("oci:{}/copy:x", text(store.path())),
        ],
    )
    .ok();
}

#[test]
fn what_is_wrong_with_a_reference_is_said() {
    let hello = repository("examples/hello");
    let registry = Registry::start();
    let missing = shared().run(&["build", text(&hello), "--base", &registry.image("no/such:1")]).fails(4);
    assert!(missing.stderr.contains("was not found"), "{}", missing.stderr);
    let address = registry.image("a/b:1");
    drop(registry);
    let gone = shared().run(&["build", text(&hello), "--base", &address]).fails(4);
    assert!(gone.stderr.contains("cannot connect"), "{}", gone.stderr);
    let nowhere = shared().run(&["build", text(&hello), "-t", "hello", "--push"]).fails(2);
    assert!(nowhere.stderr.contains("names no registry"), "{}", nowhere.stderr);
    shared().run(&["build", text(&hello), "-t", "UPPER"]).fails(2);
    shared().run(&["build", text(&hello), "--base", "deb:"]).fails(2);
}
