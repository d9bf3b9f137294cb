//! The part of a build that makes things: a worker, started when the first layer is missing, and the trees it stands on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use layers::digest::DiffId;
use layers::store::LayerBlob;

use super::advice;
use super::agent::ensure_agent;
use super::archives::Archives;
use super::error::{BuildError, TaskFailure};
use super::foreign::{self, Need};
use super::output::Lines;
use super::space;
use super::team::{self, Brought};
use super::uploads::Uploads;
use super::{Hit, NoCache, SHARED};

use crate::cache::{self, LayerRecord, MadeOf, Way};
use crate::event::{Event, Id};
use crate::fetch::{Download, FetchError, Fetched};
use crate::image::{Image, config_env};
use crate::op::{Source, Step};
use crate::plan::{Contents, Inputs, LayerKey, Lowered, PlannedLayer, Trace};
use crate::resolve::{Base, Resolver};
use crate::target::image::{ImageTarget, RequestError};
use crate::target::request::Outcome;
use crate::tasks::Task;

mod agent;
mod asked;
mod base;
mod closure;
mod inventory;
mod kept;
mod login;
mod pointers;
mod portable;
mod running;
mod share;
mod sources;
mod trees;
mod users;
mod worker;

/// What is done for a layer after its last task.
const WRITING: &str = "writing the layer";

type Result<T> = std::result::Result<T, BuildError>;

/// One build at work.
pub struct Session<'a> {
    resolver: &'a Resolver<'a>,
    base: &'a mut Base,
    directory: &'a Path,
    lowered: &'a Lowered,
    inputs: &'a Inputs,
    target: Option<ImageTarget>,
    fetches: BTreeMap<Source, Task<std::result::Result<Fetched, FetchError>>>,
    /// Layers of the blueprint so far, lowest first.
    made: Vec<Standing>,
    /// Layers that were found and not made.
    found: usize,
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

/// A layer of the blueprint that the next one stands on.
struct Standing {
    blob: LayerBlob,
    archive: Option<Contents>,
}

/// A layer that was made or found.
pub(super) struct Made {
    pub(super) blob: Option<LayerBlob>,
    pub(super) archive: Option<Contents>,
    pub(super) way: Option<Way>,
}

impl<'a> Session<'a> {
    /// A session that has made nothing yet; `found` layers are there.
    pub fn new(
        resolver: &'a Resolver<'a>,
        base: &'a mut Base,
        directory: &'a Path,
        lowered: &'a Lowered,
        inputs: &'a Inputs,
        found: usize,
    ) -> Self {
        let (fetches, made) = (BTreeMap::new(), Vec::new());
        Self {
            resolver,
            base,
            directory,
            lowered,
            inputs,
            target: None,
            fetches,
            made,
            found,
            proven: 0,
            moved: false,
            archives: Archives::default(),
            brought: Brought::new(),
            uploads: None,
            ahead: Vec::new(),
        }
    }

    /// Who resolves.
    pub fn resolver(&self) -> &'a Resolver<'a> {
        self.resolver
    }

    /// `SOURCE_DATE_EPOCH`.
    pub fn epoch(&self) -> u64 {
        self.inputs.epoch
    }

    /// The base as an image.
    pub fn image(&self) -> Image {
        self.base.image.clone()
    }

    /// Of the whole stack, lowest first.
    pub fn diff_ids(&self) -> Vec<DiffId> {
        let base = self.base.image.layers.iter().map(|layer| layer.diff_id);
        base.chain(self.made.iter().map(|standing| standing.blob.diff_id)).collect()
    }

    /// The next layer stands on this one; `archive` says what is in it, where that is known.
    fn stand_on(&mut self, layer: Option<&LayerBlob>, archive: Option<Contents>) {
        if let (Some(uploads), Some(layer)) = (&mut self.uploads, layer) {
            uploads.start(&layer.descriptor);
        }
        self.made.extend(layer.cloned().map(|blob| Standing { blob, archive }));
    }

    fn output_key(&self, planned: &PlannedLayer) -> LayerKey {
        planned.preimage.output_key(&config_env(&self.base.image.config), &self.diff_ids())
    }

    /// Takes a layer that was found.
    pub fn take(&mut self, planned: &PlannedLayer, record: LayerRecord) -> Result<()> {
        let output = self.output_key(planned);
        // One that was imported lacks what explains it.
        let known = record.output == Some(output) && record.preimage.explains();
        self.stand_on(record.layer.as_ref(), record.archive.clone());
        let chain = self.proven_chain(record.chain)?;
        if known {
            self.share(&planned.key, &record);
            return Ok(());
        }
        let preimage = MadeOf::tasks(Trace::of(planned, self.lowered, self.inputs));
        let record = LayerRecord { output: Some(output), chain, preimage, ..record };
        cache::keep(self.resolver.store, &planned.key, &record)?;
        self.share(&planned.key, &record);
        Ok(())
    }

    fn ended(&self, id: Id, outcome: &'static str, blob: Option<&LayerBlob>) {
        let size = blob.map(|blob| blob.descriptor.size);
        self.resolver.reporter().event(Event::LayerEnded { id, outcome, size });
    }

    /// Begins what needs nothing of the layers below: downloads, and archives that become layers by themselves.
    pub fn prefetch(&mut self, plan: &[PlannedLayer], done: usize, no_cache: &NoCache) {
        let missing = &plan[done..];
        self.ahead = missing.iter().flat_map(|layer| &layer.steps).cloned().collect();
        // What a job fetches is its own: what the download fails of, the job says.
        let mut theirs = BTreeSet::new();
        for (index, layer) in missing.iter().enumerate() {
            let user = self.lowered.image.user.as_deref();
            let Some(step) = &layer.portable else { continue };
            let Some(facts) = step.usual(user) else { continue };
            let forced = no_cache.covers(layer);
            let found = cache::find(self.resolver.store, &layer.key).ok().flatten();
            let known = !forced && found.is_some_and(|record| record.fits(layer));
            if let Some(job) = self.job(layer, facts, done + index + 1, plan.len(), forced).filter(|_| !known) {
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
            let fetcher = self.resolver.fetcher().clone();
            let task = Task::start(self.resolver.runtime(), async move { fetcher.fetch(&download).await });
            self.fetches.insert(source.clone(), task);
        }
    }

    /// Makes a layer, unless it is there by now.
    pub fn layer(
        &mut self,
        planned: &PlannedLayer,
        index: usize,
        count: usize,
        forced: bool,
    ) -> Result<(Option<LayerBlob>, Hit)> {
        let store = self.resolver.store;
        let _lock = self.alone(&planned.key, &planned.name)?;
        let before = cache::find(store, &planned.key)?;
        let output = self.output_key(planned);
        let trace = Trace::of(planned, self.lowered, self.inputs);
        let mut hit = self.hit(&planned.key);
        // With other bytes below than when it was made, what it was then says nothing.
        let mut found = before.clone().filter(|record| !self.moved && record.fits(planned));
        if found.is_none() && !forced {
            hit = Hit::Local;
            found = cache::find(store, &output)?.filter(|record| record.fits(planned));
        }
        if found.is_none()
            && !forced
            && let Some((record, place)) = team::bring_output(self.resolver, planned, output, &trace)?
        {
            hit = Hit::Team(place);
            found = Some(record);
        }
        let mut said = None;
        let made = match found.filter(|_| !forced) {
            Some(record) => {
                said = record.chain;
                self.cached(planned, index, count, &hit, record.layer.as_ref());
                Made { blob: record.layer, archive: record.archive, way: record.way }
            }
            None => match self.portable(planned, index, count, forced)? {
                Some((made, how)) => {
                    hit = how;
                    made
                }
                None => {
                    hit = Hit::Built;
                    let way = planned.portable.as_ref().map(|_| Way::InPlace);
                    Made { blob: self.run(planned, index, count)?, archive: None, way }
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
        Ok(blob.map_or(Ok(()), |blob| self.resolver.store.note_layer(blob))?)
    }

    /// Says that a layer was there.
    fn cached(&self, planned: &PlannedLayer, index: usize, count: usize, hit: &Hit, blob: Option<&LayerBlob>) {
        let id = Id::next();
        self.resolver.reporter().event(Event::LayerStarted { id, name: planned.name.clone(), index, count });
        self.ended(id, if matches!(hit, Hit::Team(_)) { SHARED } else { "cached" }, blob);
    }

    /// Performs the steps of a layer in the sandbox.
    fn run(&mut self, planned: &PlannedLayer, index: usize, count: usize) -> Result<Option<LayerBlob>> {
        let id = Id::next();
        self.resolver.reporter().event(Event::LayerStarted { id, name: planned.name.clone(), index, count });
        let mut blob = None;
        ensure_agent(self.resolver.ssh(), &planned.steps)?;
        if let Some(need) = planned.steps.iter().find_map(Need::of) {
            foreign::ensure(self.resolver, || need)?;
        }
        if !planned.steps.is_empty() {
            self.begin()?;
            for step in &planned.steps {
                self.step(step, &planned.name, id)?;
            }
            self.tell_lost(planned)?;
            let (compression, epoch) = (self.inputs.compression, self.inputs.epoch);
            self.resolver.reporter().event(Event::LayerPhase { layer: id, doing: WRITING });
            // Which file's tasks they were is known here alone.
            blob = self.target()?.commit(compression, epoch).map_err(|error| match error {
                RequestError::Failed { message, hint } => {
                    RequestError::Failed { message: format!("{}: {message}", planned.name), hint }
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
        let (compression, epoch) = (self.inputs.compression, self.inputs.epoch);
        let partial = self.target()?.commit(compression, epoch).ok().flatten();
        Err(BuildError::Task { failure, partial })
    }

    /// Performs a step. Gives why it failed; the layer is open still.
    fn tried(&mut self, step: &Step, layer: &str, id: Id) -> Result<Option<Box<TaskFailure>>> {
        let reporter = self.resolver.reporter();
        reporter.event(Event::TaskStarted { layer: id, name: step.name.clone() });
        let (files, _copies) = self.files(step)?;
        let fetcher = self.resolver.fetcher();
        let secrets = &fetcher.hiding(&self.lowered.secrets);
        let mut lines = Lines::new(reporter, secrets, id);
        let mut revealed = secrets.reveal_step(step);
        fetcher.tell_git(&mut revealed);
        let proxy = self.agent(step)?;
        let loan = self.resolver.ssh().zip(proxy.as_ref()).map(|(ssh, proxy)| ssh.loan(proxy.socket().to_owned()));
        let outcome = self.target()?.perform(&revealed, files, loan, |piece| lines.take(&piece));
        drop(proxy);
        let remarks = lines.remarks(step);
        let output = lines.finish();
        let mut ran = true;
        let (message, exit, hint) = match outcome {
            Ok(Outcome::Ran(warnings)) => {
                for warning in warnings {
                    reporter.event(Event::Warning(format!("{layer}: {}: {}", step.name, secrets.mask(&warning))));
                }
                remarks.into_iter().for_each(|remark| reporter.event(Event::Warning(remark)));
                reporter.event(Event::TaskEnded { layer: id });
                self.tell_pointers(step)?;
                return Ok(None);
            }
            Ok(Outcome::Skipped(reason)) => {
                reporter.event(Event::TaskSkipped { layer: id, name: step.name.clone(), reason });
                return Ok(None);
            }
            Ok(Outcome::Failed { message, exit }) => {
                let hint = advice::of(self.resolver, step, &output);
                (message, exit, hint.or_else(|| advice::unspoken(step, &output, exit)))
            }
            Err(RequestError::Failed { message, hint }) => {
                ran = step.unpacks_in_root();
                (message, None, hint)
            }
            Err(error) => return Err(error.into()),
        };
        let mut hints = self.resolver.told_of_archives(step, &self.inputs.sources, self.directory, &message)?;
        hints.extend(hint);
        // What commands change lies beside the store, unless they say where.
        let message = space::told(message, &output, None, &[self.resolver.store.root()]);
        let failure = TaskFailure::of(step, layer, secrets.mask(&message), output);
        Ok(Some(Box::new(TaskFailure { exit, hints, looked_into: ran, ..failure })))
    }

    /// Begins a layer on everything so far.
    fn begin(&mut self) -> Result<()> {
        let trees = self.trees(&BTreeSet::new())?;
        let env = config_env(&self.base.image.config).into_iter().collect();
        self.target()?.begin(trees, env)?;
        self.users()
    }

    /// Ends the worker, and waits for what is still sent.
    pub fn finish(mut self) -> Result<()> {
        let ended = self.target.take().map_or(Ok(()), |target| Ok(target.finish()?));
        if let Some(uploads) = self.uploads.take() {
            for (place, error) in uploads.finish() {
                let warning = format!("the cache {place} does not have everything: {error}");
                self.resolver.reporter().event(Event::Warning(warning));
            }
        }
        ended
    }
}
