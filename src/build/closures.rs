//! `alloy lock`: what each task that installs packages comes to, as its own program decides it where the task runs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use layers::digest::Digest;

use super::maker::Maker;
use super::{Build, BuildError, Resolved, layer};
use crate::event::Event;
use crate::image::Image;
use crate::lock::{DebPin, PackagePin, PackagesPin};
use crate::op::{Language, Pinned, Source, Step};
use crate::plan::{AptTask, LanguageTask, LoweredLayer, lock_refreshes};
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

    /// True for one whose packages come from the registry of a language.
    pub fn is_of_language(&self) -> bool {
        matches!(self, Self::Language(_))
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
    /// It fails.
    Failed(Box<BuildError>),
    /// What it would have been asked with is not there.
    Unasked,
}

/// What is not there for the tasks that come behind tasks that failed.
#[derive(Debug, Default)]
pub struct Without {
    /// Packages of apt, with which the others may be asked.
    pub apt: bool,
    /// Python's packages, which lie beside those of the tasks behind.
    python: bool,
    /// Places of the tasks that failed, or were not asked.
    tasks: BTreeSet<(usize, usize)>,
}

impl Without {
    /// Takes the task `open`, as it fails.
    fn add(&mut self, open: &Open) {
        self.apt |= matches!(open, Open::Apt(_));
        self.python |= matches!(open, Open::Language(task) if task.language == Language::Python);
        self.tasks.insert(open.place());
    }

    /// True if the step `step` of the layer `layer` is not performed.
    pub fn has(&self, layer: usize, step: usize) -> bool {
        self.tasks.contains(&(layer, step))
    }

    /// True if the packages of `open` may be others once all tasks before it have theirs.
    fn decides(&self, open: &Open) -> bool {
        match open {
            Open::Apt(_) => self.apt,
            Open::Language(task) => self.python && task.language == Language::Python,
        }
    }
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
    /// What those fail of that have no packages, and where they stand: layer and step.
    pub failed: BTreeMap<(usize, usize), BuildError>,
}

impl Build<'_> {
    /// Finds out what those tasks come to that have no pin yet, and of apt's all that follow the first of them.
    /// What stands below them is built, with the packages that were pinned, so that a locked build finds it. One that fails is
    /// in `all`, and the others are asked without it. What is found until something else fails is in `all` nevertheless.
    pub fn closures(&self, mut resolved: Resolved, all: &mut Closures) -> Result<(), BuildError> {
        let (resolver, mut lowered) = (self.resolver, self.lowered.clone());
        let mut without = Without::default();
        crates(resolver, &mut lowered.layers, &mut resolved, all, &mut without)?;
        let told = |task: &Open| {
            let left = |task: &LanguageTask| all.left.iter().any(|(left, _)| left == task);
            without.tasks.contains(&task.place()) || matches!(task, Open::Language(task) if left(task))
        };
        let open: Vec<Open> =
            Open::of(&lowered.layers, self.directory).into_iter().filter(|task| !told(task)).collect();
        let mut open = open.into_iter().peekable();
        lock_refreshes(&mut lowered.layers);
        while let Some(first) = open.next() {
            let at = first.place().0;
            let mut tasks = vec![first];
            while let Some(task) = open.next_if(|task| task.place().0 == at) {
                tasks.push(task);
            }
            if without.apt && tasks.iter().all(Open::is_of_language) {
                without.tasks.extend(tasks.iter().map(Open::place));
                continue;
            }
            let build = Build { lowered: &lowered, ..*self };
            let image = match build.below(at, &resolved, &without) {
                Ok(image) => image,
                Err(error) => return follows(resolver, all, error),
            };
            let base = Base { identity: image.identity, origin: Origin::Store, image };
            let mut maker = Maker::new(&build, base, &resolved.inputs);
            let mut found = Vec::new();
            let asked = maker.closures(&lowered.layers[at], &tasks, &mut found, &without);
            let ended = if asked.is_ok() { maker.finish().map(drop) } else { Ok(()) };
            for (task, found) in tasks.into_iter().zip(found) {
                let kept = !without.decides(&task);
                match (task, found) {
                    (Open::Apt(task), Found::Apt(closure)) => {
                        task.lock(&mut lowered.layers, &closure.debs);
                        let pinned =
                            |deb: &DebPin| (Source::Url { url: deb.url(), sha256: Some(deb.sha256) }, deb.sha256);
                        resolved.inputs.sources.extend(closure.debs.iter().map(pinned));
                        all.apt.extend(kept.then_some((task, closure)));
                    }
                    (Open::Language(task), Found::Language(pin)) => {
                        task.lock(&mut lowered.layers, &pin);
                        resolved.inputs.sources.extend(pin.files.iter().map(pinned));
                        all.languages.extend(kept.then_some((task, pin)));
                    }
                    (Open::Language(task), Found::Nothing(why)) => all.left.push((task, why)),
                    (task, Found::Failed(error)) => {
                        without.add(&task);
                        all.failed.insert(task.place(), *error);
                    }
                    (task, Found::Unasked) => drop(without.tasks.insert(task.place())),
                    _ => {}
                }
            }
            if let Err(error) = asked {
                return follows(resolver, all, error);
            }
            ended?;
        }
        Ok(())
    }

    /// Everything below the layer `at`, without the tasks that have no packages.
    fn below(&self, at: usize, resolved: &Resolved, without: &Without) -> Result<Image, BuildError> {
        let mut prefix = self.lowered.clone();
        prefix.layers.truncate(at);
        for (layer, step) in without.tasks.iter().rev().filter(|(layer, _)| *layer < at) {
            prefix.layers[*layer].steps.remove(*step);
        }
        // Nobody will run it.
        prefix.image.env_from_profile = false;
        let built = Build { lowered: &prefix, ..*self }.run(resolved.clone())?;
        let mut image = built.base.image;
        image.identity = built.manifest.digest;
        image.layers.extend(built.layers.iter().filter_map(|built| built.blob.as_ref()).map(layer));
        Ok(image)
    }
}

/// A task that fails where packages are missing may fail for that alone: nobody can say before they are there. Those that
/// miss are told; it is not.
fn follows(resolver: &Resolver<'_>, all: &Closures, error: BuildError) -> Result<(), BuildError> {
    match error {
        BuildError::Task { failure, .. } if !all.failed.is_empty() => {
            let place = format!("{}:{}: {}", failure.file, failure.line, failure.task);
            let note = "it fails without the packages that are not found; nobody is asked for what comes behind it";
            resolver.reporter().event(Event::Note(format!("{place}: {note}")));
            Ok(())
        }
        error => Err(error),
    }
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
    without: &mut Without,
) -> Result<(), BuildError> {
    let open = |task: &LanguageTask| task.language == Language::Rust && task.locked == Pinned::No;
    let tasks: Vec<LanguageTask> = LanguageTask::of(layers).into_iter().filter(open).collect();
    for task in tasks {
        let step = layers[task.layer].steps[task.step].clone();
        match pin_of(resolver, &task, &step) {
            Ok(None) => {}
            Ok(Some(Ok(pin))) => {
                task.lock(layers, &pin);
                resolved.inputs.sources.extend(pin.files.iter().map(pinned));
                all.languages.push((task, pin));
            }
            Ok(Some(Err(why))) => all.left.push((task, why)),
            Err(error) if error.is_of_task() => {
                let task = Open::Language(task);
                without.add(&task);
                all.failed.insert(task.place(), error);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The packages of a crate with a lockfile of its own; the inner `Err` says why it cannot be pinned.
fn pin_of(
    resolver: &Resolver<'_>,
    task: &LanguageTask,
    step: &Step,
) -> Result<Option<Result<PackagesPin, String>>, BuildError> {
    let found = match crate_of(resolver, task, step)? {
        Ok(found) => match &found.lockfile {
            Some(lockfile) => found.all(lockfile),
            None => return Ok(None),
        },
        Err(why) => Err(why),
    };
    let found = match found {
        Ok(found) => found,
        Err(why) => return Ok(Some(Err(why))),
    };
    let files = resolver.pin_packages(step, found)?;
    Ok(Some(Ok(PackagesPin { packages: task.asked.clone(), network: false, files })))
}

/// The crate that a task, which is `step`, asks for, from where this site has crates; the inner `Err` says why it cannot
/// be pinned.
pub fn crate_of(
    resolver: &Resolver<'_>,
    task: &LanguageTask,
    step: &Step,
) -> Result<Result<Crate, String>, BuildError> {
    let asked = task.asked.first().map(String::as_str).unwrap_or_default();
    match Lent::by_this_machine(|name| resolver.context.vars().get(name)).crates_index() {
        Ok(index) => {
            let found = resolver.crate_of(index.as_deref().unwrap_or(CRATES_IO), asked);
            Ok(found.map_err(|error| error.of_step(step))?)
        }
        Err(why) => Ok(Err(why)),
    }
}
