//! What directories get when nothing is put into them any more: their times, and modes that keep even their owner out.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};

use crate::root::{Directory, FileKind, Root, RootError};
use crate::tar::{Entry, file_name};

/// What the owner of a directory needs to change what is in it.
pub(super) const OWNER: u32 = 0o700;

/// By paths without links.
#[derive(Debug, Default)]
pub(super) struct Last(BTreeMap<PathBuf, What>);

#[derive(Clone, Copy, Debug)]
struct What {
    mtime: (i64, u32),
    /// If it is not the one that the directory has meanwhile.
    mode: Option<u32>,
}

impl Last {
    /// Of a directory, what its entry says. With `opened` it has all that its owner needs until then.
    pub(super) fn is_said(&mut self, path: PathBuf, entry: &Entry, opened: bool) {
        let mode = (opened && entry.mode & OWNER != OWNER).then_some(entry.mode);
        self.0.insert(path, What { mtime: entry.mtime, mode });
    }

    /// Of a directory in which something is about to change, what it has, unless the layer says something else. With
    /// `opened` it gets what its owner needs.
    pub(super) fn stays(&mut self, directory: &Directory, opened: bool) -> Result<(), RootError> {
        if self.0.contains_key(directory.path()) {
            return Ok(());
        }
        let found = directory.own_metadata()?;
        let mode = (opened && found.mode & OWNER != OWNER).then_some(found.mode);
        if mode.is_some() {
            directory.set_own_mode(found.mode | OWNER)?;
        }
        self.0.insert(directory.path().to_owned(), What { mtime: found.mtime, mode });
        Ok(())
    }

    /// Forgets what is at `path`, if that is no directory any more.
    pub(super) fn forget(&mut self, path: &Path) {
        self.0.remove(path);
    }

    /// Forgets what was below `path`, and is gone.
    pub(super) fn forget_below(&mut self, path: &Path) {
        let from = (Bound::Excluded(path), Bound::Unbounded);
        let below = self.0.range::<Path, _>(from).map(|(below, _)| below).take_while(|below| below.starts_with(path));
        for gone in below.cloned().collect::<Vec<_>>() {
            self.0.remove(&gone);
        }
    }

    /// Sets it all, what is below first.
    pub(super) fn set(self, root: &Root) -> Result<(), RootError> {
        for (path, What { mtime, mode }) in self.0.into_iter().rev() {
            let Some(parent) = root.directory_without_links(path.parent().unwrap_or(Path::new("")))? else { continue };
            match set(&parent, file_name(&path), mtime, mode) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => other?,
            }
        }
        Ok(())
    }
}

fn set(parent: &Directory, name: &OsStr, mtime: (i64, u32), mode: Option<u32>) -> Result<(), RootError> {
    if let Some(mode) = mode
        && parent.metadata(name)?.kind == FileKind::Directory
    {
        parent.set_mode(name, mode)?;
    }
    parent.set_mtime(name, mtime)
}

#[cfg(test)]
mod tests {
    use std::io;

    use crate::apply::{Applied, ApplyOptions, Form, Ownership, apply};
    use crate::root::Root;
    use crate::tar::{Entry, Kind, TarWriter, plain_directory};

    use super::*;

    /// Applies files and directories with these modes and attributes to `root`.
    fn put(root: &Root, members: &[(&str, u32, &str)]) -> Applied {
        let mut tar = TarWriter::new(Vec::new());
        for (path, mode, attribute) in members {
            let kind = if path.ends_with('/') { Kind::Directory } else { Kind::File };
            let xattrs = Some(*attribute).filter(|name| !name.is_empty()).map(|name| (name.into(), b"x".to_vec()));
            let xattrs = xattrs.into_iter().collect();
            let plain = plain_directory(Path::new(path.trim_end_matches('/')));
            let entry = Entry { kind, mode: *mode, mtime: (1_000_000_000, 0), xattrs, ..plain };
            tar.append(&entry, &mut io::empty()).unwrap();
        }
        let options = ApplyOptions { form: Form::Plain, parents: None, ownership: Ownership::Invoker };
        apply(tar.finish().unwrap().as_slice(), root, &options).unwrap()
    }

    #[test]
    fn a_directory_without_an_entry_keeps_its_time() {
        for member in ["a/b/new", "a/b/.wh.x", "a/b/.wh..wh..opq", "a/b/x/y"] {
            let place = tempfile::tempdir().unwrap();
            let root = Root::open(place.path()).unwrap();
            put(&root, &[("a/", 0o755, ""), ("a/b/", 0o755, ""), ("a/b/x", 0o644, "")]);
            put(&root, &[(member, 0o644, "")]);
            for path in ["a", "a/b"] {
                assert_eq!(root.metadata(Path::new(path)).unwrap().mtime, (1_000_000_000, 0), "{member}: {path}");
            }
        }
    }

    #[test]
    fn modes_that_keep_their_owner_out_are_set_at_last() {
        let place = tempfile::tempdir().unwrap();
        let root = Root::open(place.path()).unwrap();
        put(&root, &[("a/", 0o555, ""), ("a/b/", 0o500, ""), ("a/b/x", 0o444, ""), ("a/c/", 0, ""), ("a/c/x", 0, "")]);
        put(&root, &[("a/b/y", 0o644, ""), ("a/b/.wh.x", 0, ""), ("a/.wh.c", 0, ""), ("a/d", 0o400, "")]);
        put(&root, &[("a/b/", 0o511, ""), ("a/b/z", 0o400, "")]);
        let found: Vec<_> =
            crate::tree::read(&root).unwrap().into_iter().map(|(path, node)| (path, node.mode)).collect();
        let wanted = [("a", 0o555), ("a/b", 0o511), ("a/b/y", 0o644), ("a/b/z", 0o400), ("a/d", 0o400)];
        assert_eq!(found[1..], wanted.map(|(path, mode)| (PathBuf::from(path), mode)));
    }

    #[test]
    fn an_attribute_that_cannot_be_set_is_left_out() {
        let place = tempfile::tempdir().unwrap();
        let root = Root::open(place.path()).unwrap();
        let left =
            put(&root, &[("d/", 0o755, "com.example.x"), ("d/a", 0o644, "com.example.y"), ("b", 0, "com.example.y")]);
        let left: Vec<_> = left.left_attributes.into_iter().collect();
        let wanted = [("com.example.x", "/d"), ("com.example.y", "/d/a")];
        assert_eq!(left, wanted.map(|(name, path)| (name.to_owned(), path.to_owned())));
    }
}
