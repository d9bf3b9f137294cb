//! What changed in an overlay, as a layer: from the upper directory alone, never from a walk of the whole root.
//!
//! The same changes give the same bytes: sorted by path, times clamped, nothing that only a machine could know.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::ids::Exchange;
use crate::root::{Directory, FileKind, Metadata, Root, RootError};
use crate::tar::{Entry, Kind, TarWriter, plain_directory};
use crate::whiteout;

mod exclude;
mod names;
pub(crate) mod pyc;

pub use exclude::ExcludeSet;
pub use names::look;

/// How a diff is taken.
#[derive(Debug)]
pub struct DiffOptions<'a> {
    /// Times later than this, in seconds since 1970, become this.
    pub mtime_max: u64,
    /// What is left out.
    pub exclude: &'a ExcludeSet,
    /// What was below, topmost first: a directory that is there just as it is here, and holds nothing that changed,
    /// is left out.
    pub lowers: &'a [Root],
    /// Who has changed places in all of them.
    pub ids: Exchange,
}

/// What a diff came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiffStats {
    /// Members written.
    pub entries: u64,
    /// Bytes of file content written.
    pub bytes: u64,
    /// What the directory holds and the layer does not, beside what is excluded: sockets, and directories that were
    /// there before. What stands in others comes first.
    pub left_out: Vec<PathBuf>,
}

impl DiffStats {
    /// Nothing was changed.
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }
}

/// Why a diff failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiffError {
    /// The directory.
    #[error(transparent)]
    Root(#[from] RootError),
    /// A name that is kept for whiteouts.
    #[error(
        "`/{}` cannot be in a layer: a name that begins with `.wh.` is the mark of a deleted file there, so another file would be gone instead. Whatever makes it has to name it otherwise, or delete it",
        names::shown(path)
    )]
    Name {
        /// The file.
        path: PathBuf,
    },
    /// A name of which no whiteout can be made.
    #[error(
        "`/{}` cannot be deleted by a layer: the mark of a deleted file is its name behind `.wh.`, and that is longer than the 255 bytes that Linux allows. Delete it in the task file that makes it, or delete the directory that it is in",
        names::shown(path)
    )]
    Gone {
        /// What is gone.
        path: PathBuf,
    },
    /// A path that readers of layers refuse.
    #[error(
        "`/{}` cannot be in a layer: it {problem}. Whatever makes it has to name it otherwise, or delete it",
        names::shown(path)
    )]
    Long {
        /// The file.
        path: PathBuf,
        /// What is wrong with its name.
        problem: &'static str,
    },
    /// An attribute whose name would be another one.
    #[error(
        "`/{}` cannot be in a layer: its extended attribute `{}` has a `=` in its name, and readers of layers would take the name to end there. Whatever sets it has to name it otherwise, or remove it",
        names::shown(path),
        crate::path::shown(attribute.as_bytes())
    )]
    Attribute {
        /// The file.
        path: PathBuf,
        /// The attribute's name.
        attribute: OsString,
    },
    /// The layer could not be written.
    #[error("cannot write the layer: {0}")]
    Write(#[from] io::Error),
}

/// True for attributes by which overlay keeps its books.
pub fn is_overlay_attribute(name: &OsStr) -> bool {
    let name = name.as_bytes();
    name.starts_with(b"user.overlay.") || name.starts_with(b"trusted.overlay.")
}

fn is_marked(xattrs: &[(OsString, Vec<u8>)], marks: [&str; 2]) -> bool {
    xattrs.iter().any(|(name, _)| marks.iter().any(|mark| name.as_os_str() == OsStr::new(mark)))
}

/// True for what overlay leaves where something was deleted.
fn is_whiteout(metadata: &Metadata, xattrs: &[(OsString, Vec<u8>)]) -> bool {
    (metadata.kind == FileKind::CharDevice && metadata.device == (0, 0))
        || (metadata.kind == FileKind::File && is_marked(xattrs, whiteout::OVERLAY_WHITEOUT))
}

/// Those of `merged` that overlay shows in the directory `path`, topmost first. `merged` are those that it shows in the
/// directory above: they have real directories all the way down to there, so no link is followed.
fn shining_through<'r>(merged: &[&'r Root], path: &Path) -> Result<Vec<&'r Root>, RootError> {
    let mut found = Vec::new();
    for root in merged {
        let there = match root.metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other?,
        };
        // A whiteout or another file hides what is below it.
        if there.kind != FileKind::Directory {
            break;
        }
        found.push(*root);
        if is_marked(&root.xattrs(path)?, whiteout::OVERLAY_OPAQUE) {
            break;
        }
    }
    Ok(found)
}

/// Writes the upper directory `upper` to `out` as an uncompressed layer.
pub fn diff(upper: &Root, out: impl Write, options: &DiffOptions<'_>) -> Result<DiffStats, DiffError> {
    let mut differ = Differ {
        tar: TarWriter::new(out),
        options,
        links: HashMap::new(),
        pending: Vec::new(),
        stats: DiffStats::default(),
    };
    let top = upper.directory(Path::new(""))?;
    let merged: Vec<&Root> = options.lowers.iter().collect();
    differ.children(&top, Path::new(""), &merged)?;
    differ.tar.finish()?;
    Ok(differ.stats)
}

struct Differ<'a, W: Write> {
    tar: TarWriter<W>,
    options: &'a DiffOptions<'a>,
    /// First path of every file with more than one.
    links: HashMap<(u64, u64), PathBuf>,
    /// Directories that are written when something in them is.
    pending: Vec<Entry>,
    stats: DiffStats,
}

impl<W: Write> Differ<'_, W> {
    /// What is in `directory`; `merged` are the lowers of which overlay shows something there, topmost first.
    fn children(&mut self, directory: &Directory, path: &Path, merged: &[&Root]) -> Result<(), DiffError> {
        for name in directory.names()? {
            let path = path.join(&name);
            if !self.options.exclude.contains(&path) {
                names::check(&path)?;
                self.member(directory, &name, path, merged)?;
            }
        }
        Ok(())
    }

    fn member(&mut self, parent: &Directory, name: &OsStr, path: PathBuf, merged: &[&Root]) -> Result<(), DiffError> {
        let metadata = parent.metadata(name)?;
        let mut xattrs = parent.xattrs(name)?;
        let opaque = is_marked(&xattrs, whiteout::OVERLAY_OPAQUE);
        if is_whiteout(&metadata, &xattrs) {
            if self.options.exclude.stays(&path) {
                self.stats.left_out.push(path);
                return Ok(());
            }
            return self.whiteout(&path);
        }
        xattrs.retain(|(name, _)| !is_overlay_attribute(name) && name != "security.selinux");
        if metadata.kind != FileKind::Socket {
            xattrs.iter().try_for_each(|(attribute, _)| names::check_attribute(&path, attribute))?;
        }
        let mut entry = self.entry(path, &metadata);
        entry.xattrs = xattrs;
        match metadata.kind {
            FileKind::Socket => {
                self.stats.left_out.push(entry.path);
                return Ok(());
            }
            FileKind::Directory => {
                let merged = if opaque { Vec::new() } else { shining_through(merged, &entry.path)? };
                return self.directory(parent, name, entry, opaque, &merged);
            }
            FileKind::Symlink => entry.link = parent.read_link(name)?,
            FileKind::File => return self.file(parent, name, entry, &metadata),
            FileKind::CharDevice | FileKind::BlockDevice | FileKind::Fifo => {}
        }
        self.write(&entry, &mut io::empty())
    }

    fn entry(&self, path: PathBuf, metadata: &Metadata) -> Entry {
        let kind = match metadata.kind {
            FileKind::File | FileKind::Socket => Kind::File,
            FileKind::Directory => Kind::Directory,
            FileKind::Symlink => Kind::Symlink,
            FileKind::CharDevice => Kind::CharDevice,
            FileKind::BlockDevice => Kind::BlockDevice,
            FileKind::Fifo => Kind::Fifo,
        };
        let mtime_max = i64::try_from(self.options.mtime_max).unwrap_or(i64::MAX);
        Entry {
            kind,
            mode: metadata.mode,
            uid: self.options.ids.user(metadata.uid),
            gid: self.options.ids.group(metadata.gid),
            mtime: (metadata.mtime.0.min(mtime_max), 0),
            size: if kind == Kind::File { metadata.size } else { 0 },
            device: metadata.device,
            ..plain_directory(&path)
        }
    }

    /// A directory, of which `merged` are the lowers that have it as well and that overlay shows in it.
    fn directory(
        &mut self,
        parent: &Directory,
        name: &OsStr,
        entry: Entry,
        opaque: bool,
        merged: &[&Root],
    ) -> Result<(), DiffError> {
        let path = entry.path.clone();
        let changed = match merged.first() {
            None => true,
            Some(below) => {
                let found = below.metadata(&path)?;
                let mut xattrs = below.xattrs(&path)?;
                xattrs.retain(|(name, _)| !is_overlay_attribute(name) && name != "security.selinux");
                let ids = self.options.ids;
                let owner = (ids.user(found.uid), ids.group(found.gid));
                (found.mode, owner, xattrs) != (entry.mode, (entry.uid, entry.gid), entry.xattrs.clone())
            }
        };
        self.pending.push(entry);
        if changed {
            self.write_pending()?;
        }
        if opaque {
            let mark = self.mark(path.join(whiteout::OPAQUE));
            self.write(&mark, &mut io::empty())?;
        }
        self.children(&parent.directory(name)?, &path, merged)?;
        // Still waiting: nothing in it was worth a member.
        if self.pending.last().is_some_and(|last| last.path == path) {
            self.pending.pop();
            self.stats.left_out.push(path);
        }
        Ok(())
    }

    fn file(&mut self, parent: &Directory, name: &OsStr, mut entry: Entry, found: &Metadata) -> Result<(), DiffError> {
        if found.links > 1 {
            if let Some(first) = self.links.get(&found.inode) {
                entry.kind = Kind::HardLink;
                entry.link.clone_from(first);
                entry.size = 0;
                entry.xattrs.clear();
                return self.write(&entry, &mut io::empty());
            }
            self.links.insert(found.inode, entry.path.clone());
        }
        if self.options.exclude.empties(&entry.path) {
            entry.size = 0;
            return self.write(&entry, &mut io::empty());
        }
        let mut file = parent.open_file(name)?;
        if entry.path.extension() == Some(OsStr::new("pyc")) {
            let head = pyc::clamped_header(&mut file, self.options.mtime_max)?;
            return self.write(&entry, &mut head.as_slice().chain(file));
        }
        self.write(&entry, &mut file)
    }

    fn whiteout(&mut self, path: &Path) -> Result<(), DiffError> {
        names::check_gone(path)?;
        let name = whiteout::of(crate::tar::file_name(path));
        let mark = self.mark(path.with_file_name(name));
        self.write(&mark, &mut io::empty())
    }

    /// An empty file of no particular time.
    fn mark(&self, path: PathBuf) -> Entry {
        Entry { kind: Kind::File, mode: 0o644, ..plain_directory(&path) }
    }

    fn write_pending(&mut self) -> Result<(), DiffError> {
        for entry in std::mem::take(&mut self.pending) {
            self.tar.append(&entry, &mut io::empty())?;
            self.stats.entries += 1;
        }
        Ok(())
    }

    fn write(&mut self, entry: &Entry, content: &mut dyn Read) -> Result<(), DiffError> {
        // Marks have names of their own.
        names::limits(&entry.path)?;
        self.write_pending()?;
        self.tar.append(entry, content)?;
        self.stats.entries += 1;
        self.stats.bytes += entry.size;
        Ok(())
    }
}
