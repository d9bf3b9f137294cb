//! The lockfile's base and packages, put where they are used.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use layers::digest::Digest;

use super::LoweredLayer;
use super::base::{LOCAL, SCRATCH};
use crate::blueprint::{self, Blueprint};
use crate::lock::{ArchivePin, BasePin, ClosurePin, DebPin, Lock};
use crate::op::{Deb, Op, Secrets, Source, Step};

/// A task that installs packages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AptTask {
    /// What it is called in a lockfile: its file and its name, and which one it is of several that are called so.
    pub key: String,
    /// Index of its layer.
    pub layer: usize,
    /// Index of its step in the layer.
    pub step: usize,
    /// What it asks for.
    pub packages: Vec<String>,
    /// Packages of no archive that it asks for, and the digests of those that the blueprint has.
    pub debs: Vec<(Source, Option<Digest>)>,
    /// Whether it wants recommended packages as well.
    pub recommends: bool,
    /// What it asks for is pinned.
    pub locked: bool,
}

impl AptTask {
    /// All of `layers`, of the blueprint in `directory`, in the order in which they run. A list without packages only
    /// refreshes the index.
    pub fn of(layers: &[LoweredLayer], directory: &Path) -> Vec<Self> {
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        let mut tasks = Vec::new();
        for (layer, lowered) in layers.iter().enumerate() {
            for (at, step) in lowered.steps.iter().enumerate() {
                let Some((packages, debs, recommends, locked)) = install(step) else { continue };
                let name = Secrets::as_written(&format!("{}: {}", step.file, step.name));
                let count = seen.entry(name.clone()).and_modify(|count| *count += 1).or_insert(1);
                let key = if *count == 1 { name } else { format!("{name} #{count}") };
                let debs = debs.iter().map(|deb| (deb.clone(), own_digest(deb, directory))).collect();
                let packages = packages.to_vec();
                tasks.push(Self { key, layer, step: at, packages, debs, recommends, locked });
            }
        }
        tasks
    }

    /// True for a pin that was made for what the task asks for now.
    pub fn fits(&self, pin: &ClosurePin) -> bool {
        self.wanted() == pin.packages && self.recommends == pin.recommends
    }

    /// What it asks for, in words. Of a package of no archive that is what it is, where that is known.
    pub fn wanted(&self) -> Vec<String> {
        let deb = |(source, own): &(Source, Option<Digest>)| {
            let (name, digest) = match source {
                Source::Url { url, sha256 } => (Secrets::as_written(url), *sha256),
                Source::Local { path } | Source::Tree { path, .. } => (format!("./{path}"), *own),
            };
            name + &digest.map(|digest| format!("#sha256:{}", digest.hex())).unwrap_or_default()
        };
        self.packages.iter().cloned().chain(self.debs.iter().map(deb)).collect()
    }

    /// Lets the task install what `debs` say, and nothing else.
    pub fn lock(&self, layers: &mut [LoweredLayer], debs: &[DebPin]) {
        let Some(step) = layers.get_mut(self.layer).and_then(|layer| layer.steps.get_mut(self.step)) else { return };
        for op in &mut step.ops {
            if let Op::AptInstall { packages, debs: own, locked, .. } = op
                && !(packages.is_empty() && own.is_empty())
            {
                *locked = Some(debs.iter().map(deb).collect());
            }
        }
    }
}

/// The digest of a package that is a file of the blueprint.
fn own_digest(source: &Source, directory: &Path) -> Option<Digest> {
    match source {
        Source::Local { path } => blueprint::digest_of(directory, path),
        Source::Url { .. } | Source::Tree { .. } => None,
    }
}

/// No action has more than one list of packages.
fn install(step: &Step) -> Option<(&[String], &[Source], bool, bool)> {
    step.ops.iter().find_map(|op| match op {
        Op::AptInstall { packages, debs, recommends, locked } if !(packages.is_empty() && debs.is_empty()) => {
            Some((packages.as_slice(), debs.as_slice(), *recommends, locked.is_some()))
        }
        _ => None,
    })
}

fn deb(pin: &DebPin) -> Deb {
    Deb {
        package: pin.package.clone(),
        version: pin.version.clone(),
        architecture: pin.arch.clone(),
        source: Source::Url { url: pin.url(), sha256: Some(pin.sha256) },
        size: pin.size,
    }
}

/// Pins packages of `layers`. Those that were found on another base say nothing of this one.
pub(super) fn packages(layers: &mut [LoweredLayer], blueprint: &Blueprint, lock: &Lock, base: &str, platform: &str) {
    let Some(closures) = lock.apt.get(platform).filter(|_| fixed(lock, base, platform)) else { return };
    for task in AptTask::of(layers, &blueprint.directory) {
        if let Some(pin) = closures.get(&task.key).filter(|pin| task.fits(pin)) {
            task.lock(layers, &pin.debs);
        }
    }
    lock_refreshes(layers);
}

/// Where packages are pinned nobody asks what newer ones there are: an empty list then refreshes nothing.
pub fn lock_refreshes(layers: &mut [LoweredLayer]) {
    for op in layers.iter_mut().flat_map(|layer| &mut layer.steps).flat_map(|step| &mut step.ops) {
        if let Op::AptInstall { packages, debs, locked, .. } = op
            && packages.is_empty()
            && debs.is_empty()
        {
            *locked = Some(Vec::new());
        }
    }
}

/// What the lockfile says `base` is: the reference with its digest, or the archive's indexes.
pub(super) fn base(lock: &Lock, base: String, platform: &str) -> (String, Option<ArchivePin>) {
    match lock.base.get(&base) {
        Some(BasePin::Image(digest)) => (format!("{base}@{digest}"), None),
        Some(BasePin::Archive(platforms)) => {
            let pin = platforms.get(platform).cloned();
            (base, pin)
        }
        None => (base, None),
    }
}

/// True if `base` is the same for everybody: pinned, or a digest, or a file.
pub fn fixed(lock: &Lock, base: &str, platform: &str) -> bool {
    let by_itself = base == SCRATCH || base.contains("@sha256:") || LOCAL.iter().any(|scheme| base.starts_with(scheme));
    by_itself
        || match lock.base.get(base) {
            Some(BasePin::Image(_)) => true,
            Some(BasePin::Archive(platforms)) => platforms.contains_key(platform),
            None => false,
        }
}

/// URLs of downloads whose digests the blueprint's author wrote: nothing says that they were taken from there. The lockfile
/// has what its own URLs gave, and the catalog's toolchains have both from one hand.
pub(super) fn authored(layers: &[LoweredLayer], lock: &Lock, platform: &str) -> BTreeSet<String> {
    let toolchains = lock.toolchains.get(platform).into_iter().flat_map(BTreeMap::values);
    let toolchains: BTreeSet<&str> = toolchains.filter_map(|pin| pin.url()).collect();
    let steps = layers.iter().flat_map(|layer| &layer.steps);
    let authored = steps.flat_map(|step| step.sources().filter(|source| step.package(source).is_none()));
    let authored = authored.filter_map(|source| match source {
        Source::Url { url, sha256: Some(digest) } if lock.download(url) != Some(*digest) => Some(url),
        _ => None,
    });
    authored.filter(|url| !url.starts_with("file:") && !toolchains.contains(url.as_str())).cloned().collect()
}
