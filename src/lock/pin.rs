//! What a lockfile pins, kind by kind.

use std::collections::BTreeMap;

use layers::digest::Digest;
use serde::{Deserialize, Serialize};

/// What a toolchain reference was resolved to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolchainPin {
    /// What it is.
    pub source: ToolchainSource,
    /// How it is had, if the lock says it.
    pub method: Option<String>,
    /// Its version, if the lock says it.
    pub version: Option<String>,
}

/// Where a toolchain comes from, and what is known of its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolchainSource {
    /// A download, by its digest.
    Archive {
        /// Where it is.
        url: String,
        /// What it is.
        sha256: Digest,
    },
    /// A package that pip installs; the task that installs it pins its files.
    Package {
        /// Its name at the index.
        package: String,
    },
    /// A git repository, of which the version is a tag, a branch or a commit.
    Repository {
        /// Where it is.
        url: String,
        /// The commit that the version was, if it was asked for.
        commit: Option<String>,
    },
}

impl ToolchainPin {
    /// Where it is, if it is not a package.
    pub fn url(&self) -> Option<&str> {
        match &self.source {
            ToolchainSource::Archive { url, .. } | ToolchainSource::Repository { url, .. } => Some(url),
            ToolchainSource::Package { .. } => None,
        }
    }

    /// What it is, if it is a download.
    pub fn sha256(&self) -> Option<Digest> {
        match &self.source {
            ToolchainSource::Archive { sha256, .. } => Some(*sha256),
            _ => None,
        }
    }
}

/// What a download held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DownloadPin {
    /// What it is.
    pub sha256: Digest,
    /// Bytes, if the lock says them.
    pub size: Option<u64>,
}

/// What a base was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BasePin {
    /// The manifest or index of a tag.
    Image(Digest),
    /// Platform to the archive's indexes of a suite.
    Archive(BTreeMap<String, ArchivePin>),
}

impl BasePin {
    /// The archive's indexes for a platform.
    pub fn archive(&self, platform: &str) -> Option<&ArchivePin> {
        match self {
            Self::Image(_) => None,
            Self::Archive(platforms) => platforms.get(platform),
        }
    }
}

/// A suite of a distribution's archive, for one platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivePin {
    /// `debian` or `ubuntu`.
    pub distribution: String,
    /// Components of the base's own sources.
    pub components: String,
    /// The parts of the suite; the suite itself comes first.
    pub pockets: Vec<PocketPin>,
}

/// One part of a suite: the suite itself, its updates, its security updates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PocketPin {
    /// The archive, without a slash at its end.
    pub uri: String,
    /// Its name in the archive.
    pub suite: String,
    /// `Date` of its release.
    pub date: String,
    /// Path of the index of `main`, below the archive.
    pub index: String,
    /// What the index is.
    pub sha256: Digest,
    /// Bytes of the index.
    pub size: u64,
}

/// What a task's `packages` came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClosurePin {
    /// What the task asked for.
    pub packages: Vec<String>,
    /// Whether recommended packages were wanted as well.
    pub recommends: bool,
    /// Of which suite the base is, where its reference does not say it.
    pub suite: Option<String>,
    /// All that apt installs, in its order.
    pub debs: Vec<DebPin>,
}

/// One package file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DebPin {
    /// Its name.
    pub package: String,
    /// Its version.
    pub version: String,
    /// Debian's name of its architecture, or `all`.
    pub arch: String,
    /// The archive it is in, without a slash at its end.
    pub archive: String,
    /// Path below the archive, as it stands in URLs.
    pub filename: String,
    /// What it is.
    pub sha256: Digest,
    /// Bytes.
    pub size: u64,
}

impl DebPin {
    /// Where it is.
    pub fn url(&self) -> String {
        format!("{}/{}", self.archive, self.filename)
    }

    /// `name:architecture`.
    pub fn full_name(&self) -> String {
        format!("{}:{}", self.package, self.arch)
    }
}

/// What a task's packages of a language came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackagesPin {
    /// What the task asked for.
    pub packages: Vec<String>,
    /// What builds one of them is not pinned: that takes the network.
    pub network: bool,
    /// All that is installed.
    pub files: Vec<PackagePin>,
}

/// One file of a registry of packages.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PackagePin {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Where it is, without who asks for it.
    pub url: String,
    /// What it is.
    pub sha256: Digest,
    /// The same as its registry says it (Subresource Integrity), where that says anything.
    pub integrity: Option<String>,
    /// Bytes.
    pub size: u64,
    /// Where it lies below the directory of all packages (npm).
    pub path: Option<String>,
    /// Only another one is built with it.
    pub build: bool,
}
