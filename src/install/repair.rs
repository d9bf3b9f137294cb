//! Which tasks put right what differs: those that put it there, and those that built on their work.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use layers::root::Root;
use layers::store::Store;

use super::drift::{self, Finding, Subject};
use super::ledger::{Files, files};
use super::prepared::Prepared;
use super::seen::Seen;
use super::state::{Ending, NOT_REACHED, Record, State, StateFile};
use super::{InstallError, Options};
use crate::event::{Event, Reporter};

/// A path or package that differs.
pub struct Wrong {
    finding: Finding,
    /// A task of the blueprint can put it right.
    has_task: bool,
}

impl Wrong {
    /// What differs and who has put it there, if no task can put it right.
    pub fn without_task(&self) -> Option<(String, &str)> {
        (!self.has_task).then(|| (self.finding.subject(), self.finding.by.as_str()))
    }
}

/// An error if something is to be repaired where nothing was installed.
pub fn possible(options: &Options<'_>, file: &StateFile, state: Option<&State>) -> Result<(), InstallError> {
    match state {
        None if options.repair => Err(InstallError::NothingInstalled { path: file.path().to_owned() }),
        _ => Ok(()),
    }
}

/// Finds out what differs, and has `prepared` run those tasks alone that put it right.
pub fn plan(store: &Store, root: &Root, native: &str, prepared: &mut Prepared<'_>) -> Result<Vec<Wrong>, InstallError> {
    let known: Vec<&Record> = prepared.records.iter().flatten().chain(&prepared.left).collect();
    let found = drift::differences(store, root, native, known.into_iter())?.findings;
    let done = |record: &&Record| record.outcome != Ending::Failed;
    let mut wrote: Vec<(usize, Files, BTreeSet<String>)> = Vec::new();
    for (at, record) in prepared.records.iter().enumerate() {
        let Some(record) = record.as_ref().filter(done) else { continue };
        let packages = record.wrote.packages.keys().cloned().collect();
        wrote.push((at, files(store, &record.wrote)?, packages));
    }
    let mut only: BTreeMap<usize, String> = BTreeMap::new();
    let mut wrong = Vec::new();
    for finding in found {
        let touches = |(_, paths, packages): &&(usize, Files, BTreeSet<String>)| match &finding.what {
            Subject::Path(path) => paths.contains_key(path),
            Subject::Package(name) => packages.contains(name),
        };
        let tasks: Vec<usize> = wrote.iter().filter(touches).map(|(at, ..)| *at).collect();
        for at in &tasks {
            let why = format!("{} differs ({})", finding.subject(), finding.field);
            let more = |why: &mut String| {
                if !why.ends_with(", …") {
                    *why += ", …";
                }
            };
            only.entry(*at).and_modify(more).or_insert(why);
        }
        let was = match &finding.what {
            Subject::Path(path) => wrote.iter().rev().find_map(|(_, paths, _)| paths.get(path)).cloned(),
            Subject::Package(_) => None,
        };
        if let (Subject::Path(path), Some(was)) = (&finding.what, &was) {
            let now = Seen::at(root, Path::new(path))?;
            prepared.wrong.insert(path.clone(), (was.clone(), now));
        }
        wrong.push(Wrong { finding, has_task: !tasks.is_empty() });
    }
    // Of what was not done, nothing says how it should be.
    for (at, record) in prepared.records.iter().enumerate() {
        if let Some(record) = record.as_ref().filter(|record| record.outcome == Ending::Failed) {
            let why = if record.is_unreached() { NOT_REACHED } else { "it failed" };
            only.entry(at).or_insert_with(|| why.to_owned());
        }
    }
    // Who writes a file anew undoes what later tasks made of it.
    for (place, (at, paths, _)) in wrote.iter().enumerate() {
        let Some(first) = only.contains_key(at).then_some(paths) else { continue };
        for (later, others, _) in &wrote[place + 1..] {
            if let Some(path) = others.keys().find(|path| is_content(&others[*path]) && first.contains_key(*path)) {
                only.entry(*later).or_insert_with(|| format!("{path} is made anew by an earlier task"));
            }
        }
    }
    prepared.only = Some(only);
    Ok(wrong)
}

/// Directories are shared: whoever makes one again changes nothing in it.
fn is_content(seen: &Seen) -> bool {
    !matches!(seen.what, super::seen::What::Directory)
}

/// Tells what is still not as it was, though its tasks ran: an error if they have left it so.
pub fn tell(reporter: &Reporter, root: &Root, prepared: &Prepared<'_>) -> Result<(), InstallError> {
    let mut left = Vec::new();
    for (path, (was, wrong)) in &prepared.wrong {
        let now = was.now(root, Path::new(path))?;
        let differences = was.differences(&now);
        let Some((field, ..)) = differences.first() else { continue };
        if Seen::at(root, Path::new(path))? == *wrong {
            left.push(format!("{path} ({field})"));
        } else {
            let warning = format!("{path} is not as it was: its task has made something else of it ({field})");
            reporter.event(Event::Warning(warning));
        }
    }
    if left.is_empty() { Ok(()) } else { Err(InstallError::Left { paths: left }) }
}
