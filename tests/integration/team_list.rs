//! The list of a team's cache: one tag of a repository, whoever writes it, and whatever a registry loses.

use std::collections::BTreeSet;

use crate::support::memory_registry::MemoryRegistry;
use crate::support::team::{LIST, Team, digest, hits};
use crate::support::{Store, tool};

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
    let names = ["team/image:1".to_owned(), format!("team/image:{LIST}")].map(|name| team.image(&name));
    let (first, _) = team.build(&Store::new(), &["-t", &names[0], "--push", "--cache-to", "none"]);
    // alloy itself gives no image that name.
    let names = names.map(|name| format!("docker://{name}"));
    let copy = ["copy", "--all", "--src-tls-verify=false", "--dest-tls-verify=false", &names[0], &names[1]];
    crate::support::tool("skopeo", &copy).ok();
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
