//! From the lockfile there is to the one there should be.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use super::update::Update;
use crate::blueprint::{Blueprint, Problems};
use crate::build::{self, BuildError, NoCache, Options};
use crate::catalog::Catalog;
use crate::cli::context::{Context, Network};
use crate::cli::error::CommandError;
use crate::cli::inputs::{InputArgs, Prepared};
use crate::event::Event;
use crate::lock::{BasePin, ClosurePin, Lock, ToolchainPin, same};
use crate::op::{Secrets, Source};
use crate::plan::{AptTask, Platform, drop_unused, fixed};
use crate::target::Closure;
use crate::yaml::Diagnostic;

/// Pins what is not pinned, platform by platform.
pub(super) struct Locker<'a> {
    pub(super) context: &'a Context,
    inputs: &'a InputArgs,
    blueprint: &'a Arc<Blueprint>,
    old: &'a Lock,
    pub(super) update: &'a Update,
    catalog: &'a Path,
    /// Ask what is not pinned; else it is only named.
    pub(super) ask: bool,
    /// As it should be.
    pub(super) lock: Lock,
    /// What is not pinned and was not asked for.
    pub(super) missing: Vec<String>,
    /// Names that were pinned anew for another platform already.
    pub(super) anew: BTreeSet<String>,
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
        let (lock, missing, anew) = (old.clone(), Vec::new(), BTreeSet::new());
        Self { context, inputs, blueprint, old, update, catalog, ask: true, lock, missing, anew }
    }

    pub(super) fn run(&mut self) -> Result<(), CommandError> {
        drop_unused(self.blueprint, &mut self.lock);
        let (host, supported) = self.platforms();
        self.lock.host = host.to_string();
        let mut wanted = self.inputs.platform.clone();
        if wanted.is_empty() {
            wanted = vec![host];
            wanted.extend(supported.iter().filter(|platform| **platform != wanted[0]).cloned().collect::<Vec<_>>());
        }
        // A colleague may have pinned what this machine cannot.
        let keeps = |name: &String| supported.iter().chain(&wanted).any(|platform| platform.to_string() == *name);
        self.lock.toolchains.retain(|name, _| keeps(name));
        self.lock.apt.retain(|name, _| keeps(name));
        self.toolchains(&wanted)?;
        let mut bases = BTreeSet::new();
        for platform in &wanted {
            bases.insert(self.platform(platform)?);
        }
        self.lock.base.retain(|reference, _| bases.contains(reference));
        self.update.check()
    }

    /// The host that the lockfile is for, and all that the blueprint supports.
    fn platforms(&self) -> (Platform, Vec<Platform>) {
        let names = &self.blueprint.manifest.supported_hosts;
        let supported: Vec<Platform> = names.iter().filter_map(|name| name.parse().ok()).collect();
        let before = self.blueprint.lock.is_some().then(|| self.old.host.parse().ok()).flatten();
        let fits = |platform: &Platform| supported.is_empty() || supported.contains(platform);
        let here = [before, Some(Platform::of_this_machine())].into_iter().flatten().find(fits);
        let host = here.or_else(|| supported.first().cloned()).unwrap_or_else(Platform::of_this_machine);
        let all = if supported.is_empty() { vec![host.clone()] } else { supported };
        (host, all)
    }

    /// Pins toolchains from the catalog; all that cannot be pinned is told at once.
    fn toolchains(&mut self, platforms: &[Platform]) -> Result<(), CommandError> {
        let mut problems = Vec::new();
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
                Ok(found) => match (found.url(), found.sha256()) {
                    (Some(url), Some(sha256)) => {
                        let (method, version) = (Some(found.method.name().to_owned()), Some(found.version.clone()));
                        let pin = ToolchainPin { url: url.to_owned(), sha256, method, version };
                        let pins = self.lock.toolchains.entry(name).or_default();
                        pins.retain(|key, _| !same(key, &toolchain.reference));
                        pins.insert(key(&toolchain.reference), pin);
                    }
                    _ => {
                        let message = format!("{} is no archive: no digest pins it", toolchain.reference);
                        let error = Diagnostic::error("lock", toolchain.span, message);
                        let help = format!("install it by its method, {}, and leave it out here", found.method.name());
                        problems.push(error.help(help));
                    }
                },
                Err(error) => problems.push(error.at(toolchain.span)),
            }
        }
        problems.dedup();
        if problems.is_empty() {
            return Ok(());
        }
        Err(Problems { diagnostics: problems, sources: self.blueprint.sources.clone() }.into())
    }

    /// Pins what a platform needs. Gives its base.
    fn platform(&mut self, platform: &Platform) -> Result<String, CommandError> {
        let toolchains = Lock { toolchains: self.lock.toolchains.clone(), ..Lock::default() };
        let bare = self.inputs.prepare_with(self.blueprint, platform, &toolchains)?;
        let network = self.inputs.network(self.context, &bare)?;
        self.downloads(&bare, &network)?;
        self.commits(&bare, &network)?;
        let base = bare.lowered.base.clone();
        self.base(&base, platform, &network)?;
        self.packages(&base, platform)?;
        Ok(base)
    }

    fn downloads(&mut self, bare: &Prepared, network: &Network<'_>) -> Result<(), CommandError> {
        let mut urls = BTreeSet::new();
        for source in bare.lowered.layers.iter().flat_map(|layer| &layer.steps).flat_map(crate::op::Step::sources) {
            let Source::Url { url, sha256: None } = source else { continue };
            let name = Secrets::as_written(url);
            let has = self.lock.downloads.contains_key(&name) && !self.update.covers(&name);
            if has || self.anew.contains(&name) {
                continue;
            }
            if self.ask {
                urls.insert(url.clone());
            } else {
                self.missing.push(format!("{name} is not pinned"));
            }
        }
        let urls: Vec<String> = urls.into_iter().collect();
        let pins = network.resolver().pin_downloads(&urls)?;
        for (url, pin) in urls.iter().zip(pins) {
            let name = Secrets::as_written(url);
            self.anew.insert(name.clone());
            self.lock.downloads.insert(name, pin);
        }
        Ok(())
    }

    fn base(&mut self, base: &str, platform: &Platform, network: &Network<'_>) -> Result<(), CommandError> {
        let has = fixed(&self.lock, base, &platform.to_string());
        // The digest of a tag is that of all its platforms.
        if has && (!self.update.covers_base(base) || self.anew.contains(base)) {
            return Ok(());
        }
        if !self.ask {
            self.missing.push(format!("the base {base} is not pinned for {platform}"));
            return Ok(());
        }
        match (network.resolver().pin_base(base, self.old.base.get(base))?, self.lock.base.get_mut(base)) {
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

    fn packages(&mut self, base: &str, platform: &Platform) -> Result<(), CommandError> {
        let name = platform.to_string();
        let mut before = self.lock.apt.remove(&name).unwrap_or_default();
        if pin_of(self.old, base, &name) != pin_of(&self.lock, base, &name) {
            // They were found on another base.
            before.clear();
        }
        let mut prepared = self.inputs.prepare_with(self.blueprint, platform, &self.lock)?;
        let tasks = AptTask::of(&prepared.lowered.layers);
        let stale = |task: &&AptTask| {
            let fits = before.get(&task.key).is_some_and(|pin| task.fits(pin));
            self.update.covers_task(task) || !fits
        };
        // What is installed first decides what is missing later. All are asked, so that every name is known.
        let kept = tasks.iter().enumerate().filter(|(_, task)| stale(task)).map(|(at, _)| at).min();
        let kept = kept.unwrap_or(tasks.len());
        let mut pins = BTreeMap::new();
        for task in &tasks[..kept] {
            if let Some(pin) = before.remove(&task.key) {
                task.lock(&mut prepared.lowered.layers, &pin.debs);
                pins.insert(task.key.clone(), pin);
            }
        }
        if kept < tasks.len() && self.ask {
            pins.extend(self.closures(prepared)?);
        } else {
            let open = tasks[kept..].iter();
            self.missing.extend(open.map(|task| format!("the packages of {} are not pinned for {name}", task.key)));
        }
        if !pins.is_empty() {
            self.lock.apt.insert(name, pins);
        }
        Ok(())
    }

    /// What the tasks without packages install. Nothing, with a warning, where this machine cannot run apt.
    fn closures(&self, prepared: Prepared) -> Result<Vec<(String, ClosurePin)>, CommandError> {
        let network = self.inputs.network(self.context, &prepared)?;
        let options = Options {
            compression: self.inputs.compression,
            epoch: prepared.epoch,
            no_cache: NoCache::Nothing,
            layering: self.inputs.layers,
            push: Vec::new(),
            whole: false,
            inventory: false,
        };
        let (resolver, directory) = (network.resolver(), &self.blueprint.directory);
        let says_suite = prepared.lowered.base.starts_with("deb:");
        let resolved = build::resolve(&resolver, directory, &prepared.lowered, &options)?;
        let found = match build::closures(&resolver, directory, prepared.lowered, resolved, &options) {
            Err(error @ BuildError::Foreign { .. }) => {
                let platform = prepared.platform;
                let warning =
                    format!("packages are not pinned for {platform}: {error}; lock it where its programs run");
                self.context.reporter.event(Event::Warning(warning));
                return Ok(Vec::new());
            }
            found => found?,
        };
        let pin = |(task, closure): (AptTask, Closure)| {
            let (suite, debs) = (closure.suite.filter(|_| !says_suite), closure.debs);
            let packages = task.wanted();
            (task.key, ClosurePin { packages, recommends: task.recommends, suite, debs })
        };
        Ok(found.into_iter().map(pin).collect())
    }
}

/// What a base is on a platform.
fn pin_of(lock: &Lock, base: &str, platform: &str) -> Option<BasePin> {
    match lock.base.get(base)? {
        BasePin::Archive(pins) => {
            let pin = pins.get(platform)?.clone();
            Some(BasePin::Archive(BTreeMap::from([(platform.to_owned(), pin)])))
        }
        image @ BasePin::Image(_) => Some(image.clone()),
    }
}

/// A reference as a key: it says which version it stands for.
fn key(reference: &str) -> String {
    if reference.contains('@') { reference.to_owned() } else { format!("{reference}@stable") }
}
