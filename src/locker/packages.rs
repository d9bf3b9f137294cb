//! Packages of apt and of languages, pinned as they are found where their tasks run.

use std::collections::BTreeMap;

use super::{LockError, Locker, pin_of};
use crate::build::{Build, BuildError, Closures};
use crate::event::Event;
use crate::lock::{ClosurePin, PackagesPin};
use crate::op::Pinned;
use crate::plan::{AptTask, LanguageTask, Lowered, Platform};
use crate::resolve::Request;

impl Locker<'_> {
    /// Pins what tasks install.
    pub(super) fn packages(&mut self, base: &str, platform: &Platform) -> Result<(), LockError> {
        let name = platform.to_string();
        let mut before = self.lock.apt.remove(&name).unwrap_or_default();
        let mut languages = self.lock.packages.take(&name);
        if pin_of(self.old, base, &name) != pin_of(&self.lock, base, &name) {
            // They were found on another base.
            before.clear();
            languages.clear();
        }
        let (mut lowered, request) = self.asker.read(platform, &self.lock)?;
        let layers = &mut lowered.layers;
        let tasks = AptTask::of(layers, &self.blueprint.directory);
        let stale = |task: &&AptTask| {
            let fits = before.get(&task.key).is_some_and(|pin| task.fits(pin));
            self.asked.update.covers_task(task) || !fits
        };
        // What is installed first decides what is missing later. All are asked, so that every name is known.
        let kept = tasks.iter().enumerate().filter(|(_, task)| stale(task)).map(|(at, _)| at).min();
        let kept = kept.unwrap_or(tasks.len());
        let mut pins = BTreeMap::new();
        for task in &tasks[..kept] {
            if let Some(pin) = before.remove(&task.key) {
                task.lock(layers, &pin.debs);
                pins.insert(task.key.clone(), pin);
            }
        }
        for task in LanguageTask::of(layers) {
            let pin = languages.remove(&(task.language, task.key.clone())).filter(|pin| task.fits(pin));
            if let Some(pin) = pin.filter(|pin| !self.asked.update.covers_packages(&task, pin)) {
                task.lock(layers, &pin);
                self.lock.packages.insert(task.language, &name, task.key.clone(), pin);
            }
        }
        let open: Vec<LanguageTask> =
            LanguageTask::of(layers).into_iter().filter(|task| task.locked == Pinned::No).collect();
        let mut done = Ok(());
        if self.asked.ask && (kept < tasks.len() || !open.is_empty()) {
            done = self.found(lowered, &request, &mut pins, &name);
        } else {
            let keys = tasks[kept..].iter().map(|task| &task.key).chain(open.iter().map(|task| &task.key));
            self.missing.extend(keys.map(|key| format!("the packages of {key} are not pinned for {name}")));
        }
        if !pins.is_empty() {
            self.lock.apt.insert(name, pins);
        }
        done
    }

    /// Pins what the tasks without pins install; all that fail are told at once, and the others are pinned. Nothing, with a
    /// warning, where this machine cannot run them.
    fn found(
        &mut self,
        lowered: Lowered,
        request: &Request,
        pins: &mut BTreeMap<String, ClosurePin>,
        platform: &str,
    ) -> Result<(), LockError> {
        let (resolver, directory) = (request.resolver(self.context), &*self.blueprint.directory);
        let (base, options) = (&lowered.base, &self.asked.options);
        let build = Build { resolver: &resolver, directory, lowered: &lowered, options };
        let resolved = build.resolve()?;
        let lacking = match self.asked.may_mean_another_base {
            true => build.lacking_to_lock(&resolved),
            false => Vec::new(),
        };
        self.asker.lacking(base, &lacking);
        let warn = |text: String| self.context.reporter().event(Event::Warning(text));
        let mut all = Closures::default();
        let mut done = build.closures(resolved, &mut all);
        if let Err(error @ BuildError::Foreign { .. }) = &done {
            warn(format!("packages are not pinned for {platform}: {error}; lock it where its programs run"));
            done = Ok(());
        }
        let Closures { apt, languages, left, failed } = all;
        for (task, why) in left {
            warn(format!("the packages of {} are not pinned for {platform}: {why}", task.key));
        }
        pins.extend(apt.into_iter().map(|(task, closure)| {
            let (suite, debs) = (closure.suite.filter(|_| !base.starts_with("deb:")), closure.debs);
            let packages = task.wanted();
            (task.key, ClosurePin { packages, recommends: task.recommends, suite, debs })
        }));
        for (LanguageTask { language, key, .. }, pin) in languages {
            self.lock.packages.insert(language, platform, key, pin);
        }
        let errors: Vec<BuildError> = failed.into_values().chain(done.err()).collect();
        if errors.is_empty() { Ok(()) } else { Err(LockError::Packages { errors, lacking }) }
    }
}

/// What a task's packages are called: what it asks for, and what that comes to.
pub(super) fn names<'a>(task: &'a LanguageTask, pin: &'a PackagesPin) -> impl Iterator<Item = &'a str> {
    let asked = task.asked.iter().map(|asked| task.language.bare(asked));
    asked.chain(pin.files.iter().map(|file| file.name.as_str()))
}
