//! Making files from members of an archive, relative to handles of their parents.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};

use super::seen::{Seen, View, names};
use super::{ApplyError, Form, content};
use crate::ids::Exchange;
use crate::root::{Directory, FileKind, Metadata, Root, RootError};
use crate::tar::budget::Names;
use crate::tar::{Content, Entry, Kind, file_name, plain_directory};
use crate::whiteout;

/// Who owns what is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// The ids of the archive.
    Archive,
    /// Root.
    Root,
    /// Those of the archive, two of whom have changed places.
    Exchanged(Exchange),
    /// Whoever runs this.
    Invoker,
}

impl Ownership {
    /// Owner and group of what has these in the archive. Done again, it says what the archive has.
    pub(super) fn exchanged(self, uid: u32, gid: u32) -> (u32, u32) {
        match self {
            Self::Exchanged(ids) => (ids.user(uid), ids.group(gid)),
            Self::Archive | Self::Root | Self::Invoker => (uid, gid),
        }
    }
}

/// How members are treated.
pub(crate) struct Policy<'a> {
    pub(crate) ownership: Ownership,
    /// Extended attributes are set; those that this user may not set are left out for [`Ownership::Invoker`].
    pub(crate) xattrs: bool,
    pub(crate) form: Form,
    /// Where directories that the archive left out are looked up.
    pub(crate) parents: &'a [Root],
}

/// Makes files below a root. Directories get their times at the end, when nothing is put into them any more.
pub(crate) struct Extractor<'a> {
    pub(super) root: &'a Root,
    pub(super) policy: Policy<'a>,
    parent: Option<(PathBuf, Directory)>,
    times: BTreeMap<PathBuf, (i64, u32)>,
    pub(super) made: BTreeSet<PathBuf>,
    /// Overlay's whiteouts.
    whiteouts: Vec<PathBuf>,
    skipped: Vec<String>,
    /// The tree depends on those below it.
    pub(super) implied: bool,
    /// The first hard link whose file can only be in a tree that was not given.
    pub(super) unlinked: Option<ApplyError>,
    /// Directories and files that were implied.
    pub(super) names: Names,
}

impl<'a> Extractor<'a> {
    pub(crate) fn new(root: &'a Root, policy: Policy<'a>) -> Self {
        Self {
            root,
            policy,
            parent: None,
            times: BTreeMap::new(),
            made: BTreeSet::new(),
            whiteouts: Vec::new(),
            skipped: Vec::new(),
            implied: false,
            unlinked: None,
            names: Names::default(),
        }
    }

    /// The directory `path`, made as it is below where it is missing.
    fn parent(&mut self, path: &Path) -> Result<&Directory, ApplyError> {
        let known = self.parent.as_ref().is_some_and(|(known, _)| known == path);
        if !known {
            let directory = match self.root.directory(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.imply(path)?;
                    self.root.directory(path)?
                }
                Err(error) if error.kind() == io::ErrorKind::NotADirectory && self.replaces_whiteout(path)? => {
                    if self.root.directory(path).is_err() {
                        self.imply(path)?;
                    }
                    self.root.directory(path)?
                }
                other => other?,
            };
            self.parent = Some((path.to_owned(), directory));
        }
        match &self.parent {
            Some((_, directory)) => Ok(directory),
            None => Err(RootError::new("open", path, io::Error::from(io::ErrorKind::NotFound)).into()),
        }
    }

    /// Makes the missing directories down to `path`, as they are seen from below. A name may have very many elements:
    /// nothing here calls itself for each.
    fn imply(&mut self, path: &Path) -> Result<(), ApplyError> {
        let missing = |at: &Path| self.root.directory(at).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        let first = path.ancestors().take_while(|at| missing(at)).count().max(1);
        let there = names(path).count().saturating_sub(first);
        let mut view = View::of(std::iter::once(self.root).chain(self.policy.parents))?;
        let mut at = PathBuf::new();
        for (depth, name) in names(path).enumerate() {
            let seen = view.step(name)?;
            at.push(name);
            if depth >= there {
                self.imply_one(&at, seen)?;
            }
        }
        Ok(())
    }

    /// Where the layer deletes what those below have at `path`, or above it, and has its own there: makes the directory.
    fn replaces_whiteout(&mut self, path: &Path) -> Result<bool, ApplyError> {
        match path.ancestors().find_map(|at| Some((at, self.root.metadata(at).ok()?))) {
            Some((at, found)) if is_whiteout(Some(found)) && self.policy.form == Form::OverlayLower => {
                self.imply_one(at, Seen::Hidden)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn imply_one(&mut self, path: &Path, seen: Seen<'_>) -> Result<(), ApplyError> {
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
        self.place(&entry, &mut io::empty())
    }

    /// Makes what `entry` says, in place of what is there.
    pub(crate) fn place(&mut self, entry: &Entry, content: &mut dyn Content) -> Result<(), ApplyError> {
        let name = file_name(&entry.path).to_owned();
        let parent_path = entry.path.parent().unwrap_or(Path::new("")).to_owned();
        let at_root = entry.path.as_os_str().is_empty();
        if entry.kind == Kind::HardLink && !self.link_target(entry)? {
            return Ok(());
        }
        self.parent(&parent_path)?;
        let Some((_, parent)) = &self.parent else { return Ok(()) };
        let existing = parent.metadata(&name).ok().map(|found| found.kind);
        let stays = at_root || (entry.kind == Kind::Directory && existing == Some(FileKind::Directory));
        if existing.is_some() && !stays {
            parent.remove_all(&name)?;
            forget_below(&mut self.made, &mut self.times, &entry.path);
        }
        let mut written_to = None;
        match entry.kind {
            Kind::File => {
                let mut file = parent.create_file(&name, 0o600)?;
                content::write(content, entry.size, &mut file, &entry.path)?;
                written_to = Some(file);
            }
            Kind::Directory => {
                if !stays {
                    parent.create_dir(&name, 0o700)?;
                }
                if existing.is_some() && !stays && self.policy.form == Form::OverlayLower {
                    // What the layer had there before, a whiteout or a file, hid what the layers below have.
                    make_opaque(parent, &name)?;
                }
            }
            Kind::Symlink => parent.symlink(&name, &entry.link)?,
            Kind::HardLink => {
                let other = self.root.directory(entry.link.parent().unwrap_or(Path::new("")))?;
                parent.hard_link(&name, &other, file_name(&entry.link))?;
            }
            // To overlay it says that something is gone.
            Kind::CharDevice if entry.device == (0, 0) => {
                self.skipped.push(entry.path.to_string_lossy().into_owned());
                return Ok(());
            }
            Kind::Fifo => parent.node(&name, FileKind::Fifo, (0, 0))?,
            Kind::CharDevice | Kind::BlockDevice => {
                let kind = if entry.kind == Kind::CharDevice { FileKind::CharDevice } else { FileKind::BlockDevice };
                match parent.node(&name, kind, entry.device) {
                    Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                        self.skipped.push(entry.path.to_string_lossy().into_owned());
                        return Ok(());
                    }
                    other => other?,
                }
            }
        }
        if stays && !at_root && self.policy.xattrs {
            forget_attributes(parent, &name, entry)?;
        }
        if entry.kind != Kind::HardLink {
            attributes(parent, &name, entry, &self.policy, written_to.as_ref())?;
        }
        if self.parent.as_ref().is_some_and(|(path, _)| path.starts_with(&entry.path)) {
            self.parent = None;
        }
        match entry.kind {
            Kind::Directory => drop(self.times.insert(entry.path.clone(), entry.mtime)),
            _ => drop(self.times.remove(&entry.path)),
        }
        self.made.insert(entry.path.clone());
        Ok(())
    }

    /// True if the layer has something at `path`, or below it.
    fn has(&self, path: &Path) -> bool {
        let from = (Bound::Included(path), Bound::Unbounded);
        self.made.range::<Path, _>(from).next().is_some_and(|made| made.starts_with(path))
    }

    /// Hides or deletes `name` of the layers below.
    pub(super) fn whiteout(&mut self, parent: &Path, name: &OsStr) -> Result<(), ApplyError> {
        let path = parent.join(name);
        // A whiteout says nothing of its own layer, whatever the order of the members.
        if self.has(&path) {
            let found = self.root.metadata(&path)?;
            return if found.kind == FileKind::Directory { self.opaque(&path) } else { Ok(()) };
        }
        match self.policy.form {
            Form::Plain => Ok(self.root.remove_all(&path)?),
            Form::OverlayLower => {
                let directory = self.parent(parent)?;
                directory.remove_all(name)?;
                directory.node(name, FileKind::CharDevice, (0, 0))?;
                self.whiteouts.push(path);
                Ok(())
            }
        }
    }

    /// Hides or deletes all that the layers below have in `path`.
    pub(super) fn opaque(&mut self, path: &Path) -> Result<(), ApplyError> {
        match self.policy.form {
            Form::OverlayLower => {
                match self.parent(path) {
                    // A file has nothing in it to hide.
                    Err(ApplyError::Root(error)) if error.kind() == io::ErrorKind::NotADirectory => return Ok(()),
                    other => drop(other?),
                }
                let (parent, name) = (path.parent().unwrap_or(Path::new("")), file_name(path));
                Ok(make_opaque(&self.root.directory(parent)?, name)?)
            }
            Form::Plain => {
                let Ok(directory) = self.root.directory(path) else { return Ok(()) };
                for name in directory.names()? {
                    self.clear_below(&directory, &path.join(&name), &name)?;
                }
                Ok(())
            }
        }
    }

    fn clear_below(&self, directory: &Directory, path: &Path, name: &OsStr) -> Result<(), ApplyError> {
        if !self.has(path) {
            return Ok(directory.remove_all(name)?);
        }
        if directory.metadata(name)?.kind == FileKind::Directory {
            let inner = directory.directory(name)?;
            for name in inner.names()? {
                self.clear_below(&inner, &path.join(&name), &name)?;
            }
        }
        Ok(())
    }

    /// Where the layer hides a whole directory, its names are listed as they are, whiteouts included.
    fn drop_hidden_whiteouts(&mut self) -> Result<(), ApplyError> {
        for path in std::mem::take(&mut self.whiteouts) {
            let mut view = View::of([self.root])?;
            for name in names(path.parent().unwrap_or(Path::new(""))) {
                view.step(name)?;
            }
            if view.hides() && is_whiteout(self.root.metadata(&path).ok()) {
                self.root.remove_all(&path)?;
            }
        }
        Ok(())
    }

    /// Sets the times of directories. Gives the devices that were skipped, and whether something was taken from below.
    pub(crate) fn finish(mut self) -> Result<(Vec<String>, bool), ApplyError> {
        self.drop_hidden_whiteouts()?;
        for (path, mtime) in std::mem::take(&mut self.times).into_iter().rev() {
            match self.root.directory(path.parent().unwrap_or(Path::new(""))) {
                Ok(parent) => match parent.set_mtime(file_name(&path), mtime) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    other => other?,
                },
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok((self.skipped, self.implied))
    }
}

fn is_whiteout(found: Option<Metadata>) -> bool {
    found.is_some_and(|found| found.kind == FileKind::CharDevice && found.device == (0, 0))
}

/// Forgets what was made below `path`, and is gone.
fn forget_below(made: &mut BTreeSet<PathBuf>, times: &mut BTreeMap<PathBuf, (i64, u32)>, path: &Path) {
    let from = (Bound::Excluded(path), Bound::Unbounded);
    let below = made.range::<Path, _>(from).take_while(|below| below.starts_with(path));
    for gone in below.cloned().collect::<Vec<_>>() {
        made.remove(&gone);
        times.remove(&gone);
    }
}

/// To overlay it says that of the layers below nothing is in the directory.
fn make_opaque(parent: &Directory, name: &OsStr) -> Result<(), RootError> {
    parent.set_xattr(name, OsStr::new(whiteout::OVERLAY_OPAQUE[0]), b"y")
}

/// A directory that was there has the attributes of its entry and no others (image-spec 1.1, "Modifications").
fn forget_attributes(parent: &Directory, name: &OsStr, entry: &Entry) -> Result<(), RootError> {
    for (attribute, _) in parent.xattrs(name)? {
        let ours = attribute != "security.selinux" && !crate::diff::is_overlay_attribute(&attribute);
        if ours && !entry.xattrs.iter().any(|(other, _)| *other == attribute) {
            parent.remove_xattr(name, &attribute)?;
        }
    }
    Ok(())
}

/// Owner, then attributes (chown(2) drops capabilities), then mode (it drops set-id bits), then time.
fn attributes(
    parent: &Directory,
    name: &OsStr,
    entry: &Entry,
    policy: &Policy<'_>,
    file: Option<&File>,
) -> Result<(), RootError> {
    match policy.ownership {
        Ownership::Archive | Ownership::Exchanged(_) => {
            let (uid, gid) = policy.ownership.exchanged(entry.uid, entry.gid);
            parent.set_owner(name, Some(uid), Some(gid))?;
        }
        Ownership::Root => parent.set_owner(name, Some(0), Some(0))?,
        Ownership::Invoker => {}
    }
    if policy.xattrs {
        for (attribute, value) in &entry.xattrs {
            match parent.set_xattr(name, attribute, value) {
                Err(_) if policy.ownership == Ownership::Invoker => {}
                other => other?,
            }
        }
    }
    if let Some(file) = file {
        let set = rustix::fs::fchmod(file, rustix::fs::Mode::from_raw_mode(entry.mode));
        set.map_err(|errno| RootError::new("set the mode of", &entry.path, errno))?;
    } else if entry.kind != Kind::Symlink {
        parent.set_mode(name, entry.mode)?;
    }
    if entry.kind == Kind::Directory { Ok(()) } else { parent.set_mtime(name, entry.mtime) }
}
