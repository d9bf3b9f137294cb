//! Blueprints in the shape that published ones have, with every action that they use, on a stand-in for their servers: built,
//! installed under the earlier tools' names, and installed again, where nothing is left to do.

use std::path::Path;
use std::process::Command;

use crate::crates::{CARGO, CRATES, index};
use crate::sources::repositories;
use crate::support::host::Host;
use crate::support::registry::Registry;
use crate::support::{ALLOY, Ended, blueprint, copy_of, run, shared, text};
use crate::yocto::served_as;

/// What the blueprint downloads.
const DOWNLOADS: &str = r#"
for arch in amd64 arm64; do
    mkdir -p $arch debugger/bin; echo "echo flashed on $arch" > $arch/flash; echo $arch > debugger/bin/gdb
    mkdir -p scripts; echo 2.1 > scripts/version; tar -C scripts -cf debugger/scripts.tar version
    tar -czf $arch/debugger.tar.gz debugger
done
mkdir -p gcc/bin; printf '#!/bin/sh\necho cc\n' > gcc/bin/arm-none-eabi-gcc; chmod 755 gcc/bin/arm-none-eabi-gcc; tar -cJf gcc.tar.xz gcc
printf '#!/bin/sh\ntest "$1 $2" = "-y -d" && mkdir -p "$3" && echo sdk > "$3/sdk"\n' > sdk.sh
package() {
    mkdir -p $1.d/DEBIAN $1.d/$(dirname $2); echo "$3" > $1.d/$2
    printf 'Package: %s\nVersion: 1\nArchitecture: all\nMaintainer: a <a@example.com>\nDescription: x\n' $1 > $1.d/DEBIAN/control
    dpkg-deb --root-owner-group -b $1.d $1.deb >/dev/null
}
package library usr/lib/libboard.a library; package headers usr/include/board.h headers
package rules lib/udev/rules.d/60-probe.rules 'SUBSYSTEM=="usb", MODE="0666"'
mkdir -p emulator-1 loader-1
printf '#!/bin/sh\nsed "s,@prefix@,${1#--prefix=}," Makefile.in > Makefile\n' > emulator-1/configure; chmod 755 emulator-1/configure
printf 'all:\n\techo "echo emulated" > emu\ninstall:\n\tinstall -m 755 emu @prefix@/bin/board-emu\n' > emulator-1/Makefile.in
printf 'all:\n\techo "echo loaded" > load\ninstall:\n\tinstall -m 755 load $(PREFIX)/bin/board-load\n' > loader-1/Makefile
tar -czf emulator.tar.gz emulator-1; tar -czf loader.tar.gz loader-1
"#;

/// What the base has already: developers come with it.
const MANIFEST: &str = "name: Base\nversion: 1.0.0\nrun_order: [tools.yml, more.yml]\nimage: {base: 'deb:trixie', env_from_profile: false}\n";
const MORE: &str = "- {name: more, action: apt_install, packages: [gcc, git, libc6-dev, make, openssh-client, pkg-config, python3-pip, python3-pkg-resources, python3-setuptools]}\n\
                    - {name: west, action: python_package, package: west, version: 1.2.0}\n\
                    - {name: kas, action: python_package, package: kas, version: '4.7'}\n";

/// A catalog with a compiler as an archive, west as a package and an SDK as a repository.
fn catalog(place: &Path, url: impl Fn(&str) -> String, sha256: &str) {
    let all = [
        (
            "toolchains/arm-gnu/arm-none-eabi",
            "toolchain.arm-gnu.arm-none-eabi",
            format!(
                "method: archive, host_platforms: {{linux/amd64: {{url: '{0}', sha256: {sha256}}}, linux/arm64: {{url: '{0}', sha256: {sha256}}}}}",
                url("gcc.tar.xz")
            ),
        ),
        ("tools/python/west", "tool.python.west", "method: pip, package: west, version: 1.2.0".to_owned()),
        ("sdks/vendor/sources", "sdk.vendor.sources", format!("method: git, url: '{}', version: v1", url("sdk.git"))),
    ];
    for (directory, id, provider) in all {
        let directory = place.join(directory);
        std::fs::create_dir_all(&directory).unwrap();
        let index = format!(
            "spec_version: 1\nid: {id}\ntype: index\naliases: {{stable: '13.3'}}\nversions: [{{version: '13.3', file: 13.3.yaml, status: stable}}]\n"
        );
        let version =
            format!("spec_version: 1\nid: {id}\nversion: '13.3'\nname: It\nproviders:\n  - {{id: own, {provider}}}\n");
        std::fs::write(directory.join("index.yaml"), index).unwrap();
        std::fs::write(directory.join("13.3.yaml"), version).unwrap();
    }
}

/// Files in the image, or on the host, by a name in its root.
fn check(read: impl Fn(&str) -> String) {
    for (path, wanted) in [
        ("opt/board/arm-gcc-13.3/bin/arm-none-eabi-gcc", "echo cc"),
        ("usr/local/bin/board-flash", "flashed on"),
        ("opt/board/scripts/version", "2.1"),
        ("opt/board/sdk/sdk", "sdk"),
        ("opt/board/sysroot/usr/lib/libboard.a", "library"),
        ("opt/board/sysroot/usr/include/board.h", "headers"),
        ("etc/udev/rules.d/60-board-probe.rules", "MODE=\"0666\""),
        ("opt/board/board.cmake", "cortex-m33"),
        ("etc/profile.d/60-board-pkgconfig.sh", "/opt/board/sysroot"),
        ("usr/local/bin/board-emu", "emulated"),
        ("usr/local/bin/board-load", "loaded"),
        ("opt/board/vendor-sdk/sdk.c", "one"),
        ("opt/board/workspace/modules/hal/hal.c", "hal"),
        ("opt/board/buildroot/.config", "BR2_arm=y"),
        ("home/dev/yocto/conf/local.conf", "board"),
        ("home/dev/bsp/sources/a/a", "new"),
        ("etc/profile.d/60-board.sh", "NCS_VERSION=v1 WEST=1.2.0"),
        ("etc/sudoers.d/dev", "NOPASSWD"),
    ] {
        let found = read(path);
        assert!(found.contains(wanted), "{path}: {found}");
    }
}

#[test]
fn every_action_of_published_blueprints_is_built_installed_and_done_once() {
    let served = repositories();
    let files = &served.files;
    files.script(&[CRATES, DOWNLOADS].concat());
    served_as(files, "layers", |name| files.url(name));
    let cargo_home = index(files);
    let base_blueprint = blueprint(&[("manifest.yml", MANIFEST), ("tools.yml", CARGO), ("more.yml", MORE)]);
    // A base is pinned where everybody has it.
    let registry = Registry::start();
    let base = registry.image("base:1");
    shared().build(&[text(base_blueprint.path()), "-t", &base, "--push", "--no-attest"]);

    let copy = copy_of("testdata/blueprints/published/board");
    let (path, place) = (text(copy.path()), tempfile::tempdir().unwrap());
    let from = place.path().join("catalog");
    catalog(&from, |name| files.url(name), &files.sha256("gcc.tar.xz"));
    let sha256 = |name: &str, file: &str| format!("--var={name}={}", files.sha256(file));
    let vars = [
        format!("--var=SERVER={}", files.url("").trim_end_matches('/')),
        sha256("SDK_SHA", "sdk.sh"),
        sha256("HEADERS_SHA", "headers.deb"),
        sha256("EMULATOR_SHA", "emulator.tar.gz"),
    ];
    let vars: Vec<&str> = vars.iter().map(String::as_str).collect();
    let alloy = |arguments: &[&str]| -> Ended {
        let mut command = shared().alloy(&[arguments, &vars].concat());
        run(command.env("CARGO_HOME", &cargo_home))
    };
    // As the earlier tools have it: checked before anything is pinned, and pinned offline from the catalog.
    shared().run(&["check", path]).ok();
    alloy(&["compat", "alloy-host", "resolve", path, "--catalog", text(&from)]).ok();
    let said = shared().run(&["check", path]).ok().stdout;
    assert!(said.contains("0 errors"), "{said}");
    let here = if cfg!(target_arch = "aarch64") { "linux/arm64" } else { "linux/amd64" };
    let base = ["--base", &base];
    alloy(&[&["lock", path, "--catalog", text(&from), "--platform", here], &base[..]].concat()).ok();
    alloy(&[&["build", path, "-t", "published"], &base[..]].concat()).ok();
    check(|path| shared().run(&["run", "published", "--", "cat", &format!("/{path}")]).ok().stdout);
    let said =
        shared().run(&["run", "-u", "dev", "published", "--", "bash", "-lc", "tiny-new || ~/.cargo/bin/tiny-new"]);
    assert_eq!(said.ok().stdout, "1.0.0\n");

    let host = Host::of(base_blueprint.path());
    let install = |more: &[&str]| {
        let mut command = Command::new(ALLOY);
        let arguments = ["compat", "alloy-provisioner", "-blueprint-dir", path, "--root", text(host.path())];
        command.args(arguments).args(&vars).env("ALLOY_HOME", shared().path().join("store"));
        command.env_remove("SUDO_USER").env("USER", "root").env("ALLOY_ENV_DOCKER", "1").env("CARGO_HOME", &cargo_home);
        command.env("ALLOY_BACKEND", "docker");
        command.args(["--var", "DEV_USERNAME=dev"]).args(more);
        run(&mut command).ok().stdout
    };
    let first = install(&[]);
    check(|path| host.read(path));
    assert!(!host.at("etc/board-is-no-container").exists(), "its condition asks what drives alloy: {first}");
    assert!(first.starts_with("24 done, 1 skipped"), "one of 26 tasks is left out, as its `exclude` says: {first}");
    // What never makes its `creates`, as that of the sudoers file, is done once all the same.
    let forecast = install(&["-dry-run"]);
    let runs: Vec<&str> = forecast.lines().map(str::trim).filter(|line| line.starts_with("run ")).collect();
    let left_out = runs.len() == 2 && runs[0].contains("unless its `skip_if` holds");
    assert!(left_out && runs[1].contains("Print a summary"), "{forecast}");
    let second = install(&[]);
    assert!(second.contains("\n1 done, ") || second.starts_with("1 done, "), "{second}");
    assert!(host.drift(shared(), &["--blueprint-dir", path]).ok().stdout.starts_with("no drift: "));
}
