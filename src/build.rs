//! A build: what is there already is found by key, what is missing is made, and the image is put together.
//!
//! Nothing that is not needed happens: with every layer found, no base is pulled, nothing is unpacked and no sandbox
//! starts. Only a config and a manifest are written.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use layers::digest::Digest;
use layers::key::KeyHasher;
use layers::media_type::Descriptor;
use layers::store::LayerBlob;

use crate::cache::{self, LayerRecord, Place};
use crate::event::{Event, Id};
use crate::image::{Composed, Image, Layer, MAX_LAYERS, NewLayer, compose, config_env};
use crate::op::Step;
use crate::plan::{self, ImageSpec, Inputs, LayerKey, Layering, Lowered, Plan, PlannedLayer, Platform};
use crate::resolve::{Base, Resolver, WITNESS};
use crate::target::DEFAULT_EPOCH;

mod advice;
mod agent;
mod archives;
mod bases;
mod blobs;
mod checkouts;
mod closures;
mod error;
mod forecast;
mod foreign;
mod inventory;
mod meant;
mod options;
mod output;
mod session;
mod space;
mod team;
mod uploads;
mod verify;

pub use advice::{advice, git_advice, unspoken};
pub use agent::ensure_agent;
pub use blobs::ensure_blobs;
pub use checkouts::advice as checkout_advice;
pub use closures::{Closures, closures};
pub use error::{BuildError, TaskFailure};
pub use forecast::{Forecast, ForecastDownload, ForecastLayer, forecast};
pub use foreign::{Need, foresee};
pub use inventory::inventory;
pub use meant::{Lacking, lacking, lacking_to_lock};
pub use options::{LookInside, NoCache, Options};
pub(crate) use output::Lines;
pub use session::Session;
pub use space::told as told_of_space;
pub use uploads::export;
pub use verify::{LayerVerdict, Subject, Verdict, changed, verify};

/// How a layer ended that nobody here had, but the team.
const SHARED: &str = "cached by the team";
/// What container runtimes stack (Docker's overlay2 driver, `maxDepth`).
const MOST_LAYERS: usize = 127;

/// How a layer came to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hit {
    /// It was here.
    Local,
    /// A cache of the team knew it.
    Team(Place),
    /// It was made.
    Built,
}

/// One layer of a built image.
#[derive(Clone, Debug)]
pub struct BuiltLayer {
    /// The task file.
    pub name: String,
    /// What it is found under; `None` for what a failed build left.
    pub key: Option<LayerKey>,
    /// How it came to be there.
    pub hit: Hit,
    /// How long that took.
    pub elapsed: Duration,
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
    /// What it was done with.
    pub inputs: Inputs,
    /// The blueprint, its layers taken out.
    pub lowered: Lowered,
}

/// What names stand for.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The base.
    pub base: Base,
    /// All else, as values.
    pub inputs: Inputs,
    /// What the team's caches brought, if they were asked already.
    brought: Option<team::Brought>,
}

impl Resolved {
    /// Asks the team's caches for what `plan` may use, once: whoever foresees a build leaves the answers to it.
    fn bring(
        &mut self,
        resolver: &Resolver<'_>,
        plan: &Plan,
        lowered: &Lowered,
        options: &Options,
    ) -> Result<(), BuildError> {
        if self.brought.is_none() {
            self.brought = Some(team::bring(resolver, plan, &self.base, lowered, &self.inputs, options)?);
        }
        Ok(())
    }
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
    Ok(Resolved { base, inputs, brought: None })
}

/// Builds what `lowered` asks for from what names were found to stand for; `directory` is the blueprint's. What a cache
/// promised and does not keep is made here.
pub fn build(
    resolver: &Resolver<'_>,
    directory: &Path,
    lowered: Lowered,
    mut resolved: Resolved,
    options: &Options,
) -> Result<Built, BuildError> {
    bases::tell_of_triggers(resolver, &lowered.base, &resolved.base.image);
    let base: BTreeSet<Digest> = resolved.base.image.layers.iter().map(|layer| layer.descriptor.digest).collect();
    loop {
        let made = make(resolver, directory, lowered.clone(), resolved.clone(), options);
        // Another attempt asks anew.
        resolved.brought = None;
        let made = made.and_then(|built| match options.whole {
            true => blobs::bring(resolver, &built).map(|()| built),
            false => Ok(built),
        });
        match made {
            // Of every layer at most once: it is not believed again.
            Err(BuildError::Lost { digest, reason }) if !base.contains(&digest) => {
                let error = blobs::lose(resolver, digest, reason)?;
                resolver.reporter().event(Event::Warning(format!("{error}; it is made again")));
            }
            Err(BuildError::Lost { digest, reason }) => {
                let reason = format!("it is one of the base {}, and {reason}", lowered.base);
                return Err(BuildError::Lost { digest, reason });
            }
            Err(error @ BuildError::Claim { .. }) => {
                resolver.reporter().event(Event::Warning(format!("{error}; the archive is believed")));
                resolved = resolve(resolver, directory, &lowered, options)?;
            }
            done => return done,
        }
    }
}

/// One attempt at it.
fn make(
    resolver: &Resolver<'_>,
    directory: &Path,
    mut lowered: Lowered,
    mut resolved: Resolved,
    options: &Options,
) -> Result<Built, BuildError> {
    let base = &resolved.base;
    let unset = |(name, wanted)| BuildError::Unset { name, wanted, base: lowered.base.clone() };
    lowered.image.environment(config_env(&base.image.config)).map_err(unset)?;
    let plan = planned(&mut lowered, resolver.platform, &resolved.inputs, options.layering, Some(base))?;
    resolved.bring(resolver, &plan, &lowered, options)?;
    let Resolved { mut base, inputs, brought } = resolved;
    let brought = brought.unwrap_or_default();
    let found = find(resolver, &plan, options)?;
    let here = found.len() == plan.layers.len() || forecast::here(resolver, &base, &inputs);
    report(resolver, here.then_some(lowered.base.as_str()), &plan, &found, &brought);
    let lasts = forecast::lasts(resolver, &lowered.name)?;
    let missing = &plan.layers[found.len()..];
    let works = foreign::before(resolver, &lowered, &base, &inputs, missing, &lasts, &options.no_cache)?;
    agent::before(resolver.ssh(), missing, &lasts, &options.no_cache)?;
    forecast::because(resolver, &plan, found.len(), &lowered, &inputs, (&lasts, &options.no_cache))?;
    let (cached, others) = plan.layers.split_at(found.len());
    resolver.witnessed(steps_of(&plan.layers))?;
    let doubted = resolver.ask_doubted(steps_of(cached), steps_of(others));
    doubted.map_err(|(step, error)| BuildError::of_download(step, error))?;
    let mut session = Session::new(resolver, &mut base, directory, &lowered, &inputs, found.len());
    if works {
        session.try_out()?;
    }
    session.upload(&options.push, brought);
    session.prefetch(&plan.layers, found.len(), &options.no_cache);
    session.base_layer()?;
    let mut done: Vec<BuiltLayer> = Vec::new();
    for (planned, record) in plan.layers.iter().zip(found) {
        let (key, hit) = (Some(planned.key), session.hit(&planned.key));
        done.push(BuiltLayer {
            name: record.name.clone(),
            key,
            hit,
            elapsed: Duration::ZERO,
            blob: record.layer.clone(),
        });
        session.take(planned, record)?;
    }
    for (index, layer) in plan.layers.iter().enumerate().skip(done.len()) {
        let (forced, start) = (options.no_cache.covers(layer), Instant::now());
        let made = session.layer(layer, index + 1, plan.layers.len(), forced);
        let (blob, hit) = made.map_err(|error| failed(error, &session, &done, &lowered.image))?;
        done.push(BuiltLayer { name: layer.name.clone(), key: Some(layer.key), hit, elapsed: start.elapsed(), blob });
    }
    forecast::remember(resolver, &lowered.name, &plan, &lasts)?;
    let profile = profile(&mut session, &lowered.image)?;
    let built = done.iter().any(|layer| layer.hit == Hit::Built);
    session.look_inside(options.look_inside, built)?;
    for (one, place) in resolver.witnessed(steps_of(&plan.layers))? {
        session.share_value(WITNESS, one.key(), &one, place.as_ref());
    }
    let image = session.image();
    session.finish()?;
    let composed = composed(&image, &done, &lowered.image, &profile, resolver, options.epoch);
    store(resolver, &composed)?;
    let config = Digest::of(&composed.config);
    let own = done.iter().filter(|layer| layer.blob.is_some()).count();
    bases::tell_of_layers(resolver, &lowered.base, image.layers.len(), own);
    base.image = image;
    Ok(Built { manifest: composed.descriptor, config, base, layers: done, plan, inputs, lowered })
}

fn steps_of(layers: &[PlannedLayer]) -> impl Iterator<Item = &Step> {
    layers.iter().flat_map(|layer| &layer.steps)
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
    let own = layers.len();
    if base.is_some() && below + own > MAX_LAYERS {
        return Err(BuildError::TooManyLayers { base: lowered.base.clone(), below, own });
    }
    Plan::new(layers, platform, inputs).map_err(BuildError::UnknownSource)
}

/// The records of all layers from the lowest up to the first that is missing, or to be built anew.
fn find(resolver: &Resolver<'_>, plan: &Plan, options: &Options) -> Result<Vec<LayerRecord>, BuildError> {
    let mut found = Vec::new();
    for layer in &plan.layers {
        if options.no_cache.covers(layer) {
            break;
        }
        match cache::find(resolver.store, &layer.key)?.filter(|record| record.fits(layer)) {
            Some(record) => found.push(LayerRecord { name: layer.name.clone(), ..record }),
            None => break,
        }
    }
    Ok(found)
}

/// Says what is there already: the base, if nothing of it has to come, and layers.
fn report(resolver: &Resolver<'_>, base: Option<&str>, plan: &Plan, found: &[LayerRecord], brought: &team::Brought) {
    let count = plan.layers.len();
    let cached = |name: &str, index, outcome, size| {
        let id = Id::next();
        resolver.reporter().event(Event::LayerStarted { id, name: name.to_owned(), index, count });
        resolver.reporter().event(Event::LayerEnded { id, outcome, size });
    };
    if let Some(base) = base {
        cached(base, 0, "cached", None);
    }
    for (index, (record, planned)) in found.iter().zip(&plan.layers).enumerate() {
        let outcome = if brought.contains_key(&planned.key.digest()) { SHARED } else { "cached" };
        cached(&record.name, index + 1, outcome, record.layer.as_ref().map(|layer| layer.descriptor.size));
    }
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
    // Docker takes them away from what is built as well, once it has done them.
    compose(&base.clone().without_triggers(), &new.collect::<Vec<_>>(), spec, profile, resolver.platform, epoch)
}

fn layer(blob: &LayerBlob) -> Layer {
    Layer::new(blob.descriptor.clone(), blob.diff_id)
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
    layers.push(BuiltLayer { name, key: None, hit: Hit::Built, elapsed: Duration::ZERO, blob: partial.clone() });
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
    let mut env: BTreeMap<String, String> = config_env(&image.config).into_iter().collect();
    // Scripts of the profile may build on what the blueprint sets. What it adds to PATH is added to what they make of it.
    let own = spec.environment(config_env(&image.config)).unwrap_or_default();
    env.extend(own.into_iter().filter(|(name, _)| name != "PATH"));
    let user = spec.user.as_deref().and_then(|user| user.split(':').next()).unwrap_or("root");
    let mut key = KeyHasher::new("profile 2").with(user);
    for (name, value) in &env {
        key.part(name);
        key.part(value);
    }
    for diff_id in session.diff_ids() {
        key.part(diff_id.0.as_bytes());
    }
    session.value(cache::PROFILES, cache::PROFILE, key.finish(), |session| session.login_environment(user, env))
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
