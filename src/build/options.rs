//! What a build depends on beside the blueprint.

use std::collections::BTreeSet;

use layers::compress::Compression;

use crate::plan::{Layering, PlannedLayer};
use crate::registry::Reference;

/// What a build depends on beside the blueprint.
#[derive(Clone, Debug)]
pub struct Options {
    /// Of layers.
    pub compression: Compression,
    /// `SOURCE_DATE_EPOCH`, in seconds since 1970.
    pub epoch: u64,
    /// Task files that are built anew.
    pub no_cache: NoCache,
    /// How task files become layers.
    pub layering: Layering,
    /// Where finished layers are sent while later ones are made.
    pub push: Vec<Reference>,
    /// When it is found out what is in the image.
    pub look_inside: LookInside,
    /// Whether all layers have to be here in the end, for who reads them.
    pub whole: bool,
}

/// When it is found out what is in an image, and left for the team.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LookInside {
    /// Nobody wants to know.
    #[default]
    Never,
    /// When a layer was built, and all layers lie there unpacked: others will want to know it, who do not have them.
    WhenUnpacked,
    /// When all layers are here, built or not. Nothing is pulled for it.
    WhenHere,
}

/// Which layers are built although they are there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NoCache {
    /// None.
    #[default]
    Nothing,
    /// All of the blueprint's.
    Everything,
    /// Those with a task that says `always_run`.
    AlwaysRun,
    /// Those of these task files.
    Files(BTreeSet<String>),
}

impl NoCache {
    pub(super) fn covers(&self, layer: &PlannedLayer) -> bool {
        match self {
            Self::Nothing => false,
            Self::Everything => true,
            Self::AlwaysRun => layer.steps.iter().any(|step| step.guards.always_run),
            Self::Files(files) => layer.files.iter().any(|file| files.contains(file)),
        }
    }
}
