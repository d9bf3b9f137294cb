//! What a build would do, told without doing any of it: no network, no privileges, nothing written.

use std::collections::{BTreeMap, BTreeSet};

use layers::digest::Digest;
use layers::store::StoreError;

use super::{Build, BuildError, NoCache};
use crate::cache::{self, LayerRecord, Place};
use crate::event::Event;
use crate::op::{Secrets, Source, Step};
use crate::plan::{Inputs, LayerKey, Plan, PlannedLayer, Reason, Trace, explain};
use crate::resolve::{Base, Origin, Resolver};

const LASTS: &str = "lasts";

/// Keys of a blueprint's layers when it was built last, by the layers' names.
pub(super) type Lasts = BTreeMap<String, LayerKey>;

/// What a build would do.
#[derive(Debug)]
pub struct Forecast {
    /// Reference of the base.
    pub base: String,
    /// What it is, if that was asked before.
    pub known: Option<Base>,
    /// The base's own layers are here.
    pub base_here: bool,
    /// What the team's cache has of a base that is not here: its bytes, and where.
    pub base_team: Option<(u64, Place)>,
    /// The blueprint's layers, lowest first.
    pub layers: Vec<ForecastLayer>,
    /// What would be fetched.
    pub downloads: Vec<ForecastDownload>,
}

/// A layer to come.
#[derive(Debug)]
pub struct ForecastLayer {
    /// What it is.
    pub planned: PlannedLayer,
    /// It is here or known to be elsewhere, of this many bytes; `None` when it must be built.
    pub here: Option<u64>,
    /// The team's cache that has it, where nobody else is known to.
    pub team: Option<Place>,
    /// Why it must be built.
    pub reasons: Vec<Reason>,
}

/// Something to be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForecastDownload {
    /// What it is.
    pub name: String,
    /// Bytes, where they are known.
    pub size: Option<u64>,
}

impl Build<'_> {
    /// Foresees the build. `base` is what the base was found to be just now, where that is not known here.
    pub fn forecast(&self, base: Option<Base>) -> Result<Forecast, BuildError> {
        let Build { resolver, directory, lowered, options } = *self;
        let known = resolver.known_base(&lowered.base)?.or(base);
        let steps: Vec<&Step> = lowered.layers.iter().flat_map(|layer| &layer.steps).collect();
        let (mut sources, unknown) = resolver.known_sources(directory, &steps)?;
        // Keys that depend on them are found under nothing.
        sources.extend(unknown.iter().map(|source| (source.clone(), Digest::of(format!("unknown {source:?}")))));
        let base = known.as_ref().map_or_else(|| Digest::of("unknown"), |base| base.identity);
        let inputs = Inputs { base, sources, compression: options.compression, epoch: options.epoch };
        let plan = self.plan(&inputs, known.as_ref())?;
        let lasts = lasts(resolver, &lowered.name)?;
        let (mut shared, base_team) = self.known_to_team(&plan, known.as_ref(), &inputs)?;
        let mut layers: Vec<ForecastLayer> = Vec::new();
        for planned in plan.layers {
            let forced = options.no_cache.covers(&planned);
            let record = cache::find(resolver.store, &planned.key)?.filter(|record| !forced && record.fits(&planned));
            let below = layers.last();
            let here = record.map(|record| record.layer.map_or(0, |blob| blob.descriptor.size));
            // A layer stands on those below: with one of them built anew, it is built anew, unless it is an archive.
            let mut here = here.filter(|_| below.is_none_or(|below| below.here.is_some()));
            let mut team = None;
            if here.is_none()
                && !forced
                && let Some((size, place)) = shared.remove(&planned.key)
                && below.is_none_or(|below| below.here.is_some())
            {
                (here, team) = (Some(size), Some(place));
            }
            if here.is_none() && !forced {
                here = portable(resolver, &planned, &inputs, lowered.image.user.as_deref())?;
            }
            let mut reasons = Vec::new();
            if here.is_none() {
                reasons.extend(forced.then(|| asked(&options.no_cache)));
                if known.is_none() && below.is_none() {
                    let what = format!("what the base {} is has not been asked yet", lowered.base);
                    reasons.push(Reason::new("base-unknown", what));
                }
                for source in planned.steps.iter().flat_map(Step::sources).filter(|source| unknown.contains(source)) {
                    let Source::Url { url, .. } = source else { continue };
                    let what = format!("{url} has no digest yet: neither the blueprint nor the lockfile pins it");
                    reasons.push(Reason::new("unpinned", what));
                }
                let unpinned = reasons.iter().any(|reason| reason.code == "unpinned");
                if !forced && !reasons.iter().any(|reason| reason.code == "base-unknown") {
                    let more = self.why(&planned, &inputs, &lasts, below)?;
                    // What nobody knows cannot be said to have changed.
                    reasons.extend(more.into_iter().filter(|reason| !unpinned || reason.code != "source"));
                }
            }
            layers.push(ForecastLayer { planned, here, team, reasons });
        }
        let base_here = known.as_ref().is_some_and(|base| here(resolver, base, &inputs));
        let built = layers.iter().any(|layer| layer.here.is_none());
        let mut downloads = Vec::new();
        if built && !base_here && base_team.is_none() {
            downloads.extend(known.as_ref().map(|base| base_downloads(resolver, base)).unwrap_or_default());
        }
        downloads.extend(files(resolver, &layers, &inputs, &unknown, &lowered.sizes));
        // Of what the team has, the team knows it.
        let own = layers.iter().filter(|layer| layer.team.is_none()).flat_map(|layer| &layer.planned.steps);
        for url in resolver.unseen(own) {
            if downloads.iter().all(|download| download.name != url) {
                downloads.push(ForecastDownload { name: format!("{url}, which may give another file"), size: None });
            }
        }
        Ok(Forecast { base: lowered.base.clone(), known, base_here, base_team, layers, downloads })
    }

    /// Why `planned` is not here.
    pub(super) fn why(
        &self,
        planned: &PlannedLayer,
        inputs: &Inputs,
        lasts: &Lasts,
        below: Option<&ForecastLayer>,
    ) -> Result<Vec<Reason>, StoreError> {
        let (resolver, lowered) = (self.resolver, self.lowered);
        let Some(last) = lasts.get(&planned.name) else {
            return Ok(vec![Reason::new("new", "it was not built here before")]);
        };
        let record: Option<LayerRecord> = cache::record(resolver.store, last)?;
        if *last == planned.key && record.as_ref().is_some_and(|record| !record.fits(planned)) {
            return Ok(vec![Reason::new("way", "an older alloy made it another way")]);
        }
        if let (true, Some(below)) = (*last == planned.key && cache::find(resolver.store, last)?.is_some(), below) {
            let name = &below.planned.name;
            return Ok(vec![Reason::new(
                "below",
                format!("{name} is built anew; it stays if that comes out as it was"),
            )]);
        }
        let trace = record.and_then(|record| record.preimage.trace());
        let (Some(trace), false) = (trace, *last == planned.key) else {
            return Ok(vec![Reason::new("gone", "it is no longer in the store")]);
        };
        let below = below.map(|below| below.planned.name.as_str());
        Ok(explain(&trace, &Trace::of(planned, lowered, inputs), below))
    }

    /// Says why the first layer that is missing is missing; those above it follow.
    pub(super) fn say_why(
        &self,
        first: Option<&PlannedLayer>,
        inputs: &Inputs,
        lasts: &Lasts,
    ) -> Result<(), BuildError> {
        let Some(layer) = first.filter(|layer| lasts.contains_key(&layer.name)) else { return Ok(()) };
        let no_cache = &self.options.no_cache;
        let reasons =
            if no_cache.covers(layer) { vec![asked(no_cache)] } else { self.why(layer, inputs, lasts, None)? };
        for reason in reasons {
            self.resolver.reporter().event(Event::Note(format!("{} is built anew: {reason}", layer.name)));
        }
        Ok(())
    }
}

/// Bytes of an archive's layer that is here, whatever is below it.
fn portable(
    resolver: &Resolver<'_>,
    planned: &PlannedLayer,
    inputs: &Inputs,
    user: Option<&str>,
) -> Result<Option<u64>, StoreError> {
    let Some(step) = &planned.portable else { return Ok(None) };
    let Some(preimage) = step.usual(user).and_then(|facts| step.preimage(&facts, inputs)) else { return Ok(None) };
    Ok(cache::find_portable(resolver.store, &preimage.key())?.map(|record| record.layer.descriptor.size))
}

/// What is built anew because whoever builds says so.
pub(super) fn asked(by: &NoCache) -> Reason {
    let option = if matches!(by, NoCache::AlwaysRun) { "--refresh" } else { "--no-cache" };
    Reason::new("asked", format!("{option} asks for it"))
}

pub(super) fn lasts(resolver: &Resolver<'_>, name: &str) -> Result<Lasts, StoreError> {
    Ok(cache::get(resolver.store, LASTS, &lasts_key(resolver, name))?.unwrap_or_default())
}

/// Remembers which keys a blueprint's layers have.
pub(super) fn remember(resolver: &Resolver<'_>, name: &str, plan: &Plan, before: &Lasts) -> Result<(), StoreError> {
    let now: Lasts = plan.layers.iter().map(|layer| (layer.name.clone(), layer.key)).collect();
    if now == *before { Ok(()) } else { cache::put(resolver.store, LASTS, &lasts_key(resolver, name), &now) }
}

fn lasts_key(resolver: &Resolver<'_>, name: &str) -> String {
    Digest::of(format!("{name}\0{}", resolver.platform)).hex()
}

/// True if all layers of the base are here.
pub(super) fn here(resolver: &Resolver<'_>, base: &Base, inputs: &Inputs) -> bool {
    match &base.origin {
        Origin::Archive(_) => {
            cache::find(resolver.store, &LayerKey::of_base(base.identity, inputs)).is_ok_and(|found| found.is_some())
        }
        _ => base.image.layers.iter().all(|layer| resolver.store.holds(&layer.descriptor)),
    }
}

fn base_downloads(resolver: &Resolver<'_>, base: &Base) -> Vec<ForecastDownload> {
    match &base.origin {
        Origin::Archive(from) => {
            let plan = &from.plan;
            let missing = plan.packages.iter().filter(|package| !resolver.fetcher().have(&package.sha256));
            let (count, size) =
                missing.fold((0, 0), |(count, size), package| (count + 1, package.size.saturating_add(size)));
            let name = format!("{count} packages of deb:{}", plan.suite);
            if count == 0 { Vec::new() } else { vec![ForecastDownload { name, size: Some(size) }] }
        }
        Origin::Registry(reference) => {
            let missing = base.image.layers.iter().filter(|layer| !resolver.store.holds(&layer.descriptor));
            missing
                .map(|layer| ForecastDownload {
                    name: format!("layer {} of {reference}", layer.descriptor.digest),
                    size: Some(layer.descriptor.size),
                })
                .collect()
        }
        Origin::Store => Vec::new(),
    }
}

fn files(
    resolver: &Resolver<'_>,
    layers: &[ForecastLayer],
    inputs: &Inputs,
    unknown: &BTreeSet<Source>,
    sizes: &BTreeMap<String, u64>,
) -> Vec<ForecastDownload> {
    let mut seen = BTreeSet::new();
    let mut downloads = Vec::new();
    for step in layers.iter().filter(|layer| layer.here.is_none()).flat_map(|layer| &layer.planned.steps) {
        // Packages come in hundreds: one line for those of a task.
        let (mut packages, mut bytes) = (0, 0);
        for source in step.sources() {
            let Source::Url { url, .. } = source else { continue };
            let digest = inputs.sources.get(source).filter(|_| !unknown.contains(source));
            let have = digest.is_some_and(|digest| resolver.fetcher().have(digest));
            if have || !seen.insert(digest.map_or_else(|| url.clone(), Digest::hex)) {
                continue;
            }
            if let Some(size) = step.package(source) {
                (packages, bytes) = (packages + 1, size.saturating_add(bytes));
                continue;
            }
            let name = resolver.fetcher().shown(url);
            downloads.push(ForecastDownload { name, size: sizes.get(&Secrets::as_written(url)).copied() });
        }
        if packages > 0 {
            let task = Secrets::as_written(&step.name);
            let packages =
                if packages == 1 { "1 pinned package".to_owned() } else { format!("{packages} pinned packages") };
            let name = format!("{packages} of {task} ({}:{})", step.file, step.line);
            downloads.push(ForecastDownload { name, size: Some(bytes) });
        }
    }
    downloads
}
