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

/// What an index may have once it is unpacked, in bytes: several times what the largest archives have.
const LIMIT: u64 = 1 << 30;

/// A reader that has an end.
struct Bounded<R> {
    reader: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| {
            io::Error::new(io::ErrorKind::FileTooLarge, format!("it unpacks to more than {LIMIT} bytes"))
        })?;
        Ok(read)
    }
}

impl Index {
    /// Adds the packages of one `Packages` file, compressed or not.
    pub fn read(&mut self, archive: &str, file: impl Read + Send) -> io::Result<()> {
        self.archives.push(archive.to_owned());
        let archive = self.archives.len() - 1;
        let (_, reader) = decoder(file)?;
        let packages = &mut self.packages;
        control::stanzas(
            BufReader::with_capacity(256 << 10, Bounded { reader, left: LIMIT }),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_has_an_end() {
        let mut reader = Bounded { reader: io::repeat(b'x'), left: 10 };
        assert_eq!(reader.read(&mut [0; 8]).unwrap(), 8);
        assert_eq!(reader.read(&mut [0; 8]).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }
}
