//! Performing ops on a root.
//!
//! The image target runs in the worker (`serve`), where ids are mapped and mounts are possible; the builder holds
//! its [`image::ImageTarget`], which sends requests and receives answers. The live host needs neither: a
//! [`host::Host`] works in alloy's own process. Both perform by the same `perform`.

mod accounts;
mod apt;
mod aptcache;
mod attributes;
mod excluded;
mod export;
pub mod facts;
pub mod host;
pub mod image;
pub mod inventory;
mod layer;
mod lent;
mod looked;
mod passing;
mod perform;
pub mod request;
mod rules;
mod scratch;
mod serve;
mod site;
mod stored;
mod surroundings;
mod trees;
mod unpack;
pub mod workdir;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use layers::root::{FileKind, Root};

pub use accounts::Accounts;
pub use apt::{Closure, LocalDeb};
pub use excluded::{as_it_is, excluded};
pub use inventory::{commit_of, head, in_root};
pub use layer::DEFAULT_EPOCH;
pub use lent::Lent;
pub use serve::serve;

use crate::fetch::without_credentials;
use crate::op::{Secrets, Source};
use crate::sandbox::SandboxError;

/// What failures begin with that are an archive's.
pub const UNPACKING: &str = "cannot unpack ";
/// What is done with the profiles of a login shell.
const LOGIN_ENVIRONMENT: &str = "reading the login environment";

/// What helps whom an archive fails: what `file`, which is called `path`, looks like, and how to look into it.
pub fn told_of_archive(file: &mut File, path: &str) -> io::Result<String> {
    let size = file.metadata()?.len();
    let (looks, command) = layers::unpack::described(file)?;
    let says = if command == "file" { "what it is" } else { "whether others can read it, and what is in it" };
    Ok(format!("{path} has {size} bytes, and looks like {looks}: `{command} {path}` says {says}"))
}

/// What is said of a task that succeeded, where `path`, which its `creates` names, is not there afterwards, or is a link
/// to what is not: it will run once more, or wait for something else, whenever somebody goes by it.
pub fn not_created(path: &str, link: Option<&str>) -> String {
    match link {
        Some(link) => format!("it succeeded, and {link}: its `creates` names that"),
        None => format!("it succeeded, and did not make {path}, which its `creates` names"),
    }
}

/// If `path` is a link to what does not exist, that. `creates` asks for what a link leads to: a tool that was deleted is
/// not there because a link to it is.
pub fn dangling(root: &Root, path: &str) -> Option<String> {
    let place = Path::new(path);
    let is_link = root.metadata(place).is_ok_and(|found| found.kind == FileKind::Symlink);
    if !is_link || root.exists(place).unwrap_or(true) {
        return None;
    }
    let target = root.read_link(place).ok()?;
    Some(format!("{path} is a link to {}, which does not exist", target.display()))
}

/// Why an op could not be performed.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// A file operation on the root failed.
    #[error(transparent)]
    Root(#[from] layers::root::RootError),
    /// An archive could not be unpacked.
    #[error(transparent)]
    Unpack(#[from] layers::unpack::UnpackError),
    /// The archive is at fault.
    #[error("{UNPACKING}{what}: {source}")]
    Archive {
        /// Its URL or path.
        what: String,
        /// What it is, if it is a file of the root.
        hint: Option<String>,
        /// What is wrong with it.
        source: layers::unpack::UnpackError,
    },
    /// A layer could not be unpacked.
    #[error(transparent)]
    Apply(#[from] layers::apply::ApplyError),
    /// The same, of one that somebody else has made.
    #[error("layer {layer}: {source}")]
    OfLayer {
        /// Which.
        layer: layers::digest::Digest,
        /// What failed, with the member's name.
        source: layers::root::RootError,
    },
    /// A variable of the environment refers to one that is not set.
    #[error("the variable `{name}` refers to `${wanted}`, which is not set")]
    Unset {
        /// Which.
        name: String,
        /// To what.
        wanted: String,
    },
    /// Somebody else is at work where the task writes.
    #[error(
        "{} was exchanged while the task wrote it: whoever may write to its directory put something else there, which \
         gets neither owner nor mode. Use a place of root's own",
        path.display()
    )]
    Exchanged {
        /// Where.
        path: PathBuf,
    },
    /// Something stands where a copy was to go.
    #[error("{} is {what}, and `copy` replaces no directory, and nothing by a directory. Give another `dest`, or remove it in a task before", path.display())]
    InTheWay {
        /// Where.
        path: PathBuf,
        /// What stands there.
        what: &'static str,
    },
    /// A login shell that ended well before it came to its command.
    #[error("the login shell of {user} ended before the command began, which was not run")]
    Unbegun {
        /// Whose.
        user: String,
    },
    /// A clone that stays as it is, and why.
    #[error("{0}")]
    Kept(String),
    /// A directory was wanted where something else is.
    #[error("{} is there, and is no directory. Name another directory, or remove it in a task before", path.display())]
    NoDirectory {
        /// Where.
        path: PathBuf,
    },
    /// What was taken of the blueprint.
    #[error(transparent)]
    Tar(#[from] layers::tar::TarError),
    /// A layer that is not what it should be.
    #[error("{0}")]
    Layer(String),
    /// The changes could not be written as a layer.
    #[error(transparent)]
    Diff(#[from] layers::diff::DiffError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] layers::store::StoreError),
    /// The sandbox failed.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// A base could not be made from packages.
    #[error(transparent)]
    Debian(#[from] crate::debian::DebianError),
    /// A source that was not fetched before.
    #[error("{wanted:?} was not fetched")]
    NoSource {
        /// Which.
        wanted: Source,
    },
    /// A file of this machine.
    #[error("cannot read {path}: {source}")]
    Host {
        /// Which.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A file that was to be written.
    #[error("cannot write it: {0}")]
    Output(#[source] io::Error),
    /// A file of the builder's was not written.
    #[error("cannot write it: {0}")]
    Unwritten(#[source] io::Error),
    /// Scratch space of the build.
    #[error("cannot use the build's scratch directory: {0}")]
    Scratch(#[source] io::Error),
    /// Files that a command was to be lent.
    #[error("cannot lend it to the command: {0}")]
    Lend(#[source] io::Error),
    /// Something that only a machine can do.
    #[error("`{what}` cannot be done in an image")]
    NotInAnImage {
        /// The action.
        what: &'static str,
    },
    /// The kernel does not take programs of another architecture.
    #[error("cannot register programs of {architecture} with the kernel: {source}")]
    Binfmt {
        /// Of the programs.
        architecture: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// A package that no archive vouches for.
    #[error("apt names no archive and no SHA-256 for a package that it would install: {line}")]
    Unpinnable {
        /// What it says.
        line: String,
    },
    /// A script that holds a secret, and a login shell of unknown language.
    #[error("the command holds a secret, and how to give {shell}, the login shell of {user}, one is not known")]
    Shell {
        /// Whose.
        user: String,
        /// Its program.
        shell: String,
    },
    /// What was to be installed is no package, or one of another architecture.
    #[error("{what} {why}")]
    Deb {
        /// Where it comes from.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// On a host, packages would go for those that a task installs.
    #[error("apt would remove {} for what it is to install, and what a host has installed stays", packages.join(", "))]
    Removes {
        /// Their names.
        packages: Vec<String>,
    },
    /// A package without rules.
    #[error("the Debian package has no `*.rules` in it")]
    NoRules,
    /// The requests came in an order that makes no sense.
    #[error("no layer was begun")]
    NoLayer,
    /// A command of alloy's own failed.
    #[error("{what} ended with status {exit}; its last output:\n{output}")]
    Command {
        /// What was run.
        what: &'static str,
        /// Exit status.
        exit: i32,
        /// The end of what it printed.
        output: String,
    },
}

impl TargetError {
    /// The archive of `source` cannot be unpacked.
    pub fn unpack(source: &Source, error: layers::unpack::UnpackError) -> Self {
        let what = match source {
            Source::Url { url, .. } => without_credentials(&Secrets::without_markers(url)),
            Source::Local { path } | Source::Tree { path, .. } => path.clone(),
        };
        if error.is_of_archive() { Self::Archive { what, hint: None, source: error } } else { error.into() }
    }

    /// A failure of scratch space.
    pub fn scratch(error: io::Error) -> Self {
        Self::Scratch(error)
    }

    /// True if the disk is full: whatever was read or written then is not to blame.
    pub fn disk_is_full(&self) -> bool {
        layers::disk::tells_of_full(&self.told())
    }

    /// True if it is this machine that cannot do it, as it is set up.
    pub fn is_unfit(&self) -> bool {
        match self {
            Self::Sandbox(error) => error.is_of_machine(),
            // chown(2): an id that the user namespace has none for.
            Self::OfLayer { source, .. } => source.kind() == io::ErrorKind::InvalidInput && source.is_of_owner(),
            _ => false,
        }
    }

    /// What was wrong, and what to do.
    pub fn failure(&self) -> (String, Option<String>) {
        (self.told(), self.hint())
    }

    /// What was wrong, causes included.
    pub fn told(&self) -> String {
        let mut message = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let text = error.to_string();
            if !message.contains(&text) {
                message = format!("{message}: {text}");
            }
            cause = error.source();
        }
        message
    }

    /// What to do, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Sandbox(error) => error.hint(),
            Self::Archive { hint, .. } => hint.clone(),
            Self::OfLayer { .. } if self.is_unfit() => Some(
                "its owner or group has an id for which this user has none: a longer range in /etc/subuid and /etc/subgid \
                 has one (as root: usermod --add-subuids FIRST-LAST --add-subgids FIRST-LAST USER), and so has root"
                    .into(),
            ),
            Self::Removes { packages } => Some(format!(
                "if they may go, remove them by hand or in a task before: apt-get remove -y {}; if not, name a package or a \
                 version that does not conflict with them",
                packages.join(" ")
            )),
            Self::Binfmt { .. } => Some(
                "it takes a kernel of one's own: add `exclude: [docker, wsl2]` to the task, and --docker or --wsl2"
                    .into(),
            ),
            Self::Command { what: LOGIN_ENVIRONMENT, .. } => Some(
                "a script of /etc/profile.d or of the user's own profile ends the shell, or fails: mend what it says, or do \
                 without, with `env_from_profile: false` in the manifest's `image`"
                    .into(),
            ),
            Self::Unbegun { .. } => Some(
                "a script of /etc/profile.d or of the user's own profile leaves the shell (`exit`, `exec`): let it do so in \
                 interactive shells alone (`case $- in *i*) …`)"
                    .into(),
            ),
            Self::Shell { .. } => Some(
                "give the account sh, bash, dash, ksh, mksh, zsh, csh, tcsh or fish, or hand the secret over in a file"
                    .into(),
            ),
            _ => None,
        }
    }
}
