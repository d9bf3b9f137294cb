//! apt's index is that of the sources, keys and architectures that a root has when apt is asked, whatever was built before.

use crate::support::files::Files;
use crate::support::{Store, tasks, text};

/// An archive of two packages: one for all architectures, one for two of them.
fn archive() -> Files {
    let files = Files::serve();
    files.script(
        "package() {
            mkdir -p \"p/DEBIAN\" p/usr/share/acme; echo $2 > p/usr/share/acme/$1-$2
            printf 'Package: %s\\nVersion: 1.0\\nArchitecture: %s\\nMaintainer: a <a@example.com>\\nMulti-Arch: same\\nDescription: x\\n' $1 $2 > p/DEBIAN/control
            [ $2 != all ] || sed -i /Multi-Arch/d p/DEBIAN/control
            dpkg-deb --root-owner-group -b p $1_1.0_$2.deb > /dev/null; rm -r p
            dpkg-deb -f $1_1.0_$2.deb; echo Filename: $1_1.0_$2.deb; echo Size: $(stat -c %s $1_1.0_$2.deb)
            echo SHA256: $(sha256sum < $1_1.0_$2.deb | cut -d' ' -f1); echo
        }
        { package acme-tool all; package acme-lib amd64; package acme-lib i386; } > Packages
        printf 'Date: Thu, 01 Jan 2026 00:00:00 UTC\\nSHA256:\\n %s %s Packages\\n' \
            $(sha256sum < Packages | cut -d' ' -f1) $(stat -c %s Packages) > Release",
    );
    files
}

fn source(files: &Files) -> String {
    format!(
        "- {{name: source, action: write_env_file, file: /etc/apt/sources.list.d/acme.list, content: \"deb [trusted=yes] {} ./\\n\"}}\n",
        files.url("")
    )
}

/// No other archive is asked.
const ALONE: &str = "- {name: alone, action: run_command, reason: test, command: 'rm -f /etc/apt/sources.list.d/* /etc/apt/sources.list'}\n";

const PACKAGE: &str = "- {name: tool, action: apt_install, packages: [acme-tool]}\n";

#[test]
fn a_source_that_comes_after_an_installation_is_asked() {
    let (files, store) = (archive(), Store::with_base());
    let before = "- {name: before, action: apt_install, packages: [hello]}\n";
    let blueprint = tasks(&[before, &source(&files), PACKAGE].concat());
    store.run(&["lock", text(blueprint.path())]).ok();
    store.run(&["build", text(blueprint.path()), "--locked", "-t", "x:1", "--no-attest"]).ok();
    std::fs::remove_file(blueprint.path().join("alloy.lock.yml")).unwrap();
    store.run(&["build", text(blueprint.path()), "-t", "x:2", "--no-attest", "--no-cache"]).ok();
    for image in ["x:1", "x:2"] {
        store.run(&["run", image, "--", "test", "-f", "/usr/share/acme/acme-tool-all"]).ok();
    }
}

#[test]
fn an_architecture_that_comes_after_an_installation_is_asked_for() {
    let (files, store) = (archive(), Store::with_base());
    let add = "- {name: arch, action: run_command, reason: test, command: dpkg --add-architecture i386}\n";
    let foreign = "- {name: foreign, action: apt_install, packages: ['acme-lib:i386']}\n";
    // The package of the other architecture is not the one that a bare name means.
    let native = "- {name: native, action: apt_install, packages: [acme-lib]}\n";
    let blueprint = tasks(&[ALONE, &source(&files), PACKAGE, add, foreign, native].concat());
    store.run(&["build", text(blueprint.path()), "-t", "x:1", "--no-attest"]).ok();
    let look = "ls /usr/share/acme | xargs; apt-mark showmanual | grep acme | xargs";
    let said = store.run(&["run", "x:1", "--", "sh", "-c", look]).ok().stdout;
    assert_eq!(said, "acme-lib-amd64 acme-lib-i386 acme-tool-all\nacme-lib acme-lib:i386 acme-tool\n");
    // The same from a lockfile.
    store.run(&["lock", text(blueprint.path())]).ok();
    store.run(&["build", text(blueprint.path()), "--locked", "-t", "x:2", "--no-attest"]).ok();
    assert_eq!(store.run(&["run", "x:2", "--", "sh", "-c", look]).ok().stdout, said);
}

#[test]
fn an_empty_list_refreshes_for_what_has_changed() {
    let (files, store) = (archive(), Store::with_base());
    let refresh = "- {name: refresh, action: apt_install, packages: []}\n";
    let install = "- {name: install, action: run_command, reason: test, command: './x'}\n";
    // Nobody sees from the command that it uses apt.
    let script = "- {name: script, action: write_env_file, file: /x, mode: '0755', content: \"#!/bin/sh\\napt-get install -y acme-tool\\n\"}\n";
    let all = |refresh: &str| tasks(&[ALONE, refresh, &source(&files), refresh, script, install].concat());
    store.run(&["build", text(all(refresh).path()), "-t", "x:1", "--no-attest"]).ok();
    store.run(&["run", "x:1", "--", "test", "-f", "/usr/share/acme/acme-tool-all"]).ok();
    // What another build has fetched is no index of this one.
    let said = store.run(&["build", text(all("").path()), "-t", "x:2", "--no-attest"]).fails(1).stderr;
    assert!(said.contains("Unable to locate package acme-tool"), "{said}");
}

#[test]
fn an_index_does_not_depend_on_other_builds() {
    let (files, store) = (archive(), Store::with_base());
    let manifest = "name: Test\nversion: 1.0.0\nrun_order: [a.yml, b.yml]\n";
    let update = "- {name: update, action: run_command, reason: test, command: apt-get update}\n";
    let first = [&source(&files), update].concat();
    let install = |note: &str| {
        format!(
            "- {{name: b, action: run_command, reason: {note}, command: 'apt-get install -y acme-tool # {note}'}}\n"
        )
    };
    let blueprint = |note: &str| {
        crate::support::blueprint(&[("manifest.yml", manifest), ("a.yml", &first), ("b.yml", &install(note))])
    };
    let build = |directory: &tempfile::TempDir| store.run(&["build", text(directory.path()), "--no-attest"]).ok();
    build(&blueprint("one"));
    build(&tasks("- {name: other, action: apt_install, packages: [hello]}\n"));
    build(&blueprint("two"));
}

#[test]
fn packages_are_told_the_answers_before_they_ask() {
    let task = "- {name: zone, action: apt_install, packages: [tzdata], debconf: ['tzdata tzdata/Areas select Europe', 'tzdata tzdata/Zones/Europe select Berlin']}\n";
    let (store, directory) = (Store::with_base(), tasks(task));
    store.run(&["build", text(directory.path()), "-t", "x:1", "--no-attest"]).ok();
    assert_eq!(store.run(&["run", "x:1", "--", "cat", "/etc/timezone"]).ok().stdout, "Europe/Berlin\n");
}

#[test]
fn a_base_has_the_components_that_were_asked_for() {
    let (store, directory) =
        (Store::new(), tasks("- {name: one, action: apt_install, packages: [isight-firmware-tools]}\n"));
    let build = |base: &str| store.run(&["build", text(directory.path()), "--base", base, "-t", "x:1", "--no-attest"]);
    let said = build("deb:bookworm?components=main").fails(1).stderr;
    assert!(said.contains("Unable to locate package"), "{said}");
    let said = build("deb:bookworm?components=main,nowhere").fails(2).stderr;
    assert!(said.contains("bookworm has no component `nowhere`: it has contrib, main, non-free"), "{said}");
    build("deb:bookworm?components=main,contrib").ok();
    let manifest =
        "name: x\nversion: 1.0.0\nrun_order: [t.yml]\nimage: {base: 'deb:bookworm?components=main,contrib'}\n";
    let locked = crate::support::blueprint(&[("manifest.yml", manifest), ("t.yml", "[]")]);
    store.run(&["lock", text(locked.path())]).ok();
    store.run(&["build", text(locked.path()), "--locked", "-t", "x:2", "--no-attest"]).ok();
    let said = store.run(&["run", "x:2", "--", "cat", "/etc/apt/sources.list.d/debian.sources"]).ok().stdout;
    assert!(said.contains("Components: main contrib\n"), "{said}");
}
