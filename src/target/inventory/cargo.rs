//! What `cargo install` remembers of itself, in every directory that it installs into.

use std::collections::BTreeMap;
use std::path::Path;

use layers::root::Root;
use serde::Deserialize;

use super::{CargoPackage, word};

/// The file's name.
pub(super) const RECORD: &str = ".crates2.json";
const LIMIT: u64 = 4 << 20;
const CRATES_IO: [&str; 2] =
    ["(registry+https://github.com/rust-lang/crates.io-index)", "(sparse+https://index.crates.io/)"];

#[derive(Deserialize)]
struct Record {
    installs: BTreeMap<String, serde_json::Value>,
}

/// The crates that are recorded at `path`.
pub(super) fn installed(root: &Root, path: &Path) -> Vec<CargoPackage> {
    let record = root.read(path, LIMIT).ok().and_then(|bytes| serde_json::from_slice::<Record>(&bytes).ok());
    record.iter().flat_map(|record| record.installs.keys()).filter_map(|id| package(id)).collect()
}

/// `name version (source)`.
fn package(id: &str) -> Option<CargoPackage> {
    let mut parts = id.splitn(3, ' ');
    let (name, version) = (word(parts.next()?)?, word(parts.next()?)?);
    let from_registry = parts.next().is_some_and(|source| CRATES_IO.contains(&source));
    Some(CargoPackage { name, version, from_registry })
}
