//! Toolchains of the manifest, pinned to what the catalog says that they are.

use std::collections::BTreeSet;

use super::{LockError, Locker};
use crate::blueprint::Problems;
use crate::catalog::{Artifact, Catalog, CatalogError, Resolved};
use crate::event::Event;
use crate::lock::{ToolchainPin, ToolchainSource, pins, same};
use crate::plan::Platform;
use crate::yaml::Diagnostic;

/// The action that unpacks a toolchain by its reference.
const FROM_REF: &str = "unarchive_from_ref";

impl Locker<'_> {
    /// Pins toolchains from the catalog; all that cannot be pinned is told at once. Gives those platforms, which nobody asked
    /// for by name and this machine is not, that the catalog lacks something for: they are no reason to pin nothing.
    pub(super) fn toolchains(&mut self, platforms: &[Platform]) -> Result<BTreeSet<Platform>, LockError> {
        let (mut problems, mut lacking) = (Vec::new(), BTreeSet::new());
        let is_asked = |platform: &Platform| {
            !self.asked.platforms.is_empty() || *platform == Platform::of_this_machine() || platforms.len() == 1
        };
        let asked: Vec<bool> = platforms.iter().map(is_asked).collect();
        let blueprint = self.blueprint;
        let all = blueprint.manifest.toolchains.iter();
        for (toolchain, platform) in all.flat_map(|toolchain| platforms.iter().map(move |one| (toolchain, one))) {
            let name = platform.to_string();
            let has = self.lock.toolchain(&name, &toolchain.reference).is_some();
            if has && !self.asked.update.covers_toolchain(&toolchain.reference) {
                continue;
            }
            if !self.asked.ask {
                self.missing.push(format!("{} is not pinned for {name}", toolchain.reference));
                continue;
            }
            let found =
                Catalog::open(self.asked.catalog).and_then(|catalog| catalog.resolve(&toolchain.reference, &name));
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
        let old =
            self.lock.toolchain(platform, reference).filter(|old| self.asked.toolchains_only && without(old) == new);
        old.cloned().unwrap_or(new)
    }

    /// A warning where a reference is pinned for a platform in another version than for one that keeps its pin.
    fn told_of_another(&self, platform: &str, reference: &str, new: &ToolchainPin) {
        if self.asked.update.any() {
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
    pub(super) fn unlisted(&mut self, platforms: &[Platform]) -> Result<(), LockError> {
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
        if !self.asked.ask {
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
