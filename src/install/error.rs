//! Why an installation, or a look at one, failed.

use std::io;
use std::path::PathBuf;

use layers::root::RootError;
use layers::store::StoreError;
use layers::tar::TarError;

use super::state::StateError;
use crate::build::{BuildError, TaskFailure};
use crate::fetch::FetchError;
use crate::resolve::ResolveError;
use crate::sandbox::NoEmulator;
use crate::target::TargetError;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the fields are what the messages say")]
pub enum InstallError {
    #[error("only root can install to {}", root.display())]
    NotRoot { root: PathBuf },
    #[error("{} is no Debian or Ubuntu: {found}", root.display())]
    Distribution { root: PathBuf, found: String },
    #[error(transparent)]
    Platform(#[from] NoEmulator),
    #[error("{} on this host", unknown(names))]
    Users { names: Vec<(String, String)> },
    #[error("another `alloy install`{} is at work on this host", pid.map_or(String::new(), |pid| format!(" (process {pid})")))]
    Busy { pid: Option<u32> },
    #[error("cannot use {path}: {source}")]
    Claim { path: PathBuf, source: io::Error },
    #[error("{}: {}", .0.task, .0.message)]
    Task(Box<TaskFailure>),
    #[error("{task} ({file}:{line}): {error}")]
    Download { task: String, file: String, line: usize, error: FetchError },
    #[error("interrupted{}", task.as_ref().map_or(String::new(), |task| format!(" in {task}")))]
    Interrupted { task: Option<String> },
    #[error("{}", left(paths, stays))]
    Left { paths: Vec<String>, stays: Vec<String> },
    #[error("{path} tells of no installation on this host")]
    NothingInstalled { path: PathBuf },
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error(transparent)]
    Root(#[from] RootError),
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot read a layer of the image: {0}")]
    Layer(#[from] TarError),
}

fn unknown(names: &[(String, String)]) -> String {
    let all: Vec<String> = names.iter().map(|(name, place)| format!("no user `{name}` ({place})")).collect();
    all.join(", ")
}

/// So many differences are named.
const NAMED: usize = 20;

/// What a repair has left: `paths` that differ although their tasks ran, and what `stays` as it has no task.
fn left(paths: &[String], stays: &[String]) -> String {
    let more = |all: &[String]| match all.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let named = |all: &[String], between: &str| all[..all.len().min(NAMED)].join(between) + &more(all);
    let mut parts = Vec::new();
    if !paths.is_empty() {
        parts.push(format!("the tasks ran again, and left as it is: {}", named(paths, ", ")));
    }
    if !stays.is_empty() {
        parts.push(format!("no task puts right: {}", named(stays, "; ")));
    }
    parts.join("\n")
}

impl InstallError {
    /// What to do, where that is known.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotRoot { .. } => "sudo alloy install …; `alloy install --dry-run` needs no privileges".into(),
            Self::Distribution { .. } => "alloy installs with apt; `alloy build` makes an image on any Linux".into(),
            Self::Platform(error) => return error.hint().into_iter().next(),
            Self::Users { .. } => {
                "make the user, in an earlier task or by hand, or name another: --var DEV_USERNAME=NAME".into()
            }
            Self::Left { paths, .. } if paths.is_empty() => {
                "put it right by hand; `alloy install` does tasks that have changed, and forgets those that are no more"
                    .into()
            }
            Self::Left { .. } => "put it right by hand; a task that names a `mode` and an `owner` sets them".into(),
            Self::Busy { .. } => "wait until it is done".into(),
            Self::NothingInstalled { .. } => "`alloy install` first, or name its state file with --state".into(),
            Self::State(error) => return error.hint(),
            Self::Target(error) => return error.hint(),
            Self::Download { error, .. } => return error.hint(),
            Self::Root(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                "not everything on a host is everybody's to read: sudo alloy …".into()
            }
            _ => return None,
        })
    }
}
