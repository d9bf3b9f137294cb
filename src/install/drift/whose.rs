//! Whose state a file has: that of the blueprint that was asked for, or of another one.

use super::super::state::{State, StateError, StateFile};
use crate::blueprint::Blueprint;

/// Nothing if `state`, of that file, is of `blueprint`. If it has another name, and some of the same tasks, what is to be
/// told; an error if it is another blueprint.
pub fn check(file: &StateFile, state: &State, blueprint: &Blueprint) -> Result<Option<String>, StateError> {
    let wanted = &blueprint.manifest.name;
    if state.blueprint == *wanted {
        return Ok(None);
    }
    let tasks = blueprint.files.iter().flat_map(|file| &file.tasks);
    let names = tasks.filter_map(|task| task.fields.get("name")?.text("name").ok());
    if names.into_iter().any(|name| state.tasks.iter().any(|record| record.name == name)) {
        let (path, found, at) = (file.path().display(), &state.blueprint, state.last());
        return Ok(Some(format!(
            "{path} is of the blueprint `{found}`, installed {at}, which is called `{wanted}` by now"
        )));
    }
    Err(state.of_another(file.path(), wanted))
}
