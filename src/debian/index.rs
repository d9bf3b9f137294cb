//! `Packages`: what the archive has, kept as small as a closure allows.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{self, BufReader, Read};

use layers::compress::decoder;
use layers::digest::Digest;

use super::control;
use crate::yaml;

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
    /// Bytes that the files had together once they were unpacked.
    read: u64,
    /// Bytes of memory that the packages take.
    held: u64,
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

/// Those of them that may be folded; all others are one line.
const FOLDED: [&str; 3] = ["Pre-Depends", "Depends", "Provides"];

/// What all indexes together may have once they are unpacked, in bytes: several times what the largest archives have. A
/// lockfile names as many indexes as it likes.
const LIMIT: u64 = 1 << 30;
/// What all packages may take in memory: stanzas may be as small as what is kept of them.
const HELD: u64 = 512 << 20;
/// No version is as long; one that is would be compared with those of all others of its name.
const LONGEST_VERSION: usize = 1024;
/// What remembering a package, or something that it provides, costs beside its text.
const COST: u64 = 256;

/// A reader that has an end.
struct Bounded<'a, R> {
    reader: R,
    read: &'a mut u64,
}

impl<R: Read> Read for Bounded<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.reader.read(buffer)?;
        *self.read = self.read.saturating_add(length as u64);
        if *self.read <= LIMIT { Ok(length) } else { Err(too_much("unpack to", LIMIT)) }
    }
}

fn too_much(what: &str, most: u64) -> io::Error {
    let message = format!("it and the indexes before it {what} more than {} MiB", most >> 20);
    io::Error::new(io::ErrorKind::FileTooLarge, message)
}

impl Package {
    /// Bytes of memory that it takes, about.
    fn held(&self) -> u64 {
        let texts = [&self.name, &self.version, &self.depends, &self.provides, &self.filename];
        let provided = self.provides.split(',').count() as u64;
        texts.iter().map(|text| text.len() as u64).sum::<u64>() + COST * provided
    }
}

/// A folded field on one line (deb822(5)).
fn unfolded(value: &str) -> Cow<'_, str> {
    if value.contains(['\n', '\t']) { value.replace(['\n', '\t'], " ").into() } else { value.into() }
}

impl Index {
    /// Adds the packages of one `Packages` file, compressed or not.
    pub fn read(&mut self, archive: &str, file: impl Read + Send) -> io::Result<()> {
        self.archives.push(archive.to_owned());
        let archive = self.archives.len() - 1;
        let (_, reader) = decoder(file)?;
        let (packages, held) = (&mut self.packages, &mut self.held);
        control::stanzas(
            BufReader::with_capacity(256 << 10, Bounded { reader, read: &mut self.read }),
            |name| FIELDS.contains(&name),
            |stanza| {
                // What is shown of a package later is no line of its own, and steers no terminal.
                let folded = FOLDED.map(|name| stanza.get(name).map(unfolded));
                let simple = stanza.fields().filter(|(name, _)| !FOLDED.contains(name)).map(|(_, value)| value);
                if !folded.iter().flatten().map(|value| &**value).chain(simple).all(yaml::shows) {
                    return;
                }
                let [pre, depends, provides] = folded;
                let field = |name: &str| stanza.get(name).unwrap_or_default();
                let depends = match (pre, depends) {
                    (Some(pre), Some(depends)) => format!("{pre}, {depends}").into(),
                    (pre, depends) => pre.or(depends).unwrap_or_default(),
                };
                let (Ok(sha256), Ok(size)) = (Digest::from_hex(field("SHA256")), field("Size").parse()) else { return };
                if field("Version").len() > LONGEST_VERSION {
                    return;
                }
                let package = Package {
                    name: field("Package").into(),
                    version: field("Version").into(),
                    depends: depends.into(),
                    provides: provides.unwrap_or_default().into(),
                    essential: field("Essential") == "yes",
                    required: field("Priority") == "required",
                    archive,
                    filename: field("Filename").into(),
                    sha256,
                    size,
                };
                *held = held.saturating_add(package.held());
                if *held <= HELD {
                    packages.push(package);
                }
            },
        )?;
        if self.held <= HELD { Ok(()) } else { Err(too_much("have packages that take", HELD)) }
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

/// Calls `each` with the name of every package of one `Packages` file, and of what it provides. `read` counts the bytes
/// of all such files together.
pub fn names(file: impl Read + Send, read: &mut u64, mut each: impl FnMut(&str)) -> io::Result<()> {
    let (_, reader) = decoder(file)?;
    let reader = BufReader::with_capacity(256 << 10, Bounded { reader, read });
    control::stanzas(
        reader,
        |name| matches!(name, "Package" | "Provides"),
        |stanza| {
            each(stanza.get("Package").unwrap_or_default());
            let provides = stanza.get("Provides").unwrap_or_default().split(',');
            // A version in parentheses, or an architecture behind a colon, may follow.
            let ends = |c: char| c.is_whitespace() || matches!(c, '(' | ':' | '[');
            let named = provides.filter_map(|one| one.trim().split(ends).next());
            named.filter(|name| !name.is_empty()).for_each(&mut each);
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_have_an_end_together() {
        let mut read = LIMIT - 10;
        assert_eq!(Bounded { reader: io::repeat(b'x'), read: &mut read }.read(&mut [0; 8]).unwrap(), 8);
        // The next one goes on where this one ended.
        let error = Bounded { reader: io::repeat(b'x'), read: &mut read }.read(&mut [0; 8]).unwrap_err();
        assert_eq!(error.to_string(), "it and the indexes before it unpack to more than 1024 MiB");
    }

    fn stanza(more: &str) -> String {
        format!("Version: 1\n{more}SHA256: {}\nSize: 1\n\n", "0".repeat(64))
    }

    #[test]
    fn packages_add_up_over_all_indexes() {
        let few = stanza("").repeat(1000);
        let mut index = Index::default();
        index.read("http://a.example", few.as_bytes()).unwrap();
        let of_one = index.held / 1000;
        assert!(of_one >= size_of::<Package>() as u64);
        // As if as many had been read as fit.
        index.held = HELD - 500 * of_one;
        let error = index.read("http://b.example", few.as_bytes()).unwrap_err().to_string();
        assert_eq!(error, "it and the indexes before it have packages that take more than 512 MiB");
        assert_eq!(index.packages.len(), 1500, "and what is too much is not kept until the end is known");
    }

    #[test]
    fn what_would_not_show_on_one_line_is_no_package() {
        let mut index = Index::default();
        for wrong in
            ["Package: x\n error: y\n", "Package: x\u{1b}[2J\n", "Filename: a\n b\n", "Depends: a,\n b\u{1b}[2J\n"]
        {
            index.read("http://a.example", stanza(wrong).as_bytes()).unwrap();
        }
        assert!(index.packages.is_empty(), "{:?}", index.packages);
        index.read("http://a.example", stanza("Package: x\nDepends: a,\n\tb\n").as_bytes()).unwrap();
        assert_eq!(&*index.packages[0].depends, "a,  b");
    }

    #[test]
    fn names_are_of_packages_and_of_what_they_provide() {
        let text = "Package: a\nProvides: b (= 1), c,\n d:any\n\nPackage: e\nDescription: Package: f\n";
        let (mut found, mut read) = (Vec::new(), 0);
        names(text.as_bytes(), &mut read, |name| found.push(name.to_owned())).unwrap();
        assert_eq!((found.join(" "), read), ("a b c d e".to_owned(), text.len() as u64));
        read = LIMIT;
        assert!(names(text.as_bytes(), &mut read, |_| {}).is_err());
    }

    #[test]
    fn what_a_package_provides_counts_by_the_piece() {
        let mut index = Index::default();
        index.read("http://a.example", stanza(&format!("Provides: {}a\n", "a,".repeat(500_000))).as_bytes()).unwrap();
        assert!(index.held > 500_000 * COST, "{}", index.held);
    }
}
