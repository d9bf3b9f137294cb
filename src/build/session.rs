//! The part of a build that makes things: a worker, started when the first layer is missing, and the trees it stands on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use layers::digest::{ChainId, DiffId};
use layers::media_type::Descriptor;
use layers::store::LayerBlob;
use tokio::task::JoinHandle;

use super::error::{BuildError, TaskFailure};
use super::output::Lines;
use super::{layer, record, revealed};
use crate::cache;
use crate::debian::BasePlan;
use crate::event::{Event, Id};
use crate::fetch::{Download, FetchError, Fetched, Transfer};
use crate::image::{Image, config_env};
use crate::op::{Source, Step};
use crate::plan::{Inputs, LayerKey, Lowered, PlannedLayer, Platform, Trace};
use crate::resolve::{Base, Origin, Resolver, local};
use crate::target::image::{ImageTarget, RequestError};
use crate::target::request::{Interactive, Outcome};
use crate::target::{DEFAULT_EPOCH, Lent};

type Result<T> = std::result::Result<T, BuildError>;

/// A layer below the one being made.
#[derive(Clone, Debug)]
struct Below {
    /// Name of its tree.
    tree: String,
    blob: Descriptor,
}

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
    made: Vec<LayerBlob>,
    /// Layers that were found and not made.
    found: usize,
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
        Self { resolver, base, directory, lowered, inputs, target: None, fetches, made, found }
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
        base.chain(self.made.iter().map(|blob| blob.diff_id)).collect()
    }

    /// The next layer stands on this one.
    pub fn stand_on(&mut self, layer: Option<&LayerBlob>) {
        self.made.extend(layer.cloned());
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

    /// Fills in the layer of a base that is made from packages, and makes it where it is missing.
    pub fn base_layer(&mut self) -> Result<()> {
        let Origin::Archive(plan) = self.base.origin.clone() else { return Ok(()) };
        if !self.base.image.layers.is_empty() {
            return Ok(());
        }
        let key = LayerKey::of_base(self.base.identity, self.inputs);
        let store = self.resolver.store;
        let mut known = cache::find(store, &key)?.and_then(|record| record.layer);
        if known.is_none() {
            // Another build may be making the same one.
            let _lock = store.lock(&format!("layer-{}", key.hex()))?;
            known = cache::find(store, &key)?.and_then(|record| record.layer);
            if known.is_none() {
                known = self.assemble(&plan, &key)?;
            }
        }
        self.base.image.layers.extend(known.as_ref().map(layer));
        Ok(())
    }

    fn assemble(&mut self, plan: &BasePlan, key: &LayerKey) -> Result<Option<LayerBlob>> {
        let id = Id::next();
        let name = format!("deb:{}", plan.suite);
        self.resolver.reporter.event(Event::LayerStarted { id, name, index: 0, count: self.found });
        let debs = self.debs(plan)?;
        let (compression, epoch) = (self.inputs.compression, self.inputs.epoch);
        let target = self.target()?;
        target.begin(Vec::new(), BTreeMap::new())?;
        target.assemble(plan, debs)?;
        let blob = target.commit(compression, epoch)?;
        let preimage = serde_json::json!({"suite": plan.suite, "date": plan.date, "identity": plan.identity()});
        let record = cache::LayerRecord { name: "base".into(), layer: blob.clone(), preimage };
        cache::keep(self.resolver.store, key, &record)?;
        self.ended(id, "built", blob.as_ref());
        Ok(blob)
    }

    fn ended(&self, id: Id, outcome: &'static str, blob: Option<&LayerBlob>) {
        let size = blob.map(|blob| blob.descriptor.size);
        self.resolver.reporter.event(Event::LayerEnded { id, outcome, size });
    }

    /// All packages, shown as one transfer.
    fn debs(&self, plan: &BasePlan) -> Result<Vec<PathBuf>> {
        let fetcher = self.resolver.fetcher;
        let total = plan.packages.iter().map(|package| package.size).sum();
        let missing = plan.packages.iter().any(|package| !fetcher.have(&package.sha256));
        let name = format!("{} packages", plan.packages.len());
        let transfer = missing.then(|| Transfer::start(fetcher.reporter(), name, Some(total)));
        let tasks: Vec<_> = plan
            .packages
            .iter()
            .map(|package| {
                let (url, sha256, size) = (package.url.clone(), Some(package.sha256), Some(package.size));
                let download = Download { url, sha256, size, part_of: transfer.clone() };
                let fetcher = fetcher.clone();
                self.resolver.runtime.spawn(async move { fetcher.fetch(&download).await })
            })
            .collect();
        for task in tasks {
            joined(self.resolver.runtime.block_on(task)).map_err(crate::debian::DebianError::from)?;
        }
        Ok(plan.packages.iter().map(|package| fetcher.path(&package.sha256)).collect())
    }

    /// Begins to fetch all that `layers` need, side by side with whatever comes first.
    pub fn prefetch(&mut self, layers: &[PlannedLayer]) {
        for step in layers.iter().flat_map(|layer| &layer.steps) {
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
    }

    /// Makes a layer, unless another build was faster. True if it was there.
    pub fn layer(
        &mut self,
        planned: &PlannedLayer,
        index: usize,
        count: usize,
        forced: bool,
    ) -> Result<(Option<LayerBlob>, bool)> {
        let store = self.resolver.store;
        let _lock = store.lock(&format!("layer-{}", planned.key.hex()))?;
        let id = Id::next();
        let name = planned.name.clone();
        self.resolver.reporter.event(Event::LayerStarted { id, name, index, count });
        if !forced && let Some(record) = cache::find(store, &planned.key)? {
            self.ended(id, "cached", record.layer.as_ref());
            return Ok((record.layer, true));
        }
        self.begin()?;
        for step in &planned.steps {
            self.step(step, planned, id)?;
        }
        let (compression, epoch) = (self.inputs.compression, self.inputs.epoch);
        let blob = self.target()?.commit(compression, epoch)?;
        let trace = Trace::of(planned, &self.lowered.base, self.inputs);
        cache::keep(store, &planned.key, &record(planned, &trace, blob.clone()))?;
        self.ended(id, if blob.is_some() { "built" } else { "no change" }, blob.as_ref());
        Ok((blob, false))
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
        let trees = self.trees()?;
        let env = config_env(&self.base.image.config).into_iter().collect();
        Ok(self.target()?.begin(trees, env)?)
    }

    /// Trees of all layers so far, topmost first; those that are missing are unpacked, those that cannot are pulled.
    fn trees(&mut self) -> Result<Vec<String>> {
        let foreign = !matches!(self.base.origin, Origin::Archive(_));
        let mut stack: Vec<Below> = Vec::new();
        let mut chain: Option<ChainId> = None;
        for layer in &self.base.image.layers {
            chain = Some(ChainId::extend(chain, layer.diff_id));
            // A foreign layer may leave out directories: its tree takes them from what is below. Those of alloy do not.
            let own = layer.diff_id.0.hex();
            let name = match chain.filter(|_| foreign && self.resolver.store.tree(&own).is_none()) {
                Some(chain) => format!("chain-{}", chain.0.hex()),
                None => own,
            };
            stack.push(Below { tree: name, blob: layer.descriptor.clone() });
        }
        let made = self.made.iter();
        stack.extend(made.map(|blob| Below { tree: blob.diff_id.0.hex(), blob: blob.descriptor.clone() }));
        let missing: Vec<&Below> =
            stack.iter().filter(|below| self.resolver.store.tree(&below.tree).is_none()).collect();
        let blobs: Vec<Descriptor> = missing.iter().map(|below| below.blob.clone()).collect();
        let origin = match &self.base.origin {
            Origin::Registry(reference) => Some(reference.clone()),
            _ => None,
        };
        ensure_blobs(self.resolver, &blobs, origin.as_deref())?;
        for at in 0..stack.len() {
            let below = stack[at].clone();
            if self.resolver.store.tree(&below.tree).is_some() {
                continue;
            }
            let parents = stack[..at].iter().rev().map(|below| below.tree.clone()).collect();
            let skipped = self.target()?.unpack(below.blob.digest, below.tree, parents)?;
            if !skipped.is_empty() {
                let warning = format!("device nodes of the base cannot be made without root: {}", skipped.join(", "));
                self.resolver.reporter.event(Event::Warning(warning));
            }
        }
        Ok(stack.into_iter().rev().map(|below| below.tree).collect())
    }

    /// What a login shell of `user` changes of `env`.
    pub fn login_environment(&mut self, user: &str, env: BTreeMap<String, String>) -> Result<BTreeMap<String, String>> {
        let trees = self.trees()?;
        let target = self.target()?;
        target.begin(trees, env.clone())?;
        let found = target.login_environment(user);
        target.discard()?;
        let lent = Lent::by_this_machine(|name| std::env::var(name).ok()).env;
        let own: BTreeSet<&str> = [
            "_",
            "APT_CONFIG",
            "DEBIAN_FRONTEND",
            "HOME",
            "HOSTNAME",
            "LOGNAME",
            "MAIL",
            "OLDPWD",
            "PWD",
            "PYTHONHASHSEED",
            "SHELL",
            "SHLVL",
            "SOURCE_DATE_EPOCH",
            "TERM",
            "USER",
        ]
        .into();
        let changed = found?.into_iter().filter(|(name, value)| {
            !own.contains(name.as_str()) && lent.get(name) != Some(value) && env.get(name) != Some(value)
        });
        Ok(changed.collect())
    }

    /// Runs a command in an image. Gives its exit code and, with `keep`, what it changed.
    pub fn run(
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

    /// Ends the worker.
    pub fn finish(mut self) -> Result<()> {
        self.target.take().map_or(Ok(()), |target| Ok(target.finish()?))
    }
}

/// Pulls those of `blobs` that are not in the store from `origin`, a registry reference.
pub fn ensure_blobs(resolver: &Resolver<'_>, blobs: &[Descriptor], origin: Option<&str>) -> Result<()> {
    let missing: Vec<&Descriptor> = blobs.iter().filter(|blob| !resolver.store.contains(&blob.digest)).collect();
    let (Some(origin), false) = (origin, missing.is_empty()) else { return Ok(()) };
    let reference = origin.parse().map_err(|error| {
        BuildError::Resolve(crate::resolve::ResolveError::Base(crate::image::BaseRefError::Reference(error)))
    })?;
    let client = resolver.client(&reference)?;
    let tasks: Vec<_> = missing
        .into_iter()
        .map(|blob| {
            let (client, blob) = (client.clone(), blob.clone());
            resolver.runtime.spawn(async move { client.blob(&blob).await })
        })
        .collect();
    for task in tasks {
        let done = resolver.runtime.block_on(task);
        done.map_err(|error| FetchError::Transport(error.to_string()))
            .map_err(crate::registry::RegistryError::from)??;
    }
    Ok(())
}

fn joined<T>(
    done: std::result::Result<std::result::Result<T, FetchError>, tokio::task::JoinError>,
) -> std::result::Result<T, FetchError> {
    done.map_err(|error| FetchError::Transport(error.to_string()))?
}

/// True if programs of the platform run here, natively or by binfmt_misc.
fn can_run(platform: &Platform) -> bool {
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
