//! Why a store cannot do something.

use std::io;
use std::path::PathBuf;

use super::VERSION;
use super::aside::Damage;
use crate::digest::Digest;

/// Why the store cannot do something.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A file operation failed.
    #[error("store: cannot {what} {path}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// What somebody else may write in.
    #[error("the store's directory {path} {why}")]
    Foreign {
        /// The store, or the part of it.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// What says which layout it has says nothing of the kind.
    #[error("the store {path} is damaged: its file `version` {found}")]
    Layout {
        /// The store.
        path: PathBuf,
        /// What is there.
        found: String,
    },
    /// Made by a later alloy.
    #[error("the store {path} has layout {found}, this alloy knows {VERSION}: use a newer alloy or another --store")]
    Version {
        /// The store.
        path: PathBuf,
        /// Its version.
        found: String,
    },
    /// Made by an older alloy, which is at work.
    #[error("an older alloy is at work in the store {path}: wait until it has ended, or use another --store")]
    Older {
        /// The store.
        path: PathBuf,
    },
    /// A blob that is not there.
    #[error("the store has no blob {0}")]
    Missing(Digest),
    /// Content that is not what its name says.
    #[error("expected {expected}, found {found}")]
    Mismatch {
        /// What it should have been, digest and bytes.
        expected: String,
        /// What it is.
        found: String,
    },
    /// A blob that cannot be read to its end.
    #[error("{blob} cannot be decompressed: {message}")]
    Damaged {
        /// Which.
        blob: Digest,
        /// Why.
        message: String,
    },
    /// Something of the store that is not what its name says.
    #[error("{0}")]
    Wrong(Box<Damage>),
    /// A record that is as it was written, and that nobody here understands: it is a newer alloy's, or an older one's.
    #[error("the store's record of {what} is none that this alloy can read: {why}")]
    Strange {
        /// Of what.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// A key that cannot be a file name.
    #[error("`{0}` cannot be a key of the store")]
    Key(String),
}
