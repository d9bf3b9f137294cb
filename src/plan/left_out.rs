//! Tasks that their `exclude` leaves out.

use std::collections::BTreeSet;

use super::Settings;
use crate::blueprint::{Environment, Task, TaskFile, render_task};
use crate::yaml::{Node, Sources};

/// A task that is left out as the blueprint is asked for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Its file.
    pub file: String,
    /// Its name.
    pub name: String,
}

/// Those of `file`. What is wrong with the name of one is nobody's concern now.
pub(super) fn of(file: &TaskFile, settings: &Settings, env: &mut Environment, sources: &Sources) -> Vec<LeftOut> {
    let mut found = Vec::new();
    for task in file.tasks.iter().filter(|task| is_excluded(task, &settings.tags)) {
        let mut named = task.clone();
        named.fields.entries.retain(|(key, _)| key.text == "name");
        let rendered = render_task(&named, settings.platform.debian_arch(), &[], env, sources);
        let fields = rendered.map_or(named.fields, |(fields, _)| fields);
        let name = fields.get("name").and_then(|name| name.text("name").ok());
        found.extend(name.map(|name| LeftOut { file: file.path.clone(), name: name.to_owned() }));
    }
    found
}

/// True if one of `tags` leaves the task out. What is wrong with the field is said where all fields are checked.
pub(super) fn is_excluded(task: &Task, tags: &BTreeSet<String>) -> bool {
    let tag = |node: &Node| node.text("exclude").is_ok_and(|tag| tags.contains(tag));
    let any = |node: &Node| tag(node) || node.sequence("exclude").is_ok_and(|tags| tags.iter().any(tag));
    task.fields.get("exclude").is_some_and(any)
}
