//! Names of archive members, made safe to join to a root.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Linux `PATH_MAX`, and some: a name longer than this cannot be made.
const MAX_LENGTH: usize = 32 << 10;
/// Linux `NAME_MAX`.
const MAX_NAME: usize = 255;

/// Why a member's name is refused.
#[derive(Debug, thiserror::Error)]
#[error("archive member `{}` {problem}", String::from_utf8_lossy(.name))]
pub struct PathError {
    name: Vec<u8>,
    problem: &'static str,
}

/// A relative path without `.`, `..` and empty elements; empty for the root itself.
/// A leading `/` is dropped, as tar(1) does; a name that would leave the root is refused.
pub fn clean(name: &[u8]) -> Result<PathBuf, PathError> {
    let refuse = |problem| Err(PathError { name: name[..name.len().min(256)].to_vec(), problem });
    if name.len() > MAX_LENGTH {
        return refuse("has a name that is too long");
    }
    if name.contains(&0) {
        return refuse("has a NUL byte in its name");
    }
    let mut path = PathBuf::new();
    for element in name.split(|byte| *byte == b'/') {
        match element {
            b"" | b"." => {}
            b".." => {
                if !path.pop() {
                    return refuse("points outside the archive");
                }
            }
            element if element.len() > MAX_NAME => return refuse("has an element that is too long"),
            element => path.push(OsStr::from_bytes(element)),
        }
    }
    Ok(path)
}

/// `path` without its first `count` elements; `None` when nothing is left.
pub fn strip(path: &Path, count: u32) -> Option<PathBuf> {
    let mut elements = path.components();
    for _ in 0..count {
        elements.next()?;
    }
    let rest = elements.as_path();
    (!rest.as_os_str().is_empty()).then(|| rest.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_relative_and_stay_inside() {
        for (name, path) in [("./a/b/", "a/b"), ("/a//./b", "a/b"), ("a/../b", "b"), ("./", ""), ("", "")] {
            assert_eq!(clean(name.as_bytes()).unwrap(), Path::new(path), "{name}");
        }
        for name in [&b".."[..], b"a/../../b", b"/..", b"a\0b", &[b'a'; 300], &[b'/'; 40_000]] {
            assert!(clean(name).is_err());
        }
    }

    #[test]
    fn stripping_may_leave_nothing() {
        assert_eq!(strip(Path::new("a/b/c"), 1), Some("b/c".into()));
        assert_eq!(strip(Path::new("a"), 1), None);
        assert_eq!(strip(Path::new("a"), 9), None);
    }
}
