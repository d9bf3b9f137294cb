//! What is in an image: packages of Debian, Python, npm and Cargo, and git repositories, as their own records in the root
//! have them.
//!
//! The records may say anything: whoever built the image wrote them. So everything is bounded, what is odd is passed
//! over, and nothing here fails a build.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use layers::root::{FileKind, Root};
use serde::{Deserialize, Serialize};

use crate::debian::os_release;

mod cargo;
mod dpkg;
mod git;
mod npm;
mod python;
mod walk;

pub use git::commit as commit_of;

/// Of each kind; no image has as many.
const MOST_PACKAGES: usize = 50_000;
const LONGEST: usize = 256;

/// The packages of an image, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// What `os-release` calls the distribution.
    pub distribution: Option<Distribution>,
    /// Packages that dpkg has installed.
    pub debian: BTreeSet<DebianPackage>,
    /// Distributions that pip or another installer has installed, dpkg's own left out.
    pub python: BTreeSet<PythonPackage>,
    /// Packages of npm, dpkg's own left out.
    #[serde(default)]
    pub npm: BTreeSet<NpmPackage>,
    /// Crates that `cargo install` has installed.
    pub cargo: BTreeSet<CargoPackage>,
    /// Git repositories with what they have checked out, those of submodules too.
    #[serde(default)]
    pub git: BTreeSet<GitRepository>,
    /// False when the root is too large to look at all of it.
    pub complete: bool,
}

/// `ID` and `VERSION_ID` of os-release(5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Distribution {
    /// `debian`.
    pub id: String,
    /// `12`; rolling distributions have none.
    pub version: Option<String>,
}

/// A package that dpkg knows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DebianPackage {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its architecture, `all` included.
    pub architecture: String,
    /// The source package, where it is called or counted otherwise: name, and version.
    pub source: Option<(String, String)>,
    /// `Name <address>`.
    pub maintainer: Option<String>,
    /// A URL.
    pub homepage: Option<String>,
}

/// A Python distribution.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PythonPackage {
    /// Its name, as its author writes it.
    pub name: String,
    /// Its version.
    pub version: String,
    /// A URL.
    pub homepage: Option<String>,
}

/// A package of npm.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NpmPackage {
    /// Its name, with its scope.
    pub name: String,
    /// Its version.
    pub version: String,
    /// A URL.
    pub homepage: Option<String>,
}

/// A crate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CargoPackage {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// True if it comes from the public registry of crates.
    pub from_registry: bool,
}

/// A git repository.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GitRepository {
    /// Where its files are.
    pub path: String,
    /// Where it is from, without who asked for it.
    pub url: String,
    /// What is checked out.
    pub commit: String,
}

impl Inventory {
    /// True if it may be added to what is below: dpkg has but one record, and the topmost counts.
    pub fn adds(&self) -> bool {
        self.debian.is_empty() && self.distribution.is_none()
    }

    /// Adds what was found in another layer.
    pub fn add(&mut self, other: Self) {
        self.python.extend(other.python);
        self.npm.extend(other.npm);
        self.cargo.extend(other.cargo);
        self.git.extend(other.git);
        self.complete &= other.complete;
    }
}

/// Looks at `root`.
pub fn look(root: &Root) -> Inventory {
    let mut inventory = Inventory { distribution: distribution(root), ..Inventory::default() };
    inventory.debian = dpkg::installed(root);
    let mut metadata: Vec<(PathBuf, FileKind)> = Vec::new();
    let mut modules: Vec<PathBuf> = Vec::new();
    inventory.complete = walk::walk(root, |path, name, kind| {
        if python::is_metadata(name, kind) {
            metadata.push((path.to_owned(), kind));
        } else if name == cargo::RECORD && kind == FileKind::File {
            inventory.cargo.extend(cargo::installed(root, path));
        } else if kind == FileKind::File && npm::is_record(path, name) {
            modules.push(path.to_owned());
        } else if kind == FileKind::File && git::is_record(path, name) {
            inventory.git.extend(git::repository(root, path));
        }
        inventory.git.len() + inventory.cargo.len() + metadata.len() + modules.len() < 2 * MOST_PACKAGES
    });
    if !metadata.is_empty() || !modules.is_empty() {
        let known = |name: &OsStr| name == npm::RECORD || python::is_metadata(name, FileKind::Directory);
        let owned = dpkg::owned(root, known);
        metadata.retain(|(path, _)| !owned.contains(path));
        modules.retain(|path| !owned.contains(path));
    }
    inventory.npm = modules.iter().filter_map(|path| npm::package(root, path)).collect();
    inventory.python = metadata.iter().filter_map(|(path, kind)| python::package(root, path, *kind)).collect();
    inventory
}

fn distribution(root: &Root) -> Option<Distribution> {
    let text = head(root, Path::new("etc/os-release"), 64 << 10)
        .or_else(|| head(root, Path::new("usr/lib/os-release"), 64 << 10))?;
    let field = |name: &str| plain(os_release(&text, name)?);
    Some(Distribution { id: field("ID")?, version: field("VERSION_ID") })
}

/// A path as a name in a root: without `/` at its beginning, and without `.` and `..`.
pub fn in_root(path: &Path) -> PathBuf {
    let mut name = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(name.pop()),
            Component::Normal(part) => name.push(part),
            _ => {}
        }
    }
    name
}

/// The first `limit` bytes of a file as text; `None` if there is none.
pub fn head(root: &Root, path: &Path, limit: u64) -> Option<String> {
    let mut bytes = Vec::new();
    root.open_file(path).ok()?.take(limit).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// A short text on one line; `None` for anything else.
fn plain(text: &str) -> Option<String> {
    let fits = !text.is_empty() && text.len() <= LONGEST && !text.chars().any(char::is_control);
    fits.then(|| text.to_owned())
}

/// A name or version: no spaces either.
fn word(text: &str) -> Option<String> {
    plain(text).filter(|text| !text.contains(char::is_whitespace))
}

/// A name that ends so.
fn ends_with(name: &OsStr, end: &str) -> bool {
    name.as_encoded_bytes().ends_with(end.as_bytes())
}

#[cfg(test)]
mod tests;
