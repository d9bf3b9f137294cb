//! The part of a build that makes layers: from a cache, from an archive, or by performing steps on top of those below.

use std::collections::{BTreeMap, BTreeSet};

use layers::digest::DiffId;
use layers::store::LayerBlob;

use super::advice;
use super::agent::ensure_agent;
use super::archives::Archives;
use super::error::{BuildError, TaskFailure};
use super::foreign::{self, Need};
use super::performing::{Performing, Why};
use super::stack::{Stack, Standing, Written};
use super::team::{self, Brought};
use super::uploads::Uploads;
use super::{Build, Hit, SHARED};

use crate::cache::{self, LayerRecord, MadeOf, Way};
use crate::event::{Event, Id};
use crate::fetch::{Download, FetchError, Fetched};
use crate::image::{Image, config_env};
use crate::op::{Source, Step};
use crate::plan::{Contents, Inputs, LayerKey, PlannedLayer, Trace};
use crate::resolve::Base;
use crate::target::image::RequestError;
use crate::target::request::Outcome;
use crate::tasks::Task;

mod agent;
mod asked;
mod base;
mod closure;
mod inventory;
mod kept;
mod pointers;
mod portable;
mod share;
mod sources;
mod users;

/// What is done for a layer after its last task.
const WRITING: &str = "writing the layer";

type Result<T> = std::result::Result<T, BuildError>;

/// Which layer of how many.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number {
    /// From one.
    pub(super) index: usize,
    pub(super) count: usize,
}

/// Makes the layers of one build.
pub(super) struct Maker<'a> {
    build: Build<'a>,
    inputs: &'a Inputs,
    stack: Stack<'a>,
    fetches: BTreeMap<Source, Task<std::result::Result<Fetched, FetchError>>>,
    /// Layers of the stack, from its bottom, that are known to be what is said of them.
    proven: usize,
    /// A layer below came out with other bytes than it is recorded with.
    moved: bool,
    archives: Archives,
    /// Records that the team's caches had.
    brought: Brought,
    uploads: Option<Uploads<'a>>,
    /// What is still to be done, as far as it is known; empty once its users were looked for.
    ahead: Vec<Step>,
}

/// A layer that was made or found.
struct Made {
    blob: Option<LayerBlob>,
    archive: Option<Contents>,
    way: Option<Way>,
}

impl<'a> Maker<'a> {
    /// A maker that has made nothing yet, on top of `base`.
    pub(super) fn new(build: &Build<'a>, base: Base, inputs: &'a Inputs) -> Self {
        let (name, written) = (
            format!("the base {}", build.lowered.base),
            Written { compression: inputs.compression, epoch: inputs.epoch },
        );
        Self {
            build: *build,
            inputs,
            stack: Stack::new(build.resolver, name, base, written),
            fetches: BTreeMap::new(),
            proven: 0,
            moved: false,
            archives: Archives::default(),
            brought: Brought::new(),
            uploads: None,
            ahead: Vec::new(),
        }
    }

    /// The build whose layers are made.
    pub(super) fn build(&self) -> &Build<'a> {
        &self.build
    }

    /// The base as an image.
    pub(super) fn image(&self) -> Image {
        self.stack.base().image.clone()
    }

    /// Of the whole stack, lowest first.
    pub(super) fn diff_ids(&self) -> Vec<DiffId> {
        self.stack.diff_ids()
    }

    /// An error if this machine does not let commands be run, before anything is fetched for them.
    pub(super) fn try_out(&mut self) -> Result<()> {
        self.stack.try_out()
    }

    /// What a login shell of `user` changes of `env`.
    pub(super) fn login_environment(
        &mut self,
        user: &str,
        env: BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>> {
        self.stack.login_environment(user, env)
    }

    /// The next layer stands on this one; `archive` says what is in it, where that is known.
    fn stand_on(&mut self, layer: Option<&LayerBlob>, archive: Option<Contents>) {
        let Some(blob) = layer else { return };
        if let Some(uploads) = &mut self.uploads {
            uploads.start(&blob.descriptor);
        }
        self.stack.push(Standing { blob: blob.clone(), archive });
    }

    fn output_key(&self, planned: &PlannedLayer) -> LayerKey {
        planned.preimage.output_key(&config_env(&self.stack.base().image.config), &self.stack.diff_ids())
    }

    /// Takes a layer that was found.
    pub(super) fn take(&mut self, planned: &PlannedLayer, record: LayerRecord) -> Result<()> {
        let output = self.output_key(planned);
        // One that was imported lacks what explains it.
        let known = record.output == Some(output) && record.preimage.explains();
        self.stand_on(record.layer.as_ref(), record.archive.clone());
        let chain = self.proven_chain(record.chain)?;
        if known {
            self.share(&planned.key, &record);
            return Ok(());
        }
        let preimage = MadeOf::tasks(Trace::of(planned, self.build.lowered, self.inputs));
        let record = LayerRecord { output: Some(output), chain, preimage, ..record };
        cache::keep(self.build.resolver.store, &planned.key, &record)?;
        self.share(&planned.key, &record);
        Ok(())
    }

    fn started(&self, name: &str, Number { index, count }: Number) -> Id {
        let id = Id::next();
        self.build.resolver.reporter().event(Event::LayerStarted { id, name: name.to_owned(), index, count });
        id
    }

    fn ended(&self, id: Id, outcome: &'static str, blob: Option<&LayerBlob>) {
        let size = blob.map(|blob| blob.descriptor.size);
        self.build.resolver.reporter().event(Event::LayerEnded { id, outcome, size });
    }

    /// Begins what needs nothing of the layers below: downloads, and archives that become layers by themselves.
    pub(super) fn prefetch(&mut self, plan: &[PlannedLayer], done: usize) {
        let missing = &plan[done..];
        self.ahead = missing.iter().flat_map(|layer| &layer.steps).cloned().collect();
        // What a job fetches is its own: what the download fails of, the job says.
        let mut theirs = BTreeSet::new();
        for (index, layer) in missing.iter().enumerate() {
            let user = self.build.lowered.image.user.as_deref();
            let Some(step) = &layer.portable else { continue };
            let Some(facts) = step.usual(user) else { continue };
            let forced = self.build.options.no_cache.covers(layer);
            let found = cache::find(self.build.resolver.store, &layer.key).ok().flatten();
            let known = !forced && found.is_some_and(|record| record.fits(layer));
            let number = Number { index: done + index + 1, count: plan.len() };
            if let Some(job) = self.job(layer, facts, number).filter(|_| !known) {
                self.archives.start(layer.key, job);
                theirs.insert(&step.archive);
            }
        }
        for source in missing.iter().flat_map(|layer| &layer.steps).flat_map(Step::sources) {
            let Source::Url { url, .. } = source else { continue };
            let Some(digest) = self.inputs.sources.get(source).filter(|_| !theirs.contains(source)) else { continue };
            if self.fetches.contains_key(source) {
                continue;
            }
            let download = Download { url: url.clone(), sha256: Some(*digest), size: None, part_of: None };
            let fetcher = self.build.resolver.fetcher().clone();
            let task = Task::start(self.build.resolver.runtime(), async move { fetcher.fetch(&download).await });
            self.fetches.insert(source.clone(), task);
        }
    }

    /// Makes a layer, unless it is there by now.
    pub(super) fn layer(&mut self, planned: &PlannedLayer, number: Number) -> Result<(Option<LayerBlob>, Hit)> {
        let forced = self.build.options.no_cache.covers(planned);
        let store = self.build.resolver.store;
        let _lock = self.alone(&planned.key, &planned.name)?;
        let before = cache::find(store, &planned.key)?;
        let output = self.output_key(planned);
        let trace = Trace::of(planned, self.build.lowered, self.inputs);
        let mut hit = self.hit(&planned.key);
        // With other bytes below than when it was made, what it was then says nothing.
        let mut found = before.clone().filter(|record| !self.moved && record.fits(planned));
        if found.is_none() && !forced {
            hit = Hit::Local;
            found = cache::find(store, &output)?.filter(|record| record.fits(planned));
        }
        if found.is_none()
            && !forced
            && let Some((record, place)) = team::bring_output(self.build.resolver, planned, output, &trace)?
        {
            hit = Hit::Team(place);
            found = Some(record);
        }
        let mut said = None;
        let made = match found.filter(|_| !forced) {
            Some(record) => {
                said = record.chain;
                self.cached(planned, number, &hit, record.layer.as_ref());
                Made { blob: record.layer, archive: record.archive, way: record.way }
            }
            None => match self.portable(planned, number)? {
                Some((made, how)) => {
                    hit = how;
                    made
                }
                None => {
                    hit = Hit::Built;
                    let way = planned.portable.as_ref().map(|_| Way::InPlace);
                    Made { blob: self.run(planned, number)?, archive: None, way }
                }
            },
        };
        self.stand_on(made.blob.as_ref(), made.archive.clone());
        let record = LayerRecord {
            name: planned.name.clone(),
            layer: made.blob.clone(),
            archive: made.archive,
            way: made.way,
            preimage: MadeOf::tasks(trace),
            output: Some(output),
            chain: self.proven_chain(said)?,
        };
        let same = before.as_ref().is_some_and(|before| before.layer == record.layer);
        self.moved = self.moved || !same && before.is_some();
        if !same || before.is_some_and(|before| before.way != record.way) {
            cache::keep(store, &planned.key, &record)?;
        }
        cache::keep(store, &output, &record)?;
        self.share(&planned.key, &record);
        Ok((made.blob, hit))
    }

    /// Remembers what a layer is that was written here.
    fn written(&self, blob: Option<&LayerBlob>) -> Result<()> {
        Ok(blob.map_or(Ok(()), |blob| self.build.resolver.store.note_layer(blob))?)
    }

    /// Says that a layer was there.
    fn cached(&self, planned: &PlannedLayer, number: Number, hit: &Hit, blob: Option<&LayerBlob>) {
        let id = self.started(&planned.name, number);
        self.ended(id, if matches!(hit, Hit::Team(_)) { SHARED } else { "cached" }, blob);
    }

    /// Performs the steps of a layer in the sandbox.
    fn run(&mut self, planned: &PlannedLayer, number: Number) -> Result<Option<LayerBlob>> {
        let id = self.started(&planned.name, number);
        let mut blob = None;
        ensure_agent(self.build.resolver.ssh(), &planned.steps)?;
        if let Some(need) = planned.steps.iter().find_map(Need::of) {
            foreign::ensure(self.build.resolver, || need)?;
        }
        if !planned.steps.is_empty() {
            self.begin()?;
            for step in &planned.steps {
                self.step(step, &planned.name, id)?;
            }
            self.tell_lost(planned)?;
            self.build.resolver.reporter().event(Event::LayerPhase { layer: id, doing: WRITING });
            // Which file's tasks they were is known here alone.
            blob = self.stack.commit().map_err(|error| match error {
                BuildError::Request(RequestError::Failed { message, hint }) => {
                    RequestError::Failed { message: format!("{}: {message}", planned.name), hint }.into()
                }
                other => other,
            })?;
            self.written(blob.as_ref())?;
        }
        self.ended(id, if blob.is_some() { "built" } else { "no change" }, blob.as_ref());
        Ok(blob)
    }

    fn step(&mut self, step: &Step, layer: &str, id: Id) -> Result<()> {
        let Some(failure) = self.tried(step, layer, id)? else { return Ok(()) };
        // What is there now is worth a look; that it cannot be kept is no further failure.
        let partial = self.stack.commit().ok().flatten();
        Err(BuildError::Task { failure, partial })
    }

    /// Performs a step. Gives why it failed; the layer is open still.
    fn tried(&mut self, step: &Step, layer: &str, id: Id) -> Result<Option<Box<TaskFailure>>> {
        let resolver = self.build.resolver;
        let reporter = resolver.reporter();
        let performing = Performing::begin(resolver, &self.build.lowered.secrets, step, id);
        let (files, _copies) = self.files(step)?;
        let revealed = performing.revealed(step);
        let proxy = self.agent(step)?;
        let loan = resolver.ssh().zip(proxy.as_ref()).map(|(ssh, proxy)| ssh.loan(proxy.socket().to_owned()));
        let outcome = self.stack.target()?.perform(&revealed, files, loan, |piece| performing.take(&piece));
        drop(proxy);
        let performed = performing.ended();
        let mut looked_into = true;
        let why = match outcome {
            Ok(Outcome::Ran(warnings)) => {
                performed.went_well(&format!("{layer}: {}", step.name), &warnings);
                reporter.event(Event::TaskEnded { layer: id });
                self.tell_pointers(step)?;
                return Ok(None);
            }
            Ok(Outcome::Skipped(reason)) => {
                reporter.event(Event::TaskSkipped { layer: id, name: step.name.clone(), reason });
                return Ok(None);
            }
            Ok(Outcome::Failed { message, exit }) => {
                let known = advice::of(resolver, step, performed.output());
                performed.command_failed(message, exit, known)
            }
            Err(RequestError::Failed { message, hint }) => {
                looked_into = step.unpacks_in_root();
                Why { message, exit: None, hint }
            }
            Err(error) => return Err(error.into()),
        };
        let hints = resolver.told_of_archives(step, &self.inputs.sources, self.build.directory, &why.message)?;
        // What commands change lies beside the store, unless they say where.
        let failure = performed.failure(layer, why, hints, (None, &[resolver.store.root()]));
        Ok(Some(Box::new(TaskFailure { looked_into, ..failure })))
    }

    /// Begins a layer on everything so far.
    fn begin(&mut self) -> Result<()> {
        self.stack.begin()?;
        self.users()
    }

    /// Ends the worker, and waits for what is still sent. Gives what the layers stand on.
    pub(super) fn finish(self) -> Result<Base> {
        let ended = self.stack.finish();
        for (place, error) in self.uploads.map(Uploads::finish).unwrap_or_default() {
            let warning = format!("the cache {place} does not have everything: {error}");
            self.build.resolver.reporter().event(Event::Warning(warning));
        }
        ended
    }
}
