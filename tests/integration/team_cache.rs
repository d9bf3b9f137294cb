//! Machines that have never seen a project, and a registry that has.

use crate::support::proxy::{Fault, Rule};
use crate::support::team::{Team, digest, hits};
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
