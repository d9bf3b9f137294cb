//! Builds that are cut off, interrupted, or not alone.

use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::http::{Server, send};
use crate::support::registry::Registry;
use crate::support::{ALLOY, Ended, Store, blueprint, repository, run, shared, tasks, text, tool};

/// Processes whose command line holds `mark`.
fn running(mark: &str) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| String::from_utf8_lossy(line).replace('\0', " ").contains(mark)).count()
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(60), "waited for: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Kills the build of `directory` in a store of its own after so many milliseconds, and builds once more.
fn killed(fresh: &Store, directory: &str, after: u64, expected: &serde_json::Value) {
    let mut child = fresh.alloy(&["build", directory]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(after));
    child.kill().unwrap();
    child.wait().unwrap();
    let place = text(fresh.path()).to_owned();
    let mounted = || std::fs::read_to_string("/proc/mounts").unwrap().contains(&place);
    wait_until("nothing is mounted", || !mounted());
    let metadata = fresh.build(&[directory]);
    assert_eq!(metadata["containerimage.digest"], expected["containerimage.digest"], "after {after} ms");
    let work = || std::fs::read_dir(fresh.path().join("store/work")).unwrap().count();
    if work() > 0 {
        // A worker that was not dead yet, on a busy machine, kept what it worked on.
        fresh.build(&[directory, "--no-cache"]);
    }
    assert_eq!(work(), 0, "work of a build that was killed after {after} ms is left");
}

#[test]
fn killed_at_any_moment_of_the_base_and_repeated() {
    let store = Store::with_base();
    let hello = repository("examples/hello");
    let expected = store.build(&[text(&hello)]);
    let downloads = store.path().join("store/downloads");
    for after in [400, 1600, 3500] {
        let fresh = Store::new();
        fresh.run(&["images"]).ok();
        // The packages are there, so that it is the making which is hit.
        let copy = format!("cp -r {}/. {}/store/downloads/", text(&downloads), text(fresh.path()));
        tool("sh", &["-c", &copy]).ok();
        killed(&fresh, text(&hello), after, &expected);
    }
}

#[test]
fn killed_at_any_moment_of_the_layers_and_repeated() {
    // Layers of many bytes and of few, by commands and by files.
    let manifest = "name: Killed\nversion: 1.0.0\nrun_order: [a.yml, b.yml, c.yml]\n";
    let much = "- {name: much, action: run_command, reason: test, command: 'seq 2000000 > /srv/much'}\n";
    let file = "- {name: file, action: write_env_file, file: /srv/file, content: x}\n";
    let many = "- {name: many, action: run_command, reason: test, command: 'mkdir /srv/many; cd /srv/many; seq 3000 | xargs touch'}\n";
    let directory = blueprint(&[("manifest.yml", manifest), ("a.yml", much), ("b.yml", file), ("c.yml", many)]);
    let path = text(directory.path());
    let start = Instant::now();
    let expected = Store::with_base().build(&[path]);
    // From the first moment to the last, however fast the machine is.
    let whole = u64::try_from(start.elapsed().as_millis()).unwrap();
    for round in 1..=6 {
        killed(&Store::with_base(), path, whole * round / 7, &expected);
    }
}

#[test]
fn two_builds_of_one_blueprint_at_once() {
    let store = Store::new();
    let hello = repository("examples/hello");
    let spawn = || {
        store
            .alloy(&["build", text(&hello), "-t", "hello"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let children = [spawn(), spawn(), spawn()];
    let outputs = children.map(|child| child.wait_with_output().unwrap());
    for output in &outputs {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.stdout, outputs[0].stdout);
    }
    // One of them made the base, the others waited for it.
    let made = outputs.iter().filter(|output| String::from_utf8_lossy(&output.stderr).contains("[base] built")).count();
    assert_eq!(made, 1);
}

#[test]
fn an_interrupt_ends_everything() {
    let mark = format!("sleep 86399.{}", std::process::id());
    let blueprint =
        tasks(&format!("- {{name: wait, action: run_command, reason: test, command: '{mark} & wait; {mark}'}}\n"));
    shared().build(&[text(&repository("examples/hello"))]);
    let store = shared();
    let child =
        store.alloy(&["build", text(blueprint.path())]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("the task runs", || running(&mark) > 0);
    let pid = child.id().to_string();
    crate::support::tool("kill", &["-INT", &pid]).ok();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    wait_until("the task's processes are gone", || running(&mark) == 0);
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
    assert!(!mounts.contains(text(store.path())), "{mounts}");
}

#[test]
fn a_task_that_fails_can_be_looked_into() {
    let blueprint = tasks(
        "- {name: first, action: write_env_file, file: /srv/first, content: there}\n\
         - {name: Break, action: run_command, reason: test, command: 'echo half > /srv/half; for i in $(seq 100); do echo line $i; done; exit 7'}\n",
    );
    let store = Store::with_base();
    let ended = store.run(&["build", text(blueprint.path())]).fails(1);
    for wanted in ["tasks.yml:2:10: Break: the command failed (exit status 7)", "  line 100", "alloy run alloy-failed"]
    {
        assert!(ended.stderr.contains(wanted), "{wanted} is not in:\n{}", ended.stderr);
    }
    let shown = store.run(&["run", "alloy-failed", "cat", "/srv/first", "/srv/half"]).ok();
    assert_eq!(shown.stdout, "therehalf\n");
}

#[test]
fn pruning_keeps_what_images_need() {
    let store = Store::with_base();
    let hello = repository("examples/hello");
    store.build(&[text(&hello), "-t", "kept"]);
    store.build(&[text(&hello), "--var", "GREETING=unused"]);
    let count = || std::fs::read_dir(store.path().join("store/blobs/sha256")).unwrap().count();
    let before = count();
    assert!(store.run(&["prune", "--dry-run"]).ok().stdout.contains("would free"));
    assert_eq!(count(), before);
    assert!(store.run(&["prune"]).ok().stdout.contains("freed"));
    // Layer, config, manifest and provenance of the unused one.
    assert_eq!(count(), before - 4);
    assert_eq!(store.run(&["run", "kept", "printenv", "GREETING"]).ok().stdout, "Hello from a layer\n");
    store.run(&["prune", "--all"]).ok();
    assert_eq!(count(), 0);
    assert_eq!(std::fs::read_dir(store.path().join("store/trees")).unwrap().count(), 0);
    store.build(&[text(&hello), "-t", "kept"]);
}

#[test]
fn whoever_reads_may_leave() {
    let hello = repository("examples/hello");
    shared().build(&[text(&hello)]);
    let nobody = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        Stdio::from(writer)
    };
    for arguments in [vec!["actions"], vec!["plan", text(&hello)], vec!["images"], vec!["completions", "bash"]] {
        let ended = shared().alloy(&arguments).stdout(nobody()).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success() && !said.contains("panicked"), "{arguments:?}: {said}");
        // What is lost otherwise is said.
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let ended = shared().alloy(&arguments).stdout(full).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(
            ended.status.code() == Some(1) && said.contains("cannot print: No space left"),
            "{arguments:?}: {said}"
        );
    }
    // Nobody follows the build: it is done all the same.
    for progress in ["plain", "tty"] {
        let store = Store::with_base();
        let arguments = ["build", text(&hello), "-t", "alone", "--progress", progress];
        let mut build = Command::new(ALLOY);
        build.args(arguments).env("ALLOY_HOME", store.path().join("store"));
        let ended = build.stdout(nobody()).stderr(nobody()).status().unwrap();
        assert!(ended.success(), "{progress}: {ended}");
        assert!(store.run(&["images"]).ok().stdout.contains("alone:latest"), "{progress}");
    }
}

/// A blueprint that unpacks more than a disk of 24 MiB has room for.
fn too_much() -> TempDir {
    let blueprint = blueprint(&[
        ("manifest.yml", "name: Much\nversion: 1.0.0\nrun_order: [tasks.yml]\nimage: {base: 'rootfs:./root'}\n"),
        ("tasks.yml", "- {name: Much, action: unpack, source: much.tar.gz, dest: /opt/much}\n"),
    ]);
    tool(
        "sh",
        &[
            "-c",
            "cd \"$1\" && mkdir -p root/etc && echo ID=debian > root/etc/os-release && yes alloy | head -c 40M > much && tar -czf much.tar.gz much && rm much",
            "sh",
            text(blueprint.path()),
        ],
    )
    .ok();
    blueprint
}

/// What alloy says in a mount namespace with a small disk at `/mnt`, and what lies there afterwards.
fn on_a_full_disk(arguments: &[&str]) -> Ended {
    let script = "mount -t tmpfs -o size=24m,mode=700 none /mnt && mkdir -p /mnt/root/etc && echo ID=debian > /mnt/root/etc/os-release || exit 99
                  \"$@\"; code=$?; find /mnt/store/work /mnt/store/tmp /mnt/root/opt -type f | grep -v lock; exit $code";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script, "sh", ALLOY]).args(arguments);
    run(command.env("ALLOY_HOME", "/mnt/store").env_remove("SUDO_USER"))
}

#[test]
fn a_full_disk_is_not_the_archives_fault() {
    let blueprint = too_much();
    let built = on_a_full_disk(&["build", text(blueprint.path())]).fails(1);
    assert!(built.stderr.contains("No space left on device"), "{}", built.stderr);
    assert!(built.stderr.contains("make room on that disk"), "{}", built.stderr);
    let installed =
        on_a_full_disk(&["install", "--blueprint-dir", text(blueprint.path()), "--root", "/mnt/root"]).fails(1);
    assert!(
        installed.stderr.contains("cannot write `/opt/much/much`: No space left on device"),
        "{}",
        installed.stderr
    );
    for ended in [&built, &installed] {
        assert!(!ended.stderr.contains("cannot read"), "{}", ended.stderr);
    }
    assert_eq!(built.stdout, "", "nothing half done lies about");
}

#[test]
fn a_full_disk_is_not_a_caches_fault() {
    let (store, blueprint) = (Store::new(), too_much());
    let script =
        "cd \"$1\" && rm much.tar.gz && head -c 40M /dev/urandom > much && tar -czf much.tar.gz much && rm much";
    tool("sh", &["-c", script, "sh", text(blueprint.path())]).ok();
    let manifest = blueprint.path().join("manifest.yml");
    let asks = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, asks.replace("./root'", "./root', env_from_profile: false")).unwrap();
    store.build(&[text(blueprint.path())]);
    let cache = format!("type=local,dest={}", blueprint.path().join("cache").display());
    store.run(&["cache", "export", &cache]).ok();
    let ended = on_a_full_disk(&["cache", "import", &cache]).fails(1);
    for part in
        ["cannot write to /mnt/store/tmp: No space left on device", "the disk at /mnt has", "make room on that disk"]
    {
        assert!(ended.stderr.contains(part), "no {part}: {}", ended.stderr);
    }
    for part in ["cannot read", "is not brought"] {
        assert!(!ended.stderr.contains(part), "{part}: {}", ended.stderr);
    }
}

#[test]
fn a_full_disk_is_not_the_servers_fault() {
    // One that breaks off after each 4 MiB, and goes on where it is asked to.
    let server = Server::start(|_, asked, stream| {
        let (size, from) = (40 << 20, asked.range().unwrap_or(0));
        let range = format!("Content-Range: bytes {from}-{}/{size}\r\n", size - 1);
        let (status, range) = if from == 0 { ("200 OK", "") } else { ("206 Partial Content", range.as_str()) };
        let headers = format!("ETag: \"v1\"\r\n{range}Content-Length: {}\r\n", size - from);
        send(stream, status, &headers, &vec![7; (4 << 20).min(size - from)]);
    });
    let blueprint = too_much();
    let task = format!("- {{name: Much, action: get_file, url: '{}', dest: /opt/much}}\n", server.url());
    std::fs::write(blueprint.path().join("tasks.yml"), task).unwrap();
    let ended = on_a_full_disk(&["build", text(blueprint.path())]).fails(1);
    assert!(ended.stderr.contains("cannot write the download of"), "{}", ended.stderr);
    // How much it has, and what would make room.
    for part in ["No space left on device", " free of 24 MiB, and the file has 40 MiB", "make room on that disk"] {
        assert!(ended.stderr.contains(part), "no {part}: {}", ended.stderr);
    }
}

#[test]
fn a_full_disk_is_not_a_mirrors_fault() {
    let (registry, store) = (Registry::start(), Store::new());
    let large = too_much();
    let script = "cd \"$1\" && head -c 40M /dev/urandom > root/etc/much";
    tool("sh", &["-c", script, "sh", text(large.path())]).ok();
    std::fs::write(large.path().join("tasks.yml"), "[]\n").unwrap();
    let manifest = large.path().join("manifest.yml");
    let asks = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, asks.replace("./root'", "./root', env_from_profile: false")).unwrap();
    store.build(&[text(large.path()), "-t", "large"]);
    // From here on the base itself is wanted, to ask it for its environment.
    std::fs::write(&manifest, asks).unwrap();
    store.run(&["push", "large", &registry.image("large:1")]).ok();
    let mirrored = format!("[[registry]]\nlocation = \"{0}\"\nmirror = [{{location = \"{0}\"}}]\n", registry.address);
    let config = large.path().join("registries.conf");
    std::fs::write(&config, mirrored).unwrap();
    let base = registry.image("large:1");
    let arguments = ["build", text(large.path()), "--base", &base, "--registry-config", text(&config)];
    let ended = on_a_full_disk(&arguments).fails(1);
    for part in ["No space left on device", ", and the file has 40 MiB", "make room on that disk"] {
        assert!(ended.stderr.contains(part), "no {part}: {}", ended.stderr);
    }
    assert!(!ended.stderr.contains("passed over"), "{}", ended.stderr);
}

/// Waits until nobody can write to the pipe any more.
fn fills(pipe: &impl AsFd) {
    let there = || rustix::io::ioctl_fionread(pipe).unwrap();
    wait_until("the pipe is full", || {
        let before = there();
        std::thread::sleep(Duration::from_millis(300));
        before > 32 << 10 && there() == before
    });
}

#[test]
fn whoever_reads_nothing_keeps_no_build_from_ending() {
    let blueprint = tasks("- {name: Much, action: run_command, reason: test, command: 'yes much | head -c 50M'}\n");
    let mut command = shared().alloy(&["--progress=plain", "--task-output=all", "build", text(blueprint.path())]);
    let mut child = command.arg("--no-cache").stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    // Somebody has the other end, and reads nothing of it.
    fills(child.stderr.as_ref().unwrap());
    tool("kill", &["-TERM", &child.id().to_string()]).ok();
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn what_waits_for_no_work_hears_signals_as_any_program_does() {
    let store = Store::with_base();
    store.build(&[text(&repository("examples/hello")), "-t", "hello"]);
    let (reader, mut writer) = std::io::pipe().unwrap();
    // What alloy prints has no room behind this.
    writer.write_all(&[b'.'; 16 << 10]).unwrap();
    let mut child = store.alloy(&["sbom", "hello"]).stdout(writer).spawn().unwrap();
    fills(&reader);
    tool("kill", &["-TERM", &child.id().to_string()]).ok();
    assert_eq!(child.wait().unwrap().signal(), Some(15));
}

#[test]
fn of_output_without_an_end_little_is_quoted() {
    let command = "head -c 20000000 /dev/zero | tr \"\\\\0\" x; echo; echo the end; exit 7";
    let blueprint =
        crate::support::tasks(&format!("- {{name: Long, action: run_command, reason: test, command: '{command}'}}\n"));
    let ended = shared().run(&["build", text(blueprint.path()), "--task-output", "failures"]).fails(1);
    assert!(ended.stderr.contains("\n  … xxx") && ended.stderr.contains("\n  the end\n"), "{}", ended.stderr);
    let error = ended.stderr.split("its last output:").nth(1).unwrap();
    assert!(error.len() < 12 << 10, "{} bytes", error.len());
}
