//! Hard links of a layer to files of the layers below it. Where layers are applied one onto the other, as other tools
//! do, such a link is like any; in a tree of one layer the file has to be there as well.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::ApplyError;
use super::extract::{Extractor, absolute, forget_below};
use super::hidden::is_whiteout;
use super::seen::{Seen, seen};
use crate::diff::is_overlay_attribute;
use crate::root::FileKind;
use crate::tar::{Content, Entry, Kind, file_name, plain_directory};
use crate::whiteout::PSEUDO_LINKS;

impl Extractor<'_> {
    /// A file of aufs, to which hard links of the layer may lead: it is there until the layer is. What else lies below
    /// such names is in no image.
    pub(super) fn pseudo_link(&mut self, entry: &Entry, content: &mut dyn Content) -> Result<(), ApplyError> {
        let place = Path::new(PSEUDO_LINKS);
        if entry.kind != Kind::File || entry.path.parent() != Some(place) {
            return Ok(());
        }
        self.pseudo_links = true;
        self.place(entry, content)
    }

    /// Deletes those files; their other names stay.
    pub(super) fn drop_pseudo_links(&mut self) -> Result<(), ApplyError> {
        if !std::mem::take(&mut self.pseudo_links) {
            return Ok(());
        }
        let place = Path::new(PSEUDO_LINKS);
        forget_below(&mut self.made, place);
        self.made.remove(place);
        self.last.forget(place);
        self.implied_at.remove(place);
        Ok(self.root.remove_all(place)?)
    }

    /// True for a hard link to a device node that was left out.
    pub(super) fn leads_to_a_node(&mut self, entry: &Entry) -> Result<bool, ApplyError> {
        if entry.kind != Kind::HardLink || self.skipped.is_empty() {
            return Ok(false);
        }
        let target = self.way(entry.link.parent().unwrap_or(Path::new("")))?.join(file_name(&entry.link));
        Ok(self.skipped.contains(&absolute(&target)))
    }

    /// Makes sure that the file which `entry` links to is there, and gives the way to it. `None` if it can only be in
    /// trees that are not known: the link is then to be made when they are.
    pub(super) fn link_target(&mut self, entry: &Entry) -> Result<Option<PathBuf>, ApplyError> {
        let path = &entry.path;
        let fails = |reason: &'static str| ApplyError::Link { path: path.clone(), target: entry.link.clone(), reason };
        let target = &self.way(entry.link.parent().unwrap_or(Path::new("")))?.join(file_name(&entry.link));
        match self.root.metadata(target) {
            Ok(found) if found.kind == FileKind::Directory => return Err(fails("that is a directory")),
            Ok(found) if is_whiteout(&found) => return Err(fails("the layer deletes that")),
            Ok(_) => return Ok(Some(target.clone())),
            Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Err(error.into());
            }
            Err(_) => {}
        }
        let missing = fails("no such file is in the layer or below it");
        let (below, found) = match seen(self.trees(), target)? {
            Seen::Shown(below, found) if found.kind != FileKind::Directory && !is_whiteout(&found) => (below, found),
            Seen::Nothing if self.policy.parents.is_none() => {
                self.implied = true;
                self.unlinked.get_or_insert(missing);
                return Ok(None);
            }
            _ => return Err(missing),
        };
        self.implied = true;
        let (uid, gid) = self.policy.ownership.exchanged(found.uid, found.gid);
        let (kind, link) = match found.kind {
            FileKind::Symlink => (Kind::Symlink, below.read_link(target)?),
            FileKind::CharDevice => (Kind::CharDevice, PathBuf::new()),
            FileKind::BlockDevice => (Kind::BlockDevice, PathBuf::new()),
            FileKind::Fifo => (Kind::Fifo, PathBuf::new()),
            _ => (Kind::File, PathBuf::new()),
        };
        let mut copy = Entry {
            kind,
            link,
            device: found.device,
            mode: found.mode,
            uid,
            gid,
            mtime: found.mtime,
            size: found.size,
            xattrs: below.xattrs(target)?,
            ..plain_directory(target)
        };
        copy.xattrs.retain(|(name, _)| !is_overlay_attribute(name));
        self.names.count(target)?;
        match kind {
            Kind::File => self.place(&copy, &mut below.open_file(target)?.take(found.size))?,
            _ => self.place(&copy, &mut io::empty())?,
        }
        // It is still of the layers below: this one may delete it.
        self.made.remove(target);
        Ok(Some(target.clone()))
    }
}
