//! What tasks write where no image has anything.

use std::path::{Path, PathBuf};

use layers::diff::ExcludeSet;

use super::{Result, Session};
use crate::event::{Event, listed_paths};
use crate::op::{Op, Step};
use crate::plan::PlannedLayer;

/// Where later tasks of a layer find what earlier ones have put there: what is left in the end is looked at.
const PASSING: [&str; 2] = ["run", "tmp"];

/// Paths that the files of `step` are for and that will be in no image.
pub(super) fn lost(step: &Step) -> Vec<&str> {
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
        left_out && !PASSING.iter().any(|place| path.starts_with(place))
    };
    // What is made of it is another path's.
    let removed = |path: &str| step.ops.iter().any(|op| matches!(op, Op::Remove { path: gone } if gone == path));
    written.filter(is_lost).filter(|path| !removed(path)).collect()
}

/// Names that are shown of what a task has left behind.
const SHOWN: usize = 3;

impl Session<'_> {
    /// Says what tasks have written that no image will have, and what the commands of tasks have left there.
    pub(super) fn tell_lost(&mut self, planned: &PlannedLayer) -> Result<()> {
        for step in &planned.steps {
            for path in lost(step) {
                let warning = format!(
                    "{}: {} ({}:{}): what is written to {path} is in no image: that place is made anew wherever one runs",
                    planned.name, step.name, step.file, step.line
                );
                self.resolver.reporter.event(Event::Warning(self.lowered.secrets.mask(&warning)));
            }
        }
        for (task, left) in self.target()?.left()? {
            let told = self.lowered.secrets.mask(&format!("{}: {task}: {}", planned.name, told_of(&left)));
            // Most of what commands leave in /tmp is rubbish.
            let is_command = planned.steps.iter().any(|step| step.runs_programs() && task == step.placed());
            let only_rubbish = is_command && left.iter().all(|path| path.starts_with("/tmp"));
            self.resolver.reporter.event(if only_rubbish { Event::Note(told) } else { Event::Warning(told) });
        }
        Ok(())
    }
}

fn told_of(left: &[PathBuf]) -> String {
    let run = if left.iter().any(|path| path.starts_with("/run")) {
        ": what a task writes there without a program is kept, as a task that is nothing but `mkdir -p /run/NAME`; what else it \
         needs there, a container makes when it starts"
    } else {
        ""
    };
    format!("it has left {}, which no later task file and no image has{run}", listed_paths(left, SHOWN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_that_no_image_has() {
        let lost = |path: &str| {
            let ops = vec![Op::WriteFile { path: path.into(), content: Vec::new() }];
            !lost(&Step { ops, ..Step::default() }).is_empty()
        };
        for path in ["/dev/x", "/proc/x", "/etc/hosts", "/etc/resolv.conf", "/var/cache/apt/x", "/dev"] {
            assert!(lost(path), "{path}");
        }
        for path in ["/etc/hosts.allow", "/srv/x", "/etc", "/var/cache", "/", "/tmp/x", "/run/x"] {
            assert!(!lost(path), "{path}");
        }
        let scratch = vec![
            Op::PlaceBlob { source: crate::op::Source::Local { path: "x".into() }, path: "/var/cache/apt/x".into() },
            Op::Remove { path: "/var/cache/apt/x".into() },
        ];
        assert!(super::lost(&Step { ops: scratch, ..Step::default() }).is_empty());
    }

    #[test]
    fn what_was_left_is_named() {
        let paths = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        let told = told_of(&paths(&["/run/a", "/tmp/b", "/tmp/c", "/tmp/d"]));
        assert!(told.starts_with("it has left /run/a, /tmp/b, /tmp/c and 1 more, which "), "{told}");
        assert!(told.ends_with(" when it starts"), "{told}");
        assert!(!told_of(&paths(&["/tmp/b"])).contains("/run"));
    }
}
