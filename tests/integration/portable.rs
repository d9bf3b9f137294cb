//! Archives as layers of their own.

use std::io::Write;
use std::path::Path;

use layers::root::Root;
use layers::tree;

use crate::support::{Store, blueprint, cached, digests, shared, text, tool};

const MANIFEST: &str = "name: Portable\nversion: 1.0.0\nrun_order: [a.yml, b.yml, c.yml]\n";

/// A small toolchain in all the shapes that archives have.
fn archive(directory: &Path, name: &str) {
    let script = format!(
        "mkdir -p w/gcc/bin w/gcc/lib && cd w && echo '#!/bin/sh' > gcc/bin/gcc && chmod 4755 gcc/bin/gcc \
         && ln gcc/bin/gcc gcc/bin/cc && ln -s ../lib gcc/bin/lib && mkfifo gcc/lib/pipe && head -c 300000 /dev/zero > gcc/lib/big \
         && touch -d 2031-01-01 gcc/lib/new && touch -d 2001-01-01 gcc/lib/old && chmod 700 gcc/lib && tar --owner=0 --group=0 -cJf ../{name} gcc && cd .. && rm -r w"
    );
    tool("sh", &["-c", &format!("cd {} && {script}", text(directory))]).ok();
}

#[test]
fn one_layer_for_every_blueprint_and_base() {
    let store = shared();
    let task = "- {name: Gcc, action: unpack, source: gcc.tar.xz, dest: /opt/gcc, strip_components: 1}\n";
    let command = |word: &str| {
        format!("- {{name: Run, action: run_command, reason: test, command: 'echo {word} > /srv/{word}'}}\n")
    };
    let first = blueprint(&[
        ("manifest.yml", MANIFEST),
        ("a.yml", &command("one")),
        ("b.yml", task),
        ("c.yml", &command("two")),
    ]);
    archive(first.path(), "gcc.tar.xz");
    let built = store.build(&[text(first.path())]);
    // What `creates` names is not what comes of it.
    let lost = task.replace("strip_components: 1", "strip_components: 1, creates: /opt/gcc/gcc/bin/gcc");
    let third = blueprint(&[("manifest.yml", MANIFEST), ("a.yml", &lost), ("b.yml", "[]"), ("c.yml", "[]")]);
    std::fs::copy(first.path().join("gcc.tar.xz"), third.path().join("gcc.tar.xz")).unwrap();
    let said = store.run(&["build", text(third.path()), "--no-cache=a.yml"]).ok().stderr;
    assert!(said.contains("Gcc: it succeeded, and did not make /opt/gcc/gcc/bin/gcc"), "{said}");
    // Another blueprint, where it stands between other tasks of one file, on another base.
    let mixed = format!("{}{task}{}", command("three"), command("four"));
    let second =
        blueprint(&[("manifest.yml", MANIFEST), ("a.yml", &mixed), ("b.yml", "[]"), ("c.yml", &command("five"))]);
    std::fs::copy(first.path().join("gcc.tar.xz"), second.path().join("gcc.tar.xz")).unwrap();
    let planned = store.run(&["plan", text(second.path()), "--base", "deb:trixie"]).ok();
    assert!(planned.stdout.contains("a.yml: Gcc: cached"), "{}", planned.stdout);
    let other = store.build(&[text(second.path()), "--base", "deb:trixie"]);
    let expected = [("a.yml", false), ("a.yml: Gcc", true), ("a.yml (2)", false), ("b.yml", false), ("c.yml", false)];
    assert_eq!(cached(&other), expected.map(|(name, cached)| (name.to_owned(), cached)));
    assert_eq!(digests(&other)[1], digests(&built)[1]);
    // One layer a file, if that is asked for.
    let files = store.build(&[text(second.path()), "--layers", "file"]);
    assert_eq!(cached(&files).len(), 3);
}

#[test]
fn the_same_tree_as_one_after_the_other() {
    let store = shared();
    let tasks = "\
- {name: User, action: run_command, reason: test, command: 'useradd -u 1234 dev && mkdir -m 2750 /opt/odd && ln -s /opt/odd /opt/link'}
- {name: Plain, action: unpack, source: gcc.tar.xz, dest: /opt}
- {name: Stripped, action: unpack, source: gcc.tar.xz, dest: /opt/stripped/deep, strip_components: 1}
- {name: Linked, action: unpack, source: gcc.tar.xz, dest: /lib/linked}
- {name: Owned, action: unpack, source: gcc.tar.xz, dest: /srv/owned, owner: 'dev:games', mode: 'u+x,go-w'}
- {name: Odd, action: unpack, source: gcc.tar.xz, dest: /opt/link/inner}
- {name: Mode, action: unpack, source: gcc.tar.xz, dest: /srv/mode, mode: '0750'}
- {name: There, action: unpack, source: gcc.tar.xz, dest: /srv/there, creates: /opt/gcc/bin/gcc}
- {name: Again, action: unpack, source: gcc.tar.xz, dest: /opt}
- {name: Short, action: unpack, source: gcc.tar.xz, dest: /tmp/gone}
";
    let directory = blueprint(&[("manifest.yml", MANIFEST), ("a.yml", tasks), ("b.yml", "[]"), ("c.yml", "[]")]);
    archive(directory.path(), "gcc.tar.xz");
    let outputs = tempfile::tempdir().unwrap();
    let tree = |layering: &str| {
        let place = outputs.path().join(layering);
        let output = format!("type=dir,dest={}", text(&place));
        let built = store.build(&[text(directory.path()), "--layers", layering, "-o", &output]);
        let mut tree = tree::read(&Root::open(&place).unwrap()).unwrap();
        // The directory that was written to is no part of the image.
        tree.remove(Path::new(""));
        (tree, cached(&built).len())
    };
    let ((portable, layers), (file, files)) = (tree("portable"), tree("file"));
    let found = tree::difference(&portable, &file);
    assert!(found.is_empty(), "{found:#?}");
    assert_eq!((layers, files), (12, 3));
    assert!(portable.contains_key(Path::new("usr/lib/linked/gcc/bin/gcc")));
    assert!(!portable.contains_key(Path::new("srv/there")));
    assert_eq!(portable[Path::new("srv/owned/gcc/bin/gcc")].uid, 1234);
    assert_eq!(portable[Path::new("opt/gcc/bin/gcc")].mode, 0o4755);
}

#[test]
fn what_comes_out_the_same_below_keeps_what_is_above() {
    let store = shared();
    let a = |comment: &str| {
        format!("- {{name: A, action: run_command, reason: test, command: 'echo same > /srv/cutoff {comment}'}}\n")
    };
    let c = "- {name: C, action: run_command, reason: test, command: 'cat /srv/cutoff > /srv/above'}\n";
    let directory = blueprint(&[("manifest.yml", MANIFEST), ("a.yml", &a("# once")), ("b.yml", "[]"), ("c.yml", c)]);
    store.build(&[text(directory.path())]);
    std::fs::write(directory.path().join("a.yml"), a("# again")).unwrap();
    let built = store.build(&[text(directory.path())]);
    assert_eq!(cached(&built).iter().map(|(_, cached)| *cached).collect::<Vec<_>>(), [false, true, true]);
    std::fs::write(directory.path().join("a.yml"), a("&& echo more >> /srv/cutoff")).unwrap();
    let built = store.build(&[text(directory.path())]);
    assert_eq!(cached(&built).iter().map(|(_, cached)| *cached).collect::<Vec<_>>(), [false, false, false]);
}

#[test]
fn archives_that_need_the_root_are_unpacked_there() {
    let store = shared();
    let directory = blueprint(&[
        ("manifest.yml", MANIFEST),
        ("a.yml", "- {name: Twice, action: unpack, source: twice.tar, dest: /opt/twice}\n"),
        ("b.yml", "[]"),
        ("c.yml", "[]"),
    ]);
    let script = "echo one > f && tar cf twice.tar f && echo two > f && tar rf twice.tar f && rm f";
    tool("sh", &["-c", &format!("cd {} && {script}", text(directory.path()))]).ok();
    let ended = store.run(&["build", text(directory.path()), "-t", "twice"]).ok();
    assert!(ended.stderr.contains("becomes a layer where it is unpacked: it has a name twice"), "{}", ended.stderr);
    assert_eq!(store.run(&["run", "twice", "cat", "/opt/twice/f"]).ok().stdout, "two\n");
    // A broken one is told of as the task that it is.
    std::fs::File::create(directory.path().join("twice.tar")).unwrap().write_all(&[7; 4096]).unwrap();
    let ended = store.run(&["build", text(directory.path())]).fails(1);
    assert!(
        ended.stderr.contains("not an archive that alloy knows") && ended.stderr.contains("a.yml:1"),
        "{}",
        ended.stderr
    );
}

#[test]
fn no_more_layers_than_runtimes_stack() {
    let store = Store::with_base();
    let names: Vec<String> = (0..130).map(|n| format!("{n:03}.yml")).collect();
    let manifest =
        format!("name: Many\nversion: 1.0.0\nrun_order: [{}]\nimage: {{env_from_profile: false}}\n", names.join(", "));
    let file = |n: &str| format!("- {{name: W, action: write_env_file, file: /srv/{n}, content: '{n}'}}\n");
    let directory = blueprint(&[("manifest.yml", &manifest)]);
    for name in &names {
        std::fs::write(directory.path().join(name), file(name)).unwrap();
    }
    let built = store.build(&[text(directory.path()), "-t", "many"]);
    assert_eq!(cached(&built).len(), 65);
    assert_eq!(store.run(&["run", "many", "sh", "-c", "ls /srv | wc -l"]).ok().stdout.trim(), "130");
    // As many as fit stay apart, and the kernel mounts them all.
    let fits = manifest.replace(&format!(", {}", names[110..].join(", ")), "");
    std::fs::write(directory.path().join("manifest.yml"), fits).unwrap();
    let built = store.build(&[text(directory.path()), "-t", "fits"]);
    assert_eq!(cached(&built).len(), 110);
    assert_eq!(store.run(&["run", "fits", "sh", "-c", "ls /srv | wc -l"]).ok().stdout.trim(), "110");
}
