//! A registry that lost something, or keeps it damaged: a push notices, and sends again what it can.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::images::{Images, images, is_sound, quiet, tasks};
use crate::support::proxy::{Fault, Proxy, Rule};
use crate::support::registry::Registry;
use crate::support::{Ended, Store, run, text, tool};

/// Digests of what the image has: its manifest, its config, its layers.
fn parts(registry: &Registry, name: &str) -> Vec<String> {
    let url = format!("http://{}/v2/{name}/manifests/1", registry.address);
    let accept = "Accept: application/vnd.oci.image.manifest.v1+json";
    let manifest = tool("curl", &["-sS", "--noproxy", "*", "-H", accept, &url]).ok().stdout;
    let value: Value = serde_json::from_str(&manifest).unwrap();
    let digest = |part: &Value| part["digest"].as_str().unwrap().to_owned();
    let layers = value["layers"].as_array().unwrap().iter().map(digest);
    [registry.tag(name, "1").unwrap(), digest(&value["config"])].into_iter().chain(layers).collect()
}

/// The file in which the registry keeps a blob.
fn data(registry: &Registry, digest: &str) -> PathBuf {
    let hex = digest.strip_prefix("sha256:").unwrap();
    registry.blobs().join(&hex[..2]).join(hex).join("data")
}

fn whole(registry: &Registry, name: &str, parts: &[String]) {
    assert_eq!(registry.tag(name, "1").as_ref(), parts.first());
    parts.iter().for_each(|digest| assert!(data(registry, digest).is_file(), "{digest} is still lost"));
    is_sound(&registry.blobs());
}

fn verified(images: &Images, image: &str, to: &str) -> Ended {
    run(images.push_command(image, to).arg("--verify"))
}

#[test]
fn what_a_registry_has_lost_is_sent_again() {
    let (images, registry) = (images(), Registry::start());
    let image = registry.image("lost:1");
    images.push("small:1", &image).ok();
    let parts = parts(&registry, "lost");
    assert_eq!(parts.len(), 4);
    for (at, digest) in parts.iter().enumerate() {
        fs::remove_file(data(&registry, digest)).unwrap();
        let pushed = images.push("small:1", &image).ok();
        // Without its manifest it is a new one.
        let said = if at == 0 { "pushed " } else { "the registry has lost 1 part of " };
        assert!(pushed.stderr.contains(said), "{}", pushed.stderr);
        whole(&registry, "lost", &parts);
        let again = images.push("small:1", &image).ok();
        assert!(again.stderr.contains("is there already"), "{}", again.stderr);
    }
    parts.iter().for_each(|digest| fs::remove_file(data(&registry, digest)).unwrap());
    images.push("small:1", &image).ok();
    whole(&registry, "lost", &parts);
}

#[test]
fn a_build_heals_what_it_is_pushed_to() {
    let registry = Registry::start();
    let blueprint = tasks();
    let root = blueprint.path().join("root");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("file"), "of the base").unwrap();
    let image = registry.image("built:1");
    let base = format!("rootfs:{}", text(&root));
    let build = || {
        // A store that has never seen it.
        let store = Store::new();
        let mut command = store.alloy(&["build", text(blueprint.path()), "--base", &base, "-t", &image, "--push"]);
        quiet(&mut command);
        run(&mut command).ok()
    };
    build();
    let parts = parts(&registry, "built");
    for digest in &parts {
        fs::remove_file(data(&registry, digest)).unwrap();
        build();
        whole(&registry, "built", &parts);
    }
}

#[test]
fn documents_and_parts_of_an_index_are_sent_again() {
    let (registry, store) = (Registry::start(), Store::new());
    let blueprint = tasks();
    let root = blueprint.path().join("root");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("file"), "of the base").unwrap();
    let (base, image) = (format!("rootfs:{}", text(&root)), registry.image("documents:1"));
    let alloy = |arguments: &[&str]| {
        let mut command = store.alloy(arguments);
        quiet(&mut command);
        run(&mut command)
    };
    let build = ["build", text(blueprint.path()), "--base", &base, "-t", &image, "--push", "--cache-to=none"];
    alloy(&build).ok();
    // What the registry has is known only now.
    alloy(&["push", &image]).ok();
    for document in ["sbom", "provenance"] {
        let bytes = alloy(&[document, &image]).ok().stdout;
        let file = store.path().join("document");
        fs::write(&file, bytes.trim_end_matches('\n')).unwrap();
        let digest = tool("sha256sum", &[text(&file)]).ok().stdout;
        let digest = format!("sha256:{}", digest.split(' ').next().unwrap());
        fs::remove_file(data(&registry, &digest)).unwrap();
        alloy(&["push", &image]).ok();
        assert!(data(&registry, &digest).is_file(), "the {document} is still lost");
    }
    let image = registry.image("index:1");
    let both = "--platform=linux/amd64,linux/arm64";
    let build = ["build", text(blueprint.path()), "--base", &base, "-t", &image, "--push", "--no-attest", both];
    let built = alloy(&build).ok().stdout;
    let index = fs::read_to_string(data(&registry, built.trim().split('@').next_back().unwrap())).unwrap();
    let index: Value = serde_json::from_str(&index).unwrap();
    for part in index["manifests"].as_array().unwrap() {
        let digest = part["digest"].as_str().unwrap();
        fs::remove_file(data(&registry, digest)).unwrap();
        let pushed = alloy(&["push", &image, "--no-attest"]).ok();
        assert!(pushed.stderr.contains("the registry has lost 1 part of "), "{}", pushed.stderr);
        assert!(data(&registry, digest).is_file(), "{digest} is still lost");
    }
    is_sound(&registry.blobs());
}

#[test]
fn a_registry_that_says_it_has_what_it_lacks_is_found_out() {
    let (images, registry) = (images(), Registry::start());
    images.push("small:1", &registry.image("liar:1")).ok();
    let parts = parts(&registry, "liar");
    let yes = || Rule::on("HEAD", "/blobs/", Fault::status(200)).always();
    // The manifest is refused, and what is named is sent again: everything but the manifest.
    parts.iter().for_each(|digest| fs::remove_file(data(&registry, digest)).unwrap());
    let proxy = Proxy::with(&registry.address, vec![yes()]);
    images.push("small:1", &proxy.image("liar:1")).ok();
    whole(&registry, "liar", &parts);
    assert_eq!(proxy.count("PUT", "/manifests/"), 2);
    // The manifest is there, too: only to read it back shows it.
    fs::remove_file(data(&registry, &parts[2])).unwrap();
    let believed = images.push("small:1", &proxy.image("liar:1")).ok();
    assert!(believed.stderr.contains("is there already"), "{}", believed.stderr);
    let found = verified(images, "small:1", &proxy.image("liar:1")).ok();
    assert!(found.stderr.contains("does not have 1 blob of "), "{}", found.stderr);
    assert!(found.stderr.contains("was read back: 3 blobs, all as they should be"), "{}", found.stderr);
    whole(&registry, "liar", &parts);
}

#[test]
fn what_a_registry_keeps_damaged_is_named() {
    let (images, registry) = (images(), Registry::start());
    let image = registry.image("damaged:1");
    images.push("small:1", &image).ok();
    verified(images, "small:1", &image).ok();
    let parts = parts(&registry, "damaged");
    for digest in &parts[1..] {
        let file = data(&registry, digest);
        let bytes = fs::read(&file).unwrap();
        let mut wrong = bytes.clone();
        wrong[20] ^= 1;
        fs::write(&file, &wrong).unwrap();
        // This registry does not write over what it has.
        let ended = verified(images, "small:1", &image).fails(4);
        assert!(ended.stderr.contains(&format!("the registry keeps {digest} damaged")), "{}", ended.stderr);
        assert!(ended.stderr.contains("hint: a registry does not overwrite"), "{}", ended.stderr);
        fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
        let ended = images.push("small:1", &image).fails(4);
        assert!(ended.stderr.contains(&format!("the registry keeps {digest} damaged")), "{}", ended.stderr);
        // Whoever runs it does as the hint says.
        fs::remove_file(&file).unwrap();
        images.push("small:1", &image).ok();
        whole(&registry, "damaged", &parts);
    }
    verified(images, "small:1", &image).ok();
}
