//! The file itself: never half written, and never taken for what it is not.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use layers::regular;

use super::read::{Problem, read};
use super::{State, write};

/// Bytes of a file that is read.
const LIMIT: u64 = 64 << 20;

/// Why the state file cannot be used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the fields are what the messages say")]
pub enum StateError {
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write {path}: {source}; it stays as it was")]
    Write { path: PathBuf, source: io::Error },
    #[error("{path} is of a newer alloy (version {version})")]
    Newer { path: PathBuf, version: String },
    #[error("{path} was not written by `alloy install`")]
    Foreign { path: PathBuf },
    #[error("{path} is damaged: {message}")]
    Damaged { path: PathBuf, message: String },
    #[error("{path} tells of another {what}: {found}, not {wanted}")]
    Other { path: PathBuf, what: &'static str, found: String, wanted: String },
}

impl StateError {
    /// What to do.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Read { .. } => return None,
            Self::Write { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                "the disk is full: make room, and run it again; what was done before is not done again".into()
            }
            Self::Write { .. } => "name a place for it with --state".into(),
            Self::Newer { .. } => "use a newer alloy, or --forget what it says".into(),
            Self::Other { .. } => "name a state file for each with --state, or --forget what this one says".into(),
            Self::Foreign { .. } | Self::Damaged { .. } => {
                "move it away, or --forget what it says: all tasks run anew".into()
            }
        })
    }
}

/// Where the state is kept.
#[derive(Clone, Debug)]
pub struct StateFile {
    path: PathBuf,
}

impl StateFile {
    /// The file at `path`, which may not exist yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it says; `None` if it does not exist.
    pub fn load(&self) -> Result<Option<State>, StateError> {
        let path = || self.path.clone();
        let failed = |source| StateError::Read { path: path(), source };
        let bytes = match regular::read(&self.path, LIMIT) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let text = String::from_utf8(bytes)
            .map_err(|_| StateError::Damaged { path: path(), message: "it is not text".into() })?;
        read(&text).map(Some).map_err(|problem| match problem {
            Problem::Newer(version) => StateError::Newer { path: path(), version },
            Problem::Foreign => StateError::Foreign { path: path() },
            Problem::Damaged(Some((line, column)), message) => {
                StateError::Damaged { path: path(), message: format!("line {line}, column {column}: {message}") }
            }
            Problem::Damaged(None, message) => StateError::Damaged { path: path(), message },
        })
    }

    /// Replaces what it says. Whoever reads it, whenever, finds the old state or the new one.
    pub fn save(&self, state: &State) -> Result<(), StateError> {
        let failed = |source| StateError::Write { path: self.path.clone(), source };
        let (directory, temporary) = self.beside().map_err(failed)?;
        let written = replace(&directory, &temporary, &self.path, write::text(state).as_bytes());
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written.map_err(failed)
    }

    /// Its directory, and the name it has while it is written. One run at a time writes: what a killed one left is
    /// overwritten.
    fn beside(&self) -> io::Result<(PathBuf, PathBuf)> {
        let name = self.path.file_name().ok_or_else(|| io::Error::other("it has no name"))?.to_string_lossy();
        let directory = self.path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Ok((directory.to_owned(), directory.join(format!(".{name}.new"))))
    }
}

fn replace(directory: &Path, temporary: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    match fs::remove_file(temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // Made anew: in a directory of somebody else's, a link could be waiting.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(temporary, path)?;
    File::open(directory)?.sync_all()
}
