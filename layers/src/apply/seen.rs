//! What is seen of trees that lie one above the other: a whiteout, a directory that is opaque, and whatever else is no
//! directory hide what is below them.

use std::ffi::OsStr;
use std::io;
use std::path::{Component, Path};

use crate::root::{Directory, FileKind, Metadata, Root, RootError};
use crate::whiteout;

/// Where a walk down into the trees is: directory by directory, since whoever made them chose how deep they are.
pub(super) struct View<'r> {
    /// Those that have a directory here which is seen, topmost first.
    here: Vec<(&'r Root, Directory)>,
    /// Something on the way hides what is below it.
    hidden: bool,
}

/// What is seen at a path.
pub(super) enum Seen<'r> {
    /// This, of that tree.
    Shown(&'r Root, Metadata),
    /// Nothing, and nothing of further trees below these.
    Hidden,
    /// Nothing.
    Nothing,
}

impl<'r> View<'r> {
    /// At the top of `trees`, topmost first.
    pub(super) fn of(trees: impl IntoIterator<Item = &'r Root>) -> Result<Self, RootError> {
        let top = |tree: &'r Root| Ok((tree, tree.directory(Path::new(""))?));
        Ok(Self { here: trees.into_iter().map(top).collect::<Result<_, _>>()?, hidden: false })
    }

    /// True if nothing of further trees below these is seen here.
    pub(super) fn hides(&self) -> bool {
        self.hidden
    }

    /// Goes down to `name`.
    pub(super) fn step(&mut self, name: &OsStr) -> Result<Seen<'r>, RootError> {
        let is_mark = |name: &OsStr| whiteout::OVERLAY_OPAQUE.iter().any(|mark| name == OsStr::new(mark));
        let mut shown = None;
        for (tree, directory) in std::mem::take(&mut self.here) {
            let found = match directory.metadata(name) {
                Ok(found) => found,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            shown.get_or_insert((tree, found));
            let is_directory = found.kind == FileKind::Directory;
            if is_directory {
                self.here.push((tree, directory.directory(name)?));
            }
            if !is_directory || directory.xattr_names(name)?.iter().any(|name| is_mark(name)) {
                self.hidden = true;
                break;
            }
        }
        Ok(match shown {
            Some((tree, found)) => Seen::Shown(tree, found),
            None if self.hidden => Seen::Hidden,
            None => Seen::Nothing,
        })
    }
}

/// What is seen at `path`, which is not the top.
pub(super) fn seen<'r>(trees: impl IntoIterator<Item = &'r Root>, path: &Path) -> Result<Seen<'r>, RootError> {
    let mut view = View::of(trees)?;
    let mut seen = Seen::Nothing;
    for name in names(path) {
        seen = view.step(name)?;
    }
    Ok(seen)
}

/// What `path` leads through.
pub(super) fn names(path: &Path) -> impl Iterator<Item = &OsStr> {
    path.components().filter_map(|part| if let Component::Normal(name) = part { Some(name) } else { None })
}
