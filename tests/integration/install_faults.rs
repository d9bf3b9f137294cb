//! `alloy install` when something ends it, fills the disk, gets in its way or puts nonsense in its place.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use layers::digest::Digest;

use crate::support::host::Host;
use crate::support::{Store, blueprint, run, tasks, text, tool};

const STATE: &str = "alloy.state.yml";

/// A task that waits until somebody writes into a pipe.
fn waiting(host: &Host) -> tempfile::TempDir {
    tool("mkfifo", &[text(&host.at("srv/gate"))]).ok();
    tasks(
        "- {name: First, action: run_command, reason: test, command: echo first >> /srv/log}\n\
         - {name: Wait, action: run_command, reason: test, command: 'echo waiting; read line < /srv/gate; echo wait >> /srv/log'}\n",
    )
}

/// Starts an installation, and waits until it says `word`.
fn started(host: &Host, store: &Store, blueprint: &Path, word: &str) -> Child {
    let mut command = host.command(store, blueprint, &["--progress=json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains(word)), "it never said {word}");
    // Nobody reads any more; it must not wait for that.
    std::thread::spawn(move || lines.for_each(drop));
    child
}

fn open_gate(host: &Host) {
    fs::write(host.at("srv/gate"), "go\n").unwrap();
}

/// Names in a directory that are of something half done.
fn leftovers(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with('.')).collect()
}

#[test]
fn two_at_once_are_kept_apart() {
    let (host, store) = (Host::debian(), Store::new());
    let blueprint = waiting(&host);
    let mut first = started(&host, &store, blueprint.path(), "waiting");
    let ended = host.install(&store, blueprint.path(), &[]).fails(1);
    let said = format!("another `alloy install` (process {}) is at work on this host", first.id());
    assert!(ended.stderr.contains(&said), "{}", ended.stderr);
    // To look is no harm.
    host.install(&store, blueprint.path(), &["--dry-run"]).ok();
    open_gate(&host);
    assert!(first.wait().unwrap().success());
    assert_eq!(host.read("srv/log"), "first\nwait\n");
    host.install(&store, blueprint.path(), &[]).ok();
}

#[test]
fn an_interrupt_ends_the_command_and_is_recorded() {
    let (host, store) = (Host::debian(), Store::new());
    let blueprint = waiting(&host);
    let mut child = started(&host, &store, blueprint.path(), "waiting");
    tool("kill", &["-INT", &child.id().to_string()]).ok();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let state = fs::read_to_string(blueprint.path().join(STATE)).unwrap();
    assert!(state.contains("outcome: failed\n    why: interrupted\n"), "{state}");
    assert!(!host.at("run/alloy").exists() && !host.at("etc/resolv.conf").exists());
    // Whoever read from the pipe is gone: a new reader gets what is written.
    let mut child = started(&host, &store, blueprint.path(), "waiting");
    open_gate(&host);
    assert!(child.wait().unwrap().success());
    assert_eq!(host.read("srv/log"), "first\nwait\n");
}

#[test]
fn killed_at_any_boundary_it_goes_on_from_there() {
    const TASKS: usize = 5;
    let text: String = (0..TASKS)
        .map(|n| format!("- {{name: Task {n}, action: run_command, reason: test, command: 'echo {n} >> /srv/log'}}\n"))
        .collect();
    let (host, store) = (Host::debian(), Store::new());
    for boundary in 0..TASKS {
        let blueprint = tasks(&text);
        fs::write(host.at("srv/log"), "").unwrap();
        // A task ends when it is recorded.
        let mut child = started(&host, &store, blueprint.path(), &format!("Task {boundary}"));
        child.kill().unwrap();
        child.wait().unwrap();
        host.install(&store, blueprint.path(), &[]).ok();
        // The one that was killed may have run twice. No other did, and none was left out.
        let log: Vec<usize> = host.read("srv/log").lines().map(|line| line.parse().unwrap()).collect();
        let mut once = log.clone();
        once.dedup();
        assert_eq!(once, (0..TASKS).collect::<Vec<_>>(), "killed at {boundary}: {log:?}");
        assert!(log.len() <= TASKS + 1, "killed at {boundary}: {log:?}");
        let again = host.install(&store, blueprint.path(), &[]).ok();
        assert!(again.stdout.starts_with("0 done, 5 skipped"), "{}", again.stdout);
    }
}

#[test]
fn killed_in_the_middle_of_anything_nothing_is_half_done() {
    let (host, store) = (Host::bare(), Store::new());
    let (old, new) = (vec![b'o'; 8 << 20], vec![b'n'; 8 << 20]);
    let source = tempfile::tempdir().unwrap();
    fs::write(source.path().join("new"), &new).unwrap();
    let blobs: String = (0..6)
        .map(|n| {
            let url = format!("file://{}/new", source.path().display());
            format!("- {{name: Blob {n}, action: get_file, url: '{url}', dest: /srv/blob-{n}}}\n")
        })
        .collect();
    let blueprint = tasks(&blobs);
    // Fetched once, so that what is cut off below is the installation.
    let prime = Host::bare();
    let elsewhere = format!("--state={}/state.yml", source.path().display());
    prime.install(&store, blueprint.path(), &["--allow-file-urls", &elsewhere]).ok();
    fs::create_dir(host.at("srv")).unwrap();
    (0..6).for_each(|n| fs::write(host.at(&format!("srv/blob-{n}")), &old).unwrap());
    let mut cut = 0;
    for moment in 0..40 {
        let mut command = host.command(&store, blueprint.path(), &["--allow-file-urls"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // No moment in particular: whatever it is, what follows must hold.
        std::thread::sleep(Duration::from_millis(moment));
        child.kill().unwrap();
        cut += usize::from(!child.wait().unwrap().success());
        for n in 0..6 {
            let is = fs::read(host.at(&format!("srv/blob-{n}"))).unwrap();
            assert!(is == old || is == new, "blob {n} is neither the old nor the new one");
        }
        host.install(&store, blueprint.path(), &["--allow-file-urls", "--dry-run"]).ok();
    }
    assert!(cut > 0, "nothing was ever cut off");
    host.install(&store, blueprint.path(), &["--allow-file-urls"]).ok();
    (0..6).for_each(|n| assert!(fs::read(host.at(&format!("srv/blob-{n}"))).unwrap() == new));
    // A file that was being written when it was cut off is not left beside the whole one.
    fs::write(host.at("srv/.blob-0.alloy-4711"), "half").unwrap();
    host.install(&store, blueprint.path(), &["--allow-file-urls", "--forget"]).ok();
    assert!(leftovers(&host.at("srv")).is_empty(), "{:?}", leftovers(&host.at("srv")));
    assert!(leftovers(blueprint.path()).is_empty(), "{:?}", leftovers(blueprint.path()));
}

#[test]
fn a_state_file_that_is_not_ours_is_neither_used_nor_lost() {
    let (host, store) = (Host::bare(), Store::new());
    let blueprint = tasks("- {name: Text, action: write_env_file, file: /srv/text, content: x}\n");
    let place = blueprint.path().join(STATE);
    host.install(&store, blueprint.path(), &[]).ok();
    let ours = fs::read_to_string(&place).unwrap();
    fs::remove_file(host.at("srv/text")).unwrap();
    let name = host.read("var/lib/alloy/host");
    let cases = [
        (ours[..ours.len() - 30].to_owned(), "is damaged"),
        (ours.replace("outcome: done", "outcome: maybe"), "is damaged: unknown variant `maybe`"),
        (ours.replace("tasks:", "tasks: ["), "is damaged: line "),
        ("\u{0}\u{1}".to_owned(), "is damaged"),
        ("completed_tasks: [a, b]\n".to_owned(), "was not written by `alloy install`"),
        (ours.replace("version: 1", "version: 2"), "is of a newer alloy (version 2)"),
        (ours.replace(name.trim(), "another"), "tells of another host: another, not "),
        (ours.replace("linux/", "linux/not-"), "tells of another platform"),
    ];
    for (content, said) in cases {
        fs::write(&place, &content).unwrap();
        for more in [&[][..], &["--dry-run"]] {
            let ended = host.install(&store, blueprint.path(), more).fails(1);
            assert!(ended.stderr.contains(said), "{said} is not in:\n{}", ended.stderr);
            assert!(ended.stderr.contains("hint: "), "{}", ended.stderr);
        }
        assert_eq!(fs::read_to_string(&place).unwrap(), content);
        assert!(!host.at("srv/text").exists());
    }
    host.install(&store, blueprint.path(), &["--forget"]).ok();
    assert_eq!(host.read("srv/text"), "x");
    host.install(&store, blueprint.path(), &[]).ok();

    // Another blueprint's, and another host's.
    let other = tasks("- {name: Else, action: write_env_file, file: /srv/else, content: x}\n");
    fs::write(other.path().join("manifest.yml"), "name: Else\nversion: 1.0.0\nrun_order: [tasks.yml]\n").unwrap();
    fs::copy(&place, other.path().join(STATE)).unwrap();
    let ended = host.install(&store, other.path(), &[]).fails(1);
    assert!(ended.stderr.contains("tells of another blueprint: Test (installed 20"), "{}", ended.stderr);
    let ended = host.drift(&store, &["--blueprint-dir", text(other.path())]).fails(1);
    assert!(ended.stderr.contains("tells of another blueprint: Test (installed 20"), "{}", ended.stderr);
    assert_eq!(ended.stdout, "");
    let drift = || host.drift(&store, &["--blueprint-dir", text(blueprint.path())]).ok();
    assert!(!drift().stderr.contains("is called"));
    let manifest = fs::read_to_string(blueprint.path().join("manifest.yml")).unwrap();
    fs::write(blueprint.path().join("manifest.yml"), manifest.replace("name: Test", "name: Renamed")).unwrap();
    let said = drift().stderr;
    assert!(said.contains("is of the blueprint `Test`, installed 20") && said.contains("`Renamed`"), "{said}");
    fs::write(blueprint.path().join("manifest.yml"), manifest).unwrap();
    let second = Host::bare();
    let ended = second.install(&store, blueprint.path(), &[]).fails(1);
    assert!(ended.stderr.contains("tells of another host"), "{}", ended.stderr);
    let its_own = format!("--state={}/second.yml", second.path().display());
    second.install(&store, blueprint.path(), &[&its_own]).ok();
    assert_eq!(second.read("srv/text"), "x");
}

#[test]
fn a_full_disk_leaves_the_state_as_it_was() {
    let (host, store) = (Host::bare(), Store::new());
    let blueprint = blueprint(&[
        ("manifest.yml", "name: Full\nversion: 1.0.0\nrun_order: [a.yml, b.yml]\n"),
        ("a.yml", "- {name: First, action: write_env_file, file: /srv/first, content: x}\n"),
        ("b.yml", "[]\n"),
    ]);
    let command = host.command(&store, Path::new("."), &[]);
    let install: Vec<String> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_str().unwrap().to_owned())
        .collect();
    // The disk of the blueprint is full, once with a state file and then without.
    let script = "mount -t tmpfs -o size=64k,mode=755 none /mnt && cp \"$0\"/*.yml /mnt && cd /mnt && \"$@\" && sum=$(sha256sum alloy.state.yml) &&\n\
                  echo '- {name: Second, action: write_env_file, file: /srv/second, content: y}' > b.yml && { cat /dev/zero > fill; \"$@\"; code=$?; } &&\n\
                  [ $code = 1 ] && [ \"$sum\" = \"$(sha256sum alloy.state.yml)\" ] && [ ! -e .alloy.state.yml.new ] && rm fill && \"$@\"";
    let mut unshare = std::process::Command::new("unshare");
    unshare.args(["--mount", "sh", "-c", script, text(blueprint.path())]).args(install);
    unshare.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let ended = run(&mut unshare).ok();
    assert!(
        ended
            .stderr
            .contains("cannot write ./alloy.state.yml: No space left on device (os error 28): the disk at /mnt has 0 KiB free of 64 KiB; it stays as it was"),
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.contains("hint: make room on that disk"), "{}", ended.stderr);
    assert!(ended.stdout.contains("\n1 done, 1 skipped (1 done before) in "), "{}", ended.stdout);
    assert_eq!(host.read("srv/second"), "y");
}

/// What is recorded as done with a file is done with the file that was hashed.
#[test]
fn a_file_that_changes_before_its_task_is_not_installed_as_what_it_was() {
    let (host, store) = (Host::bare(), Store::new());
    let tasks = "- {name: u, action: unpack, source: x.tar, dest: /opt/t}\n";
    let blueprint = blueprint(&[("manifest.yml", "name: x\nversion: 1.0.0\nrun_order: [t.yml]\n"), ("t.yml", tasks)]);
    let place = blueprint.path().canonicalize().unwrap();
    fs::write(place.join("tool"), "evil".repeat(1 << 20)).unwrap();
    tool("tar", &["-C", text(&place), "-cf", text(&place.join("x.tar")), "tool"]).ok();
    // As if it had been another one when it was hashed.
    let metadata = place.join("x.tar").metadata().unwrap();
    let known = serde_json::json!({
        "size": metadata.len(),
        "modified": [metadata.mtime(), metadata.mtime_nsec()],
        "changed": [metadata.ctime(), metadata.ctime_nsec()],
        "inode": metadata.ino(),
        "digest": Digest::of("another one"),
    });
    let key = Digest::of(place.join("x.tar").as_os_str().as_encoded_bytes()).hex();
    store.opened().put_record("files", &key, &serde_json::to_vec(&known).unwrap()).unwrap();
    let said = host.install(&store, &place, &[]).fails(1).stderr;
    assert!(said.contains("x.tar") && said.contains("it has changed since this began"), "{said}");
    assert!(!host.at("opt/t").exists());
    // The next one knows what it is.
    host.install(&store, &place, &[]).ok();
    assert!(host.read("opt/t/tool").starts_with("evil"));
}
