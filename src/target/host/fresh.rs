//! Directories that a task clones into. Half a repository there would be in its own way when it is done again.

use std::path::{Path, PathBuf};

use layers::root::Root;

use crate::op::{Op, Step};
use crate::target::TargetError;

/// A directory in which there is nothing before the task.
pub(super) struct Fresh {
    place: PathBuf,
    is_there: bool,
}

/// Those that `step`, if it clones, is to fill.
pub(super) fn places(root: &Root, step: &Step) -> Vec<Fresh> {
    if step.checkouts.is_empty() {
        return Vec::new();
    }
    let made = step.ops.iter().filter_map(|op| match op {
        Op::MakeDir { path } => Some(PathBuf::from(path)),
        _ => None,
    });
    made.filter_map(|place| match names(root, &place) {
        Some(names) => names.is_empty().then_some(Fresh { place, is_there: true }),
        None => is_missing(root, &place).then_some(Fresh { place, is_there: false }),
    })
    .collect()
}

/// Makes them what they were before the task, which failed.
pub(super) fn clear(root: &Root, fresh: &[Fresh]) -> Result<(), TargetError> {
    for Fresh { place, is_there } in fresh {
        if !is_there {
            root.remove_all(place)?;
            continue;
        }
        for name in names(root, place).unwrap_or_default() {
            root.remove_all(&place.join(name))?;
        }
    }
    Ok(())
}

/// What is in the directory at `place`; `None` if there is none.
fn names(root: &Root, place: &Path) -> Option<Vec<std::ffi::OsString>> {
    root.directory(place).ok()?.names().ok()
}

fn is_missing(root: &Root, place: &Path) -> bool {
    root.metadata(place).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}
