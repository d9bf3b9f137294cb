//! `alloy lock`: what each task that installs packages comes to, as its own program decides it where the task runs.

use std::path::Path;

use layers::digest::Digest;

use super::{BuildError, Options, Resolved, Session, build, layer};
use crate::image::Image;
use crate::lock::{DebPin, PackagePin, PackagesPin};
use crate::op::{Language, Pinned, Source, Step};
use crate::plan::{AptTask, LanguageTask, Lowered, LoweredLayer, lock_refreshes};
use crate::resolve::{Base, CRATES_IO, Crate, Origin, Resolver};
use crate::target::{Closure, Lent};

/// A task whose packages are not pinned.
#[derive(Clone, Debug)]
pub enum Open {
    /// By apt.
    Apt(AptTask),
    /// From the registry of a language.
    Language(LanguageTask),
}

impl Open {
    /// Those of `layers`, of the blueprint in `directory`, that have to be asked there, in the order in which they run.
    /// What apt installs first decides what is missing later.
    fn of(layers: &[LoweredLayer], directory: &Path) -> Vec<Self> {
        let apt = AptTask::of(layers, directory).into_iter().skip_while(|task| task.locked).map(Self::Apt);
        let asks = |task: &LanguageTask| {
            let wanted = &layers[task.layer].steps[task.step].wanted;
            task.locked == Pinned::No && wanted.as_ref().is_some_and(|wanted| !wanted.ask.is_empty())
        };
        let languages = LanguageTask::of(layers).into_iter().filter(asks).map(Self::Language);
        let mut all: Vec<Self> = apt.chain(languages).collect();
        all.sort_by_key(Self::place);
        all
    }

    /// Its layer, and its step in that.
    pub fn place(&self) -> (usize, usize) {
        match self {
            Self::Apt(task) => (task.layer, task.step),
            Self::Language(task) => (task.layer, task.step),
        }
    }
}

/// What was found out of a task.
#[derive(Debug)]
pub enum Found {
    /// What apt would install.
    Apt(Closure),
    /// What comes from a registry.
    Language(PackagesPin),
    /// It cannot be pinned, and why.
    Nothing(String),
}

/// What tasks come to.
#[derive(Debug, Default)]
pub struct Closures {
    /// By apt.
    pub apt: Vec<(AptTask, Closure)>,
    /// From the registries of languages.
    pub languages: Vec<(LanguageTask, PackagesPin)>,
    /// Those that cannot be pinned, and why.
    pub left: Vec<(LanguageTask, String)>,
}

/// Finds out what those tasks of `lowered` come to that have no pin yet, and of apt's all that follow the first of them.
/// What stands below them is built, with the packages that were pinned, so that a locked build finds it. What is found
/// until something fails is in `all` nevertheless.
pub fn closures(
    resolver: &Resolver<'_>,
    directory: &Path,
    mut lowered: Lowered,
    mut resolved: Resolved,
    options: &Options,
    all: &mut Closures,
) -> Result<(), BuildError> {
    crates(resolver, &mut lowered.layers, &mut resolved, all)?;
    let told = |task: &Open| matches!(task, Open::Language(task) if all.left.iter().any(|(left, _)| left == task));
    let open: Vec<Open> = Open::of(&lowered.layers, directory).into_iter().filter(|task| !told(task)).collect();
    let mut open = open.into_iter().peekable();
    lock_refreshes(&mut lowered.layers);
    while let Some(first) = open.next() {
        let at = first.place().0;
        let mut tasks = vec![first];
        while let Some(task) = open.next_if(|task| task.place().0 == at) {
            tasks.push(task);
        }
        let image = below(resolver, directory, &lowered, at, &resolved, options)?;
        let mut base = Base { identity: image.identity, origin: Origin::Store, image };
        let mut session = Session::new(resolver, &mut base, directory, &lowered, &resolved.inputs, 0);
        let mut found = Vec::new();
        let asked = session.closures(&lowered.layers[at], &tasks, lowered.layers.len(), &mut found);
        let ended = if asked.is_ok() { session.finish() } else { Ok(()) };
        for (task, found) in tasks.into_iter().zip(found) {
            match (task, found) {
                (Open::Apt(task), Found::Apt(closure)) => {
                    task.lock(&mut lowered.layers, &closure.debs);
                    let pinned = |deb: &DebPin| (Source::Url { url: deb.url(), sha256: Some(deb.sha256) }, deb.sha256);
                    resolved.inputs.sources.extend(closure.debs.iter().map(pinned));
                    all.apt.push((task, closure));
                }
                (Open::Language(task), Found::Language(pin)) => {
                    task.lock(&mut lowered.layers, &pin);
                    resolved.inputs.sources.extend(pin.files.iter().map(pinned));
                    all.languages.push((task, pin));
                }
                (Open::Language(task), Found::Nothing(why)) => all.left.push((task, why)),
                _ => {}
            }
        }
        asked?;
        ended?;
    }
    Ok(())
}

fn pinned(file: &PackagePin) -> (Source, Digest) {
    (Source::Url { url: file.url.clone(), sha256: Some(file.sha256) }, file.sha256)
}

/// Crates with a lockfile of their own: they need no root to be asked in.
fn crates(
    resolver: &Resolver<'_>,
    layers: &mut [LoweredLayer],
    resolved: &mut Resolved,
    all: &mut Closures,
) -> Result<(), BuildError> {
    let open = |task: &LanguageTask| task.language == Language::Rust && task.locked == Pinned::No;
    let tasks: Vec<LanguageTask> = LanguageTask::of(layers).into_iter().filter(open).collect();
    for task in tasks {
        let step = layers[task.layer].steps[task.step].clone();
        let found = match crate_of(resolver, &task, &step)? {
            Ok(found) => match &found.lockfile {
                Some(lockfile) => found.all(lockfile),
                None => continue,
            },
            Err(why) => Err(why),
        };
        match found {
            Ok(found) => {
                let files = resolver.pin_packages(&step, found)?;
                let pin = PackagesPin { packages: task.asked.clone(), network: false, files };
                task.lock(layers, &pin);
                resolved.inputs.sources.extend(pin.files.iter().map(pinned));
                all.languages.push((task, pin));
            }
            Err(why) => all.left.push((task, why)),
        }
    }
    Ok(())
}

/// The crate that a task, which is `step`, asks for, from where this site has crates; the inner `Err` says why it cannot
/// be pinned.
pub fn crate_of(
    resolver: &Resolver<'_>,
    task: &LanguageTask,
    step: &Step,
) -> Result<Result<Crate, String>, BuildError> {
    let asked = task.asked.first().map(String::as_str).unwrap_or_default();
    match Lent::by_this_machine(|name| std::env::var(name).ok()).crates_index() {
        Ok(index) => {
            let found = resolver.crate_of(index.as_deref().unwrap_or(CRATES_IO), asked);
            Ok(found.map_err(|error| error.of_step(step))?)
        }
        Err(why) => Ok(Err(why)),
    }
}

/// Everything below the layer `at`.
fn below(
    resolver: &Resolver<'_>,
    directory: &Path,
    lowered: &Lowered,
    at: usize,
    resolved: &Resolved,
    options: &Options,
) -> Result<Image, BuildError> {
    let mut prefix = lowered.clone();
    prefix.layers.truncate(at);
    // Nobody will run it.
    prefix.image.env_from_profile = false;
    let built = build(resolver, directory, prefix, resolved.clone(), options)?;
    let mut image = built.base.image;
    image.identity = built.manifest.digest;
    image.layers.extend(built.layers.iter().filter_map(|built| built.blob.as_ref()).map(layer));
    Ok(image)
}
