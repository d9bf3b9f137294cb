//! From the lockfile there is to the one there should be: what names stand for is asked, platform by platform, and
//! pinned.

mod commits;
mod downloads;
mod error;
mod mirror;
mod packages;
mod toolchains;
mod update;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

pub use error::{At, LockError};
pub use mirror::{Kept, keep};
pub use update::Update;

use crate::blueprint::{Blueprint, Problems};
use crate::build::{Lacking, Options};
use crate::context::Context;
use crate::lock::{BasePin, Lock};
use crate::plan::{Lowered, Platform, drop_unused, drop_unused_toolchains, fixed, uncovered};
use crate::resolve::{Request, Resolver};

/// Who has the lockfile made: how the blueprint is read for it, and who hears what the base lacks.
pub trait Asker {
    /// Reads the blueprint for a platform as if `lock` were its lockfile, and gives the request that it is resolved with.
    fn read(&self, platform: &Platform, lock: &Lock) -> Result<(Lowered, Request), Problems>;

    /// Hears of packages that the archive of `base` does not have, and that another suite has.
    fn lacking(&self, base: &str, lacking: &[Lacking]);
}

/// What is asked for.
pub struct Asked<'a> {
    /// The platforms to pin for; none stand for this machine's and all that the blueprint supports.
    pub platforms: &'a [Platform],
    /// What is pinned anew.
    pub update: &'a Update,
    /// The directory of the catalog that toolchains come from.
    pub catalog: &'a Path,
    /// Ask what is not pinned; else it is only named.
    pub ask: bool,
    /// Leave everything but the manifest's toolchains as it is.
    pub toolchains_only: bool,
    /// How tasks run whose packages are found out.
    pub options: Options,
    /// True where the author names no base, and packages may be looked for in other suites.
    pub may_mean_another_base: bool,
}

/// Pins what is not pinned, platform by platform.
pub struct Locker<'a> {
    context: &'a Context,
    asker: &'a dyn Asker,
    asked: &'a Asked<'a>,
    blueprint: &'a Blueprint,
    old: &'a Lock,
    /// The lockfile as it should be, as far as that is known.
    pub lock: Lock,
    /// What is not pinned and was not asked for.
    pub missing: Vec<String>,
    /// Tasks that no lockfile covers.
    pub uncovered: BTreeSet<String>,
    /// Names that were pinned anew for another platform already.
    anew: BTreeSet<String>,
}

impl<'a> Locker<'a> {
    /// Begins with `old`, the lockfile that `blueprint` has.
    pub fn new(
        context: &'a Context,
        blueprint: &'a Blueprint,
        old: &'a Lock,
        asked: &'a Asked<'a>,
        asker: &'a dyn Asker,
    ) -> Self {
        let (lock, missing, uncovered, anew) = (old.clone(), Vec::new(), BTreeSet::new(), BTreeSet::new());
        Self { context, asker, asked, blueprint, old, lock, missing, uncovered, anew }
    }

    /// Pins all there is to pin. After a failure, `lock` has what was pinned until then.
    pub fn run(&mut self) -> Result<(), LockError> {
        match self.asked.toolchains_only {
            true => drop_unused_toolchains(self.blueprint, &mut self.lock),
            false => drop_unused(self.blueprint, &mut self.lock),
        }
        let (host, supported) = self.platforms();
        self.lock.host = host.to_string();
        let mut wanted = self.asked.platforms.to_vec();
        if wanted.is_empty() {
            wanted = vec![host];
            wanted.extend(supported.iter().filter(|platform| **platform != wanted[0]).cloned().collect::<Vec<_>>());
        }
        if self.asked.toolchains_only {
            self.toolchains(&wanted)?;
            self.unlisted(&wanted)?;
            return self.asked.update.check();
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
                Err(error) => failed.push((platform.clone(), error)),
            }
        }
        if !failed.is_empty() {
            return Err(LockError::Platforms { of: wanted.len(), failed });
        }
        self.lock.base.retain(|reference, _| bases.contains(reference));
        self.asked.update.check()
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

    /// Pins what a platform needs. Gives its base.
    fn platform(&mut self, platform: &Platform) -> Result<String, LockError> {
        let toolchains = Lock { toolchains: self.lock.toolchains.clone(), ..Lock::default() };
        let (bare, request) = self.asker.read(platform, &toolchains)?;
        let resolver = request.resolver(self.context);
        self.downloads(&bare, &resolver)?;
        self.commits(&bare, &resolver)?;
        self.toolchain_commits(&bare, &resolver);
        self.base(&bare.base, platform, &resolver)?;
        self.packages(&bare.base, platform)?;
        let (whole, _) = self.asker.read(platform, &self.lock)?;
        self.uncovered.extend(uncovered(&whole));
        Ok(bare.base)
    }

    fn base(&mut self, base: &str, platform: &Platform, resolver: &Resolver<'_>) -> Result<(), LockError> {
        let has = fixed(&self.lock, base, &platform.to_string());
        // The digest of a tag is that of all its platforms.
        if has && (!self.asked.update.covers_base(base) || self.anew.contains(base)) {
            return Ok(());
        }
        if !self.asked.ask {
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
