//! Builds for another architecture: only what runs programs of the image needs an emulator. Files are written, archives
//! unpacked and layers found without one.

use std::fmt;

use layers::store::StoreError;

use super::forecast::{self, Lasts};
use super::{Build, BuildError, Resolved};
use crate::cache;
use crate::op::Step;
use crate::plan::{Inputs, LayerKey, PlannedLayer};
use crate::resolve::{Base, Origin, Resolver};
use crate::sandbox::{self, runs_here};
use crate::target::image::RequestError;

/// What has to run a program of the image.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are what the messages say")]
pub enum Need {
    /// A base that is made from packages: their scripts.
    Base { reference: String },
    /// A task.
    Task { name: String, file: String, line: usize },
    /// `env_from_profile`.
    LoginShell,
    /// The command of `alloy run`.
    Command,
}

impl Need {
    /// Of a step; `None` if it runs nothing.
    pub(super) fn of(step: &Step) -> Option<Self> {
        let task = || Self::Task { name: step.name.clone(), file: step.file.clone(), line: step.line };
        step.runs_programs().then(task)
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Base { reference } => write!(f, "the base {reference}, which is made from packages, needs it"),
            Self::Task { name, file, line } => write!(f, "{file}:{line} needs it ({name})"),
            Self::LoginShell => f.write_str("the login shell that `env_from_profile` asks needs it"),
            Self::Command => f.write_str("the command needs it"),
        }
    }
}

/// An error if programs of the resolver's platform do not run here; `need` says what for.
pub(super) fn ensure(resolver: &Resolver<'_>, need: impl FnOnce() -> Need) -> Result<(), BuildError> {
    runs_here(resolver.platform).map_err(|error| BuildError::Foreign { need: need(), error })
}

impl Build<'_> {
    /// Tells before anything is built if it will have to run a program that does not run here.
    pub fn foresee(&self, resolved: &mut Resolved) -> Result<(), BuildError> {
        if runs_here(self.resolver.platform).is_ok() && sandbox::possible(self.resolver.context.vars()).is_ok() {
            return Ok(());
        }
        let plan = self.plan(&resolved.inputs, Some(&resolved.base))?;
        // What the team has needs no emulator here.
        self.bring(resolved, &plan)?;
        let found = self.find(&plan)?.len();
        let lasts = forecast::lasts(self.resolver, &self.lowered.name)?;
        self.runs_here(resolved, &plan.layers[found..], &lasts).map(drop)
    }

    /// The same of a build that has `missing` to make. True if it will have work for the sandbox.
    pub(super) fn runs_here(
        &self,
        resolved: &Resolved,
        missing: &[PlannedLayer],
        lasts: &Lasts,
    ) -> Result<bool, BuildError> {
        let (resolver, base) = (self.resolver, &resolved.base);
        // A layer that was built before may yet be found by what comes out below it.
        let certain = || {
            let forced = |layer: &&PlannedLayer| self.options.no_cache.covers(layer);
            missing.iter().filter(move |layer| forced(layer) || !lasts.contains_key(&layer.name))
        };
        let base_to_be_made = to_be_made(resolver, base, &resolved.inputs)?;
        let works = |layer: &PlannedLayer| layer.portable.is_none() && !layer.steps.is_empty();
        let works = base_to_be_made || certain().any(works);
        if works {
            sandbox::possible(resolver.context.vars()).map_err(RequestError::Sandbox)?;
        }
        if runs_here(resolver.platform).is_ok() {
            return Ok(works);
        }
        if base_to_be_made {
            ensure(resolver, || Need::Base { reference: self.lowered.base.clone() })?;
        }
        if let Some(need) = certain().flat_map(|layer| &layer.steps).find_map(Need::of) {
            ensure(resolver, || need)?;
        }
        // An empty base has a shell only if a task brings one.
        let may_lack_shell = base.image.layers.is_empty() && matches!(base.origin, Origin::Store);
        if self.lowered.image.env_from_profile && !may_lack_shell && lasts.is_empty() && !missing.is_empty() {
            ensure(resolver, || Need::LoginShell)?;
        }
        Ok(works)
    }
}

/// True for a base of packages whose layer is not there.
fn to_be_made(resolver: &Resolver<'_>, base: &Base, inputs: &Inputs) -> Result<bool, StoreError> {
    if !matches!(base.origin, Origin::Archive(_)) || !base.image.layers.is_empty() {
        return Ok(false);
    }
    let record = cache::find(resolver.store, &LayerKey::of_base(base.identity, inputs))?;
    Ok(record.is_none_or(|record| record.layer.is_none()))
}
