//! What a build without a network cannot do.

use super::LoweredLayer;
use crate::blueprint::Blueprint;
use crate::op::{Op, Step};
use crate::yaml::{Diagnostic, MAX_PROBLEMS};

/// Packages that apt would have to look for itself, where it has no network.
pub(super) fn unlocked(blueprint: &Blueprint, layers: &[LoweredLayer]) -> Vec<Diagnostic> {
    let free = |op: &Op| matches!(op, Op::AptInstall { locked: None, .. });
    let steps = layers.iter().flat_map(|layer| &layer.steps).filter(|step| step.offline && step.ops.iter().any(free));
    let task = |step: &Step| {
        let file = blueprint.files.iter().find(|file| file.path == step.file)?;
        file.tasks.iter().find(|task| task.span.line == step.line).map(|task| task.span)
    };
    let error = |step: &Step| {
        let message = format!("the packages of the task `{}` are not locked, and apt has no network", step.name);
        Some(Diagnostic::error("network", task(step)?, message).help("`alloy lock` pins them: alloy fetches them then"))
    };
    steps.filter_map(error).take(MAX_PROBLEMS).collect()
}
