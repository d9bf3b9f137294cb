//! Revisions of git repositories, pinned to the commits that they are.

use std::collections::BTreeMap;

use super::{At, LockError, Locker};
use crate::build;
use crate::event::{Event, Wait};
use crate::git::{Git, Named};
use crate::lock::ToolchainSource;
use crate::op::{Checkout, Step};
use crate::plan::Lowered;
use crate::resolve::Resolver;
use crate::ssh::Ssh;

impl Locker<'_> {
    /// Pins what tasks check out.
    pub(super) fn commits(&mut self, bare: &Lowered, resolver: &Resolver<'_>) -> Result<(), LockError> {
        let steps = bare.layers.iter().flat_map(|layer| &layer.steps);
        let checkouts = steps.flat_map(|step| step.checkouts.iter().map(move |checkout| (step, checkout)));
        for (step, checkout) in checkouts.filter(|(_, checkout)| !checkout.is_commit()) {
            let (url, revision) = (checkout.key(), &checkout.revision);
            let name = format!("{revision} of {url}");
            let has = self.lock.commit(&url, revision).is_some() && !self.asked.update.covers_repository(&url);
            if has || !self.anew.insert(name.clone()) {
                continue;
            }
            if !self.asked.ask {
                self.missing.push(format!("{name} is not pinned"));
            } else if in_the_image(&url) {
                let warning = format!("{name} is not pinned: it is a repository of the image. Name a commit");
                self.context.reporter().event(Event::Warning(warning));
            } else {
                let Named { commit, tag } = self.named(bare, Some(step), checkout, resolver)?;
                self.lock.pin_commit(&url, revision, commit, tag);
            }
        }
        Ok(())
    }

    /// Notes which commits the versions of toolchains are that are repositories. Nothing depends on it, since what
    /// tasks check out is pinned by itself: a server that does not answer is worth a warning.
    pub(super) fn toolchain_commits(&mut self, bare: &Lowered, resolver: &Resolver<'_>) {
        let mut asked: BTreeMap<(String, String), Option<String>> = BTreeMap::new();
        let mut toolchains = std::mem::take(&mut self.lock.toolchains);
        for (reference, pin) in toolchains.values_mut().flatten().filter(|_| self.asked.ask) {
            let version = pin.version.clone().unwrap_or_default();
            let ToolchainSource::Repository { url, commit: commit @ None } = &mut pin.source else { continue };
            let found = asked.entry((url.clone(), version.clone())).or_insert_with(|| {
                let checkout = Checkout { url: url.clone(), revision: version, commit: None };
                if checkout.is_commit() {
                    return Some(checkout.revision);
                }
                let told = |error: LockError| {
                    let warning = format!("the commit of {reference} is not recorded: {error}");
                    self.context.reporter().event(Event::Warning(warning));
                };
                self.named(bare, None, &checkout, resolver).map(|named| named.commit).map_err(told).ok()
            });
            commit.clone_from(found);
        }
        self.lock.toolchains = toolchains;
    }

    /// What `checkout`, which `step` wants, is now.
    fn named(
        &self,
        bare: &Lowered,
        step: Option<&Step>,
        checkout: &Checkout,
        resolver: &Resolver<'_>,
    ) -> Result<Named, LockError> {
        let (url, revision) = (checkout.key(), &checkout.revision);
        let at = |quoted: &str| {
            let (quoted, of) = (quoted.to_owned(), step?);
            Some(At { task: of.name.clone(), file: of.file.clone(), line: of.line, quoted })
        };
        self.context.reporter().event(Event::Note(format!("resolving {revision} of {url}")));
        let _wait = Wait::start(self.context.reporter(), format!("an answer about {revision} of {url}"));
        let remote = bare.secrets.reveal_url(&checkout.url);
        let runtime = self.context.runtime.handle();
        let settings = resolver.fetcher().git_settings(&checkout.url);
        let git = Git::new(remote, self.context.stall().as_secs())
            .with(settings)
            .with_ssh(self.context.ssh.as_ref())
            .with_programs(&self.context.git);
        let found = git.named(revision).map_err(|error| {
            let told = error.to_string();
            let lines: Vec<String> = told.lines().map(str::to_owned).collect();
            let hint = build::checkout_advice(resolver.fetcher(), runtime, std::slice::from_ref(checkout), &lines);
            let hint = hint.or_else(|| build::advice(&told).map(str::to_owned)).or_else(|| Ssh::own_advice(&told));
            LockError::Revision { at: at(&url), error, hint }
        })?;
        let revision = revision.clone();
        found.ok_or_else(|| LockError::NoRevision { at: at(&revision), url, revision })
    }
}

/// True for a repository that the commands of a task see, and this machine does not.
fn in_the_image(url: &str) -> bool {
    url.starts_with(['/', '.']) || url.starts_with("file:")
}
