//! The file itself: never half written, and never taken for what it is not.

use std::io;
use std::path::{Path, PathBuf};

use layers::regular;

use super::read::{Problem, read};
use super::{State, write};
use crate::sink::{Sink, SinkError};

/// Bytes of a file that is read.
const LIMIT: u64 = 64 << 20;

/// What helps where a file says nothing that could be used.
const ANEW: &str = "move it away, or --forget what it says: all tasks run anew";

/// Why the state file cannot be used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the fields are what the messages say")]
pub enum StateError {
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write {path}: {source}; it stays as it was")]
    Write { path: PathBuf, source: io::Error },
    #[error("{0}")]
    Place(SinkError),
    #[error("{path} is no regular file")]
    Special { path: PathBuf },
    #[error("{path} is of a newer alloy (version {version})")]
    Newer { path: PathBuf, version: String },
    #[error("{path} was not written by `alloy install`")]
    Foreign { path: PathBuf },
    #[error("{path} is damaged: {message}")]
    Damaged { path: PathBuf, message: String },
    #[error("{path} tells of another blueprint: {found} (installed {at}), not {wanted}")]
    Blueprint { path: PathBuf, found: String, at: String, wanted: String },
    #[error("{path} tells of another {what}: {found}, not {wanted}")]
    Other { path: PathBuf, what: &'static str, found: String, wanted: String },
}

impl StateError {
    /// What to do.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Read { .. } => return None,
            Self::Write { source, .. } if layers::disk::is_full(source) => {
                "make room on that disk, and run it again; what was done before is not done again".into()
            }
            Self::Place(error) => return error.hint(),
            Self::Special { .. } => "name a file with --state".into(),
            Self::Write { .. } => "name a place for it with --state".into(),
            Self::Newer { .. } => "use a newer alloy, or --forget what it says".into(),
            Self::Other { .. } => "name a state file for each with --state, or --forget what this one says".into(),
            Self::Blueprint { found, .. } => format!(
                "name the directory of `{found}` with --blueprint-dir, or a state file for each blueprint with --state; \
                 `alloy install --forget` begins anew"
            ),
            Self::Foreign { .. } => {
                format!("{ANEW}. What another tool noted there of a task cannot be told from a change of the task")
            }
            Self::Damaged { .. } => ANEW.into(),
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
            // Nothing else is asked for that could be invalid.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                return Err(StateError::Special { path: path() });
            }
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
        let special = self.path.metadata().is_ok_and(|found| !found.is_file());
        if special {
            return Err(StateError::Special { path: self.path.clone() });
        }
        let sink = Sink::at(&self.path).map_err(StateError::Place)?;
        sink.durable().write_all(write::text(state).as_bytes()).map_err(|error| match error {
            SinkError::Write { path, source } => StateError::Write { path, source },
            error => StateError::Place(error),
        })
    }
}
