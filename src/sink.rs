//! Where alloy writes what its user asked for: files, devices, pipes, standard output, directories.
//!
//! A regular file, and a name that is free, get their content beside, and the name when all is there: whoever reads
//! it, whenever, finds the old content or the new one. A device or a FIFO is opened and written to, never replaced. A
//! link stays one: what it leads to is written. `-` is standard output.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use layers::disk;

mod beside;
mod clash;
mod error;
mod look;
mod made;
mod parts;
mod real;
mod staged;
mod theirs;

pub use beside::{Beside, sweep};
pub use clash::{Taken, clash};
pub use error::{FULL, SinkError};
pub use look::{directory, is_mount_point, unexpanded_home};
pub use made::Made;
pub use parts::Parts;
pub use staged::{Staged, exchange, remove_unfinished, settle};
pub use theirs::Theirs;

/// An error unless names can be made in `directory`.
pub fn may_make_in(directory: &Path) -> Result<(), SinkError> {
    look::may_make_in(directory, directory)
}

/// The name of standard output.
pub const STANDARD_OUTPUT: &str = "-";

/// True if nothing can be written to standard output. The standard library takes what is written there for written.
pub fn output_is_closed() -> bool {
    look::is_closed(io::stdout().as_fd())
}

/// One stream of bytes, and where it goes.
#[derive(Clone, Debug)]
pub struct Sink {
    /// As the user named it.
    named: PathBuf,
    goal: Goal,
    durable: bool,
    private: bool,
}

/// What is there, or will be.
#[derive(Clone, Debug)]
enum Goal {
    Output,
    Error,
    /// A device, a FIFO, something of another name: it is opened as it is. What is in a file is replaced in place if it
    /// is to be emptied first.
    Opened {
        path: PathBuf,
        emptied: bool,
    },
    /// A file, by the directory that holds it, without links; with what it keeps of the one that is there.
    File {
        path: PathBuf,
        kept: Option<Kept>,
    },
}

/// What a file keeps when its content is replaced.
#[derive(Clone, Copy, Debug)]
struct Kept {
    mode: u32,
    owner: (u32, u32),
}

impl Sink {
    /// Looks at `path`, which is `-` or a path: an error if it is known by now that it cannot be written.
    pub fn at(path: &Path) -> Result<Self, SinkError> {
        Ok(Self { named: path.to_owned(), goal: look::goal(path)?, durable: false, private: false })
    }

    /// The same; what is written outlasts a loss of power.
    #[must_use]
    pub fn durable(mut self) -> Self {
        self.durable = true;
        self
    }

    /// The same; a file is for its owner alone.
    #[must_use]
    pub fn private(mut self) -> Self {
        self.private = true;
        self
    }

    /// How it is called in messages.
    pub fn name(&self) -> String {
        if self.is_output() { "standard output".to_owned() } else { self.named.display().to_string() }
    }

    /// True for standard output: nothing else may be written there.
    pub fn is_output(&self) -> bool {
        matches!(self.goal, Goal::Output)
    }

    /// True if what was written there is there for good, or with somebody: to write it once more gives it to them twice.
    pub fn is_once(&self) -> bool {
        !matches!(self.goal, Goal::File { .. } | Goal::Opened { emptied: true, .. })
    }

    /// True for what is replaced as a whole, or not at all: what was written to anything else stays written.
    pub fn is_replaced(&self) -> bool {
        matches!(self.goal, Goal::File { .. })
    }

    /// True if it is shown to somebody as it comes.
    pub fn is_terminal(&self) -> bool {
        match &self.goal {
            Goal::Output => io::stdout().is_terminal(),
            Goal::Error => io::stderr().is_terminal(),
            Goal::Opened { path, .. } => look::is_terminal(path),
            Goal::File { .. } => false,
        }
    }

    /// What nobody else may write in the same command; `None` for a device, which takes all.
    pub fn taken(&self) -> Option<Taken> {
        match &self.goal {
            Goal::Output => Some(Taken::Output),
            Goal::Error => None,
            Goal::Opened { path, .. } if look::is_device(path) => None,
            Goal::Opened { path, .. } | Goal::File { path, .. } => Some(Taken::Path(path.clone())),
        }
    }

    /// Has the content written. If that fails, a file is what it was before.
    pub fn write<T, E: From<SinkError>>(&self, write: impl FnOnce(&File) -> Result<T, E>) -> Result<T, E> {
        let failed = |source| E::from(self.failed(source));
        let (file, path, kept) = match &self.goal {
            Goal::Output => {
                io::stdout().flush().map_err(failed)?;
                return write(&File::from(io::stdout().as_fd().try_clone_to_owned().map_err(failed)?));
            }
            Goal::Error => {
                return write(&File::from(io::stderr().as_fd().try_clone_to_owned().map_err(failed)?));
            }
            Goal::Opened { path, emptied } => return write(&open(path, *emptied).map_err(failed)?),
            Goal::File { path, kept } => (Beside::of(path).map_err(failed)?, path, kept),
        };
        if self.private {
            file.file().set_permissions(PermissionsExt::from_mode(0o600)).map_err(failed)?;
        }
        let written = write(file.file())?;
        if let Some(kept) = kept.filter(|_| !self.private) {
            kept.give(file.file()).map_err(failed)?;
        }
        if self.durable {
            file.file().sync_all().map_err(failed)?;
        }
        file.persist(path).map_err(failed)?;
        if self.durable {
            layers::disk::sync_directory(look::above(path)).map_err(failed)?;
        }
        Ok(written)
    }

    /// Writes all of `bytes`.
    pub fn write_all(&self, bytes: &[u8]) -> Result<(), SinkError> {
        self.write(|mut file| file.write_all(bytes).map_err(|source| self.failed(source)))
    }

    /// Why what was written there did not arrive.
    pub fn failed(&self, source: io::Error) -> SinkError {
        let path = PathBuf::from(self.name());
        if source.kind() == io::ErrorKind::BrokenPipe {
            return SinkError::Unread { path };
        }
        let source = match &self.goal {
            Goal::Output => disk::told_of(source, io::stdout()),
            Goal::Error => disk::told_of(source, io::stderr()),
            // A link may have led to another disk.
            Goal::Opened { path, .. } | Goal::File { path, .. } => disk::told(source, path),
        };
        SinkError::Write { path, source }
    }
}

impl Kept {
    /// Owner first: a change of owner takes bits of the mode away.
    fn give(&self, file: &File) -> io::Result<()> {
        let (uid, gid) = self.owner;
        // Only root gives files away; others keep what they may.
        let _ = fchown(file, Some(uid), Some(gid)).or_else(|_| fchown(file, None, Some(gid)));
        file.set_permissions(PermissionsExt::from_mode(self.mode))
    }
}

fn open(path: &Path, emptied: bool) -> io::Result<File> {
    // A file that somebody else's descriptor names goes on where it ends. Nothing becomes the terminal of this process.
    let flags = rustix::fs::OFlags::NOCTTY.bits().cast_signed();
    OpenOptions::new().write(true).append(!emptied).truncate(emptied).custom_flags(flags).open(path)
}

#[cfg(test)]
mod tests;
