//! What the base's archive does not have, and which base may be meant.

use std::collections::BTreeSet;

use super::located::Place;
use crate::build::{BuildError, Lacking};
use crate::event::{Event, Reporter};

/// Says what `lacking`, of the base `base`, is found elsewhere; what was `told` already, for another platform, once.
pub(super) fn warn(reporter: &Reporter, base: &str, lacking: &[Lacking], told: &mut BTreeSet<String>) {
    for Lacking { package, file, line, other } in lacking {
        let place = Place::of(file, *line, &format!("`{package}`")).text;
        let (suite, flags) = (other.suite, &other.flags);
        let text =
            format!("{place}: the archive of {base} has no package `{package}`, and deb:{suite} has: add {flags}");
        if told.insert(text.clone()) {
            reporter.event(Event::Warning(text));
        }
    }
}

/// The same for whoever sees the task fail.
pub(super) fn explain(mut error: BuildError, lacking: &[Lacking]) -> BuildError {
    if let BuildError::Task { failure, .. } = &mut error {
        let its = lacking.iter().filter(|one| one.file == failure.file && one.line == failure.line);
        let hint =
            |one: &Lacking| format!("deb:{} has the package `{}`: {}", one.other.suite, one.package, one.other.flags);
        failure.hints.extend(its.map(hint));
    }
    error
}
