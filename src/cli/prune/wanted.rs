//! What of all that can go is to go.

use std::time::Duration;

use clap::ValueEnum;

/// Kinds of what a store holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum StoreKind {
    /// Manifests, configs and documents of images without a name, and what failed builds left to look into
    Images,
    /// Layers that no image needs, which builds find again
    Layers,
    /// Layers as they are unpacked for commands
    Trees,
    /// Downloads and packages
    Downloads,
    /// Package lists of apt
    Caches,
    /// Logs of builds; they go only if they are named
    Logs,
    /// What was found damaged, and put aside
    Damaged,
}

impl StoreKind {
    pub(in crate::cli) const ALL: [Self; 7] =
        [Self::Images, Self::Layers, Self::Trees, Self::Downloads, Self::Caches, Self::Logs, Self::Damaged];

    /// As a row names it.
    pub(in crate::cli) fn told(self) -> &'static str {
        match self {
            Self::Images => "images",
            Self::Layers => "layers",
            Self::Trees => "trees",
            Self::Downloads => "downloads",
            Self::Caches => "caches",
            Self::Logs => "logs",
            Self::Damaged => "damaged, put aside",
        }
    }

    pub(super) fn is_always_told(self) -> bool {
        self != Self::Logs
    }
}

/// Conditions; what goes meets all of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    /// None are all but logs.
    pub(super) kinds: Vec<StoreKind>,
    /// Not used for so long.
    pub(super) older_than: Option<Duration>,
    /// Bytes that the store may keep; what was used least recently goes first.
    pub(super) keep: Option<u64>,
    /// Only what images have needed whose names are taken away.
    pub(super) of_images: bool,
}

impl Wanted {
    pub(super) fn covers(&self, kind: StoreKind) -> bool {
        match self.kinds.as_slice() {
            [] if self.of_images => matches!(kind, StoreKind::Images | StoreKind::Layers | StoreKind::Trees),
            [] => kind != StoreKind::Logs,
            kinds => kinds.contains(&kind),
        }
    }

    /// True if all goes that no image needs.
    pub(super) fn is_everything(&self) -> bool {
        self.kinds.is_empty() && self.older_than.is_none() && self.keep.is_none() && !self.of_images
    }
}
