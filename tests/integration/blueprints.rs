//! What task files do, seen in the image.

use serde_json::Value;

use crate::support::{Store, blueprint, cached, digests, repository, shared, tasks, text, tool};

#[test]
fn hello_says_hello() {
    shared().build(&[text(&repository("examples/hello")), "-t", "hello"]);
    let ended = shared().run(&["run", "hello", "printenv", "GREETING"]).ok();
    assert_eq!(ended.stdout, "Hello from a layer\n");
}

#[test]
fn every_example_can_be_read() {
    // The flagship's server is out of reach here: planned, refused at the first download, and no sooner.
    let ended =
        shared().run(&["build", text(&repository("examples/arm-none-eabi")), "-t", "x", "--platform", "linux/s390x"]);
    let ended = ended.fails(3);
    assert!(ended.stderr.contains("supports linux/amd64, linux/arm64"), "{}", ended.stderr);
}

#[test]
fn guards_owners_and_modes() {
    let blueprint = tasks(
        r#"
- {name: one, action: write_env_file, file: /srv/one, content: "1", mode: "0640", owner: "games:nogroup"}
- {name: there, action: write_env_file, file: /srv/one, content: "2", creates: /srv/one}
- {name: always, action: write_env_file, file: /srv/two, content: "2", creates: /srv/one, always_run: true}
- {name: skipped, action: write_env_file, file: /srv/three, content: "3", skip_if: "test -e /srv/two", always_run: true}
- {name: excluded, action: udev_rules, rule_file: x.rules, exclude: [docker, wsl2]}
- {name: octal, action: write_env_file, file: /srv/four, content: "4", mode: 0755}
- {name: symbols, action: write_env_file, file: /srv/five, content: "5", mode: USER_RW GROUP_R OTHER_NONE}
- {name: chmod, action: write_env_file, file: /srv/six, content: "6", mode: "u+x,go-r"}
"#,
    );
    shared().build(&[text(blueprint.path()), "-t", "guards"]);
    let shown = shared().run(&[
        "run",
        "guards",
        "--",
        "stat",
        "-c",
        "%n %a %U:%G %s",
        "/srv/one",
        "/srv/two",
        "/srv/four",
        "/srv/five",
        "/srv/six",
    ]);
    let expected = "/srv/one 640 games:nogroup 1\n/srv/two 644 root:root 1\n/srv/four 755 root:root 1\n\
                    /srv/five 640 root:root 1\n/srv/six 700 root:root 1\n";
    assert_eq!(shown.ok().stdout, expected);
    shared().run(&["run", "guards", "test", "-e", "/srv/three"]).fails(1);
}

#[test]
fn archives_of_the_blueprint_are_unpacked() {
    let blueprint = tasks(
        "- {name: unpack, action: unpack, source: tools.tar.xz, dest: /opt/tools, strip_components: 1}\n\
         - {name: inside, action: unpack, source: /opt/tools/inner.zip, dest: /opt/inner}\n",
    );
    let place = text(blueprint.path());
    let script = "mkdir -p tools/bin && echo '#!/bin/sh' > tools/bin/tool && chmod 755 tools/bin/tool && ln tools/bin/tool tools/bin/same \
                  && echo data > data && python3 -m zipfile -c tools/inner.zip data && tar cJf tools.tar.xz tools && rm -r tools";
    tool("sh", &["-c", &format!("cd {place} && {script}")]).ok();
    shared().build(&[place, "-t", "unpacked"]);
    let shown =
        shared().run(&["run", "unpacked", "--", "stat", "-c", "%n %a %h %U", "/opt/tools/bin/tool", "/opt/inner/data"]);
    assert_eq!(shown.ok().stdout, "/opt/tools/bin/tool 755 2 root\n/opt/inner/data 644 1 root\n");
}

#[test]
fn only_what_counts_changes_a_layer() {
    let store = shared();
    let one = "name: a\nversion: 1.0.0\nrun_order: [a.yml, b.yml]\nvariables: {WORD: x}\n";
    let task = |name: &str, content: &str| {
        format!(
            "# {name}\n- name: {name}\n  action: write_env_file\n  file: /srv/{{{{.Vars.WORD}}}}\n  content: {content}\n"
        )
    };
    let (first, second) = (task("first", "1"), task("second", "2"));
    let before = blueprint(&[("manifest.yml", one), ("a.yml", &first), ("b.yml", &second)]);
    store.build(&[text(before.path())]);
    // Another directory, other names and comments, the same work.
    let renamed = task("renamed", "1");
    let same = blueprint(&[("manifest.yml", one), ("a.yml", &renamed), ("b.yml", &second)]);
    let metadata = store.build(&[text(same.path())]);
    assert!(cached(&metadata).iter().all(|(_, cached)| *cached), "{metadata}");
    // A variable that is used counts.
    let metadata = store.build(&[text(before.path()), "--var", "WORD=y"]);
    assert!(cached(&metadata).iter().all(|(_, cached)| !*cached), "{metadata}");
    let metadata = store.build(&[text(before.path()), "--no-cache=b.yml"]);
    assert_eq!(cached(&metadata).iter().map(|(_, cached)| *cached).collect::<Vec<_>>(), [true, false]);
    let said = store.run(&["build", text(before.path()), "--no-cache=b.yml"]).ok().stderr;
    assert!(said.contains("b.yml is built anew: --no-cache asks for it"), "{said}");
    store.run(&["build", text(before.path()), "--no-cache=c.yml"]).fails(2);
    // `always_run` alone does not undo the cache; asked for, it does.
    let always = second.clone() + "  always_run: true\n";
    let refreshed = blueprint(&[("manifest.yml", one), ("a.yml", &first), ("b.yml", &always)]);
    store.build(&[text(refreshed.path())]);
    for (arguments, expected) in [(vec![], [true, true]), (vec!["--refresh"], [true, false])] {
        let metadata = store.build(&[vec![text(refreshed.path())], arguments].concat());
        assert_eq!(cached(&metadata).iter().map(|(_, cached)| *cached).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn a_secret_is_used_and_never_kept() {
    let blueprint = blueprint(&[
        (
            "manifest.yml",
            "name: s\nversion: 1.0.0\nrun_order: [a.yml]\nrequired_env: [{name: VENDOR_TOKEN, description: for downloads}]\n",
        ),
        (
            "a.yml",
            "- {name: use, action: run_command, reason: test, command: 'echo got $VENDOR_TOKEN and {{.Vars.VENDOR_TOKEN}}; echo -n $VENDOR_TOKEN | wc -c > /srv/length'}\n",
        ),
    ]);
    let store = Store::with_base();
    let missing = store.run(&["build", text(blueprint.path())]).fails(3);
    assert!(missing.stderr.contains("VENDOR_TOKEN is not set (for downloads)"), "{}", missing.stderr);
    let secret = "hunter2-and-more";
    let mut plain = store.alloy(&["build", text(blueprint.path()), "-t", "secret"]);
    let ended = crate::support::run(plain.env("VENDOR_TOKEN", secret)).ok();
    assert!(!ended.stderr.contains(secret) && !ended.stdout.contains(secret), "{}", ended.stderr);
    assert_eq!(store.run(&["run", "secret", "cat", "/srv/length"]).ok().stdout, format!("{}\n", secret.len()));
    tool("grep", &["-rlF", secret, text(store.path())]).fails(1);
    // Another value is the same build.
    let mut other = store.alloy(&[
        "build",
        text(blueprint.path()),
        "-t",
        "secret",
        "--metadata-file",
        text(&store.path().join("m")),
    ]);
    crate::support::run(other.env("VENDOR_TOKEN", "another")).ok();
    let metadata: Value = serde_json::from_slice(&std::fs::read(store.path().join("m")).unwrap()).unwrap();
    assert_eq!(cached(&metadata), [("a.yml".to_owned(), true)]);
}

#[test]
fn two_stores_hold_the_same_bytes() {
    let hello = repository("examples/hello");
    let (one, two) = (Store::new(), Store::new());
    let first = one.build(&[text(&hello)]);
    let second = two.build(&[text(&hello)]);
    assert_eq!(first["base"], second["base"]);
    assert_eq!(digests(&first), digests(&second));
    assert_eq!(first["containerimage.digest"], second["containerimage.digest"]);
}

#[test]
fn suites_of_both_releases() {
    // bookworm is every other test's base.
    let hello = repository("examples/hello");
    shared().build(&[text(&hello), "--base", "deb:trixie", "-t", "trixie"]);
    let script =
        "set -e; dpkg --audit; dpkg --verify; apt-get check; useradd -m ann; su ann -c id; cat /etc/debian_version";
    let ended = shared().run(&["run", "trixie", "sh", "-c", script]).ok();
    assert!(
        ended.stdout.contains("ann") && ended.stdout.lines().last().unwrap().starts_with("13."),
        "{}",
        ended.stdout
    );
    assert!(!ended.stdout.contains("missing"), "{}", ended.stdout);
}

#[test]
fn every_output_is_a_base_again() {
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
    let hello = repository("examples/hello");
    let outputs = ["oci", "oci-archive", "docker-archive", "tar", "dir"];
    let arguments: Vec<String> = outputs.iter().map(|kind| format!("type={kind},dest={}", path(kind))).collect();
    let mut all = vec![text(&hello), "-t", "again"];
    arguments.iter().for_each(|output| all.extend(["-o", output]));
    let metadata = shared().build(&all);
    let layers = metadata["base"]["layers"].as_array().unwrap().len() + 1;
    let greet = tasks(
        "- {name: more, action: run_command, reason: test, command: 'grep -q from /etc/profile.d/hello.sh && echo 1 > /srv/more'}\n",
    );
    for (kind, base) in [
        ("oci", format!("oci:{}", path("oci"))),
        ("oci", format!("oci:{}:latest", path("oci"))),
        ("oci-archive", format!("oci-archive:{}", path("oci-archive"))),
        ("docker-archive", format!("docker-archive:{}", path("docker-archive"))),
        ("tar", format!("rootfs:{}", path("tar"))),
        ("dir", format!("rootfs:{}", path("dir"))),
    ] {
        let metadata = shared().build(&[text(greet.path()), "--base", &base]);
        let found = metadata["base"]["layers"].as_array().unwrap().len();
        assert_eq!(found, if matches!(kind, "tar" | "dir") { 1 } else { layers }, "{base}");
    }
    for (program, reference) in [("oci", "oci"), ("oci-archive", "oci-archive"), ("docker-archive", "docker-archive")] {
        tool("skopeo", &["inspect", &format!("{reference}:{}", path(program))]).ok();
    }
    // What is there is not overwritten.
    let ended = shared().run(&["build", text(&hello), "-o", &format!("type=oci,dest={}", path("dir"))]).fails(1);
    assert!(ended.stderr.contains("is not an OCI layout"), "{}", ended.stderr);
}
