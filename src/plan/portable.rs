//! Archives as layers of their own: what such a layer depends on, and the key that says so.
//!
//! A toolchain unpacked into `/opt/x` is the same layer on any base and in any blueprint. Its key holds the archive,
//! what is done to it, and the few [`Facts`] of the world below that show in its bytes; not what stands below it.
//!
//! What is copied of the blueprint is no such layer. `copy` keeps directories as they are, writes through links and refuses
//! to replace a directory, so that each of its members depends on what stands below; it is seldom large, it needs no
//! download, and every file in `/etc` would be one of the 127 layers of an image.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use layers::digest::Digest;
use layers::key::KeyHasher;
use layers::tar::{Entry, plain_directory};
use serde::{Deserialize, Serialize};

use super::{Inputs, LayerKey};
use crate::op::{Archive, Mode, Op, Owner, Source, Step};

/// Raised when the same archive would give other bytes.
const VERSION: u64 = 5;

/// A step that is nothing but an archive unpacked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortableStep {
    /// The archive.
    pub archive: Source,
    /// Where it goes: absolute, as the author wrote it.
    pub dest: String,
    /// Leading path elements to drop.
    pub strip: u32,
    /// Owner of all that is unpacked, and of the destination.
    pub owner: Option<Owner>,
    /// Mode of the same.
    pub mode: Option<Mode>,
    /// A path whose existence makes the step do nothing.
    pub creates: Option<String>,
}

/// A directory that is not root's with mode 0755.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ancestor {
    /// Relative to the root.
    pub path: PathBuf,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Extended attributes.
    pub xattrs: Vec<(OsString, Vec<u8>)>,
}

impl Ancestor {
    /// The directory as an archive's layer mentions it, so that it stays what it is.
    pub fn entry(&self) -> Entry {
        let Self { path, mode, uid, gid, xattrs } = self;
        Entry { mode: *mode, uid: *uid, gid: *gid, xattrs: xattrs.clone(), ..plain_directory(path) }
    }
}

/// What the world below is like, as far as it shows in the layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The destination, relative to the root, links followed.
    pub dest: PathBuf,
    /// Its directories that are there and not of the usual kind.
    pub ancestors: Vec<Ancestor>,
    /// Ids behind the owner's names.
    pub owner: Option<(u32, Option<u32>)>,
}

impl PortableStep {
    /// The archive of `step`, if that is all it is.
    pub fn of(step: &Step) -> Option<Self> {
        let ops: Vec<&Op> = step.ops.iter().collect();
        let (unpack, attributes) = match ops.as_slice() {
            [unpack] => (unpack, None),
            [unpack, attributes] => (unpack, Some(attributes)),
            _ => return None,
        };
        let Op::Unpack { archive: Archive::Source(archive), dest, strip } = unpack else { return None };
        let (owner, mode) = match attributes {
            None => (None, None),
            Some(Op::SetAttributes { path, owner, mode, recursive: true }) if path == dest => {
                (owner.clone(), mode.clone())
            }
            Some(_) => return None,
        };
        if step.guards.skip_if.is_some() || dest == "/" {
            return None;
        }
        let creates = step.guards.creates.clone().filter(|_| !step.guards.always_run);
        let (archive, dest) = (archive.clone(), dest.clone());
        Some(Self { archive, dest, strip: *strip, owner, mode, creates })
    }

    /// What is below the root at `dest`, as it is most of the time: nothing out of the ordinary. `user` is the image's
    /// own. `None` when ids cannot be guessed.
    pub fn usual(&self, user: Option<&str>) -> Option<Facts> {
        let id = |name: &str| match name {
            "root" => Some(0),
            name if Some(name) == user => Some(1000),
            name => name.parse().ok(),
        };
        let owner = match &self.owner {
            None => None,
            Some(owner) => {
                Some((id(&owner.user)?, owner.group.as_deref().map(|group| id(group).ok_or(())).transpose().ok()?))
            }
        };
        let dest = Path::new(&self.dest).strip_prefix("/").ok()?.to_owned();
        Some(Facts { dest, ancestors: Vec::new(), owner })
    }

    /// What `creates` names, if an archive with `tops` at its top does not make it.
    pub fn not_created(&self, tops: &BTreeSet<OsString>) -> Option<&str> {
        let (creates, dest) = (self.creates.as_deref()?, Path::new(&self.dest));
        let made = match Path::new(creates).strip_prefix(dest) {
            Ok(below) => below.iter().next().is_none_or(|first| tops.contains(first)),
            Err(_) => dest.starts_with(creates),
        };
        (!made).then_some(creates)
    }

    /// True if what it unpacks has attributes of its own: then nothing may be at the destination before.
    pub fn sets_attributes(&self) -> bool {
        self.owner.is_some() || self.mode.is_some()
    }

    /// What the layer's key is made of. `None` if the archive's digest is not known.
    pub fn preimage(&self, facts: &Facts, inputs: &Inputs) -> Option<PortablePreimage> {
        Some(PortablePreimage {
            version: VERSION,
            compression: inputs.compression.to_string(),
            epoch: inputs.epoch,
            archive: *inputs.sources.get(&self.archive)?,
            dest: facts.dest.clone(),
            strip: self.strip,
            owner: facts.owner,
            mode: self.mode.clone(),
            ancestors: facts.ancestors.clone(),
        })
    }
}

/// What the key of a portable layer is made of: all that shows in its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortablePreimage {
    version: u64,
    compression: String,
    epoch: u64,
    archive: Digest,
    dest: PathBuf,
    strip: u32,
    owner: Option<(u32, Option<u32>)>,
    mode: Option<Mode>,
    ancestors: Vec<Ancestor>,
}

impl PortablePreimage {
    /// What the layer is found under, wherever it is.
    pub fn key(&self) -> LayerKey {
        let mut key = KeyHasher::new("portable").with(self.version.to_le_bytes()).with(&self.compression);
        key.part(self.epoch.to_le_bytes());
        key.part(self.archive.as_bytes());
        key.part(self.dest.as_os_str().as_bytes());
        key.part(self.strip.to_le_bytes());
        let id = |id: Option<u32>| id.map_or_else(|| "none".to_owned(), |id| id.to_string());
        key.part(id(self.owner.map(|(uid, _)| uid)));
        key.part(id(self.owner.and_then(|(_, gid)| gid)));
        match &self.mode {
            None => key.part("none"),
            Some(Mode::Octal(mode)) => key.part(format!("octal {mode:o}")),
            Some(Mode::Symbolic(text)) => key.part(format!("symbolic {text}")),
        }
        for Ancestor { path, mode, uid, gid, xattrs } in &self.ancestors {
            key.part(path.as_os_str().as_bytes());
            key.part(format!("{mode:o} {uid} {gid} {}", xattrs.len()));
            for (name, value) in xattrs {
                key.part(name.as_bytes());
                key.part(value);
            }
        }
        key.finish().into()
    }
}

/// What a portable layer holds, as far as other archives go by it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    dest: PathBuf,
    tops: BTreeSet<OsString>,
    /// Its destination is not of the usual kind.
    attributes: bool,
}

impl Contents {
    /// What `step` leaves in a world like `facts`.
    pub fn of(step: &PortableStep, facts: Facts, tops: BTreeSet<OsString>) -> Self {
        let attributes = step.sets_attributes() || !facts.ancestors.is_empty();
        Self { dest: facts.dest, tops, attributes }
    }

    /// True if an archive for `step`, with `tops` at its top, might turn out differently with this below it.
    pub fn concerns(&self, step: &PortableStep, tops: Option<&BTreeSet<OsString>>) -> bool {
        let inside = |path: &str| {
            let path = Path::new(path).strip_prefix("/").unwrap_or(Path::new(path));
            path.strip_prefix(&self.dest)
                .is_ok_and(|rest| rest.iter().next().is_none_or(|first| self.tops.contains(first)))
        };
        let dest = Path::new(&step.dest).strip_prefix("/").unwrap_or(Path::new(&step.dest));
        let meets = match dest.strip_prefix(&self.dest) {
            Ok(rest) if rest.as_os_str().is_empty() => {
                self.attributes || step.sets_attributes() || tops.is_none_or(|tops| !tops.is_disjoint(&self.tops))
            }
            Ok(_) => self.attributes || inside(&step.dest),
            // Theirs is further down: it makes directories in ours.
            Err(_) => self.dest.starts_with(dest),
        };
        meets || step.creates.as_deref().is_some_and(inside) || self.dest.starts_with("etc")
    }
}
