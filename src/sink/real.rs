//! Where a path leads, and whose links lead there.

use std::ffi::OsString;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use rustix::io::Errno;

use super::SinkError;

/// As many links as the kernel follows.
const LINKS: usize = 40;

/// A path without links, all of which exists.
#[derive(Debug, Default)]
pub(super) struct Real {
    pub(super) path: PathBuf,
    /// Links of others that were followed, and their owners.
    pub(super) followed: Vec<(PathBuf, u32)>,
}

/// Why there is none.
#[derive(Debug)]
pub(super) enum Obstacle {
    /// A link that somebody else made where anybody may make names.
    Foreign(PathBuf),
    Io(io::Error),
}

impl Obstacle {
    /// What to say of `named`, if `other` is no better.
    pub(super) fn told(self, named: &Path, other: impl FnOnce(io::Error) -> SinkError) -> SinkError {
        match self {
            Self::Foreign(found) => SinkError::Foreign { path: named.to_owned(), found },
            Self::Io(error) => other(error),
        }
    }
}

impl Real {
    /// Follows `path` as the kernel has it where links are protected (proc(5), protected_symlinks), each element of it:
    /// who may make names for others leads nobody astray.
    pub(super) fn of(path: &Path) -> Result<Self, Obstacle> {
        let absolute = std::path::absolute(path).map_err(Obstacle::Io)?;
        let mut real = Self { path: PathBuf::from("/"), followed: Vec::new() };
        let mut links = 0;
        let mut left: Vec<OsString> = elements(&absolute);
        while let Some(name) = left.pop() {
            if name == ".." {
                real.path.pop();
                continue;
            }
            let place = real.path.join(&name);
            let found = place.symlink_metadata().map_err(Obstacle::Io)?;
            if !found.is_symlink() {
                if !left.is_empty() && !found.is_dir() {
                    return Err(Obstacle::Io(Errno::NOTDIR.into()));
                }
                real.path = place;
                continue;
            }
            links += 1;
            if links > LINKS {
                return Err(Obstacle::Io(Errno::LOOP.into()));
            }
            let target = real.link(&place, &found)?;
            if target.is_absolute() {
                real.path = PathBuf::from("/");
            }
            left.extend(elements(&target));
        }
        Ok(real)
    }

    /// Where the link at `place`, in the directory where this is, leads.
    pub(super) fn link(&mut self, place: &Path, found: &Metadata) -> Result<PathBuf, Obstacle> {
        if foreign(found, &self.path) {
            return Err(Obstacle::Foreign(place.to_owned()));
        }
        // The machine's root has another number where a user namespace does not know it.
        let top = Path::new("/").symlink_metadata().map_err(Obstacle::Io)?.uid();
        if ![0, top, rustix::process::geteuid().as_raw()].contains(&found.uid()) {
            self.followed.push((place.to_owned(), found.uid()));
        }
        place.read_link().map_err(Obstacle::Io)
    }
}

/// Whose link it is has what it leads to.
pub(super) fn theirs(followed: &[(PathBuf, u32)], owner: u32, named: &Path) -> Result<(), SinkError> {
    let astray = followed.iter().find(|(_, of)| *of != owner);
    astray.map_or(Ok(()), |(link, _)| Err(SinkError::Astray { path: named.to_owned(), link: link.clone() }))
}

/// The last one first; `/` and `.` lead nowhere.
fn elements(path: &Path) -> Vec<OsString> {
    let element = |part: Component<'_>| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        _ => None,
    };
    path.components().rev().filter_map(element).collect()
}

/// True for what somebody else has put into a directory in which anybody may make names.
pub(super) fn foreign(found: &Metadata, directory: &Path) -> bool {
    let Ok(above) = directory.metadata() else { return true };
    let shared = above.mode() & 0o1000 != 0 && above.mode() & 0o022 != 0;
    shared && found.uid() != rustix::process::geteuid().as_raw() && found.uid() != above.uid()
}
