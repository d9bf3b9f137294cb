//! `alloy drift`, and what it stands on: a host and an image of the same blueprint agree.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::support::agree::unexplained;
use crate::support::host::Host;
use crate::support::{Store, blueprint, shared, tasks, text, tool};

/// Packages, files of all kinds, a user, an archive.
const MANIFEST: &str = "name: Both\nversion: 1.0.0\nrun_order: [system.yml, files.yml]\n";
const SYSTEM: &str = "- {name: Packages, action: apt_install, packages: [tree]}\n\
                      - {name: Make ann, action: run_command, reason: test, command: 'id ann || useradd -m -u 1500 -s /bin/bash ann'}\n";
const FILES: &str = "- {name: Tools, action: unpack, source: tools.tar.gz, dest: /opt/tools, owner: ann, mode: u+w}\n\
                     - {name: Profile, action: write_env_file, file: /etc/profile.d/tools.sh, content: 'export PATH=$PATH:/opt/tools/bin', mode: READ_ALL}\n\
                     - {name: Home, action: run_command, reason: test, run_as: ann, command: 'mkdir -p ~/work && echo hi > ~/work/note && ln -sf note ~/work/link'}\n\
                     - {name: Patch, action: run_command, reason: test, command: 'echo patched >> /opt/tools/bin/tool; rm /opt/tools/bin/setup'}\n";

fn both() -> tempfile::TempDir {
    let blueprint = blueprint(&[("manifest.yml", MANIFEST), ("system.yml", SYSTEM), ("files.yml", FILES)]);
    let script = "mkdir -p tools/bin && echo '#!/bin/sh' > tools/bin/tool && chmod 755 tools/bin/tool && cp tools/bin/tool tools/bin/setup && ln -s tool tools/bin/alias && \
                  mkdir -m 750 tools/private && tar -C tools -czf tools.tar.gz . && rm -r tools";
    tool("sh", &["-c", &format!("cd {} && {script}", text(blueprint.path()))]).ok();
    blueprint
}

#[test]
fn a_host_and_an_image_agree() {
    let (blueprint, host) = (both(), Host::debian());
    let store = shared();
    let image = tempfile::tempdir().unwrap();
    let output = format!("type=dir,dest={}/root", text(image.path()));
    store.build(&[text(blueprint.path()), "-t", "both", "-o", &output]);
    host.install(store, blueprint.path(), &[]).ok();
    let unexplained = unexplained(&image.path().join("root"), host.path());
    assert!(unexplained.is_empty(), "{unexplained:#?}");

    // The same, as users ask for it; and again of an image on disk.
    assert!(host.drift(store, &["--image", "both"]).ok().stdout.starts_with("no drift: "));
    let layout = format!("{}/image.tar", text(image.path()));
    store.build(&[text(blueprint.path()), "-o", &format!("type=oci-archive,dest={layout}")]);
    fs::write(host.at("etc/profile.d/tools.sh"), "changed").unwrap();
    tool("chroot", &[text(host.path()), "dpkg", "--remove", "tree"]).ok();
    let ended = host.drift(store, &["--image", &format!("oci-archive:{layout}"), "--format", "json"]).fails(1);
    let found: Value = serde_json::from_str(&ended.stdout).unwrap();
    let lines = |path: &str| {
        let all = found["differences"].as_array().unwrap();
        let one = all.iter().find(|one| one["path"] == path).unwrap();
        one["lines"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(lines("/etc/profile.d/tools.sh"), "- export PATH=$PATH:/opt/tools/bin\n+ changed");
    let told: BTreeMap<String, String> = found["differences"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            let what = one["path"].as_str().or(one["package"].as_str()).unwrap();
            (what.to_owned(), format!("{} {}", one["field"].as_str().unwrap(), one["by"].as_str().unwrap()))
        })
        .collect();
    assert_eq!(told["/etc/profile.d/tools.sh"], "content files.yml");
    assert_eq!(told["/usr/bin/tree"], "existence system.yml");
    assert_eq!(told["tree"], "version system.yml");
    assert!(!told.contains_key("/opt/tools/bin/tool"), "{told:?}");
}

#[test]
fn what_was_changed_behind_the_blueprints_back_is_found() {
    let (blueprint, host, store) = (both(), Host::debian(), Store::new());
    let place = text(blueprint.path());
    let ended = host.drift(&store, &["--blueprint-dir", place]).fails(2);
    assert!(ended.stderr.contains("tells of no installation on this host"), "{}", ended.stderr);
    host.install(&store, blueprint.path(), &[]).ok();
    // What a later task did to a file of an earlier one is as it should be.
    assert!(host.drift(&store, &["--blueprint-dir", place]).ok().stdout.starts_with("no drift: "));

    fs::write(host.at("opt/tools/bin/tool"), "").unwrap();
    fs::remove_file(host.at("opt/tools/bin/alias")).unwrap();
    fs::set_permissions(host.at("etc/profile.d/tools.sh"), PermissionsExt::from_mode(0o666)).unwrap();
    std::os::unix::fs::chown(host.at("opt/tools/private"), Some(7), None).unwrap();
    tool("chroot", &[text(host.path()), "dpkg", "--remove", "tree"]).ok();
    let ended = host.drift(&store, &["--blueprint-dir", place, "--format", "json"]).fails(1);
    let found: Value = serde_json::from_str(&ended.stdout).unwrap();
    let of = |what: &str, key: &str| {
        let all = found["differences"].as_array().unwrap();
        let one = all.iter().find(|one| one[key] == what).unwrap_or_else(|| panic!("{what} is not in {found}"));
        ["field", "was", "is", "by"].map(|field| one[field].as_str().unwrap().to_owned())
    };
    assert_eq!(found["differences"].as_array().unwrap().len(), 5, "{found}");
    let [field, _, _, by] = of("/opt/tools/bin/tool", "path");
    assert_eq!((field.as_str(), by.as_str()), ("content", "files.yml:4 (Patch)"));
    assert_eq!(of("/opt/tools/bin/alias", "path"), ["existence", "link", "absent", "files.yml:1 (Tools)"]);
    assert_eq!(of("/etc/profile.d/tools.sh", "path"), ["mode", "0444", "0666", "files.yml:2 (Profile)"]);
    assert_eq!(of("/opt/tools/private", "path")[..3], ["owner", "1500:0", "7:0"]);
    let [field, _, is, by] = of("tree", "package");
    assert_eq!((field.as_str(), is.as_str(), by.as_str()), ("version", "not installed", "system.yml:1 (Packages)"));
    let human = host.drift(&store, &["--blueprint-dir", place]).fails(1).stdout;
    assert!(human.contains("package tree: version") && human.ends_with("5 differences\n"), "{human}");

    // All tasks once more: what they can mend is mended.
    host.install(&store, blueprint.path(), &["--forget"]).ok();
    assert!(host.at("usr/bin/tree").exists() && host.at("opt/tools/bin/alias").is_symlink());
    assert!(host.drift(&store, &["--blueprint-dir", place]).ok().stdout.starts_with("no drift: "));
}

#[test]
fn an_archive_of_many_files_is_followed_too() {
    let (host, store) = (Host::bare(), Store::new());
    let blueprint = tasks("- {name: Many, action: unpack, source: many.tar, dest: /opt/many}\n");
    let script = "mkdir many && cd many && seq 1000 | split -l 1 -a 3 -d - file && cd .. && tar -C many -cf many.tar . && rm -r many";
    tool("sh", &["-c", &format!("cd {} && {script}", text(blueprint.path()))]).ok();
    host.install(&store, blueprint.path(), &[]).ok();
    let state = fs::read_to_string(blueprint.path().join("alloy.state.yml")).unwrap();
    assert!(state.contains("listing: sha256:") && state.len() < 2000, "{state}");
    let drift = || host.drift(&store, &["--blueprint-dir", text(blueprint.path())]);
    assert!(drift().ok().stdout.starts_with("no drift: "));
    fs::write(host.at("opt/many/file777"), "other").unwrap();
    let found = drift().fails(1).stdout;
    assert!(found.starts_with("/opt/many/file777: content   tasks.yml:1 (Many)\n"), "{found}");
    // A directory that is missing is one line.
    fs::remove_dir_all(host.at("opt/many")).unwrap();
    let found = drift().fails(1).stdout;
    assert_eq!(found, "/opt/many and 1,000 paths below it are missing   tasks.yml:1 (Many)\n1001 differences\n");
    // Another store does not have the list, and says so.
    let other = Store::new();
    let found = host.drift(&other, &["--blueprint-dir", text(blueprint.path())]).fails(1).stdout;
    assert!(found.contains("Many: list of its files") && found.contains("not in this store"), "{found}");
}

#[test]
fn what_lets_somebody_in_is_shown_in_no_form() {
    let (host, store) = (Host::bare(), Store::new());
    let blueprint = tasks("- {name: Text, action: write_env_file, file: /etc/text, content: \"start\\n\"}\n");
    host.install(&store, blueprint.path(), &[]).ok();
    let secret = "hunter-7-hunter";
    let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJl";
    let lines = format!(
        "start\n<password>{secret}</password>\npassphrase \"{secret}\"\npsk={secret}\ncurl -u ann:{secret} https://h/\n\
         password: >\n  {secret}\nx: {{\n  \"api_key\":\n    \"{secret}\"\n}}\nuse {jwt}\nxoxb-1-{secret}\nport: 8080\n"
    );
    fs::write(host.at("etc/text"), lines).unwrap();
    for format in ["human", "json"] {
        let said = host.drift(&store, &["--blueprint-dir", text(blueprint.path()), "--format", format]).fails(1).stdout;
        assert!(!said.contains(secret) && !said.contains(jwt), "{said}");
        assert!(said.contains("port: 8080") && said.contains("<password>***</password>"), "{said}");
    }
}

#[test]
fn whose_a_state_is_is_said_the_same_by_all() {
    let (host, store) = (Host::bare(), Store::new());
    let task = |name: &str| format!("- {{name: {name}, action: write_env_file, file: /srv/{name}, content: x}}\n");
    let manifest = |name: &str| format!("name: {name}\nversion: 1.0.0\nrun_order: [a.yml]\n");
    let first: String = ["one", "two", "three", "four"].map(task).concat();
    let directory = blueprint(&[("manifest.yml", &manifest("First")), ("a.yml", &first)]);
    let place = text(directory.path());
    host.install(&store, directory.path(), &[]).ok();
    let write = |name: &str, tasks: &[&str]| {
        fs::write(directory.path().join("manifest.yml"), manifest(name)).unwrap();
        let tasks: String = tasks.iter().map(|name| task(name)).collect();
        fs::write(directory.path().join("a.yml"), tasks).unwrap();
    };
    // One of the tasks alone makes no blueprint the same.
    write("Second", &["one", "five", "six"]);
    let said = "tells of another blueprint: First (installed 20";
    for ended in [
        host.drift(&store, &["--blueprint-dir", place]),
        host.install(&store, directory.path(), &["--dry-run"]),
        host.install(&store, directory.path(), &[]),
    ] {
        let ended = ended.fails(1);
        assert!(ended.stderr.contains(said), "{}", ended.stderr);
    }
    assert!(!host.at("srv/five").exists());
    // Half of them do, whatever else it has by now.
    write("Second", &["one", "two", "five", "six", "seven"]);
    let said = "is of the blueprint `First`, installed 20";
    let ended = host.drift(&store, &["--blueprint-dir", place]).ok();
    assert!(ended.stderr.contains(said), "{}", ended.stderr);
    for more in [&["--dry-run"][..], &[]] {
        let ended = host.install(&store, directory.path(), more).ok();
        assert!(ended.stderr.contains(said), "{}", ended.stderr);
    }
    assert!(!host.install(&store, directory.path(), &[]).ok().stderr.contains("is called"));
}
