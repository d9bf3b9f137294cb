//! What the tests that mount something share.

use std::process::Command;

/// Runs the test `in_a_namespace` of this program, which is ignored otherwise, in a mount namespace of its own: one is had
/// by a new process.
pub fn run_in_a_namespace() {
    let scratch = tempfile::tempdir().unwrap();
    let output = Command::new("unshare")
        .args(["--map-root-user", "--mount"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "in_a_namespace", "--ignored", "--nocapture"])
        .env("TMPDIR", scratch.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.contains("test result: ok. 1 passed"), "{told}");
}
