//! A blueprint on a live host: the same steps as an image's, performed where they are, each one recorded when it is done.
//!
//! What has to hold is checked before anything is done. Then a task runs unless its guards, or the record of an earlier
//! run, say that there is nothing to do. The state file is written after each task: wherever a run ends, the next one
//! goes on from there.

use std::path::Path;

use layers::root::Root;

use crate::blueprint::Blueprint;
use crate::build::ensure_agent;
use crate::op::Step;
use crate::plan::Lowered;
use crate::resolve::Resolver;
use crate::sandbox::runs_here;
use crate::target::host::Host;

mod check;
mod claim;
mod clones;
mod decide;
pub mod drift;
mod error;
mod fetches;
mod former;
mod languages;
mod ledger;
mod made;
mod owned;
mod prepared;
mod renewal;
mod reordered;
mod repair;
mod run;
mod seen;
pub mod state;
mod summary;
mod text;
mod undone;
mod vanished;
mod whose;

use claim::Claim;
pub use decide::{Decision, Skipped};
pub use error::InstallError;
use fetches::Fetches;
pub use prepared::{Forecast, Foreseen, forecast};
use prepared::{Prepared, Recorded};
use run::{Recorder, Run};
use state::{State, StateError, StateFile};
pub use summary::Summary;

/// Where a blueprint is installed to.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// The host's root directory.
    pub root: &'a Path,
    /// Its state file.
    pub state: &'a Path,
    /// Start anew, whatever the state file says. What it says of tasks that are not reached stays.
    pub forget: bool,
    /// Do those tasks again of whose work something differs, and no others.
    pub repair: bool,
}

/// Nothing if this user may install to `root`, and there is a system that alloy knows; a `look` is anybody's.
pub fn allowed(root: &Path, look: bool) -> Result<(), InstallError> {
    if !look {
        check::privileges(root)?;
    }
    check::distribution(&Root::open(root)?)
}

/// Installs what `lowered`, of `blueprint`, asks for. A task that fails is part of the summary.
pub fn install(
    resolver: &Resolver<'_>,
    blueprint: &Blueprint,
    lowered: &Lowered,
    options: &Options<'_>,
) -> Result<Summary, InstallError> {
    allowed(options.root, false)?;
    runs_here(resolver.platform)?;
    // What is made is everybody's to read, whoever calls.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let root = Host::root(options.root)?;
    let claim = Claim::take(&root)?;
    let mut host = Host::open(root, resolver.store, &resolver.context.vars().texts())?;
    let file = StateFile::new(options.state);
    let state = earlier(&file, options, resolver, Some(&claim.host))?;
    repair::possible(options, &file, state.as_ref())?;
    let directory = blueprint.directory.as_path();
    let steps = || lowered.layers.iter().flat_map(|layer| &layer.steps);
    host.expect(steps());
    let sources = resolver.sources(directory, &steps().collect::<Vec<_>>())?;
    let recorded = Recorded { file: &file, state: state.unwrap_or_default(), anew: options.forget };
    let mut prepared = Prepared::new(blueprint, lowered, &sources, recorded)?;
    prepared.tell(resolver.reporter());
    prepared.undo_forsaken(resolver.store, host.files())?;
    prepared.undo_reordered(resolver.store, host.files(), resolver.reporter())?;
    let stays = match options.repair {
        true => repair::plan(resolver.store, host.files(), resolver.platform.debian_arch(), &mut prepared)?,
        false => Vec::new(),
    };
    let pending = prepared.pending(resolver.store, host.files())?;
    check::suite(host.files(), blueprint, resolver.reporter());
    let developer = lowered.developer.as_deref();
    check::users(&mut host, &prepared.steps, developer, |at| pending[at], resolver.reporter())?;
    let to_do = || prepared.steps.iter().zip(&pending).filter(|(_, pending)| **pending).map(|(step, _)| *step);
    ensure_agent(resolver.ssh(), to_do())?;
    if to_do().any(Step::runs_programs) {
        host.try_commands()?;
    }
    if let Some(ssh) = resolver.ssh() {
        host.set_ssh(ssh.clone(), resolver.runtime().clone());
    }
    let fetches = Fetches::start(resolver, directory, &sources, to_do());
    let state = State {
        blueprint: lowered.name.clone(),
        platform: resolver.platform.to_string(),
        host: claim.host.clone(),
        tasks: Vec::new(),
    };
    let mut run = Run::new(resolver, prepared, host, fetches, Recorder { file, state });
    let mut summary = run.all();
    if summary.failure.is_none() {
        summary.failure = run.repaired(stays).err();
    }
    Ok(summary)
}

/// What the state file says of earlier runs on `host`; nothing if there is none.
fn earlier(
    file: &StateFile,
    options: &Options<'_>,
    resolver: &Resolver<'_>,
    host: Option<&str>,
) -> Result<Option<State>, InstallError> {
    let state = match file.load() {
        // What cannot be read says nothing that could stay.
        Err(_) if options.forget => return Ok(None),
        state => state?,
    };
    let Some(state) = state else { return Ok(None) };
    if options.forget && (Some(state.host.as_str()) != host || state.platform != resolver.platform.to_string()) {
        return Ok(None);
    }
    let (host, platform) = (host.unwrap_or("one that was never installed to"), resolver.platform.to_string());
    let other = |what: &'static str, found: &str, wanted: &str| {
        let (path, found, wanted) = (file.path().to_owned(), found.to_owned(), wanted.to_owned());
        Err(StateError::Other { path, what, found, wanted }.into())
    };
    if state.host != host {
        return other("host", &state.host, host);
    }
    if state.platform != platform {
        return other("platform", &state.platform, &platform);
    }
    Ok(Some(state))
}
