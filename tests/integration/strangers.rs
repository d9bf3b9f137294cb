//! What strangers, and whoever calls alloy, can put where alloy works: directories as input, terminals, stores, layouts,
//! named pipes.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};
use std::path::Path;
use std::process::Command;

use crate::support::host::Host;
use crate::support::{ALLOY, Ended, Store, repository, run, shared, tasks, text, tool};

const STRANGER: u32 = 4242;
const MODES: [&str; 2] = ["userns", "privileged"];
const WRITES: &str = "- {name: one, action: write_env_file, file: /srv/env, content: x}\n";

fn shell(mode: &str, script: &str, place: &Path) -> Ended {
    let mut command = Command::new("sh");
    command.args(["-c", script, ALLOY, text(place)]).env("ALLOY_HOME", shared().path().join("store"));
    run(command.env("ALLOY_SANDBOX", mode))
}

#[test]
fn no_directory_is_handed_to_a_command() {
    shared().build(&[text(&repository("examples/hello")), "-t", "strangers"]);
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("secret"), "s3cret").unwrap();
    for mode in MODES {
        for (fd, more) in [(0, ""), (1, ">&2"), (2, "")] {
            let script =
                format!("\"$0\" run strangers sh -c 'cat /proc/self/fd/{fd}/secret; echo ran {more}' {fd}< \"$1\"");
            let ended = shell(mode, &script, place.path());
            let shown = format!("{}{}", ended.stdout, ended.stderr);
            assert!(ended.code != Some(0) && !shown.contains("s3cret") && !shown.contains("ran"), "{fd}: {shown}");
            assert!(fd == 2 || ended.stderr.contains("is a directory"), "{fd}: {shown}");
        }
    }
}

#[test]
fn a_file_without_a_name_is_read_and_not_held() {
    shared().build(&[text(&repository("examples/hello")), "-t", "strangers"]);
    let script = "cd \"$1\"; echo content > in; chmod 644 in; exec 3< in; rm in\n\
                  \"$0\" run strangers sh -c 'cat; chmod 4777 /proc/self/fd/0' <&3 2>&1\n\
                  stat -Lc %a /proc/self/fd/3\n\
                  head -c 3000000 /dev/zero > in; exec 3< in; rm in; \"$0\" run strangers wc -c <&3\n\
                  head -c 3000000 /dev/urandom | \"$0\" run strangers wc -c\n\
                  \"$0\" run strangers head -c 5 < /dev/urandom | wc -c";
    for mode in MODES {
        let place = tempfile::tempdir().unwrap();
        let ended = shell(mode, script, place.path()).ok();
        let lines: Vec<&str> = ended.stdout.lines().filter(|line| !line.contains("chmod")).collect();
        assert_eq!(lines, ["content", "644", "3000000", "3000000", "5"], "{mode}");
    }
}

/// Input from a terminal, output elsewhere.
const TYPED: &str = r#"
import fcntl, os, pty, stat, sys, termios
alloy, place = sys.argv[1:]
master, slave = pty.openpty()
name = os.ttyname(slave)
os.chmod(name, 0o620)
before = termios.tcgetattr(slave)
script = "stty -echo -icanon; chmod 666 /proc/self/fd/0; test -t 0 && echo terminal; read typed; echo got $typed; echo INJECTED > /proc/self/fd/0; cat > /dev/null < /dev/null"
pid = os.fork()
if pid == 0:
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    out = os.open(place + "/out", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    for fd, to in ((slave, 0), (out, 1), (out, 2)):
        os.dup2(fd, to)
    os.execvp(alloy, [alloy, "run", "strangers", "sh", "-c", script])
os.write(master, b"typed words\n")
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, open(place + "/out").read()
out = open(place + "/out").read()
assert "got typed words\n" in out and "terminal" not in out, out
assert termios.tcgetattr(slave) == before
assert stat.S_IMODE(os.stat(name).st_mode) == 0o620
os.set_blocking(master, False)
shown = os.read(master, 65536)
assert b"INJECTED" not in shown, shown
"#;

#[test]
fn a_terminal_that_is_input_alone_is_not_held() {
    shared().build(&[text(&repository("examples/hello")), "-t", "strangers"]);
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("typed.py"), TYPED).unwrap();
    for mode in MODES {
        shell(mode, "python3 \"$1/typed.py\" \"$0\" \"$1\"", place.path()).ok();
    }
}

#[test]
fn root_works_in_no_store_of_a_stranger() {
    let place = tempfile::tempdir().unwrap();
    let (store, victim) = (place.path().join("st"), place.path().join("victim"));
    fs::create_dir(&store).unwrap();
    fs::create_dir_all(victim.join("build-abc/precious")).unwrap();
    symlink(&victim, store.join("work")).unwrap();
    let blueprint = tasks(WRITES);
    let refused = |says: &str| {
        for arguments in [&["prune"][..], &["images"], &["plan", text(blueprint.path())], &["run", "nothing", "true"]] {
            let ended = run(Command::new(ALLOY).args(["--store", text(&store)]).args(arguments)).fails(2);
            assert!(ended.stderr.contains(says) && ended.stderr.contains("--store"), "{}", ended.stderr);
        }
        assert!(victim.join("build-abc/precious").is_dir());
    };
    refused("is not a directory");
    chown(&store, Some(STRANGER), None).unwrap();
    refused("belongs to user 4242");
}

#[test]
fn root_writes_a_cache_through_no_link() {
    let (place, store) = (tempfile::tempdir().unwrap(), Store::with_base());
    let (cache, victim) = (place.path().join("cache"), place.path().join("victim"));
    fs::create_dir_all(victim.join("sha256")).unwrap();
    fs::create_dir(&cache).unwrap();
    symlink(&victim, cache.join("blobs")).unwrap();
    fs::write(cache.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    fs::write(cache.join("index.json"), r#"{"schemaVersion":2,"manifests":[]}"#).unwrap();
    let to = format!("type=local,dest={}", text(&cache));
    let hello = repository("examples/hello");
    let write = |says: &str| {
        let ended = store.run(&["build", text(&hello), "--no-cache", "--cache-to", &to]);
        assert!(ended.stderr.contains(says), "{}", ended.stderr);
        assert_eq!(fs::read_dir(victim.join("sha256")).unwrap().count(), 0);
    };
    write("is not a directory");
    fs::remove_file(cache.join("blobs")).unwrap();
    chown(&cache, Some(STRANGER), None).unwrap();
    write("belongs to another user");
}

/// Builds what writes one file into `dest`, in bounded time.
fn written(store: &Store, kind: &str, dest: &Path) -> Ended {
    let mut command = Command::new("timeout");
    command.args(["-k", "1", "60", ALLOY, "build", text(&repository("examples/hello"))]);
    command.args(["--no-attest", "-o", &format!("type={kind},dest={}", text(dest))]);
    run(command.env("ALLOY_HOME", store.path().join("store")))
}

#[test]
fn root_writes_a_layout_through_no_link() {
    let (place, store) = (tempfile::tempdir().unwrap(), Store::with_base());
    let (layout, victim) = (place.path().join("layout"), place.path().join("victim"));
    fs::create_dir_all(victim.join("sha256")).unwrap();
    fs::create_dir(&layout).unwrap();
    let refused = |says: &str| {
        let ended = written(&store, "oci", &layout).fails(1);
        assert!(ended.stderr.contains(says), "{}", ended.stderr);
        assert_eq!(fs::read_dir(victim.join("sha256")).unwrap().count(), 0);
    };
    symlink(&victim, layout.join("blobs")).unwrap();
    refused("blobs: it is not a directory");
    fs::remove_file(layout.join("blobs")).unwrap();
    fs::create_dir(layout.join("blobs")).unwrap();
    symlink(victim.join("sha256"), layout.join("blobs/sha256")).unwrap();
    refused("blobs/sha256: it is not a directory");
    fs::remove_file(layout.join("blobs/sha256")).unwrap();
    chown(layout.join("blobs"), Some(STRANGER), None).unwrap();
    refused("blobs: it belongs to another user");
    fs::remove_dir(layout.join("blobs")).unwrap();
    chown(&layout, Some(STRANGER), None).unwrap();
    refused("layout: it belongs to another user");
    chown(&layout, Some(0), None).unwrap();
    written(&store, "oci", &layout).ok();

    // What is no file of the layout's own is not taken for a blob of it.
    let blob = fs::read_dir(layout.join("blobs/sha256")).unwrap().next().unwrap().unwrap().path();
    fs::rename(&blob, place.path().join("elsewhere")).unwrap();
    symlink(place.path().join("elsewhere"), &blob).unwrap();
    written(&store, "oci", &layout).ok();
    assert!(blob.symlink_metadata().unwrap().is_file());
}

#[test]
fn a_stranger_s_link_leads_to_nothing_of_root_s() {
    let (place, store) = (tempfile::tempdir().unwrap(), Store::with_base());
    let (shared, theirs, victim) = (place.path().join("tmp"), place.path().join("theirs"), place.path().join("victim"));
    for directory in [&shared, &theirs, &victim] {
        fs::create_dir(directory).unwrap();
    }
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o1777)).unwrap();
    chown(&theirs, Some(STRANGER), None).unwrap();
    for directory in [&shared, &theirs] {
        let link = directory.join("link");
        symlink(&victim, &link).unwrap();
        lchown(&link, Some(STRANGER), None).unwrap();
        let (new, file) = (link.join("new"), link.join("file"));
        for (kind, dest) in
            [("oci", &link), ("dir", &link), ("oci", &new), ("dir", &new), ("oci-archive", &file), ("tar", &file)]
        {
            let ended = written(&store, kind, dest).fails(1);
            assert!(ended.stderr.contains("belongs to somebody else"), "{kind} {dest:?}: {}", ended.stderr);
            assert_eq!(fs::read_dir(&victim).unwrap().count(), 0, "{kind} {dest:?}");
        }
    }
    // A link of root's own leads where it says.
    symlink(&victim, place.path().join("own")).unwrap();
    written(&store, "oci-archive", &place.path().join("own/file")).ok();
    assert!(victim.join("file").is_file());
}

#[test]
fn who_can_only_read_a_directory_holds_up_nobody() {
    let (place, store) = (tempfile::tempdir().unwrap(), Store::with_base());
    let (layout, root) = (place.path().join("layout"), place.path().join("root"));
    for (kind, dest) in [("oci", &layout), ("dir", &root)] {
        written(&store, kind, dest).ok();
        let held = [place.path(), dest].map(|directory| fs::File::open(directory).unwrap());
        held.iter().for_each(|directory| directory.lock().unwrap());
        written(&store, kind, dest).ok();
    }
}

#[test]
fn a_named_pipe_holds_nobody_up() {
    let (blueprint, host, store) = (tasks(WRITES), Host::bare(), Store::new());
    let place = text(blueprint.path());
    let alloy = |arguments: &[&str]| {
        let mut command = Command::new("timeout");
        command.args(["-k", "1", "60", ALLOY]).args(arguments).env("ALLOY_HOME", store.path().join("store"));
        run(&mut command)
    };
    host.install(&store, blueprint.path(), &[]).ok();
    let state = blueprint.path().join("alloy.state.yml");
    let there = fs::read(&state).unwrap();
    fs::remove_file(&state).unwrap();
    tool("mkfifo", &[text(&state)]).ok();
    for what in ["install", "drift"] {
        let ended = alloy(&[what, "--blueprint-dir", place, "--root", text(host.path())]);
        assert!(ended.stderr.contains("is no regular file"), "{what} {:?}: {}", ended.code, ended.stderr);
    }
    let fifo = text(&state);
    let add = ["catalog", "add", fifo];
    let registries = ["inspect", "127.0.0.1:1/x", "--registry-config", fifo];
    for arguments in
        [&["check", place, "--env-file", fifo][..], &["plan", place, "--env-file", fifo], &add, &registries]
    {
        let ended = alloy(arguments);
        assert!(ended.code != Some(124) && ended.code != Some(0), "{arguments:?}: {}", ended.stderr);
    }
    fs::remove_file(&state).unwrap();
    fs::write(&state, there).unwrap();

    // And a file that has no end in sight.
    File::options().write(true).open(host.at("srv/env")).unwrap().set_len(1 << 40).unwrap();
    let ended = alloy(&["drift", "--blueprint-dir", place, "--root", text(host.path())]).fails(1);
    assert!(ended.stdout.contains("1099511627776 bytes"), "{}", ended.stdout);
}

#[test]
fn a_password_before_no_host_is_not_shown() {
    let (store, blueprint, password) = (Store::new(), tasks(WRITES), "PWof22-PWof22");
    let place = text(blueprint.path());
    for login in [format!("http://u:{password}@"), format!("u:{password}@"), format!("//u:{password}@")] {
        let image = format!("{login}/x");
        let cache = format!("--cache-to={image}");
        let commands: [&[&str]; 13] = [
            &["build", place, "--mirror", &login, "--no-cache", "--pull"],
            &["build", place, "--base", &image],
            &["build", place, "-t", &image],
            &["build", place, "--cache-from", &image, &cache],
            &["push", "nothing", &image],
            &["clone", "--registry", &login, "a/b/c"],
            &["login", "--password-stdin", "-u", "a", &login],
            &["inspect", &image],
            &["run", &image, "true"],
            &["sbom", &image],
            &["manifest", "create", &image, &image],
            &["lock", place, "--mirror-to", &image],
            &["inspect", &login],
        ];
        for arguments in commands {
            let mut command = store.alloy(arguments);
            let ended = run(command.stdin(std::process::Stdio::null()).current_dir(store.path()));
            let shown = ended.stdout + &ended.stderr;
            assert!(!shown.contains(password), "{arguments:?}: {shown}");
        }
    }
}
