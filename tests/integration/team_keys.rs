//! Cache entries of a team, and who signed them: what counts under a key, and what a key vouches for.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::team::{Team, hits};
use crate::support::{Store, run, text, tool};

/// A private key that signs, and the public one that verifies.
fn key_pair(keys: &Store) -> (PathBuf, PathBuf) {
    let (private, public) = (keys.path().join("k.key"), keys.path().join("k.pub"));
    let curve = "ec_paramgen_curve:P-256";
    tool("openssl", &["genpkey", "-algorithm", "EC", "-pkeyopt", curve, "-out", text(&private)]).ok();
    tool("openssl", &["pkey", "-in", text(&private), "-pubout", "-out", text(&public)]).ok();
    (private, public)
}

#[test]
fn only_what_the_key_signed_is_believed() {
    let team = Team::new();
    let keys = Store::new();
    let key = |name: &str| {
        let (private, public) = (keys.path().join(format!("{name}.key")), keys.path().join(format!("{name}.pub")));
        let curve = "ec_paramgen_curve:P-256";
        tool("openssl", &["genpkey", "-algorithm", "EC", "-pkeyopt", curve, "-out", text(&private)]).ok();
        tool("openssl", &["pkey", "-in", text(&private), "-pubout", "-out", text(&public)]).ok();
        (text(&private).to_owned(), text(&public).to_owned())
    };
    let ((ours, our_public), (theirs, _)) = (key("ours"), key("theirs"));
    let from = team.image("team/image");
    let image = team.image("team/image:1");
    let trusting = |expected: bool, message: &str| {
        let (built, ended) =
            team.build(&Store::new(), &["-t", "x", "--cache-from", &from, "--cache-verify-key", &our_public]);
        assert_eq!(hits(&built)[0].is_some(), expected, "{}", ended.stderr);
        assert!(ended.stderr.contains(message), "{}", ended.stderr);
    };
    let (first, _) = team.build(&Store::new(), &["-t", &image, "--push"]);
    trusting(false, "it is not signed");
    team.build(&Store::new(), &["-t", &image, "--push", "--cache-from", "none", "--sign-key", &theirs]);
    trusting(false, "not by the key that is trusted");
    team.build(&Store::new(), &["-t", &image, "--push", "--cache-from", "none", "--sign-key", &ours]);
    trusting(true, "");
    // A signature is of one record.
    let tag = format!("alloy-cache-v1-layer-{}", first["layers"][0]["key"].as_str().unwrap());
    let mut manifest = team.manifest("team/image", &tag);
    let record = manifest["annotations"]["vnd.alloy.cache.record"].as_str().unwrap();
    manifest["annotations"]["vnd.alloy.cache.record"] = record.replace(".yml", ".yaml").into();
    team.put("team/image", &tag, &manifest.to_string(), keys.path());
    let (_, ended) = team.build(&Store::new(), &["-t", "x", "--cache-from", &from, "--cache-verify-key", &our_public]);
    assert!(ended.stderr.contains("not by the key that is trusted"), "{}", ended.stderr);
    let missing = run(&mut team.command(&Store::new(), &["-t", "x", "--cache-verify-key", "/nowhere.pub"])).fails(2);
    assert!(missing.stderr.contains("/nowhere.pub"), "{}", missing.stderr);
}

#[test]
fn an_old_signed_entry_does_not_pass_for_a_new_one() {
    let team = Team::new();
    let (keys, store) = (Store::new(), Store::new());
    let (private, public) = key_pair(&keys);
    let (from, image) = (team.image("team/image"), team.image("team/image:1"));
    let sign = || {
        // Of entries that are there, signed by the same key, none is written anew.
        run(&mut Store::new().alloy(&["cache", "prune", &from, "--older-than", "0s", "--yes"]));
        let arguments = ["-t", &image, "--push", "--cache-from", "none", "--sign-key", text(&private)];
        team.build(&Store::new(), &arguments).0
    };
    let look = || {
        // Nothing that this store has already keeps it from asking.
        for kind in fs::read_dir(store.path().join("store/records")).into_iter().flatten().flatten() {
            if kind.file_name().to_str().unwrap().contains('.') {
                fs::remove_dir_all(kind.path()).unwrap();
            }
        }
        let arguments = ["-t", "x", "--cache-from", &from, "--cache-verify-key", text(&public)];
        let (built, ended) = team.build(&store, &arguments);
        (hits(&built)[0].is_some(), ended.stderr)
    };
    let first = sign();
    let tag = format!("alloy-cache-v1-layer-{}", first["layers"][0]["key"].as_str().unwrap());
    let old = team.manifest("team/image", &tag);
    assert!(look().0);
    // Whole seconds are what entries tell.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    sign();
    assert!(look().0);
    team.put("team/image", &tag, &old.to_string(), keys.path());
    // What it is also found under, by the bytes below, still leads to the new one.
    let (_, said) = look();
    assert!(said.contains("was seen there before"), "{said}");
    // And its time is signed: it cannot be made younger.
    let mut younger = old;
    younger["annotations"]["org.opencontainers.image.created"] = "2099-01-01T00:00:00Z".into();
    team.put("team/image", &tag, &younger.to_string(), keys.path());
    let (_, said) = look();
    assert!(said.contains("not by the key that is trusted"), "{said}");
}

#[test]
fn what_came_in_without_a_key_is_not_believed_under_one() {
    let team = Team::new();
    let (keys, store) = (Store::new(), Store::new());
    let (_, public) = key_pair(&keys);
    let (from, image) = (team.image("team/image"), team.image("team/image:1"));
    team.build(&Store::new(), &["-t", &image, "--push"]);
    // Imported by nobody's word, then used so: both are unknown to whoever asks for signatures.
    store.run(&["cache", "import", &from]).ok();
    let (built, _) = team.build(&store, &["-t", "x", "--cache-from", "none"]);
    assert!(hits(&built).iter().all(Option::is_some), "{built}");
    let trusting = ["-t", "x", "--cache-from", &from, "--cache-verify-key", text(&public)];
    let (built, ended) = team.build(&store, &trusting);
    assert_eq!(hits(&built), [None, None, None], "{}", ended.stderr);
    // What was made under the key is found under it.
    let (built, _) = team.build(&store, &trusting);
    assert!(hits(&built).iter().all(Option::is_some), "{built}");
}

#[test]
fn nobody_signs_what_came_in_unsigned() {
    let team = Team::new();
    let (keys, store) = (Store::new(), Store::new());
    let (private, public) = key_pair(&keys);
    let (from, signed) = (team.image("team/image"), team.image("team/signed"));
    team.build(&Store::new(), &["-t", &team.image("team/image:1"), "--push"]);
    // A stranger's entries, brought and used: the key vouches for none of them.
    team.build(&store, &["-t", "x", "--cache-from", &from]);
    let export = ["cache", "export", &signed, "--sign-key", text(&private)];
    let refused = store.run(&export).fails(1);
    assert!(refused.stderr.contains("nothing in the store was built or verified under this key"), "{}", refused.stderr);
    let both = ["-t", "x", "--cache-from", &from, "--cache-to", &signed, "--sign-key", text(&private)];
    let (built, ended) = team.build(&store, &both);
    assert_eq!(hits(&built), [None, None, None], "{}", ended.stderr);
    assert!(ended.stderr.contains("it is not signed"), "{}", ended.stderr);
    // What was made under the key can be exported, and is believed under it.
    store.run(&export).ok();
    let trusting = ["-t", "x", "--cache-from", &signed, "--cache-verify-key", text(&public)];
    let (built, ended) = team.build(&Store::new(), &trusting);
    assert!(hits(&built).iter().all(Option::is_some), "{}", ended.stderr);
}

#[test]
fn entries_that_were_left_unsigned_are_left_signed() {
    let team = Team::new();
    let (keys, store) = (Store::new(), Store::new());
    let (private, public) = key_pair(&keys);
    let (from, image) = (team.image("team/image"), team.image("team/image:1"));
    team.build(&store, &["-t", &image, "--push"]);
    team.build(&store, &["-t", &image, "--push", "--sign-key", text(&private)]);
    let trusting = ["-t", "x", "--cache-from", &from, "--cache-verify-key", text(&public)];
    let (built, ended) = team.build(&Store::new(), &trusting);
    assert!(hits(&built).iter().all(Option::is_some), "{}", ended.stderr);
}

/// Puts the config of an image in the place of the layer with that key, as one of that type.
fn forge(team: &Team, key: &str, config: &Value, media_type: &str) {
    let (tag, place) = (format!("alloy-cache-v1-layer-{key}"), Store::new());
    let mut entry = team.manifest("team/image", &tag);
    let mut record: Value =
        serde_json::from_str(entry["annotations"]["vnd.alloy.cache.record"].as_str().unwrap()).unwrap();
    entry["layers"][0]["mediaType"] = media_type.into();
    record["known"]["layer"]["layer"]["descriptor"]["mediaType"] = media_type.into();
    for field in ["digest", "size"] {
        entry["layers"][0][field] = config[field].clone();
        record["known"]["layer"]["layer"]["descriptor"][field] = config[field].clone();
    }
    // What is not compressed has its own digest as its diff ID.
    let blob = record["known"]["layer"]["layer"].as_object_mut().unwrap();
    let diff_id = if blob.contains_key("diffId") { "diffId" } else { "diff_id" };
    assert!(blob.insert(diff_id.to_owned(), config["digest"].clone()).is_some(), "{blob:?}");
    entry["annotations"]["vnd.alloy.cache.record"] = record.to_string().into();
    team.put("team/image", &tag, &entry.to_string(), place.path());
}

#[test]
fn a_hit_that_is_no_layer_is_made_again() {
    for kind in ["tar", "tar+zstd"] {
        let team = Team::new();
        let from = team.image("team/image");
        let (made, _) = team.build(&Store::new(), &["-t", &team.image("team/image:1"), "--push"]);
        let config = team.manifest("team/image", "1")["config"].clone();
        let media_type = format!("application/vnd.oci.image.layer.v1.{kind}");
        forge(&team, made["layers"][1]["key"].as_str().unwrap(), &config, &media_type);
        let store = Store::new();
        let dest = format!("type=tar,dest={}", text(&store.path().join("out.tar")));
        for _ in 0..2 {
            let (_, ended) = team.build(&store, &["-t", "x", "--cache-from", &from, "-o", &dest]);
            let listed = tool("tar", &["-tf", text(&store.path().join("out.tar"))]).ok().stdout;
            assert!(listed.contains("srv/b\n"), "{kind}: {}", ended.stderr);
        }
    }
}

#[test]
fn an_entry_does_not_lose_what_it_names_in_the_place_of_a_layer() {
    let team = Team::new();
    let store = Store::new();
    let (from, mine) = (team.image("team/image"), team.image("team/image:mine"));
    team.build(&store, &["-t", &mine, "--push"]);
    let config = team.manifest("team/image", "mine")["config"].clone();
    team.task("b", "another one");
    let (other, _) = team.build(&Store::new(), &["-t", &team.image("team/image:1"), "--push"]);
    forge(&team, other["layers"][1]["key"].as_str().unwrap(), &config, "application/vnd.oci.image.layer.v1.tar");
    // What comes on top of it has to be made on it.
    team.task("c", "a third one");
    let dest = format!("type=tar,dest={}", text(&store.path().join("out.tar")));
    for _ in 0..2 {
        let (_, ended) = team.build(&store, &["-t", "x", "--cache-from", &from, "-o", &dest]);
        let content = tool("tar", &["-xOf", text(&store.path().join("out.tar")), "srv/b"]).ok().stdout;
        assert!(content.starts_with("another one"), "{}", ended.stderr);
        store.run(&["inspect", &mine]).ok();
    }
}
