//! Where a blueprint's files come from: a directory, or texts in memory.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use layers::digest::{Digest, Hasher};
use layers::regular;

use crate::yaml;

/// Why there is no text.
#[derive(Debug)]
pub(super) enum FileError {
    /// There is no such file.
    Missing,
    /// It is not below the blueprint's directory.
    Outside,
    /// It is a directory, a device, or the like: reading it might never end.
    NotAFile,
    /// What the kernel said.
    Unreadable(io::Error),
}

/// The files of one blueprint.
pub(super) trait Files {
    /// The content of a file, or a little more than a blueprint's file may hold; and what tells it from all others.
    fn read(&self, name: &str) -> Result<(Vec<u8>, PathBuf), FileError>;

    /// Names of the files that may be meant by a wrong name.
    fn names(&self) -> Vec<String>;
}

/// A directory: nothing outside it is read, through no link.
pub(super) struct Disk<'a>(pub(super) &'a Path);

impl Files for Disk<'_> {
    fn read(&self, name: &str) -> Result<(Vec<u8>, PathBuf), FileError> {
        let real = self.0.join(name).canonicalize().map_err(FileError::of)?;
        if !real.starts_with(self.0) {
            return Err(FileError::Outside);
        }
        let mut bytes = Vec::new();
        // Whoever owns the directory may put a link there now.
        let file = regular::beneath(self.0, real.strip_prefix(self.0).unwrap_or(&real)).map_err(FileError::of)?;
        file.take(yaml::MAX_FILE + 1).read_to_end(&mut bytes).map_err(FileError::of)?;
        Ok((bytes, real))
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names.filter(|name| name.ends_with(".yml") || name.ends_with(".yaml")).collect()
    }
}

/// The digest of the file `path` of the blueprint in `directory`. One that cannot be read is told of where it is used.
pub fn digest_of(directory: &Path, path: &str) -> Option<Digest> {
    let mut file = regular::beneath(directory, Path::new(path)).ok()?;
    let mut hasher = Hasher::new();
    io::copy(&mut file, &mut hasher).ok()?;
    Some(hasher.finish())
}

impl Files for BTreeMap<String, Vec<u8>> {
    fn read(&self, name: &str) -> Result<(Vec<u8>, PathBuf), FileError> {
        // Without `.` between them, the parts of a path name one file.
        let path: PathBuf = Path::new(name).components().collect();
        let bytes = path.to_str().and_then(|name| self.get(name)).ok_or(FileError::Missing)?;
        Ok((bytes.clone(), path))
    }

    fn names(&self) -> Vec<String> {
        self.keys().cloned().collect()
    }
}

impl FileError {
    fn of(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::Missing,
            io::ErrorKind::InvalidInput => Self::NotAFile,
            io::ErrorKind::CrossesDevices => Self::Outside,
            _ => Self::Unreadable(error),
        }
    }
}
