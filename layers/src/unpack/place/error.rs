//! Why a member of an archive is not made.

use std::path::PathBuf;

use crate::root::RootError;
use crate::tar::TarError;

/// Why a member is not unpacked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlaceError {
    /// A member below a link of the same archive.
    #[error(
        "`{member}` is behind the link `{link}`, which the archive itself has brought: no archive is followed through its own links. The archive has to be packed with the names that its files really have"
    )]
    OwnLink {
        /// The member.
        member: PathBuf,
        /// The link.
        link: PathBuf,
    },
    /// A member below a link that does not lead to a directory beneath the destination.
    #[error(
        "`{member}` is behind the link `{link}`, which does not lead to a directory beneath the destination: the link has to go first, or the archive has to be unpacked where it leads"
    )]
    Leaves {
        /// The member.
        member: PathBuf,
        /// The link.
        link: PathBuf,
    },
    /// A directory of the archive where something else stands.
    #[error("`{member}` needs a directory at `{path}`, where something else stands: that has to go first")]
    NoDirectory {
        /// The member.
        member: PathBuf,
        /// What stands there.
        path: PathBuf,
    },
    /// Something else of the archive where a directory stands.
    #[error(
        "`{path}` of the archive is no directory, but a directory that is not empty stands there: that has to go first"
    )]
    OverDirectory {
        /// The member.
        path: PathBuf,
    },
    /// A link in place of a directory that cannot be merged into where the link leads.
    #[error(
        "the link `{link}` to `{target}` cannot take the place of the directory that stands there: {reason}. The directory has to go first"
    )]
    Merge {
        /// The member.
        link: PathBuf,
        /// Where it leads.
        target: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A hard link to something else than a file of the archive.
    #[error("`{member}` is a hard link to `{target}`, which is no file that the archive has brought before it")]
    HardLink {
        /// The member.
        member: PathBuf,
        /// What it is to be another name of.
        target: PathBuf,
    },
    /// Something else under the name that was just made.
    #[error(
        "`{path}` was exchanged for something else while it was unpacked: whoever did that has to be stopped first"
    )]
    Exchanged {
        /// The member.
        path: PathBuf,
    },
    /// A name that nothing in a root can have.
    #[error("`{path}` is a name that is too long")]
    TooLong {
        /// The member.
        path: PathBuf,
    },
    /// Reading the member.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// The destination.
    #[error(transparent)]
    Root(#[from] RootError),
}
