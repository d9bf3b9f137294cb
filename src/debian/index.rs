//! `Packages`: what the archive has, kept as small as a closure allows.

use std::collections::HashMap;
use std::io::{self, BufReader, Read};

use layers::compress::decoder;
use layers::digest::Digest;

use super::control;

/// A package of the archive.
#[derive(Clone, Debug)]
pub struct Package {
    /// Its name.
    pub name: Box<str>,
    /// Its version.
    pub version: Box<str>,
    /// `Pre-Depends` and `Depends`.
    pub depends: Box<str>,
    /// `Provides`.
    pub provides: Box<str>,
    /// `Essential: yes`.
    pub essential: bool,
    /// `Priority: required`.
    pub required: bool,
    /// URL of the archive it is in; an index into [`Index::archives`].
    pub archive: usize,
    /// Path below the archive.
    pub filename: Box<str>,
    /// What it is.
    pub sha256: Digest,
    /// Bytes.
    pub size: u64,
}

/// All packages of some indexes.
#[derive(Debug, Default)]
pub struct Index {
    /// The packages.
    pub packages: Vec<Package>,
    /// URLs that file names are relative to.
    pub archives: Vec<String>,
}

const FIELDS: [&str; 11] = [
    "Package",
    "Version",
    "Architecture",
    "Pre-Depends",
    "Depends",
    "Provides",
    "Essential",
    "Priority",
    "Filename",
    "SHA256",
    "Size",
];

impl Index {
    /// Adds the packages of one `Packages` file, compressed or not.
    pub fn read(&mut self, archive: &str, file: impl Read + Send) -> io::Result<()> {
        self.archives.push(archive.to_owned());
        let archive = self.archives.len() - 1;
        let (_, reader) = decoder(file)?;
        let packages = &mut self.packages;
        control::stanzas(
            BufReader::with_capacity(256 << 10, reader),
            |name| FIELDS.contains(&name),
            |stanza| {
                let field = |name: &str| stanza.get(name).unwrap_or_default();
                let depends = match (stanza.get("Pre-Depends"), stanza.get("Depends")) {
                    (Some(pre), Some(depends)) => format!("{pre}, {depends}"),
                    (pre, depends) => pre.or(depends).unwrap_or_default().to_owned(),
                };
                let (Ok(sha256), Ok(size)) = (Digest::from_hex(field("SHA256")), field("Size").parse()) else { return };
                packages.push(Package {
                    name: field("Package").into(),
                    version: field("Version").into(),
                    depends: depends.into(),
                    provides: field("Provides").into(),
                    essential: field("Essential") == "yes",
                    required: field("Priority") == "required",
                    archive,
                    filename: field("Filename").into(),
                    sha256,
                    size,
                });
            },
        )
    }

    /// Packages by name, of each the latest version.
    pub fn latest(&self) -> HashMap<&str, &Package> {
        let mut latest: HashMap<&str, &Package> = HashMap::with_capacity(self.packages.len());
        for package in &self.packages {
            latest
                .entry(&package.name)
                .and_modify(|other| {
                    if super::closure::compare(&package.version, &other.version).is_gt() {
                        *other = package;
                    }
                })
                .or_insert(package);
        }
        latest
    }
}
