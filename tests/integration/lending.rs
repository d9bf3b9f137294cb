//! What is lent to commands takes nothing of the sandbox away.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{ALLOY, Ended, repository, run, shared, text, tool};

/// A file system that cannot translate ids.
struct Fixed(tempfile::TempDir);

impl Fixed {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        tool("mount", &["-t", "ramfs", "none", text(place.path())]).ok();
        std::fs::write(place.path().join("mine"), "mine").unwrap();
        Self(place)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Fixed {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.path()).status();
    }
}

fn store() -> PathBuf {
    shared().build(&[text(&repository("examples/hello")), "-t", "lending"]);
    shared().path().join("store")
}

fn with_volume(volume: &str, mode: Option<&str>, script: &str) -> Ended {
    let mut command = Command::new(ALLOY);
    command.args(["run", "-v", volume, "lending", "sh", "-c", script]).env("ALLOY_HOME", store());
    run(command.env_remove("ALLOY_SANDBOX").envs(mode.map(|mode| ("ALLOY_SANDBOX", mode))))
}

#[test]
fn the_namespace_stays_whatever_is_lent() {
    let fixed = Fixed::new();
    let script = "read inside outside count < /proc/self/uid_map; test $outside -gt 0";
    for place in [fixed.path(), Path::new("/proc"), Path::new("/sys")] {
        let ended = with_volume(&format!("{}:/lent:ro", text(place)), None, script).ok();
        assert_eq!(ended.stderr, "", "nothing to be said");
    }
    let ended = with_volume(&format!("{}:/lent:ro", text(fixed.path())), None, "cat /lent/mine").ok();
    assert_eq!(ended.stdout, "mine");
    // As docker and podman take it.
    let ended =
        with_volume(&format!("{}:/lent:z,ro", text(fixed.path())), None, "cat /lent/mine; ! touch /lent/no").ok();
    assert_eq!(ended.stdout, "mine");
    with_volume(&format!("{}:/lent:sticky", text(fixed.path())), None, "true").fails(2);
    let writable = format!("{}:/lent", text(fixed.path()));
    for mode in [None, Some("userns")] {
        let ended = with_volume(&writable, mode, "true");
        assert_ne!(ended.code, Some(0));
        assert!(ended.stderr.contains(&format!("cannot lend {} for writing", text(fixed.path()))), "{}", ended.stderr);
        assert!(ended.stderr.contains("ALLOY_SANDBOX=privileged"), "{}", ended.stderr);
    }
    with_volume(&writable, Some("privileged"), "echo new > /lent/new").ok();
    assert_eq!(std::fs::read_to_string(fixed.path().join("new")).unwrap(), "new\n");
}

#[test]
fn a_machine_without_the_namespace_says_so() {
    let store = store();
    // Where a part of /proc is covered, as in a container, a user namespace gets no fresh one.
    let inside = "mount --bind /dev/null /proc/interrupts && \"$0\" run lending cat /proc/self/uid_map";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", inside, ALLOY]).env("ALLOY_HOME", store).env_remove("ALLOY_SANDBOX");
    let ended = run(&mut command).ok();
    assert_eq!(ended.stdout.split_whitespace().collect::<Vec<_>>(), ["0", "0", "4294967295"]);
    assert_eq!(ended.stderr.matches("without a user namespace").count(), 1, "{}", ended.stderr);
}
