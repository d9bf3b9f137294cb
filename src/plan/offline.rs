//! What a build without a network cannot do.

use super::LoweredLayer;
use crate::blueprint::Blueprint;
use crate::op::{Op, Pinned, Secrets, Step};
use crate::yaml::{Diagnostic, MAX_PROBLEMS};

/// Tasks that have no network, and ask somebody in it for what nothing pins.
pub(super) fn unlocked(blueprint: &Blueprint, layers: &[LoweredLayer]) -> Vec<Diagnostic> {
    let steps = layers.iter().flat_map(|layer| &layer.steps).filter(|step| step.offline);
    let task = |step: &Step| {
        let file = blueprint.files.iter().find(|file| file.path == step.file)?;
        file.tasks.iter().find(|task| task.span.line == step.line).map(|task| task.span)
    };
    let error = |step: &Step| {
        let (message, help) = why(step)?;
        Some(Diagnostic::error("network", task(step)?, message).help(help))
    };
    steps.filter_map(error).take(MAX_PROBLEMS).collect()
}

/// Why a step cannot do without a network, if it cannot, and what to do.
fn why(step: &Step) -> Option<(String, &'static str)> {
    const LOCK: &str = "`alloy lock` pins them: alloy fetches them then";
    let name = Secrets::as_written(&step.name);
    if step.ops.iter().any(|op| matches!(op, Op::AptInstall { locked: None, .. })) {
        return Some((format!("the packages of the task `{name}` are not locked, and apt has no network"), LOCK));
    }
    match step.wanted.as_ref().map(|wanted| (wanted.locked, wanted.language.name())) {
        Some((Pinned::No, language)) => {
            let message = format!("the {language} packages of the task `{name}` are not locked, and it has no network");
            return Some((message, LOCK));
        }
        Some((Pinned::Online, language)) => {
            let message =
                format!("what builds a {language} package of the task `{name}` is not pinned, and it has no network");
            return Some((message, "take a version of which there is a wheel"));
        }
        Some((Pinned::Whole, _)) | None => {}
    }
    (!step.checkouts.is_empty()).then(|| {
        let message = format!("the task `{name}` clones a repository, and has no network");
        (message, "leave `network: none` and `--network none` out: git asks the server for the commit that is pinned")
    })
}
