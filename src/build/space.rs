//! Which disk it is that a command of a task found full.

use std::path::{Path, PathBuf};

use layers::disk;
use rustix::io::Errno;

/// What is memory, and no disk, for every command.
const MEMORY: &str = "/dev/";

/// What is said where there is room by now.
const GONE: &str = " now: what filled it is gone again, or it was another one (a task's /dev and /dev/shm are memory)";

/// `message`, of a task that failed, with the disk that its `output` says is full: the one of a path that the output names
/// there, if `root` has that; else the first of `places` that has next to nothing left, or the first.
pub fn told(message: String, output: &[String], root: Option<&Path>, places: &[&Path]) -> String {
    let Some(line) = output.iter().rev().find(|line| disk::tells_of_full(line)) else { return message };
    if disk::names_full(&message) || line.contains(MEMORY) {
        return message;
    }
    let named = root.and_then(|root| named(root, line));
    let scarce = places.iter().find(|place| disk::is_scarce(place)).or(places.first());
    let Some(place) = named.as_deref().or(scarce.copied()) else { return message };
    let Some(left) = disk::left_at(place) else { return message };
    let full = Errno::NOSPC.to_string();
    let full = if disk::tells_of_full(&message) { "" } else { &*format!(": {full}") };
    let now = if disk::is_scarce(place) { "" } else { GONE };
    format!("{message}{full}: {left}{now}")
}

/// A path below `root` that `line` names.
fn named(root: &Path, line: &str) -> Option<PathBuf> {
    let words = line.split(|at: char| at.is_whitespace() || "'\"`:,;()".contains(at));
    let paths = words.filter_map(|word| word.strip_prefix('/').filter(|rest| !rest.is_empty()));
    let mut there = paths.map(|path| root.join(path)).filter(|path| path.parent().is_some_and(Path::is_dir));
    there.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_disk_is_named_where_a_command_says_that_it_is_full() {
        let place = tempfile::tempdir().unwrap();
        let told = |message: &str, line: &str, root: Option<&Path>| {
            told(message.to_owned(), &["before".into(), line.into()], root, &[place.path()])
        };
        let full = "dd: error writing '/opt/x': No space left on device";
        let said = told("the command failed", full, None);
        assert!(said.starts_with("the command failed: No space left on device (os error 28): the disk at /"), "{said}");
        assert_eq!(told("the command failed", "no such thing", None), "the command failed");
        assert_eq!(told("the command failed", "cat: /dev/shm/x: No space left on device", None), "the command failed");
        assert_eq!(told(&said, full, None), said);
        // Another disk, by the path that the command names.
        let proc = "cp: error writing '/proc/x': No space left on device";
        assert!(told("no", proc, Some(Path::new("/"))).contains("the disk at /proc "), "{proc}");
    }
}
