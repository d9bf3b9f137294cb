//! The lockfile's packages of languages, put where they are used.

use std::collections::BTreeMap;

use super::{LoweredLayer, fixed};
use crate::lock::{Lock, PackagePin, PackagesPin};
use crate::op::{Language, Package, Pinned, Secrets, Source, Wanted};

/// A task that installs packages from the registry of a language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LanguageTask {
    /// Whose registry.
    pub language: Language,
    /// What it is called in a lockfile: its file and its name, and which one it is of several that are called so.
    pub key: String,
    /// Index of its layer.
    pub layer: usize,
    /// Index of its step in the layer.
    pub step: usize,
    /// What it asks for.
    pub asked: Vec<String>,
    /// How far that is pinned.
    pub locked: Pinned,
}

impl LanguageTask {
    /// All of `layers`, in the order in which they run.
    pub fn of(layers: &[LoweredLayer]) -> Vec<Self> {
        let mut seen: BTreeMap<(Language, String), usize> = BTreeMap::new();
        let mut tasks = Vec::new();
        for (layer, lowered) in layers.iter().enumerate() {
            for (at, step) in lowered.steps.iter().enumerate() {
                let Some(wanted) = &step.wanted else { continue };
                let Wanted { language, asked, locked, .. } = &**wanted;
                let name = Secrets::as_written(&format!("{}: {}", step.file, step.name));
                let count = seen.entry((*language, name.clone())).and_modify(|count| *count += 1).or_insert(1);
                let key = if *count == 1 { name } else { format!("{name} #{count}") };
                let (language, locked) = (*language, *locked);
                tasks.push(Self { language, key, layer, step: at, asked: asked.clone(), locked });
            }
        }
        tasks
    }

    /// True for a pin that was made for what the task asks for now.
    pub fn fits(&self, pin: &PackagesPin) -> bool {
        self.asked == pin.packages
    }

    /// Lets the task install what `pin` says, and nothing else.
    pub fn lock(&self, layers: &mut [LoweredLayer], pin: &PackagesPin) {
        self.lock_on(layers, pin, false);
    }

    /// The same, on a live host or in an image.
    fn lock_on(&self, layers: &mut [LoweredLayer], pin: &PackagesPin, host: bool) {
        let step = layers.get_mut(self.layer).and_then(|layer| layer.steps.get_mut(self.step));
        let Some((step, mut wanted)) = step.and_then(|step| step.wanted.take().map(|wanted| (step, wanted))) else {
            return;
        };
        let packages: Vec<Package> = pin.files.iter().map(package).collect();
        step.ops = wanted.install(&packages, pin.network, host);
        wanted.locked = if pin.network { Pinned::Online } else { Pinned::Whole };
        step.wanted = Some(wanted);
    }
}

fn package(pin: &PackagePin) -> Package {
    Package {
        name: pin.name.clone(),
        version: pin.version.clone(),
        url: pin.url.clone(),
        source: Source::Url { url: pin.url.clone(), sha256: Some(pin.sha256) },
        size: pin.size,
        path: pin.path.clone(),
        build: pin.build,
    }
}

/// Pins packages of `layers`. Those that were found on another base say nothing of this one. A live `host` gets the same
/// files as the image.
pub(super) fn packages(layers: &mut [LoweredLayer], lock: &Lock, base: &str, platform: &str, host: bool) {
    if !fixed(lock, base, platform) {
        return;
    }
    for task in LanguageTask::of(layers) {
        if let Some(pin) = lock.packages.get(task.language, platform, &task.key).filter(|pin| task.fits(pin)) {
            task.lock_on(layers, pin, host);
        }
    }
}
