//! The files of a catalog. Nothing outside its directory is read, through no link.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use layers::beneath::openat2;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::{CatalogError, INDEX_FILE, Id, Index, KINDS, Listed, Version};
use crate::blueprint::Problems;
use crate::yaml::{self, Diagnostic, FileId, Node, Sources, Span};

/// A catalog on disk.
#[derive(Clone, Debug)]
pub struct Catalog {
    pub(super) directory: PathBuf,
}

impl Catalog {
    /// The catalog in `directory`, or in its `catalog/`: a repository may hold other things beside it.
    pub fn open(directory: &Path) -> Result<Self, CatalogError> {
        let holds = |place: &Path| KINDS.iter().any(|kind| place.join(format!("{kind}s")).is_dir());
        let places = [directory.to_owned(), directory.join("catalog")];
        let found = places.into_iter().find(|place| holds(place));
        let directory = found.ok_or_else(|| CatalogError::Nowhere { directory: directory.to_owned() })?;
        Ok(Self { directory })
    }

    /// The directory that holds the kinds.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The index of a tool.
    pub fn index(&self, id: &Id) -> Result<Index, CatalogError> {
        let (mut sources, mut errors) = (Sources::default(), Vec::new());
        match self.read_index(id, &mut sources, &mut errors)? {
            // A wrong alias or version does not hide the others.
            Some(index) if errors.is_empty() || !index.versions.is_empty() => Ok(index),
            None if errors.is_empty() => Err(CatalogError::Unknown { id: id.clone(), near: self.near(id) }),
            _ => Err(CatalogError::Broken(Problems { diagnostics: errors, sources })),
        }
    }

    /// The file of a version.
    pub fn version(&self, id: &Id, listed: &Listed) -> Result<Version, CatalogError> {
        let (mut sources, mut errors) = (Sources::default(), Vec::new());
        let version = self.read_version(id, listed, &mut sources, &mut errors)?;
        version.ok_or(CatalogError::Broken(Problems { diagnostics: errors, sources }))
    }

    /// An index as far as it can be read; `None` without errors if there is none.
    pub(super) fn read_index(
        &self,
        id: &Id,
        sources: &mut Sources,
        errors: &mut Vec<Diagnostic>,
    ) -> Result<Option<Index>, CatalogError> {
        let path = id.directory().join(INDEX_FILE);
        let node = self.tree(&path, sources, errors)?;
        Ok(node.and_then(|node| Index::read(&node, id, errors)))
    }

    /// A version; `None` with errors.
    pub(super) fn read_version(
        &self,
        id: &Id,
        listed: &Listed,
        sources: &mut Sources,
        errors: &mut Vec<Diagnostic>,
    ) -> Result<Option<Version>, CatalogError> {
        let path = id.directory().join(&listed.file);
        let before = errors.len();
        let Some(node) = self.tree(&path, sources, errors)? else {
            if errors.len() == before {
                let file = sources.add(self.shown(&path), "");
                let error =
                    Diagnostic::error("file", Span::start_of(file), "the index lists this file, which is missing");
                errors.push(error.help(format!("add it, or take {} out of the index", listed.version)));
            }
            return Ok(None);
        };
        let version = Version::read(&node, Some(id), errors);
        let wrong = version.as_ref().filter(|version| version.version != listed.version);
        if let Some(other) = wrong {
            let message = format!("the index lists this file as {}, it is {}", listed.version, other.version);
            errors.push(Diagnostic::error("version", node.span, message));
            return Ok(None);
        }
        Ok(version)
    }

    /// The tree of a file; `None` if it has errors, or without them if it is not there.
    fn tree(
        &self,
        path: &Path,
        sources: &mut Sources,
        errors: &mut Vec<Diagnostic>,
    ) -> Result<Option<Node>, CatalogError> {
        let Some(bytes) = self.bytes(path)? else { return Ok(None) };
        Ok(parse(&self.shown(path), &bytes, sources).map_err(|error| errors.push(error)).ok())
    }

    /// The content of a file; `None` if it is not there.
    pub fn bytes(&self, path: &Path) -> Result<Option<Vec<u8>>, CatalogError> {
        match read_beneath(&self.directory, path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(CatalogError::Read { path: self.directory.join(path), source }),
        }
    }

    fn shown(&self, path: &Path) -> String {
        self.directory.join(path).to_string_lossy().into_owned()
    }
}

/// Reads the file of a version that is in no catalog yet.
pub fn check_version(name: &str, bytes: &[u8]) -> Result<Version, Problems> {
    let (mut sources, mut diagnostics) = (Sources::default(), Vec::new());
    let node = parse(name, bytes, &mut sources).map_err(|error| diagnostics.push(error)).ok();
    let version = node.and_then(|node| Version::read(&node, None, &mut diagnostics));
    version.ok_or(Problems { diagnostics, sources })
}

/// The tree of a text, which is added to `sources` under a name.
pub(super) fn parse(name: &str, bytes: &[u8], sources: &mut Sources) -> Result<Node, Diagnostic> {
    let start = |file: FileId| Span::start_of(file);
    if bytes.len() as u64 > yaml::MAX_FILE {
        let file = sources.add(name, "");
        let message = format!("the file is larger than {} MiB", yaml::MAX_FILE >> 20);
        return Err(Diagnostic::error("size", start(file), message));
    }
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => yaml::parse(sources.add(name, text), text),
        Err(_) => {
            let file = sources.add(name, String::from_utf8_lossy(bytes).as_ref());
            Err(Diagnostic::error("encoding", start(file), "the file is not UTF-8").help("save it as UTF-8"))
        }
    }
}

/// Reads a little more than a file may hold, so that it is seen to be too large.
fn read_beneath(directory: &Path, path: &Path) -> io::Result<Vec<u8>> {
    // A device or pipe must not hold anybody up.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let root = rustix::fs::openat(CWD, directory, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let file = match openat2(&root, path, flags, Mode::empty(), ResolveFlags::BENEATH) {
        Err(Errno::XDEV) => return Err(io::Error::other("it leads out of the catalog, through a link")),
        file => File::from(file?),
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut bytes = Vec::new();
    file.take(yaml::MAX_FILE + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
