//! What dpkg has installed, read again only when it has changed.

use std::collections::BTreeMap;
use std::path::Path;

use layers::root::{Metadata, Root};

use super::super::apt;

const STATUS: &str = "var/lib/dpkg/status";

/// Packages and their versions, as dpkg had them last.
#[derive(Debug, Default)]
pub struct Packages {
    seen: Option<Metadata>,
    versions: BTreeMap<String, String>,
}

impl Packages {
    /// Versions in the text of dpkg's status.
    pub fn of(status: &str, native: &str) -> BTreeMap<String, String> {
        apt::installed(status, native)
    }

    /// Versions by package; those of a foreign architecture are `name:arch`.
    pub fn read(&mut self, root: &Root, native: &str) -> &BTreeMap<String, String> {
        let now = root.metadata_followed(Path::new(STATUS)).ok();
        if now.is_none() || now != self.seen {
            let bytes = root.read(Path::new(STATUS), 256 << 20).unwrap_or_default();
            self.versions = Self::of(&String::from_utf8_lossy(&bytes), native);
            self.seen = now;
        }
        &self.versions
    }
}
