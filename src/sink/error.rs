//! Why something cannot be written where the user wants it.

use std::io;
use std::path::PathBuf;

use layers::disk;

use super::look::unexpanded_home;

/// What to do about a full disk that the user has named.
pub const FULL: &str = "make room on that disk, or name a place on another one";

/// What is in the way.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the fields are what the messages say")]
pub enum SinkError {
    #[error("cannot write {path}: {source}")]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot write {path}: whoever read it has closed it before all of it was written")]
    Unread { path: PathBuf },
    #[error("cannot write {path}: there is no such device, and a file in /dev is lost when the machine starts again")]
    NoDevice { path: PathBuf },
    #[error("cannot write {path}: it is a block device, and what is on it would be destroyed")]
    Block { path: PathBuf },
    #[error("cannot write {path}: there is no directory {directory}")]
    Missing { path: PathBuf, directory: PathBuf },
    #[error("cannot write {path}: {directory} is no directory")]
    NotADirectory { path: PathBuf, directory: PathBuf },
    #[error("cannot write {path}: in {directory} nothing can be made: {source}")]
    Closed { path: PathBuf, directory: PathBuf, source: io::Error },
    #[error("cannot write {path}: it is a directory")]
    Directory { path: PathBuf },
    #[error("cannot write {path}: it is a socket")]
    Socket { path: PathBuf },
    #[error("cannot write {path}: {found} in a directory of everybody's belongs to somebody else")]
    Foreign { path: PathBuf, found: PathBuf },
    #[error("cannot write {path}: the link {link} belongs to somebody else, and leads to what does not")]
    Astray { path: PathBuf, link: PathBuf },
    #[error("cannot write {path}: it is a mount point, which cannot be replaced")]
    MountPoint { path: PathBuf },
    #[error("cannot write into {path}: it is not a directory")]
    Part { path: PathBuf },
    #[error("cannot write into {path}: it belongs to another user, and root writes in no such directory")]
    Stranger { path: PathBuf },
    #[error("cannot write {path}: it is closed, or open for reading alone")]
    Shut { path: PathBuf },
    #[error("a directory cannot be written to standard output")]
    Tree,
}

impl SinkError {
    /// A failed write; of a full disk it says which one it is.
    pub fn write(path: PathBuf, source: io::Error) -> Self {
        let source = disk::told(source, &path);
        Self::Write { path, source }
    }

    /// What to do.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Unread { .. } => "have its reader read to the end, or name a file".to_owned(),
            Self::NoDevice { .. } => "name a device that is there, or a file elsewhere".to_owned(),
            Self::Block { .. } => "write a file, and copy that to the device where it is meant".to_owned(),
            Self::Missing { path, .. } if unexpanded_home(&path.to_string_lossy()).is_some() => {
                let home = unexpanded_home(&path.to_string_lossy()).unwrap_or_default();
                format!("the shell does not expand `~` there: write {home}")
            }
            Self::Missing { directory, .. } => format!("make it: mkdir -p {}", directory.display()),
            Self::Directory { path } => format!("name a file in it: {}", path.join("FILE").display()),
            Self::MountPoint { path } => format!("name a directory in it: {}", path.join("DIR").display()),
            Self::Closed { .. } => "name another place, or have its owner let you write there".to_owned(),
            Self::Foreign { .. } | Self::Astray { .. } => "name a place in a directory of your own".to_owned(),
            Self::Part { .. } => "delete it, or name another place".to_owned(),
            Self::Stranger { .. } => "name a place in a directory of root's".to_owned(),
            Self::Shut { .. } => "name a file, or give alloy somewhere to write to".to_owned(),
            Self::Tree => "name a directory, or a form that is one file".to_owned(),
            Self::Write { source, .. } if disk::is_full(source) => FULL.to_owned(),
            Self::Write { .. } | Self::NotADirectory { .. } | Self::Socket { .. } => return None,
        })
    }

    /// True if the command line itself is wrong, wherever it is run.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Tree)
    }
}
