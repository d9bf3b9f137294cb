//! All tools of a catalog, remembered in the store for as long as no file of it changes.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use layers::digest::{Digest, Hasher};
use layers::store::Store;
use serde::{Deserialize, Serialize};

use crate::catalog::{Catalog, KINDS, Summary};

/// Records of catalogs, by the digests of their directories.
const RECORDS: &str = "catalog";

/// Problems that are worth a warning each.
const MAX_WARNINGS: usize = 10;

/// What was found in a catalog.
#[derive(Debug, Serialize, Deserialize)]
pub struct Known {
    /// The state of its files.
    stamp: String,
    /// Its tools.
    pub tools: Vec<Summary>,
    /// What is wrong with the others.
    pub problems: Vec<Problem>,
}

/// Something that is wrong.
#[derive(Debug, Serialize, Deserialize)]
pub struct Problem {
    /// The file, from the catalog's top.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

impl Known {
    /// What is wrong, as warnings.
    pub fn warnings(&self) -> Vec<String> {
        let line =
            |problem: &Problem| format!("{}:{}:{}: {}", problem.file, problem.line, problem.column, problem.message);
        let mut lines: Vec<String> = self.problems.iter().take(MAX_WARNINGS).map(line).collect();
        let more = self.problems.len().saturating_sub(MAX_WARNINGS);
        if more > 0 {
            lines.push(format!("and {more} more problems of the catalog: `--format json` lists them all"));
        }
        lines
    }
}

/// All tools. A store that cannot be written costs time, and nothing else.
pub fn all(store: &Store, catalog: &Catalog) -> Known {
    let directory = catalog.directory();
    let place = directory.canonicalize().unwrap_or_else(|_| directory.to_owned());
    let key = Digest::of(place.as_os_str().as_encoded_bytes()).hex();
    let stamp = format!("{} {}", env!("CARGO_PKG_VERSION"), stamp(directory).hex());
    let record = store.record(RECORDS, &key).ok().flatten();
    if let Some(known) = record.and_then(|bytes| serde_json::from_slice::<Known>(&bytes).ok())
        && known.stamp == stamp
    {
        return known;
    }
    let survey = catalog.survey();
    let sources = &survey.problems.sources;
    let problems = survey.problems.diagnostics.iter().map(|problem| Problem {
        file: sources.name(problem.span.file).to_owned(),
        line: problem.span.line,
        column: problem.span.column,
        message: problem.message.clone(),
    });
    let known = Known { stamp, problems: problems.collect(), tools: survey.tools };
    if let Ok(bytes) = serde_json::to_vec(&known) {
        let _ = store.put_record(RECORDS, &key, &bytes);
    }
    known
}

/// What changes with every file that is added, changed or removed.
fn stamp(directory: &Path) -> Digest {
    let mut hasher = Hasher::new();
    for kind in KINDS {
        walk(&directory.join(format!("{kind}s")), 2, &mut hasher);
    }
    hasher.finish()
}

fn walk(directory: &Path, below: usize, hasher: &mut Hasher) {
    let mut entries: Vec<_> = fs::read_dir(directory).into_iter().flatten().flatten().collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let Ok(metadata) = entry.metadata() else { continue };
        let name = entry.file_name();
        hasher.update(&name.len().to_le_bytes());
        hasher.update(name.as_encoded_bytes());
        let change =
            [metadata.ino(), metadata.size(), metadata.ctime().cast_unsigned(), metadata.ctime_nsec().cast_unsigned()];
        change.iter().for_each(|part| hasher.update(&part.to_le_bytes()));
        if metadata.is_dir() && below > 0 {
            walk(&entry.path(), below - 1, hasher);
        }
    }
}
