//! Who does its work anew undoes what later tasks made of it: these are done again, too.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use layers::root::Root;
use layers::store::Store;

use super::InstallError;
use super::decide::Decision;
use super::former::{Former, PLACES};
use super::ledger::{Files, differing, files, runs_commands};
use super::prepared::Prepared;
use super::seen::{Seen, What};
use super::state::{CUT_OFF, Ending, Left, Record, UNDONE, Wrote};
use crate::op::{Op, Secrets, Source, Step};
use crate::resolve::{Member, members};
use crate::target::in_root;

/// Begins what is said of a task that failed, and that the blueprint has no more: what follows from that is known.
const FOLLOWED: &str = "the blueprint has it no more: ";

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

    /// The same of what later tasks have put into the directory `place`, which the one at `at` has made anew.
    pub fn undo_below(&mut self, store: &Store, root: &Root, at: usize, place: &Path) -> Result<(), InstallError> {
        let name = self.name(at);
        for (to, paths) in self.later(store, at)? {
            for (path, seen) in paths.iter().filter(|(path, _)| Path::new(path).starts_with(place)) {
                if !seen.differences(&seen.now(root, &in_root(Path::new(path)))?).is_empty() {
                    if let Some(record) = &mut self.records[to] {
                        record.outcome = Ending::Failed;
                        record.why = format!("{UNDONE}{name} has made {} anew", place.display());
                    }
                    break;
                }
            }
        }
        Ok(())
    }

    /// The same where a task did not get through and the blueprint has it no more: what of its files is not as it was, the
    /// tasks that had written there do again.
    pub fn undo_forsaken(&mut self, store: &Store, root: &Root) -> Result<(), InstallError> {
        let is_followed = |former: &Former| former.why.starts_with(FOLLOWED);
        let forsaken = |former: &Former| {
            former.failed().is_some() && former.of.is_none() && !is_followed(former) && !self.is_left_out(former)
        };
        let forsaken: Vec<bool> = self.left.iter().map(forsaken).collect();
        let gone = self.left.iter().zip(&forsaken).filter(|(_, forsaken)| **forsaken);
        let gone: Vec<Record> = gone.map(|(former, _)| former.record.clone()).collect();
        if gone.is_empty() || self.anew {
            return Ok(());
        }
        let differing = differing(store, root, self.records.iter().flatten())?;
        for record in gone {
            let former = self.left.iter().filter(|other| other.name == record.name).map(|former| &former.record);
            let reach = reach(store, former)?;
            let paths: Vec<&String> = differing.iter().filter(|path| is_within(path, &reach)).collect();
            for known in self.records.iter_mut().flatten().filter(|known| known.left().is_none()) {
                let wrote = files(store, &known.wrote)?;
                if let Some(path) = paths.iter().find(|path| wrote.contains_key(**path)) {
                    known.outcome = Ending::Failed;
                    known.why = format!("{UNDONE}{} had begun, and {path} is not as it was", record.name);
                }
            }
        }
        // What follows from them is known now: what somebody does later is theirs.
        for (former, _) in self.left.iter_mut().zip(forsaken).filter(|(_, forsaken)| *forsaken) {
            former.record.why.insert_str(0, FOLLOWED);
        }
        self.forgotten = true;
        Ok(())
    }

    /// True if the task at `at` was begun before, and did not get through: what it did then is its work, too.
    pub fn is_again(&self, at: usize) -> bool {
        let earlier = self.records[at].as_ref();
        let tried = earlier.is_some_and(|record| record.left() == Some(Left::Failed) || record.is_tried_again());
        !self.anew && (tried || self.failed_before(at))
    }

    /// True if the task at `at` did not live to see its end: what it did then was not recorded.
    pub fn was_cut_off(&self, at: usize) -> bool {
        let former = self.formerly(at).map(|former| &former.record);
        self.records[at].iter().chain(former).any(|record| record.why.ends_with(CUT_OFF))
    }

    /// Paths that are as the task at `at` had left them when it failed.
    pub fn begun(&self, store: &Store, root: &Root, at: usize) -> Result<Vec<String>, InstallError> {
        let former = self.formerly(at).map(|former| &former.record);
        let tried = |record: &&Record| record.left() == Some(Left::Failed) || record.is_tried_again();
        let mut found = Vec::new();
        for record in self.records[at].iter().chain(former).filter(tried) {
            for (path, seen) in files(store, &record.wrote)? {
                if seen.differences(&seen.now(root, &in_root(Path::new(&path)))?).is_empty() {
                    found.push(path);
                }
            }
        }
        Ok(found)
    }

    /// Paths that are not as tasks have left them, and that the one at `at` may have written when it did not get through.
    pub fn left_there(&self, store: &Store, root: &Root, at: usize) -> Result<Vec<String>, InstallError> {
        let mut paths = differing(store, root, self.records.iter().flatten())?;
        if !runs_commands(self.steps[at]) && !paths.is_empty() {
            let former = self.formerly(at).map(|former| &former.record);
            let mut reach = reach(store, self.records[at].iter().chain(former))?;
            reach.extend(self.writes(at));
            paths.retain(|path| is_within(path, &reach));
        }
        Ok(paths)
    }

    /// True if the task at `at` is about to write what later tasks have written since.
    pub fn will_undo(&self, store: &Store, root: &Root, at: usize) -> Result<bool, InstallError> {
        let later = self.later(store, at)?;
        Ok(!later.is_empty() && {
            let paths = self.will_write(store, root, at)?;
            later.iter().any(|(_, others)| others.iter().any(|(path, seen)| is_content(seen) && paths.contains(path)))
        })
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
                let paths = self.will_write(store, root, at)?;
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
    fn will_write(&self, store: &Store, root: &Root, at: usize) -> Result<BTreeSet<String>, InstallError> {
        let step = self.steps[at];
        let mut paths: BTreeSet<String> = self.writes(at).into_iter().collect();
        if self.is_again(at) {
            paths.extend(self.left_there(store, root, at)?);
        }
        if says_all(step) {
            return Ok(paths);
        }
        let name = self.name(at);
        let before = self.left.iter().filter(|former| former.name == name).map(|former| &former.record);
        for record in self.records[at].iter().chain(before) {
            let wrote = files(store, &record.wrote)?.into_iter();
            paths.extend(wrote.filter(|(_, seen)| is_content(seen)).map(|(path, _)| path));
        }
        Ok(paths)
    }

    /// Contents that the task at `at` says that it writes.
    pub(super) fn writes(&self, at: usize) -> Vec<String> {
        let step = self.steps[at];
        let mut paths: Vec<String> = named(step).map(str::to_owned).collect();
        for op in &step.ops {
            if let Op::Copy { source: Source::Tree { path, excludes }, dest, into } = op {
                paths.extend(copied(self.directory, path, excludes, dest, *into));
            }
        }
        paths
    }

    /// The name of the task at `at`, as the state file has it.
    pub(super) fn name(&self, at: usize) -> String {
        match &self.traces[at] {
            Some(trace) => trace.name.clone(),
            None => Secrets::as_written(&self.steps[at].name),
        }
    }
}

/// True if the fields of `step` name all that it writes.
pub(super) fn says_all(step: &Step) -> bool {
    step.ops.iter().all(|op| {
        matches!(
            op,
            Op::MakeDir { .. }
                | Op::WriteFile { .. }
                | Op::PlaceBlob { .. }
                | Op::Copy { .. }
                | Op::SetAttributes { .. }
        )
    })
}

fn named(step: &Step) -> impl Iterator<Item = &str> {
    step.ops.iter().filter_map(|op| match op {
        Op::WriteFile { path, .. } | Op::PlaceBlob { path, .. } => Some(path.as_str()),
        _ => None,
    })
}

/// Files and links that a copy makes; none where its source cannot be read, as the task then fails before it writes.
fn copied(directory: &Path, source: &str, excludes: &[String], dest: &str, into: bool) -> Vec<String> {
    let dest = Path::new(dest);
    let name = source.rsplit('/').next().unwrap_or_default();
    let members = members(directory, source, excludes).unwrap_or_default().into_iter();
    let made = members.filter(|(_, member)| *member != Member::Directory).map(|(inside, _)| {
        match (inside.as_os_str().is_empty(), into) {
            (true, true) => dest.join(name),
            (true, false) => dest.to_owned(),
            (false, _) => dest.join(inside),
        }
    });
    made.filter_map(|path| path.into_os_string().into_string().ok()).collect()
}

/// Where tasks wrote, and where their fields say that they do: files, and directories with all below them.
fn reach<'r>(store: &Store, records: impl Iterator<Item = &'r Record>) -> Result<Vec<String>, InstallError> {
    let mut reach = Vec::new();
    for record in records {
        reach.extend(
            files(store, &record.wrote)?.into_iter().filter(|(_, seen)| is_content(seen)).map(|(path, _)| path),
        );
        let fields = PLACES.iter().filter_map(|field| record.fields[*field].as_str());
        reach.extend(fields.map(|place| place.trim_end_matches('/').to_owned()).filter(|place| !place.is_empty()));
    }
    Ok(reach)
}

fn is_within(path: &str, reach: &[String]) -> bool {
    reach.iter().any(|place| Path::new(path).starts_with(place))
}

/// Directories are shared: whoever makes one again changes nothing in it.
fn is_content(seen: &Seen) -> bool {
    !matches!(seen.what, What::Directory | What::Repository(_))
}
