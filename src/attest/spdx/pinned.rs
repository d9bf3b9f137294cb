//! Packages of which it is known what was fetched for them, and from where: those that are in the image are told so, and
//! those that nothing in it records stand beside them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Document, IMAGE, Ids, fetched, npm_purl, package, pypi_purl, refer};
use crate::attest::pinned::{ARCHITECTURE, BUILD, PACKAGE, PART_OF, TYPE, VERSION};
use crate::attest::purl::purl;
use crate::attest::statement::Dependency;
use crate::op::Language;

/// Which package: type, name as it is compared, and version.
type Key = (String, String, String);

/// Says of the packages in `document` what was fetched for them, and adds crates that others are built of, and packages
/// that have left no record.
pub(super) fn add(document: &mut Document, dependencies: &[Dependency]) {
    let pinned: Vec<&Dependency> = dependencies.iter().filter(|dependency| dependency.is(PACKAGE)).collect();
    let mut found = Found::of(document);
    // Crates stand before what they are built of.
    let (parts, whole): (Vec<&Dependency>, Vec<&Dependency>) =
        pinned.iter().copied().partition(|dependency| !word(dependency, PART_OF).is_empty());
    for dependency in whole {
        let alone = pinned.iter().filter(|other| name(other) == name(dependency)).count() == 1;
        match found.find(dependency, alone) {
            Some(at) if word(dependency, BUILD).is_empty() => fetched_for(&mut document.packages[at], dependency),
            // The image may have it from elsewhere.
            Some(at) => document.relate(&id_of(&document.packages[at]), "BUILD_DEPENDENCY_OF", IMAGE),
            None => found.add(document, dependency),
        }
    }
    for dependency in parts {
        let at = match found.find(dependency, false) {
            Some(at) => at,
            None => {
                let value = of_package(&mut document.ids, dependency);
                found.insert(document, value, key(dependency))
            }
        };
        fetched_for(&mut document.packages[at], dependency);
        let part = id_of(&document.packages[at]);
        for whole in word(dependency, PART_OF).split(' ').filter_map(|whole| whole.rsplit_once('@')) {
            let key = ("cargo".to_owned(), whole.0.to_owned(), whole.1.to_owned());
            let from = found.0.get(&key).map_or_else(|| IMAGE.to_owned(), |at| id_of(&document.packages[*at]));
            document.relate(&from, "DEPENDS_ON", &part);
        }
    }
}

/// Where packages stand in a document.
struct Found(BTreeMap<Key, usize>);

impl Found {
    fn of(document: &Document) -> Self {
        Self(document.keys.iter().cloned().collect())
    }

    /// Where a package stands, if the image has it. One that is `alone` of its name may say its version otherwise than its
    /// file does.
    fn find(&self, dependency: &Dependency, alone: bool) -> Option<usize> {
        let key = key(dependency);
        let architecture = word(dependency, ARCHITECTURE);
        let of_architecture = (key.0.clone(), format!("{}:{architecture}", key.1), key.2.clone());
        let exact = self.0.get(&key).or_else(|| self.0.get(&of_architecture));
        exact.copied().or_else(|| {
            let mut same = self.0.iter().filter(|((kind, name, _), _)| alone && kind == "pypi" && *name == key.1);
            let built = key.0 == "pypi" && word(dependency, BUILD).is_empty();
            same.next().filter(|_| built && same.next().is_none()).map(|(_, at)| *at)
        })
    }

    fn insert(&mut self, document: &mut Document, value: Value, key: Key) -> usize {
        let at = document.packages.len();
        document.packages.push(value);
        self.0.insert(key, at);
        at
    }

    /// Adds what has left no record.
    fn add(&mut self, document: &mut Document, dependency: &Dependency) {
        // dpkg records all that it has: what it does not know is replaced, or removed.
        if word(dependency, TYPE) == "deb" || word(dependency, TYPE).is_empty() {
            return;
        }
        if word(dependency, BUILD).is_empty() && is_replaced(document, dependency) {
            return;
        }
        let value = of_package(&mut document.ids, dependency);
        let id = id_of(&value);
        let at = self.insert(document, value, key(dependency));
        fetched_for(&mut document.packages[at], dependency);
        match word(dependency, BUILD).is_empty() {
            true => document.relate(IMAGE, "DEPENDS_ON", &id),
            false => document.relate(&id, "BUILD_DEPENDENCY_OF", IMAGE),
        }
    }
}

/// Whether the image has the package in another version: pip and npm put a version in the place of the one before, and
/// where both stand, each has its record.
fn is_replaced(document: &Document, dependency: &Dependency) -> bool {
    let (kind, name, _) = key(dependency);
    let has = || document.keys.iter().any(|((other, its, _), _)| *other == kind && *its == name);
    matches!(kind.as_str(), "pypi" | "npm") && has()
}

fn word<'d>(dependency: &'d Dependency, name: &str) -> &'d str {
    dependency.annotations.get(name).map(String::as_str).unwrap_or_default()
}

fn id_of(value: &Value) -> String {
    value["SPDXID"].as_str().unwrap_or_default().to_owned()
}

fn name(dependency: &Dependency) -> (&str, String) {
    let kind = word(dependency, TYPE);
    (kind, compared(kind, &dependency.name))
}

/// A name as its registry compares it.
pub(super) fn compared(kind: &str, name: &str) -> String {
    if kind == "pypi" { Language::Python.normal(name) } else { name.to_owned() }
}

fn key(dependency: &Dependency) -> Key {
    let (kind, name) = name(dependency);
    (kind.to_owned(), name, word(dependency, VERSION).to_owned())
}

/// What was fetched first for a package counts.
fn fetched_for(package: &mut Value, dependency: &Dependency) {
    if package.get("checksums").is_none() {
        fetched(package, dependency);
    }
}

fn of_package(ids: &mut Ids, dependency: &Dependency) -> Value {
    let (kind, name, version) = (word(dependency, TYPE), dependency.name.as_str(), word(dependency, VERSION));
    let mut value = package(&ids.give(&[kind, name, version]), name, version);
    let purl = match kind {
        "pypi" => pypi_purl(name, version),
        "npm" => npm_purl(name, version),
        kind => purl(kind, None, name, version, &[]),
    };
    refer(&mut value, &purl);
    value
}
