//! Two things that one command would write to the same place.

use std::path::{Path, PathBuf};

/// What is written by one thing alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Standard output.
    Output,
    /// A path without links.
    Path(PathBuf),
    /// A directory with all that is in it.
    Tree(PathBuf),
}

impl Taken {
    fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Output, Self::Output) => true,
            (Self::Path(one), Self::Path(other)) => one == other,
            (Self::Tree(tree), Self::Path(path)) | (Self::Path(path), Self::Tree(tree)) => path.starts_with(tree),
            (Self::Tree(one), Self::Tree(other)) => one.starts_with(other) || other.starts_with(one),
            _ => false,
        }
    }

    /// How it is called in messages.
    pub fn name(&self) -> String {
        let shown = |path: &Path| path.display().to_string();
        match self {
            Self::Output => "standard output".to_owned(),
            Self::Path(path) | Self::Tree(path) => shown(path),
        }
    }
}

/// The first two that meet.
pub fn clash(all: &[Taken]) -> Option<(&Taken, &Taken)> {
    let met =
        |(index, one): (usize, &'_ Taken)| Some(index).zip(all[..index].iter().position(|other| other.meets(one)));
    all.iter().enumerate().find_map(met).map(|(one, other)| (&all[other], &all[one]))
}
