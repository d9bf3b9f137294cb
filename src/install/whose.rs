//! Whose state a file has: that of the blueprint that was asked for, or of another one.

use super::state::{Record, State, StateError, StateFile};
use crate::blueprint::Blueprint;

/// A task, as far as it can be told from others by whoever knows no variables.
struct Task {
    name: String,
    action: String,
}

impl Task {
    /// All tasks of `blueprint`, with templates in their names.
    fn all(blueprint: &Blueprint) -> Vec<Self> {
        let tasks = blueprint.files.iter().flat_map(|file| &file.tasks);
        let named = tasks.filter_map(|task| {
            let text = |field: &str| Some(task.fields.get(field)?.text(field).ok()?.to_owned());
            Some(Self { name: text("name")?, action: text("action")? })
        });
        named.collect()
    }

    /// True if `record` may be of this task, whatever its variables are.
    fn is(&self, record: &Record) -> bool {
        if self.action != record.action {
            return false;
        }
        let begin = self.name.split("{{").next().unwrap_or_default();
        let end = self.name.rsplit("}}").next().unwrap_or_default();
        self.name == record.name
            || begin.len() < self.name.len()
                && record.name.len() >= begin.len() + end.len()
                && record.name.starts_with(begin)
                && record.name.ends_with(end)
    }
}

/// Nothing if `state`, of that file, is of `blueprint`. A blueprint may get another name: if it still has at least half of
/// the tasks that were recorded, what is to be told; else an error, as it is another blueprint.
pub fn check(file: &StateFile, state: &State, blueprint: &Blueprint) -> Result<Option<String>, StateError> {
    let wanted = &blueprint.manifest.name;
    if state.blueprint == *wanted || state.tasks.is_empty() {
        return Ok(None);
    }
    let tasks = Task::all(blueprint);
    let still = state.tasks.iter().filter(|record| tasks.iter().any(|task| task.is(record))).count();
    if still * 2 < state.tasks.len() {
        return Err(state.of_another(file.path(), wanted));
    }
    let (path, found, at) = (file.path().display(), &state.blueprint, state.last());
    Ok(Some(format!("{path} is of the blueprint `{found}`, installed {at}, which is called `{wanted}` by now")))
}
