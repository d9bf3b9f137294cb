//! Tasks beside what is known of them: pure, but for a look at what is there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use layers::digest::Digest;
use layers::root::{Root, RootError};
use layers::store::Store;

use super::decide::{Decision, Skipped, reasons};
use super::former::{self, Former, in_order, matched};
use super::renewal::Renewal;
use super::seen::Seen;
use super::state::{Ending, Record, State, StateError, StateFile, Wrote, plain};
use super::{InstallError, Options, claim, clones, earlier, repair, whose};
use crate::blueprint::Blueprint;
use crate::event::{Event, Reporter};
use crate::op::{Fingerprint, Source, Step};
use crate::plan::{LeftOut, Lowered, StepTrace, is_named};
use crate::resolve::Resolver;

/// Why a task runs that had another name for a while, and was done so.
const IN_BETWEEN: &str = "it was done as another one in between, and was put back since";
/// Why a task runs that has no record as it is now.
pub const CHANGED: &str = "it failed, and has changed since";
/// Why a task runs whose record says that it is done.
pub const PUT_BACK: &str = "it failed when it was another one, and was put back since";

/// The tasks of a blueprint, each with what is known of it.
pub struct Prepared<'a> {
    /// The blueprint's.
    pub directory: &'a Path,
    /// What the blueprint asks for.
    pub lowered: &'a Lowered,
    /// What is to be told where the state is of a blueprint that had another name.
    pub other: Option<String>,
    /// In the order they run.
    pub steps: Vec<&'a Step>,
    /// The same, as the state file has them; `None` for one whose sources nobody knows yet.
    pub traces: Vec<Option<StepTrace>>,
    /// What was recorded of each.
    pub records: Vec<Option<Record>>,
    /// The records in the order of the state file: so the tasks have run.
    pub were: Vec<Record>,
    /// Records of tasks that the blueprint has no more, or has changed.
    pub left: Vec<Former>,
    /// Files and names of tasks that are left out now: what is recorded of them stays.
    left_out: BTreeSet<(String, String)>,
    /// There were records of tasks that were not reached, and that the blueprint no longer has: the state file is to lose
    /// them.
    pub forgotten: bool,
    reasons: BTreeMap<(String, String), String>,
    /// What was recorded counts for nothing until a task is done anew.
    pub anew: bool,
    /// If only these tasks are to run: why each does.
    pub only: Option<BTreeMap<usize, String>>,
    /// Paths that these are to put right: as they were, and as they are. One that a task leaves as it is stays wrong.
    pub wrong: BTreeMap<String, (Seen, Seen)>,
    /// The same of packages: the version that was recorded.
    pub wrong_packages: BTreeMap<String, String>,
}

/// What was recorded of a host.
pub struct Recorded<'f> {
    /// Where that stands.
    pub file: &'f StateFile,
    /// What it says.
    pub state: State,
    /// It counts for nothing until a task is done anew.
    pub anew: bool,
}

impl<'a> Prepared<'a> {
    /// The tasks of `blueprint` and `lowered`, whose sources hold `sources`, and what was recorded of them.
    pub fn new(
        blueprint: &'a Blueprint,
        lowered: &'a Lowered,
        sources: &BTreeMap<Source, Digest>,
        Recorded { file, state, anew }: Recorded<'_>,
    ) -> Result<Self, StateError> {
        let records = state.tasks.clone();
        let steps: Vec<&Step> = lowered.layers.iter().flat_map(|layer| &layer.steps).collect();
        let trace = |step: &&Step| {
            let fingerprint = Fingerprint::of(step, sources)?;
            Some(plain(StepTrace::of(step, fingerprint, sources, &lowered.secrets)))
        };
        let traces: Vec<Option<StepTrace>> = steps.iter().map(trace).collect();
        let known: Vec<StepTrace> = traces.iter().flatten().cloned().collect();
        let reasons = if anew { BTreeMap::new() } else { reasons(&used(&records, &known), &known) };
        // What an earlier alloy has recorded with variables that the task does not use.
        let same =
            |at: usize, was: &Record, now: &StepTrace| lowered.handed.is_same(steps[at], &was.trace(), now, sources);
        let (records, mut left) = matched(&traces, records, same);
        let were = state.tasks.clone();
        let named = |task: &LeftOut| (task.file.clone(), lowered.secrets.mask_values(&task.name));
        let left_out = lowered.left_out.iter().map(named).collect();
        let recorded = left.len();
        // What one has put there when it was another one is known by it alone.
        left.retain(|former| !former.is_unreached() || former.wrote != Wrote::default());
        let forgotten = left.len() < recorded;
        let other = match whose::check(file, &state, blueprint) {
            Ok(other) => other,
            Err(_) if anew => {
                let nothing = Recorded { file, state: State::default(), anew };
                return Self::new(blueprint, lowered, sources, nothing);
            }
            Err(error) => return Err(error),
        };
        Ok(Self {
            directory: &blueprint.directory,
            lowered,
            steps,
            traces,
            records,
            were,
            left,
            left_out,
            forgotten,
            other,
            reasons,
            anew,
            only: None,
            wrong: BTreeMap::new(),
            wrong_packages: BTreeMap::new(),
        })
    }

    /// True if the task at `at` failed when it was another one.
    pub fn failed_before(&self, at: usize) -> bool {
        self.formerly(at).any(|former| former.failed().is_some())
    }

    /// True for the record of a task that the blueprint has, and that is left out now.
    pub fn is_left_out(&self, former: &Former) -> bool {
        let task = (former.file().to_owned(), former.name.clone());
        former.of.is_none() && self.left_out.contains(&task)
    }

    /// What was recorded of the task at `at` as it was before it was changed.
    pub fn formerly(&self, at: usize) -> impl Iterator<Item = &Former> + Clone {
        self.left.iter().filter(move |former| former.of == Some(at))
    }

    /// What the task at `at` did when it was last done, if it was another one then.
    pub fn instead_of(&self, at: usize) -> Option<Fingerprint> {
        let done = self.formerly(at).find(|former| former.outcome == Ending::Done).map(|former| former.fingerprint);
        let before = || self.formerly(at).find_map(|former| former.instead_of);
        done.or_else(before).or_else(|| self.records[at].as_ref().and_then(|record| record.instead_of))
    }

    /// All records, in the order in which the tasks have run.
    pub fn recorded(&self) -> impl Iterator<Item = &Record> + Clone {
        in_order(&self.records, &self.left)
    }

    /// Forgets what was recorded of the task at `at`, called `name`, as it was before it was changed. Where it comes from
    /// another file, a task of its name is no other one. What says of a clone that another task is about to exchange that
    /// it is alloy's stays until then.
    pub fn supersede(&mut self, at: usize, name: &str) {
        let left = std::mem::take(&mut self.left);
        let is_awaited = |former: &Former| {
            let place = former::dest(&former.fields).map(Path::new);
            let mut later = self.steps.iter().skip(at + 1).flat_map(|step| clones::places(step));
            later.any(|other| Some(other.as_path()) == place)
        };
        let file = self.steps[at].file.as_str();
        let was_moved = |former: &Former| former.of.is_none() && former.name == name && !former.is_in(file);
        let is_its = |former: &Former| former.of == Some(at) || was_moved(former);
        self.left = left.into_iter().filter(|former| !is_its(former) || is_awaited(former)).collect();
    }

    /// What is to be done with the task `at`, as the host is now.
    pub fn decide(&self, at: usize, root: &Root) -> Result<Decision, RootError> {
        if let Some(why) = self.records[at].as_ref().filter(|_| !self.anew).and_then(Record::undone_by) {
            return Ok(Decision::Run(Some(why.to_owned())));
        }
        if let Some(only) = &self.only {
            return Ok(match only.get(&at) {
                Some(why) => Decision::Run(Some(why.clone())),
                None if self.records[at].is_none() => Decision::Skip(Skipped::NeverDone),
                None => {
                    let known = self.records[at].as_ref().is_some_and(|record| record.wrote != Wrote::default());
                    Decision::Skip(Skipped::Untouched { known })
                }
            });
        }
        let record = self.records[at].as_ref().filter(|_| !self.anew);
        if let Some(why) = self.was_another(at, record) {
            return Ok(Decision::Run(Some(why.to_owned())));
        }
        let reason = match &self.traces[at] {
            Some(trace) => self.reasons.get(&(trace.name.clone(), trace.place.clone())).cloned(),
            None => Some("what it downloads is not known yet: nothing pins it".to_owned()),
        };
        self.by_guards(at, record, root, reason.as_ref())
    }

    /// Why the task at `at`, of this `record`, is to be done for what was done when it was another one.
    ///
    /// One that was mended after it failed has no record of its own, but that it was not reached; one that was put back has
    /// that of what it did before, and has done something else since.
    fn was_another(&self, at: usize, record: Option<&Record>) -> Option<&'static str> {
        let is_done = record.is_some_and(|record| record.outcome == Ending::Done);
        match self.failed_before(at) {
            _ if self.anew => None,
            true if is_done => Some(PUT_BACK),
            true if record.is_none_or(Record::is_unreached) => Some(CHANGED),
            false if is_done && self.formerly(at).any(|former| former.outcome == Ending::Done) => Some(IN_BETWEEN),
            _ => None,
        }
    }

    /// Says that the blueprint has another name by now, if it has.
    pub fn tell(&self, reporter: &Reporter) {
        self.other.iter().for_each(|other| reporter.event(Event::Note(other.clone())));
    }

    /// Which tasks would run, as the host is now.
    pub fn pending(&self, store: &Store, root: &Root) -> Result<Vec<bool>, InstallError> {
        let foreseen = self.foreseen(store, root)?;
        Ok(foreseen.iter().map(|decision| matches!(decision, Decision::Run(_))).collect())
    }

    /// A task that is content with the version of a package that differed is done: that version is what it put there.
    pub fn accept_packages(&self, at: usize, installed: &BTreeMap<String, String>, wrote: &mut Wrote) {
        let Some(record) = &self.records[at] else { return };
        for package in self.wrong_packages.keys().filter(|package| record.wrote.packages.contains_key(*package)) {
            if let Some(version) = installed.get(package) {
                wrote.packages.insert(package.clone(), version.clone());
            }
        }
    }
}

/// `records` without variables that their tasks do not use: that such a one is gone is no reason for anything.
fn used(records: &[Record], traces: &[StepTrace]) -> Vec<Record> {
    let mut records = records.to_vec();
    for Record { name: task, variables, fields, .. } in &mut records {
        let own: Vec<&StepTrace> = traces.iter().filter(|trace| trace.name == *task).collect();
        variables
            .retain(|name, _| own.iter().any(|trace| trace.variables.contains_key(name)) || is_named(fields, name));
    }
    records
}

/// A task, and what would be done with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreseen {
    /// Its name.
    pub name: String,
    /// Its file.
    pub file: String,
    /// Its line.
    pub line: usize,
    /// Whether it would run, and why.
    pub decision: Decision,
    /// It has a `skip_if`, which is not asked now.
    pub guarded: bool,
}

/// What an installation would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// Each task, in the order they run.
    pub tasks: Vec<Foreseen>,
    /// What differs and stays so.
    pub stays: Vec<String>,
}

/// What [`super::install`] would do, as the host is now. Nothing runs, is fetched or written, and it takes no privileges.
pub fn forecast(
    resolver: &Resolver<'_>,
    blueprint: &Blueprint,
    lowered: &Lowered,
    options: &Options<'_>,
) -> Result<Forecast, InstallError> {
    let root = Root::open(options.root)?;
    super::check::distribution(&root)?;
    super::check::suite(&root, blueprint, resolver.reporter());
    let host = claim::name(&root)?;
    let file = StateFile::new(options.state);
    let state = earlier(&file, options, resolver, host.as_deref())?;
    repair::possible(options, &file, state.as_ref())?;
    let steps: Vec<&Step> = lowered.layers.iter().flat_map(|layer| &layer.steps).collect();
    let (sources, _) = resolver.known_sources(&blueprint.directory, &steps)?;
    let recorded = Recorded { file: &file, state: state.unwrap_or_default(), anew: options.forget };
    let mut prepared = Prepared::new(blueprint, lowered, &sources, recorded)?;
    prepared.tell(resolver.reporter());
    prepared.undo_forsaken(resolver.store, &root)?;
    prepared.undo_reordered(resolver.store, &root, resolver.reporter())?;
    let stays = match options.repair {
        true => repair::plan(resolver.store, &root, resolver.platform.debian_arch(), &mut prepared)?,
        false => Vec::new(),
    };
    let mut decisions = prepared.foreseen(resolver.store, &root)?;
    for (at, decision) in decisions.iter_mut().enumerate() {
        let own = prepared.records[at].as_ref();
        if let Decision::Run(reason) = decision
            && let Some(Renewal::Refused(why)) = prepared.renewal(resolver.store, &root, at, own)?
        {
            let because = reason.as_ref().map(|reason| format!("{reason}; ")).unwrap_or_default();
            *reason = Some(format!("{because}it will be refused: {why}"));
        }
    }
    let foresee = |(step, decision): (&&Step, Decision)| Foreseen {
        name: lowered.secrets.mask(&step.name),
        file: step.file.clone(),
        line: step.line,
        decision,
        guarded: step.guards.skip_if.is_some(),
    };
    Ok(Forecast { tasks: prepared.steps.iter().zip(decisions).map(foresee).collect(), stays })
}
