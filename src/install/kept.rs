//! What git keeps of a repository beside its objects: branches, tags and what `git stash` put away, where they were
//! before, settings, hooks, other work trees, and all of that of submodules. Who works in a clone leaves something there.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use layers::digest::{Digest, Hasher};
use layers::root::{FileKind, Root};

/// Names that say nothing of somebody's work: objects are kept for the sake of what refers to them, and an index is what
/// the files are compared with that it names.
const LEFT_OUT: [&str; 5] = ["objects", "index", "FETCH_HEAD", "gc.log", "gc.pid"];
/// References one by one, and many in one file (gitrepository-layout(5)); git puts them from one into the other by itself.
const REFS: &str = "refs";
const PACKED: &str = "packed-refs";
/// Bytes of one file, and names in all.
const LIMIT: u64 = 64 << 20;
const MOST: usize = 200_000;

/// A digest of it, of the repository whose own directory is `git`; `None` where not all of it can be read.
pub fn of(root: &Root, git: &Path) -> Option<Digest> {
    let (mut files, mut alone, mut packed) = (Kept::new(), Kept::new(), Kept::new());
    let (mut open, mut seen) = (vec![PathBuf::new()], 0);
    while let Some(at) = open.pop() {
        let directory = root.directory(&git.join(&at)).ok()?;
        for name in directory.names().ok()? {
            seen += 1;
            let path = at.join(&name);
            if seen > MOST {
                return None;
            }
            if LEFT_OUT.iter().any(|left_out| name == *left_out) || path.ends_with("info/refs") {
                continue;
            }
            let metadata = directory.metadata(&name).ok()?;
            let mut bytes = Vec::new();
            match metadata.kind {
                FileKind::Directory => {
                    open.push(path);
                    continue;
                }
                FileKind::File => drop(directory.open_file(&name).ok()?.take(LIMIT + 1).read_to_end(&mut bytes).ok()?),
                FileKind::Symlink => bytes.extend(directory.read_link(&name).ok()?.as_os_str().as_encoded_bytes()),
                _ => return None,
            }
            if bytes.len() as u64 > LIMIT {
                return None;
            }
            if name == PACKED {
                packed.extend(references(&at, &String::from_utf8_lossy(&bytes)));
            } else if is_reference(&path) {
                alone.insert(path, String::from_utf8_lossy(&bytes).trim().to_owned());
            } else {
                files.insert(path, format!("{:?} {:o} {}", metadata.kind, metadata.mode, Digest::of(&bytes)));
            }
        }
    }
    // One that stands alone counts more than what the one file has for its name.
    packed.extend(alone);
    let mut hasher = Hasher::new();
    for (path, what) in files.iter().chain(&packed) {
        hasher.update(path.as_os_str().as_encoded_bytes());
        hasher.update(format!("\0{what}\0").as_bytes());
    }
    Some(hasher.finish())
}

/// Paths in git's own directory, and what is there.
type Kept = BTreeMap<PathBuf, String>;

/// References of the file `text`, in the directory `at`.
fn references(at: &Path, text: &str) -> Vec<(PathBuf, String)> {
    let lines = text.lines().filter(|line| !line.starts_with(['#', '^']));
    lines.filter_map(|line| line.split_once(' ')).map(|(commit, name)| (at.join(name), commit.to_owned())).collect()
}

/// True for a reference, not for the log of what one was.
fn is_reference(path: &Path) -> bool {
    path.iter().find(|part| *part == REFS || *part == "logs").is_some_and(|part| part == REFS)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn work_in_a_repository_is_noticed_and_what_git_does_by_itself_is_not() {
        let place = tempfile::tempdir().unwrap();
        let (root, git) = (Root::open(place.path()).unwrap(), place.path().join(".git"));
        let write = |name: &str, text: &str| {
            fs::create_dir_all(git.join(name).parent().unwrap()).unwrap();
            fs::write(git.join(name), text).unwrap();
        };
        let now = || of(&root, Path::new(".git")).unwrap();
        for (name, text) in
            [("HEAD", "a1"), ("config", "[core]"), ("refs/heads/main", "a1\n"), ("refs/tags/v1", "b2\n")]
        {
            write(name, text);
        }
        let was = now();
        write("index", "DIRC");
        write("objects/pack/x.pack", "PACK");
        write("FETCH_HEAD", "a1");
        // `git gc` packs references, those of submodules as well.
        fs::remove_file(git.join("refs/tags/v1")).unwrap();
        write(
            "packed-refs",
            "# pack-refs with: peeled fully-peeled sorted\na0 refs/heads/main\nb2 refs/tags/v1\n^b1\n",
        );
        assert_eq!(now(), was);
        for (name, text) in [
            ("refs/heads/main", "c3\n"),
            ("refs/stash", "c3\n"),
            ("modules/part/refs/heads/mine", "c3\n"),
            ("logs/HEAD", "a1 c3\n"),
            ("hooks/pre-commit", "#!/bin/sh"),
            ("config", "[user]"),
            ("worktrees/other/HEAD", "c3"),
            ("packed-refs", "a0 refs/heads/main\nb2 refs/tags/v1\nc3 refs/stash\n"),
        ] {
            let before = fs::read(git.join(name)).ok();
            write(name, text);
            assert_ne!(now(), was, "{name}");
            match before {
                Some(before) => fs::write(git.join(name), before).unwrap(),
                None => fs::remove_file(git.join(name)).unwrap(),
            }
            assert_eq!(now(), was, "{name}");
        }
    }
}
