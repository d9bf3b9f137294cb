//! Names of archive members, made safe to join to a root.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What an archive may write for a name, with elements that mean nothing.
const MAX_WRITTEN: usize = 32 << 10;
/// Linux `PATH_MAX` without the NUL at the end and the `/` of the root at the beginning.
const MAX_LENGTH: usize = 4094;
/// Linux `NAME_MAX`.
const MAX_NAME: usize = 255;

/// Why a member's name is refused.
#[derive(Debug, thiserror::Error)]
#[error("archive member `{}` {problem}", shown(.name))]
pub struct PathError {
    name: Vec<u8>,
    problem: &'static str,
}

impl PathError {
    /// What is wrong with the name.
    pub(crate) fn problem(&self) -> &'static str {
        self.problem
    }
}

/// True for what steers a terminal, or turns round what is shown behind it (Unicode's bidirectional embeddings, overrides
/// and isolates, UAX #9).
pub fn steers(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A name goes to terminals: what would steer them does not.
pub fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(name).chars().map(|c| if steers(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// A relative path without `.`, `..` and empty elements; empty for the root itself.
/// A leading `/` is dropped, as tar(1) does; a name that would leave the root is refused.
pub fn clean(name: &[u8]) -> Result<PathBuf, PathError> {
    let refuse = |problem| Err(PathError { name: name[..name.len().min(256)].to_vec(), problem });
    if name.len() > MAX_WRITTEN {
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
            element if element.len() > MAX_NAME => {
                return refuse("has an element longer than the 255 bytes that Linux allows");
            }
            element => path.push(OsStr::from_bytes(element)),
        }
    }
    if path.as_os_str().len() > MAX_LENGTH {
        return refuse("has a name longer than the 4096 bytes that Linux allows");
    }
    Ok(path)
}

/// The same for names that nobody has a reason to write in another way: absolute names, `..`, control characters and
/// what is not UTF-8 are refused. What such a name is joined to, and shown on, is as it was meant.
pub fn plain(name: &[u8]) -> Result<PathBuf, PathError> {
    let refuse = |problem| Err(PathError { name: name[..name.len().min(256)].to_vec(), problem });
    let Ok(text) = std::str::from_utf8(name) else { return refuse("has a name that is not UTF-8") };
    if text.contains(char::is_control) {
        return refuse("has a control character in its name");
    }
    if text.starts_with('/') {
        return refuse("has an absolute name");
    }
    if text.split('/').any(|element| element == "..") {
        return refuse("has `..` in its name");
    }
    clean(name)
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
        for name in [&b".."[..], b"a/../../b", b"/..", b"a\0b", &[b'a'; 300], &[b'/'; 40_000], &b"d/".repeat(2048)] {
            assert!(clean(name).is_err());
        }
        assert_eq!(clean(&[&b"./".repeat(3000)[..], &b"d/".repeat(2047)].concat()).unwrap().as_os_str().len(), 4093);
    }

    #[test]
    fn plain_names_are_what_they_seem() {
        assert_eq!(plain(b"./tasks/10-base.yml").unwrap(), Path::new("tasks/10-base.yml"));
        assert_eq!(plain("tools/größe.tar".as_bytes()).unwrap(), Path::new("tools/größe.tar"));
        for name in [&b"/etc/passwd"[..], b"a/../b", b"..", b"a\nb", b"\x1b[2J", b"a\xff", "a\u{9b}".as_bytes()] {
            let error = plain(name).unwrap_err().to_string();
            assert!(!error.contains(char::is_control), "{error:?}");
        }
    }

    #[test]
    fn stripping_may_leave_nothing() {
        assert_eq!(strip(Path::new("a/b/c"), 1), Some("b/c".into()));
        assert_eq!(strip(Path::new("a"), 1), None);
        assert_eq!(strip(Path::new("a"), 9), None);
    }
}
