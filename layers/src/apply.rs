//! A layer's tar, put on a directory (OCI image-spec 1.1, "Applying Changesets").

use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::diff::is_overlay_attribute;
use crate::root::{Root, RootError};
use crate::tar::{TarError, for_each};
use crate::whiteout::{self, Name};

pub(crate) mod content;
mod extract;
mod hidden;
mod last;
mod links;
mod seen;
mod way;

pub use extract::Ownership;
use extract::{Extractor, Finished, Policy};
pub use hidden::idle;

/// What the directory is to become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The layer on top of what is there: whiteouts delete. Device nodes are left out: they would open what the machine has.
    Plain,
    /// One layer by itself, for an overlay mount: whiteouts become overlay's own.
    OverlayLower,
}

/// How a layer is applied.
#[derive(Debug)]
pub struct ApplyOptions<'a> {
    /// What the directory is to become.
    pub form: Form,
    /// Trees below this one, topmost first: the layer deletes, links to and goes through what they have, and directories
    /// that it needs and does not have are like theirs. `None` if they are not known yet. [`Form::Plain`] asks for none:
    /// what is below is there.
    pub parents: Option<&'a [Root]>,
    /// Who owns what is made.
    pub ownership: Ownership,
}

/// What applying a layer came to.
#[derive(Debug, Default)]
pub struct Applied {
    /// Members of the layer.
    pub entries: u64,
    /// Device nodes that this user may not make, those that overlay would take for whiteouts, and all of [`Form::Plain`].
    /// What is below is not seen in their place.
    pub skipped_devices: Vec<String>,
    /// Extended attributes that cannot be set here, and of each the first file that is without it.
    pub left_attributes: BTreeMap<String, String>,
    /// The layer left out directories it needs, goes through links or links to files below, or deletes what is not there:
    /// the tree depends on what is below. Without [`ApplyOptions::parents`] it is not what it is to be.
    pub implied_parents: bool,
    /// Whiteouts of an overlay's tree.
    pub whiteouts: Vec<PathBuf>,
    /// What was there of layers below and was deleted, with all below it ([`Form::Plain`]).
    pub gone: Vec<PathBuf>,
    /// A hard link that was not made: without [`ApplyOptions::parents`], its file was not to be seen.
    pub unlinked: Option<ApplyError>,
}

/// What layers have and the files that were made of them have not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Absent {
    /// Device nodes: absolute paths.
    pub devices: Vec<String>,
    /// Extended attributes that cannot be set here, and of each the first file that is without it.
    pub attributes: BTreeMap<String, String>,
}

impl Absent {
    /// Adds what is missing of one more layer, and forgets what it deletes.
    pub fn add(&mut self, applied: Applied) {
        let goes = |path: &str| {
            let inside = Path::new(path).strip_prefix("/").unwrap_or(Path::new(path));
            applied.gone.iter().any(|gone| inside.starts_with(gone))
        };
        self.devices.retain(|path| !goes(path));
        self.attributes.retain(|_, path| !goes(path));
        self.devices.extend(applied.skipped_devices);
        for (name, path) in applied.left_attributes {
            self.attributes.entry(name).or_insert(path);
        }
    }

    /// Forgets nodes in whose place `root` has something else by now, and attributes of files that it does not have.
    pub fn settle(&mut self, root: &Root) {
        self.devices.retain(|path| root.metadata(Path::new(path)).is_err());
        self.attributes.retain(|_, path| root.metadata(Path::new(path)).is_ok());
    }
}

/// Why a layer cannot be applied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// The archive.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// The directory.
    #[error(transparent)]
    Root(#[from] RootError),
    /// A hard link that cannot be made.
    #[error("the hard link /{} leads to /{}: {reason}", shown(path), shown(target))]
    Link {
        /// The link.
        path: PathBuf,
        /// Of which file it is to be a name.
        target: PathBuf,
        /// Why not.
        reason: &'static str,
    },
}

fn shown(path: &Path) -> String {
    crate::path::shown(path.as_os_str().as_bytes())
}

/// Applies the uncompressed tar in `reader` to `root`.
pub fn apply(reader: impl Read, root: &Root, options: &ApplyOptions<'_>) -> Result<Applied, ApplyError> {
    let policy = Policy { ownership: options.ownership, form: options.form, parents: options.parents };
    let mut extractor = Extractor::new(root, policy);
    let entries = for_each::<_, ApplyError>(reader, |mut entry, content| {
        // Overlay's own attributes in an image would be orders to our mount.
        entry.xattrs.retain(|(name, _)| !is_overlay_attribute(name));
        let parent = entry.path.parent().unwrap_or(Path::new("")).to_owned();
        if whiteout::is_inside(&entry.path) {
            return extractor.pseudo_link(&entry, content);
        }
        match whiteout::classify(crate::tar::file_name(&entry.path)) {
            Name::Plain => extractor.place(&entry, content),
            Name::Reserved => Ok(()),
            Name::Opaque => extractor.opaque(&parent),
            // Whatever has the name: union file systems made theirs hard links of each other.
            Name::Whiteout(name) => extractor.whiteout(&parent, name),
        }
    })?;
    let unlinked = extractor.unlinked.take();
    let unlinked = match (options.form, unlinked) {
        (Form::Plain, Some(error)) => return Err(error),
        (_, unlinked) => unlinked,
    };
    let Finished { skipped_devices, left_attributes, implied_parents, whiteouts, gone } = extractor.finish()?;
    Ok(Applied { entries, skipped_devices, left_attributes, implied_parents, whiteouts, gone, unlinked })
}
