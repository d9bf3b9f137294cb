//! Mirrors and moved registries, as containers-registries.conf(5) has them.

use std::path::Path;

use crate::support::http::refused;
use crate::support::images::{images, is_sound};
use crate::support::proxy::{Fault, Proxy, Rule};
use crate::support::registry::Registry;
use crate::support::{Ended, Store, run, text};

fn written(directory: &Path, content: &str) -> String {
    let path = directory.join("registries.conf");
    std::fs::write(&path, content).unwrap();
    text(&path).to_owned()
}

fn build(base: &str, config: &str) -> Ended {
    let store = Store::new();
    let ended = run(images().build_command(&store, base).args(["--registry-config", config]));
    is_sound(&store.path().join("store/blobs/sha256"));
    ended
}

#[test]
fn mirrors_are_asked_in_their_order_and_the_registry_at_last() {
    let (origin, mirror) = (Registry::start(), Registry::start());
    images().push("small:1", &origin.image("team/base:1")).ok();
    images().push("small:1", &mirror.image("cache/team/base:1")).ok();
    let (asked, mirrored) = (Proxy::start(&origin.address), Proxy::start(&mirror.address));
    let place = tempfile::tempdir().unwrap();
    let dead = refused();
    let config = |mirrors: &[&str]| {
        let mirrors: String =
            mirrors.iter().map(|one| format!("[[registry.mirror]]\nlocation = \"{one}\"\n")).collect();
        written(
            place.path(),
            &format!(
                "[[registry]]\nprefix = \"{}/team\"\nlocation = \"{}/team\"\n{mirrors}",
                asked.address, asked.address
            ),
        )
    };
    let base = asked.image("team/base:1");
    let good = mirrored.image("cache/team");
    build(&base, &config(&[&dead, &good])).ok();
    assert_eq!(asked.requests().len(), 0, "the mirror has everything");
    assert_eq!(mirrored.count("GET", "/cache/team/base/blobs/"), 3);
    // One that has nothing, one that is down: the registry itself.
    mirrored.reset();
    let passed = build(&base, &config(&[&mirrored.image("empty"), &dead])).ok();
    assert!(passed.stderr.contains(&format!("the mirror {dead}/base is passed over")), "{}", passed.stderr);
    assert_eq!(asked.count("GET", "/team/base/blobs/"), 3);
    // Pushes know no mirrors.
    mirrored.reset();
    let mut push = images().push_command("old:1", &asked.image("team/pushed:1"));
    run(push.args(["--registry-config", &config(&[&good])])).ok();
    assert!(mirrored.requests().is_empty() && origin.tag("team/pushed", "1").is_some());
}

#[test]
fn a_mirror_that_fails_in_the_middle_is_left() {
    let (origin, mirror) = (Registry::start(), Registry::start());
    images().push("small:1", &origin.image("base:1")).ok();
    images().push("small:1", &mirror.image("base:1")).ok();
    let place = tempfile::tempdir().unwrap();
    for fault in [Fault::Truncate(90), Fault::Flip(90), Fault::status(500), Fault::Stall(90), Fault::Longer(9)] {
        let broken = Proxy::with(&mirror.address, vec![Rule::on("GET", "/blobs/", fault).always()]);
        let address = &origin.address;
        let config =
            format!("[[registry]]\nlocation = \"{address}\"\nmirror = [{{location = \"{}\"}}]\n", broken.address);
        build(&origin.image("base:1"), &written(place.path(), &config)).ok();
        assert!(broken.left().is_empty());
    }
}

#[test]
fn some_mirrors_are_for_digests_only() {
    let (origin, mirror) = (Registry::start(), Registry::start());
    images().push("small:1", &origin.image("base:1")).ok();
    images().push("small:1", &mirror.image("base:1")).ok();
    let mirrored = Proxy::start(&mirror.address);
    let place = tempfile::tempdir().unwrap();
    let config = format!(
        "[[registry]]\nlocation = \"{}\"\nmirror-by-digest-only = true\nmirror = [{{location = \"{}\"}}]\n",
        origin.address, mirrored.address
    );
    let config = written(place.path(), &config);
    build(&origin.image("base:1"), &config).ok();
    assert_eq!(mirrored.count("GET", "/manifests/"), 0, "the tag came from the registry");
    mirrored.reset();
    let pinned = format!("{}@{}", origin.image("base"), images().digest("small:1"));
    build(&pinned, &config).ok();
    assert_eq!((mirrored.count("GET", "/manifests/"), mirrored.count("GET", "/blobs/")), (1, 3));
}

#[test]
fn what_has_moved_is_found() {
    let registry = Registry::start();
    images().push("small:1", &registry.image("new/base:1")).ok();
    let place = tempfile::tempdir().unwrap();
    let config = format!("[[registry]]\nprefix = \"old.example/team\"\nlocation = \"{}/new\"\n", registry.address);
    build("old.example/team/base:1", &written(place.path(), &config)).ok();
    // Also where nothing names the file.
    let home = place.path().join("home");
    std::fs::create_dir_all(home.join(".config/containers/registries.conf.d")).unwrap();
    std::fs::write(home.join(".config/containers/registries.conf.d/a.conf"), config).unwrap();
    let store = Store::new();
    run(images().build_command(&store, "old.example/team/base:1").env("HOME", &home)).ok();
}

#[test]
fn what_is_wrong_with_a_configuration_is_said() {
    let place = tempfile::tempdir().unwrap();
    for (content, part) in [
        ("[registries.search]\nregistries = []\n", "version 1"),
        ("[[registry]]\nlocation = \"r.example\"\nblocked = true\n", "r.example/base is blocked by"),
        ("[[registry]]\nlocation = \"https://r.example\"\n", "`registry.location`"),
        ("[[registry]\n", "TOML"),
    ] {
        let config = written(place.path(), content);
        // Files of this machine are no servers; that one is not to be asked is said of a registry.
        let code = if content.contains("blocked") { 4 } else { 1 };
        let ended = build("r.example/base:1", &config).fails(code);
        assert!(ended.stderr.contains(part) && ended.stderr.contains(&config), "{}", ended.stderr);
    }
    let nowhere = build("r.example/base:1", "/nowhere/registries.conf").fails(1);
    assert!(nowhere.stderr.contains("/nowhere/registries.conf"), "{}", nowhere.stderr);
}
