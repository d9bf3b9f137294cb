//! `alloy install` on a host on which others are at work: links and names that they have put in its way, and archives
//! that would like to be elsewhere.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};

use crate::support::files::Files;
use crate::support::host::{Host, archive};
use crate::support::{Store, tasks, text};

/// A user of the host, whose links and names nobody may trust.
const DEV: u32 = 3211;

/// A host with a home of `dev`, and files of root that are not to be touched.
fn host() -> Host {
    let host = Host::bare();
    for directory in ["home/dev", "usr/bin", "opt", "tmp"] {
        fs::create_dir_all(host.at(directory)).unwrap();
    }
    let users = format!("root:x:0:0::/root:/bin/sh\ndev:x:{DEV}:{DEV}::/home/dev:/bin/sh\n");
    fs::write(host.at("etc/passwd"), users).unwrap();
    fs::write(host.at("etc/group"), format!("root:x:0:\ndev:x:{DEV}:\n")).unwrap();
    fs::write(host.at("etc/shadow"), "secret").unwrap();
    fs::write(host.at("usr/bin/su"), "su").unwrap();
    chown(host.at("home/dev"), Some(DEV), Some(DEV)).unwrap();
    fs::set_permissions(host.at("tmp"), PermissionsExt::from_mode(0o1777)).unwrap();
    host
}

/// A link that `dev` has made.
fn planted(host: &Host, path: &str, target: &str) {
    symlink(target, host.at(path)).unwrap();
    lchown(host.at(path), Some(DEV), Some(DEV)).unwrap();
}

/// Fails if anything of root's has changed.
fn untouched(host: &Host) {
    assert_eq!((host.read("etc/shadow").as_str(), host.read("usr/bin/su").as_str()), ("secret", "su"));
    for path in ["etc", "etc/shadow", "etc/passwd", "usr/bin", "usr/bin/su"] {
        assert_eq!(host.attributes(path).0, 0, "{path}");
    }
    let names = |directory: &str| fs::read_dir(host.at(directory)).unwrap().count();
    // The fourth is os-release.
    assert_eq!((names("etc"), names("usr/bin")), (4, 1));
}

#[test]
fn links_of_others_lead_to_nothing_of_roots() {
    for (link, target, task) in [
        (".local", "/usr", "{action: unpack, source: a.tar, dest: /home/dev/.local/bin, owner: dev}"),
        (".local", "../../usr", "{action: unpack, source: a.tar, dest: /home/dev/.local/bin, owner: dev}"),
        (".local", "/usr/bin", "{action: unpack, source: a.tar, dest: /home/dev/.local, owner: dev}"),
        (".config", "/etc", "{action: write_env_file, file: /home/dev/.config/environment, content: x, owner: dev}"),
        (".tool.env", "/etc/passwd", "{action: write_env_file, file: /home/dev/.tool.env, content: x}"),
        (".new.env", "/etc/new", "{action: write_env_file, file: /home/dev/.new.env, content: x, owner: dev}"),
    ] {
        let (host, store) = (host(), Store::new());
        planted(&host, &format!("home/dev/{link}"), target);
        let blueprint = tasks(&format!("- {}\n", task.replacen('{', "{name: Tool, ", 1)));
        archive(blueprint.path(), "echo tool > tool; tar -cf ../a.tar tool");
        let ended = host.install(&store, blueprint.path(), &[]).fails(1);
        let said = "or is in a directory of theirs, but leads to what belongs to user 0";
        assert!(ended.stderr.contains(said), "{link} to {target}:\n{}", ended.stderr);
        assert!(ended.stderr.contains("tasks.yml:1:") && ended.stderr.contains(": Tool: "), "{}", ended.stderr);
        untouched(&host);
    }
    // What leads to the user's own is followed, and so are links of root's.
    let (host, store) = (host(), Store::new());
    fs::create_dir(host.at("home/dev/tools")).unwrap();
    chown(host.at("home/dev/tools"), Some(DEV), Some(DEV)).unwrap();
    planted(&host, "home/dev/.local", "tools");
    symlink("home/dev", host.at("me")).unwrap();
    let blueprint = tasks("- {name: Tool, action: unpack, source: a.tar, dest: /me/.local/bin, owner: dev}\n");
    archive(blueprint.path(), "echo tool > tool; tar -cf ../a.tar tool");
    host.install(&store, blueprint.path(), &[]).ok();
    assert_eq!(host.attributes("home/dev/tools/bin/tool").0, DEV);
    untouched(&host);
}

#[test]
fn an_archive_stays_where_it_is_put() {
    for script in [
        "ln -s /etc l; tar -cf ../a.tar l; rm l; mkdir l; echo PWN > l/cron.evil; tar -rf ../a.tar l/cron.evil",
        "ln -s ../../etc l; tar -cf ../a.tar l; rm l; mkdir l; echo PWN > l/shadow; tar -rf ../a.tar l/shadow",
        "mkdir d; ln -s ../../../etc d/l; tar -cf ../a.tar d; rm d/l; mkdir d/l; touch d/l/x; tar -rf ../a.tar d/l/x",
    ] {
        let (host, store) = (host(), Store::new());
        let blueprint = tasks("- {name: Tool, action: unpack, source: a.tar, dest: /opt/tool, owner: dev}\n");
        archive(blueprint.path(), script);
        let ended = host.install(&store, blueprint.path(), &[]).fails(1);
        assert!(ended.stderr.contains("which the archive itself has brought"), "{}", ended.stderr);
        untouched(&host);
    }
}

#[test]
fn links_of_an_archive_lead_no_later_task_away() {
    for task in [
        "{action: unpack, source: a.tar, dest: /opt/t/lib}",
        "{action: write_env_file, file: /opt/t/usr/etc/x.env, content: x, owner: dev}",
        "{action: write_env_file, file: /opt/t/file, content: x}",
    ] {
        let (host, store) = (host(), Store::new());
        let first = "- {name: First, action: unpack, source: links.tar, dest: /opt/t}\n";
        let blueprint = tasks(&format!("{first}- {}\n", task.replacen('{', "{name: Tool, ", 1)));
        archive(
            blueprint.path(),
            "ln -s /etc lib; ln -s / usr; ln -s /etc/passwd file; tar -cf ../links.tar lib usr file",
        );
        archive(blueprint.path(), "echo tool > tool; tar -cf ../a.tar tool");
        // Also in a later run, when the first task is done.
        for _ in 0..2 {
            let ended = host.install(&store, blueprint.path(), &[]).fails(1);
            assert!(
                ended.stderr.contains("leads out of /opt/t, which an archive is unpacked into"),
                "{}",
                ended.stderr
            );
            untouched(&host);
        }
    }
}

#[test]
fn names_that_others_can_make_are_not_used() {
    let (host, store) = (Host::debian(), Store::new());
    fs::create_dir(host.at("tmp/alloy-build")).unwrap();
    fs::set_permissions(host.at("tmp/alloy-build"), PermissionsExt::from_mode(0o777)).unwrap();
    symlink("/etc/cron.d-x", host.at("tmp/alloy-sdk-installer.sh")).unwrap();
    for name in ["tmp/alloy-build", "tmp/alloy-sdk-installer.sh"] {
        lchown(host.at(name), Some(DEV), Some(DEV)).unwrap();
    }
    let server = Files::serve();
    server.script(
        "printf '#!/bin/sh\\n[ $(stat -c %%u \"$0\") = 0 ] || exit 9\\ncase $0 in /tmp/*) exit 8;; esac\\nmkdir -p /opt/sdk && echo ok > /opt/sdk/done\\n' > sdk.sh
         mkdir made; printf '#!/bin/sh\\npwd > /srv/where\\n' > made/configure; chmod 755 made/configure; printf 'all:\\n' > made/Makefile; tar -cf made.tar made",
    );
    let blueprint = tasks(&format!(
        "- {{name: Sdk, action: sdk_install, url: {}, sha256: {}, dest: /opt/sdk}}\n\
         - {{name: Made, action: build_artifact, artifact_source: {{url: {}, sha256: {}}}, make_targets: [all], destination: /opt/z}}\n",
        server.url("sdk.sh"),
        server.sha256("sdk.sh"),
        server.url("made.tar"),
        server.sha256("made.tar"),
    ));
    let ended = host.install(&store, blueprint.path(), &[]);
    assert!(host.read("srv/where").starts_with("/var/cache/alloy/step-"), "{}", ended.stderr);
    assert!(host.at("opt/sdk/done").exists(), "{}", ended.stderr);
    assert!(!host.at("etc/cron.d-x").exists(), "{}", ended.stderr);
    assert_eq!(fs::read_dir(host.at("tmp/alloy-build")).unwrap().count(), 0, "{}", ended.stderr);
    assert_eq!(host.at("tmp/alloy-build").metadata().unwrap().uid(), DEV);
}

#[test]
fn a_host_is_claimed_inside_its_root() {
    let (host, store, outside) = (host(), Store::new(), tempfile::tempdir().unwrap());
    let elsewhere = outside.path().join("lib/alloy");
    fs::create_dir_all(&elsewhere).unwrap();
    // As the host sees it, `/var` is in the root: a directory of that name outside of it is none of its.
    symlink(text(outside.path()), host.at("var")).unwrap();
    fs::create_dir_all(host.at(text(outside.path()).trim_start_matches('/'))).unwrap();
    let blueprint = tasks("- {name: Env, action: write_env_file, file: /etc/env, content: x}\n");
    host.install(&store, blueprint.path(), &[]).ok();
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
    let inside = format!("{}/lib/alloy/host", text(outside.path()).trim_start_matches('/'));
    assert!(host.at(&inside).exists());
}
