//! Which tasks put right what differs: those that put it there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use layers::root::Root;
use layers::store::Store;

use super::drift::{self, Finding, LISTING, Subject, Together, together};
use super::ledger::{Files, files};
use super::prepared::{CHANGED, PUT_BACK, Prepared};
use super::seen::Seen;
use super::state::{Left, NOT_REACHED, Record, State, StateFile};
use super::{InstallError, Options};
use crate::event::{Event, Reporter};

/// An error if something is to be repaired where nothing was installed.
pub fn possible(options: &Options<'_>, file: &StateFile, state: Option<&State>) -> Result<(), InstallError> {
    match state {
        None if options.repair => Err(InstallError::NothingInstalled { path: file.path().to_owned() }),
        _ => Ok(()),
    }
}

/// Finds out what differs, and has `prepared` run those tasks alone that put it right; these undo what later tasks made of
/// their work, which are done again as well. Gives what stays as it is, as the blueprint has no task for it.
pub fn plan(
    store: &Store,
    root: &Root,
    native: &str,
    prepared: &mut Prepared<'_>,
) -> Result<Vec<String>, InstallError> {
    let found = drift::differences(store, root, native, prepared.recorded())?.findings;
    let mut wrote: Vec<(usize, Files, BTreeSet<String>)> = Vec::new();
    for (at, record) in prepared.records.iter().enumerate() {
        let Some(record) = record.as_ref().filter(|record| record.left().is_none()) else { continue };
        let packages = record.wrote.packages.keys().cloned().collect();
        wrote.push((at, files(store, &record.wrote)?, packages));
    }
    let mut only: BTreeMap<usize, String> = BTreeMap::new();
    let mut stays: Vec<&Finding> = Vec::new();
    for finding in &found {
        let touches = |(at, paths, packages): &&(usize, Files, BTreeSet<String>)| match &finding.what {
            _ if finding.field == LISTING => prepared.records[*at].as_ref().is_some_and(|record| finding.is_by(record)),
            Subject::Path(path) => paths.contains_key(path),
            Subject::Package(name) => packages.contains(name),
        };
        let tasks: Vec<usize> = wrote.iter().filter(touches).map(|(at, ..)| *at).collect();
        for at in &tasks {
            let why = match finding.field {
                LISTING => {
                    "what it wrote is not known any more: this store (--store) does not have the list".to_owned()
                }
                field => format!("{} differs ({field})", finding.subject()),
            };
            let more = |why: &mut String| {
                if !why.ends_with(", …") {
                    *why += ", …";
                }
            };
            only.entry(*at).and_modify(more).or_insert(why);
        }
        if tasks.is_empty() {
            stays.push(finding);
        }
        match &finding.what {
            Subject::Path(path) => {
                if let Some(was) = wrote.iter().rev().find_map(|(_, paths, _)| paths.get(path)) {
                    let now = Seen::at(root, Path::new(path))?;
                    prepared.wrong.insert(path.clone(), (was.clone(), now));
                }
            }
            Subject::Package(name) if !tasks.is_empty() => {
                prepared.wrong_packages.insert(name.clone(), finding.was.clone());
            }
            Subject::Package(_) => {}
        }
    }
    // Of what was not done, nothing says how it should be.
    for (at, record) in prepared.records.iter().enumerate() {
        let why = match record.as_ref().and_then(Record::left) {
            Some(Left::Failed) => "it failed",
            Some(Left::NotReached) => NOT_REACHED,
            // That stands in the record.
            Some(Left::Undone) | None => continue,
        };
        only.entry(at).or_insert_with(|| why.to_owned());
    }
    for at in 0..prepared.steps.len() {
        let why = match &prepared.records[at] {
            None => CHANGED,
            Some(record) if record.left().is_none() => PUT_BACK,
            Some(_) => continue,
        };
        if prepared.failed_before(at) {
            only.entry(at).or_insert_with(|| why.to_owned());
        }
    }
    let stays = together(stays.into_iter()).iter().map(|findings| staying(findings, prepared)).collect();
    prepared.only = Some(only);
    Ok(stays)
}

/// What stays as it is, who has put it there, and why nobody does it again.
fn staying(findings: &Together<'_>, prepared: &Prepared<'_>) -> String {
    let first = findings.findings.first();
    let former = prepared.left.iter().find(|record| first.is_some_and(|finding| finding.is_by(record)));
    let changed = former.is_some_and(|former| prepared.traces.iter().flatten().any(|trace| trace.name == former.name));
    let why = match changed {
        _ if former.is_some_and(|former| prepared.is_left_out(former)) => "which its `exclude` leaves out now",
        true => "which has changed since: `alloy install` does it as it is now",
        false => "which the blueprint no longer has",
    };
    format!("{}, of {}, {why}", named(findings), findings.by())
}

fn named(findings: &Together<'_>) -> String {
    let first = findings.findings.first();
    let one = || first.map(|finding| format!("{} ({})", finding.subject(), finding.field));
    findings.several().or_else(one).unwrap_or_default()
}

/// Tells what is still not as it was, though its tasks ran, and what no task was there for: an error if something has
/// stayed as it was found.
pub fn tell(
    reporter: &Reporter,
    root: &Root,
    installed: &BTreeMap<String, String>,
    prepared: &Prepared<'_>,
    stays: Vec<String>,
) -> Result<(), InstallError> {
    let (mut left, mut other): (Vec<Finding>, Vec<Finding>) = (Vec::new(), Vec::new());
    for (path, (was, wrong)) in &prepared.wrong {
        let now = Seen::at(root, Path::new(path))?;
        let made = now.put_right(was, wrong);
        left.extend(Finding::all(root, path, &made, &now, ""));
        other.extend(Finding::all(root, path, was, &made, ""));
    }
    for findings in together(other.iter()) {
        let warning = format!("not as it was, as its task has made something else of it: {}", named(&findings));
        reporter.event(Event::Warning(warning));
    }
    let mut left: Vec<String> = together(left.iter()).iter().map(named).collect();
    for (package, was) in &prepared.wrong_packages {
        match installed.get(package) {
            None => left.push(format!("package {package} (not installed)")),
            Some(version) if version == was => {}
            Some(version) => {
                let warning = format!("package {package} is {version}, not {was}: its task is content with that");
                reporter.event(Event::Warning(warning));
            }
        }
    }
    if left.is_empty() && stays.is_empty() { Ok(()) } else { Err(InstallError::Left { paths: left, stays }) }
}
