//! How an image and a host of the same blueprint may differ.

use std::path::Path;

use layers::root::Root;
use layers::tree::{Difference, difference, read};

/// What differs between the trees of an image and of a host, and should not.
pub fn unexplained(image: &Path, host: &Path) -> Vec<Difference> {
    let tree = |path: &Path| read(&Root::open(path).unwrap()).unwrap();
    let mut differences = difference(&tree(image), &tree(host));
    differences.retain(|found| reason(found).is_none());
    differences
}

/// Why a path differs between an image and a host, where that is as it should be.
fn reason(found: &Difference) -> Option<&'static str> {
    let path = found.path.to_str()?;
    let below = |places: &[&str]| places.iter().any(|place| path == *place || path.starts_with(&format!("{place}/")));
    if found.field == "mtime" {
        return Some("a host has real times");
    }
    if below(&["var/lib/alloy"]) {
        return Some("the host's name, by which its state file knows it");
    }
    if below(&[
        "var/lib/apt",
        "var/cache/apt",
        "var/cache/debconf",
        "var/cache/ldconfig",
        "var/lib/dpkg/lock",
        "var/lib/dpkg/lock-frontend",
        "var/lib/dpkg/triggers",
    ]) {
        return Some("apt, dpkg and ldconfig are the host's own: nothing is cleaned up");
    }
    if below(&["tmp"]) {
        return Some("a host keeps what commands leave in /tmp");
    }
    if path.ends_with(".pyc") && found.field == "content" {
        return Some("bytecode knows the time of its source, which in an image is the epoch");
    }
    if below(&["var/log"]) {
        return Some("a host keeps its logs");
    }
    if path.ends_with('-') || path.ends_with("-old") || path == "etc/.pwd.lock" {
        return Some("backups and locks of account files and databases");
    }
    if below(&["etc/shadow"]) {
        return Some("the day of a password: of the epoch in an image");
    }
    None
}
