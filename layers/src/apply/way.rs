//! The way to where a member of a layer goes. What leads there may be a link, of the layer itself or of one below it:
//! whoever applies one layer onto the other follows that, and so does who makes a tree of each.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Component, Path, PathBuf};

use rustix::io::Errno;

use super::ApplyError;
use super::extract::Extractor;
use super::seen::{Seen, View, names};
use crate::root::{Directory, FileKind, Root, RootError};
use crate::tar::{Entry, Kind, plain_directory};

/// Links that a way leads through at the most, as in the kernel (path_resolution(7)).
const LINKS: usize = 40;
/// Names that a way leads through at the most, each one as often as a link leads there: a link's target has 4095 bytes.
const STEPS: usize = 1 << 14;

impl<'a> Extractor<'a> {
    /// The trees below of which something is to be seen, if they are known.
    pub(super) fn below(&self) -> Option<&'a [Root]> {
        if self.hides_all { Some(&[]) } else { self.policy.parents }
    }

    /// The layer's tree, and what is known to be below it.
    pub(super) fn trees(&self) -> impl Iterator<Item = &'a Root> + use<'a> {
        std::iter::once(self.root).chain(self.below().unwrap_or_default())
    }

    /// The directory `path`, made as it is below where it is missing.
    pub(super) fn parent(&mut self, path: &Path) -> Result<&Directory, ApplyError> {
        if self.parent.as_ref().is_none_or(|(known, _)| known != path) {
            let directory = match self.root.directory_without_links(path)? {
                Some(directory) => Some(directory),
                None => {
                    let way = self.way(path)?;
                    self.imply(&way)?;
                    self.root.directory_without_links(&way)?
                }
            };
            self.parent = directory.map(|directory| (path.to_owned(), directory));
        }
        match &self.parent {
            Some((_, directory)) => Ok(directory),
            None => Err(RootError::new("open", path, io::Error::from(io::ErrorKind::NotFound)).into()),
        }
    }

    /// Forgets the directory that members had last, if what was placed at `path` may lead elsewhere.
    pub(super) fn lead_elsewhere(&mut self, entry: &Entry, existing: Option<FileKind>, path: &Path) {
        let leads = |(known, directory): &(PathBuf, Directory)| {
            if directory.path() == known {
                return known.starts_with(path);
            }
            // Through links: anything may be on the way but a file in the directory itself.
            !matches!(entry.kind, Kind::File | Kind::HardLink) || !matches!(existing, None | Some(FileKind::File))
        };
        if self.parent.as_ref().is_some_and(leads) {
            self.parent = None;
        }
    }

    /// The way to the directory `path` that has no links, in the layer on top of what is below it; there need not be
    /// anything.
    pub(super) fn way(&mut self, path: &Path) -> Result<PathBuf, ApplyError> {
        if self.root.directory_without_links(path)?.is_some() {
            return Ok(path.to_owned());
        }
        let without_end = || RootError::new("follow the links of", path, Errno::LOOP);
        let (mut links, mut steps) = (0, 0);
        let (mut way, mut view) = (PathBuf::new(), View::of(self.trees())?);
        let mut left = reversed(path);
        while let Some(name) = left.pop() {
            steps += 1;
            if steps > STEPS {
                return Err(without_end().into());
            }
            if name == OsStr::new("..") {
                way.pop();
                (view, steps) = (self.view(&way)?, steps + names(&way).count());
                continue;
            }
            let seen = view.step(&name)?;
            let Seen::Shown(tree, found) = seen else {
                self.implied = true;
                way.push(name);
                continue;
            };
            // What another tree shows is not the layer's own.
            self.implied |= !std::ptr::eq(tree, self.root);
            way.push(name);
            if found.kind == FileKind::Symlink {
                links += 1;
                if links > LINKS {
                    return Err(without_end().into());
                }
                let target = tree.read_link(&way)?;
                if target.is_absolute() {
                    way = PathBuf::new();
                } else {
                    way.pop();
                }
                left.extend(reversed(&target));
                (view, steps) = (self.view(&way)?, steps + names(&way).count());
            }
        }
        Ok(way)
    }

    /// What is seen at `path`, which no link is part of.
    fn view(&self, path: &Path) -> Result<View<'a>, RootError> {
        let mut view = View::of(self.trees())?;
        names(path).try_for_each(|name| view.step(name).map(drop))?;
        Ok(view)
    }

    /// Makes the missing directories down to `path`, as they are seen from below, also in place of what is none. A name may
    /// have very many elements: nothing here calls itself for each.
    fn imply(&mut self, path: &Path) -> Result<(), ApplyError> {
        let mut view = View::of(self.trees())?;
        let mut at = PathBuf::new();
        for name in names(path) {
            let seen = view.step(name)?;
            at.push(name);
            match seen {
                Seen::Shown(tree, found) if std::ptr::eq(tree, self.root) => {
                    if found.kind != FileKind::Directory {
                        self.imply_one(&at, &Seen::Hidden)?;
                    }
                }
                seen => self.imply_one(&at, &seen)?,
            }
        }
        Ok(())
    }

    fn imply_one(&mut self, path: &Path, seen: &Seen<'_>) -> Result<(), ApplyError> {
        self.names.count(path)?;
        self.implied = true;
        let mut entry = plain_directory(path);
        if let Seen::Shown(below, found) = seen
            && found.kind == FileKind::Directory
        {
            (entry.mode, entry.mtime) = (found.mode, found.mtime);
            (entry.uid, entry.gid) = self.policy.ownership.exchanged(found.uid, found.gid);
            entry.xattrs = below.xattrs(path)?;
            entry.xattrs.retain(|(name, _)| !crate::diff::is_overlay_attribute(name));
        }
        self.place(&entry, &mut io::empty())?;
        // It is there for the sake of another member alone: of itself the layer says nothing.
        self.made.remove(path);
        self.implied_at.insert(path.to_owned());
        Ok(())
    }
}

/// The elements of a path, the last one first.
fn reversed(path: &Path) -> Vec<OsString> {
    let name = |part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        _ => None,
    };
    path.components().rev().filter_map(name).collect()
}
