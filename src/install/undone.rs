//! Who does its work anew undoes what later tasks made of it: these are done again, too.

use std::collections::{BTreeMap, BTreeSet};

use layers::root::Root;
use layers::store::Store;

use super::InstallError;
use super::decide::Decision;
use super::ledger::{Files, files, runs_commands};
use super::prepared::Prepared;
use super::seen::{Seen, What};
use super::state::{Ending, Left, Record, UNDONE, Wrote};
use crate::op::{Op, Secrets, Step};

impl Prepared<'_> {
    /// Marks the tasks after the one at `at`, which has just written `wrote`, that have made something else of these paths
    /// before: until they are done again, they count as undone, whatever happens to this run.
    pub fn undo(&mut self, store: &Store, at: usize, wrote: &Wrote) -> Result<(), InstallError> {
        let later = self.later(store, at)?;
        if later.is_empty() {
            return Ok(());
        }
        let mut undone: BTreeMap<usize, String> = BTreeMap::new();
        for (path, now) in files(store, wrote)? {
            let expected = later.iter().rev().find_map(|(_, paths)| paths.get(&path));
            if expected.is_none_or(|expected| expected.differences(&now).is_empty()) {
                continue;
            }
            for (to, _) in later.iter().filter(|(_, paths)| paths.contains_key(&path)) {
                undone.entry(*to).or_insert_with(|| path.clone());
            }
        }
        let name = self.name(at);
        for (to, path) in undone {
            if let Some(record) = &mut self.records[to] {
                record.outcome = Ending::Failed;
                record.why = format!("{UNDONE}{name} has made {path} anew");
            }
        }
        Ok(())
    }

    /// What is to be done with each task, as far as that can be known before any is: a command that always runs may well
    /// leave everything as it is.
    pub fn foreseen(&self, store: &Store, root: &Root) -> Result<Vec<Decision>, InstallError> {
        let mut undone: BTreeMap<usize, String> = BTreeMap::new();
        let mut all = Vec::new();
        for (at, step) in self.steps.iter().enumerate() {
            let mut decision = self.decide(at, root)?;
            if let (Decision::Skip(_), Some(why)) = (&decision, undone.remove(&at)) {
                decision = Decision::Run(Some(why));
            }
            let always = self.only.is_none() && step.guards.always_run && runs_commands(step);
            let later =
                if always || matches!(decision, Decision::Skip(_)) { Vec::new() } else { self.later(store, at)? };
            if !later.is_empty() {
                let paths = self.will_write(store, at)?;
                let shared = |others: &Files| {
                    let same = others.iter().find(|(path, seen)| is_content(seen) && paths.contains(*path));
                    same.map(|(path, _)| path.clone())
                };
                for (to, others) in later {
                    if let Some(path) = shared(&others) {
                        undone.entry(to).or_insert_with(|| format!("{} makes {path} anew", self.name(at)));
                    }
                }
            }
            all.push(decision);
        }
        Ok(all)
    }

    /// What tasks after the one at `at` are known to have written.
    fn later(&self, store: &Store, at: usize) -> Result<Vec<(usize, Files)>, InstallError> {
        let counts =
            |record: &&Record| record.wrote != Wrote::default() && matches!(record.left(), None | Some(Left::Undone));
        let mut found = Vec::new();
        for (to, record) in self.records.iter().enumerate().skip(at + 1) {
            if let Some(record) = record.as_ref().filter(counts) {
                found.push((to, files(store, &record.wrote)?));
            }
        }
        Ok(found)
    }

    /// Contents that the task at `at` is about to write: those that it names, or those that it wrote before.
    fn will_write(&self, store: &Store, at: usize) -> Result<BTreeSet<String>, InstallError> {
        let step = self.steps[at];
        let mut paths: BTreeSet<String> = named(step).map(str::to_owned).collect();
        let says_all = |op: &Op| {
            matches!(op, Op::MakeDir { .. } | Op::WriteFile { .. } | Op::PlaceBlob { .. } | Op::SetAttributes { .. })
        };
        if step.ops.iter().all(says_all) {
            return Ok(paths);
        }
        let name = self.name(at);
        let before = self.left.iter().filter(|record| record.name == name);
        for record in self.records[at].iter().chain(before) {
            let wrote = files(store, &record.wrote)?.into_iter();
            paths.extend(wrote.filter(|(_, seen)| is_content(seen)).map(|(path, _)| path));
        }
        Ok(paths)
    }

    /// The name of the task at `at`, as the state file has it.
    fn name(&self, at: usize) -> String {
        match &self.traces[at] {
            Some(trace) => trace.name.clone(),
            None => Secrets::as_written(&self.steps[at].name),
        }
    }
}

fn named(step: &Step) -> impl Iterator<Item = &str> {
    step.ops.iter().filter_map(|op| match op {
        Op::WriteFile { path, .. } | Op::PlaceBlob { path, .. } => Some(path.as_str()),
        _ => None,
    })
}

/// Directories are shared: whoever makes one again changes nothing in it.
fn is_content(seen: &Seen) -> bool {
    !matches!(seen.what, What::Directory)
}
