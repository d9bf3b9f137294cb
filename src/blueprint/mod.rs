//! A blueprint as it was written: manifest, variables, task files and lockfile, each value with its place.

mod developer;
mod files;
mod hosts;
mod image;
mod manifest;
mod process;
mod read;
mod render;
mod stray;
mod template;
mod variables;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::LazyLock;

use crate::lock::{Lock, Lockfile};
use crate::yaml::{Diagnostic, Mapping, Sources, Span};

pub use files::digest_of;
pub use image::{ImageFields, check_user};
pub use manifest::{Manifest, RequiredEnv, Toolchain};
pub use process::{BACKEND, of_commands};
pub use read::{LOCK_FILE, MANIFEST_FILE, OWN_FILES, load, read, read_texts};
pub use render::{ARCHITECTURES, PER_ARCH_FIELDS, render_task};
pub use stray::stray;
pub use variables::{Environment, Given};

/// A value of `variables`, and where it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its text.
    pub value: String,
    /// Where.
    pub span: Span,
}

/// Variables by name.
pub type Variables = BTreeMap<String, Variable>;

/// Bytes of values that are put into a text that is only looked at.
const MOST_SHOWN: usize = 64 << 10;

/// One task as it was written.
#[derive(Clone, Debug)]
pub struct Task {
    /// Where it begins.
    pub span: Span,
    /// Its fields.
    pub fields: Mapping,
}

/// One task file.
#[derive(Clone, Debug)]
pub struct TaskFile {
    /// Its path, relative to the blueprint.
    pub path: String,
    /// Its tasks in order.
    pub tasks: Vec<Task>,
}

/// A blueprint that was read.
#[derive(Clone, Debug)]
pub struct Blueprint {
    /// Its directory, absolute.
    pub directory: PathBuf,
    /// The text of its files.
    pub sources: Sources,
    /// `manifest.yml`.
    pub manifest: Manifest,
    /// `variables.yml`, and over it the manifest's `variables`.
    pub variables: Variables,
    /// Task files, in `run_order`.
    pub files: Vec<TaskFile>,
    /// `alloy.lock.yml`, if there is one.
    pub lock: Option<Lockfile>,
}

impl Blueprint {
    /// What the lockfile pins: nothing, where there is none, or where it cannot be read.
    pub fn pins(&self) -> &Lock {
        static NOTHING: LazyLock<Lock> = LazyLock::new(Lock::default);
        self.lock.as_ref().and_then(|lockfile| lockfile.read.as_ref().ok()).unwrap_or(&NOTHING)
    }

    /// The same, and an error where the lockfile cannot be read.
    pub fn readable_pins(&self) -> Result<&Lock, Problems> {
        match self.lock.as_ref().map(|lockfile| &lockfile.read) {
            Some(Err(diagnostics)) => Err(Problems { diagnostics: diagnostics.clone(), sources: self.sources.clone() }),
            _ => Ok(self.pins()),
        }
    }

    /// The texts of its files, by their paths in it.
    pub fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        // Sources have the names that the user gave them, the manifest first.
        let shown =
            self.sources.all().next().and_then(|(name, _)| name.strip_suffix(MANIFEST_FILE)).unwrap_or_default();
        self.sources.all().map(move |(name, text)| (name.strip_prefix(shown).unwrap_or(name), text))
    }

    /// `text` with the values that the blueprint itself gives its variables, and the names of these; other variables stay
    /// as they are written. `None` where there is none of them, or so much of them that nobody would read it.
    pub fn with_own_values(&self, text: &str) -> Option<(String, Vec<String>)> {
        let (mut names, mut left) = (Vec::new(), Some(MOST_SHOWN));
        let value = |name: &str| match self.variables.get(name).filter(|variable| !variable.value.is_empty()) {
            Some(variable) => {
                left = left.and_then(|left| left.checked_sub(variable.value.len()));
                names.push(name.to_owned());
                Some(left.map_or_else(String::new, |_| variable.value.clone()))
            }
            None => Some(format!("{{{{.Vars.{name}}}}}")),
        };
        let expanded = template::expand(text, value).ok()?;
        names.sort_unstable();
        names.dedup();
        (left.is_some() && !names.is_empty()).then_some((expanded, names))
    }
}

/// All that is wrong with a blueprint, and the texts to show it in.
#[derive(Clone, Debug)]
pub struct Problems {
    /// What is wrong.
    pub diagnostics: Vec<Diagnostic>,
    /// Where.
    pub sources: Sources,
}

/// One line for each: where it is, and what is wrong. `alloy` itself shows the source as well.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.diagnostics.iter().map(|one| format!("{}: {}", self.sources.place(one.span), one.message));
        f.write_str(&lines.collect::<Vec<_>>().join("\n"))
    }
}

impl std::error::Error for Problems {}

/// Why a blueprint cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The directory has no manifest.
    #[error("{path} is not a blueprint: it has no {MANIFEST_FILE}")]
    NotABlueprint {
        /// The directory.
        path: PathBuf,
        /// A file in it that may have been meant to be the manifest.
        instead: Option<String>,
    },
    /// It is no directory.
    #[error("{path} is a file: a blueprint is a directory")]
    NotADirectory {
        /// The file.
        path: PathBuf,
        /// Its directory, if that is a blueprint.
        blueprint: Option<PathBuf>,
    },
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// The blueprint has errors.
    #[error("the blueprint has errors")]
    Invalid(Problems),
}
