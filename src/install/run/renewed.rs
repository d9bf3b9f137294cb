//! What is recorded of a clone that was made anew, or could not be.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{Result, Run};
use crate::event::{Event, listed, listed_paths};
use crate::install::state::{Ending, NOT_RENEWED, Record, Wrote};
use crate::install::{clones, ledger};
use crate::op::Step;
use crate::target::host::{How, Renew, kept_beside};

/// Names that a message has.
const SHOWN: usize = 3;

impl Run<'_> {
    /// What follows from a clone that the task `at` has made anew, or has put right; `standing` is its record.
    pub(super) fn renewed(&mut self, at: usize, renew: &Renew, standing: Option<&Record>) -> Result<()> {
        let store = self.resolver.store;
        match &renew.how {
            How::Whole { kept, .. } => {
                let mut others = kept_beside(self.host.files(), &renew.place);
                others.retain(|other| other != kept);
                let (place, kept) = (renew.place.display(), kept.display());
                let further = match others.as_slice() {
                    [] => String::new(),
                    others => format!("; from before there is {}", listed_paths(others, SHOWN)),
                };
                self.resolver.reporter().event(Event::Warning(format!(
                    "{place} is a new clone; the earlier one is {kept}, with all that was in it: delete it when nobody \
                     misses anything{further}"
                )));
                let naming = self.prepared.naming(store, at, &renew.place)?;
                if !naming.is_empty() {
                    let naming = self.prepared.lowered.secrets.mask(&listed(&naming, SHOWN));
                    self.resolver.reporter().event(Event::Warning(format!(
                        "what commands of {naming} have made in {place} is in the earlier clone alone: a task that has \
                         `creates` there, or `always_run`, is done again"
                    )));
                }
                for record in std::mem::take(&mut self.prepared.left) {
                    // The one that says so of the earlier one, whatever the task was called then.
                    if !clones::has_made(&ledger::files(store, &record.wrote)?, &renew.place, &record) {
                        self.prepared.left.push(record);
                    }
                }
                self.prepared.undo_below(store, self.host.files(), at, &renew.place)
            }
            How::Files { files: put_back, .. } => {
                // It is as it was recorded again; what else is in it is nobody's news.
                let Some(wrote) = standing.map(|record| record.wrote.clone()) else { return Ok(()) };
                let put_back: BTreeSet<PathBuf> = put_back.iter().map(|path| renew.place.join(path)).collect();
                let mut files = ledger::files(store, &wrote)?;
                files.retain(|path, _| put_back.contains(Path::new(path)));
                self.prepared.undo(store, at, &Wrote { files, ..Wrote::default() })?;
                self.record(at, Ending::Done, String::new(), wrote)
            }
        }
    }

    /// Says what stands beside a directory that was cloned into as if for the first time: a run that was cut off may have
    /// left it there.
    pub(super) fn tell_of_earlier(&self, step: &Step) {
        for place in clones::places(step) {
            let earlier = kept_beside(self.host.files(), &place);
            if !earlier.is_empty() {
                let (place, earlier) = (place.display(), listed_paths(&earlier, SHOWN));
                let note = format!("{place} is a new clone; earlier ones are {earlier}, with all that was in them");
                self.resolver.reporter().event(Event::Warning(note));
            }
        }
    }

    /// Records that the clone of the task `at`, of which there is this record, stays as it is. One of an earlier revision
    /// has a record of its own.
    pub(super) fn stays(&mut self, at: usize, standing: Option<Record>, why: String) -> Result<()> {
        match standing.filter(|record| record.outcome != Ending::Failed) {
            Some(record) => {
                self.prepared.records[at] = Some(record);
                self.save()
            }
            None => self.record(at, Ending::Failed, format!("{NOT_RENEWED}{why}"), Wrote::default()),
        }
    }
}
