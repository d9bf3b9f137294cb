//! `alloy lock` and `alloy outdated`: what they write, and what a build does with it when the world has moved on.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::download::{Downloads, content, sha256};
use crate::support::http::{Server, whole};
use crate::support::registry::Registry;
use crate::support::{Ended, Store, blueprint, digests, repository, run, shared, text};

const LOCK: &str = "alloy.lock.yml";
const MANIFEST: &str = "name: Locked\nversion: 1.0.0\nrun_order: [tools.yml]\nimage: {env_from_profile: false}\n";
const TOOLS: &str = "- {name: refresh, action: apt_install, packages: []}\n\
                     - {name: query, action: apt_install, packages: [jq]}\n\
                     - {name: query, action: apt_install, packages: [jq, tree]}\n";

fn lockfile(blueprint: &Path) -> String {
    std::fs::read_to_string(blueprint.join(LOCK)).unwrap()
}

fn relock(blueprint: &Path, from: &str, to: &str) {
    let before = lockfile(blueprint);
    assert!(before.contains(from), "no {from}: {before}");
    std::fs::write(blueprint.join(LOCK), before.replace(from, to)).unwrap();
}

/// alloy on the shared store with no way out: whatever asks a server fails.
fn cut_off(arguments: &[&str]) -> Ended {
    let mut command = shared().alloy(arguments);
    for name in ["http_proxy", "https_proxy"] {
        command.env(name, "http://127.0.0.1:9").env(name.to_uppercase(), "http://127.0.0.1:9");
    }
    run(command.env_remove("no_proxy").env_remove("NO_PROXY"))
}

/// A blueprint that installs packages, locked.
fn locked() -> TempDir {
    let blueprint = blueprint(&[("manifest.yml", MANIFEST), ("tools.yml", TOOLS)]);
    shared().run(&["lock", text(blueprint.path())]).ok();
    blueprint
}

#[test]
fn a_locked_build_needs_nobody_and_gives_the_same_image() {
    let free = blueprint(&[("manifest.yml", MANIFEST), ("tools.yml", TOOLS)]);
    let free = shared().build(&[text(free.path())]);
    let blueprint = locked();
    let path = text(blueprint.path());
    let written = lockfile(blueprint.path());
    for part in [
        "\n  deb:bookworm:\n    linux/",
        "suite: bookworm-security",
        "\"tools.yml: query\":\n      packages: [jq]\n",
        "package: libjq1, version:",
        "\"tools.yml: query #2\":\n      packages: [jq, tree]\n      closure:\n      - {package: tree, version:",
    ] {
        assert!(written.contains(part), "no {part}: {written}");
    }
    // Nothing has moved: nobody is asked, and not a byte changes.
    cut_off(&["lock", path]).ok();
    cut_off(&["lock", path, "--check"]).ok();
    assert_eq!(lockfile(blueprint.path()), written);
    // What is pinned is fetched once.
    shared().run(&["build", path, "--locked", "--no-cache"]).ok();
    let metadata = blueprint.path().join("metadata.json");
    let out = ["build", path, "--locked", "--no-cache", "-t", "locked", "--metadata-file", text(&metadata)];
    cut_off(&out).ok();
    let built: Value = serde_json::from_slice(&std::fs::read(metadata).unwrap()).unwrap();
    assert_eq!(digests(&built), digests(&free), "what was pinned is what apt installs today, and how");
    let script = "jq --version && apt-mark showauto | grep -x libjq1 && apt-mark showmanual | grep -cxE 'jq|tree'";
    let said = shared().run(&["run", "locked", "--", "sh", "-c", script]).ok().stdout;
    assert!(said.ends_with("libjq1\n2\n"), "{said}");
}

#[test]
fn what_the_blueprint_no_longer_says_is_told() {
    let blueprint = locked();
    let path = text(blueprint.path());
    let before = lockfile(blueprint.path());
    std::fs::write(blueprint.path().join("tools.yml"), TOOLS.replace("[jq, tree]", "[less]")).unwrap();
    let said = cut_off(&["lock", path, "--check"]).fails(1).stderr;
    assert!(
        said.contains("the packages of tools.yml: query #2 are not pinned") && said.contains("not current"),
        "{said}"
    );
    assert_eq!(lockfile(blueprint.path()), before);
    let said = cut_off(&["build", path, "--locked"]).fails(3).stderr;
    assert!(said.contains("not those that alloy.lock.yml was made for") && said.contains("tools.yml:3:"), "{said}");
    std::fs::write(blueprint.path().join("tools.yml"), TOOLS.lines().next().unwrap()).unwrap();
    let manifest = format!("{MANIFEST}supported_hosts: [linux/amd64, linux/arm64]\n")
        .replace("image: {", "image: {base: 'deb:trixie', ");
    std::fs::write(blueprint.path().join("manifest.yml"), manifest).unwrap();
    let said = cut_off(&["build", path, "--locked"]).fails(3).stderr;
    let place = |key: &str| format!("{LOCK}:{}:", before.lines().position(|line| line.contains(key)).unwrap() + 1);
    for part in [
        "has 4 errors",
        "does not pin the base `deb:trixie`",
        "manifest.yml:4:",
        "nothing uses this base",
        "nothing uses this task",
        &place("deb:bookworm:"),
        &place("tools.yml: query\":"),
        &place("query #2"),
    ] {
        assert!(said.contains(part), "no {part}: {said}");
    }
}

#[test]
fn what_the_archive_has_lost_is_in_the_registry_or_nowhere() {
    let registry = Registry::start();
    let store = shared();
    let blueprint = locked();
    let path = text(blueprint.path());
    let deb = |name: &str| {
        let lock = lockfile(blueprint.path());
        let line = lock.lines().find(|line| line.contains(&format!("{{package: {name},"))).unwrap().to_owned();
        let field = |field: &str| {
            line.split(&format!("{field}: ")).nth(1).unwrap().split([',', '}']).next().unwrap().to_owned()
        };
        (field("filename"), field("sha256"))
    };
    let (filename, sha256) = deb("tree");
    let forget = || {
        let _ = std::fs::remove_file(store.path().join("store/downloads").join(&sha256));
    };
    relock(blueprint.path(), &filename, "pool/main/t/tree/tree_0_gone.deb");
    forget();
    let said = store.run(&["build", path, "--locked", "--no-cache"]).fails(4).stderr;
    for part in
        ["tools.yml:3:", ": query: tree ", "which alloy.lock.yml pins, cannot be had", "404", "alloy lock --update=apt"]
    {
        assert!(said.contains(part), "no {part}: {said}");
    }
    relock(blueprint.path(), "pool/main/t/tree/tree_0_gone.deb", &filename);
    let image = registry.image("team/debs:1");
    let said = store.run(&["lock", path, "--mirror-to", &image]).ok().stderr;
    let (kept, sum) = (said.lines().find(|line| line.contains(" keeps ")).unwrap(), said.lines().last().unwrap());
    let packages = sum.rsplit(", ").next().unwrap();
    assert!(kept.contains(&format!("keeps {packages} and ")) && kept.contains(" of the base"), "{said}");
    assert!(lockfile(blueprint.path()).contains("\nmirror: "), "{said}");
    assert!(registry.blobs().join(&sha256[..2]).join(&sha256).exists() && registry.tag("team/debs", "1").is_some());
    relock(blueprint.path(), &filename, "pool/main/t/tree/tree_0_gone.deb");
    forget();
    let said = store.run(&["build", path, "--locked", "--no-cache"]).ok().stderr;
    assert!(said.contains("it is taken from"), "{said}");

    // All archives are gone, and nothing is here: the base comes from there, too, and each server is told of twice.
    relock(blueprint.path(), "pool/main/t/tree/tree_0_gone.deb", &filename);
    let lock = lockfile(blueprint.path());
    let archives: BTreeSet<&str> = lock.split("uri: ").skip(1).map(|rest| rest.split(',').next().unwrap()).collect();
    for archive in archives.iter().rev() {
        relock(blueprint.path(), archive, &format!("http://127.0.0.1:9/{}", archive.rsplit('/').next().unwrap()));
    }
    let gone = ["build", path, "--locked", "--mirror", "http://127.0.0.1:9/debian", "-t", "kept"];
    let empty = Store::new();
    let said = empty.run(&gone).ok().stderr;
    let told: Vec<&str> = said.lines().filter(|line| line.contains("127.0.0.1:9")).collect();
    assert!(told.len() == 2 && told[0].contains("it is taken from"), "{told:?}");
    assert!(told[1].contains(" files of 127.0.0.1:9 came from "), "{told:?}");
    empty.run(&["run", "kept", "tree", "--version"]).ok();
    // A registry that has lost it is named.
    drop(registry);
    let said = Store::new().run(&gone).fails(4).stderr;
    assert!(said.contains("cannot be taken from") && said.contains("which alloy.lock.yml names"), "{said}");
}

#[test]
fn an_index_that_is_gone_is_named() {
    let blueprint = blueprint(&[("manifest.yml", MANIFEST), ("tools.yml", TOOLS.lines().next().unwrap())]);
    let path = text(blueprint.path());
    shared().run(&["lock", path]).ok();
    let lock = lockfile(blueprint.path());
    let hash = lock.split("by-hash/SHA256/").nth(1).unwrap().split(',').next().unwrap();
    relock(blueprint.path(), hash, &"0".repeat(64));
    let said = shared().run(&["build", path, "--locked"]).fails(4).stderr;
    assert!(said.contains("no longer has the index of bookworm that alloy.lock.yml pins"), "{said}");
    assert!(said.contains("alloy lock --update=base"), "{said}");
    shared().run(&["lock", path, "--update=base"]).ok();
    let now = lockfile(blueprint.path());
    assert!(now.contains(hash) && now != lock.replace(hash, &"0".repeat(64)), "{now}");
}

#[test]
fn an_archive_out_of_reach_is_that_of_this_machine() {
    let tree = "- {name: tree, action: apt_install, packages: [tree]}\n";
    let blueprint = blueprint(&[("manifest.yml", MANIFEST), ("tools.yml", tree)]);
    let path = text(blueprint.path());
    shared().run(&["lock", path]).ok();
    // As a colleague's machine has written it, elsewhere.
    let lock = lockfile(blueprint.path());
    let archives: BTreeSet<&str> = lock.split("uri: ").skip(1).map(|rest| rest.split(',').next().unwrap()).collect();
    for (archive, name) in archives.iter().rev().zip(["debian-security", "debian"]) {
        relock(blueprint.path(), archive, &format!("http://127.0.0.1:9/{name}"));
    }
    let store = Store::new();
    let said = store.run(&["build", path, "--locked", "-t", "elsewhere"]).ok().stderr;
    assert!(!said.contains("127.0.0.1:9"), "{said}");
    // What the image itself asks stays what the lockfile says.
    let sources = store.run(&["run", "elsewhere", "--", "sh", "-c", "cat /etc/apt/sources.list.d/*"]).ok().stdout;
    assert!(sources.contains("URIs: http://127.0.0.1:9/debian\n"), "{sources}");
    store.run(&["run", "elsewhere", "tree", "--version"]).ok();
}

#[test]
fn the_lockfile_says_of_which_suite_a_base_is_that_does_not_say_it() {
    let (registry, hello) = (Registry::start(), repository("examples/hello"));
    let base = registry.image("base/debian:12");
    shared().run(&["build", text(&hello), "-t", &base, "--push"]).ok();
    let tree = "- {name: tree, action: apt_install, packages: [tree]}\n";
    let manifest = MANIFEST.replace("image: {", &format!("image: {{base: '{base}', "));
    let blueprint = blueprint(&[("manifest.yml", &manifest), ("tools.yml", tree)]);
    let path = text(blueprint.path());
    shared().run(&["lock", path]).ok();
    let part = "      packages: [tree]\n      suite: bookworm\n      closure:\n      - {package: tree,";
    assert!(lockfile(blueprint.path()).contains(part), "{}", lockfile(blueprint.path()));
    shared().run(&["lock", path, "--check"]).ok();
    let said = shared().run(&["outdated", path]).ok();
    assert!(said.stdout.contains("the newest there is") && !said.stderr.contains("--suite"), "{}", said.stderr);
    // The plan has a line for all packages of a task.
    let said = Store::new().run(&["plan", path, "--locked"]).ok().stdout;
    assert!(said.contains("download 1 pinned package of tree (tools.yml:1): "), "{said}");
}

#[test]
fn newer_packages_are_named_without_a_build() {
    let blueprint = locked();
    let path = text(blueprint.path());
    let said = shared().run(&["outdated", path, "--exit-code"]).ok().stdout;
    assert!(said.contains("the newest there is"), "{said}");
    let lock = lockfile(blueprint.path());
    let version = lock.split("{package: jq, version: ").nth(1).unwrap().split(", arch").next().unwrap();
    relock(blueprint.path(), &format!("package: jq, version: {version}"), "package: jq, version: 0.1-1");
    let said = shared().run(&["outdated", path]).ok().stdout;
    assert!(said.contains("0.1-1") && !said.contains("libjq1"), "{said}");
    let said = shared().run(&["outdated", path, "--format=json", "--exit-code"]).fails(1).stdout;
    let said: Value = serde_json::from_str(&said).unwrap();
    let [one] = said["outdated"].as_array().unwrap().as_slice() else { panic!("{said}") };
    assert_eq!((one["kind"].as_str(), one["name"].as_str()), (Some("package"), Some("jq")));
    assert_eq!((one["locked"].as_str(), one["latest"].as_str()), (Some("0.1-1"), Some(version.trim_matches('"'))));
    // Another component is looked at where a pin comes from it.
    relock(blueprint.path(), "{package: jq,", "{package: ttf-mscorefonts-installer,");
    let pin = lock.split("{package: jq,").nth(1).unwrap();
    let filename = pin.split("filename: ").nth(1).unwrap().split([',', '}']).next().unwrap();
    relock(blueprint.path(), filename, "pool/contrib/m/msttcorefonts/x.deb");
    let said = shared().run(&["outdated", path]).ok();
    assert!(said.stdout.contains("ttf-mscorefonts-installer  0.1-1") && !said.stderr.contains("not in bookworm"));
}

/// alloy on a blueprint whose base is a directory: nothing but downloads and toolchains is to be pinned.
fn lock_of(downloads: &Downloads, more: &[&str]) -> Ended {
    run(downloads.alloy("lock").args(more))
}

#[test]
fn downloads_are_pinned_kept_and_moved_when_asked() {
    let place = tempfile::tempdir().unwrap();
    let file: PathBuf = place.path().join("served");
    std::fs::write(&file, content(50)).unwrap();
    let served = file.clone();
    let server = Server::start(move |_, _, stream| whole(stream, &std::fs::read(&served).unwrap()));
    let (one, pinned) = (server.path("one"), server.path("pinned"));
    let downloads = Downloads::of_tasks(&format!(
        "- {{name: one, action: get_file, url: '{one}', dest: /srv/one}}\n\
         - {{name: pinned, action: get_file, url: '{pinned}', sha256: {}, dest: /srv/p}}\n",
        sha256(&content(50))
    ));
    downloads.write(LOCK, "downloads: {'https://a.example/old': {sha256: 0}}\n");
    let said = lock_of(&downloads, &[]).fails(3).stderr;
    assert!(said.contains(&format!("{LOCK}:1:")) && said.contains("64 hexadecimal digits"), "{said}");
    downloads.write(LOCK, &format!("downloads: {{'https://a.example/old': {{sha256: {}}}}}\n", "0".repeat(64)));
    let said = lock_of(&downloads, &["--check"]).fails(1).stderr;
    assert!(
        said.contains("- download https://a.example/old") && said.contains(&format!("{one} is not pinned")),
        "{said}"
    );
    let said = lock_of(&downloads, &[]).ok().stderr;
    let (old, new) = (sha256(&content(50)), sha256(&content(51)));
    assert!(said.contains(&format!("+ download {one}: {}", &old[..12])), "{said}");
    let lock = lockfile(downloads.path());
    assert!(lock.contains(&old) && !lock.contains("pinned:") && !lock.contains("a.example"), "{lock}");
    downloads.build(&["--locked"]).ok();
    std::fs::write(&file, content(51)).unwrap();
    lock_of(&downloads, &[]).ok();
    assert_eq!(lockfile(downloads.path()), lock);
    let said = lock_of(&downloads, &["--update=nothing-of-that-name"]).fails(2).stderr;
    assert!(said.contains("nothing-of-that-name"), "{said}");
    let said = lock_of(&downloads, &[&format!("--update={one}")]).ok().stderr;
    assert!(said.contains(&format!("~ download {one}: {} -> {}", &old[..12], &new[..12])), "{said}");
    let moved = lockfile(downloads.path());
    assert!(moved.contains(&new) && !moved.contains(&old), "{moved}");
}

#[test]
fn toolchains_come_from_the_catalog_for_every_host() {
    let catalog = Store::new();
    let place = catalog.path().join("toolchains/a/gcc");
    std::fs::create_dir_all(&place).unwrap();
    let index = |stable: &str| {
        format!(
            "spec_version: 1\nid: toolchain.a.gcc\ntype: index\naliases: {{stable: {stable}}}\nversions:\n\
             - {{version: '1.0', file: 1.yaml, status: stable}}\n- {{version: '2.0', file: 2.yaml, status: stable}}\n"
        )
    };
    std::fs::write(place.join("index.yaml"), index("'1.0'")).unwrap();
    for major in [1, 2] {
        let of = |arch: &str| {
            let digest = sha256(format!("{major} {arch}").as_bytes());
            format!("linux/{arch}: {{url: 'https://a.example/{major}-{arch}.tar', sha256: {digest}}}")
        };
        let text = format!(
            "spec_version: 1\nid: toolchain.a.gcc\nversion: '{major}.0'\nname: GCC\nproviders:\n\
             - {{id: a, method: archive, host_platforms: {{{}, {}}}}}\n",
            of("amd64"),
            of("arm64")
        );
        std::fs::write(place.join(format!("{major}.yaml")), text).unwrap();
    }
    let downloads = Downloads::of_tasks("[]\n");
    let manifest = |more: &str| {
        format!(
            "name: Test\nversion: 1.0.0\nrun_order: [tasks.yml]\nsupported_hosts: [linux/amd64, linux/arm64]\n\
             toolchains:\n- {{ref: toolchain.a.gcc, alias: GCC}}\n{more}"
        )
    };
    downloads.write("manifest.yml", &manifest("- {ref: toolchain.a.gc}\n- {ref: toolchain.a.gcc@9}\n"));
    let from = format!("--catalog={}", catalog.path().display());
    let said = lock_of(&downloads, &[&from]).fails(3).stderr;
    for part in ["has 2 errors", "no toolchain.a.gc", "manifest.yml:7:", "no version `9`", "manifest.yml:8:"] {
        assert!(said.contains(part), "no {part}: {said}");
    }
    downloads.write("manifest.yml", &manifest(""));
    lock_of(&downloads, &[&from]).ok();
    let lock = lockfile(downloads.path());
    for part in
        ["toolchain.a.gcc@stable: {url: https://a.example/1-amd64.tar", "hosts:\n  linux/arm64:\n    toolchains:\n"]
    {
        assert!(lock.contains(part), "no {part}: {lock}");
    }
    std::fs::write(place.join("index.yaml"), index("'2.0'")).unwrap();
    // Pins stay where they are until somebody asks.
    lock_of(&downloads, &[&from]).ok();
    assert_eq!(lockfile(downloads.path()), lock);
    let outdated = ["outdated", text(downloads.path()), &from, "--exit-code"];
    let said = downloads.store.run(&outdated).fails(1).stdout;
    assert!(said.contains("toolchain toolchain.a.gcc@stable") && said.contains("2.0"), "{said}");
    let said = lock_of(&downloads, &[&from, "--update=toolchain.a.gcc"]).ok().stderr;
    for part in ["~ linux/amd64 toolchain toolchain.a.gcc@stable: 1.0 -> 2.0", "~ linux/arm64 toolchain"] {
        assert!(said.contains(part), "no {part}: {said}");
    }
    downloads.store.run(&outdated).ok();
}
