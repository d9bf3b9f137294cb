//! What is at a path of a host, in one line: what a task put there, to be compared with what is there later.

use std::fmt;
use std::io::{self, Read};
use std::path::Path;
use std::str::FromStr;

use layers::digest::{Digest, Hasher};
use layers::root::{FileKind, Root, RootError};
use serde::{Deserialize, Deserializer};

use super::clones::{GIT, elsewhere};
use crate::target::commit_of;

/// Bytes of a file that are looked at: whoever owns a file may make it as long as they like.
const MOST: u64 = if cfg!(test) { 1 << 20 } else { 16 << 30 };

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
    File(Content),
    /// A directory.
    Directory,
    /// git's own directory, with this commit checked out.
    Repository(String),
    /// Where a link points.
    Link(String),
    /// A device, named pipe or socket.
    Special,
    /// Nothing: a task has deleted what another put there.
    Absent,
}

/// What is known of a file's content: digest, size, or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// `None` for what was not read: it is too long, or already known to differ.
    pub digest: Option<Digest>,
    /// Bytes; earlier versions of alloy did not record them.
    pub size: Option<u64>,
}

impl Seen {
    /// What is at `path`, a link as itself.
    pub fn at(root: &Root, path: &Path) -> Result<Self, RootError> {
        Self::looked_at(root, path, None)
    }

    /// The same, to be compared with this: a file whose size says that it differs is not read.
    pub fn now(&self, root: &Root, path: &Path) -> Result<Self, RootError> {
        Self::looked_at(root, path, Some(self))
    }

    fn looked_at(root: &Root, path: &Path, was: Option<&Self>) -> Result<Self, RootError> {
        let found = match root.metadata(path) {
            Ok(found) => found,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(Self::ABSENT);
            }
            Err(error) => return Err(error),
        };
        let what = match found.kind {
            // That of a submodule says where git's own directory is. An earlier alloy took it for any other file.
            FileKind::File
                if path.file_name().is_some_and(|name| name == GIT)
                    && !was.is_some_and(|was| matches!(was.what, What::File(_)))
                    && elsewhere(root, path).is_some_and(|git| commit_of(root, &git).is_some()) =>
            {
                elsewhere(root, path).and_then(|git| commit_of(root, &git)).map_or(What::Special, What::Repository)
            }
            FileKind::File => {
                let file = root.open_file(path)?;
                let was = was.and_then(|was| if let What::File(content) = &was.what { Some(content) } else { None });
                What::File(Content::of(file, was).map_err(|error| RootError::new("read", path, error))?)
            }
            FileKind::Directory if path.file_name().is_some_and(|name| name == GIT) => {
                commit_of(root, path).map_or(What::Directory, What::Repository)
            }
            FileKind::Directory => What::Directory,
            FileKind::Symlink => What::Link(root.read_link(path)?.to_string_lossy().into_owned()),
            _ => What::Special,
        };
        Ok(Self { mode: found.mode, owner: (found.uid, found.gid), what })
    }

    /// What is recorded of a task that was to put right what was `wrong`, and has left this: a field that is as wrong as
    /// before stays as it `was`.
    pub fn put_right(&self, was: &Self, wrong: &Self) -> Self {
        if self.what.kind() != wrong.what.kind() {
            return self.clone();
        }
        if was.what.kind() != wrong.what.kind() {
            return if self.what == wrong.what { was.clone() } else { self.clone() };
        }
        let mut found = self.clone();
        if self.mode == wrong.mode {
            found.mode = was.mode;
        }
        if self.owner == wrong.owner {
            found.owner = was.owner;
        }
        if self.what == wrong.what {
            found.what = was.what.clone();
        }
        found
    }

    /// Nothing.
    pub const ABSENT: Self = Self { mode: 0, owner: (0, 0), what: What::Absent };

    /// How `now` differs, field by field: name, what it was, what it is.
    pub fn differences(&self, now: &Self) -> Vec<(&'static str, String, String)> {
        let kinds = (self.what.kind(), now.what.kind());
        // An earlier alloy did not look into git's own directory.
        let directories =
            [&self.what, &now.what].iter().all(|what| matches!(what, What::Directory | What::Repository(_)));
        if kinds.0 != kinds.1 && !directories {
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
            (What::File(was), What::File(is)) if was.differs(is) => match (was.size, is.size) {
                (Some(one), Some(other)) if one != other => {
                    add("content", format!("{one} bytes"), format!("{other} bytes"));
                }
                _ => add("content", was.to_string(), is.to_string()),
            },
            // Somebody may work in it: what else git keeps is no drift.
            (What::Repository(was), What::Repository(is)) => add("commit", was.clone(), is.clone()),
            (What::Repository(was), What::Directory) => add("commit", was.clone(), "none".to_owned()),
            (What::Link(was), What::Link(is)) => add("link target", was.clone(), is.clone()),
            _ => {}
        }
        found
    }
}

impl Content {
    fn of(file: std::fs::File, was: Option<&Self>) -> io::Result<Self> {
        let size = file.metadata()?.len();
        let unread = Self { digest: None, size: Some(size) };
        let known = was.is_some_and(|was| was.digest.is_none() || was.size.is_some_and(|was| was != size));
        if known || size > MOST {
            return Ok(unread);
        }
        let mut hasher = Hasher::new();
        // One that grows has changed anyway.
        let size = io::copy(&mut file.take(size.saturating_add(1)), &mut hasher)?;
        Ok(Self { digest: Some(hasher.finish()), size: Some(size) })
    }

    fn differs(&self, other: &Self) -> bool {
        let sizes = self.size.zip(other.size).map(|(one, other)| one == other);
        let digests = self.digest.zip(other.digest).map(|(one, other)| one == other);
        // Of what nothing tells that it is the same, it cannot be said.
        sizes == Some(false) || digests == Some(false) || (sizes.is_none() && digests.is_none())
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.digest, self.size) {
            (Some(digest), _) => write!(f, "{digest}"),
            (None, Some(size)) => write!(f, "{size} bytes"),
            (None, None) => f.write_str("unknown"),
        }
    }
}

impl FromStr for Content {
    type Err = SeenError;

    fn from_str(text: &str) -> Result<Self, SeenError> {
        let wrong = || SeenError(text.to_owned());
        let (mut digest, mut size) = (None, None);
        for word in text.split(' ') {
            match word.parse() {
                Ok(bytes) if size.is_none() => size = Some(bytes),
                Err(_) if digest.is_none() && size.is_none() => digest = Some(word.parse().map_err(|_| wrong())?),
                _ => return Err(wrong()),
            }
        }
        Ok(Self { digest, size })
    }
}

impl What {
    fn kind(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Directory => "directory",
            Self::Repository(_) => "repository",
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
            What::File(Content { digest, size }) => {
                digest.iter().try_for_each(|digest| write!(f, " {digest}"))?;
                size.iter().try_for_each(|size| write!(f, " {size}"))
            }
            What::Link(target) => write!(f, " {target}"),
            What::Repository(commit) => write!(f, " {commit}"),
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
                ("file", Some(content)) => What::File(content.parse().ok()?),
                ("directory", None) => What::Directory,
                // An earlier alloy has recorded more of it.
                ("repository", Some(text)) => What::Repository(text.split(' ').next()?.to_owned()),
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
    fn a_size_that_differs_is_enough() {
        let directory = tempfile::tempdir().unwrap();
        let (path, root) = (directory.path().join("file"), Root::open(directory.path()).unwrap());
        std::fs::write(&path, "x").unwrap();
        let was = Seen::at(&root, Path::new("file")).unwrap();
        assert!(
            was.to_string().ends_with(" 1") && was.differences(&was.now(&root, Path::new("file")).unwrap()).is_empty()
        );
        // As an earlier alloy has it.
        let old: Seen = was.to_string().strip_suffix(" 1").unwrap().parse().unwrap();
        assert!(old.differences(&old.now(&root, Path::new("file")).unwrap()).is_empty());
        std::fs::File::options().write(true).open(&path).unwrap().set_len(1 << 40).unwrap();
        for was in [was, old] {
            let now = was.now(&root, Path::new("file")).unwrap();
            let (field, _, is) = was.differences(&now).remove(0);
            assert_eq!((field, is.as_str()), ("content", "1099511627776 bytes"));
        }
        // One that was as long when it was recorded.
        let was: Seen = Seen::at(&root, Path::new("file")).unwrap().to_string().parse().unwrap();
        assert!(was.differences(&was.now(&root, Path::new("file")).unwrap()).is_empty());
    }

    #[test]
    fn what_is_as_wrong_as_before_stays_as_it_was() {
        let seen = |mode: &str, owner: &str, what: &str| -> Seen {
            format!("file {mode} {owner} {}", Digest::of(what)).parse().unwrap()
        };
        let (was, wrong) = (seen("0644", "0:0", "a"), seen("0666", "7:7", "b"));
        assert_eq!(seen("0666", "7:7", "a").put_right(&was, &wrong), was);
        assert_eq!(wrong.put_right(&was, &wrong), was);
        assert_eq!(seen("0600", "7:7", "c").put_right(&was, &wrong), seen("0600", "0:0", "c"));
        // What is of another kind by now was put there anew, or was not.
        let link: Seen = "link 0777 0:0 /x".parse().unwrap();
        assert_eq!(wrong.put_right(&link, &wrong), link);
        assert_eq!(seen("0666", "7:7", "a").put_right(&link, &wrong), seen("0666", "7:7", "a"));
        assert_eq!(wrong.put_right(&was, &Seen::ABSENT), wrong);
        assert_eq!(Seen::ABSENT.put_right(&was, &Seen::ABSENT), was);
    }

    #[test]
    fn every_field_counts() {
        let was: Seen = format!("file 0644 0:0 {}", Digest::of("a")).parse().unwrap();
        let is: Seen = format!("file 0600 1:0 {}", Digest::of("b")).parse().unwrap();
        let fields: Vec<_> = was.differences(&is).into_iter().map(|(field, ..)| field).collect();
        assert_eq!(fields, ["mode", "owner", "content"]);
    }
}
