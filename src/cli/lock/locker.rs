//! From the lockfile there is to the one there should be.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use super::update::Update;
use crate::blueprint::{Blueprint, Problems};
use crate::catalog::{Artifact, Catalog, CatalogError, Resolved};
use crate::cli::error::{CommandError, Kind};
use crate::cli::inputs::{InputArgs, Prepared};
use crate::context::Context;
use crate::event::Event;
use crate::lock::{BasePin, Lock, ToolchainPin, ToolchainSource, pins, same};
use crate::op::{Secrets, Source, Step};
use crate::plan::{ONE_NAME, Platform, drop_unused, drop_unused_toolchains, fixed, uncovered};
use crate::resolve::{ResolveError, Resolver};
use crate::yaml::Diagnostic;

/// The action that unpacks a toolchain by its reference.
const FROM_REF: &str = "unarchive_from_ref";

/// Pins what is not pinned, platform by platform.
pub(super) struct Locker<'a> {
    pub(super) context: &'a Context,
    pub(super) inputs: &'a InputArgs,
    pub(super) blueprint: &'a Arc<Blueprint>,
    pub(super) old: &'a Lock,
    pub(super) update: &'a Update,
    catalog: &'a Path,
    /// Ask what is not pinned; else it is only named.
    pub(super) ask: bool,
    /// Leave everything but the manifest's toolchains as it is.
    pub(super) toolchains_only: bool,
    /// As it should be.
    pub(super) lock: Lock,
    /// What is not pinned and was not asked for.
    pub(super) missing: Vec<String>,
    /// Names that were pinned anew for another platform already.
    pub(super) anew: BTreeSet<String>,
    /// Tasks that no lockfile covers.
    pub(super) uncovered: BTreeSet<String>,
    /// What was said of packages for another platform already.
    pub(super) told: BTreeSet<String>,
}

impl<'a> Locker<'a> {
    pub(super) fn new(
        context: &'a Context,
        inputs: &'a InputArgs,
        blueprint: &'a Arc<Blueprint>,
        old: &'a Lock,
        update: &'a Update,
        catalog: &'a Path,
    ) -> Self {
        let (lock, missing, anew, uncovered) = (old.clone(), Vec::new(), BTreeSet::new(), BTreeSet::new());
        let (ask, toolchains_only, told) = (true, false, BTreeSet::new());
        Self {
            context,
            inputs,
            blueprint,
            old,
            update,
            catalog,
            ask,
            toolchains_only,
            lock,
            missing,
            anew,
            uncovered,
            told,
        }
    }

    pub(super) fn run(&mut self) -> Result<(), CommandError> {
        match self.toolchains_only {
            true => drop_unused_toolchains(self.blueprint, &mut self.lock),
            false => drop_unused(self.blueprint, &mut self.lock),
        }
        let (host, supported) = self.platforms();
        self.lock.host = host.to_string();
        let mut wanted = self.inputs.platform.clone();
        if wanted.is_empty() {
            wanted = vec![host];
            wanted.extend(supported.iter().filter(|platform| **platform != wanted[0]).cloned().collect::<Vec<_>>());
        }
        if self.toolchains_only {
            self.toolchains(&wanted)?;
            self.unlisted(&wanted)?;
            return self.update.check();
        }
        // A colleague may have pinned what this machine cannot.
        let keeps = |name: &String| supported.iter().chain(&wanted).any(|platform| platform.to_string() == *name);
        self.lock.toolchains.retain(|name, _| keeps(name));
        self.lock.apt.retain(|name, _| keeps(name));
        self.lock.packages.retain(keeps);
        let lacking = self.toolchains(&wanted)?;
        wanted.retain(|platform| !lacking.contains(platform));
        let (mut bases, mut failed) = (BTreeSet::new(), Vec::new());
        for platform in &wanted {
            match self.platform(platform) {
                Ok(base) => drop(bases.insert(base)),
                Err(error) if error.kind == Kind::Interrupted => return Err(error),
                Err(error) => failed.push((platform, error)),
            }
        }
        told_once(failed, wanted.len()).map_or(Ok(()), Err)?;
        self.lock.base.retain(|reference, _| bases.contains(reference));
        self.update.check()
    }

    /// The host that the lockfile is for, and all that the blueprint supports.
    fn platforms(&self) -> (Platform, Vec<Platform>) {
        let names = self.blueprint.manifest.hosts();
        let supported: Vec<Platform> = names.iter().filter_map(|name| name.parse().ok()).collect();
        let before = self.blueprint.lock.is_some().then(|| self.old.host.parse().ok()).flatten();
        let fits = |platform: &Platform| supported.is_empty() || supported.contains(platform);
        let here = [before, Some(Platform::of_this_machine())].into_iter().flatten().find(fits);
        let host = here.or_else(|| supported.first().cloned()).unwrap_or_else(Platform::of_this_machine);
        let all = match supported.is_empty() {
            // Whoever locks has it for this machine, too, wherever it was locked before.
            true => BTreeSet::from([host.clone(), Platform::of_this_machine()]).into_iter().collect(),
            false => supported,
        };
        (host, all)
    }

    /// Pins toolchains from the catalog; all that cannot be pinned is told at once. Gives those platforms, which nobody asked
    /// for by name and this machine is not, that the catalog lacks something for: they are no reason to pin nothing.
    fn toolchains(&mut self, platforms: &[Platform]) -> Result<BTreeSet<Platform>, CommandError> {
        let (mut problems, mut lacking) = (Vec::new(), BTreeSet::new());
        let is_asked = |platform: &Platform| {
            !self.inputs.platform.is_empty() || *platform == Platform::of_this_machine() || platforms.len() == 1
        };
        let asked: Vec<bool> = platforms.iter().map(is_asked).collect();
        let blueprint = self.blueprint;
        let all = blueprint.manifest.toolchains.iter();
        for (toolchain, platform) in all.flat_map(|toolchain| platforms.iter().map(move |one| (toolchain, one))) {
            let name = platform.to_string();
            let has = self.lock.toolchain(&name, &toolchain.reference).is_some();
            if has && !self.update.covers_toolchain(&toolchain.reference) {
                continue;
            }
            if !self.ask {
                self.missing.push(format!("{} is not pinned for {name}", toolchain.reference));
                continue;
            }
            let found = Catalog::open(self.catalog).and_then(|catalog| catalog.resolve(&toolchain.reference, &name));
            match found {
                Ok(found) => {
                    let new = self.kept_commit(&name, &toolchain.reference, pin(found));
                    self.told_of_another(&name, &toolchain.reference, &new);
                    let all_pins = self.lock.toolchains.entry(name).or_default();
                    let others = |key: &str, pin: &ToolchainPin| {
                        let mut others = blueprint.manifest.toolchains.iter().map(|other| &other.reference);
                        others.any(|other| *other != toolchain.reference && pins(key, pin, other))
                    };
                    all_pins.retain(|key, pin| !same(key, &toolchain.reference) || others(key, pin));
                    all_pins.insert(key(&toolchain.reference), new);
                }
                Err(CatalogError::Platform { known, .. })
                    if platforms.iter().zip(&asked).any(|(other, asked)| other == platform && !asked)
                        && platforms.iter().any(|other| known.contains(&other.to_string())) =>
                {
                    let message = format!(
                        "nothing is pinned for {platform}: {} is there for {} alone",
                        toolchain.reference,
                        known.join(", ")
                    );
                    self.context.reporter().event(Event::Warning(message));
                    lacking.insert(platform.clone());
                }
                Err(error) => {
                    let problem = elsewhere(&error, platforms, error.at(toolchain.span));
                    // That there is no catalog is said once.
                    if problems.iter().all(|known: &Diagnostic| known.message != problem.message) {
                        problems.push(problem);
                    }
                }
            }
        }
        if problems.is_empty() {
            return Ok(lacking);
        }
        Err(Problems { diagnostics: problems, sources: self.blueprint.sources.clone() }.into())
    }

    /// The pin that was found, with the commit that is known of it.
    fn kept_commit(&self, platform: &str, reference: &str, new: ToolchainPin) -> ToolchainPin {
        let without = |pin: &ToolchainPin| {
            let mut pin = pin.clone();
            if let ToolchainSource::Repository { commit, .. } = &mut pin.source {
                *commit = None;
            }
            pin
        };
        let old = self.lock.toolchain(platform, reference).filter(|old| self.toolchains_only && without(old) == new);
        old.cloned().unwrap_or(new)
    }

    /// A warning where a reference is pinned for a platform in another version than for one that keeps its pin.
    fn told_of_another(&self, platform: &str, reference: &str, new: &ToolchainPin) {
        if self.update.any() {
            return;
        }
        let others = self.lock.toolchains.keys().filter(|other| *other != platform);
        let pinned = others.filter_map(|other| Some((other, self.lock.toolchain(other, reference)?)));
        for (other, old) in pinned.filter(|(_, old)| old.version.is_some() && old.version != new.version) {
            let version = |pin: &ToolchainPin| pin.version.clone().unwrap_or_default();
            let (was, now) = (version(old), version(new));
            self.context.reporter().event(Event::Warning(format!(
                "{reference} is {was} for {other}, and {now} for {platform}; the same for all: alloy lock --update={reference}"
            )));
        }
    }

    /// An error for toolchains that a task unpacks and the manifest does not list: nothing pins them.
    fn unlisted(&mut self, platforms: &[Platform]) -> Result<(), CommandError> {
        let listed = &self.blueprint.manifest.toolchains;
        let mut problems = Vec::new();
        for task in self.blueprint.files.iter().flat_map(|file| &file.tasks) {
            let text = |field: &str| Some((task.fields.get(field)?.text(field).ok()?, task.fields.get(field)?.span));
            let Some((reference, span)) = text("ref").filter(|_| text("action").is_some_and(|(it, _)| it == FROM_REF))
            else {
                continue;
            };
            let pinned = |platform: &Platform| self.lock.toolchain(&platform.to_string(), reference.trim()).is_some();
            let known = listed.iter().any(|toolchain| same(&toolchain.reference, reference.trim()))
                || platforms.iter().all(pinned);
            // What a variable names is not known here.
            if !known && !reference.contains("{{") {
                let message = format!("`toolchains` of manifest.yml does not list `{reference}`: nothing pins it");
                let error = Diagnostic::error("unpinned", span, message).label("not pinned");
                problems.push(error.help("list it in `toolchains` of manifest.yml, and pin it: alloy lock"));
            }
        }
        if !self.ask {
            let place = |problem: &Diagnostic| self.blueprint.sources.place(problem.span);
            let told = problems.iter().map(|problem| format!("{}: {}", place(problem), problem.message));
            self.missing.extend(told);
            return Ok(());
        }
        if problems.is_empty() {
            return Ok(());
        }
        Err(Problems { diagnostics: problems, sources: self.blueprint.sources.clone() }.into())
    }

    /// Pins what a platform needs. Gives its base.
    fn platform(&mut self, platform: &Platform) -> Result<String, CommandError> {
        let toolchains = Lock { toolchains: self.lock.toolchains.clone(), ..Lock::default() };
        let bare = self.inputs.prepare_with(self.blueprint, platform, &toolchains)?;
        let request = self.inputs.request(self.context, &bare);
        let resolver = request.resolver(self.context);
        self.downloads(&bare, &resolver)?;
        self.commits(&bare, &resolver)?;
        self.toolchain_commits(&bare, &resolver);
        let base = bare.lowered.base.clone();
        self.base(&base, platform, &resolver)?;
        self.packages(&base, platform)?;
        let whole = self.inputs.prepare_with(self.blueprint, platform, &self.lock)?;
        self.uncovered.extend(uncovered(&whole.lowered));
        Ok(base)
    }

    /// Pins downloads; all that cannot be had are told at once, and the others are pinned.
    fn downloads(&mut self, bare: &Prepared, resolver: &Resolver<'_>) -> Result<(), CommandError> {
        let mut wanted: BTreeMap<String, (&String, &Step)> = BTreeMap::new();
        let steps = bare.lowered.layers.iter().flat_map(|layer| &layer.steps);
        for (step, source) in steps.flat_map(|step| step.sources().map(move |source| (step, source))) {
            let Source::Url { url, sha256: None } = source else { continue };
            let name = Secrets::as_written(url);
            let has = self.lock.downloads.contains_key(&name) && !self.update.covers(&name);
            if has || self.anew.contains(&name) {
                continue;
            }
            if !self.ask {
                self.missing.push(format!("{name} is not pinned"));
                continue;
            }
            let first = *wanted.entry(name.clone()).or_insert((url, step));
            if first.0 != url {
                let message = format!(
                    "two downloads would be called {name} in the lockfile, which leaves out what lets somebody in"
                );
                return Err(CommandError::new(Kind::Blueprint, message).hint(ONE_NAME));
            }
        }
        let urls: Vec<String> = wanted.values().map(|(url, _)| (*url).clone()).collect();
        let mut failed = Vec::new();
        for ((name, (_, step)), pin) in wanted.into_iter().zip(resolver.pin_downloads(&urls)) {
            match pin {
                Ok(pin) => {
                    self.anew.insert(name.clone());
                    self.lock.downloads.insert(name, pin);
                }
                Err(error) => failed.push(CommandError::from(ResolveError::from(error).of_step(step))),
            }
        }
        CommandError::all(failed, "downloads cannot be pinned").map_or(Ok(()), Err)
    }

    fn base(&mut self, base: &str, platform: &Platform, resolver: &Resolver<'_>) -> Result<(), CommandError> {
        let has = fixed(&self.lock, base, &platform.to_string());
        // The digest of a tag is that of all its platforms.
        if has && (!self.update.covers_base(base) || self.anew.contains(base)) {
            return Ok(());
        }
        if !self.ask {
            self.missing.push(format!("the base {base} is not pinned for {platform}"));
            return Ok(());
        }
        match (resolver.pin_base(base, self.old.base.get(base))?, self.lock.base.get_mut(base)) {
            (Some(BasePin::Archive(new)), Some(BasePin::Archive(pins))) => pins.extend(new),
            (Some(pin @ BasePin::Image(_)), _) => {
                self.anew.insert(base.to_owned());
                self.lock.base.insert(base.to_owned(), pin);
            }
            (Some(pin), _) => drop(self.lock.base.insert(base.to_owned(), pin)),
            (None, _) => {}
        }
        Ok(())
    }
}

/// What failed on some of so many platforms; what is the same on several is told once.
fn told_once(failed: Vec<(&Platform, CommandError)>, of: usize) -> Option<CommandError> {
    let mut told: Vec<(Vec<String>, CommandError)> = Vec::new();
    for (platform, error) in failed {
        match told.iter_mut().find(|(_, other)| other.message == error.message) {
            Some((platforms, _)) => platforms.push(platform.to_string()),
            None => told.push((vec![platform.to_string()], error)),
        }
    }
    let named = told.into_iter().map(|(platforms, mut error)| {
        if platforms.len() < of {
            error.message = format!("{}: {}", platforms.join(", "), error.message);
        }
        error
    });
    CommandError::all(named.collect(), "problems")
}

/// What a base is on a platform.
pub(super) fn pin_of(lock: &Lock, base: &str, platform: &str) -> Option<BasePin> {
    match lock.base.get(base)? {
        BasePin::Archive(pins) => {
            let pin = pins.get(platform)?.clone();
            Some(BasePin::Archive(BTreeMap::from([(platform.to_owned(), pin)])))
        }
        image @ BasePin::Image(_) => Some(image.clone()),
    }
}

/// What the catalog says, as the lockfile has it. Which commit a repository's version is, its server is asked.
fn pin(found: Resolved) -> ToolchainPin {
    let (source, version) = match found.artifact {
        Artifact::Download { url, sha256 } => (ToolchainSource::Archive { url, sha256 }, found.version),
        // What the catalog calls a version need not be what the index or the repository calls it.
        Artifact::Package { package, version } => (ToolchainSource::Package { package }, version),
        Artifact::Repository { url, version } => (ToolchainSource::Repository { url, commit: None }, version),
    };
    ToolchainPin { source, method: Some(found.method.name().to_owned()), version: Some(version) }
}

/// What the catalog has for some platforms can be pinned for these alone.
fn elsewhere(error: &CatalogError, platforms: &[Platform], problem: Diagnostic) -> Diagnostic {
    let CatalogError::Platform { known, .. } = error else { return problem };
    let there: Vec<_> = platforms.iter().map(ToString::to_string).filter(|platform| known.contains(platform)).collect();
    if there.is_empty() {
        return problem;
    }
    let (all, some) = (known.join(", "), there.join(","));
    problem.help(format!("it is there for {all}; `--platform {some}` pins it for that alone"))
}

/// A reference as a key: it says which version it stands for.
fn key(reference: &str) -> String {
    if reference.contains('@') { reference.to_owned() } else { format!("{reference}@stable") }
}
