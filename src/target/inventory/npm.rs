//! Packages of npm: directories of a `node_modules`, each with a `package.json`.

use std::ffi::OsStr;
use std::path::Path;

use layers::root::Root;
use serde::Deserialize;

use super::{NpmPackage, word};

/// The file's name.
pub(super) const RECORD: &str = "package.json";
const LIMIT: u64 = 1 << 20;

#[derive(Deserialize)]
struct Record {
    name: String,
    version: String,
    homepage: Option<serde_json::Value>,
}

/// True for the file of a package that was installed: further files of that name are parts of packages.
pub(super) fn is_record(path: &Path, name: &OsStr) -> bool {
    let named = |path: Option<&Path>| path.and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    let place = path.parent();
    let above = place.and_then(Path::parent);
    let scoped = named(above).is_some_and(|name| name.starts_with('@'));
    let modules = if scoped { above.and_then(Path::parent) } else { above };
    name == RECORD && named(modules).as_deref() == Some("node_modules")
}

/// The package that is recorded at `path`.
pub(super) fn package(root: &Root, path: &Path) -> Option<NpmPackage> {
    let record: Record = serde_json::from_slice(&root.read(path, LIMIT).ok()?).ok()?;
    let homepage = record.homepage.as_ref().and_then(|value| value.as_str()).and_then(word);
    Some(NpmPackage { name: word(&record.name)?, version: word(&record.version)?, homepage })
}
