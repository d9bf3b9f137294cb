//! What of all that can go is to go.

use std::time::Duration;

use clap::ValueEnum;

/// Kinds of what a store holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum StoreKind {
    /// Manifests, configs and documents of images without a name, and what failed builds left
    Images,
    /// Layers that no image needs; builds could still use them
    Layers,
    /// Unpacked layers, which commands run on
    Trees,
    /// Downloads and packages
    Downloads,
    /// Package lists of apt
    Caches,
    /// Logs of builds; they are deleted only if this kind is named
    Logs,
    /// Files that were found damaged and put aside
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
