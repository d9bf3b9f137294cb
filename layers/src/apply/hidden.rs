//! What a layer says is gone (OCI image-spec 1.1, "Whiteouts"). It says so of the layers below alone, never of itself,
//! and of what is not there it says nothing.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::ops::Bound;
use std::path::{Path, PathBuf};

use super::extract::Extractor;
use super::seen::{Seen, View, names, seen};
use super::{ApplyError, Form};
use crate::root::{Directory, FileKind, Metadata, Root, RootError};
use crate::tar::file_name;
use crate::whiteout;

impl Extractor<'_> {
    /// True if the layer has something at `path`, or below it.
    fn has(&self, path: &Path) -> bool {
        let from = (Bound::Included(path), Bound::Unbounded);
        self.made.range::<Path, _>(from).next().is_some_and(|made| made.starts_with(path))
    }

    /// Hides or deletes `name` of the layers below.
    pub(super) fn whiteout(&mut self, parent: &Path, name: &OsStr) -> Result<(), ApplyError> {
        let parent = self.way(parent)?;
        let path = parent.join(name);
        // A whiteout says nothing of its own layer, whatever the order of the members.
        if self.has(&path) {
            let found = self.root.metadata(&path)?;
            return if found.kind == FileKind::Directory { self.opaque(&path) } else { Ok(()) };
        }
        match self.policy.form {
            Form::Plain => match self.root.directory_without_links(&parent)? {
                Some(directory) => {
                    self.gone.push(path);
                    self.last.stays(&directory, self.policy.opens())?;
                    Ok(directory.remove_all(name)?)
                }
                None => Ok(()),
            },
            Form::OverlayLower => {
                if !self.hides(&parent, &path, |_| true)? {
                    return Ok(());
                }
                let directory = self.parent(&parent)?;
                directory.remove_all(name)?;
                directory.node(name, FileKind::CharDevice, (0, 0))?;
                self.whiteouts.push(path);
                Ok(())
            }
        }
    }

    /// Hides or deletes all that the layers below have in `path`.
    pub(super) fn opaque(&mut self, path: &Path) -> Result<(), ApplyError> {
        let path = &self.way(path)?;
        match self.policy.form {
            Form::OverlayLower if path.as_os_str().is_empty() => {
                (self.hides_all, self.implied) = (true, true);
                self.clear(path)
            }
            Form::OverlayLower => {
                if !self.hides(path, path, |found| found.kind == FileKind::Directory)? {
                    return Ok(());
                }
                self.parent(path)?;
                let (parent, name) = (path.parent().unwrap_or(Path::new("")), file_name(path));
                make_opaque(&self.root.directory(parent)?, name)?;
                self.clear(path)
            }
            Form::Plain => {
                self.gone.push(path.clone());
                self.clear(path)
            }
        }
    }

    /// Deletes what the layer itself has not made in the directory `path`.
    fn clear(&mut self, path: &Path) -> Result<(), ApplyError> {
        let Some(directory) = self.root.directory_without_links(path)? else { return Ok(()) };
        self.last.stays(&directory, self.policy.opens())?;
        for name in directory.names()? {
            self.clear_below(&directory, &path.join(&name), &name)?;
        }
        Ok(())
    }

    /// True if something of that kind, at `path` in `directory`, would be seen of the layers below. Where they are not
    /// known, it is taken for granted.
    fn hides(&mut self, directory: &Path, path: &Path, kind: impl Fn(&Metadata) -> bool) -> Result<bool, ApplyError> {
        let Some(parents) = self.below() else {
            self.implied |= self.root.directory_without_links(directory)?.is_none();
            return Ok(true);
        };
        // What the layer itself has there may hide it already.
        let in_view = directory.as_os_str().is_empty()
            || matches!(seen(self.trees(), directory)?, Seen::Shown(_, found) if found.kind == FileKind::Directory);
        let hides =
            in_view && matches!(seen(parents, path)?, Seen::Shown(_, found) if !is_whiteout(&found) && kind(&found));
        self.implied |= !hides;
        Ok(hides)
    }

    fn clear_below(&mut self, directory: &Directory, path: &Path, name: &OsStr) -> Result<(), ApplyError> {
        if !self.has(path) {
            return Ok(directory.remove_all(name)?);
        }
        if directory.metadata(name)?.kind == FileKind::Directory {
            let inner = directory.directory(name)?;
            self.last.stays(&inner, self.policy.opens())?;
            for name in inner.names()? {
                self.clear_below(&inner, &path.join(&name), &name)?;
            }
        }
        Ok(())
    }

    /// Where nothing of the layers below is to be seen at all: overlay asks no root whether it is opaque.
    pub(super) fn hide_all(&mut self) -> Result<(), ApplyError> {
        if !self.hides_all {
            return Ok(());
        }
        let top = self.root.directory(Path::new(""))?;
        for tree in self.policy.parents.unwrap_or_default() {
            for name in tree.read_dir(Path::new(""))? {
                match top.metadata(&name) {
                    Ok(found) if found.kind == FileKind::Directory => make_opaque(&top, &name)?,
                    Ok(_) => {}
                    Err(_) => top.node(&name, FileKind::CharDevice, (0, 0))?,
                }
            }
        }
        Ok(())
    }

    /// True if the layer hides all that is below in the directory that holds `path`.
    fn is_hidden(&self, path: &Path) -> Result<bool, RootError> {
        let mut view = View::of([self.root])?;
        for name in names(path.parent().unwrap_or(Path::new(""))) {
            view.step(name)?;
        }
        Ok(view.hides())
    }

    /// Where the layer hides a whole directory, its names are listed as they are, whiteouts included.
    pub(super) fn drop_hidden_whiteouts(&mut self) -> Result<(), ApplyError> {
        if self.policy.form == Form::Plain {
            return Ok(());
        }
        let mut shown = Vec::new();
        for path in std::mem::take(&mut self.whiteouts) {
            if !self.root.metadata(&path).is_ok_and(|found| is_whiteout(&found)) {
                continue;
            }
            match self.is_hidden(&path)? {
                true => self.root.remove_all(&path)?,
                false => shown.push(path),
            }
        }
        // Nor is a directory there that was made for what is gone from it.
        for path in std::mem::take(&mut self.implied_at).iter().rev() {
            if !self.has(path) && self.root.metadata(path).is_ok() && self.is_hidden(path)? {
                self.root.remove_all(path)?;
            }
        }
        self.whiteouts = shown;
        // Nor does a whiteout stand where nothing is below.
        if let Some(parents) = self.policy.parents {
            let idle = idle(parents, &self.whiteouts)?;
            self.implied |= !idle.is_empty();
            idle.iter().try_for_each(|path| self.root.remove_all(path))?;
            self.whiteouts.retain(|path| !idle.contains(path));
        }
        Ok(())
    }
}

/// Those of a tree's `whiteouts` that stand in directories which none of `parents`, below it, has: an overlay would list
/// their names.
pub fn idle(parents: &[Root], whiteouts: &[PathBuf]) -> Result<Vec<PathBuf>, RootError> {
    let mut known: BTreeMap<&Path, bool> = BTreeMap::new();
    let mut idle = Vec::new();
    for path in whiteouts {
        let directory = path.parent().unwrap_or(Path::new(""));
        let merged = match known.get(directory) {
            Some(merged) => *merged,
            None if directory.as_os_str().is_empty() => !parents.is_empty(),
            None => matches!(seen(parents, directory)?, Seen::Shown(_, found) if found.kind == FileKind::Directory),
        };
        known.insert(directory, merged);
        if !merged {
            idle.push(path.clone());
        }
    }
    Ok(idle)
}

pub(super) fn is_whiteout(found: &Metadata) -> bool {
    found.kind == FileKind::CharDevice && found.device == (0, 0)
}

/// To overlay it says that of the layers below nothing is in the directory.
pub(super) fn make_opaque(parent: &Directory, name: &OsStr) -> Result<(), RootError> {
    parent.set_xattr(name, OsStr::new(whiteout::OVERLAY_OPAQUE[0]), b"y")
}
