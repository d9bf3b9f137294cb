//! Why a blueprint cannot be published or fetched.

use std::io;
use std::path::{Path, PathBuf};

use layers::path::PathError;
use layers::store::StoreError;
use layers::tar::TarError;

use crate::blueprint::LOCK_FILE;
use crate::registry::{ReferenceError, RegistryError};
use crate::resolve::ResolveError;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the fields are what the messages say")]
pub enum HubError {
    #[error(transparent)]
    Name(#[from] ReferenceError),
    #[error("`{name}` names no registry")]
    NoRegistry { name: String },
    #[error("{registry} is another machine, which is not asked without TLS")]
    Plain { registry: String },
    #[error("{reference} was not found: no tag means `latest`, which it does not have")]
    NoLatest { reference: String, tags: Vec<String> },
    #[error("{reference} is no blueprint: it is {found}")]
    NotABlueprint { reference: String, found: String },
    #[error("{reference} is not for {platform}; it is for {available}")]
    NoHost { reference: String, platform: String, available: String },
    #[error("{reference} is not used: {error}")]
    Refused { reference: String, error: ContentError },
    #[error("{path} is there already")]
    Occupied { path: PathBuf },
    #[error("{} was changed since it was cloned: {}", directory.display(), listed(files, *more))]
    Changed { directory: PathBuf, files: Vec<PathBuf>, more: usize },
    #[error("{} was saved while the clone was brought up to date: what was saved is still there", file.display())]
    Touched { file: PathBuf },
    #[error("{} was not put there by alloy, and has other files than {reference}: {}", directory.display(), listed(files, *more))]
    Others { directory: PathBuf, reference: String, files: Vec<PathBuf>, more: usize },
    #[error("{path} is no directory")]
    NoDirectory { path: PathBuf },
    #[error("{} is another user's", directory.display())]
    NotOwn { directory: PathBuf },
    #[error("the blueprint cannot be published: {0}")]
    Contents(ContentError),
    #[error("{registry} does not say what it has, and has no repository {name}")]
    NotListed { registry: String, name: String },
    #[error("cannot {what} {path}: {source}")]
    File { what: &'static str, path: PathBuf, source: io::Error },
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is wrong with the files of a blueprint, on their way in or out.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the fields are what the messages say")]
pub enum ContentError {
    #[error(transparent)]
    Tar(#[from] TarError),
    #[error(transparent)]
    Name(#[from] PathError),
    #[error("`{path}` {problem}")]
    Member { path: String, problem: &'static str },
    #[error(
        "{path}:{line}: the URL of {host} has a password in it: everybody could read it who may pull the blueprint"
    )]
    Password { path: String, line: usize, host: String },
    #[error("it has more than {0} files and directories")]
    Many(u64),
    #[error("{0} bytes are more than a blueprint may have")]
    Large(u64),
    #[error("it unpacks to more than {0} bytes, which its size does not bear out")]
    Bomb(u64),
    #[error("it is not compressed with gzip or zstd")]
    Format,
    #[error("it has no {}", crate::blueprint::MANIFEST_FILE)]
    NoManifest,
    #[error("cannot {what} {path}: {source}")]
    File { what: &'static str, path: PathBuf, source: io::Error },
}

fn listed(files: &[PathBuf], more: usize) -> String {
    let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    names.join(", ") + &more
}

/// So many tags are named.
const SHOWN: usize = 5;

impl HubError {
    /// What to do.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::NoRegistry { name } => {
                format!("say where it is: --registry HOST, ALLOY_REGISTRY=HOST, or the whole name, HOST/{name}")
            }
            Self::Plain { registry } => {
                format!("name it without `http://`; if it is meant to have no TLS, with --insecure-registry {registry}")
            }
            Self::NoLatest { reference, tags } => {
                let name = reference.rsplit_once(':').map_or(reference.as_str(), |(name, _)| name);
                let newest = tags.first().map_or("TAG", String::as_str);
                let shown = tags[..tags.len().min(SHOWN)].join(", ");
                let more = tags.len().saturating_sub(SHOWN);
                let more = if more == 0 { String::new() } else { format!(" and {more} more") };
                format!("name one of its tags, as in {name}:{newest}: there are {shown}{more}")
            }
            Self::NoHost { .. } => "--platform picks another host's".to_owned(),
            Self::Contents(ContentError::Password { host, .. }) => format!(
                "let each user give it, by variables: https://{{{{.Vars.X_USER}}}}:{{{{.Vars.X_PASSWORD}}}}@{host}/…; and \
                 change the password where the blueprint has been published before"
            ),
            Self::Occupied { .. } => {
                "--update makes a clone the version there is now; -o names another directory".to_owned()
            }
            Self::Changed { files, .. } if files.iter().any(|file| file == Path::new(LOCK_FILE)) => format!(
                "move your changes away, and try again, or take another directory. Nothing was changed here. Once \
                 {LOCK_FILE} is moved away, the later version's own comes; `alloy lock` adds to it what it lacks"
            ),
            Self::Touched { .. } => "try again: what is changed since the clone is told then".to_owned(),
            Self::Changed { .. } => {
                "move your changes away, and try again, or take another directory. Nothing was changed here".to_owned()
            }
            Self::Others { .. } => {
                "move these files away, and try again: then those of the blueprint come in their place. Files that it does \
                 not have can stay. Nothing was changed here"
                    .to_owned()
            }
            Self::NoDirectory { .. } => "move it away, or name another directory".to_owned(),
            Self::NotOwn { .. } => "let that user clone it, or take another directory".to_owned(),
            Self::Refused { .. } => {
                "whoever published it should do it again, with `alloy publish`; nothing of it was kept".to_owned()
            }
            Self::NotListed { .. } => "name the whole repository, or log in: alloy login".to_owned(),
            Self::Registry(error) | Self::Resolve(ResolveError::Registry(error)) => return error.hint(),
            _ => return None,
        };
        Some(text)
    }
}
