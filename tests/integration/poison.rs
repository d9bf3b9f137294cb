//! What one image, archive or build leaves in the store is not taken by another for something else.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use layers::digest::Digest;
use layers::tar::{Entry, Kind, TarWriter, plain_directory};

use crate::support::download::sha256;
use crate::support::forged::{Forged, described, digest, layer};
use crate::support::images::tasks;
use crate::support::registry::Registry;
use crate::support::team::{Team, hits};
use crate::support::{Ended, Store, blueprint, text, tool};

/// Builds on `base`, with a task that has to see the files of the base.
fn build(store: &Store, base: &str, more: &[&str]) -> Ended {
    let blueprint = tasks();
    let arguments = ["build", text(blueprint.path()), "--base", base, "-t", "x:1", "--no-attest"];
    store.run(&[&arguments, more].concat())
}

/// What the tools in all trees of the store say, without those of a layer that was made.
fn trees(store: &Store) -> Vec<(PathBuf, String)> {
    let tools = store.trees().into_iter().map(|tree| tree.join("usr/bin/tool"));
    tools.filter_map(|tool| Some((tool.clone(), fs::read_to_string(tool).ok()?))).collect()
}

#[test]
fn a_false_diff_id_is_an_error_and_poisons_nothing() {
    let place = tempfile::tempdir().unwrap();
    let (good, evil) = (layer(place.path(), "GOOD"), layer(place.path(), "EVIL"));
    let honest = Forged::new(place.path(), &good, &good);
    let forged = Forged::new(place.path(), &evil, &good);
    let registry = Registry::start();
    let ways = [
        forged.layout(&place.path().join("evil")),
        forged.layout_archive(place.path()),
        forged.docker_archive(place.path()),
        forged.pushed(&registry, "evil"),
    ];
    let store = Store::new();
    for base in &ways {
        // Twice: a failure leaves nothing behind that makes the next one believe it.
        for _ in 0..2 {
            let ended = build(&store, base, &[]).fails(1);
            let where_from = base.split_once(':').unwrap().1;
            for part in [where_from, "layer 1 of 1", &digest(&good), &digest(&evil)] {
                assert!(ended.stderr.contains(part), "{base}: no `{part}` in {}", ended.stderr);
            }
        }
        assert_eq!(trees(&store), []);
    }
    build(&store, &honest.pushed(&registry, "good"), &[]).ok();
    let found = trees(&store);
    assert!(!found.is_empty() && found.iter().all(|(_, says)| says == "GOOD"), "{found:?}");
}

#[test]
fn an_image_nobody_looked_into_is_checked_before_it_is_written_out() {
    let place = tempfile::tempdir().unwrap();
    let (good, evil) = (layer(place.path(), "GOOD"), layer(place.path(), "EVIL"));
    let registry = Registry::start();
    let base = Forged::new(place.path(), &evil, &good).pushed(&registry, "evil");
    // Nothing has to be made on top of the base: its tree is never wanted.
    let manifest = "name: Test\nversion: 1.0.0\nrun_order: [tasks.yml]\nimage: {env_from_profile: false}\n";
    let blueprint = crate::support::blueprint(&[("manifest.yml", manifest), ("tasks.yml", "[]\n")]);
    for kind in ["oci", "oci-archive", "docker-archive", "tar", "dir"] {
        let (store, dest) = (Store::new(), place.path().join(format!("out-{kind}")));
        let output = format!("type={kind},dest={}", dest.display());
        let arguments = ["build", text(blueprint.path()), "--base", &base, "--no-attest", "-o", &output];
        let ended = store.run(&arguments).fails(1);
        assert!(ended.stderr.contains(&digest(&evil)), "{kind}: {}", ended.stderr);
        assert!(!dest.exists(), "{kind}");
    }
}

#[test]
fn trees_that_an_older_alloy_named_by_claims_are_not_believed() {
    let place = tempfile::tempdir().unwrap();
    let good = layer(place.path(), "GOOD");
    let base = Forged::new(place.path(), &good, &good).layout(&place.path().join("good"));
    let store = Store::new();
    build(&store, &base, &[]).ok();
    // One layer: its chain ID is its diff ID.
    let old = store.path().join("store/trees").join(format!("chain-{}", sha256(&good)));
    fs::create_dir_all(old.join("tree/usr/bin")).unwrap();
    fs::write(old.join("tree/usr/bin/tool"), "EVIL").unwrap();
    let metadata = place.path().join("metadata.json");
    build(&store, &base, &["--no-cache", "--metadata-file", text(&metadata)]).ok();
    store.run(&["prune"]).ok();
    assert!(!old.exists());
    assert!(trees(&store).iter().all(|(_, says)| says == "GOOD"));
}

/// A layer that says little: a hard link to a file below it, and a file in a directory that it leaves out.
fn leaving_out() -> Vec<u8> {
    let mut tar = TarWriter::new(Vec::new());
    let file = |path: &str, kind: Kind, link: &str| Entry {
        kind,
        mode: 0o644,
        link: link.into(),
        ..plain_directory(Path::new(path))
    };
    tar.append(&file("opt/tool", Kind::HardLink, "srv/a"), &mut std::io::empty()).unwrap();
    tar.append(&file("opt/dir/conf", Kind::File, ""), &mut std::io::empty()).unwrap();
    tar.finish().unwrap()
}

#[test]
fn a_tree_that_took_from_below_is_not_another_stack_s() {
    let team = Team::new();
    let (store, place) = (Store::new(), tempfile::tempdir().unwrap());
    let (from, image) = (team.image("team/image"), team.image("team/image:1"));
    let (built, _) = team.build(&Store::new(), &["-t", &image, "--push"]);
    // Whoever may write to that cache says that the second layer is one that takes what it needs from the first.
    let layer = leaving_out();
    team.registry.put_blob("team/image", &layer);
    let blob = described("application/vnd.oci.image.layer.v1.tar", &layer);
    let tag = format!("alloy-cache-v1-layer-{}", built["layers"][1]["key"].as_str().unwrap());
    let mut manifest = team.manifest("team/image", &tag);
    let record = manifest["annotations"]["vnd.alloy.cache.record"].as_str().unwrap();
    let mut record: serde_json::Value = serde_json::from_str(record).unwrap();
    let known = record["known"]["layer"]["layer"].as_object_mut().unwrap();
    known.insert("descriptor".into(), blob.clone());
    known.insert("diff_id".into(), digest(&layer).into());
    known.insert("uncompressed_size".into(), layer.len().into());
    manifest["annotations"]["vnd.alloy.cache.record"] = record.to_string().into();
    manifest["layers"] = serde_json::json!([blob]);
    team.put("team/image", &tag, &manifest.to_string(), place.path());
    team.task("c", "made anew, on top of it");
    let (built, ended) = team.build(&store, &["-t", "x", "--cache-from", &from]);
    assert!(hits(&built)[1].is_some(), "{}", ended.stderr);
    let names = fs::read_dir(store.path().join("store/trees")).unwrap();
    let names: Vec<String> = names.map(|tree| tree.unwrap().file_name().into_string().unwrap()).collect();
    let took = |name: &&String| store.opened().tree(name).unwrap().join("opt/tool").exists();
    let took: Vec<&String> = names.iter().filter(took).collect();
    assert_eq!(took.len(), 1, "{names:?}");
    assert!(!took[0].contains(&sha256(&layer)), "what it holds is not the layer's alone: {names:?}");
}

#[test]
fn the_same_layer_may_lie_in_an_image_twice() {
    let place = tempfile::tempdir().unwrap();
    let (good, other) = (layer(place.path(), "GOOD"), layer(place.path(), "OTHER"));
    let base = Forged::stack(place.path(), &[good.clone(), other, good.clone()], "gzip -n");
    let alone = Forged::new(place.path(), &good, &good).layout(&place.path().join("alone"));
    let store = Store::with_base();
    // Its tree is there by its own name when it is wanted twice.
    build(&store, &alone, &[]).ok();
    build(&store, &base.layout(&place.path().join("twice")), &["--no-cache"]).ok();
    // And so it is when it was made twice.
    let files = ["a.yml", "b.yml", "c.yml", "d.yml"];
    let scripts = ["touch /srv/a", "rm /srv/a", "touch /srv/a; true", "test -e /srv/a"];
    let manifest = "name: Twice\nversion: 1.0.0\nrun_order: [a.yml, b.yml, c.yml, d.yml]\n";
    let tasks = scripts.map(run_command);
    let named = files.into_iter().zip(tasks.iter().map(String::as_str));
    let blueprint =
        crate::support::blueprint(&[("manifest.yml", manifest)].into_iter().chain(named).collect::<Vec<_>>());
    store.run(&["build", text(blueprint.path()), "-t", "twice:1", "--no-attest"]).ok();
    store.run(&["run", "twice:1", "--", "test", "-e", "/srv/a"]).ok();
}

/// In place of `hello`: a package of the same name, version and size that leaves `/etc/trojan`.
const PLANT: &str = r#"
set -eu
cd /var/cache/apt/archives
apt-get update -q
apt-get install -y --download-only hello
deb=$(ls hello_*.deb); size=$(stat -c %s "$deb")
dpkg-deb -R "$deb" /tmp/w
rm -rf /tmp/w/usr/share/doc /tmp/w/usr/share/locale /tmp/w/usr/share/info /tmp/w/usr/share/man /tmp/w/DEBIAN/md5sums
printf '#!/bin/sh\necho TROJAN > /etc/trojan\n' > /tmp/w/DEBIAN/postinst
chmod 755 /tmp/w/DEBIAN/postinst
dpkg-deb -b --root-owner-group -Zxz /tmp/w /tmp/t.deb
pad=$((size - $(stat -c %s /tmp/t.deb) - 60))
test "$pad" -gt 0
printf '%-16s%-12s%-6s%-6s%-8s%-10s`\n' _pad 0 0 0 100644 "$pad" >> /tmp/t.deb
head -c "$pad" /dev/zero >> /tmp/t.deb
cp /tmp/t.deb "$deb"
test "$(stat -c %s "$deb")" = "$size"
for list in /var/lib/apt/lists/*_Packages; do printf '\nPackage: trojan\n' >> "$list"; done
touch /etc/planted
"#;

fn run_command(script: &str) -> String {
    let script: String = script.trim().lines().map(|line| format!("    {line}\n")).collect();
    format!("- name: command\n  action: run_command\n  reason: test\n  command: |\n{script}")
}

#[test]
fn packages_and_lists_that_a_build_left_are_not_the_next_ones() {
    let store = Store::with_base();
    let hello = "- {name: hello, action: apt_install, packages: [hello]}\n";
    let refresh = "- {name: refresh, action: apt_install, packages: []}\n";
    let build = |name: &str, tasks: &str| {
        let blueprint = crate::support::tasks(tasks);
        store.run(&["build", text(blueprint.path()), "-t", name, "--no-attest"])
    };
    // The commands of one layer come before its end, when lists are taken back.
    build("evil:1", &format!("{refresh}{}", run_command(PLANT))).ok();
    assert_eq!(kept_lists(&store), Vec::<String>::new(), "what was written to is not kept");
    let look = run_command("! grep -ls trojan /var/lib/apt/lists/*");
    build("good:1", &format!("{hello}{look}")).ok();
    let script = "test -x /usr/bin/hello && test ! -e /etc/trojan";
    store.run(&["run", "good:1", "--", "sh", "-c", script]).ok();
    // What the good one fetched is what the archive has, and the next one finds it.
    let lists = kept_lists(&store);
    assert!(lists.iter().any(|name| name.contains("_Packages")), "{lists:?}");
    // Content of the store is what it is called.
    for file in fs::read_dir(store.path().join("store/downloads")).unwrap().flatten() {
        let name = file.file_name().into_string().unwrap();
        assert_eq!(sha256(&fs::read(file.path()).unwrap()), name);
    }
    let evil = build("evil:2", &run_command(PLANT)).ok();
    assert_eq!(kept_lists(&store), lists, "{}", evil.stderr);
    // What apt fetches itself has the archive's time.
    let lent = run_command("find /var/cache/apt/archives -name 'hello_*.deb' -mmin -10 | grep -q .");
    build("good:2", &format!("{look}{hello}{lent}")).ok();
    store.run(&["run", "good:2", "--", "sh", "-c", script]).ok();
    // What is kept is genuine, but may be old: apt has asked its archive, and made its cache, before a command uses it.
    build("good:3", &run_command("# apt-get install\ntest -e /var/cache/apt/pkgcache.bin")).ok();
}

/// Gives the lists of one suite the names of another's, in a time when nothing newer can be.
const RENAME: &str = r"
cd /var/lib/apt/lists
for list in *_dists_bookworm-updates_*; do mv $list ${list/bookworm-updates/bookworm}; done
touch -d 2100-01-01 *Release *Packages*
touch /etc/renamed
";

#[test]
fn lists_of_another_suite_do_not_pass_for_the_suites_own() {
    let store = Store::with_base();
    let build = |name: &str, tasks: &str| {
        let blueprint = crate::support::tasks(tasks);
        store.run(&["build", text(blueprint.path()), "-t", name, "--no-attest"])
    };
    let refresh = "- {name: refresh, action: apt_install, packages: []}\n";
    build("evil:1", &format!("{refresh}{}", run_command(RENAME))).ok();
    let lists = kept_lists(&store);
    assert!(!lists.iter().any(|name| name.contains("_dists_bookworm_")), "{lists:?}");
    let places: Vec<_> = fs::read_dir(store.path().join("store/cache/lists")).into_iter().flatten().flatten().collect();
    let files = places.iter().flat_map(|place| fs::read_dir(place.path()).unwrap().flatten());
    for file in files {
        assert!(file.metadata().unwrap().modified().unwrap() < SystemTime::now(), "{:?}", file.path());
    }
    let hello = "- {name: hello, action: apt_install, packages: [hello]}\n";
    build("good:1", hello).ok();
    store.run(&["run", "good:1", "--", "test", "-x", "/usr/bin/hello"]).ok();
    assert!(kept_lists(&store).iter().any(|name| name.contains("_dists_bookworm_main")), "{:?}", kept_lists(&store));
}

/// Names of lists that the store keeps.
fn kept_lists(store: &Store) -> Vec<String> {
    let places = fs::read_dir(store.path().join("store/cache/lists")).into_iter().flatten().flatten();
    let files = places.flat_map(|place| fs::read_dir(place.path()).unwrap().flatten());
    let mut names: Vec<String> = files.map(|file| file.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_build_that_fails_leaves_no_directory_behind() {
    let store = Store::new();
    let root = store.path().join("root");
    fs::create_dir_all(root.join("etc")).unwrap();
    fs::write(root.join("etc/a"), "a").unwrap();
    let blueprint = crate::support::tasks(&run_command("false"));
    let base = format!("rootfs:{}", text(&root));
    store.run(&["build", text(blueprint.path()), "--base", &base, "--no-attest"]).fails(1);
    assert_eq!(fs::read_dir(store.path().join("store/work")).unwrap().count(), 0);
}

/// What is made of a file is kept under the digest of the file: a later blueprint with the same file is given that.
#[test]
fn a_file_that_changes_during_the_build_is_not_kept_as_what_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let at = |path: &str| directory.path().join(path);
    fs::create_dir_all(at("root/opt")).unwrap();
    let archive = |name: &str, tool: &str| {
        fs::create_dir(at(name)).unwrap();
        fs::write(at(name).join("tool"), tool.repeat(1 << 20)).unwrap();
        let path = at(&format!("{name}.tar"));
        packed(&path, &at(name));
        path
    };
    let (good, evil) = (archive("good", "good"), archive("evil", "evil"));
    let [claimed, is] = [&good, &evil].map(|path| Digest::of(fs::read(path).unwrap()));
    let manifest = "name: x\nversion: 1.0.0\nrun_order: [t.yml]\nimage: {env_from_profile: false}\n";
    let tasks = "- {name: u, action: unpack, source: x.tar, dest: /opt/t}\n";
    let base = format!("rootfs:{}", text(&at("root")));
    // An archive with a layer of its own never is unpacked where it goes; one beside other tasks is.
    for layers in ["portable", "file"] {
        let store = Store::new();
        let blueprint = blueprint(&[("manifest.yml", manifest), ("t.yml", tasks)]);
        let real = blueprint.path().canonicalize().unwrap().join("x.tar");
        let build = || {
            let dest = format!("type=tar,dest={}", text(&at("out.tar")));
            store.run(&["build", text(blueprint.path()), "--base", &base, "--layers", layers, "-o", &dest])
        };
        fs::copy(&evil, &real).unwrap();
        // As if it had been the good one when it was hashed.
        let metadata = real.metadata().unwrap();
        let known = serde_json::json!({
            "size": metadata.len(),
            "modified": [metadata.mtime(), metadata.mtime_nsec()],
            "changed": [metadata.ctime(), metadata.ctime_nsec()],
            "inode": metadata.ino(),
            "digest": claimed,
        });
        let key = Digest::of(real.as_os_str().as_encoded_bytes()).hex();
        store.opened().put_record("files", &key, &serde_json::to_vec(&known).unwrap()).unwrap();
        let said = build().fails(1).stderr;
        assert!(said.contains("x.tar") && said.contains("it has changed since this began"), "{said}");
        // The next build knows what it is,
        build().ok();
        let unpacked = || tool("tar", &["-xOf", text(&at("out.tar")), "opt/t/tool"]).ok().stdout;
        assert!(unpacked().starts_with("evil") && is != claimed);
        // and nothing else stands in the place of the good one.
        fs::copy(&good, &real).unwrap();
        build().ok();
        assert!(unpacked().starts_with("good"), "{layers}");
    }
}

fn packed(archive: &Path, directory: &Path) {
    let owner = ["--owner=0", "--group=0"];
    tool("tar", &[&owner[..], &["-C", text(directory), "-cf", text(archive), "tool"]].concat()).ok();
}
