//! A build: what is there already is found by key, what is missing is made, and the image is put together.
//!
//! Nothing that is not needed happens: with every layer found, no base is pulled, nothing is unpacked and no sandbox
//! starts. Only a config and a manifest are written.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use layers::compress::Compression;
use layers::digest::{Digest, Hasher};
use layers::media_type::Descriptor;
use layers::store::LayerBlob;

use crate::cache::{self, LayerRecord};
use crate::event::{Event, Id};
use crate::image::{Composed, Image, Layer, NewLayer, compose, config_env};
use crate::op::{Secrets, Step};
use crate::plan::{self, ImageSpec, Inputs, Layering, Lowered, Plan, PlannedLayer, Platform, Trace};
use crate::registry::Reference;
use crate::resolve::{Base, Resolver};
use crate::target::DEFAULT_EPOCH;

mod archives;
mod error;
mod forecast;
mod output;
mod session;
mod uploads;
mod verify;

pub use error::{BuildError, TaskFailure};
pub use forecast::{Forecast, ForecastDownload, ForecastLayer, forecast};
pub(crate) use output::Lines;
pub use session::{Session, can_run, ensure_blobs};
pub use verify::{LayerVerdict, Subject, Verdict, changed, verify};

const PROFILES: &str = "profiles";
/// What container runtimes stack (Docker's overlay2 driver, `maxDepth`).
const MOST_LAYERS: usize = 127;

/// What a build depends on beside the blueprint.
#[derive(Clone, Debug)]
pub struct Options {
    /// Of layers.
    pub compression: Compression,
    /// `SOURCE_DATE_EPOCH`, in seconds since 1970.
    pub epoch: u64,
    /// Task files that are built anew.
    pub no_cache: NoCache,
    /// How task files become layers.
    pub layering: Layering,
    /// Where finished layers are sent while later ones are made.
    pub push: Vec<Reference>,
}

/// Which layers are built although they are there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NoCache {
    /// None.
    #[default]
    Nothing,
    /// All of the blueprint's.
    Everything,
    /// Those with a task that says `always_run`.
    AlwaysRun,
    /// Those of these task files.
    Files(BTreeSet<String>),
}

impl NoCache {
    fn covers(&self, layer: &PlannedLayer) -> bool {
        match self {
            Self::Nothing => false,
            Self::Everything => true,
            Self::AlwaysRun => layer.steps.iter().any(|step| step.guards.always_run),
            Self::Files(files) => layer.files.iter().any(|file| files.contains(file)),
        }
    }
}

/// One layer of a built image.
#[derive(Clone, Debug)]
pub struct BuiltLayer {
    /// The task file.
    pub name: String,
    /// It was there.
    pub cached: bool,
    /// `None` when its tasks changed nothing.
    pub blob: Option<LayerBlob>,
}

/// A built image.
#[derive(Debug)]
pub struct Built {
    /// The manifest, stored.
    pub manifest: Descriptor,
    /// The config's digest.
    pub config: Digest,
    /// What it stands on.
    pub base: Base,
    /// The blueprint's layers, lowest first.
    pub layers: Vec<BuiltLayer>,
    /// What was to be done.
    pub plan: Plan,
}

/// What names stand for.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The base.
    pub base: Base,
    /// All else, as values.
    pub inputs: Inputs,
}

/// Finds out what the names in `lowered` stand for; `directory` is the blueprint's.
pub fn resolve(
    resolver: &Resolver<'_>,
    directory: &Path,
    lowered: &Lowered,
    options: &Options,
) -> Result<Resolved, BuildError> {
    let base = resolver.base(&lowered.base)?;
    let steps: Vec<&Step> = lowered.layers.iter().flat_map(|layer| &layer.steps).collect();
    let sources = resolver.sources(directory, &steps)?;
    let inputs = Inputs { base: base.identity, sources, compression: options.compression, epoch: options.epoch };
    Ok(Resolved { base, inputs })
}

/// Builds what `lowered` asks for; `directory` is the blueprint's.
pub fn build(
    resolver: &Resolver<'_>,
    directory: &Path,
    lowered: Lowered,
    options: &Options,
) -> Result<Built, BuildError> {
    let resolved = resolve(resolver, directory, &lowered, options)?;
    make(resolver, directory, lowered, resolved, options)
}

/// Builds it from what names were found to stand for.
pub fn make(
    resolver: &Resolver<'_>,
    directory: &Path,
    mut lowered: Lowered,
    resolved: Resolved,
    options: &Options,
) -> Result<Built, BuildError> {
    let Resolved { mut base, inputs } = resolved;
    let plan = planned(&mut lowered, resolver.platform, &inputs, options.layering, Some(&base))?;
    let found = find(resolver, &plan, options)?;
    report(resolver, &lowered.base, &plan, &found);
    let lasts = forecast::lasts(resolver, &lowered.name)?;
    because(resolver, &plan, found.len(), &lowered, &inputs, &lasts)?;
    let mut session = Session::new(resolver, &mut base, directory, &lowered, &inputs, found.len());
    let mut done: Vec<BuiltLayer> = Vec::new();
    if found.len() < plan.layers.len() {
        session.push_to(&options.push);
    }
    for record in found {
        session.stand_on(record.layer.as_ref(), record.archive);
        done.push(BuiltLayer { name: record.name, cached: true, blob: record.layer });
    }
    session.prefetch(&plan.layers, done.len(), &options.no_cache);
    session.base_layer()?;
    for (index, layer) in plan.layers.iter().enumerate().skip(done.len()) {
        let forced = options.no_cache.covers(layer);
        let made = session.layer(layer, index + 1, plan.layers.len(), forced);
        let (blob, cached) = made.map_err(|error| failed(error, &session, &done, &lowered.image))?;
        done.push(BuiltLayer { name: layer.name.clone(), cached, blob });
    }
    forecast::remember(resolver, &lowered.name, &plan, &lasts)?;
    let profile = profile(&mut session, &lowered.image)?;
    let image = session.image();
    session.finish()?;
    let composed = composed(&image, &done, &lowered.image, &profile, resolver, options.epoch);
    store(resolver, &composed)?;
    let config = Digest::of(&composed.config);
    base.image = image;
    Ok(Built { manifest: composed.descriptor, config, base, layers: done, plan })
}

/// Layers with their keys.
fn planned(
    lowered: &mut Lowered,
    platform: &Platform,
    inputs: &Inputs,
    layering: Layering,
    base: Option<&Base>,
) -> Result<Plan, BuildError> {
    // A base of packages is one layer, and so is what `alloy run --rw` keeps.
    let below = base.map_or(1, |base| base.image.layers.len().max(1));
    let layers = plan::split(std::mem::take(&mut lowered.layers), layering, MOST_LAYERS.saturating_sub(below + 1));
    Plan::new(layers, platform, inputs).map_err(BuildError::UnknownSource)
}

/// The records of all layers from the lowest up to the first that is missing, or to be built anew.
fn find(resolver: &Resolver<'_>, plan: &Plan, options: &Options) -> Result<Vec<LayerRecord>, BuildError> {
    let mut found = Vec::new();
    for layer in &plan.layers {
        if options.no_cache.covers(layer) {
            break;
        }
        match cache::find(resolver.store, &layer.key)? {
            Some(record) => found.push(LayerRecord { name: layer.name.clone(), ..record }),
            None => break,
        }
    }
    Ok(found)
}

fn report(resolver: &Resolver<'_>, base: &str, plan: &Plan, found: &[LayerRecord]) {
    let count = plan.layers.len();
    let cached = |name: &str, index, size| {
        let id = Id::next();
        resolver.reporter.event(Event::LayerStarted { id, name: name.to_owned(), index, count });
        resolver.reporter.event(Event::LayerEnded { id, outcome: "cached", size });
    };
    if found.len() == count {
        cached(base, 0, None);
    }
    for (index, record) in found.iter().enumerate() {
        cached(&record.name, index + 1, record.layer.as_ref().map(|layer| layer.descriptor.size));
    }
}

/// Says why the first layer that is missing is missing; those above it follow.
fn because(
    resolver: &Resolver<'_>,
    plan: &Plan,
    first: usize,
    lowered: &Lowered,
    inputs: &Inputs,
    lasts: &forecast::Lasts,
) -> Result<(), BuildError> {
    let Some(layer) = plan.layers.get(first).filter(|layer| lasts.contains_key(&layer.name)) else { return Ok(()) };
    for reason in forecast::why(resolver, layer, lowered, inputs, lasts, None)? {
        resolver.reporter.event(Event::Note(format!("{} is built anew: {reason}", layer.name)));
    }
    Ok(())
}

fn composed(
    base: &Image,
    layers: &[BuiltLayer],
    spec: &ImageSpec,
    profile: &BTreeMap<String, String>,
    resolver: &Resolver<'_>,
    epoch: u64,
) -> Composed {
    let new = layers.iter().map(|built| NewLayer { name: built.name.clone(), layer: built.blob.as_ref().map(layer) });
    compose(base, &new.collect::<Vec<_>>(), spec, profile, resolver.platform, epoch)
}

fn layer(blob: &LayerBlob) -> Layer {
    Layer { descriptor: blob.descriptor.clone(), diff_id: blob.diff_id }
}

fn store(resolver: &Resolver<'_>, composed: &Composed) -> Result<(), BuildError> {
    resolver.store.put_blob(&composed.config)?;
    resolver.store.put_blob(&composed.manifest)?;
    Ok(())
}

/// A failed task leaves an image to look into.
fn failed(error: BuildError, session: &Session<'_>, done: &[BuiltLayer], spec: &ImageSpec) -> BuildError {
    let BuildError::Task { mut failure, partial } = error else { return error };
    let mut layers = done.to_vec();
    let name = failure.layer.clone();
    layers.push(BuiltLayer { name, cached: false, blob: partial.clone() });
    let resolver = session.resolver();
    let composed = composed(&session.image(), &layers, spec, &BTreeMap::new(), resolver, session.epoch());
    if store(resolver, &composed).is_ok() {
        failure.image = Some(composed.descriptor);
    }
    BuildError::Task { failure, partial }
}

/// What a login shell sets beyond the image's environment. Known by what it depends on, so that it is asked once.
fn profile(session: &mut Session<'_>, spec: &ImageSpec) -> Result<BTreeMap<String, String>, BuildError> {
    if !spec.env_from_profile {
        return Ok(BTreeMap::new());
    }
    let image = session.image();
    let env: BTreeMap<String, String> = config_env(&image.config).into_iter().collect();
    let user = spec.user.as_deref().and_then(|user| user.split(':').next()).unwrap_or("root");
    let mut key = Hasher::new();
    let mut part = |bytes: &[u8]| {
        key.update(&(bytes.len() as u64).to_le_bytes());
        key.update(bytes);
    };
    part(b"profile 1");
    part(user.as_bytes());
    for (name, value) in &env {
        part(name.as_bytes());
        part(value.as_bytes());
    }
    for diff_id in session.diff_ids() {
        part(diff_id.0.as_bytes());
    }
    let key = key.finish().hex();
    let store = session.resolver().store;
    if let Some(known) = cache::get(store, PROFILES, &key)? {
        return Ok(known);
    }
    let found = session.login_environment(user, env)?;
    cache::put(store, PROFILES, &key, &found)?;
    Ok(found)
}

/// `image` with one more layer, stored: what `alloy run --rw` keeps.
pub fn extended(
    resolver: &Resolver<'_>,
    image: &Image,
    platform: &Platform,
    blob: LayerBlob,
) -> Result<Descriptor, BuildError> {
    let new = NewLayer { name: "run".to_owned(), layer: Some(layer(&blob)) };
    let composed = compose(image, &[new], &ImageSpec::default(), &BTreeMap::new(), platform, DEFAULT_EPOCH);
    store(resolver, &composed)?;
    Ok(composed.descriptor)
}

/// The step with the values of secrets in place of their markers, for whoever performs it alone.
pub(crate) fn revealed(step: &Step, secrets: &Secrets) -> Step {
    use crate::op::{Command, Op};
    let mut step = step.clone();
    step.guards.skip_if = step.guards.skip_if.map(|text| secrets.reveal(&text));
    step.guards.env.values_mut().for_each(|value| *value = secrets.reveal(value));
    for op in &mut step.ops {
        let Op::Run { command, env, .. } = op else { continue };
        match command {
            Command::Shell(text) => *text = secrets.reveal(text),
            Command::Argv(words) => words.iter_mut().for_each(|word| *word = secrets.reveal(word)),
        }
        env.values_mut().for_each(|value| *value = secrets.reveal(value));
    }
    step
}

/// What a record of a layer says.
fn record(layer: &PlannedLayer, trace: &Trace, made: &session::Made) -> LayerRecord {
    let preimage = serde_json::to_value(trace).unwrap_or_default();
    LayerRecord { name: layer.name.clone(), layer: made.blob.clone(), archive: made.archive.clone(), preimage }
}
