//! What is at a path of a host, in one line: what a task put there, to be compared with what is there later.

use std::fmt;
use std::io;
use std::path::Path;
use std::str::FromStr;

use layers::digest::{Digest, Hasher};
use layers::root::{FileKind, Root, RootError};
use serde::{Deserialize, Deserializer};

/// A path's kind, mode, owner and content. Times are left out: they say nothing of what somebody wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Permission bits, set-id and sticky included.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u32, u32),
    /// What it holds.
    pub what: What,
}

/// What a path is, and what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A file's content.
    File(Digest),
    /// A directory.
    Directory,
    /// Where a link points.
    Link(String),
    /// A device, named pipe or socket.
    Special,
    /// Nothing: a task has deleted what another put there.
    Absent,
}

impl Seen {
    /// What is at `path`, a link as itself.
    pub fn at(root: &Root, path: &Path) -> Result<Self, RootError> {
        let found = match root.metadata(path) {
            Ok(found) => found,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(Self::ABSENT);
            }
            Err(error) => return Err(error),
        };
        let what = match found.kind {
            FileKind::File => {
                let mut hasher = Hasher::new();
                let mut file = root.open_file(path)?;
                io::copy(&mut file, &mut hasher).map_err(|error| RootError::new("read", path, error))?;
                What::File(hasher.finish())
            }
            FileKind::Directory => What::Directory,
            FileKind::Symlink => What::Link(root.read_link(path)?.to_string_lossy().into_owned()),
            _ => What::Special,
        };
        Ok(Self { mode: found.mode, owner: (found.uid, found.gid), what })
    }

    /// Nothing.
    pub const ABSENT: Self = Self { mode: 0, owner: (0, 0), what: What::Absent };

    /// How `now` differs, field by field: name, what it was, what it is.
    pub fn differences(&self, now: &Self) -> Vec<(&'static str, String, String)> {
        let kinds = (self.what.kind(), now.what.kind());
        if kinds.0 != kinds.1 {
            let absent = self.what == What::Absent || now.what == What::Absent;
            return vec![(if absent { "existence" } else { "kind" }, kinds.0.to_owned(), kinds.1.to_owned())];
        }
        let owner = |seen: &Self| format!("{}:{}", seen.owner.0, seen.owner.1);
        // A link's own mode means nothing.
        let mode = |seen: &Self| if matches!(seen.what, What::Link(_)) { 0 } else { seen.mode };
        let mut found = Vec::new();
        let mut add = |field, was: String, is: String| found.extend((was != is).then_some((field, was, is)));
        add("mode", format!("{:04o}", mode(self)), format!("{:04o}", mode(now)));
        add("owner", owner(self), owner(now));
        match (&self.what, &now.what) {
            (What::File(was), What::File(is)) => add("content", was.to_string(), is.to_string()),
            (What::Link(was), What::Link(is)) => add("link target", was.clone(), is.clone()),
            _ => {}
        }
        found
    }
}

impl What {
    fn kind(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Directory => "directory",
            Self::Link(_) => "link",
            Self::Special => "special",
            Self::Absent => "absent",
        }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.what == What::Absent {
            return f.write_str(self.what.kind());
        }
        write!(f, "{} {:04o} {}:{}", self.what.kind(), self.mode, self.owner.0, self.owner.1)?;
        match &self.what {
            What::File(digest) => write!(f, " {digest}"),
            What::Link(target) => write!(f, " {target}"),
            What::Directory | What::Special | What::Absent => Ok(()),
        }
    }
}

/// Not a line of [`Seen`].
#[derive(Debug, thiserror::Error)]
#[error("`{0}` does not say kind, mode, owner and content of a path")]
pub struct SeenError(String);

impl FromStr for Seen {
    type Err = SeenError;

    fn from_str(text: &str) -> Result<Self, SeenError> {
        if text == What::Absent.kind() {
            return Ok(Self::ABSENT);
        }
        let read = || {
            let mut parts = text.splitn(4, ' ');
            let (kind, mode, owner) = (parts.next()?, parts.next()?, parts.next()?);
            let what = match (kind, parts.next()) {
                ("file", Some(digest)) => What::File(digest.parse().ok()?),
                ("directory", None) => What::Directory,
                ("link", Some(target)) => What::Link(target.to_owned()),
                ("special", None) => What::Special,
                _ => return None,
            };
            let (uid, gid) = owner.split_once(':')?;
            Some(Self { mode: u32::from_str_radix(mode, 8).ok()?, owner: (uid.parse().ok()?, gid.parse().ok()?), what })
        };
        read().ok_or_else(|| SeenError(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for Seen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_it_all() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("file"), "x").unwrap();
        std::os::unix::fs::symlink("a b  c", directory.path().join("link")).unwrap();
        std::fs::create_dir(directory.path().join("dir")).unwrap();
        let root = Root::open(directory.path()).unwrap();
        for name in ["file", "link", "dir"] {
            let seen = Seen::at(&root, Path::new(name)).unwrap();
            assert_eq!(seen.to_string().parse::<Seen>().unwrap(), seen);
            assert!(seen.differences(&seen).is_empty());
            assert_eq!(seen.differences(&Seen::ABSENT)[0].0, "existence");
        }
        assert_eq!(Seen::at(&root, Path::new("file/x")).unwrap(), "absent".parse().unwrap());
        assert!("file 0644 0:0".parse::<Seen>().is_err() && "".parse::<Seen>().is_err());
    }

    #[test]
    fn every_field_counts() {
        let was: Seen = format!("file 0644 0:0 {}", Digest::of("a")).parse().unwrap();
        let is: Seen = format!("file 0600 1:0 {}", Digest::of("b")).parse().unwrap();
        let fields: Vec<_> = was.differences(&is).into_iter().map(|(field, ..)| field).collect();
        assert_eq!(fields, ["mode", "owner", "content"]);
    }
}
