//! What a lockfile says of the files that it pins: of which package each of them is.

use std::collections::{BTreeMap, BTreeSet};

use layers::digest::Digest;

use super::statement::Dependency;
use crate::lock::Lock;
use crate::op::Language;

/// The kind of a dependency that is a package of a registry or an archive.
pub(super) const PACKAGE: &str = "package";
/// Its type, as package URLs have it.
pub(super) const TYPE: &str = "type";
/// Its version.
pub(super) const VERSION: &str = "version";
/// Debian's name of its architecture.
pub(super) const ARCHITECTURE: &str = "architecture";
/// The crates that are built of it, as `name@version`, with spaces between them.
pub(super) const PART_OF: &str = "part-of";
/// Only another package is built with it.
pub(super) const BUILD: &str = "build";

/// A package that is pinned.
pub(super) struct Pinned {
    kind: &'static str,
    name: String,
    version: String,
    architecture: Option<String>,
    part_of: BTreeSet<String>,
    build: bool,
}

/// What `lock` pins for `platform`, by URL and digest.
pub(super) fn pinned(lock: &Lock, platform: &str) -> BTreeMap<(String, Digest), Pinned> {
    let mut all: BTreeMap<(String, Digest), Pinned> = BTreeMap::new();
    for pin in lock.apt.get(platform).into_iter().flat_map(BTreeMap::values) {
        for deb in &pin.debs {
            let (name, version, architecture) = (deb.package.clone(), deb.version.clone(), Some(deb.arch.clone()));
            let part_of = BTreeSet::new();
            let found = Pinned { kind: "deb", name, version, architecture, part_of, build: false };
            all.insert((deb.url(), deb.sha256), found);
        }
    }
    for (language, _, _, pin) in lock.packages.all().filter(|(_, of, ..)| *of == platform) {
        let kind = match language {
            Language::Python => "pypi",
            Language::Npm => "npm",
            Language::Rust => "cargo",
        };
        for file in &pin.files {
            let whole = format!("{}@{}", file.name, file.version);
            // What is compiled is part of what was asked for.
            let part_of = pin.packages.iter().filter(|asked| language == Language::Rust && **asked != whole).cloned();
            let found = all.entry((file.url.clone(), file.sha256)).or_insert_with(|| Pinned {
                kind,
                name: file.name.clone(),
                version: file.version.clone(),
                architecture: None,
                part_of: BTreeSet::new(),
                build: true,
            });
            found.part_of.extend(part_of);
            found.build &= file.build;
        }
    }
    all
}

impl Pinned {
    /// The package as something that an image is made from.
    pub(super) fn dependency(&self, url: String, digest: &Digest) -> Dependency {
        let found = Dependency::new(PACKAGE, &self.name, Some(url), Some(digest));
        let mut found = found.with(TYPE, self.kind).with(VERSION, &self.version);
        if let Some(architecture) = &self.architecture {
            found = found.with(ARCHITECTURE, architecture);
        }
        if !self.part_of.is_empty() {
            found = found.with(PART_OF, &self.part_of.iter().map(String::as_str).collect::<Vec<_>>().join(" "));
        }
        if self.build { found.with(BUILD, "true") } else { found }
    }
}
