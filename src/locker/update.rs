//! Which pins are made anew.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::LockError;
use super::packages::names;
use crate::lock::PackagesPin;
use crate::plan::{AptTask, LanguageTask};

/// What is asked for.
pub enum Update {
    /// Nothing that is pinned.
    Nothing,
    /// Everything.
    Everything,
    /// What has one of these names.
    Named {
        /// The names.
        names: BTreeSet<String>,
        /// Those that something had.
        found: RefCell<BTreeSet<String>>,
    },
}

/// The name of every base.
const BASE: &str = "base";
/// The name of all revisions of git repositories; `git` is that of a package.
const COMMITS: &str = "commits";
/// The name of the packages of all tasks.
const APT: &str = "apt";

impl Update {
    /// What `names` mean: no list is nothing, an empty one everything.
    pub fn of(names: Option<&[String]>) -> Self {
        match names {
            None => Self::Nothing,
            Some([]) => Self::Everything,
            Some(names) => Self::Named { names: names.iter().cloned().collect(), found: RefCell::default() },
        }
    }

    /// True if anything is asked for.
    pub fn any(&self) -> bool {
        !matches!(self, Self::Nothing)
    }

    /// True if what is called `name` is pinned anew.
    pub(super) fn covers(&self, name: &str) -> bool {
        match self {
            Self::Nothing => false,
            Self::Everything => true,
            Self::Named { names, found } => {
                let asked = names.contains(name);
                found.borrow_mut().extend(asked.then(|| name.to_owned()));
                asked
            }
        }
    }

    /// The same of a toolchain, by its reference with or without a version.
    pub(super) fn covers_toolchain(&self, reference: &str) -> bool {
        let bare = reference.split('@').next().unwrap_or(reference);
        self.covers(reference) | self.covers(bare)
    }

    /// The same of a base.
    pub(super) fn covers_base(&self, reference: &str) -> bool {
        self.covers(BASE) | self.covers(reference)
    }

    /// The same of a git repository.
    pub(super) fn covers_repository(&self, url: &str) -> bool {
        self.covers(COMMITS) | self.covers(url)
    }

    /// The same of a task: by its name, or that of a package it asks for.
    pub(super) fn covers_task(&self, task: &AptTask) -> bool {
        let bare = |package: &String| self.covers(package.split([':', '=', '/']).next().unwrap_or(package));
        let packages = task.packages.iter().filter(|package| bare(package)).count();
        self.covers(APT) | self.covers(&task.key) | (packages > 0)
    }

    /// The same of a task that installs packages of a language: by its name, the language, or that of a package.
    pub(super) fn covers_packages(&self, task: &LanguageTask, pin: &PackagesPin) -> bool {
        let packages = names(task, pin).filter(|name| self.covers(name)).count();
        self.covers(task.language.name()) | self.covers(&task.key) | (packages > 0)
    }

    /// An error for names that nothing has.
    pub(super) fn check(&self) -> Result<(), LockError> {
        let Self::Named { names, found } = self else { return Ok(()) };
        let found = found.borrow();
        match names.iter().find(|name| !found.contains(*name)) {
            None => Ok(()),
            Some(name) => Err(LockError::NothingCalled { name: name.clone() }),
        }
    }
}
