//! What tasks write where no image has anything.

use std::path::Path;

use layers::diff::ExcludeSet;

use super::Session;
use crate::event::Event;
use crate::op::{Op, Step};
use crate::plan::PlannedLayer;

/// Lent to commands, and masked while they run: what a task writes there is seen by nobody.
const LENT: [&str; 2] = ["etc/hosts", "etc/resolv.conf"];
/// Where later tasks of a layer find what earlier ones have put there.
const PASSING: [&str; 2] = ["run", "tmp"];

/// Paths that the files of `step` are for and that will be in no image; those in passing places only if it is the `last`
/// of its layer.
pub(super) fn lost(step: &Step, last: bool) -> Vec<&str> {
    let exclude = ExcludeSet::normal();
    let written = step.ops.iter().filter_map(|op| match op {
        Op::WriteFile { path, .. } | Op::PlaceBlob { path, .. } => Some(path.as_str()),
        Op::Copy { dest, .. } => Some(dest.as_str()),
        _ => None,
    });
    let is_lost = |path: &&str| {
        let path = Path::new(path.trim_start_matches('/'));
        // What is put into a directory is in it.
        let left_out = exclude.contains(path) || exclude.contains(&path.join("x"));
        let passing = PASSING.iter().any(|place| path.starts_with(place));
        LENT.iter().any(|lent| path == Path::new(lent)) || left_out && (last || !passing)
    };
    // What is made of it is another path's.
    let removed = |path: &str| step.ops.iter().any(|op| matches!(op, Op::Remove { path: gone } if gone == path));
    written.filter(is_lost).filter(|path| !removed(path)).collect()
}

impl Session<'_> {
    /// Says what tasks have written that no image will have.
    pub(super) fn tell_lost(&self, planned: &PlannedLayer) {
        let last = planned.steps.len().saturating_sub(1);
        for (at, step) in planned.steps.iter().enumerate() {
            for path in lost(step, at == last) {
                let warning = format!(
                    "{}: {} ({}:{}): what is written to {path} is in no image: that place is made anew wherever one runs",
                    planned.name, step.name, step.file, step.line
                );
                self.resolver.reporter.event(Event::Warning(self.lowered.secrets.mask(&warning)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_that_no_image_has() {
        let lost = |path: &str, last| {
            let ops = vec![Op::WriteFile { path: path.into(), content: Vec::new() }];
            !lost(&Step { ops, ..Step::default() }, last).is_empty()
        };
        for path in ["/dev/x", "/proc/x", "/etc/hosts", "/etc/resolv.conf", "/var/cache/apt/x", "/dev"] {
            assert!(lost(path, false), "{path}");
        }
        assert!(lost("/tmp/x", true) && !lost("/tmp/x", false) && lost("/run/lock/x", true));
        for path in ["/etc/hosts.allow", "/srv/x", "/etc", "/var/cache", "/"] {
            assert!(!lost(path, true), "{path}");
        }
        let scratch = vec![
            Op::PlaceBlob { source: crate::op::Source::Local { path: "x".into() }, path: "/tmp/x".into() },
            Op::Remove { path: "/tmp/x".into() },
        ];
        assert!(super::lost(&Step { ops: scratch, ..Step::default() }, true).is_empty());
    }
}
