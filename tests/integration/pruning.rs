//! What is left behind, and how it goes: beside others, on full disks, in stores that were cut off.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use crate::support::{Ended, Store, repository, tasks, text, tool};

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn built() -> Store {
    let store = Store::with_base();
    store.build(&[text(&repository("examples/hello")), "-t", "kept"]);
    store
}

/// A command that has said that it runs, and ends once it is written to.
struct Waiting(Child);

impl Waiting {
    fn spawn(command: &mut Command, up: &str) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line.trim(), up);
        Self(child)
    }

    fn end(mut self) -> String {
        self.0.stdin.take().unwrap().write_all(b"\n").unwrap();
        let output = self.0.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

/// A build whose task runs until the build is interrupted.
fn building(store: &Store) -> Child {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let mark = format!("sleep 86398.{}{:03}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let blueprint = tasks(&format!("- {{name: wait, action: run_command, reason: test, command: '{mark}; true'}}\n"));
    let mut command = store.alloy(&["build", text(blueprint.path())]);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let line = mark.replace(' ', "\0");
    crate::support::http::until("the build is at work", || {
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let mut lines = processes.filter_map(|process| fs::read_to_string(process.path().join("cmdline")).ok());
        lines.any(|found| found.contains(&line))
    });
    child
}

fn interrupted(mut child: Child) {
    tool("kill", &["-INT", &child.id().to_string()]).ok();
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

/// Leaves in the store what a killed alloy does: a file that nobody holds, a tree, a directory of a build and its lock.
fn leave_behind(store: &Path) {
    fs::create_dir(store.join("tmp/tree-dead")).unwrap();
    fs::write(store.join("tmp/tree-dead/file"), "left").unwrap();
    fs::write(store.join("tmp/held-dead"), "left").unwrap();
    fs::create_dir(store.join("work/build-dead")).unwrap();
    fs::write(store.join("work/build-dead/file"), "left").unwrap();
    fs::write(store.join("locks/build-dead"), "").unwrap();
    fs::write(store.join("locks/layer-dead"), "").unwrap();
}

#[test]
fn who_is_alone_leaves_nothing_behind() {
    let store = built();
    let build = building(&store);
    interrupted(build);
    let place = store.path().join("store");
    leave_behind(&place);
    fs::create_dir_all(place.join("aside/trees-layer-dead/tree")).unwrap();
    store.run(&["prune", "--all"]).ok();
    for part in ["aside", "tmp", "work", "trees", "blobs/sha256", "downloads", "cache"] {
        assert_eq!(names(&place.join(part)), [""; 0], "{part}");
    }
    assert_eq!(names(&place.join("locks")), ["door", "store"]);
}

#[test]
fn the_next_build_clears_what_the_dead_left() {
    let store = built();
    let place = store.path().join("store");
    let build = building(&store);
    interrupted(build);
    fs::write(place.join("tmp/held-dead"), "left").unwrap();
    let blueprint = tasks("- {name: one, action: run_command, reason: test, command: 'true'}\n");
    store.build(&[text(blueprint.path())]);
    assert_eq!((names(&place.join("tmp")).len(), names(&place.join("work")).len()), (0, 0));
}

#[test]
fn locks_do_not_accumulate() {
    let store = built();
    for _ in 0..4 {
        store.run(&["run", "kept", "true"]).ok();
        store.build(&[text(&repository("examples/hello")), "--no-cache"]);
    }
    assert_eq!(names(&store.path().join("store/locks")), ["door", "store"]);
}

#[test]
fn a_container_keeps_its_trees_and_holds_nothing_else_up() {
    let store = built();
    let place = store.path().join("store");
    let mut command = Command::new(crate::support::ALLOY);
    command.args(["run", "kept", "sh", "-c", "echo up; read line; cat /etc/profile.d/hello.sh; ls /usr | wc -l"]);
    command.env("ALLOY_HOME", &place);
    let container = Waiting::spawn(&mut command, "up");
    let ended = store.run(&["prune", "--all", "--wait=5"]).ok();
    assert!(ended.stdout.contains("freed") && !ended.stderr.contains("others are at work"), "{}", ended.stderr);
    assert!(names(&place.join("blobs/sha256")).is_empty() && !names(&place.join("trees")).is_empty());
    assert_eq!(names(&place.join("work")).len(), 1);
    let said = container.end();
    assert!(said.contains("GREETING=") && said.lines().last().is_some_and(|count| count != "0"), "{said}");
    store.run(&["prune"]).ok();
    assert_eq!((names(&place.join("trees")).len(), names(&place.join("work")).len()), (0, 0));
}

#[test]
fn beside_a_build_only_what_nobody_needs_goes() {
    let store = built();
    let place = store.path().join("store");
    let before = (names(&place.join("blobs/sha256")), names(&place.join("trees")));
    let build = building(&store);
    leave_behind(&place);
    let old = place.join("downloads").join(format!("{}.part", "0".repeat(64)));
    let new = place.join("downloads").join(format!("{}.part", "1".repeat(64)));
    for path in [&old, &new] {
        fs::write(path, "half").unwrap();
    }
    let day = Duration::from_secs(25 * 3600);
    fs::File::options().write(true).open(&old).unwrap().set_modified(SystemTime::now() - day).unwrap();
    let dry = store.run(&["prune", "--dry-run"]).ok();
    assert!(dry.stderr.contains("others are at work") && dry.stdout.contains("would free"), "{}", dry.stderr);
    assert!(old.exists() && place.join("tmp/held-dead").exists());
    let ended = store.run(&["prune"]).ok();
    assert!(ended.stderr.contains("`alloy prune --wait`"), "{}", ended.stderr);
    assert_eq!((names(&place.join("blobs/sha256")), names(&place.join("trees"))), before);
    // A tree of an older alloy may be under way: it stays for a day.
    assert_eq!(names(&place.join("tmp")), ["tree-dead"]);
    assert_eq!(names(&place.join("work")).len(), 1);
    assert!(!old.exists() && new.exists() && !place.join("locks/layer-dead").exists());
    let ended = store.run(&["prune", "--wait=1"]).fails(1);
    assert!(ended.stderr.contains("others were at work") && ended.stderr.contains("hint:"), "{}", ended.stderr);
    let waiting =
        store.alloy(&["prune", "--wait", "--all"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    interrupted(build);
    let waited = waiting.wait_with_output().unwrap();
    assert!(waited.status.success() && String::from_utf8_lossy(&waited.stdout).contains("freed"));
    assert_eq!((names(&place.join("tmp")).len(), names(&place.join("trees")).len()), (0, 0));
}

/// Runs `script` with `$1`, alloy, `$2`, a blueprint, and `$3`, a store that has the base, in a mount namespace where
/// `/mnt` is a disk with these options.
fn on_a_disk(options: &str, script: &str, blueprint: &Path) -> Ended {
    let script = format!("mount -t tmpfs -o {options} none /mnt || exit 99\nexport ALLOY_HOME=/mnt/store\n{script}");
    let mut command = Command::new("unshare");
    let with_base = crate::support::base::template().join("store");
    command.args(["--mount", "sh", "-c", &script, "sh", crate::support::ALLOY, text(blueprint), text(&with_base)]);
    crate::support::run(command.env_remove("SUDO_USER"))
}

#[test]
fn a_full_disk_is_pruned() {
    for (options, fill) in [
        ("size=400m,mode=755", "head -c 1G /dev/zero > /mnt/fill"),
        ("size=900m,nr_inodes=16k,mode=755", "mkdir /mnt/f; i=0; while : > /mnt/f/$i; do i=$((i+1)); done"),
    ] {
        let script = format!(
            "cp -a \"$3\" /mnt/store && \"$1\" build \"$2\" -t x || exit 98
             mkdir /mnt/store/tmp/tree-dead && echo > /mnt/store/tmp/tree-dead/x || exit 97
             ({fill}) 2> /mnt/store/log
             \"$1\" prune --all || exit 96
             ls /mnt/store/tmp /mnt/store/work /mnt/store/trees /mnt/store/blobs/sha256 /mnt/store/downloads"
        );
        let ended = on_a_disk(options, &script, &repository("examples/hello")).ok();
        let left = ended.stdout.split("freed").nth(1).unwrap();
        assert_eq!(left.lines().skip(1).filter(|line| !line.is_empty() && !line.ends_with(':')).count(), 0, "{left}");
    }
}

#[test]
fn a_full_disk_is_named_with_what_is_left_of_it() {
    let hello = repository("examples/hello");
    for (options, said) in
        [("size=24m,mode=755", "the disk at /mnt has "), ("size=400m,nr_inodes=300,mode=755", " more files")]
    {
        let ended = on_a_disk(
            options,
            "\"$1\" build \"$2\"; code=$?; find /mnt/store/tmp /mnt/store/work -mindepth 1; exit $code",
            &hello,
        );
        let ended = ended.fails(1);
        assert!(!ended.stderr.contains("/merged ") && ended.stderr.contains(" the disk at /mnt"), "{}", ended.stderr);
        assert!(
            ended.stderr.contains(said) && ended.stderr.contains("hint: make room on that disk"),
            "{}",
            ended.stderr
        );
        assert_eq!((ended.stdout.as_str(), ended.stderr.matches("hint:").count()), ("", 1), "{}", ended.stderr);
    }
    let script = "mkdir /mnt/small && mount -t tmpfs -o size=1m none /mnt/small && cp -a \"$3\" /mnt/store || exit 99
                  \"$1\" build \"$2\" -o type=oci-archive,dest=/mnt/small/out";
    let ended = on_a_disk("size=400m,mode=755", script, &hello).fails(1);
    assert!(ended.stderr.contains("the disk at /mnt/small has "), "{}", ended.stderr);
    assert!(ended.stderr.contains("name a place on another one"), "{}", ended.stderr);
}

#[test]
fn a_disk_that_a_task_fills_is_named() {
    let tasks = |command: &str| {
        crate::support::tasks(&format!("- {{name: Fill, action: run_command, reason: test, command: {command}}}\n"))
    };
    let build = "cp -a \"$3\" /mnt/store && \"$1\" build \"$2\"";
    for (command, said) in [
        ("head -c 1G /dev/zero > /opt/fill", "the disk at /mnt has "),
        ("'mkdir /opt/f; cd /opt/f; i=0; while : > $i; do i=$((i+1)); done; exit 1'", " more files"),
    ] {
        let ended = on_a_disk("size=400m,nr_inodes=16k,mode=755", build, tasks(command).path()).fails(1);
        let first = ended.stderr.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
        assert!(first.contains("No space left on device") && first.contains(said), "{}", ended.stderr);
        assert!(ended.stderr.contains("hint: make room on that disk: "), "{}", ended.stderr);
    }
    // What is memory is no disk.
    let ended = on_a_disk("size=400m,mode=755", build, tasks("head -c 65M /dev/zero > /dev/fill").path()).fails(1);
    assert!(ended.stderr.contains(" now: what filled it is gone again, or it was another one"), "{}", ended.stderr);
}

#[test]
fn a_store_that_can_only_be_read_serves_who_reads() {
    let hello = repository("examples/hello");
    let script = "cp -a \"$3\" /mnt/store && \"$1\" build \"$2\" -t x && mount -o remount,ro /mnt || exit 98
                  set -e
                  \"$1\" images | grep -q x:latest
                  \"$1\" inspect x > /dev/null
                  \"$1\" provenance x > /dev/null
                  \"$1\" plan \"$2\" > /dev/null
                  \"$1\" prune --dry-run > /dev/null
                  touch /mnt/none 2> /dev/null && exit 97
                  \"$1\" run x true";
    let ended = on_a_disk("size=400m,mode=755", script, &hello).fails(1);
    assert!(ended.stderr.contains("Read-only file system"), "{}", ended.stderr);
    assert!(ended.stderr.contains("hint: a store that can only be read serves `images`"), "{}", ended.stderr);
    // What was looked at once is known.
    let script = "cp -a \"$3\" /mnt/store && \"$1\" build \"$2\" -t x && \"$1\" sbom x > /dev/null && rm /mnt/store/locks/* && mount -o remount,ro /mnt || exit 98
                  \"$1\" sbom x > /dev/null && \"$1\" images";
    on_a_disk("size=400m,mode=755", script, &hello).ok();
}

#[test]
fn root_s_store_serves_users_who_may_read_it() {
    let user = crate::support::user::User::new();
    let store = built();
    for path in [store.path().to_owned(), store.path().join("store")] {
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    let place = store.path().join("store");
    let shown = user.shell(&format!(
        "export ALLOY_HOME={place}; alloy images && alloy inspect kept > /dev/null && alloy provenance kept > /dev/null && alloy prune --dry-run",
        place = text(&place)
    ));
    assert!(shown.ok().stdout.contains("kept:latest"));
    // Whoever may only read holds up nobody.
    assert_eq!(tool("stat", &["-c", "%a", text(&place.join("locks/store"))]).ok().stdout, "600\n");
    user.shell(&format!("ALLOY_HOME={} alloy run kept true", text(&place))).fails(2);
}

#[test]
fn a_damaged_version_is_told_or_written_anew() {
    let store = built();
    let version = store.path().join("store/version");
    for damaged in ["", "2\nX", "2\u{1}"] {
        fs::write(&version, damaged).unwrap();
        let ended = store.run(&["images"]).ok();
        assert!(
            ended.stdout.contains("kept:latest") && ended.stderr.contains("it is written anew"),
            "{}",
            ended.stderr
        );
        assert_eq!(fs::read_to_string(&version).unwrap(), "2\n");
    }
    fs::write(&version, "garbage").unwrap();
    let ended = store.run(&["images"]).fails(1);
    assert!(ended.stderr.contains("is damaged: its file `version` says \"garbage\""), "{}", ended.stderr);
    assert!(ended.stderr.contains("hint: ") && !ended.stderr.contains("newer"), "{}", ended.stderr);
    fs::remove_file(&version).unwrap();
    fs::create_dir(&version).unwrap();
    assert!(store.run(&["images"]).fails(1).stderr.contains("its file `version` is a directory"));
    fs::remove_dir(&version).unwrap();
    fs::write(&version, "3\n").unwrap();
    assert!(store.run(&["images"]).fails(1).stderr.contains("use a newer alloy"));
}

/// The kernel mounts an overlay there, and cannot rename a directory in it.
#[test]
fn a_store_without_attributes_is_refused_with_what_helps() {
    let blueprint = crate::support::copy_of("examples/hello");
    let script = "mkdir /mnt/all && mount -t ramfs none /mnt/all || exit 98
                  export ALLOY_HOME=/mnt/all/store
                  \"$1\" build \"$2\"";
    let ended = on_a_disk("size=400m,mode=755", script, blueprint.path()).fails(5);
    assert!(ended.stderr.contains("a file system without extended attributes"), "{}", ended.stderr);
    assert!(ended.stderr.contains("--store DIR or ALLOY_HOME=DIR"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("packages"), "something was fetched: {}", ended.stderr);
}

#[test]
fn a_store_on_an_overlay_is_refused_with_what_helps() {
    let user = crate::support::user::User::new();
    let blueprint = crate::support::copy_of("examples/hello");
    tool("chmod", &["-R", "a+rX", text(blueprint.path())]).ok();
    for who in ["", user.home().file_name().unwrap().to_str().unwrap()] {
        let alloy = match who {
            "" => "\"$1\"".to_owned(),
            who => format!("runuser -u {who} -- env HOME=/home/{who} /home/{who}/alloy"),
        };
        let script = format!(
            "mkdir /mnt/low /mnt/up /mnt/work /mnt/all && chmod 777 /mnt/low /mnt/up
             mount -t overlay -o lowerdir=/mnt/low,upperdir=/mnt/up,workdir=/mnt/work overlay /mnt/all || exit 98
             export ALLOY_HOME=/mnt/all/store
             {alloy} build \"$2\""
        );
        let ended = on_a_disk("size=400m,mode=755", &script, blueprint.path()).fails(5);
        assert!(ended.stderr.contains("/mnt/all/store is on an overlay itself"), "{}", ended.stderr);
        assert!(ended.stderr.contains("--store DIR or ALLOY_HOME=DIR"), "{}", ended.stderr);
    }
}
