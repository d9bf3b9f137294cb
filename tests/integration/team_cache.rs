//! Machines that have never seen a project, and a registry that has.

use std::collections::BTreeSet;

use crate::support::memory_registry::MemoryRegistry;
use crate::support::proxy::{Fault, Rule};
use crate::support::team::{LIST, Team, digest, hits};
use crate::support::{Store, run, text, tool};

/// Bytes that a build with every layer found may move.
const FEW: u64 = 64 << 10;

#[test]
fn an_empty_machine_moves_kilobytes() {
    let team = Team::new();
    let image = team.image("team/image:1");
    let (first, _) = team.build(&Store::new(), &["-t", &image, "--push"]);
    assert_eq!(hits(&first), [None, None, None]);
    team.proxy.reset();
    let store = Store::new();
    let (second, ended) = team.build(&store, &["-t", &image, "--push"]);
    assert_eq!(digest(&second), digest(&first));
    let beside = Some(team.image("team/image"));
    assert_eq!(hits(&second), [beside.clone(), beside.clone(), beside]);
    assert!(team.proxy.bytes_out() < FEW && team.proxy.bytes_in() < FEW, "{:#?}", team.proxy.requests());
    // The base's config is all that comes, and nothing goes.
    assert_eq!(team.proxy.count("GET", "/blobs/"), 1, "{:#?}", team.proxy.requests());
    for method in ["POST", "PUT", "PATCH"] {
        assert_eq!(team.proxy.count(method, "/"), 0, "{method}: {:#?}", team.proxy.requests());
    }
    assert!(ended.stderr.contains("cached by the team"), "{}", ended.stderr);
    // Everything is known now: another name costs the image's own manifest and config, and a look at the cache's list.
    team.proxy.reset();
    let other = team.image("team/image:2");
    let (third, _) = team.build(&store, &["-t", &other, "--push"]);
    assert_eq!(digest(&third), digest(&first));
    assert!(team.proxy.requests().len() <= 9, "{:#?}", team.proxy.requests());
    // And what was never pulled can be had.
    let read = store.run(&["run", &image, "--", "x"]).fails(127);
    assert!(!read.stderr.contains("cannot be had"), "{}", read.stderr);
}

#[test]
fn documents_are_known_to_the_team_too() {
    let mut team = Team::new();
    team.attest = true;
    let image = team.image("team/image:1");
    let (first, _) = team.build(&Store::new(), &["-t", &image, "--push"]);
    team.proxy.reset();
    let store = Store::new();
    let (second, _) = team.build(&store, &["-t", &image, "--push"]);
    assert_eq!(digest(&second), digest(&first));
    // Whether they are there is asked, and nothing is looked into for them.
    assert!(team.proxy.bytes_out() < FEW && team.proxy.bytes_in() < FEW, "{:#?}", team.proxy.requests());
    assert_eq!(team.proxy.count("PUT", "/") + team.proxy.count("POST", "/"), 0, "{:#?}", team.proxy.requests());
    // Under another name in another place they are made once more, from what the team knows.
    team.proxy.reset();
    let other = team.image("team/other:1");
    team.build(
        &Store::new(),
        &["-t", &other, "--push", "--cache-from", &team.image("team/image"), "--cache-to", "none"],
    );
    assert!(team.proxy.bytes_out() < FEW, "{:#?}", team.proxy.requests());
    let sbom = |image: &str| Store::new().run(&["sbom", image]).ok().stdout;
    assert_eq!(sbom(&image), sbom(&other));
    assert!(sbom(&image).contains("SPDX-2.3"));
}

#[test]
fn what_changed_is_made_and_sent_alone() {
    let team = Team::new();
    let image = team.image("team/image:1");
    let (first, _) = team.build(&Store::new(), &["-t", &image, "--push"]);
    team.task("c", "something else");
    team.proxy.reset();
    let (second, _) = team.build(&Store::new(), &["-t", &image, "--push"]);
    let beside = Some(team.image("team/image"));
    assert_eq!(hits(&second), [beside.clone(), beside, None]);
    let sent: Vec<_> =
        team.proxy.requests().into_iter().filter(|one| one.sent > 0 && one.target.contains("/blobs/")).collect();
    let layer = second["layers"][2]["size"].as_u64().unwrap();
    // The layer, and the config of the image.
    assert_eq!(sent.len(), 2, "{sent:#?}");
    assert!(sent.iter().any(|one| one.sent == layer), "{sent:#?}");
    // The old image is there as it was.
    assert_ne!(digest(&first), digest(&second));
}

#[test]
fn a_layer_that_comes_out_the_same_is_known_to_the_team_by_its_bytes() {
    let team = Team::new();
    let image = team.image("team/image:1");
    let (first, _) = team.build(&Store::new(), &["-t", &image, "--push"]);
    // Another task, the same file: all above has other keys.
    let b = std::fs::read_to_string(team.blueprint.path().join("b.yml")).unwrap();
    team.write("b.yml", &b.replace("  action:", "  owner: root\n  action:"));
    let (second, _) = team.build(&Store::new(), &["-t", &image, "--push"]);
    let beside = Some(team.image("team/image"));
    assert_eq!(hits(&second), [beside.clone(), None, beside]);
    assert_eq!(digest(&second), digest(&first));
}

#[test]
fn an_archive_is_taken_over_from_another_repository() {
    let team = Team::new();
    let archive = team.blueprint.path().join("tool.tar");
    let script = "mkdir \"$0\" && head -c 300000 /dev/urandom > \"$0/tool\" && tar -cf \"$1\" -C \"$0\" tool";
    tool("sh", &["-c", script, text(&team.blueprint.path().join("files")), text(&archive)]).ok();
    let unpack = "- {name: tool, action: unpack, source: tool.tar, dest: /opt/tool}\n";
    team.write("c.yml", unpack);
    let shared = team.image("team/cache");
    let to = ["--push", "--cache-to", &shared, "--cache-from", &shared];
    team.build(&Store::new(), &[&["-t", &team.image("team/one:1")], &to[..]].concat());
    // In a blueprint where everything below is another, and in another repository.
    team.task("a", "another");
    team.proxy.reset();
    let two = team.image("other/two:1");
    let (second, _) = team.build(&Store::new(), &[&["-t", &two], &to[..]].concat());
    assert_eq!(hits(&second), [None, None, Some(shared)]);
    let layer = second["layers"][2]["digest"].as_str().unwrap();
    let requests = team.proxy.requests();
    let moved = |one: &&crate::support::proxy::Exchange| {
        one.target.contains(layer) && (one.method == "GET" || (one.method == "PUT" && one.sent > 0))
    };
    assert_eq!(requests.iter().filter(moved).count(), 0, "{requests:#?}");
    assert!(requests.iter().any(|one| one.method == "POST" && one.target.contains("other/two/blobs/uploads/?mount=")));
    tool(
        "skopeo",
        &[
            "copy",
            "-q",
            "--src-tls-verify=false",
            &format!("docker://{two}"),
            &format!("dir:{}", text(&Store::new().path().join("out"))),
        ],
    );
}

#[test]
fn an_entry_that_does_not_fit_is_a_miss() {
    let team = Team::new();
    let image = team.image("team/image:1");
    let (first, _) = team.build(&Store::new(), &["-t", &image, "--push"]);
    let key = |at: usize| format!("alloy-cache-v1-layer-{}", first["layers"][at]["key"].as_str().unwrap());
    let (tag, other) = (key(2), team.manifest("team/image", &key(1)));
    let good = team.manifest("team/image", &tag);
    let record = good["annotations"]["vnd.alloy.cache.record"].as_str().unwrap();
    // It is found by the bytes below it, too.
    let parsed: serde_json::Value = serde_json::from_str(record).unwrap();
    let output = parsed["known"]["layer"]["output"].as_str().unwrap().replace("sha256:", "alloy-cache-v1-layer-");
    let with_record = |record: String| {
        let mut manifest = good.clone();
        manifest["annotations"]["vnd.alloy.cache.record"] = record.into();
        manifest
    };
    let with = |field: &str, value: serde_json::Value| {
        let mut manifest = good.clone();
        manifest[field] = value;
        manifest
    };
    let fingerprint = parsed["preimage"]["steps"][0].as_str().unwrap();
    let digits = |text: &str| text.replace(&text[10..20], "0123456789");
    let layer = first["layers"][2]["digest"].as_str().unwrap();
    let poisons = [
        ("the entry of another key", other.clone(), "it belongs to another key"),
        ("made of something else", with_record(record.replace(fingerprint, &digits(fingerprint))), "something else"),
        ("a layer that is not the one", with("layers", other["layers"].clone()), "does not fit its layer"),
        ("a size that is not the layer's", with_record(record.replace("\"size\":", "\"size\":1")), "does not fit"),
        ("no record", with("annotations", serde_json::json!({})), "no cache entry"),
        ("a record that breaks off", with_record(record[..record.len() / 2].to_owned()), "no cache entry"),
        ("an image", with("artifactType", "application/vnd.example".into()), "no cache entry"),
        ("no layer", with("layers", serde_json::json!([])), "does not fit its layer"),
    ];
    let place = Store::new();
    for (name, poison, message) in poisons {
        for tag in [&tag, &output] {
            team.put("team/image", tag, &poison.to_string(), place.path());
        }
        let (built, ended) = team.build(&Store::new(), &["-t", "x", "--cache-from", &team.image("team/image")]);
        assert_eq!(digest(&built), digest(&first), "{name}");
        assert!(hits(&built)[2].is_none() && hits(&built)[1].is_some(), "{name}: {:?}", hits(&built));
        assert!(ended.stderr.contains(message) && ended.stderr.contains(&tag), "{name}: {}", ended.stderr);
    }
    // A builder that may write mends it.
    team.build(&Store::new(), &["-t", &image, "--push"]);
    assert_eq!(team.manifest("team/image", &tag)["layers"][0]["digest"], layer);
    let (built, ended) = team.build(&Store::new(), &["-t", "x", "--cache-from", &team.image("team/image")]);
    assert!(hits(&built)[2].is_some() && !ended.stderr.contains("warning"), "{}", ended.stderr);
}

#[test]
fn a_layer_that_is_not_what_was_said_is_made_again() {
    let team = Team::new();
    let image = team.image("team/image:1");
    let (first, _) = team.build(&Store::new(), &["-t", &image, "--push"]);
    let from = team.image("team/image");
    let output = |store: &Store| format!("type=oci-archive,dest={}", store.path().join("out.oci").display());
    // Bytes that change on their way, and that never arrive.
    let layer = first["layers"][1]["digest"].as_str().unwrap().to_owned();
    for fault in [Fault::Flip(100), Fault::status(404)] {
        let target: &'static str = Box::leak(format!("/blobs/{layer}").into_boxed_str());
        let proxy =
            crate::support::proxy::Proxy::with(&team.registry.address, vec![Rule::on("GET", target, fault).always()]);
        team.task("c", "seen by nobody");
        let store = Store::new();
        // The last layer has to be made, and the others to be seen for that.
        let (built, ended) =
            team.build(&store, &["-t", "x", "--cache-from", &proxy.image("team/image"), "-o", &output(&store)]);
        assert_eq!(hits(&built)[1], None, "{}", ended.stderr);
        assert!(ended.stderr.contains("it is made again") && ended.stderr.contains(&layer), "{}", ended.stderr);
        assert_eq!(built["layers"][1]["digest"], layer.as_str());
    }
    // A record that tells another diff ID than the layer has: no digest is wrong, and no byte.
    let tag = format!("alloy-cache-v1-layer-{}", first["layers"][1]["key"].as_str().unwrap());
    let manifest = team.manifest("team/image", &tag);
    let diff_id = first["layers"][1]["diff_id"].as_str().unwrap();
    let lie = manifest.to_string().replace(diff_id, &format!("sha256:{}", "0".repeat(64)));
    let place = Store::new();
    team.put("team/image", &tag, &lie, place.path());
    let (built, ended) = team.build(&Store::new(), &["-t", "x", "--cache-from", &from]);
    assert!(ended.stderr.contains("its diff ID is"), "{}", ended.stderr);
    assert_eq!((&built["layers"][1]["diff_id"], hits(&built)[1].clone()), (&diff_id.into(), None));
}

#[test]
fn a_layer_that_an_output_alone_reads_is_made_again_too() {
    let team = Team::new();
    let place = Store::new();
    let cache = format!("type=local,dest={}", place.path().join("cache").display());
    let (first, _) = team.build(&Store::new(), &["-t", "x", "--cache-to", &cache]);
    let layer = first["layers"][1]["digest"].as_str().unwrap();
    let path = place.path().join("cache/blobs/sha256").join(layer.strip_prefix("sha256:").unwrap());
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    // Every layer is found, and none is wanted before the image is written.
    let store = Store::new();
    let output = format!("type=oci-archive,dest={}", store.path().join("out.oci").display());
    for _ in 0..2 {
        let (built, ended) = team.build(&store, &["-t", "x", "--cache-from", &cache, "-o", &output]);
        assert_eq!(digest(&built), digest(&first));
        assert!(
            !ended.stderr.contains("cannot be had") || ended.stderr.contains("it is made again"),
            "{}",
            ended.stderr
        );
    }
    store.run(&["store", "check"]).ok();
    // Nor before it is pushed to where nobody has it.
    let image = team.image("elsewhere/pushed:1");
    let (built, ended) = team.build(&Store::new(), &["-t", &image, "--push", "--cache-from", &cache]);
    assert_eq!(digest(&built), digest(&first));
    assert!(ended.stderr.contains("it is made again"), "{}", ended.stderr);
}

#[test]
fn what_the_registry_deleted_is_made_again() {
    let team = Team::new();
    let image = team.image("team/image:1");
    let (first, _) = team.build(&Store::new(), &["-t", &image, "--push"]);
    let layer = first["layers"][2]["digest"].as_str().unwrap();
    tool("curl", &["-sf", "-X", "DELETE", &format!("http://{}/v2/team/image/blobs/{layer}", team.registry.address)])
        .ok();
    let (built, ended) = team.build(&Store::new(), &["-t", &image, "--push"]);
    assert!(hits(&built)[2].is_none() && ended.stderr.contains("is not there"), "{}", ended.stderr);
    assert_eq!(digest(&built), digest(&first));
    let url = format!("http://{}/v2/team/image/blobs/{layer}", team.registry.address);
    tool("curl", &["-sfI", &url]).ok();
}

#[test]
fn a_cache_that_is_not_there_is_a_warning() {
    let team = Team::new();
    let nowhere = format!("{}/team/cache", crate::support::http::refused());
    let (built, ended) = team.build(&Store::new(), &["-t", "x", "--cache-from", &nowhere, "--cache-to", &nowhere]);
    assert_eq!(hits(&built), [None, None, None]);
    assert_eq!(ended.stderr.matches(&format!("the cache {nowhere} is not used")).count(), 1, "{}", ended.stderr);
    // Where nothing could be asked, something may still be left, and that, too, is told.
    let (_, ended) = team.build(&Store::new(), &["-t", "x", "--cache-to", &nowhere]);
    assert!(ended.stderr.contains(&format!("the cache {nowhere} does not have everything")), "{}", ended.stderr);
    for bad in ["cache", "type=gha", "type=local"] {
        let ended = run(&mut team.command(&Store::new(), &["-t", "x", "--cache-from", bad])).fails(2);
        assert!(ended.stderr.contains("no place for a cache"), "{}", ended.stderr);
    }
}

#[test]
fn a_directory_is_a_cache_too() {
    let team = Team::new();
    let place = Store::new();
    let cache = format!("type=local,dest={}", place.path().join("cache").display());
    let (first, _) = team.build(&Store::new(), &["-t", "x", "--cache-to", &cache, "--cache-from", &cache]);
    let (second, _) = team.build(&Store::new(), &["-t", "x", "--cache-from", &cache]);
    assert_eq!((digest(&second), hits(&second)), (digest(&first), vec![Some(cache.clone()); 3]));
    // By way of a stick, to a machine without a network; the image with all its layers.
    let away = Store::new();
    let stick = format!("type=local,dest={}", place.path().join("stick").display());
    let producer = Store::new();
    team.build(&producer, &["-t", "x"]);
    let exported = producer.run(&["cache", "export", &stick]).ok();
    assert!(exported.stdout.contains("3 entries"), "{}", exported.stdout);
    let imported = away.run(&["cache", "import", &stick]).ok();
    assert!(imported.stdout.contains("3 entries"), "{}", imported.stdout);
    let (third, _) = team.build(&away, &["-t", "x"]);
    assert_eq!((digest(&third), hits(&third)), (digest(&first), vec![Some("local".to_owned()); 3]));
    let listed: serde_json::Value =
        serde_json::from_str(&away.run(&["cache", "ls", &stick, "--format", "json"]).ok().stdout).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 3);
    // What it is, other tools see as well.
    let tag = listed[0]["names"][0].as_str().unwrap();
    let raw =
        tool("skopeo", &["inspect", "--raw", &format!("oci:{}:{tag}", place.path().join("stick").display())]).ok();
    assert!(raw.stdout.contains("application/vnd.alloy.cache.v1"), "{}", raw.stdout);
    let nothing = away.run(&["cache", "ls", "type=local,src=/nowhere"]).fails(1);
    assert!(nothing.stderr.contains("there is no cache in /nowhere"), "{}", nothing.stderr);
    let occupied = format!("type=local,dest={}", team.blueprint.path().display());
    away.run(&["cache", "export", &occupied]).fails(1);
}

#[test]
fn old_and_unreferenced_entries_go_when_asked() {
    let team = Team::new();
    let image = team.image("team/image:1");
    let cache = team.image("team/image");
    let store = Store::new();
    team.build(&store, &["-t", &image, "--push"]);
    team.task("c", "another");
    team.build(&store, &["-t", &image, "--push"]);
    let count = || team.names("team/image", "layer-").len();
    // Four layers, each under two keys; the image has three of them.
    assert_eq!(count(), 8);
    let dry = store.run(&["cache", "prune", &cache, "--unreferenced"]).ok();
    assert!(dry.stdout.contains("would delete 1 entry") && dry.stdout.contains("c.yml"), "{}", dry.stdout);
    assert_eq!(count(), 8);
    store.run(&["cache", "prune", &cache, "--unreferenced", "--older-than", "1h", "--yes"]).ok();
    assert_eq!(count(), 8);
    store.run(&["cache", "prune", &cache, "--unreferenced", "--yes"]).ok();
    assert_eq!(count(), 6);
    store.run(&["cache", "prune", &cache, "--older-than", "0s", "--yes"]).ok();
    assert_eq!(team.names("team/image", "").len(), 0);
    // The image has lost nothing.
    let copy = format!("dir:{}", store.path().join("copy").display());
    tool("skopeo", &["copy", "-q", "--src-tls-verify=false", &format!("docker://{image}"), &copy]).ok();
    store.run(&["cache", "prune", &cache]).fails(2);
}

#[test]
fn twenty_builders_agree() {
    let team = Team::new();
    let image = team.image("team/image:1");
    let stores: Vec<Store> = (0..20).map(|_| Store::new()).collect();
    let builds: Vec<_> = stores
        .iter()
        .map(|store| {
            team.command(store, &["-t", &image, "--push"])
                .stdout(std::process::Stdio::piped())
                .stderr(std::process::Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let mut digests = std::collections::BTreeSet::new();
    for build in builds {
        let output = build.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        digests.insert(String::from_utf8(output.stdout).unwrap());
    }
    assert_eq!(digests.len(), 1, "{digests:?}");
    let (last, ended) = team.build(&Store::new(), &["-t", &image, "--push"]);
    assert!(hits(&last).iter().all(Option::is_some), "{}", ended.stderr);
    assert!(!ended.stderr.contains("warning"), "{}", ended.stderr);
}

#[test]
fn a_plan_asks_the_team() {
    let team = Team::new();
    let image = team.image("team/image:1");
    team.build(&Store::new(), &["-t", &image, "--push"]);
    let fresh = Store::new();
    let base = ["--base", &team.image("team/base:1")];
    let plan = |more: &[&str]| {
        let arguments = [&["plan", text(team.blueprint.path()), "--format", "json"], &base[..], more].concat();
        let plan: serde_json::Value = serde_json::from_str(&fresh.run(&arguments).ok().stdout).unwrap();
        plan["layers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|layer| layer["state"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    // The base, too, was not asked for before; and nothing of it is kept.
    for _ in 0..2 {
        assert_eq!(plan(&["--cache-from", &team.image("team/image")]), ["remote", "remote", "remote"]);
        assert_eq!(plan(&[]), ["miss", "miss", "miss"]);
    }
    assert!(!fresh.path().join("store").exists());
}

#[test]
fn a_repository_gets_one_tag_for_all_entries() {
    let team = Team::new();
    let image = team.image("team/image:1");
    let store = Store::new();
    team.build(&store, &["-t", &image, "--push"]);
    team.task("c", "another");
    team.build(&store, &["-t", &team.image("team/image:2"), "--push"]);
    let mut tags = team.tags("team/image");
    tags.sort();
    assert_eq!(tags, ["1", "2", LIST]);
    assert_eq!(team.names("team/image", "layer-").len(), 8);
    // Its entries are found by one request for all names.
    team.proxy.reset();
    team.build(&Store::new(), &["-t", "x", "--cache-from", &team.image("team/image")]);
    assert_eq!(team.proxy.count("GET", &format!("/manifests/{LIST}")), 1, "{:#?}", team.proxy.requests());
    assert_eq!(team.proxy.count("GET", "/tags/list"), 0, "{:#?}", team.proxy.requests());
}

#[test]
fn a_tag_for_each_entry_is_found_and_taken_over() {
    let team = Team::new();
    let image = team.image("team/image:1");
    let place = Store::new();
    team.build(&Store::new(), &["-t", &image, "--push"]);
    // As an older alloy left it: a tag for each name, and no list.
    let names = team.names("team/image", "");
    for name in &names {
        team.send("team/image", name, "manifest", &team.text("team/image", name), place.path());
    }
    let count = team.names("team/image", "layer-").len();
    let list = layers::digest::Digest::of(team.text("team/image", LIST));
    let url = format!("http://{}/v2/team/image/manifests/{list}", team.registry.address);
    tool("curl", &["-sf", "-X", "DELETE", &url]).ok();
    assert!(!team.tags("team/image").contains(&LIST.to_owned()));
    let from = team.image("team/image");
    let listed = Store::new().run(&["cache", "ls", &from]).ok();
    // A head, three layers, and what is in them.
    assert_eq!(listed.stdout.lines().count(), 5, "{}", listed.stdout);
    let (built, _) = team.build(&Store::new(), &["-t", "x", "--cache-from", &from]);
    assert!(hits(&built).iter().all(Option::is_some), "{built}");
    // Whoever leaves something new makes the list, of all that is there.
    team.task("c", "another");
    team.build(&Store::new(), &["-t", &image, "--push"]);
    assert_eq!(team.names("team/image", "layer-").len(), count + 2);
}

#[test]
fn a_tag_of_somebody_else_is_left_alone() {
    let team = Team::new();
    let image = team.image(&format!("team/image:{LIST}"));
    let (first, _) = team.build(&Store::new(), &["-t", &image, "--push", "--cache-to", "none"]);
    let (second, ended) = team.build(&Store::new(), &["-t", &team.image("team/image:1"), "--push"]);
    assert!(ended.stderr.contains("its tag alloy-cache holds something else"), "{}", ended.stderr);
    assert_eq!(digest(&first), digest(&second));
    assert_eq!(team.manifest("team/image", LIST), team.manifest("team/image", "1"));
}

#[test]
fn entries_that_others_lost_or_overwrote_come_back() {
    let team = Team::new();
    let image = team.image("team/image:1");
    let (place, store) = (Store::new(), Store::new());
    team.build(&store, &["-t", &image, "--push"]);
    let all = || BTreeSet::from_iter(team.names("team/image", ""));
    let before = all();
    // Somebody wrote a list without them, at the same moment.
    let mut list = team.manifest("team/image", LIST);
    list["manifests"] = serde_json::json!([]);
    team.send("team/image", LIST, "index", &list.to_string(), place.path());
    team.build(&store, &["-t", &image, "--push"]);
    assert_eq!(all(), before);
    // And entries whose manifests the registry deleted do not keep the others from being listed.
    let url = |digest: &str| format!("http://{}/v2/team/image/manifests/{digest}", team.registry.address);
    let gone = team.manifest("team/image", LIST)["manifests"][0]["digest"].as_str().unwrap().to_owned();
    tool("curl", &["-sf", "-X", "DELETE", &url(&gone)]).ok();
    team.task("c", "another");
    let (_, ended) = team.build(&Store::new(), &["-t", &image, "--push"]);
    assert!(!ended.stderr.contains("does not have everything"), "{}", ended.stderr);
    let (last, _) = team.build(&Store::new(), &["-t", "x", "--cache-from", &team.image("team/image")]);
    assert!(hits(&last).iter().all(Option::is_some), "{last}");
}

#[test]
fn what_is_in_an_image_is_left_by_whoever_has_its_layers() {
    let mut team = Team::new();
    // Built where nobody shared anything, or looked into anything.
    let store = Store::new();
    team.build(&store, &["-t", "x"]);
    team.attest = true;
    let image = |tag: &str| team.image(&format!("team/image:{tag}"));
    team.build(&store, &["-t", &image("1"), "--push"]);
    assert_eq!(team.names("team/image", "inventory-").len(), 1);
    team.proxy.reset();
    let (_, ended) = team.build(&Store::new(), &["-t", &image("2"), "--push"]);
    assert!(team.proxy.bytes_out() < FEW, "{:#?}", team.proxy.requests());
    assert!(!ended.stderr.contains("warning"), "{}", ended.stderr);
    assert!(Store::new().run(&["sbom", &image("2")]).ok().stdout.contains("SPDX-2.3"));
}

#[test]
fn a_document_is_no_reason_to_pull_an_image() {
    let mut team = Team::new();
    let seed = Store::new();
    let cache = team.image("team/cache");
    // A seed that looks into nothing: an export of a build for nobody.
    team.build(&seed, &["-t", "x"]);
    seed.run(&["cache", "export", &cache]).ok();
    team.attest = true;
    team.proxy.reset();
    let runner = Store::new();
    let image = team.image("team/image:1");
    let (_, ended) = team.build(&runner, &["-t", &image, "--push", "--cache-from", &cache, "--cache-to", &cache]);
    assert!(team.proxy.bytes_out() < FEW, "{:#?}", team.proxy.requests());
    assert!(
        ended.stderr.contains("is without an SBOM") && ended.stderr.contains("provenance attached"),
        "{}",
        ended.stderr
    );
    // As the warning says: whoever wants it, pulls them.
    assert!(runner.run(&["sbom", &image]).ok().stdout.contains("SPDX-2.3"));
    let pushed = runner.run(&["push", &image]).ok();
    assert!(pushed.stderr.contains("SBOM and provenance attached"), "{}", pushed.stderr);
    assert!(Store::new().run(&["sbom", &image]).ok().stdout.contains("SPDX-2.3"));
    // And whoever has them next leaves it for all.
    team.build(&runner, &["-t", &image, "--push", "--cache-from", &cache, "--cache-to", &cache]);
    assert_eq!(team.names("team/cache", "inventory-").len(), 1);
}

#[test]
fn an_archive_that_is_elsewhere_is_not_pulled_for_a_document() {
    let mut team = Team::new();
    team.attest = true;
    let archive = team.blueprint.path().join("tool.tar");
    let script = "d=$0/lib/python3/dist-packages/gadget-1.5.dist-info; mkdir -p \"$d\" && \
        printf 'Metadata-Version: 2.1\\nName: gadget\\nVersion: 1.5\\n' > \"$d/METADATA\" && \
        head -c 300000 /dev/urandom > \"$0/tool\" && tar -cf \"$1\" -C \"$0\" .";
    tool("sh", &["-c", script, text(&team.blueprint.path().join("files")), text(&archive)]).ok();
    team.write("c.yml", "- {name: tool, action: unpack, source: tool.tar, dest: /opt/tool}\n");
    let image = |tag: &str| team.image(&format!("team/image:{tag}"));
    team.build(&Store::new(), &["-t", &image("1"), "--push"]);
    assert!(Store::new().run(&["sbom", &image("1")]).ok().stdout.contains("gadget"));
    // Another machine, where all below the archive is built anew.
    team.task("a", "another");
    team.proxy.reset();
    let (built, ended) = team.build(&Store::new(), &["-t", &image("2"), "--push"]);
    let layer = built["layers"][2]["digest"].as_str().unwrap();
    assert_eq!(team.proxy.count("GET", &format!("/blobs/{layer}")), 0, "{:#?}", team.proxy.requests());
    assert!(ended.stderr.contains("SBOM and provenance attached"), "{}", ended.stderr);
    assert!(Store::new().run(&["sbom", &image("2")]).ok().stdout.contains("gadget"));
}

#[test]
fn who_writes_the_list_at_the_same_moment_loses_nothing() {
    let theirs = serde_json::json!({
        "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": format!("sha256:{}", "0".repeat(64)),
        "size": 1, "annotations": {"vnd.alloy.cache.names": format!("alloy-cache-v1-layer-{}", "0".repeat(64))},
    });
    let registry = MemoryRegistry::contested(
        LIST,
        serde_json::json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
            "artifactType": "application/vnd.alloy.cache.v1", "manifests": [theirs],
        }),
    );
    let team = Team::new();
    let cache = registry.image("team/cache");
    let (_, ended) = team.build(&Store::new(), &["-t", "x", "--cache-to", &cache]);
    assert!(!ended.stderr.contains("warning"), "{}", ended.stderr);
    let list = registry.manifest(LIST).unwrap()["manifests"].as_array().unwrap().clone();
    assert!(list.contains(&theirs) && list.len() == 5, "{list:#?}");
    let (built, _) = team.build(&Store::new(), &["-t", "x", "--cache-from", &cache]);
    assert!(hits(&built).iter().all(Option::is_some), "{built}");
}
