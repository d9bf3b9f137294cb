//! What tasks write where no image has anything.

use std::path::PathBuf;

use super::{Maker, Result};
use crate::event::{Event, listed_paths};
use crate::plan::PlannedLayer;

/// Names that are shown of what a task has left behind.
const SHOWN: usize = 3;

impl Maker<'_> {
    /// Says what tasks have written that no image will have, and what the commands of tasks have left there.
    pub(super) fn tell_lost(&mut self, planned: &PlannedLayer) -> Result<()> {
        let left = self.stack.target()?.left()?;
        for (task, lost) in left.lost {
            let paths = listed_paths(&lost, SHOWN);
            let warning = format!(
                "{}: {task}: what is written to {paths} is in no image: that is made anew wherever one runs, or is a cache",
                planned.name
            );
            self.build.resolver.reporter().event(Event::Warning(self.build.lowered.secrets.mask(&warning)));
        }
        for (task, left) in left.passing {
            let told = self.build.lowered.secrets.mask(&format!("{}: {task}: {}", planned.name, told_of(&left)));
            // Most of what commands leave in /tmp is rubbish.
            let is_command = planned.steps.iter().any(|step| step.runs_programs() && task == step.placed());
            let only_rubbish = is_command && left.iter().all(|path| path.starts_with("/tmp"));
            self.build.resolver.reporter().event(if only_rubbish { Event::Note(told) } else { Event::Warning(told) });
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
    fn what_was_left_is_named() {
        let paths = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        let told = told_of(&paths(&["/run/a", "/tmp/b", "/tmp/c", "/tmp/d"]));
        assert!(told.starts_with("it has left /run/a, /tmp/b, /tmp/c and 1 more, which "), "{told}");
        assert!(told.ends_with(" when it starts"), "{told}");
        assert!(!told_of(&paths(&["/tmp/b"])).contains("/run"));
    }
}
