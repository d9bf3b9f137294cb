//! Revisions of git repositories, pinned to the commits that they are.

use std::collections::BTreeMap;

use super::locker::Locker;
use crate::build;
use crate::cli::error::{CommandError, Kind};
use crate::cli::inputs::Prepared;
use crate::cli::located::Place;
use crate::event::{Event, Wait};
use crate::git::{Git, Named};
use crate::lock::ToolchainSource;
use crate::op::{Checkout, Step};
use crate::resolve::Resolver;
use crate::ssh::Ssh;

impl Locker<'_> {
    /// Pins what tasks check out.
    pub(super) fn commits(&mut self, bare: &Prepared, resolver: &Resolver<'_>) -> Result<(), CommandError> {
        let steps = bare.lowered.layers.iter().flat_map(|layer| &layer.steps);
        let checkouts = steps.flat_map(|step| step.checkouts.iter().map(move |checkout| (step, checkout)));
        for (step, checkout) in checkouts.filter(|(_, checkout)| !checkout.is_commit()) {
            let (url, revision) = (checkout.key(), &checkout.revision);
            let name = format!("{revision} of {url}");
            let has = self.lock.commit(&url, revision).is_some() && !self.update.covers_repository(&url);
            if has || !self.anew.insert(name.clone()) {
                continue;
            }
            if !self.ask {
                self.missing.push(format!("{name} is not pinned"));
            } else if in_the_image(&url) {
                let warning = format!("{name} is not pinned: it is a repository of the image. Name a commit");
                self.context.reporter().event(Event::Warning(warning));
            } else {
                let Named { commit, tag } = self.asked(bare, Some(step), checkout, resolver)?;
                self.lock.pin_commit(&url, revision, commit, tag);
            }
        }
        Ok(())
    }

    /// Notes which commits the versions of toolchains are that are repositories. Nothing depends on it, since what
    /// tasks check out is pinned by itself: a server that does not answer is worth a warning.
    pub(super) fn toolchain_commits(&mut self, bare: &Prepared, resolver: &Resolver<'_>) {
        let mut asked: BTreeMap<(String, String), Option<String>> = BTreeMap::new();
        let mut toolchains = std::mem::take(&mut self.lock.toolchains);
        for (reference, pin) in toolchains.values_mut().flatten().filter(|_| self.ask) {
            let version = pin.version.clone().unwrap_or_default();
            let ToolchainSource::Repository { url, commit: commit @ None } = &mut pin.source else { continue };
            let found = asked.entry((url.clone(), version.clone())).or_insert_with(|| {
                let checkout = Checkout { url: url.clone(), revision: version, commit: None };
                if checkout.is_commit() {
                    return Some(checkout.revision);
                }
                let told = |error: CommandError| {
                    let warning = format!("the commit of {reference} is not recorded: {}", error.message);
                    self.context.reporter().event(Event::Warning(warning));
                };
                self.asked(bare, None, &checkout, resolver).map(|named| named.commit).map_err(told).ok()
            });
            commit.clone_from(found);
        }
        self.lock.toolchains = toolchains;
    }

    fn asked(
        &self,
        bare: &Prepared,
        step: Option<&Step>,
        checkout: &Checkout,
        resolver: &Resolver<'_>,
    ) -> Result<Named, CommandError> {
        let (url, revision) = (checkout.key(), &checkout.revision);
        let at = |field: &str, error| match step {
            Some(step) => Place::of(&step.file, step.line, field).told_of(error, &step.name),
            None => error,
        };
        self.context.reporter().event(Event::Note(format!("resolving {revision} of {url}")));
        let _wait = Wait::start(&self.context.reporter(), format!("an answer about {revision} of {url}"));
        let remote = bare.lowered.secrets.reveal_url(&checkout.url);
        let runtime = self.context.runtime.handle();
        let settings = resolver.fetcher().git_settings(&checkout.url);
        let git = Git::new(remote, self.context.stall().as_secs())
            .with(settings)
            .with_ssh(self.context.ssh.as_ref())
            .with_programs(&self.context.git);
        let found = git.named(revision).map_err(|error| {
            let error = CommandError::from(error);
            let lines: Vec<String> = error.message.lines().map(str::to_owned).collect();
            let help = build::checkout_advice(resolver.fetcher(), runtime, std::slice::from_ref(checkout), &lines);
            let help = help.or_else(|| build::advice(&error.message).map(str::to_owned));
            let help = help.or_else(|| Ssh::own_advice(&error.message));
            at(&url, help.into_iter().fold(error, CommandError::hint))
        })?;
        found.ok_or_else(|| {
            let error = CommandError::new(Kind::Failed, format!("{url} has no tag, branch or commit `{revision}`"));
            at(revision, error.hint(format!("see which tags and branches there are: git ls-remote {url}")))
        })
    }
}

/// True for a repository that the commands of a task see, and this machine does not.
fn in_the_image(url: &str) -> bool {
    url.starts_with(['/', '.']) || url.starts_with("file:")
}
