//! Hard links of a layer to files of the layers below it. Where layers are applied one onto the other, as other tools
//! do, such a link is like any; in a tree of one layer the file has to be there as well.

use std::io::{self, Read};

use super::ApplyError;
use super::extract::Extractor;
use super::seen::{Seen, seen};
use crate::diff::is_overlay_attribute;
use crate::root::FileKind;
use crate::tar::{Entry, Kind, plain_directory};

impl Extractor<'_> {
    /// Makes sure that the file which `entry` links to is there. False if it can only be in trees that were not given:
    /// the link is then to be made when they are.
    pub(super) fn link_target(&mut self, entry: &Entry) -> Result<bool, ApplyError> {
        let (path, target) = (&entry.path, &entry.link);
        let fails = |reason: &'static str| ApplyError::Link { path: path.clone(), target: target.clone(), reason };
        match self.root.metadata(target) {
            Ok(found) if found.kind == FileKind::Directory => return Err(fails("that is a directory")),
            Ok(found) if found.kind == FileKind::CharDevice && found.device == (0, 0) => {
                return Err(fails("the layer deletes that"));
            }
            Ok(_) => return Ok(true),
            Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Err(error.into());
            }
            Err(_) => {}
        }
        let missing = fails("no such file is in the layer or below it");
        let (below, found) = match seen(std::iter::once(self.root).chain(self.policy.parents), target)? {
            Seen::Shown(below, found) if found.kind == FileKind::File => (below, found),
            Seen::Nothing if self.policy.parents.is_empty() => {
                self.implied = true;
                self.unlinked.get_or_insert(missing);
                return Ok(false);
            }
            _ => return Err(missing),
        };
        self.implied = true;
        let (uid, gid) = self.policy.ownership.exchanged(found.uid, found.gid);
        let mut copy = Entry {
            kind: Kind::File,
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
        self.place(&copy, &mut below.open_file(target)?.take(found.size))?;
        // It is still of the layers below: this one may delete it.
        self.made.remove(target);
        Ok(true)
    }
}
