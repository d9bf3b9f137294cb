//! `alloy install --root` when it is killed with all that it started: nothing that was made for a moment stays for good.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::support::host::Host;
use crate::support::{Store, run, tasks, text, tool};

/// What a root may lack, and a command is lent all the same.
const LENT: [&str; 4] = ["etc/resolv.conf", "etc/hosts", "usr/sbin/policy-rc.d", "run/alloy"];

/// A root without any of it.
fn without() -> Host {
    let host = Host::debian();
    for path in LENT {
        let _ = fs::remove_file(host.at(path));
    }
    tool("mkfifo", &[text(&host.at("srv/gate"))]).ok();
    host
}

fn there(host: &Host) -> Vec<&'static str> {
    LENT.into_iter().filter(|path| host.at(path).symlink_metadata().is_ok()).collect()
}

/// Starts an installation in a process group of its own, and waits until it says `word`.
fn started(host: &Host, store: &Store, blueprint: &Path, word: &str) -> Child {
    let mut command = host.command(store, blueprint, &["--progress=json"]);
    let mut child = command.process_group(0).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains(word)), "it never said {word}");
    std::thread::spawn(move || lines.for_each(drop));
    child
}

fn kill(mut child: Child) {
    let _ = tool("kill", &["-9", "--", &format!("-{}", child.id())]);
    child.wait().unwrap();
}

#[test]
fn what_was_made_to_mount_on_goes_with_the_next_run() {
    let (host, store, other) = (without(), Store::new(), Store::new());
    let blueprint = tasks(
        "- {name: Wait, action: run_command, reason: test, always_run: true, command: 'echo waiting; read line < /srv/gate'}\n",
    );
    let state = format!("--state={}/alloy.state.yml", text(blueprint.path()));
    for drift in [true, false] {
        kill(started(&host, &store, blueprint.path(), "waiting"));
        assert_eq!(there(&host), LENT, "nothing to be cleared");
        // Meanwhile somebody has written their own.
        fs::write(host.at("etc/hosts"), "127.0.0.1 card\n").unwrap();
        if drift {
            let _ = host.drift(&store, &[&state]);
        } else {
            // The root may be anywhere by now, and the store another one.
            let elsewhere = format!("--state={}/alloy.state.yml", text(other.path()));
            let files = tasks("- {name: Text, action: write_env_file, file: /srv/text, content: x}\n");
            host.install(&other, files.path(), &[&elsewhere]).ok();
        }
        assert_eq!(there(&host), ["etc/hosts"]);
        assert_eq!(
            fs::read_dir(host.at("var/lib/alloy")).unwrap().count(),
            2,
            "more than the host's name and its lock"
        );
        assert_eq!(host.read("etc/hosts"), "127.0.0.1 card\n");
        fs::remove_file(host.at("etc/hosts")).unwrap();
    }
}

#[test]
fn killed_at_any_moment_nothing_to_mount_on_stays() {
    let (host, store) = (without(), Store::new());
    let blueprint = tasks(
        "- {name: Many, action: run_command, reason: test, always_run: true, command: 'true'}\n\
         - {name: More, action: run_command, reason: test, always_run: true, command: 'true'}\n\
         - {name: Most, action: run_command, reason: test, always_run: true, command: 'true'}\n",
    );
    let mut cut = 0;
    for moment in 0..20 {
        let mut command = host.command(&store, blueprint.path(), &[]);
        let mut child = command.process_group(0).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // No moment in particular: whatever it is, what follows must hold.
        std::thread::sleep(Duration::from_millis(5 + 7 * moment));
        let ended = child.try_wait().unwrap().is_some();
        cut += usize::from(!ended);
        kill(child);
        if moment % 2 == 0 {
            let _ = host.drift(&store, &[&format!("--state={}/alloy.state.yml", text(blueprint.path()))]);
        } else {
            host.install(&store, blueprint.path(), &[]).ok();
        }
        assert!(there(&host).is_empty(), "{moment}: {:?}", there(&host));
    }
    assert!(cut > 0, "nothing was ever cut off");
}

#[test]
fn a_resolver_that_a_link_to_nowhere_means_is_lent() {
    let (host, store) = (without(), Store::new());
    std::os::unix::fs::symlink("../run/systemd/resolve/stub-resolv.conf", host.at("etc/resolv.conf")).unwrap();
    let blueprint = tasks("- {name: Read, action: run_command, reason: test, command: test -s /etc/resolv.conf}\n");
    host.install(&store, blueprint.path(), &[]).ok();
    assert!(host.at("etc/resolv.conf").is_symlink() && !host.at("run/systemd").exists());
}

#[test]
fn what_a_task_did_before_it_was_killed_is_no_drift() {
    let (host, store) = (without(), Store::new());
    let blueprint = tasks(
        "- {name: Put, action: write_env_file, file: /srv/passing, content: x}\n\
         - {name: Other, action: write_env_file, file: /srv/other, content: x}\n\
         - {name: Take, action: run_command, reason: test, command: 'rm -f /srv/passing; echo waiting; test -e /srv/again || read line < /srv/gate'}\n",
    );
    kill(started(&host, &store, blueprint.path(), "waiting"));
    assert!(!host.at("srv/passing").exists());
    fs::write(host.at("srv/again"), "").unwrap();
    let again = host.install(&store, blueprint.path(), &[]).ok();
    assert!(again.stderr.contains("Take runs: it was cut off"), "{}", again.stderr);
    assert!(again.stdout.starts_with("1 done, 2 skipped (2 done before) in "), "{}", again.stdout);
    let state = format!("--state={}/alloy.state.yml", text(blueprint.path()));
    assert!(host.drift(&store, &[&state]).ok().stdout.starts_with("no drift: "));
    // What somebody else has changed since is one.
    fs::write(host.at("srv/other"), "changed").unwrap();
    host.drift(&store, &[&state]).fails(1);
}

#[test]
fn what_is_counted_adds_up() {
    let (host, store) = (Host::bare(), Store::new());
    let blueprint = tasks(
        "- {name: One, action: write_env_file, file: /srv/one, content: x}\n\
         - {name: Two, action: write_env_file, file: /srv/two, content: x}\n",
    );
    let nowhere = format!("--state={}/none/state.yml", text(store.path()));
    let ended = host.install(&store, blueprint.path(), &[&nowhere]).fails(1);
    assert!(ended.stdout.starts_with("0 done, 2 not reached in "), "{}", ended.stdout);
    assert!(
        ended.stderr.contains("there is no directory") && ended.stderr.contains("hint: make it: mkdir"),
        "{}",
        ended.stderr
    );
    // The second cannot write where a directory is.
    fs::create_dir_all(host.at("srv/two")).unwrap();
    let ended = host.install(&store, blueprint.path(), &[]).fails(1);
    assert!(ended.stdout.starts_with("1 done, 1 failed in "), "{}", ended.stdout);
}

#[test]
fn a_state_is_in_a_file() {
    let (host, store) = (Host::bare(), Store::new());
    let blueprint = tasks("- {name: One, action: write_env_file, file: /srv/one, content: x}\n");
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    tool("mkfifo", &[text(&at("fifo"))]).ok();
    tool("mknod", &[text(&at("null")), "c", "1", "3"]).ok();
    fs::create_dir(at("directory")).unwrap();
    for name in ["fifo", "null", "directory"] {
        let state = format!("--state={}", text(&at(name)));
        for more in [&[][..], &["--dry-run"], &["--forget"]] {
            let mut command = host.command(&store, blueprint.path(), &[&state]);
            let ended = run(command.args(more)).fails(1);
            assert!(
                ended.stderr.contains("is no regular file\n") && ended.stderr.contains("--state"),
                "{}",
                ended.stderr
            );
        }
    }
    assert_eq!(
        run(std::process::Command::new("stat").args(["-c", "%F %t:%T", text(&at("null"))])).ok().stdout,
        "character special file 1:3\n"
    );
    // A link stays one.
    std::os::unix::fs::symlink("real.yml", at("link.yml")).unwrap();
    host.install(&store, blueprint.path(), &[&format!("--state={}", text(&at("link.yml")))]).ok();
    assert!(at("link.yml").is_symlink() && at("real.yml").is_file());
}
