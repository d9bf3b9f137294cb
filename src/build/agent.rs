//! Tasks that say that they log in by ssh: without an agent they are not begun.

use super::forecast::Lasts;
use super::{BuildError, NoCache};
use crate::op::Step;
use crate::plan::PlannedLayer;
use crate::ssh::Ssh;

/// An error if one of `steps` wants an agent and there is none to lend.
pub fn ensure_agent<'s>(ssh: Option<&Ssh>, steps: impl IntoIterator<Item = &'s Step>) -> Result<(), BuildError> {
    let wants = |step: &&Step| step.ssh && ssh.is_none();
    match steps.into_iter().find(wants) {
        Some(step) => Err(BuildError::NoAgent { task: step.name.clone(), file: step.file.clone(), line: step.line }),
        None => Ok(()),
    }
}

/// The same of a build that has `missing` to make, before it makes any. What is cached needs no agent: those who may not
/// log in have what others have built.
pub(super) fn before(
    ssh: Option<&Ssh>,
    missing: &[PlannedLayer],
    lasts: &Lasts,
    no_cache: &NoCache,
) -> Result<(), BuildError> {
    // A layer that was built before may yet be found by what comes out below it.
    let certain = missing.iter().filter(|layer| no_cache.covers(layer) || !lasts.contains_key(&layer.name));
    ensure_agent(ssh, certain.flat_map(|layer| &layer.steps))
}
