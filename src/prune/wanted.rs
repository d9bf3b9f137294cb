//! What of all that can go is to go.

use std::time::Duration;

/// Kinds of what a store holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
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
    /// All of them, in the order of rows.
    pub const ALL: [Self; 7] =
        [Self::Images, Self::Layers, Self::Trees, Self::Downloads, Self::Caches, Self::Logs, Self::Damaged];

    /// As a row names it.
    pub fn told(self) -> &'static str {
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

    /// True if a row tells of it even if there is none.
    pub(super) fn is_always_told(self) -> bool {
        self != Self::Logs
    }
}

/// Conditions. What goes meets all of them.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Kinds that may go; none stand for all but logs.
    pub kinds: Vec<StoreKind>,
    /// Not used for so long.
    pub older_than: Option<Duration>,
    /// Bytes that the store may keep; what was used least recently goes first.
    pub keep: Option<u64>,
    /// Only what images have needed whose names are taken away.
    pub of_images: bool,
}

impl Wanted {
    /// True if `kind` may go.
    pub fn covers(&self, kind: StoreKind) -> bool {
        match self.kinds.as_slice() {
            [] if self.of_images => matches!(kind, StoreKind::Images | StoreKind::Layers | StoreKind::Trees),
            [] => kind != StoreKind::Logs,
            kinds => kinds.contains(&kind),
        }
    }

    /// True if all goes that no image needs.
    pub fn is_everything(&self) -> bool {
        self.kinds.is_empty() && self.older_than.is_none() && self.keep.is_none() && !self.of_images
    }
}
