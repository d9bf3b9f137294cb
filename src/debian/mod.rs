//! A base straight from the signed Debian or Ubuntu archive: no debootstrap, no apt, no registry.
//!
//! `InRelease` is checked against a keyring, indexes against `InRelease`, packages against the indexes. The same
//! indexes give the same base, bit for bit.

mod assemble;
mod carried;
mod certificate;
mod closure;
mod control;
mod database;
mod error;
#[doc(hidden)]
pub mod fuzz;
mod index;
mod keyring;
mod keys;
mod lists;
mod machine_mirrors;
mod nearer;
mod newer;
mod os_release;
mod release;
mod resolve;
mod seen;
mod signature;
mod signed_by;
mod sources;
mod variant;

use layers::digest::Digest;
use layers::key::KeyHasher;
use serde::{Deserialize, Serialize};

pub use assemble::assemble;
pub use control::{Stanza, stanzas};
pub use database::{Budget, Control};
pub use error::DebianError;
pub use keys::{Keyring, Trust};
pub use lists::{Archive, RELEASE_LIMIT, SIGNED, vouch};
pub use nearer::nearer;
pub use newer::{Looked, Newer, component};
pub use os_release::os_release;
pub use resolve::{BaseOptions, Releases, Told, releases};
pub use seen::Seen;
pub use signed_by::SignedBy;
pub use sources::{Distribution, HostSource, of_file, suite_of};
pub use variant::{Contents, Variant};

/// How far ahead of this machine's clock an archive's may be, in seconds: as for apt (`Acquire::Max-FutureTime`).
const FUTURE: i64 = 10;

/// Raised when the same index would give another base: 2 came with directories that apt owns, `/run/lock`, and
/// `usr-is-merged` in place of `usrmerge`.
const VERSION: u32 = 2;

/// One package of a base.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BasePackage {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Where it is.
    pub url: String,
    /// What it is.
    pub sha256: Digest,
    /// Bytes.
    pub size: u64,
}

/// A base, decided on: what it is made of, and in which order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BasePlan {
    /// `debian` or `ubuntu`.
    pub distribution: String,
    /// Code name.
    pub suite: String,
    /// Debian's name of the architecture.
    pub architecture: String,
    /// The packages, sorted by name.
    pub packages: Vec<BasePackage>,
    /// The base's own apt sources, in deb822 form without `Signed-By`.
    pub sources: String,
    /// `Date` of the archive's `Release`.
    pub date: String,
}

impl BasePlan {
    /// What the base will be, as a digest: everything that shows in its bytes, and nothing else.
    pub fn identity(&self) -> Digest {
        let mut key = KeyHasher::new("deb").with(VERSION.to_le_bytes());
        for text in [&self.distribution, &self.suite, &self.architecture, &self.sources] {
            key.part(text);
        }
        for package in &self.packages {
            key.part(package.sha256.as_bytes());
        }
        key.finish()
    }
}
