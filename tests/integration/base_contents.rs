//! What a base of packages has, and what no layer has.

use crate::support::{Store, blueprint, text, tool};

fn manifest(base: &str) -> String {
    format!(
        "name: Bare\nversion: 1.0.0\nrun_order: [a.yml, b.yml]\nimage: {{env_from_profile: false, base: '{base}'}}\n"
    )
}

/// Names in the root file system that `store` builds of this.
fn names(store: &Store, base: &str, a: &str, b: &str) -> (Vec<String>, String) {
    let odd = blueprint(&[("manifest.yml", &manifest(base)), ("a.yml", a), ("b.yml", b)]);
    let tar = tempfile::NamedTempFile::new().unwrap();
    let output = format!("type=tar,dest={}", text(tar.path()));
    let said = store.run(&["build", text(odd.path()), "-t", "bare:1", "--no-attest", "-o", &output]).ok().stderr;
    let listed = tool("tar", &["-tf", text(tar.path())]).ok().stdout;
    (listed.lines().map(|name| name.trim_start_matches("./").to_owned()).collect(), said)
}

#[test]
fn directories_of_packages_are_in_an_image_and_what_is_left_in_passing_places_is_told() {
    let store = Store::with_base();
    let a = "- {name: write, action: write_env_file, file: /tmp/for-later, content: x}\n\
             - {name: make, action: run_command, reason: r, command: 'mkdir /run/sshd; touch /tmp/rubbish; touch /srv/a'}\n";
    let b = "- {name: use, action: run_command, reason: r, command: 'touch /srv/b; test ! -e /run/sshd'}\n";
    let (names, said) = names(&store, "deb:bookworm", a, b);
    let has = |name: &str| names.iter().any(|other| other == name);
    for name in ["run/lock/", "var/cache/apt/archives/partial/", "var/lib/apt/lists/partial/", "srv/b"] {
        assert!(has(name), "{name}");
    }
    for name in ["etc/hosts", "etc/resolv.conf", "usr/bin/perl5.36-x86_64-linux-gnu", "run/sshd/", "tmp/for-later"] {
        assert!(!has(name), "{name}");
    }
    for told in [
        "warning: a.yml: make (a.yml:2): it has left /run/sshd, /tmp/rubbish, which no later task file and no image has",
        "warning: a.yml: write (a.yml:1): it has left /tmp/for-later, which no later task file and no image has",
    ] {
        assert!(said.contains(told), "{told}: {said}");
    }
    assert!(!said.contains("use (b.yml:1)"), "{said}");
    let installed = "dpkg -V; dpkg --audit; dpkg -l usr-is-merged perl usrmerge 2>/dev/null | awk '/^ii/ {print $2}'";
    assert_eq!(store.run(&["run", "bare:1", "--", "sh", "-c", installed]).stdout, "usr-is-merged\n");
}

#[test]
fn what_a_task_names_in_run_is_part_of_the_image() {
    let store = Store::with_base();
    let a = "- {name: make, action: run_command, reason: r, command: 'mkdir -p /run/sshd'}\n\
             - {name: write, action: write_env_file, file: /var/run/app/env, content: A=1, mode: '0640'}\n\
             - {name: leave, action: run_command, reason: r, command: 'touch /run/sshd/left /run/app/pid; cat /run/app/env'}\n";
    let b = "- {name: see, action: run_command, reason: r, command: 'test -d /run/sshd -a ! -e /run/app/pid && cp /run/app/env /srv/seen'}\n\
             - {name: more, action: write_env_file, file: /run/app/more, content: B=1}\n";
    let (names, said) = names(&store, "deb:bookworm", a, b);
    let has = |name: &str| names.iter().any(|other| other == name);
    for name in ["run/sshd/", "run/app/env", "run/app/more", "srv/seen"] {
        assert!(has(name), "{name}: {names:?}");
    }
    assert!(!has("run/sshd/left") && !has("run/app/pid") && !has("run/alloy/"), "{names:?}");
    assert!(said.contains("leave (a.yml:3): it has left /run/app/pid, /run/sshd/left, which no later"), "{said}");
    let shown = "stat -c %a /run/app/env; cat /run/app/more; ls -A /run/sshd; touch /run/new";
    assert_eq!(store.run(&["run", "bare:1", "--", "sh", "-c", shown]).ok().stdout, "640\nB=1");
}

#[test]
fn what_is_done_to_the_images_run_holds() {
    let store = Store::with_base();
    let a = "- {name: make, action: run_command, reason: r, command: 'mkdir -p /run/app/cache /run/mine'}\n\
             - {name: tree, action: copy, source: tree/, dest: /}\n";
    let b = "- {name: clean, action: run_command, reason: r, command: 'rm -rf /run/app /run/*.d; chmod 2750 /run/mine; touch /run/mine/x; rm -rf /run/lock'}\n\
             - {name: see, action: run_command, reason: r, command: 'test ! -e /run/app && touch /srv/seen'}\n";
    let c = "- {name: later, action: run_command, reason: r, command: 'test ! -e /run/app && test ! -e /run/mine/x && ls -d /run/mine /run/lock; touch /run/lock/x'}\n";
    let manifest = "name: Run\nversion: 1.0.0\nrun_order: [a.yml, b.yml, c.yml]\nimage: {env_from_profile: false}\n";
    let odd = blueprint(&[("manifest.yml", manifest), ("a.yml", a), ("b.yml", b), ("c.yml", c)]);
    for name in ["tree", "x.d"] {
        std::fs::create_dir_all(odd.path().join("tree/run").join(name)).unwrap();
        std::fs::write(odd.path().join("tree/run").join(name).join("f"), "x").unwrap();
    }
    let tar = tempfile::NamedTempFile::new().unwrap();
    let output = format!("type=tar,dest={}", text(tar.path()));
    let said = store.run(&["build", text(odd.path()), "-t", "run:1", "--no-attest", "-o", &output]).ok().stderr;
    let listed = tool("tar", &["-tvf", text(tar.path()), "--wildcards", "*run*"]).ok().stdout;
    let inside: Vec<&str> = listed.lines().filter_map(|line| line.split_whitespace().last()).collect();
    let inside: Vec<&str> =
        inside.iter().map(|name| name.trim_start_matches("./")).filter(|name| name.starts_with("run/")).collect();
    assert_eq!(inside, ["run/", "run/lock/", "run/mine/", "run/tree/", "run/tree/f"], "{listed}");
    assert!(listed.lines().any(|line| line.starts_with("drwxr-s---") && line.ends_with("run/mine/")), "{listed}");
    assert!(said.contains("later (c.yml:1): it has left /run/lock/x, which no later task file"), "{said}");
    assert!(said.contains("clean (b.yml:1): it has left /run/mine/x, which no later task file"), "{said}");
}

#[test]
fn on_an_empty_base_tasks_and_commands_have_the_same_run_and_tmp() {
    let store = Store::with_base();
    let a = "- {name: shell, action: copy, source: root/, dest: /}\n\
             - {name: named, action: write_env_file, file: /run/named, content: x}\n\
             - {name: passing, action: write_env_file, file: /tmp/x, content: x}\n\
             - {name: see, action: run_command, reason: r, command: 'cat /tmp/x /run/named > /seen'}\n";
    let odd = blueprint(&[("manifest.yml", &manifest("scratch")), ("a.yml", a), ("b.yml", "[]\n")]);
    // A shell, and what it is linked with.
    let script = "cd \"$0\"; mkdir root; for file in /bin/bash /bin/cat $(ldd /bin/bash /bin/cat | grep -o '/lib[^ ]*' | sort -u); do \
                  install -D $(readlink -f $file) root$file; done";
    tool("bash", &["-ec", script, text(odd.path())]).ok();
    let tar = tempfile::NamedTempFile::new().unwrap();
    let output = format!("type=tar,dest={}", text(tar.path()));
    let said = store.run(&["build", text(odd.path()), "-t", "empty:1", "--no-attest", "-o", &output]).ok().stderr;
    let listed = tool("tar", &["-tf", text(tar.path())]).ok().stdout;
    let has = |name: &str| listed.lines().any(|line| line.trim_start_matches("./") == name);
    assert!(has("run/named") && has("seen") && has("bin/bash"), "{listed}");
    for name in ["tmp/x", "tmp/", "dev/", "proc/", "etc/", "sys/"] {
        assert!(!has(name), "{name}: {listed}");
    }
    assert!(said.contains("passing (a.yml:3): it has left /tmp/x"), "{said}");
}

#[test]
fn a_variant_says_which_packages_a_base_has() {
    let store = Store::new();
    let nothing = "- {name: write, action: write_env_file, file: /srv/x, content: x}\n";
    let other = "- {name: more, action: write_env_file, file: /srv/y, content: x}\n";
    let (names, _) = names(&store, "deb:bookworm?variant=essential", nothing, other);
    let has = |name: &str| names.iter().any(|other| other == name);
    assert!(has("usr/bin/dpkg") && has("srv/y") && !has("usr/bin/apt-get") && !has("usr/sbin/useradd"));
    // No layer has a place to mount what apt would need.
    assert!(!has("var/cache/apt/archives/"), "{names:?}");
    let bad =
        blueprint(&[("manifest.yml", &manifest("deb:bookworm?variant=big")), ("a.yml", nothing), ("b.yml", other)]);
    let said = store.run(&["check", text(bad.path())]).fails(1).stdout;
    assert!(said.contains("a variant is one of essential, apt, minbase"), "{said}");
}

#[test]
fn a_base_with_a_file_where_commands_need_a_directory_is_at_fault() {
    let store = Store::with_base();
    let root = tempfile::tempdir().unwrap();
    let base = format!("type=dir,dest={}", text(&root.path().join("root")));
    store.run(&["build", text(&crate::support::repository("examples/hello")), "-o", &base]).ok();
    let task = "- {name: run, action: run_command, reason: r, command: 'true'}\n";
    for place in ["proc", "run", "tmp"] {
        let at = root.path().join("root").join(place);
        let _ = std::fs::remove_dir_all(&at);
        std::fs::write(&at, "").unwrap();
        let odd = blueprint(&[
            ("manifest.yml", &manifest(&format!("rootfs:{}", text(&root.path().join("root"))))),
            ("a.yml", task),
            ("b.yml", "[]\n"),
        ]);
        let base = format!("rootfs:{}", text(&root.path().join("root")));
        let said = store.run(&["build", text(odd.path()), "--base", &base]).fails(1).stderr;
        assert!(said.contains("the image has something else than a directory there"), "{place}: {said}");
        assert!(said.contains("have the base made so") && !said.contains("this machine"), "{place}: {said}");
        std::fs::remove_file(&at).unwrap();
        std::fs::create_dir(&at).unwrap();
    }
}
