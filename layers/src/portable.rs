//! An archive as a layer, without unpacking it: decompressed, rewritten, hashed and compressed in one pass.
//!
//! The layer is what unpacking the archive in a root would have left there, given what that root is like where it
//! matters ([`Place`]). Archives for which that cannot be told from the archive alone are unsuited
//! ([`PortableError::Unsuited`]): they have to be unpacked where they go.

use std::collections::{BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::diff::{ExcludeSet, is_overlay_attribute, pyc};
use crate::stop::Stop;
use crate::store::{LayerBlob, LayerWriter, StoreError};
use crate::tar::budget::Names;
use crate::tar::{Entry, Kind, TarWriter, plain_directory};
use crate::unpack::{UnpackError, drop_set_id, members, relocated};

/// Names directly below the destination that are remembered; an archive with more is unpacked where it goes.
const MAX_TOPS: usize = 4096;

/// What attributes of one member may take. Some file systems have a block for them, of 4 KiB as a rule, and others have
/// any amount: whether an archive with more can be unpacked is found out by doing it.
const MAX_ATTRIBUTES: usize = 3 << 10;
/// What one takes there beside its name and value.
const ATTRIBUTE_COST: usize = 24;

/// Where an archive goes, and what becomes of its members there.
pub struct Place<'a> {
    /// The destination, relative to the root, without links in it.
    pub dest: &'a Path,
    /// Directories down to the destination, itself included, that are there and are not root's with mode 0755.
    pub ancestors: &'a [Entry],
    /// Leading path elements to drop; members with fewer are left out.
    pub strip: u32,
    /// User, and group, of all that is made.
    pub owner: Option<(u32, Option<u32>)>,
    /// From the mode of a file, or of a directory (`true`), to the one it gets.
    pub mode: Option<&'a dyn Fn(u32, bool) -> u32>,
    /// Times later than this, in seconds since 1970, become this.
    pub mtime_max: u64,
    /// What no layer holds: an archive with any of it is unsuited.
    pub exclude: &'a ExcludeSet,
    /// Who ends it early.
    pub stop: &'a Stop,
}

impl<'a> Place<'a> {
    /// The top of a layer, where an archive is unpacked with nothing changed.
    pub fn as_it_is(exclude: &'a ExcludeSet, stop: &'a Stop) -> Self {
        Self {
            dest: Path::new(""),
            ancestors: &[],
            strip: 0,
            owner: None,
            mode: None,
            mtime_max: u64::MAX,
            exclude,
            stop,
        }
    }
}

/// A layer made of an archive.
#[derive(Clone, Debug)]
pub struct Portable {
    /// The layer.
    pub blob: LayerBlob,
    /// Names that it has directly below the destination.
    pub tops: BTreeSet<OsString>,
    /// What the archive's author has to know although it became a layer.
    pub remarks: Vec<String>,
}

/// Why there is no layer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PortableError {
    /// What the archive's members come to depends on the root they are unpacked in.
    #[error("the archive has to be unpacked in place: {0}")]
    Unsuited(&'static str),
    /// The archive, or the disk.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes a layer of the archive `file`.
pub fn portable(file: File, place: &Place<'_>, writer: LayerWriter) -> Result<Portable, PortableError> {
    let mut rewriter = Rewriter {
        tar: TarWriter::new(writer),
        place,
        made: HashMap::new(),
        tops: BTreeSet::new(),
        unsuited: None,
        names: Names::default(),
    };
    rewriter.ancestors().map_err(UnpackError::from)?;
    let rewritten = members(file, &mut |entry, content| {
        place.stop.check()?;
        let Some(entry) = relocated(entry, place.strip, place.dest)? else { return Ok(()) };
        rewriter.member(entry, &mut place.stop.reader(content))
    });
    if let Some(reason) = rewriter.unsuited {
        return Err(PortableError::Unsuited(reason));
    }
    let remarks = rewritten?;
    if rewriter.tops.is_empty() {
        // Nothing, or everything dropped: unpacking says what is wrong.
        return Err(PortableError::Unsuited("nothing is in it"));
    }
    let tops = rewriter.tops;
    let writer = rewriter.tar.finish().map_err(UnpackError::from)?;
    Ok(Portable { blob: writer.finish()?, tops, remarks })
}

/// What became of a path, as far as later members depend on it.
#[derive(Clone, Copy)]
enum Made {
    /// True if it has extended attributes.
    Directory(bool),
    File {
        mode: u32,
        mtime: i64,
    },
    Other,
}

struct Rewriter<'a> {
    tar: TarWriter<LayerWriter>,
    place: &'a Place<'a>,
    made: HashMap<PathBuf, Made>,
    tops: BTreeSet<OsString>,
    unsuited: Option<&'static str>,
    /// Directories that were implied.
    names: Names,
}

impl Rewriter<'_> {
    /// The directories down to the destination, from the top.
    fn ancestors(&mut self) -> io::Result<()> {
        let mut paths: Vec<&Path> = self.place.dest.ancestors().filter(|path| !path.as_os_str().is_empty()).collect();
        paths.reverse();
        for path in paths {
            let known = self.place.ancestors.iter().find(|entry| entry.path == path);
            let mut entry = known.cloned().unwrap_or_else(|| plain_directory(path));
            entry.mtime = (self.mtime_max(), 0);
            if path == self.place.dest {
                self.attributes(&mut entry);
            }
            self.tar.append(&entry, &mut io::empty())?;
            self.made.insert(path.to_owned(), Made::Directory(false));
        }
        Ok(())
    }

    fn mtime_max(&self) -> i64 {
        i64::try_from(self.place.mtime_max).unwrap_or(i64::MAX)
    }

    fn member(&mut self, mut entry: Entry, content: &mut dyn Read) -> Result<(), UnpackError> {
        if let Err(reason) = self.suited(&entry) {
            self.unsuited = Some(reason);
            return Err(io::Error::other(reason).into());
        }
        let parent = entry.path.parent().unwrap_or(Path::new("")).to_owned();
        if let Err(reason) = self.imply(&parent)? {
            self.unsuited = Some(reason);
            return Err(io::Error::other(reason).into());
        }
        self.top(&entry.path);
        if self.place.owner.is_none() {
            drop_set_id(&mut entry);
        }
        (entry.uid, entry.gid) = (0, 0);
        entry.mtime = (entry.mtime.0.min(self.mtime_max()), 0);
        entry.xattrs.retain(|(name, _)| name != "security.selinux");
        self.attributes(&mut entry);
        let made = match entry.kind {
            Kind::Directory => Made::Directory(!entry.xattrs.is_empty()),
            Kind::File => Made::File { mode: entry.mode, mtime: entry.mtime.0 },
            Kind::HardLink => {
                // One file: what its first name says goes for all.
                if let Some(Made::File { mode, mtime }) = self.made.get(&entry.link) {
                    (entry.mode, entry.mtime) = (*mode, (*mtime, 0));
                }
                entry.xattrs.clear();
                Made::Other
            }
            _ => Made::Other,
        };
        if entry.kind == Kind::File && entry.path.extension() == Some(OsStr::new("pyc")) {
            let head = pyc::clamped_header(&mut (&mut *content), self.place.mtime_max)?;
            self.tar.append(&entry, &mut head.as_slice().chain(content))?;
        } else {
            self.tar.append(&entry, content)?;
        }
        self.made.insert(entry.path, made);
        Ok(())
    }

    /// Says what keeps the member from meaning the same everywhere.
    fn suited(&self, entry: &Entry) -> Result<(), &'static str> {
        if self.place.exclude.covers(&entry.path) || self.place.exclude.empties(&entry.path) {
            return Err("it has files in a directory that layers leave out");
        }
        match (self.made.get(&entry.path), entry.kind) {
            // What was unpacked before keeps attributes that its second mention does not have.
            (None, _) | (Some(Made::Directory(false)), Kind::Directory) => {}
            (Some(_), _) => return Err("it has a name twice"),
        }
        let attribute = |name: &OsStr| {
            let name = name.to_string_lossy();
            is_overlay_attribute(OsStr::new(name.as_ref()))
                || !["user.", "security.capability", "security.selinux"].iter().any(|known| name.starts_with(known))
        };
        if entry.xattrs.iter().any(|(name, _)| attribute(name)) {
            return Err("it has extended attributes that not everybody may set");
        }
        let sizes = entry.xattrs.iter().map(|(name, value)| name.len() + value.len() + ATTRIBUTE_COST);
        if sizes.sum::<usize>() > MAX_ATTRIBUTES {
            return Err("it has more extended attributes of one file than every file system holds");
        }
        match entry.kind {
            Kind::CharDevice | Kind::BlockDevice => Err("it has device nodes"),
            Kind::HardLink if !matches!(self.made.get(&entry.link), Some(Made::File { .. })) => {
                Err("it has a hard link to something else than a file before it")
            }
            _ => Ok(()),
        }
    }

    /// Makes sure that `path` is a directory of the layer. A name may have very many elements: nothing here calls
    /// itself for each.
    fn imply(&mut self, path: &Path) -> Result<Result<(), &'static str>, UnpackError> {
        let mut missing = Vec::new();
        for above in path.ancestors() {
            match self.made.get(above) {
                Some(Made::Directory(_)) => break,
                Some(_) => return Ok(Err("it has members behind a link")),
                None if above.as_os_str().is_empty() => break,
                None => missing.push(above),
            }
        }
        for path in missing.into_iter().rev() {
            let mut entry = Entry { mtime: (self.mtime_max(), 0), ..plain_directory(path) };
            if let Err(reason) = self.suited(&entry) {
                return Ok(Err(reason));
            }
            self.names.count(path)?;
            self.top(path);
            self.attributes(&mut entry);
            self.tar.append(&entry, &mut io::empty())?;
            self.made.insert(path.to_owned(), Made::Directory(false));
        }
        Ok(Ok(()))
    }

    fn top(&mut self, path: &Path) {
        let below = path.strip_prefix(self.place.dest).unwrap_or(path);
        let Some(first) = below.iter().next() else { return };
        if !self.tops.contains(first) {
            self.tops.insert(first.to_owned());
            if self.tops.len() > MAX_TOPS {
                self.unsuited = Some("it has very many names at its top");
            }
        }
    }

    /// Owner, then mode. chown(2) takes set-id bits and capabilities away; chmod(2) gives bits back.
    fn attributes(&self, entry: &mut Entry) {
        let before = entry.mode;
        if let Some((uid, gid)) = self.place.owner {
            entry.uid = uid;
            entry.gid = gid.unwrap_or(entry.gid);
            if matches!(entry.kind, Kind::File | Kind::Fifo) {
                let group_executes = entry.mode & 0o010 != 0;
                entry.mode &= if group_executes { !0o6000 } else { !0o4000 };
            }
            if entry.kind != Kind::Directory {
                entry.xattrs.retain(|(name, _)| name != "security.capability");
            }
        }
        if let Some(mode) = self.place.mode.filter(|_| entry.kind != Kind::Symlink) {
            entry.mode = mode(before, entry.kind == Kind::Directory) & 0o7777;
        }
    }
}
