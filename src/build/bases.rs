//! What is told of a base before others find it out: what it wants done, and how many layers it has.

use layers::path::shown;

use super::MOST_LAYERS;
use crate::event::{Event, listed};
use crate::image::{Image, SQUASH};
use crate::resolve::Resolver;

/// Instructions that a warning quotes.
const TOLD: usize = 5;

/// Says what of the base `base` is not done here.
pub(super) fn tell_of_triggers(resolver: &Resolver<'_>, base: &str, image: &Image) {
    let triggers = image.triggers();
    if triggers.is_empty() {
        return;
    }
    let told: Vec<String> = triggers.iter().map(|one| format!("`{}`", shown(one.as_bytes()))).collect();
    resolver.reporter().event(Event::Warning(format!(
        "the base {base} wants something done in builds on it (its OnBuild), which alloy does not do, nor hand on to what \
         it builds: {}; where it is needed, write it as a task",
        listed(&told, TOLD)
    )));
}

/// Warns of an image that others may refuse.
pub(super) fn tell_of_layers(resolver: &Resolver<'_>, base: &str, below: usize, own: usize) {
    let all = below + own;
    if all > MOST_LAYERS {
        resolver.reporter().event(Event::Warning(format!(
            "the image has {all} layers, {below} of them from the base {base}: alloy and podman run it, and runtimes that \
             stop at {MOST_LAYERS}, such as docker, do not; {SQUASH}"
        )));
    }
}
