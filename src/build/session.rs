//! The part of a build that makes things: a worker, started when the first layer is missing, and the trees it stands on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use layers::digest::DiffId;
use layers::store::LayerBlob;
use tokio::task::JoinHandle;

use super::archives::Archives;
use super::error::{BuildError, TaskFailure};
use super::output::Lines;
use super::uploads::Uploads;
use super::{NoCache, record, revealed};

use crate::cache;
use crate::event::{Event, Id};
use crate::fetch::{Download, FetchError, Fetched};
use crate::image::{Image, config_env};
use crate::op::{Source, Step};
use crate::plan::{Contents, Inputs, Lowered, PlannedLayer, Platform, Trace};
use crate::registry::Reference;
use crate::resolve::{Base, Origin, Resolver, local};
use crate::target::image::{ImageTarget, RequestError};
use crate::target::request::{Interactive, Outcome};
use crate::target::{DEFAULT_EPOCH, Lent};

mod base;
mod login;
mod portable;
mod trees;

pub use trees::ensure_blobs;

type Result<T> = std::result::Result<T, BuildError>;

/// One build at work.
pub struct Session<'a> {
    resolver: &'a Resolver<'a>,
    base: &'a mut Base,
    directory: &'a Path,
    lowered: &'a Lowered,
    inputs: &'a Inputs,
    target: Option<ImageTarget>,
    fetches: BTreeMap<Source, JoinHandle<std::result::Result<Fetched, FetchError>>>,
    /// Layers of the blueprint so far, lowest first.
    made: Vec<Standing>,
    /// Layers that were found and not made.
    found: usize,
    /// A layer below came out with other bytes than it is recorded with.
    moved: bool,
    archives: Archives,
    uploads: Option<Uploads<'a>>,
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
            moved: false,
            archives: Archives::default(),
            uploads: None,
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

    /// Sends layers from now on to the repositories of `references`, as soon as they are there.
    pub fn push_to(&mut self, references: &[Reference]) {
        // One that cannot be reached is told of by the push.
        let clients = references.iter().filter_map(|reference| self.resolver.client(reference).ok()).collect();
        self.uploads = Some(Uploads::new(self.resolver.runtime, clients));
    }

    /// The next layer stands on this one; `archive` says what is in it, where that is known.
    pub fn stand_on(&mut self, layer: Option<&LayerBlob>, archive: Option<Contents>) {
        if let (Some(uploads), Some(layer)) = (&mut self.uploads, layer) {
            uploads.start(&layer.descriptor);
        }
        self.made.extend(layer.cloned().map(|blob| Standing { blob, archive }));
    }

    fn target(&mut self) -> Result<&mut ImageTarget> {
        if self.target.is_none() {
            let wanted = self.resolver.platform;
            if !can_run(wanted) {
                return Err(BuildError::Platform { wanted: wanted.to_string() });
            }
            let lent = Lent::by_this_machine(|name| std::env::var(name).ok());
            self.target = Some(ImageTarget::start(self.resolver.store, lent, self.inputs.epoch)?);
        }
        let lost = || RequestError::Failed { message: "no worker".into(), hint: None };
        self.target.as_mut().ok_or_else(|| lost().into())
    }

    fn ended(&self, id: Id, outcome: &'static str, blob: Option<&LayerBlob>) {
        let size = blob.map(|blob| blob.descriptor.size);
        self.resolver.reporter.event(Event::LayerEnded { id, outcome, size });
    }

    /// Begins what needs nothing of the layers below: downloads, and archives that become layers by themselves.
    pub fn prefetch(&mut self, plan: &[PlannedLayer], done: usize, no_cache: &NoCache) {
        let missing = &plan[done..];
        for step in missing.iter().flat_map(|layer| &layer.steps) {
            for source in step.sources() {
                let Source::Url { url, .. } = source else { continue };
                let Some(digest) = self.inputs.sources.get(source) else { continue };
                if self.fetches.contains_key(source) || self.resolver.fetcher.have(digest) {
                    continue;
                }
                let download = Download { url: url.clone(), sha256: Some(*digest), size: None, part_of: None };
                let fetcher = self.resolver.fetcher.clone();
                let task = self.resolver.runtime.spawn(async move { fetcher.fetch(&download).await });
                self.fetches.insert(source.clone(), task);
            }
        }
        for (index, layer) in missing.iter().enumerate() {
            let user = self.lowered.image.user.as_deref();
            let Some(facts) = layer.portable.as_ref().and_then(|step| step.usual(user)) else { continue };
            let forced = no_cache.covers(layer);
            let known = !forced && matches!(cache::find(self.resolver.store, &layer.key), Ok(Some(_)));
            if let Some(job) = self.job(layer, facts, done + index + 1, plan.len(), forced).filter(|_| !known) {
                self.archives.start(layer.key, job);
            }
        }
    }

    /// Makes a layer, unless it is there by now. True if it was.
    pub fn layer(
        &mut self,
        planned: &PlannedLayer,
        index: usize,
        count: usize,
        forced: bool,
    ) -> Result<(Option<LayerBlob>, bool)> {
        let store = self.resolver.store;
        let _lock = store.lock(&format!("layer-{}", planned.key.hex()))?;
        let before = cache::find(store, &planned.key)?;
        let output = planned.preimage.output_key(&self.diff_ids());
        // With other bytes below than when it was made, what it was then says nothing.
        let mut found = before.clone().filter(|_| !self.moved);
        if found.is_none() {
            found = cache::find(store, &output)?;
        }
        let (made, cached) = match found.filter(|_| !forced) {
            Some(record) => {
                self.cached(planned, index, count, record.layer.as_ref());
                (Made { blob: record.layer, archive: record.archive }, true)
            }
            None => match self.portable(planned, index, count, forced)? {
                Some(made) => made,
                None => (Made { blob: self.run(planned, index, count)?, archive: None }, false),
            },
        };
        let trace = Trace::of(planned, self.lowered, self.inputs);
        let record = record(planned, &trace, &made);
        if before.as_ref().map(|before| &before.layer) != Some(&record.layer) {
            self.moved = self.moved || before.is_some();
            cache::keep(store, &planned.key, &record)?;
        }
        cache::keep(store, &output, &record)?;
        self.stand_on(made.blob.as_ref(), made.archive);
        Ok((made.blob, cached))
    }

    /// Says that a layer was there.
    fn cached(&self, planned: &PlannedLayer, index: usize, count: usize, blob: Option<&LayerBlob>) {
        let id = Id::next();
        self.resolver.reporter.event(Event::LayerStarted { id, name: planned.name.clone(), index, count });
        self.ended(id, "cached", blob);
    }

    /// Performs the steps of a layer in the sandbox.
    fn run(&mut self, planned: &PlannedLayer, index: usize, count: usize) -> Result<Option<LayerBlob>> {
        let id = Id::next();
        self.resolver.reporter.event(Event::LayerStarted { id, name: planned.name.clone(), index, count });
        let mut blob = None;
        if !planned.steps.is_empty() {
            self.begin()?;
            for step in &planned.steps {
                self.step(step, planned, id)?;
            }
            let (compression, epoch) = (self.inputs.compression, self.inputs.epoch);
            blob = self.target()?.commit(compression, epoch)?;
        }
        self.ended(id, if blob.is_some() { "built" } else { "no change" }, blob.as_ref());
        Ok(blob)
    }

    fn step(&mut self, step: &Step, planned: &PlannedLayer, id: Id) -> Result<()> {
        let reporter = self.resolver.reporter;
        reporter.event(Event::TaskStarted { layer: id, name: step.name.clone() });
        let files = self.files(step)?;
        let secrets = &self.lowered.secrets;
        let mut lines = Lines::new(reporter, secrets, id);
        let outcome = self.target()?.perform(&revealed(step, secrets), files, |piece| lines.take(&piece));
        let output = lines.finish();
        let (message, exit, hint) = match outcome {
            Ok(Outcome::Ran) => {
                reporter.event(Event::TaskEnded { layer: id });
                return Ok(());
            }
            Ok(Outcome::Skipped(reason)) => {
                reporter.event(Event::TaskSkipped { layer: id, name: step.name.clone(), reason });
                return Ok(());
            }
            Ok(Outcome::Failed { message, exit }) => (message, exit, None),
            Err(RequestError::Failed { message, hint }) => (message, None, hint),
            Err(error) => return Err(error.into()),
        };
        // What is there now is worth a look; that it cannot be kept is no further failure.
        let (compression, epoch) = (self.inputs.compression, self.inputs.epoch);
        let partial = self.target()?.commit(compression, epoch).ok().flatten();
        let failure = TaskFailure {
            task: step.name.clone(),
            action: step.action.clone(),
            layer: planned.name.clone(),
            file: step.file.clone(),
            line: step.line,
            message: secrets.mask(&message),
            exit,
            output,
            hint,
            image: None,
        };
        Err(BuildError::Task { failure: Box::new(failure), partial })
    }

    /// Where the sources of a step are, once they are there.
    fn files(&mut self, step: &Step) -> Result<Vec<(Source, PathBuf)>> {
        let mut files = Vec::new();
        for source in step.sources() {
            let failed = |error| {
                let (task, file, line) = (step.name.clone(), step.file.clone(), step.line);
                BuildError::Download { task, file, line, error }
            };
            let path = match source {
                Source::Local { path } => local(self.directory, path)
                    .map_err(|source| failed(FetchError::Write { url: path.clone(), source }))?,
                Source::Url { url, .. } => {
                    if let Some(task) = self.fetches.remove(source) {
                        joined(self.resolver.runtime.block_on(task)).map_err(failed)?;
                    }
                    let digest = self.inputs.sources.get(source).copied();
                    let download = Download { url: url.clone(), sha256: digest, size: None, part_of: None };
                    let fetched = self.resolver.runtime.block_on(self.resolver.fetcher.fetch(&download));
                    self.resolver.fetcher.path(&fetched.map_err(failed)?.digest)
                }
            };
            files.push((source.clone(), path));
        }
        Ok(files)
    }

    /// Begins a layer on everything so far.
    fn begin(&mut self) -> Result<()> {
        let trees = self.trees(&BTreeSet::new())?;
        let env = config_env(&self.base.image.config).into_iter().collect();
        Ok(self.target()?.begin(trees, env)?)
    }

    /// Runs a command in an image. Gives its exit code and, with `keep`, what it changed.
    pub fn run_in(
        resolver: &Resolver<'_>,
        image: &Image,
        command: Interactive,
        keep: bool,
    ) -> Result<(i32, Option<LayerBlob>)> {
        let mut base = Base { identity: image.identity, origin: Origin::Store, image: image.clone() };
        let (compression, epoch) = (resolver.compression, DEFAULT_EPOCH);
        let inputs = Inputs { base: image.identity, sources: BTreeMap::new(), compression, epoch };
        let lowered = Lowered::default();
        let mut session = Session::new(resolver, &mut base, Path::new("/"), &lowered, &inputs, 0);
        session.begin()?;
        let target = session.target()?;
        let code = target.run(command)?;
        let kept = if keep {
            target.commit(compression, epoch)?
        } else {
            target.discard()?;
            None
        };
        session.finish()?;
        Ok((code, kept))
    }

    /// Ends the worker, and waits for what is still sent.
    pub fn finish(mut self) -> Result<()> {
        let ended = self.target.take().map_or(Ok(()), |target| Ok(target.finish()?));
        if let Some(uploads) = self.uploads.take() {
            uploads.finish();
        }
        ended
    }
}

fn joined<T>(
    done: std::result::Result<std::result::Result<T, FetchError>, tokio::task::JoinError>,
) -> std::result::Result<T, FetchError> {
    done.map_err(|error| FetchError::Transport(error.to_string()))?
}

/// True if programs of the platform run here, natively or by binfmt_misc.
pub fn can_run(platform: &Platform) -> bool {
    let native = Platform::of_this_machine();
    if platform.architecture == native.architecture {
        return true;
    }
    let qemu = match platform.architecture.as_str() {
        "amd64" => "x86_64",
        "arm64" => "aarch64",
        "386" => return native.architecture == "amd64",
        other => other,
    };
    Path::new("/proc/sys/fs/binfmt_misc").join(format!("qemu-{qemu}")).exists()
}
