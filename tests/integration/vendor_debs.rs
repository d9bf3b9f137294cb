//! Packages of no archive, with what they depend on out of one.

use std::fs;

use crate::support::files::Files;
use crate::support::host::Host;
use crate::support::{Store, tasks, text};

/// Makes a package. Its script asks a running machine for things.
const PACKAGE: &str = r#"
    package() {
        mkdir -p p/DEBIAN p/usr/share/acme; echo $2 > p/usr/share/acme/$1
        printf 'Package: %s\nVersion: %s\nArchitecture: %s\nMaintainer: a <a@example.com>\nDescription: x\n' $1 $2 $3 > p/DEBIAN/control
        [ -z "$4" ] || echo "Depends: $4" >> p/DEBIAN/control
        if [ $1 = acme-probe ]; then
            printf '#!/bin/sh\nset -e\nudevadm control --reload-rules\nudevadm trigger --subsystem-match=usb\nudevadm settle\nsystemctl daemon-reload\nsystemctl restart acme\n' > p/DEBIAN/postinst
            chmod 755 p/DEBIAN/postinst
        fi
        dpkg-deb --root-owner-group -b p $1.deb > /dev/null; rm -r p
    }
    package acme-probe 2:1.0-1 all acme-tool
    package acme-other 1.0 s390x ''
    package acme-tool 1.0 all ''
    { dpkg-deb -f acme-tool.deb; echo Filename: acme-tool.deb; echo Size: $(stat -c %s acme-tool.deb)
      echo SHA256: $(sha256sum < acme-tool.deb | cut -d' ' -f1); } > Packages
    printf 'Date: Thu, 01 Jan 2026 00:00:00 UTC\nSHA256:\n %s %s Packages\n' \
        $(sha256sum < Packages | cut -d' ' -f1) $(stat -c %s Packages) > Release
    : > empty.deb; echo '<!DOCTYPE html><html>login</html>' > page.deb
"#;

fn archive() -> Files {
    let files = Files::serve();
    files.script(PACKAGE);
    files
}

/// No other archive is asked than that of the test.
fn on(files: &Files, task: &str) -> String {
    format!(
        "- {{name: alone, action: run_command, reason: test, command: 'rm -f /etc/apt/sources.list.d/* /etc/apt/sources.list'}}\n\
         - {{name: source, action: write_env_file, file: /etc/apt/sources.list.d/acme.list, content: \"deb [trusted=yes] {} ./\\n\"}}\n\
         {task}",
        files.url("")
    )
}

const LOOK: &str = "set -e; cat /usr/share/acme/acme-probe; dpkg-query -W -f '${Version} ${Status}\\n' acme-probe acme-tool; \
                    apt-mark showmanual | grep acme; apt-mark showauto | grep acme; \
                    ! find / -xdev -name '*.deb' -o -xdev -name udevadm -o -xdev -name systemctl | grep .";
const SEEN: &str = "2:1.0-1\n2:1.0-1 install ok installed\n1.0 install ok installed\nacme-probe\nacme-tool\n";

#[test]
fn a_package_brings_what_it_depends_on() {
    let (files, store) = (archive(), Store::with_base());
    let url = files.url("acme-probe.deb");
    let blueprint = tasks(&on(&files, &format!("- {{name: probe, action: apt_install, debs: ['{url}']}}\n")));
    let path = text(blueprint.path());
    let build = |more: &[&str]| store.run(&[&["build", path, "--no-attest"], more].concat());
    let said = build(&["-t", "x:1"]).ok().stderr;
    assert!(said.contains("sha256"), "an unpinned download is told: {said}");
    let looked = |image: &str| store.run(&["run", image, "--", "sh", "-c", LOOK]).ok().stdout;
    assert_eq!(looked("x:1"), SEEN);
    // Nothing is asked, and nothing done, once more.
    let again = build(&["-t", "x:1"]).ok().stderr;
    assert!(!again.contains("apt-get") && again.contains("cached"), "{again}");

    // What it is and what it brings is pinned, by alloy lock.
    let refused = build(&["--locked"]).fails(3).stderr;
    assert!(refused.contains("nothing pins the download of") && refused.contains("acme-probe.deb"), "{refused}");
    store.run(&["lock", path]).ok();
    let lock = fs::read_to_string(blueprint.path().join("alloy.lock.yml")).unwrap();
    assert!(
        lock.contains(&url) && lock.contains("package: acme-tool") && !lock.contains("package: acme-probe"),
        "{lock}"
    );
    store.run(&["lock", "--check", path]).ok();
    store.run(&["build", path, "--locked", "--no-cache", "-t", "x:2"]).ok();
    assert_eq!(looked("x:2"), SEEN);
    let sbom = store.run(&["sbom", "x:2"]).ok().stdout;
    assert!(sbom.contains(&url) && sbom.contains("acme-tool"), "{sbom}");
    // It is one package, with what was fetched for it.
    let sbom: serde_json::Value = serde_json::from_str(&sbom).unwrap();
    let named = |part: &str| {
        let all = sbom["packages"].as_array().unwrap().iter();
        all.filter(|package| package["name"].as_str().unwrap().contains(part)).collect::<Vec<_>>()
    };
    let [probe] = named("acme-probe")[..] else { panic!("{:?}", named("acme-probe")) };
    assert_eq!((&probe["name"], &probe["versionInfo"]), (&"acme-probe".into(), &"2:1.0-1".into()));
    assert_eq!(probe["downloadLocation"], url.as_str());
    assert!(probe["checksums"][0]["checksumValue"].is_string(), "{probe}");

    // Another package under the name is not what was pinned.
    let manifest =
        format!("- {{name: probe, action: apt_install, debs: [{{url: '{url}', sha256: {}}}]}}\n", "0".repeat(64));
    fs::write(blueprint.path().join("tasks.yml"), on(&files, &manifest)).unwrap();
    let stale = store.run(&["lock", "--check", path]).fails(1);
    assert!((stale.stdout + &stale.stderr).contains("probe"));
}

#[test]
fn a_package_stands_once_in_the_sbom_whatever_its_file_is_called() {
    let (files, store) = (archive(), Store::new());
    files.script("cp acme-probe.deb latest.deb");
    let url = files.url("latest.deb");
    let blueprint = tasks(&on(&files, &format!("- {{name: probe, action: apt_install, debs: ['{url}']}}\n")));
    let path = text(blueprint.path());
    for locked in [false, true] {
        if locked {
            store.run(&["lock", path]).ok();
        }
        store.run(&["build", path, "-t", "x:1"]).ok();
        let sbom: serde_json::Value = serde_json::from_str(&store.run(&["sbom", "x:1"]).ok().stdout).unwrap();
        let names = sbom["packages"].as_array().unwrap().iter().map(|package| package["name"].as_str().unwrap());
        let own: Vec<&str> = names.filter(|name| ["acme-probe", "latest.deb"].contains(name)).collect();
        assert_eq!(own, ["acme-probe"]);
        // Where it came from stands in the provenance.
        assert!(store.run(&["provenance", "x:1"]).ok().stdout.contains(&url));
    }
}

#[test]
fn a_file_of_the_blueprint_is_a_package_too() {
    let (files, store) = (archive(), Store::with_base());
    let blueprint = tasks(&on(
        &files,
        "- {name: probe, action: apt_install, packages: [acme-tool], debs: [vendor/acme-probe.deb]}\n",
    ));
    fs::create_dir(blueprint.path().join("vendor")).unwrap();
    fs::copy(files.path().join("acme-probe.deb"), blueprint.path().join("vendor/acme-probe.deb")).unwrap();
    let path = text(blueprint.path());
    store.run(&["build", path, "--no-attest", "-t", "x:1"]).ok();
    let look = "cat /usr/share/acme/acme-probe; apt-mark showmanual | grep acme";
    let looked = store.run(&["run", "x:1", "--", "sh", "-c", look]).ok().stdout;
    assert_eq!(looked, "2:1.0-1\nacme-probe\nacme-tool\n");
    store.run(&["lock", path]).ok();
    store.run(&["build", path, "--no-attest", "--locked", "--no-cache", "-t", "x:2"]).ok();
    store.run(&["lock", "--check", path]).ok();
    // Another file of that name may need something else: its pin says which one it was made for.
    files.script(&format!("{PACKAGE}package acme-probe 2:1.1-1 all ''"));
    fs::copy(files.path().join("acme-probe.deb"), blueprint.path().join("vendor/acme-probe.deb")).unwrap();
    store.run(&["lock", "--check", path]).fails(1);
    let said = store.run(&["build", path, "--no-attest", "--locked"]).fails(3).stderr;
    assert!(said.contains("are not those that alloy.lock.yml was made for"), "{said}");
    store.run(&["lock", path]).ok();
    store.run(&["build", path, "--no-attest", "--locked", "-t", "x:3"]).ok();
    let looked = store.run(&["run", "x:3", "--", "cat", "/usr/share/acme/acme-probe"]).ok().stdout;
    assert_eq!(looked, "2:1.1-1\n");
    fs::remove_file(blueprint.path().join("vendor/acme-probe.deb")).unwrap();
    let missing = store.run(&["check", path]).fails(1);
    assert!((missing.stdout + &missing.stderr).contains("vendor/acme-probe.deb"));
}

/// Packages that a vendor builds anew are often of the version that they had.
#[test]
fn a_package_that_was_built_anew_is_installed() {
    let (files, store) = (archive(), Store::with_base());
    let again = "dpkg-deb -R acme-tool.deb r; echo $NEW > r/usr/share/acme/acme-tool; \
                 echo \"$(md5sum < r/usr/share/acme/acme-tool | cut -d' ' -f1)  usr/share/acme/acme-tool\" > r/DEBIAN/md5sums; \
                 dpkg-deb --root-owner-group -b r $NEW.deb > /dev/null; rm -r r\n";
    files.script(&format!("NEW=old; {again}NEW=new; {again}"));
    let task = |name: &str, from: &str| format!("- {{name: {name}, action: apt_install, debs: [{from}.deb]}}\n");
    let blueprint = tasks(&on(&files, &(task("a", "old") + &task("again", "old") + &task("b", "new"))));
    for name in ["old.deb", "new.deb"] {
        fs::copy(files.path().join(name), blueprint.path().join(name)).unwrap();
    }
    let path = text(blueprint.path());
    let look = || store.run(&["run", "x:1", "--", "cat", "/usr/share/acme/acme-tool"]).ok().stdout;
    let said = store.run(&["build", path, "--no-attest", "-t", "x:1", "--task-output", "all"]).ok().stderr;
    assert_eq!(said.matches("Setting up acme-tool").count(), 2, "the very same is not installed twice: {said}");
    assert_eq!(look(), "new\n");
    store.run(&["lock", path]).ok();
    store.run(&["build", path, "--no-attest", "--locked", "--no-cache", "-t", "x:1"]).ok();
    assert_eq!(look(), "new\n");

    let (host, one) = (Host::debian(), tasks(&on(&files, &task("a", "vendor"))));
    let install = || {
        let arguments = ["install", "--blueprint-dir", text(one.path()), "--root", text(host.path())];
        store.run(&arguments).ok();
        host.read("usr/share/acme/acme-tool")
    };
    for name in ["old", "new"] {
        fs::copy(files.path().join(format!("{name}.deb")), one.path().join("vendor.deb")).unwrap();
        assert_eq!(install(), format!("{name}\n"));
    }
    // What it is made of is known afterwards, too.
    let drift = || store.run(&["drift", "--blueprint-dir", text(one.path()), "--root", text(host.path())]);
    let said = drift().ok();
    assert!((said.stdout + &said.stderr).contains("1 package"));
    crate::support::tool("chroot", &[text(host.path()), "dpkg", "--purge", "acme-tool"]).ok();
    let said = drift().fails(1);
    assert!((said.stdout + &said.stderr).contains("acme-tool"));
}

#[test]
fn of_a_name_there_is_one_package() {
    let (files, store) = (archive(), Store::with_base());
    files.script(&format!(
        "{PACKAGE}mv acme-tool.deb one.deb; package acme-tool 1.1 all ''; mv acme-tool.deb other.deb"
    ));
    let of = |one: &str, other: &str| {
        tasks(&on(&files, &format!("- {{name: tool, action: apt_install, debs: ['{one}', '{other}']}}\n")))
    };
    let blueprint = of("one.deb", "other.deb");
    for name in ["one.deb", "other.deb"] {
        fs::copy(files.path().join(name), blueprint.path().join(name)).unwrap();
    }
    let said = store.run(&["check", text(blueprint.path())]).fails(1);
    let said = said.stdout + &said.stderr;
    assert!(said.contains("other.deb is acme-tool 1.1, and one.deb is acme-tool 1.0"), "{said}");
    let blueprint = of(&files.url("one.deb"), &files.url("other.deb"));
    let said = store.run(&["build", text(blueprint.path()), "--no-attest"]).fails(1).stderr;
    assert!(said.contains("other.deb is acme-tool 1.1, and") && said.contains("one.deb is acme-tool 1.0"), "{said}");
    files.script("cp one.deb other.deb");
    let said = store.run(&["build", text(blueprint.path()), "--no-attest"]).fails(1).stderr;
    assert!(said.contains("leave the other out of `debs`"), "{said}");
}

/// What somebody has installed stays on a host; in an image, it is told.
#[test]
fn what_goes_for_another_is_told() {
    let (files, store) = (archive(), Store::with_base());
    files.script(
        "dpkg-deb -R acme-tool.deb r; printf 'Package: acme-foe\\nVersion: 1\\nArchitecture: all\\nConflicts: acme-tool\\nMaintainer: a <a@example.com>\\nDescription: x\\n' > r/DEBIAN/control
         rm -r r/usr; dpkg-deb --root-owner-group -b r acme-foe.deb > /dev/null",
    );
    let task = |name: &str| {
        format!("- {{name: {name}, action: apt_install, debs: ['{}']}}\n", files.url(&format!("{name}.deb")))
    };
    let blueprint = tasks(&on(&files, &(task("acme-tool") + &task("acme-foe"))));
    let said = store.run(&["build", text(blueprint.path()), "--no-attest", "-t", "x:1"]).ok().stderr;
    assert!(said.contains("acme-foe: apt has removed acme-tool for what it was to install"), "{said}");
    store.run(&["lock", text(blueprint.path())]).ok();
    let locked = ["build", text(blueprint.path()), "--no-attest", "--locked", "--no-cache"];
    assert!(store.run(&locked).ok().stderr.contains("apt has removed acme-tool"));

    let (host, foe) = (Host::debian(), tasks(&on(&files, &task("acme-foe"))));
    let tool = tasks(&on(&files, &task("acme-tool")));
    let install = |blueprint: &str| store.run(&["install", "--blueprint-dir", blueprint, "--root", text(host.path())]);
    install(text(tool.path())).ok();
    let said = install(text(foe.path())).fails(1).stderr;
    assert!(said.contains("apt would remove acme-tool for what it is to install"), "{said}");
    assert!(said.contains("apt-get remove -y acme-tool"), "{said}");
    assert_eq!(host.read("usr/share/acme/acme-tool"), "1.0\n");
    crate::support::tool("chroot", &[text(host.path()), "dpkg", "--purge", "acme-tool"]).ok();
    install(text(foe.path())).ok();
}

/// What has no network can be pinned, and is asked for nothing then.
#[test]
fn a_task_without_a_network_is_locked() {
    let (files, store) = (archive(), Store::with_base());
    let task = "- {name: tool, action: apt_install, packages: [acme-tool], network: none}\n";
    let blueprint = tasks(&on(&files, task));
    let path = text(blueprint.path());
    let said = store.run(&["build", path, "--no-attest"]).fails(3).stderr;
    assert!(said.contains("are not locked, and apt has no network") && said.contains("`alloy lock`"), "{said}");
    store.run(&["lock", path]).ok();
    store.run(&["build", path, "--no-attest", "--locked", "-t", "x:1"]).ok();
    store.run(&["run", "x:1", "--", "test", "-f", "/usr/share/acme/acme-tool"]).ok();
}

#[test]
fn what_cannot_be_installed_is_told() {
    let (files, store) = (archive(), Store::with_base());
    let fails = |name: &str, more: &str| {
        let entry = format!("{{url: '{}'{more}}}", files.url(name));
        let blueprint = tasks(&on(&files, &format!("- {{name: probe, action: apt_install, debs: [{entry}]}}\n")));
        store.run(&["build", text(blueprint.path()), "--no-attest"])
    };
    let said = fails("acme-other.deb", "").fails(1).stderr;
    assert!(said.contains("is a package for s390x, and this is amd64"), "{said}");
    let said = fails("page.deb", "").fails(4).stderr;
    assert!(said.contains("page.deb gave no Debian package: 34 bytes, which look like an HTML page"), "{said}");
    assert!(said.contains("tasks.yml:") && said.contains("--header") && !said.contains("alloy-failed"), "{said}");
    // The server is mended: no flag is needed.
    files.script("cp acme-other.deb page.deb");
    let said = fails("page.deb", "").fails(1).stderr;
    assert!(said.contains("is a package for s390x, and this is amd64"), "{said}");
    let said = fails("empty.deb", "").fails(4).stderr;
    assert!(said.contains("empty.deb gave no Debian package: an empty file"), "{said}");
    files.script("tar -cf archive.deb page.deb");
    let said = fails("archive.deb", "").fails(4).stderr;
    assert!(said.contains("an archive of another kind") && said.contains("name the .deb itself"), "{said}");
    // One of another architecture is nothing of this image's.
    fails("acme-other.deb", ", arch: s390x").ok();
}

#[test]
fn a_script_that_wants_a_machine_is_explained() {
    let (files, store) = (archive(), Store::with_base());
    files.script(
        "dpkg-deb -R acme-probe.deb q; printf '#!/bin/sh\\nset -e\\n/sbin/udevadm control --reload-rules\\n' > q/DEBIAN/postinst
         dpkg-deb --root-owner-group -b q acme-probe.deb > /dev/null",
    );
    let url = files.url("acme-probe.deb");
    let blueprint = tasks(&on(&files, &format!("- {{name: probe, action: apt_install, debs: ['{url}']}}\n")));
    let said = store.run(&["build", text(blueprint.path()), "--no-attest"]).fails(1).stderr;
    assert!(said.contains("wants a running udev") && said.contains("dpkg-divert"), "{said}");
    // More of systemctl than alloy's own can do.
    files.script(
        "printf '#!/bin/sh\\nset -e\\nsystemctl enable acme\\n' > q/DEBIAN/postinst
         dpkg-deb --root-owner-group -b q acme-enable.deb > /dev/null",
    );
    let task = format!("- {{name: probe, action: apt_install, debs: ['{}']}}\n", files.url("acme-enable.deb"));
    let said = store.run(&["build", text(tasks(&on(&files, &task)).path()), "--no-attest"]).fails(1).stderr;
    assert!(said.contains("with the package `systemd`, installed by a task before"), "{said}");
    // What it says helps.
    let divert = format!(
        "- {{name: divert, action: run_command, reason: test, command: dpkg-divert --rename --add /bin/udevadm && ln -s /bin/true /sbin/udevadm}}\n\
         - {{name: probe, action: apt_install, debs: ['{url}']}}\n"
    );
    let blueprint = tasks(&on(&files, &divert));
    store.run(&["build", text(blueprint.path()), "--no-attest"]).ok();
}

#[test]
fn a_machine_s_drift_is_seen() {
    let (files, store) = (archive(), Store::new());
    let blueprint = tasks(&on(
        &files,
        &format!("- {{name: probe, action: apt_install, debs: ['{}']}}\n", files.url("acme-probe.deb")),
    ));
    // A machine has an udev, and these packages' scripts ask nothing of one.
    files.script("rm -rf q; dpkg-deb -R acme-probe.deb q; rm q/DEBIAN/postinst; dpkg-deb --root-owner-group -b q acme-probe.deb > /dev/null");
    let (host, path) = (Host::debian(), text(blueprint.path()));
    let root = text(host.path());
    store.run(&["install", "--blueprint-dir", path, "--root", root]).ok();
    assert_eq!(host.read("usr/share/acme/acme-probe"), "2:1.0-1\n");
    let again = store.run(&["install", "--blueprint-dir", path, "--root", root]).ok().stderr;
    assert!(!again.contains("Setting up"), "{again}");
    let drift = || store.run(&["drift", "--blueprint-dir", path, "--root", root]);
    drift().ok();
    crate::support::tool("chroot", &[root, "dpkg", "--purge", "acme-probe"]).ok();
    let drifted = drift().fails(1);
    assert!((drifted.stdout + &drifted.stderr).contains("acme-probe"));
}
