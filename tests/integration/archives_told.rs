//! What is said of archives and installers that fail or leave something out, and what becomes of holes.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::support::files::Files;
use crate::support::{blueprint, shared, tasks, text, with_tools};

#[test]
fn an_archive_that_fails_is_named_and_can_be_looked_into() {
    let files = Files::serve();
    files.script(
        "head -c 90000 /dev/urandom > x; tar -cf good.tar x; bzip2 -k good.tar; head -c 40000 good.tar.bz2 > cut.tar.bz2
        zip -q good.zip x; head -c 40000 good.zip > cut.zip
        mknod null c 1 3; tar -cjf null.tar.bz2 null x; head -c 40000 null.tar.bz2 > null-cut.tar.bz2",
    );
    let of = |name: &str| format!("url: '{}', sha256: {}", files.url(name), files.sha256(name));
    for (name, fields, wrong, looks) in [
        (
            "cut.tar.bz2",
            "strip_components: 0",
            "the bzip2 stream is cut off",
            "a tar archive compressed with bzip2: `tar -tjf /",
        ),
        // One that becomes no layer of its own.
        (
            "null-cut.tar.bz2",
            "creates: /opt/other",
            "the bzip2 stream is cut off",
            "a tar archive compressed with bzip2: `tar -tjf /",
        ),
        (
            "cut.zip",
            "owner: '1:1'",
            "cannot read the zip archive: the records of its end are damaged or missing",
            "a zip archive: `unzip -t /",
        ),
    ] {
        let task = format!("- {{name: a, action: unarchive_from_url, dest: /opt/a, {fields}, {}}}\n", of(name));
        let said = shared().run(&["build", text(tasks(&task).path())]).fails(1).stderr;
        let column = task.find("'http").unwrap() + 1;
        for wanted in [
            format!("tasks.yml:1:{column}: a: cannot unpack {}: ", files.url(name)),
            wrong.to_owned(),
            format!("has 40000 bytes, and looks like {looks}"),
        ] {
            assert!(said.contains(&wanted), "{wanted} is not in:\n{said}");
        }
        assert!(!said.contains("alloy-failed") && !said.contains("is forgotten"), "{said}");
    }
    // What nothing pins is asked for again.
    let task =
        format!("- {{name: a, action: unarchive_from_url, dest: /opt/a, url: '{}'}}\n", files.url("cut.tar.bz2"));
    let said = shared().run(&["build", text(tasks(&task).path())]).fails(1).stderr;
    assert!(said.contains("`tar -tjf /") && said.contains("is forgotten, and asked for again"), "{said}");
    // What is wrong with a field is shown at that field.
    let task = format!(
        "- {{name: a, action: unarchive_from_url, dest: /opt/a, strip_components: 7, {}}}\n",
        of("good.tar.bz2")
    );
    let said = shared().run(&["build", text(tasks(&task).path())]).fails(1).stderr;
    let column = task.find("7,").unwrap() + 1;
    assert!(
        said.contains(&format!("tasks.yml:1:{column}: a: cannot unpack ")) && said.contains("`tar -tjf /"),
        "{said}"
    );
    // A file of the blueprint, and one of the image, where a look inside helps.
    let local = blueprint(&[
        ("manifest.yml", "name: Test\nversion: 1.0.0\nrun_order: [a.yml]\n"),
        ("a.yml", "- {name: a, action: unpack, source: ./archive.tar, dest: /opt/a}\n"),
        ("archive.tar", "Not an archive.\n"),
    ]);
    let said = shared().run(&["build", text(local.path())]).fails(1).stderr;
    for wanted in ["a.yml:1:37: a: cannot unpack archive.tar: ", "has 16 bytes, and looks like a text: `file /"] {
        assert!(said.contains(wanted), "{said}");
    }
    assert!(!said.contains("alloy-failed"), "{said}");
    let inside = tasks(
        "- {name: a, action: run_command, reason: test, command: echo something > /srv/x.tar}\n\
         - {name: b, action: unpack, source: /srv/x.tar, dest: /opt/a}\n",
    );
    let said = shared().run(&["build", text(inside.path())]).fails(1).stderr;
    for wanted in
        ["tasks.yml:2:37: b: cannot unpack /srv/x.tar: ", "a text: `file /srv/x.tar`", "alloy run alloy-failed"]
    {
        assert!(said.contains(wanted), "{said}");
    }
}

#[test]
fn an_archive_that_is_read_as_tar_reads_it_is_warned_of() {
    let files = Files::serve();
    files.script(
        "echo x > first; cp first last; tar -cf one.tar first; tar -cf two.tar last; cat one.tar two.tar > both.tar
        mknod null c 1 3; tar -cf device.tar null; (cat one.tar; echo signature) > joined.tar; (tar -cf - first null | bzip2; echo signature) > signed.tar.bz2",
    );
    let of = |name: &str| format!("url: '{}', sha256: {}", files.url(name), files.sha256(name));
    // As a layer of its own, and where it goes.
    let blueprint = tasks(&format!(
        "- {{name: a, action: unarchive_from_url, dest: /opt/a, {}}}\n- {{name: b, action: unarchive_from_url, dest: /opt/b, {}}}\n\
         - {{name: c, action: unarchive_from_url, dest: /opt/c, {}}}\n",
        of("both.tar"),
        of("signed.tar.bz2"),
        of("joined.tar"),
    ));
    let ended = shared().run(&["build", text(blueprint.path()), "-t", "warned", "--no-cache"]).ok();
    for wanted in [
        ": a: another archive follows the end of this one: `last`",
        ": b: what follows the end of its bzip2 stream",
        ": c: something that is no archive follows the end of this one",
    ] {
        assert!(ended.stderr.contains(wanted), "{wanted} is not in:\n{}", ended.stderr);
    }
    shared().run(&["run", "warned", "--", "sh", "-c", "test -e /opt/a/first && test -e /opt/b/first"]).ok();
}

#[test]
fn an_installer_that_installs_nothing_has_not_succeeded() {
    let files = Files::serve();
    files.script(
        r#"printf '#!/bin/sh\nmkdir -p /usr/local/sdk/bin\n' > elsewhere.sh
        printf '#!/bin/sh\nprintf "Proceed [Y/n]? "; read answer || exit 0\n' > asks.sh
        printf '#!/bin/sh\necho Welcome.; printf "Where to: "; read place || exit 3\n' > fails.sh"#,
    );
    let of = |name: &str| format!("url: '{}', sha256: {}", files.url(name), files.sha256(name));
    for (name, wrong, helps) in [
        ("elsewhere.sh", "there is nothing in /opt/sdk, which its `dest` names", "name in `dest` where it installs to"),
        ("asks.sh", "there is nothing in /opt/sdk, which its `dest` names", "it asks (`Proceed [Y/n]?`)"),
        ("fails.sh", "the command failed (exit status 3)", "it asks (`Where to:`)"),
    ] {
        let blueprint = with_tools(&format!("- {{name: sdk, action: sdk_install, {}, dest: /opt/sdk}}\n", of(name)));
        let said = shared().run(&["build", text(blueprint.path())]).fails(1).stderr;
        for wanted in ["tasks.yml:1:", ": sdk: ", wrong, helps, "`args`", "alloy run alloy-failed"] {
            assert!(said.contains(wanted), "{wanted} is not in:\n{said}");
        }
    }
}

#[test]
fn what_cannot_be_run_is_no_installer() {
    let files = Files::serve();
    files.script(": > empty.sh; echo '<html><title>Log in</title>' > page.sh; echo x | gzip > packed.sh");
    for (name, looks, helps) in [
        ("empty.sh", "gave no installer: an empty file", "the server gave nothing"),
        ("page.sh", "28 bytes, which look like an HTML page", "look at what the URL gives"),
        ("packed.sh", "which look like one compressed file that is no tar", "unpack it first"),
    ] {
        let fields = format!("url: '{}', sha256: {}", files.url(name), files.sha256(name));
        let blueprint = tasks(&format!("- {{name: sdk, action: sdk_install, {fields}, dest: /opt/sdk}}\n"));
        let said = shared().run(&["build", text(blueprint.path())]).fails(4).stderr;
        for wanted in [&format!("{} gave no installer: ", files.url(name)), looks, helps, "tasks.yml:1:"] {
            assert!(said.contains(wanted), "{wanted} is not in:\n{said}");
        }
    }
}

/// Bytes that a file takes, and those that it has.
fn room(path: &Path) -> (u64, u64) {
    let metadata = path.metadata().unwrap();
    (metadata.blocks() * 512, metadata.len())
}

#[test]
fn holes_of_archives_are_holes_wherever_they_are_unpacked() {
    const KINDS: [(&str, &str); 5] = [
        ("gnu", "--format=gnu"),
        ("p00", "--format=posix --sparse-version=0.0"),
        ("p01", "--format=posix --sparse-version=0.1"),
        ("p10", "--format=posix --sparse-version=1.0"),
        ("oldgnu", "--format=oldgnu"),
    ];
    let files = Files::serve();
    files.script("truncate -s 20M sparse; for at in 0 3 1200 4000; do printf data | dd of=sparse bs=4096 seek=$at conv=notrunc status=none; done; mknod null c 1 3");
    let mut text_of_tasks = String::new();
    for (name, options) in KINDS {
        files.script(&format!("tar {options} -cSf {name}.tar sparse; tar {options} -cSf in-{name}.tar sparse null"));
        for archive in [name.to_owned(), format!("in-{name}")] {
            let (url, sha256) = (files.url(&format!("{archive}.tar")), files.sha256(&format!("{archive}.tar")));
            text_of_tasks += &format!(
                "- {{name: {archive}, action: unarchive_from_url, url: '{url}', sha256: {sha256}, dest: /opt/{archive}}}\n"
            );
        }
    }
    let out = tempfile::tempdir().unwrap();
    let output = |kind: &str| format!("type={kind},dest={}", text(&out.path().join(kind)));
    let blueprint = tasks(&text_of_tasks);
    shared().build(&[text(blueprint.path()), "-t", "holes", "-o", &output("dir"), "-o", &output("tar")]);
    let shown =
        shared().run(&["run", "holes", "--", "sh", "-c", "du -k /opt/*/sparse; cat /opt/*/sparse | sha256sum"]).ok();
    let content = std::fs::read(files.path().join("sparse")).unwrap();
    let digest = layers::digest::Digest::of(content.repeat(2 * KINDS.len())).hex();
    assert!(shown.stdout.contains(&digest), "{}", shown.stdout);
    let sizes: Vec<u64> = shown.stdout.lines().filter_map(|line| line.split_once("\t/opt/")?.0.parse().ok()).collect();
    assert_eq!(sizes.len(), 2 * KINDS.len(), "{}", shown.stdout);
    assert!(sizes.iter().all(|size| *size <= 64), "{}", shown.stdout);
    for (name, _) in KINDS {
        for archive in [name.to_owned(), format!("in-{name}")] {
            let (takes, has) = room(&out.path().join("dir/opt").join(&archive).join("sparse"));
            assert!(takes <= 64 << 10 && has == 20 << 20, "{archive}: {takes} of {has}");
        }
    }
    // A tar that everybody can read has all the zeros, and takes no room for them where it is a file.
    let (takes, has) = room(&out.path().join("tar"));
    assert!(has > 200 << 20 && takes < has - (190 << 20), "{takes} of {has}");
}
