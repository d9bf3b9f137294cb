//! The file's text as a state.

use super::State;
use crate::yaml::{self, FileId, Value};

/// The version of the file that this alloy reads and writes.
pub(super) const VERSION: u32 = 1;
/// The first line.
pub(super) const HEAD: &str = "# Written by `alloy install`: what it did on this host. Not to be committed.\n";
/// All that stands in it.
const FIELDS: [&str; 5] = ["version", "blueprint", "platform", "host", "tasks"];
/// The last line. Without it, something is missing.
pub(super) const END: &str = "...\n";

/// Why a text is no state.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// It is one that a later alloy wrote.
    Newer(String),
    /// It is something else.
    Foreign,
    /// It is damaged: where, and what is wrong there.
    Damaged(Option<(usize, usize)>, String),
}

/// Reads the text of a state file.
pub(super) fn read(text: &str) -> Result<State, Problem> {
    let node = yaml::parse(FileId(0), text)
        .map_err(|error| Problem::Damaged(Some((error.span.line, error.span.column)), error.message))?;
    let Value::Mapping(mapping) = &node.value else { return Err(Problem::Foreign) };
    let version = mapping.get("version").and_then(|node| node.text("version").ok()).ok_or(Problem::Foreign)?;
    match version.parse::<u32>() {
        Ok(VERSION) => {}
        Ok(newer) if newer > VERSION => return Err(Problem::Newer(version.to_owned())),
        _ => return Err(Problem::Foreign),
    }
    let is_ours = |(key, _): &(yaml::Key, yaml::Node)| FIELDS.contains(&key.text.as_str());
    if !mapping.entries.iter().all(is_ours) || !text.ends_with(END) && !text.starts_with(HEAD) {
        return Err(Problem::Foreign);
    }
    if !text.ends_with(END) {
        return Err(Problem::Damaged(None, "its end is missing".into()));
    }
    let mut json = node.value.to_json();
    if let Some(fields) = json.as_object_mut() {
        fields.remove("version");
    }
    serde_json::from_value(json).map_err(|error| Problem::Damaged(None, error.to_string()))
}
