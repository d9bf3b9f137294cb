//! alloy as a library: the example of `examples/library.rs`, and a program that forgets what it has to do first.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{ALLOY, Store, repository, text};

fn example() -> PathBuf {
    Path::new(ALLOY).with_file_name("examples").join("library")
}

#[test]
fn another_program_builds_the_same_image() {
    assert!(example().exists(), "`cargo test` makes it; for this test alone: cargo build --example library");
    let (directory, store) = (repository("examples/hello"), Store::new());
    let built = Command::new(example()).arg(&directory).arg(store.path()).output().unwrap();
    let said = String::from_utf8(built.stdout).unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let (digest, layers) = said.split_once('\n').unwrap();
    assert!(layers.lines().count() > 0 && layers.lines().all(|line| line.ends_with(" Built")), "{layers}");
    // What the library has made, the program finds; and what that makes is the same.
    let again = store.run(&["build", text(&directory), "-t", "hello"]).ok();
    assert!(again.stdout.contains(digest), "{digest}: {}", again.stdout);
}
