//! Tasks that are not to be done.

use super::{Result, Run};
use crate::event::{Event, Id};
use crate::install::decide::Skipped;
use crate::install::former::Former;
use crate::install::state::{Ending, Record, Wrote};
use crate::op::Step;

impl Run<'_> {
    pub(super) fn skip(&mut self, at: usize, step: &Step, skipped: &Skipped, id: Id) -> Result<()> {
        match skipped {
            Skipped::Untouched { .. } => {}
            // That it is not done this time says nothing of it.
            Skipped::NeverDone => {
                let reason = skipped.reason();
                self.resolver.reporter().event(Event::TaskSkipped { layer: id, name: step.name.clone(), reason });
            }
            Skipped::Exists(_) | Skipped::Removed(_) | Skipped::Done(_) | Skipped::Guard(_) => {
                self.record_skipped(at, step, skipped, id)?;
            }
        }
        self.summary.skip(skipped);
        Ok(())
    }

    fn record_skipped(&mut self, at: usize, step: &Step, skipped: &Skipped, id: Id) -> Result<()> {
        let reason = self.prepared.lowered.secrets.mask(&skipped.reason());
        self.resolver.reporter().event(Event::TaskSkipped {
            layer: id,
            name: step.name.clone(),
            reason: reason.clone(),
        });
        // What was done stays so, whatever holds it back now.
        let done = |record: &Record| record.outcome == Ending::Done;
        if self.prepared.records[at].as_ref().is_some_and(done) || matches!(skipped, Skipped::Removed(_)) {
            return if self.unsaved { self.save() } else { Ok(()) };
        }
        // A task that was changed and is held back has left there what it did before.
        let name = &step.name;
        let is_its = |former: &&Former| former.of == Some(at) || former.of.is_none() && former.name == *name;
        let before = self.prepared.left.iter().filter(is_its).find(|former| done(former));
        let Some(before) = before.map(|former| former.record.clone()) else {
            return self.record(at, Ending::Skipped, reason, Wrote::default());
        };
        // It is still known as what it was when it did that.
        self.record(at, Ending::Skipped, reason, before.wrote.clone())?;
        let Record { fields, sources, variables, .. } = before;
        if let Some(record) = &mut self.prepared.records[at] {
            *record = Record { fields, sources, variables, ..record.clone() };
        }
        self.prepared.supersede(at, name);
        self.save()
    }
}
