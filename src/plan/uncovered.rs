//! What no lockfile covers: commands of the author's that may fetch what they like.

use std::collections::BTreeSet;

use super::Lowered;
use super::locked::span;
use crate::blueprint::Blueprint;
use crate::event::listed;
use crate::op::{Op, Pinned, Secrets, Step};
use crate::yaml::{Diagnostic, MAX_PROBLEMS};

/// Actions that run what their author wrote, or what a download or repository brings along.
const FREE: [&str; 7] = [
    "build_artifact",
    "build_from_source",
    "buildroot_config",
    "mcu_sdk",
    "run_command",
    "sdk_install",
    "yocto_manifest",
];

/// True for a step whose commands have a network, and nothing says what they do with it.
fn is_uncovered(step: &Step) -> bool {
    let runs = step.ops.iter().any(|op| matches!(op, Op::Run { .. }));
    let free = FREE.contains(&step.action.as_str()) && runs;
    let asks = step.wanted.as_ref().is_some_and(|wanted| wanted.locked != Pinned::Whole);
    !step.offline && (free || asks)
}

fn steps(lowered: &Lowered) -> impl Iterator<Item = &Step> {
    lowered.layers.iter().flat_map(|layer| &layer.steps).filter(|step| is_uncovered(step))
}

/// The tasks of `lowered` that the lockfile does not cover, each in a few words.
pub fn uncovered(lowered: &Lowered) -> BTreeSet<String> {
    let words = |step: &Step| {
        let package = if step.wanted.is_some() { ", whose package is not pinned" } else { "" };
        format!("{}:{} ({}{package})", step.file, step.line, Secrets::as_written(&step.name))
    };
    steps(lowered).map(words).collect()
}

/// What is said of such tasks to people.
pub fn uncovered_note(tasks: &BTreeSet<String>) -> Option<String> {
    let which = listed(&tasks.iter().collect::<Vec<_>>(), 8);
    (!tasks.is_empty()).then(|| {
        format!(
            "alloy.lock.yml does not cover what the commands of {which} download; of commands that download \
             nothing, `network: none` says so"
        )
    })
}

/// A warning for each of them, for a build that is locked; with `strict`, an error.
pub fn not_covered(blueprint: &Blueprint, lowered: &Lowered, strict: bool) -> Vec<Diagnostic> {
    let message = "alloy.lock.yml does not cover what the commands of this task download";
    let say = if strict { Diagnostic::error } else { Diagnostic::warning };
    let one = |step: &Step| {
        let field = if step.wanted.is_some() { "package" } else { "command" };
        let diagnostic = say("not-covered", span(blueprint, step, field), message.to_owned());
        diagnostic.label("with the network").help(match &step.wanted {
            Some(_) => "what builds this package is not pinned: take a version of which there is a wheel",
            None => "say `network: none` if they download nothing, or leave it to an action that pins what it fetches",
        })
    };
    steps(lowered).map(one).take(MAX_PROBLEMS).collect()
}
