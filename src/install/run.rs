//! The tasks, one after the other, and what is recorded of each.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use layers::root::Root;

use super::decide::{Decision, Skipped};
use super::fetches::Fetches;
use super::ledger::{Known, Ledger, runs_commands};
use super::prepared::Prepared;
use super::renewal::Renewal;
use super::state::{CUT_OFF, Ending, Left, NOT_CREATED, NOT_REACHED, Record, State, StateError, StateFile, Wrote};
use super::{InstallError, Summary, clones, languages, made, repair};
use crate::build::{Performing, TaskFailure, Why, git_advice};
use crate::event::{Event, Id};
use crate::op::{Op, Pinned, Step};
use crate::resolve::Resolver;
use crate::sandbox::{SandboxError, ending};
use crate::target::TargetError;
use crate::target::host::{Host, How, Packages, Verdict};
use crate::target::request::Outcome;

mod renewed;
mod skipped;

type Result<T> = std::result::Result<T, InstallError>;

/// What there is to do about packages that the lockfile names, and that this host does not take.
fn pinned_advice(step: &Step, base: &str) -> Option<String> {
    let pinned = step.wanted.as_ref().is_some_and(|wanted| wanted.locked != Pinned::No);
    pinned.then(|| {
        format!(
            "alloy.lock.yml pins what this task installs, as it was found on the base {base}: where this host is of \
             another distribution, give the blueprint a base of that one, and pin it anew: alloy lock"
        )
    })
}

/// Where an installation is recorded, and what the record says besides its tasks.
pub struct Recorder {
    /// The state file.
    pub file: StateFile,
    /// Of which blueprint it is, and of which host.
    pub state: State,
}

impl Recorder {
    fn save(&mut self, tasks: Vec<Record>) -> std::result::Result<(), StateError> {
        self.state.tasks = tasks;
        self.file.save(&self.state)
    }
}

/// An installation at work.
pub struct Run<'a> {
    resolver: &'a Resolver<'a>,
    prepared: Prepared<'a>,
    host: Host,
    fetches: Fetches<'a>,
    ledger: Ledger<'a>,
    recorder: Recorder,
    summary: Summary,
    /// The state file does not say yet what is known.
    unsaved: bool,
    /// What a task that is done anew had put there before: it is alloy's, until the task has put something else there.
    standing: Wrote,
}

impl<'a> Run<'a> {
    /// An installation that has done nothing yet.
    pub fn new(
        resolver: &'a Resolver<'a>,
        prepared: Prepared<'a>,
        host: Host,
        fetches: Fetches<'a>,
        recorder: Recorder,
    ) -> Self {
        let ledger = Ledger::new(resolver.store, resolver.platform.debian_arch(), &prepared.lowered.secrets);
        let (summary, standing) = (Summary::default(), Wrote::default());
        Self { resolver, prepared, host, fetches, ledger, recorder, summary, unsaved: false, standing }
    }

    /// Does what is to be done, up to the first failure.
    pub fn all(&mut self) -> Summary {
        let started = Instant::now();
        self.summary.failure = self.layers().and_then(|()| self.finish()).err();
        let reached = self.summary.done + self.summary.failed + self.summary.skipped.values().sum::<usize>();
        self.summary.left = self.prepared.steps.len() - reached;
        self.summary.took = started.elapsed();
        std::mem::take(&mut self.summary)
    }

    /// An error if something was to be put right, and was not.
    pub fn repaired(&self, stays: Vec<String>) -> Result<()> {
        let installed = Packages::default().read(self.host.files(), self.resolver.platform.debian_arch()).clone();
        repair::tell(self.resolver.reporter(), self.host.files(), &installed, &self.prepared, stays)
    }

    fn layers(&mut self) -> Result<()> {
        let pending = self.prepared.pending(self.resolver.store, self.host.files())?;
        if pending.contains(&true) {
            // Wherever this ends, what was not reached is known.
            for (at, _) in pending.iter().enumerate().filter(|(_, pending)| **pending) {
                if let (None, Some(trace)) = (&self.prepared.records[at], &self.prepared.traces[at]) {
                    let record = Record::new(trace, Ending::Failed, NOT_REACHED.to_owned(), Wrote::default());
                    self.prepared.records[at] = Some(record);
                }
            }
            // What cannot be recorded is not begun.
            self.save()?;
        }
        let count = self.prepared.lowered.layers.len();
        let mut at = 0;
        for (index, layer) in self.prepared.lowered.layers.iter().enumerate() {
            let (id, before) = (Id::next(), self.summary.done);
            self.resolver.reporter().event(Event::LayerStarted {
                id,
                name: layer.name.clone(),
                index: index + 1,
                count,
            });
            let ended = layer.steps.iter().try_for_each(|step| {
                at += 1;
                self.task(at - 1, step, &layer.name, id)
            });
            let outcome = match &ended {
                Err(_) => "failed",
                Ok(()) if self.summary.done > before => "done",
                Ok(()) => "nothing to do",
            };
            self.resolver.reporter().event(Event::LayerEnded { id, outcome, size: None });
            ended?;
        }
        Ok(())
    }

    fn task(&mut self, at: usize, step: &Step, layer: &str, id: Id) -> Result<()> {
        if ending() {
            return Err(InstallError::Interrupted { task: None });
        }
        let ended = match self.prepared.decide(at, self.host.files())? {
            Decision::Skip(skipped) => self.skip(at, step, &skipped, id),
            Decision::Run(reason) => {
                if let Some(reason) = reason.filter(|_| !step.guards.always_run) {
                    self.resolver.reporter().event(Event::Note(format!("{} runs: {reason}", self.shown(step))));
                }
                let performing = Performing::begin(self.resolver, &self.prepared.lowered.secrets, step, id);
                self.perform(at, step, (layer, id), performing)
            }
        };
        // Whatever failed, it is this task that did not get through.
        self.summary.failed += usize::from(ended.is_err());
        ended
    }

    fn shown(&self, step: &Step) -> String {
        self.prepared.lowered.secrets.mask(&step.name)
    }

    fn perform(&mut self, at: usize, step: &Step, (layer, id): (&str, Id), performing: Performing<'_>) -> Result<()> {
        let standing = self.prepared.records[at].clone();
        self.standing = standing.as_ref().map(|record| record.wrote.clone()).unwrap_or_default();
        let (files, _copies) = match self.fetches.files(step) {
            Ok(files) => files,
            Err(error) => {
                self.record(at, Ending::Failed, error.to_string(), Wrote::default())?;
                let (task, file, line) = (self.shown(step), step.file.clone(), step.line);
                return Err(InstallError::Download { task, file, line, error });
            }
        };
        self.host.remember(self.prepared.made(self.resolver.store, at)?);
        let directories = self.prepared.directories(self.resolver.store, at, standing.as_ref())?;
        let renewal = self.prepared.renewal(self.resolver.store, self.host.files(), at, standing.as_ref())?;
        if self.prepared.anew {
            self.prepared.records[at] = None;
        }
        let earlier = self.prepared.records[at].clone();
        let left = earlier.as_ref().and_then(Record::left);
        let (again, cut_off) = (self.prepared.is_again(at), self.prepared.was_cut_off(at));
        let records = self.prepared.records.iter().flatten();
        let mut before = self.ledger.before(self.host.files(), step, records, again && cut_off)?;
        if again && !runs_commands(step) {
            before.count_all(&self.prepared.left_there(self.resolver.store, self.host.files(), at)?);
        } else if again && !cut_off {
            before.count_all(&self.prepared.begun(self.resolver.store, self.host.files(), at)?);
        }
        let undone = earlier.as_ref().filter(|_| left == Some(Left::Undone));
        if let Some(record) = undone {
            let others = self.prepared.records[..at].iter().flatten();
            before.count(self.ledger.undone(self.host.files(), &record.wrote, others)?);
        }
        let failed = earlier.as_ref().and_then(Record::failed).is_some() || self.prepared.failed_before(at);
        let creates_says = undone.is_none() && !failed && self.prepared.only.is_none();
        // What later tasks made of its files is lost from now on, however this ends.
        let undoes = || self.prepared.will_undo(self.resolver.store, self.host.files(), at);
        if runs_commands(step) || takes_time(step) || undoes()? {
            self.record(at, Ending::Failed, CUT_OFF.to_owned(), Wrote::default())?;
            // That is for whoever comes after a kill.
            self.prepared.records[at] = earlier;
            self.unsaved = true;
        }
        let made = self.prepared.standing(self.host.files(), at)?;
        let output = |piece: &[u8]| performing.take(piece);
        let mut revealed = performing.revealed(&self.prepared.lowered.handed.added_to(step));
        let creates = revealed.guards.creates.clone();
        if !creates_says {
            // That it is there says nothing of the rest.
            revealed.guards.creates = None;
        }
        // Files of a clone that is what is wanted already, and stays.
        let same: RefCell<Option<Vec<PathBuf>>> = RefCell::default();
        let (outcome, written) = match &renewal {
            None => self.host.perform(&revealed, &files, &output),
            Some(Renewal::Anew(renew)) => {
                if let How::Whole { kept, .. } = &renew.how {
                    let (place, kept) = (renew.place.display(), kept.display());
                    let note = format!(
                        "{place} is cloned anew beside; if that is another clone, what is there now will stay as {kept}"
                    );
                    self.resolver.reporter().event(Event::Note(note));
                }
                let (prepared, store) = (&self.prepared, self.resolver.store);
                let look = |root: &Root, new: &Path| {
                    let found = prepared.verdict(store, root, at, standing.as_ref(), (&renew.place, new));
                    let (verdict, files) =
                        found.unwrap_or_else(|error| (Verdict::Refused(error.to_string()), Vec::new()));
                    same.replace((verdict == Verdict::Same && renew.is_whole()).then_some(files));
                    if renew.is_whole() || verdict != Verdict::Same { verdict } else { Verdict::Use }
                };
                self.host.renew(&revealed, &files, &output, renew, &look)
            }
            Some(Renewal::Refused(why)) => (Err(TargetError::Kept(why.clone())), Vec::new()),
        };
        let performed = performing.ended();
        self.prepared.note_removed(self.host.files(), at, &made)?;
        let why = match outcome {
            Ok(Outcome::Ran(warnings)) => {
                performed.went_well(&self.shown(step), &warnings);
                let same = same.into_inner();
                if renewal.is_none() {
                    self.tell_of_earlier(step);
                }
                if let (Some(Renewal::Anew(renew)), None) = (&renewal, &same) {
                    self.renewed(at, renew, standing.as_ref())?;
                    if let How::Files { .. } = renew.how {
                        self.summary.done += 1;
                        self.resolver.reporter().event(Event::TaskEnded { layer: id });
                        return Ok(());
                    }
                }
                let mut written = written;
                written.extend(languages::of(self.host.files(), &self.host.users(), step));
                written.extend(same.unwrap_or_else(|| clones::of(self.host.files(), step)));
                written.extend(made::leading_to(directories, &written));
                let debs = self.ledger.debs(&revealed, &files);
                let wrong = &self.prepared.wrong;
                let mut wrote =
                    self.ledger.after(self.host.files(), step, before, Known { written, wrong, debs: &debs })?;
                if !self.prepared.wrong_packages.is_empty() {
                    self.prepared.accept_packages(at, self.ledger.installed(self.host.files()), &mut wrote);
                }
                self.prepared.undo(self.resolver.store, at, &wrote)?;
                let created = creates.map_or(Ok(true), |path| self.host.files().exists(Path::new(&path)))?;
                let why = if created { String::new() } else { NOT_CREATED.to_owned() };
                self.record(at, Ending::Done, why, wrote)?;
                self.summary.done += 1;
                self.resolver.reporter().event(Event::TaskEnded { layer: id });
                return Ok(());
            }
            Ok(Outcome::Skipped(reason)) => return self.skip(at, step, &Skipped::Guard(reason), id),
            Ok(Outcome::Failed { message, exit }) => {
                let why = performed.command_failed(message, exit, git_advice(self.resolver, step, performed.output()));
                Why { hint: why.hint.or_else(|| pinned_advice(step, &self.prepared.lowered.base)), ..why }
            }
            Err(TargetError::Sandbox(SandboxError::Unknown { kind: "user", name })) => {
                let users = InstallError::Users { names: vec![(name, format!("{}:{}", step.file, step.line))] };
                Why { message: users.to_string(), exit: None, hint: users.hint() }
            }
            Err(error) => Why { message: error.told(), exit: None, hint: error.hint() },
        };
        let hints = self.fetches.told_of_archives(step, &why.message)?;
        let root = self.host.files().path();
        let disks = [root, Path::new("/tmp"), Path::new("/var/tmp")];
        let failure = performed.failure(layer, why, hints, (Some(root), &disks));
        let why = if ending() { "interrupted".to_owned() } else { failure.message.clone() };
        match renewal {
            None if runs_commands(step) => {
                // What it has done by now is its work, and what somebody does until it is tried again is not.
                let wrote = self.ledger.after(self.host.files(), step, before, Known::nothing(&BTreeMap::new()))?;
                self.record(at, Ending::Failed, why, wrote)?;
            }
            None => self.record(at, Ending::Failed, why, Wrote::default())?,
            Some(_) => self.stays(at, standing, why)?,
        }
        if ending() {
            return Err(InstallError::Interrupted { task: Some(self.shown(step)) });
        }
        Err(InstallError::Task(Box::new(TaskFailure { task: self.shown(step), ..failure })))
    }

    /// Records how the task `at` ended, if that is news.
    fn record(&mut self, at: usize, outcome: Ending, why: String, wrote: Wrote) -> Result<()> {
        let Some(trace) = &self.prepared.traces[at] else { return Ok(()) };
        let instead_of = self.prepared.instead_of(at).filter(|other| *other != trace.fingerprint);
        let before = self.prepared.records[at].take();
        let why = match &before {
            Some(before) if outcome == Ending::Failed => before.still_undone(why),
            _ => why,
        };
        let wrote = match &before {
            Some(before) => self.ledger.both(&before.wrote, wrote)?,
            None if outcome == Ending::Failed => self.ledger.both(&self.standing, wrote)?,
            None => wrote,
        };
        let record = Record { instead_of, ..Record::new(trace, outcome, why, wrote) };
        if let Some(before) = before.filter(|before| before.says(&record) && outcome != Ending::Done) {
            // It stays as it was, its time included.
            self.prepared.records[at] = Some(before);
            return if self.unsaved { self.save() } else { Ok(()) };
        }
        if outcome == Ending::Done {
            self.prepared.supersede(at, &record.name);
        }
        self.prepared.records[at] = Some(record);
        self.save()
    }

    fn save(&mut self) -> Result<()> {
        self.unsaved = false;
        Ok(self.recorder.save(self.prepared.recorded().cloned().collect())?)
    }

    /// Tasks that are no more are forgotten, and those that were moved or renamed are known as they are now.
    fn finish(&mut self) -> Result<()> {
        if self.prepared.only.is_some() {
            return if self.unsaved { self.save() } else { Ok(()) };
        }
        for record in std::mem::take(&mut self.prepared.left) {
            if self.prepared.is_left_out(&record) {
                self.prepared.left.push(record);
                continue;
            }
            if record.outcome == Ending::Done {
                let note = format!("the blueprint no longer has {} ({}); what it did stays", record.name, record.place);
                self.resolver.reporter().event(Event::Note(note));
            }
            self.unsaved = true;
        }
        self.unsaved |= self.prepared.forgotten;
        for (record, trace) in self.prepared.records.iter_mut().zip(&self.prepared.traces) {
            let (Some(record), Some(trace)) = (record, trace) else { continue };
            let now = Record { name: trace.name.clone(), place: trace.place.clone(), ..record.clone() };
            self.unsaved |= now != *record;
            *record = now;
        }
        if self.unsaved { self.save() } else { Ok(()) }
    }
}

/// True if `step` may well be cut off in the middle of many files.
fn takes_time(step: &Step) -> bool {
    step.ops.iter().any(|op| matches!(op, Op::Unpack { .. } | Op::Copy { .. }))
}
