//! What is recorded of a clone that was made anew, or could not be.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{Result, Run};
use crate::event::Event;
use crate::install::state::{Ending, NOT_RENEWED, Record, Wrote};
use crate::install::{clones, ledger};
use crate::target::host::{How, Renew};

impl Run<'_> {
    /// What follows from a clone that the task `at` has made anew, or has put right; `standing` is its record.
    pub(super) fn renewed(&mut self, at: usize, renew: &Renew, standing: Option<&Record>) -> Result<()> {
        let store = self.resolver.store;
        match &renew.how {
            // It was what is wanted already.
            How::Whole { kept, .. } if self.host.files().metadata(kept).is_err() => Ok(()),
            How::Whole { kept, .. } => {
                let (place, kept) = (renew.place.display(), kept.display());
                self.resolver.reporter.event(Event::Warning(format!(
                    "{place} is a new clone; the earlier one is {kept}, with all that was in it: delete it when nobody \
                     misses anything"
                )));
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

    /// Records that the clone of the task `at`, of which there is this record, stays as it is. One of an earlier revision
    /// has a record of its own.
    pub(super) fn stays(&mut self, at: usize, standing: Option<Record>, why: String) -> Result<()> {
        match standing.filter(|record| record.outcome == Ending::Done) {
            Some(record) => {
                self.prepared.records[at] = Some(record);
                self.save()
            }
            None => self.record(at, Ending::Failed, format!("{NOT_RENEWED}{why}"), Wrote::default()),
        }
    }
}
