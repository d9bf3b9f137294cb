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
use crate::image::{Asked, Composed, Image, Layer, MAX_LAYERS, NewLayer, compose, config_env};
use crate::op::Step;
use crate::plan::{self, ImageSpec, Inputs, LayerKey, Lowered, Plan, PlannedLayer, Platform};
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
mod maker;
mod meant;
mod options;
mod output;
mod performing;
mod space;
mod stack;
mod team;
mod uploads;
mod verify;

pub use advice::{advice, git_advice};
pub use agent::ensure_agent;
pub use blobs::ensure_blobs;
pub use checkouts::advice as checkout_advice;
pub use closures::Closures;
pub use error::{BuildError, TaskFailure};
pub use forecast::{Forecast, ForecastDownload, ForecastLayer};
pub use foreign::Need;
pub use inventory::inventory;
use maker::{Maker, Number};
pub use meant::Lacking;
pub use options::{LookInside, NoCache, Options};
pub(crate) use performing::{Performing, Why};
pub use stack::Stack;
pub use uploads::export;
pub use verify::{LayerVerdict, Verdict};

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
pub struct Built<'a> {
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
    /// What was asked for.
    pub lowered: &'a Lowered,
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

/// A build: what is asked for, of whom, and how. Its stages are [`Build::resolve`], which asks the network what names stand
/// for, and [`Build::run`], which makes what is missing.
#[derive(Clone, Copy)]
pub struct Build<'a> {
    /// Who resolves, for which platform.
    pub resolver: &'a Resolver<'a>,
    /// The blueprint's directory.
    pub directory: &'a Path,
    /// What the blueprint asks for.
    pub lowered: &'a Lowered,
    /// How it is built.
    pub options: &'a Options,
}

impl<'a> Build<'a> {
    /// Finds out what names stand for.
    pub fn resolve(&self) -> Result<Resolved, BuildError> {
        let base = self.resolver.base(&self.lowered.base)?;
        let steps: Vec<&Step> = self.lowered.layers.iter().flat_map(|layer| &layer.steps).collect();
        let sources = self.resolver.sources(self.directory, &steps)?;
        let Options { compression, epoch, .. } = *self.options;
        Ok(Resolved { inputs: Inputs { base: base.identity, sources, compression, epoch }, base, brought: None })
    }

    /// Builds the image from what names were found to stand for. What a cache promised and does not keep is made here.
    pub fn run(&self, mut resolved: Resolved) -> Result<Built<'a>, BuildError> {
        bases::tell_of_triggers(self.resolver, &self.lowered.base, &resolved.base.image);
        let base: BTreeSet<Digest> = resolved.base.image.layers.iter().map(|layer| layer.descriptor.digest).collect();
        loop {
            // Another attempt asks the team anew.
            let brought = resolved.brought.take();
            let whole = |built: Built<'a>| match self.options.whole {
                true => blobs::bring(self.resolver, &built).map(|()| built),
                false => Ok(built),
            };
            match self.attempt(&resolved, brought).and_then(whole) {
                Err(error) => self.put_right(error, &base, &mut resolved)?,
                built => return built,
            }
        }
    }

    /// After an attempt failed of what was believed of others, that is believed no longer, and another attempt helps; any
    /// other error is given back. `base` is what the base is made of.
    fn put_right(&self, error: BuildError, base: &BTreeSet<Digest>, resolved: &mut Resolved) -> Result<(), BuildError> {
        let warn = |text| self.resolver.reporter().event(Event::Warning(text));
        match error {
            BuildError::Lost { digest, reason } if base.contains(&digest) => {
                let reason = format!("it is one of the base {}, and {reason}", self.lowered.base);
                Err(BuildError::Lost { digest, reason })
            }
            // Of every layer at most once: it is not believed again.
            BuildError::Lost { digest, reason } => {
                warn(format!("{}; it is made again", blobs::lose(self.resolver, digest, reason)?));
                Ok(())
            }
            error @ BuildError::Claim { .. } => {
                warn(format!("{error}; the archive is believed"));
                *resolved = self.resolve()?;
                Ok(())
            }
            error => Err(error),
        }
    }

    /// One attempt at it.
    fn attempt(&self, resolved: &Resolved, brought: Option<team::Brought>) -> Result<Built<'a>, BuildError> {
        let Self { resolver, lowered, options, .. } = *self;
        let Resolved { base, inputs, .. } = resolved;
        let unset = |(name, wanted)| BuildError::Unset { name, wanted, base: lowered.base.clone() };
        lowered.image.environment(config_env(&base.image.config)).map_err(unset)?;
        let plan = self.plan(inputs, Some(base))?;
        let brought = brought.map_or_else(|| self.ask_team(&plan, base, inputs), Ok)?;
        let found = self.find(&plan)?;
        let here = found.len() == plan.layers.len() || forecast::here(resolver, base, inputs);
        report(resolver, here.then_some(lowered.base.as_str()), &plan, &found, &brought);
        let lasts = forecast::lasts(resolver, &lowered.name)?;
        let (cached, missing) = plan.layers.split_at(found.len());
        let works = self.runs_here(resolved, missing, &lasts)?;
        agent::before(resolver.ssh(), missing, &lasts, &options.no_cache)?;
        self.say_why(missing.first(), inputs, &lasts)?;
        resolver.witnessed(steps_of(&plan.layers))?;
        let doubted = resolver.ask_doubted(steps_of(cached), steps_of(missing));
        doubted.map_err(|(step, error)| BuildError::of_download(step, error))?;
        let mut maker = Maker::new(self, base.clone(), inputs);
        if works {
            maker.try_out()?;
        }
        maker.upload(&options.push, brought);
        maker.prefetch(&plan.layers, found.len());
        maker.base_layer(plan.layers.len() - missing.len())?;
        let mut done: Vec<BuiltLayer> = Vec::new();
        for (planned, record) in plan.layers.iter().zip(found) {
            let (key, hit) = (Some(planned.key), maker.hit(&planned.key));
            let (name, blob) = (record.name.clone(), record.layer.clone());
            done.push(BuiltLayer { name, key, hit, elapsed: Duration::ZERO, blob });
            maker.take(planned, record)?;
        }
        for (index, layer) in plan.layers.iter().enumerate().skip(done.len()) {
            let start = Instant::now();
            let made = maker.layer(layer, Number { index: index + 1, count: plan.layers.len() });
            let (blob, hit) = made.map_err(|error| failed(error, &maker, &done))?;
            let (name, key) = (layer.name.clone(), Some(layer.key));
            done.push(BuiltLayer { name, key, hit, elapsed: start.elapsed(), blob });
        }
        forecast::remember(resolver, &lowered.name, &plan, &lasts)?;
        let profile = profile(&mut maker, &lowered.image)?;
        let built = done.iter().any(|layer| layer.hit == Hit::Built);
        maker.look_inside(options.look_inside, built)?;
        for (one, place) in resolver.witnessed(steps_of(&plan.layers))? {
            maker.share_value(WITNESS, one.key(), &one, place.as_ref());
        }
        let base = maker.finish()?;
        let composed = self.composed(&base.image, &done, &profile);
        store(resolver, &composed)?;
        let config = Digest::of(&composed.config);
        let own = done.iter().filter(|layer| layer.blob.is_some()).count();
        bases::tell_of_layers(resolver, &lowered.base, base.image.layers.len(), own);
        let inputs = inputs.clone();
        Ok(Built { manifest: composed.descriptor, config, base, layers: done, plan, inputs, lowered })
    }

    /// Layers with their keys. `base` is what it is, where that is known.
    fn plan(&self, inputs: &Inputs, base: Option<&Base>) -> Result<Plan, BuildError> {
        // A base of packages is one layer, and so is what `alloy run --rw` keeps.
        let below = base.map_or(1, |base| base.image.layers.len().max(1));
        let room = MOST_LAYERS.saturating_sub(below + 1);
        let layers = plan::split(self.lowered.layers.clone(), self.options.layering, room);
        let own = layers.len();
        if base.is_some() && below + own > MAX_LAYERS {
            return Err(BuildError::TooManyLayers { base: self.lowered.base.clone(), below, own });
        }
        Plan::new(layers, self.resolver.platform, inputs).map_err(BuildError::UnknownSource)
    }

    /// The records of all layers from the lowest up to the first that is missing, or to be built anew.
    fn find(&self, plan: &Plan) -> Result<Vec<LayerRecord>, BuildError> {
        let mut found = Vec::new();
        for layer in &plan.layers {
            if self.options.no_cache.covers(layer) {
                break;
            }
            match cache::find(self.resolver.store, &layer.key)?.filter(|record| record.fits(layer)) {
                Some(record) => found.push(LayerRecord { name: layer.name.clone(), ..record }),
                None => break,
            }
        }
        Ok(found)
    }

    fn composed(&self, base: &Image, layers: &[BuiltLayer], profile: &BTreeMap<String, String>) -> Composed {
        let new =
            layers.iter().map(|built| NewLayer { name: built.name.clone(), layer: built.blob.as_ref().map(layer) });
        // Docker takes them away from what is built as well, once it has done them.
        let (base, new) = (base.clone().without_triggers(), new.collect::<Vec<_>>());
        let asked = Asked { spec: &self.lowered.image, profile };
        compose(&base, &new, asked, self.resolver.platform, self.options.epoch)
    }
}

fn steps_of(layers: &[PlannedLayer]) -> impl Iterator<Item = &Step> {
    layers.iter().flat_map(|layer| &layer.steps)
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

fn layer(blob: &LayerBlob) -> Layer {
    Layer::new(blob.descriptor.clone(), blob.diff_id)
}

fn store(resolver: &Resolver<'_>, composed: &Composed) -> Result<(), BuildError> {
    resolver.store.put_blob(&composed.config)?;
    resolver.store.put_blob(&composed.manifest)?;
    Ok(())
}

/// A failed task leaves an image to look into.
fn failed(error: BuildError, maker: &Maker<'_>, done: &[BuiltLayer]) -> BuildError {
    let BuildError::Task { mut failure, partial } = error else { return error };
    let mut layers = done.to_vec();
    let name = failure.layer.clone();
    layers.push(BuiltLayer { name, key: None, hit: Hit::Built, elapsed: Duration::ZERO, blob: partial.clone() });
    let build = maker.build();
    let composed = build.composed(&maker.image(), &layers, &BTreeMap::new());
    if store(build.resolver, &composed).is_ok() {
        failure.image = Some(composed.descriptor);
    }
    BuildError::Task { failure, partial }
}

/// What a login shell sets beyond the image's environment. Known by what it depends on, so that it is asked once.
fn profile(maker: &mut Maker<'_>, spec: &ImageSpec) -> Result<BTreeMap<String, String>, BuildError> {
    if !spec.env_from_profile {
        return Ok(BTreeMap::new());
    }
    let image = maker.image();
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
    for diff_id in maker.diff_ids() {
        key.part(diff_id.0.as_bytes());
    }
    maker.value(cache::PROFILES, cache::PROFILE, key.finish(), |maker| maker.login_environment(user, env))
}

/// `image` with one more layer, stored: what `alloy run --rw` keeps.
pub fn extended(
    resolver: &Resolver<'_>,
    image: &Image,
    platform: &Platform,
    blob: LayerBlob,
) -> Result<Descriptor, BuildError> {
    let new = NewLayer { name: "run".to_owned(), layer: Some(layer(&blob)) };
    let asked = Asked { spec: &ImageSpec::default(), profile: &BTreeMap::new() };
    let composed = compose(image, &[new], asked, platform, DEFAULT_EPOCH);
    store(resolver, &composed)?;
    Ok(composed.descriptor)
}
