//! Making files from members of an archive, relative to handles of their parents.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::ops::Bound;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::hidden::make_opaque;
use super::last::{Last, OWNER};
use super::{ApplyError, Form, content};
use crate::ids::Exchange;
use crate::root::{Directory, FileKind, Root, RootError};
use crate::tar::budget::Names;
use crate::tar::{Content, Entry, Kind, file_name};

/// Attributes that are told of at the most.
const LEFT: usize = 100;

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
    pub(crate) form: Form,
    /// What is below, if that is known.
    pub(crate) parents: Option<&'a [Root]>,
}

impl Policy<'_> {
    /// Modes hold for whoever runs this: directories get those that would keep him out at last.
    pub(super) fn opens(&self) -> bool {
        self.ownership == Ownership::Invoker
    }
}

/// Makes files below a root. Directories get their times at the end, when nothing is put into them any more.
pub(crate) struct Extractor<'a> {
    pub(super) root: &'a Root,
    pub(super) policy: Policy<'a>,
    /// A directory, by the path that members have for it.
    pub(super) parent: Option<(PathBuf, Directory)>,
    pub(super) last: Last,
    /// What the layer has made, by paths without links.
    pub(super) made: BTreeSet<PathBuf>,
    /// Directories that it did not make, and that were made for what is in them.
    pub(super) implied_at: BTreeSet<PathBuf>,
    /// Overlay's whiteouts.
    pub(super) whiteouts: Vec<PathBuf>,
    /// Nothing of what is below is seen.
    pub(super) hides_all: bool,
    pub(super) skipped: Vec<String>,
    /// What was below and is gone, of [`Form::Plain`].
    pub(super) gone: Vec<PathBuf>,
    /// By attribute, the first file that is without it.
    left: BTreeMap<String, String>,
    /// The tree depends on those below it.
    pub(super) implied: bool,
    /// The first hard link whose file can only be in a tree that was not given.
    pub(super) unlinked: Option<ApplyError>,
    /// Files of aufs are there, under no name that an image has.
    pub(super) pseudo_links: bool,
    /// Directories and files that were implied.
    pub(super) names: Names,
}

/// What came of a layer's members.
pub(crate) struct Finished {
    pub(crate) skipped_devices: Vec<String>,
    pub(crate) left_attributes: BTreeMap<String, String>,
    pub(crate) implied_parents: bool,
    pub(crate) whiteouts: Vec<PathBuf>,
    pub(crate) gone: Vec<PathBuf>,
}

impl<'a> Extractor<'a> {
    pub(crate) fn new(root: &'a Root, policy: Policy<'a>) -> Self {
        Self {
            root,
            policy,
            parent: None,
            last: Last::default(),
            made: BTreeSet::new(),
            implied_at: BTreeSet::new(),
            whiteouts: Vec::new(),
            hides_all: false,
            skipped: Vec::new(),
            gone: Vec::new(),
            left: BTreeMap::new(),
            implied: false,
            unlinked: None,
            pseudo_links: false,
            names: Names::default(),
        }
    }

    /// Makes what `entry` says, in place of what is there.
    pub(crate) fn place(&mut self, entry: &Entry, content: &mut dyn Content) -> Result<(), ApplyError> {
        let node;
        let entry = if self.leads_to_a_node(entry)? {
            node = Entry { kind: Kind::CharDevice, device: (0, 0), ..entry.clone() };
            &node
        } else {
            entry
        };
        let name = file_name(&entry.path).to_owned();
        let at_root = entry.path.as_os_str().is_empty();
        let target = match entry.kind {
            Kind::HardLink => match self.link_target(entry)? {
                None => return Ok(()),
                target => target,
            },
            _ => None,
        };
        self.parent(entry.path.parent().unwrap_or(Path::new("")))?;
        let Some((_, parent)) = &self.parent else { return Ok(()) };
        let path = if at_root { PathBuf::new() } else { parent.path().join(&name) };
        self.last.stays(parent, self.policy.opens())?;
        let found = parent.metadata(&name).ok();
        let existing = found.map(|found| found.kind);
        let stays = at_root || (entry.kind == Kind::Directory && existing == Some(FileKind::Directory));
        if existing.is_some() && !stays {
            parent.remove_all(&name)?;
            forget_below(&mut self.made, &path);
            self.last.forget_below(&path);
        }
        let mut written_to = None;
        match entry.kind {
            Kind::File => {
                let mut file = parent.create_file(&name, 0o600)?;
                content::write(content, entry.size, &mut file, &path)?;
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
                let target = target.as_deref().unwrap_or(Path::new(""));
                let other = self.root.directory(target.parent().unwrap_or(Path::new("")))?;
                parent.hard_link(&name, &other, file_name(target))?;
            }
            Kind::Fifo => parent.node(&name, FileKind::Fifo, (0, 0))?,
            // To overlay it says that something is gone.
            Kind::CharDevice if entry.device == (0, 0) => return self.skip(&path, &name),
            Kind::CharDevice | Kind::BlockDevice if self.policy.form == Form::Plain => return self.skip(&path, &name),
            Kind::CharDevice | Kind::BlockDevice => {
                let kind = if entry.kind == Kind::CharDevice { FileKind::CharDevice } else { FileKind::BlockDevice };
                match parent.node(&name, kind, entry.device) {
                    Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return self.skip(&path, &name),
                    other => other?,
                }
            }
        }
        if stays && !at_root {
            if let Some(found) = found.filter(|found| self.policy.opens() && found.mode & OWNER != OWNER) {
                parent.set_mode(&name, found.mode | OWNER)?;
            }
            forget_attributes(parent, &name, entry)?;
        }
        if entry.kind != Kind::HardLink {
            attributes(parent, &name, entry, &self.policy, written_to.as_ref(), &mut self.left)?;
        }
        self.lead_elsewhere(entry, existing, &path);
        match entry.kind {
            Kind::Directory => self.last.is_said(path.clone(), entry, self.policy.opens()),
            _ => self.last.forget(&path),
        }
        self.made.insert(path);
        Ok(())
    }

    /// Leaves out a device node. In its place nothing is seen, whatever is below.
    fn skip(&mut self, path: &Path, name: &OsStr) -> Result<(), ApplyError> {
        self.skipped.push(absolute(path));
        self.made.remove(path);
        match &self.parent {
            Some((_, parent)) if self.policy.form == Form::OverlayLower => {
                parent.node(name, FileKind::CharDevice, (0, 0))?;
                self.whiteouts.push(path.to_owned());
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Sets times and modes of directories, when nothing is put into them any more.
    pub(crate) fn finish(mut self) -> Result<Finished, ApplyError> {
        self.drop_pseudo_links()?;
        self.hide_all()?;
        self.drop_hidden_whiteouts()?;
        std::mem::take(&mut self.last).set(self.root)?;
        let Self { skipped, left, implied, whiteouts, gone, .. } = self;
        Ok(Finished { skipped_devices: skipped, left_attributes: left, implied_parents: implied, whiteouts, gone })
    }
}

/// A path of the root as messages have it.
pub(super) fn absolute(path: &Path) -> String {
    Path::new("/").join(path).to_string_lossy().into_owned()
}

/// Forgets what was made below `path`, and is gone.
pub(super) fn forget_below(made: &mut BTreeSet<PathBuf>, path: &Path) {
    let from = (Bound::Excluded(path), Bound::Unbounded);
    let below = made.range::<Path, _>(from).take_while(|below| below.starts_with(path));
    for gone in below.cloned().collect::<Vec<_>>() {
        made.remove(&gone);
    }
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
    left: &mut BTreeMap<String, String>,
) -> Result<(), RootError> {
    match policy.ownership {
        Ownership::Archive | Ownership::Exchanged(_) => {
            let (uid, gid) = policy.ownership.exchanged(entry.uid, entry.gid);
            parent.set_owner(name, Some(uid), Some(gid))?;
        }
        Ownership::Root => parent.set_owner(name, Some(0), Some(0))?,
        Ownership::Invoker => {}
    }
    for (attribute, value) in &entry.xattrs {
        match parent.set_xattr(name, attribute, value) {
            Err(error) if policy.opens() || may_be_left(attribute, &error) => {
                if left.len() < LEFT {
                    let shown = |path: &OsStr| crate::path::shown(path.as_bytes());
                    let path = parent.path().join(name);
                    left.entry(shown(attribute)).or_insert_with(|| format!("/{}", shown(path.as_os_str())));
                }
            }
            other => other?,
        }
    }
    if let Some(file) = file {
        let set = rustix::fs::fchmod(file, rustix::fs::Mode::from_raw_mode(entry.mode));
        set.map_err(|errno| RootError::new("set the mode of", &entry.path, errno))?;
    } else if entry.kind != Kind::Symlink {
        let opened = policy.opens() && entry.kind == Kind::Directory;
        parent.set_mode(name, if opened { entry.mode | OWNER } else { entry.mode })?;
    }
    if entry.kind == Kind::Directory { Ok(()) } else { parent.set_mtime(name, entry.mtime) }
}

/// Attributes without which a file is no other to those who use it: of a kind that this machine does not have, or lets
/// nobody set here. What a program may do and who may read a file is never one of them.
fn may_be_left(attribute: &OsStr, error: &RootError) -> bool {
    let guards = attribute == "security.capability" || attribute.as_bytes().starts_with(b"system.posix_acl");
    !guards && matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported)
}
