//! Which blueprint, and which host: for commands about what is installed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;

use super::context::RegistryArgs;
use super::error::{CommandError, Kind};
use super::hub::{HubArgs, tagged};
use crate::blueprint::{self, Blueprint, MANIFEST_FILE};
use crate::context::Context;
use crate::event::Event;
use crate::hub;
use crate::install::state::STATE_FILE;
use crate::plan::Platform;
use crate::registry::Reference;
use crate::resolve::Request;

const DIRECTORY: &str = "ALLOY_BLUEPRINT_DIR";
/// Below the home directory: published blueprints that were installed, and what was done of them.
const HOME: &str = ".alloy-it";

/// Which blueprint is on which host
#[derive(Clone, Debug, Args)]
pub(super) struct PlaceArgs {
    /// A published blueprint, [REGISTRY/]PROJECT/VENDOR/BOARD[:TAG]
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// The tag, if NAME has none [default: latest]
    #[arg(long, value_name = "TAG", requires = "name")]
    tag: Option<String>,
    /// The blueprint: a directory with a manifest.yml [default: $ALLOY_BLUEPRINT_DIR, else the current directory]; with
    /// NAME, the directory that the blueprint is first downloaded to, as by `alloy clone --update`
    #[arg(long, value_name = "DIR")]
    blueprint_dir: Option<PathBuf>,
    /// The root directory of another system, such as a mounted card; commands run in namespaces of their own
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub(super) root: PathBuf,
    /// The file that records what was done on the host [default: alloy.state.yml beside the blueprint; for a published
    /// blueprint, in ~/.alloy-it]
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    #[command(flatten)]
    hub: HubArgs,
}

/// A blueprint on its way to a host.
pub(super) struct Place {
    /// Its directory.
    pub(super) directory: PathBuf,
    /// What was done of it.
    pub(super) state: PathBuf,
}

impl PlaceArgs {
    /// Whether the blueprint is somebody else's, in a registry.
    pub(super) fn is_published(&self) -> bool {
        self.name.is_some()
    }

    /// The same, where a file of variables says which registry of blueprints is meant, and who we are to it.
    pub(super) fn with(&self, said: BTreeMap<String, String>) -> Self {
        Self { hub: self.hub.with(said), ..self.clone() }
    }

    /// How registries are reached: by the hub's user, where a published blueprint is meant.
    pub(super) fn registries(&self) -> Result<RegistryArgs, CommandError> {
        match &self.name {
            Some(name) => self.hub.registries(&self.reference(name)?),
            None => Ok(self.hub.transport().clone()),
        }
    }

    /// The state file.
    pub(super) fn state(&self) -> Result<PathBuf, CommandError> {
        match (&self.state, &self.name) {
            (Some(state), _) => Ok(state.clone()),
            (None, Some(_)) if self.blueprint_dir.is_some() => Ok(self.directory().join(STATE_FILE)),
            (None, Some(name)) => Ok(hub::place(&self.reference(name)?, &home()?).join(STATE_FILE)),
            (None, None) => Ok(self.directory().join(STATE_FILE)),
        }
    }

    /// The blueprint in the directory that is meant, as far as it can be read: one that is named, or that the state file is
    /// beside.
    pub(super) fn blueprint(&self) -> Option<Blueprint> {
        let meant = self.name.is_none() && (self.state.is_none() || self.blueprint_dir.is_some());
        meant.then(|| blueprint::read(&self.directory()).ok()?.0).flatten()
    }

    /// The blueprint, fetched if it is a published one. Who only looks gets one apart from its user's files.
    pub(super) fn find(&self, context: &Context, platform: Platform, looks: bool) -> Result<Place, CommandError> {
        let state = self.state()?;
        let Some(name) = &self.name else {
            return Ok(Place { directory: self.directory(), state });
        };
        // Who only looks sees what is there.
        if let Some(directory) = self.blueprint_dir.as_ref().filter(|one| looks && one.join(MANIFEST_FILE).is_file()) {
            return Ok(Place { directory: directory.clone(), state });
        }
        let reference = self.reference(name)?;
        let request = Request::new(context, platform);
        let resolver = request.resolver(context);
        if let Some(directory) = self.blueprint_dir.as_ref().filter(|_| !looks) {
            let found = hub::find(&resolver, &reference)?;
            found.put(&resolver, directory, true)?;
            let note = format!("{reference}@{} is in {}", found.digest, directory.display());
            context.reporter().event(Event::Note(note));
            return Ok(Place { directory: directory.clone(), state });
        }
        let fetched = hub::fetch(&resolver, &reference, &home()?)?;
        let version = fetched.version.map_or(String::new(), |version| format!(" ({version})"));
        let note = format!("{reference}@{}{version} is in {}", fetched.digest, fetched.directory.display());
        context.reporter().event(Event::Note(note));
        Ok(Place { directory: fetched.directory, state })
    }

    fn directory(&self) -> PathBuf {
        let set = || std::env::var_os(DIRECTORY).filter(|value| !value.is_empty()).map(PathBuf::from);
        self.blueprint_dir.clone().or_else(set).unwrap_or_else(|| PathBuf::from("."))
    }

    fn reference(&self, name: &str) -> Result<Reference, CommandError> {
        let reference = self.hub.reference(name).map_err(|error| {
            // As other commands take it.
            if !Path::new(name).is_dir() {
                return error;
            }
            error.hint(format!("a blueprint in a directory is named so: --blueprint-dir {name}"))
        })?;
        tagged(reference, name, self.tag.as_deref())
    }
}

/// Where this user's published blueprints are.
fn home() -> Result<PathBuf, CommandError> {
    let home = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
    let none = || {
        CommandError::new(Kind::Failed, "there is no home directory for the blueprint")
            .hint("set HOME, or `alloy clone` the blueprint and install it with --blueprint-dir")
    };
    Ok(home.ok_or_else(none)?.join(HOME))
}
