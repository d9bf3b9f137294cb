//! Paths whose last writer is another task by now: the one that came later was taken out, or the two were exchanged.

use std::collections::BTreeMap;

use layers::root::Root;
use layers::store::Store;

use super::InstallError;
use super::ledger::{files, relative, runs_commands};
use super::prepared::Prepared;
use super::seen::{Seen, What};
use super::state::{Ending, Record, UNDONE};
use super::undone::says_all;
use crate::event::{Event, Reporter};

/// Paths, the one of a sequence of tasks that has written each last, and what it has left there.
fn last_writers<'r>(
    store: &Store,
    records: impl Iterator<Item = (usize, &'r Record)>,
) -> Result<BTreeMap<String, (usize, Seen)>, InstallError> {
    let mut found = BTreeMap::new();
    for (at, record) in records.filter(|(_, record)| record.outcome != Ending::Failed) {
        found.extend(files(store, &record.wrote)?.into_iter().map(|(path, seen)| (path, (at, seen))));
    }
    Ok(found)
}

impl Prepared<'_> {
    /// Has those tasks done again whose paths are as a task has left them that no longer comes after them. What a command
    /// has made is not made again unasked, as it may take hours: that is told.
    pub fn undo_reordered(&mut self, store: &Store, root: &Root, reporter: &Reporter) -> Result<(), InstallError> {
        let place = |record: &Record| self.were.iter().position(|other| other == record);
        let places: Vec<Option<usize>> = self.records.iter().map(|record| record.as_ref().and_then(place)).collect();
        if self.anew || (self.left.is_empty() && places.iter().flatten().is_sorted()) {
            return Ok(());
        }
        let before = last_writers(store, self.were.iter().enumerate())?;
        let records = self.records.iter().enumerate();
        let after = last_writers(store, records.filter_map(|(at, record)| Some((at, record.as_ref()?))))?;
        for (path, (at, wanted)) in after {
            let Some((by, left)) = before.get(&path).filter(|(by, _)| places[at] != Some(*by)) else { continue };
            let by = &self.were[*by];
            let is_as_left = || left.now(root, &relative(&path)).map(|now| left.differences(&now).is_empty());
            // What a later task removed is looked at where its makers are.
            if left.what == What::Absent
                || wanted.differences(left).is_empty()
                || self.is_written_after(at, &path, by)
                || !is_as_left()?
            {
                continue;
            }
            let (by, name) = (by.name.clone(), self.name(at));
            if says_all(self.steps[at]) {
                if let Some(record) = &mut self.records[at] {
                    record.outcome = Ending::Failed;
                    record.why = format!("{UNDONE}{by} made something else of {path}, and no longer comes after it");
                }
            } else if !self.steps[at].guards.always_run {
                reporter.event(Event::Warning(format!(
                    "{path} stays as {by} has left it, which no longer comes after {name}: `alloy install --repair` has \
                     {name} done again"
                )));
            }
        }
        Ok(())
    }

    /// True if `by`, which was changed or is left out now, still comes after the task at `at`, and may well write `path`.
    fn is_written_after(&self, at: usize, path: &str, by: &Record) -> bool {
        let writes = |now: usize| runs_commands(self.steps[now]) || self.writes(now).iter().any(|other| other == path);
        let mut formers = self.left.iter().filter(|former| former.record == *by);
        formers.any(|former| self.is_left_out(former) || former.of.is_some_and(|now| now > at && writes(now)))
    }
}
