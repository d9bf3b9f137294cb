//! What apt would install at the point where a task runs.

use super::{Result, Session};
use crate::build::foreign::{self, Need};
use crate::build::output::Lines;
use crate::event::{Event, Id};
use crate::lock::DebPin;
use crate::plan::{AptTask, LoweredLayer};

impl Session<'_> {
    /// Asks apt on top of everything so far for each of `tasks`, all of `layer`, in their order. What comes before the
    /// last of them in the layer is performed for it, with what was pinned on the way, and kept nowhere.
    pub fn closures(&mut self, layer: &LoweredLayer, tasks: &[AptTask]) -> Result<Vec<Vec<DebPin>>> {
        if let Some(need) = layer.steps.iter().find_map(Need::of) {
            foreign::ensure(self.resolver, || need)?;
        }
        let mut layer = [layer.clone()];
        let (mut next, mut closures) = (0, Vec::new());
        self.begin()?;
        let id = Id::next();
        for task in tasks {
            for step in next..task.step {
                self.step(&layer[0].steps[step].clone(), &layer[0].name, id)?;
            }
            let debs = self.closure(task, id)?;
            AptTask { layer: 0, ..task.clone() }.lock(&mut layer, &debs);
            closures.push(debs);
            next = task.step;
        }
        self.target()?.discard()?;
        Ok(closures)
    }

    fn closure(&mut self, task: &AptTask, id: Id) -> Result<Vec<DebPin>> {
        let reporter = self.resolver.reporter;
        reporter.event(Event::TaskStarted { layer: id, name: format!("what {} installs", task.key) });
        let mut lines = Lines::new(reporter, &self.lowered.secrets, id);
        let debs = self.target()?.closure(&task.packages, task.recommends, |piece| lines.take(&piece));
        lines.finish();
        reporter.event(Event::TaskEnded { layer: id });
        Ok(debs?)
    }
}
