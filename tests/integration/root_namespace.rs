//! Root's own sandbox: nobody in it is root of the machine, and nothing of root's gets lost by that.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{ALLOY, Ended, Store, repository, run, shared, tasks, text, tool};

/// What only root of the machine may do. The value that is written is the one that is there.
const PROBE: &str = "\
    set -e\n\
    read inside outside count < /proc/self/uid_map\n\
    test $inside = 0\n\
    test $outside -ge 65536\n\
    read inside outside count < /proc/self/gid_map\n\
    test $outside -ge 65536\n\
    value=$(cat /proc/sys/kernel/core_pattern)\n\
    ! (echo \"$value\" > /proc/sys/kernel/core_pattern) 2>/dev/null\n\
    ! mknod /run/loop b 7 0 2>/dev/null\n\
    ! chmod 0600 /dev/full 2>/dev/null\n";

fn private(directory: &Path) -> TempDir {
    let private = tempfile::tempdir_in(directory).unwrap();
    fs::set_permissions(private.path(), Permissions::from_mode(0o700)).unwrap();
    private
}

fn with_mode(store: &Store, mode: &str, arguments: &[&str]) -> Ended {
    run(store.alloy(arguments).env("ALLOY_SANDBOX", mode))
}

fn indented(script: &str) -> String {
    script.lines().map(|line| format!("    {line}\n")).collect()
}

#[test]
fn root_of_the_sandbox_is_nobody_outside() {
    let store = shared();
    let blueprint = tasks(&format!(
        "- name: probe\n  action: run_command\n  reason: test\n  command: |\n{}",
        indented(&format!("{PROBE}echo built > /dev/stderr\ntouch /srv/probed"))
    ));
    store.build(&[text(blueprint.path()), "-t", "probe"]);
    store.run(&["run", "probe", "--", "sh", "-c", &format!("{PROBE}test -e /srv/probed")]).ok();
    // The probe can fail: without a user namespace it does.
    with_mode(store, "privileged", &["run", "probe", "--", "sh", "-c", PROBE]).fails(1);
    let wrong = with_mode(store, "privilegd", &["run", "probe", "true"]);
    assert_ne!(wrong.code, Some(0));
    assert!(wrong.stderr.contains("ALLOY_SANDBOX is `privilegd`"), "{}", wrong.stderr);
}

#[test]
fn pipes_of_the_caller_can_be_opened_again() {
    let store = shared();
    store.build(&[text(&repository("examples/hello")), "-t", "piped"]);
    let script = "echo out > /dev/stdout; echo err > /dev/stderr; cat /dev/stdin";
    let mut command = Command::new("sh");
    command.args(["-c", "echo in | \"$0\" run piped -- sh -c \"$1\"", ALLOY, script]);
    let ended = run(command.env("ALLOY_HOME", store.path().join("store"))).ok();
    assert_eq!(ended.stdout, "out\nin\n");
    assert!(ended.stderr.contains("err\n"), "{}", ended.stderr);
}

#[test]
fn private_files_of_a_blueprint_reach_its_tasks_and_nothing_else_does() {
    let above = private(Path::new("/var/tmp"));
    let secret = above.path().join("secret");
    fs::write(&secret, "s").unwrap();
    fs::set_permissions(&secret, Permissions::from_mode(0o600)).unwrap();
    let blueprint = above.path().join("blueprint");
    fs::create_dir_all(blueprint.join("files/sub")).unwrap();
    fs::write(blueprint.join("files/sub/one"), "one").unwrap();
    let archive = blueprint.join("one.tar");
    tool("tar", &["-cf", text(&archive), "-C", text(&blueprint.join("files")), "sub"]).ok();
    fs::set_permissions(&archive, Permissions::from_mode(0o600)).unwrap();
    fs::write(blueprint.join("manifest.yml"), "name: Test\nversion: 1.0.0\nrun_order: [tasks.yml]\n").unwrap();
    let script = format!(
        "set -e\ngrep -qx one /srv/one/sub/one\n! cat {secret} 2>/dev/null\n! cat /proc/1/root{secret} 2>/dev/null\n\
         for fd in /proc/self/fd/*; do ! cat $fd/{secret} 2>/dev/null; done",
        secret = text(&secret)
    );
    let tasks = format!(
        "- {{name: one, action: unpack, source: one.tar, dest: /srv/one}}\n\
         - name: look\n  action: run_command\n  reason: test\n  command: |\n{}",
        indented(&script)
    );
    fs::write(blueprint.join("tasks.yml"), tasks).unwrap();
    shared().build(&[text(&blueprint), "-t", "private"]);
    // A store in a directory that only root may search.
    let mut command = Command::new(ALLOY);
    command.args(["run", "private", "cat", "/srv/one/sub/one"]);
    let store = shared().path().join("store");
    assert_eq!(fs::metadata(&store).unwrap().mode() & 0o777, 0o700);
    assert_eq!(run(command.env("ALLOY_HOME", store)).ok().stdout, "one");
}

#[test]
fn a_failure_names_the_file_as_it_is_called_outside() {
    let above = private(Path::new("/var/tmp"));
    let blueprint = above.path();
    fs::write(blueprint.join("bad.tar"), "no archive at all").unwrap();
    fs::write(blueprint.join("manifest.yml"), "name: Test\nversion: 1.0.0\nrun_order: [tasks.yml]\n").unwrap();
    let tasks = "- {name: bad, action: unpack, source: bad.tar, dest: /srv/bad}\n";
    fs::write(blueprint.join("tasks.yml"), tasks).unwrap();
    let ended = shared().run(&["build", text(blueprint)]).fails(1);
    assert!(!ended.stderr.contains("/mnt/"), "{}", ended.stderr);
}

#[test]
fn a_directory_as_a_base_keeps_its_owners() {
    let above = private(Path::new("/var/tmp"));
    let root = above.path().join("root");
    fs::create_dir_all(root.join("etc")).unwrap();
    for (name, id) in [("etc/one", 0), ("etc/two", 1000), ("etc/three", 1_234_567)] {
        fs::write(root.join(name), name).unwrap();
        fs::set_permissions(root.join(name), Permissions::from_mode(0o600)).unwrap();
        chown(root.join(name), Some(id), Some(id)).unwrap();
    }
    let blueprint = tasks("- {name: one, action: write_env_file, file: /etc/env, content: x}\n");
    let (tar, base) = (above.path().join("out.tar"), format!("rootfs:{}", text(&root)));
    let output = format!("type=tar,dest={}", text(&tar));
    let store = Store::new();
    let arguments = ["build", text(blueprint.path()), "--base", &base, "-o", &output];
    let manifest = "name: Test\nversion: 1.0.0\nrun_order: [tasks.yml]\nimage: {env_from_profile: false}\n";
    fs::write(blueprint.path().join("manifest.yml"), manifest).unwrap();
    store.run(&arguments).ok();
    let listed = tool("tar", &["--numeric-owner", "-tvf", text(&tar)]).ok().stdout;
    for owner in ["0/0", "1000/1000", "1234567/1234567"] {
        assert!(listed.lines().any(|line| line.starts_with("-rw-------") && line.contains(owner)), "{listed}");
    }
    assert_eq!((fs::metadata(&tar).unwrap().uid(), fs::metadata(&tar).unwrap().mode() & 0o777), (0, 0o644));
}

#[test]
fn what_is_lent_belongs_to_whom_it_belongs() {
    let store = shared();
    store.build(&[text(&repository("examples/hello")), "-t", "lending"]);
    let place = private(Path::new("/var/tmp"));
    fs::write(place.path().join("mine"), "mine").unwrap();
    fs::set_permissions(place.path().join("mine"), Permissions::from_mode(0o600)).unwrap();
    fs::write(place.path().join("other"), "").unwrap();
    chown(place.path().join("other"), Some(1234), Some(1234)).unwrap();
    let volume = format!("{}:/work", text(place.path()));
    let script = "set -e; cat mine; stat -c %u:%g mine other; echo new > new; touch theirs; chown 1000:1000 theirs";
    let ended = store.run(&["run", "-v", &volume, "-w", "/work", "lending", "--", "sh", "-c", script]).ok();
    assert_eq!(ended.stdout, "mine0:0\n1234:1234\n");
    let owner = |name: &str| fs::metadata(place.path().join(name)).unwrap().uid();
    assert_eq!((owner("new"), owner("theirs")), (0, 1000));
    let file = format!("{}:/run/one:ro", text(&place.path().join("mine")));
    let script = "cat /run/one; ! echo x > /run/one 2>/dev/null";
    assert_eq!(store.run(&["run", "-v", &file, "lending", "--", "sh", "-c", script]).ok().stdout, "mine");
    assert_eq!(fs::read_to_string(place.path().join("mine")).unwrap(), "mine");
    // A file system that cannot translate ids is no failure.
    let script = "test -e /lent/self/status";
    store.run(&["run", "-v", "/proc:/lent:ro", "lending", "--", "sh", "-c", script]).ok();
}

#[test]
fn the_same_image_comes_out_whatever_the_sandbox() {
    let blueprint = tasks(
        "- name: ids\n  action: run_command\n  reason: test\n  command: |\n    set -e\n    cd /srv\n    touch a b c\n    \
         chown 100000:100001 a\n    chown 1234567:1234567 b\n    chown 65534:65534 c\n    mkfifo d\n    \
         cp /bin/true e\n    chmod 6755 e\n    rm /etc/issue\n    rm -r /usr/share/doc/dpkg\n    mkdir /usr/share/doc/dpkg\n",
    );
    let arguments = |name: &'static str| ["build", text(blueprint.path()).to_owned().leak(), "-t", name, "--no-cache"];
    for (mode, name) in [("userns", "same-a"), ("privileged", "same-b")] {
        with_mode(shared(), mode, &arguments(name)).ok();
    }
    let digest = |name: &str| {
        let inspected: Value = serde_json::from_str(&shared().run(&["inspect", name]).ok().stdout).unwrap();
        inspected["digest"].as_str().unwrap().to_owned()
    };
    assert_eq!(digest("same-a"), digest("same-b"));
    // Each works on what the other has left in the store.
    for mode in ["userns", "privileged"] {
        let script = "stat -c '%n %u:%g' a b c; ! test -e /etc/issue; ! ls /usr/share/doc/dpkg | grep .";
        let shown = with_mode(shared(), mode, &["run", "-w", "/srv", "same-a", "--", "sh", "-c", script]).ok();
        assert_eq!(shown.stdout, "a 100000:100001\nb 1234567:1234567\nc 65534:65534\n");
    }
}

#[test]
fn nothing_of_it_is_mounted_or_running_after_a_kill() {
    shared().build(&[text(&repository("examples/hello")), "-t", "killed"]);
    let mut command = Command::new(ALLOY);
    command.args(["run", "killed", "sleep", "4321"]).env("ALLOY_HOME", shared().path().join("store"));
    let mut child = command.spawn().unwrap();
    let running = || tool("pgrep", &["-fx", "sleep 4321"]).code == Some(0);
    let until = |wanted: bool| {
        for _ in 0..200 {
            if running() == wanted {
                return true;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        false
    };
    assert!(until(true));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(until(false), "the command outlives alloy");
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    assert!(!mounts.contains(text(shared().path())), "{mounts}");
}
