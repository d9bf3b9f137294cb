//! Making files from members of an archive beneath the directory it is unpacked into.
//!
//! An archive is data of others: nothing in it decides where it goes. Every member is reached name by name through
//! handles beneath the destination. A link that stood there before is followed as long as it stays beneath the
//! destination; one that the archive has brought itself is not. What stands there is replaced name for name, but
//! never is a directory deleted with what is in it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::merge;
use crate::apply::{Ownership, content};
use crate::root::{Directory, FileKind, Handle, Metadata, Root, RootError};
use crate::tar::{Content, Entry, Kind, TarError, file_name, plain_directory};

mod brought;
mod error;

pub(super) use brought::{Brought, Inodes};
pub use error::PlaceError;

/// Linux `PATH_MAX`, less what a destination may need: what is longer could not be reached by its path.
const MAX_PATH: usize = 4095;

/// Makes files beneath one directory. Directories get their times at the end, when nothing is put into them any more.
pub(super) struct Placer<'r> {
    root: &'r Root,
    top: Directory,
    /// The destination, by the name that it was given.
    named: PathBuf,
    /// The destination is the root itself.
    rooted: bool,
    ownership: Ownership,
    /// The directory of the last member.
    parent: Option<(PathBuf, Directory)>,
    times: BTreeMap<PathBuf, (i64, u32)>,
    brought: Brought,
    devices: Vec<PathBuf>,
}

impl<'r> Placer<'r> {
    /// `dest` must be a directory of `root`; links on the way to it are followed in the root.
    pub(super) fn new(root: &'r Root, dest: &Path, ownership: Ownership) -> Result<Self, RootError> {
        let real = root.resolve(dest)?;
        let top = root.directory(&real)?;
        Ok(Self {
            root,
            top,
            named: dest.to_owned(),
            rooted: real.as_os_str().is_empty(),
            ownership,
            parent: None,
            times: BTreeMap::new(),
            brought: Brought::default(),
            devices: Vec::new(),
        })
    }

    /// The path in the root, for messages.
    fn shown(&self, path: &Path) -> PathBuf {
        Path::new("/").join(self.top.path()).join(path)
    }

    /// The directory that the link `name` in `parent`, which stood there before, leads to.
    fn through(&self, path: &Path, parent: &Directory, name: &OsStr) -> Option<Directory> {
        let target = parent.read_link(name).ok()?;
        match target.strip_prefix("/") {
            // Its author meant the root of the whole system.
            Ok(rest) if !self.rooted && !self.root.is_shared() => {
                self.beneath(rest.strip_prefix(self.top.path()).ok()?).ok()
            }
            _ => self.beneath(path).ok(),
        }
    }

    /// The directory that `path` leads to, if it is beneath the destination.
    fn beneath(&self, path: &Path) -> Result<Directory, RootError> {
        self.root.directory_beneath(&self.top, path, self.rooted)
    }

    /// The directory `path`, for `member`; what is missing is made, if anything may be.
    fn enter(&mut self, path: &Path, member: &Path, make: bool) -> Result<Directory, PlaceError> {
        let (mut at, mut directory) = match &self.parent {
            Some((known, directory)) if path.starts_with(known) => (known.clone(), directory.again()?),
            _ => (PathBuf::new(), self.top.again()?),
        };
        let rest = path.strip_prefix(&at).unwrap_or(path).to_owned();
        for name in &rest {
            let below = at.join(name);
            directory = match directory.metadata(name) {
                Err(error) if make && error.kind() == io::ErrorKind::NotFound => {
                    directory.create_dir(name, 0o700)?;
                    let made = self.made(&directory, name, &below, FileKind::Directory)?;
                    // The archive says nothing of its time, so that it is made now.
                    self.attributes(&made, &plain_directory(&below))?;
                    made.into_directory()?
                }
                Err(error) => return Err(error.into()),
                Ok(found) => self.step(&below, &directory, name, &found, member)?,
            };
            at = below;
        }
        Ok(directory)
    }

    /// Into `name`, which is there.
    fn step(
        &self,
        path: &Path,
        parent: &Directory,
        name: &OsStr,
        found: &Metadata,
        member: &Path,
    ) -> Result<Directory, PlaceError> {
        let (member, shown) = (self.shown(member), self.shown(path));
        match found.kind {
            FileKind::Directory => {
                self.root.check_guessed(parent, found, path, None)?;
                Ok(parent.directory(name)?)
            }
            FileKind::Symlink if self.brought.is_link(found) => Err(PlaceError::OwnLink { member, link: shown }),
            FileKind::Symlink => {
                self.root.check_made(&self.named.join(path))?;
                self.through(path, parent, name).ok_or(PlaceError::Leaves { member, link: shown })
            }
            _ => Err(PlaceError::NoDirectory { member, path: shown }),
        }
    }

    /// Makes what `entry` says; its paths are relative to the destination.
    pub(super) fn place(&mut self, entry: &Entry, content: &mut dyn Content) -> Result<(), PlaceError> {
        if entry.path.as_os_str().len() + self.top.path().as_os_str().len() > MAX_PATH {
            return Err(PlaceError::TooLong { path: entry.path.clone() });
        }
        let parent_path = entry.path.parent().unwrap_or(Path::new(""));
        let parent = match self.parent.take() {
            Some((known, parent)) if known == parent_path => parent,
            known => {
                self.parent = known;
                self.enter(parent_path, &entry.path, true)?
            }
        };
        let placed = self.place_in(&parent, entry, content);
        self.parent = Some((parent_path.to_owned(), parent));
        placed
    }

    fn place_in(&mut self, parent: &Directory, entry: &Entry, content: &mut dyn Content) -> Result<(), PlaceError> {
        let name = file_name(&entry.path);
        let before = match parent.metadata(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            other => Some(other?),
        };
        match entry.kind {
            Kind::Directory => return self.directory(parent, name, before.as_ref(), entry),
            Kind::CharDevice | Kind::BlockDevice => {
                // They are doors to this machine, and not everybody may make them: the same archive gives the same.
                self.devices.push(self.shown(&entry.path));
                return Ok(());
            }
            _ => {}
        }
        let other = if entry.kind == Kind::HardLink { Some(self.hard_linked(entry)?) } else { None };
        if let Some(before) = before {
            if other.as_ref().is_some_and(|(_, inode)| *inode == before.inode) {
                return Ok(());
            }
            self.make_room(parent, name, &before, entry)?;
        }
        self.times.remove(&entry.path);
        let made = match entry.kind {
            Kind::File => {
                let mut file = parent.create_file(name, 0o600)?;
                content::write(content, entry.size, &mut file, &self.shown(&entry.path))?;
                let made = file.metadata().map_err(TarError::from)?;
                self.brought.file((made.dev(), made.ino()));
                Handle::of(file, self.shown(&entry.path))
            }
            Kind::Symlink => {
                parent.symlink(name, &entry.link)?;
                self.made(parent, name, &entry.path, FileKind::Symlink)?
            }
            Kind::HardLink => {
                if let Some((other, _)) = other {
                    parent.hard_link(name, &other, file_name(&entry.link))?;
                }
                return Ok(());
            }
            _ => {
                parent.node(name, FileKind::Fifo, (0, 0))?;
                self.made(parent, name, &entry.path, FileKind::Fifo)?
            }
        };
        Ok(self.attributes(&made, entry)?)
    }

    fn directory(
        &mut self,
        parent: &Directory,
        name: &OsStr,
        before: Option<&Metadata>,
        entry: &Entry,
    ) -> Result<(), PlaceError> {
        let directory = match before {
            None => {
                parent.create_dir(name, 0o700)?;
                self.made(parent, name, &entry.path, FileKind::Directory)?
            }
            Some(found) => {
                let there = self.step(&entry.path, parent, name, found, &entry.path)?;
                if found.kind == FileKind::Symlink || !self.decides(parent, found)? {
                    return Ok(());
                }
                there.into_handle()
            }
        };
        self.attributes(&directory, entry)?;
        self.times.insert(entry.path.clone(), entry.mtime);
        Ok(())
    }

    /// False for a directory that was there before in a place where somebody else decides what has which name: an
    /// archive opens no directory of root's that was put in its way, and takes none from its owner.
    fn decides(&self, parent: &Directory, found: &Metadata) -> Result<bool, RootError> {
        if !self.root.is_shared() || self.brought.is_directory(found) {
            return Ok(true);
        }
        let parent = parent.metadata(OsStr::new("."))?;
        Ok(parent.uid == 0 && parent.mode & 0o002 == 0)
    }

    /// The directory of a hard link's other name, and what that is.
    fn hard_linked(&mut self, entry: &Entry) -> Result<(Directory, (u64, u64)), PlaceError> {
        let refused = PlaceError::HardLink { member: self.shown(&entry.path), target: self.shown(&entry.link) };
        let directory = match self.enter(entry.link.parent().unwrap_or(Path::new("")), &entry.link, false) {
            Err(PlaceError::Root(error)) if error.kind() == io::ErrorKind::NotFound => return Err(refused),
            other => other?,
        };
        let Ok(found) = directory.metadata(file_name(&entry.link)) else { return Err(refused) };
        if !self.brought.holds(&found) {
            return Err(refused);
        }
        Ok((directory, found.inode))
    }

    /// Takes away what stands where `entry`, which is no directory, goes.
    fn make_room(
        &mut self,
        parent: &Directory,
        name: &OsStr,
        before: &Metadata,
        entry: &Entry,
    ) -> Result<(), PlaceError> {
        if before.kind != FileKind::Directory {
            parent.remove_file(name)?;
            self.brought.deleted(before);
            return Ok(());
        }
        if parent.remove_empty(name)? {
            self.brought.deleted(before);
            return Ok(());
        }
        if entry.kind != Kind::Symlink {
            return Err(PlaceError::OverDirectory { path: self.shown(&entry.path) });
        }
        let link = self.shown(&entry.path);
        let fail = |reason: String| PlaceError::Merge { link: link.clone(), target: entry.link.clone(), reason };
        // What is moved keeps its time; its path will not be the same.
        let inside = self.times.keys().filter(|at| at.starts_with(&entry.path)).cloned().collect();
        self.settle(inside)?;
        let inner = parent.directory(name)?;
        let target = self.link_target(entry).map_err(&fail)?;
        merge::directories(&inner, &target, self.ownership == Ownership::Invoker, &mut self.brought)
            .map_err(|error| fail(error.to_string()))?;
        if !parent.remove_empty(name)? {
            return Err(fail("something was put into it meanwhile".into()));
        }
        Ok(())
    }

    /// The directory that the new link `entry` will lead to; made where it is missing.
    fn link_target(&mut self, entry: &Entry) -> Result<Directory, String> {
        const LEAVES: &str = "it would not lead to a directory beneath the destination";
        let parent = entry.path.parent().unwrap_or(Path::new(""));
        let path = match entry.link.strip_prefix("/") {
            Ok(rest) if self.rooted => rest.to_owned(),
            Ok(rest) => rest.strip_prefix(self.top.path()).map_err(|_| LEAVES.to_owned())?.to_owned(),
            Err(_) => parent.join(&entry.link),
        };
        match self.beneath(&path) {
            Ok(found) => return Ok(found),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(_) => return Err(LEAVES.to_owned()),
        }
        use std::os::unix::ffi::OsStrExt;
        let plain = crate::path::clean(path.as_os_str().as_bytes()).map_err(|_| LEAVES.to_owned())?;
        if plain.starts_with(&entry.path) {
            return Err("it would lead into that directory itself".to_owned());
        }
        let made = self.enter(&plain, &entry.path, true).map_err(|error| error.to_string())?;
        // `..` behind a link leads elsewhere than it reads.
        let reached = self.beneath(&path).and_then(|reached| reached.inode()).ok();
        if reached.is_none() || reached != made.inode().ok() { Err(LEAVES.to_owned()) } else { Ok(made) }
    }

    /// Owner, then attributes (chown(2) drops capabilities), then mode (it drops set-id bits), then time. All of it is
    /// done to what was made, not to its name: on a live host somebody may have put something else there by now.
    fn attributes(&self, made: &Handle, entry: &Entry) -> Result<(), RootError> {
        let owner = match self.ownership {
            Ownership::Archive => Some((entry.uid, entry.gid)),
            Ownership::Exchanged(ids) => Some((ids.user(entry.uid), ids.group(entry.gid))),
            Ownership::Root => Some((0, 0)),
            Ownership::Invoker => None,
        };
        if let Some((uid, gid)) = owner {
            made.set_owner(Some(uid), Some(gid))?;
        }
        for (attribute, value) in &entry.xattrs {
            match made.set_xattr(attribute, value) {
                Err(_) if self.ownership == Ownership::Invoker => {}
                other => other?,
            }
        }
        if entry.kind != Kind::Symlink {
            made.set_mode(entry.mode)?;
        }
        if entry.kind == Kind::Directory { Ok(()) } else { made.set_mtime(entry.mtime) }
    }

    /// What was just made as `name`, held, for [`Self::attributes`].
    fn made(&mut self, parent: &Directory, name: &OsStr, path: &Path, kind: FileKind) -> Result<Handle, PlaceError> {
        let handle = parent.handle(name)?;
        let found = handle.metadata()?;
        if found.kind != kind {
            return Err(PlaceError::Exchanged { path: self.shown(path) });
        }
        let made = if self.root.is_shared() { handle.just_made(kind)? } else { handle };
        match kind {
            FileKind::Symlink => self.brought.link(found.inode),
            _ => self.brought.other(found.inode),
        }
        Ok(made)
    }

    /// Sets the times of `directories`, the innermost first.
    fn settle(&mut self, directories: Vec<PathBuf>) -> Result<(), PlaceError> {
        for path in directories.into_iter().rev() {
            let Some(mtime) = self.times.remove(&path) else { continue };
            let name = file_name(&path);
            let Ok(parent) = self.enter(path.parent().unwrap_or(Path::new("")), &path, false) else { continue };
            let Ok(handle) = parent.handle(name) else { continue };
            if handle.metadata()?.kind == FileKind::Directory {
                handle.set_mtime(mtime)?;
            }
        }
        Ok(())
    }

    /// Sets the times of directories. Gives the device nodes that were left out, and the inodes of what was made.
    pub(super) fn finish(mut self) -> Result<(Vec<PathBuf>, Inodes), PlaceError> {
        let all = self.times.keys().cloned().collect();
        self.settle(all)?;
        Ok((self.devices, self.brought.all()))
    }
}
