//! Why a base cannot be had from an archive.

use std::path::PathBuf;
use std::time::Duration;

use layers::store::StoreError;

use super::sources::Distribution;
use crate::fetch::{FetchError, Temporary};

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the fields are what the messages say")]
pub enum DebianError {
    #[error(
        "no mirror is known for deb:{suite}: neither this machine's apt sources nor its packages name one of {}",
        distribution.title()
    )]
    NoMirror { suite: String, distribution: Distribution },
    #[error("{suite} has no component `{component}`: it has {known}")]
    NoComponent { suite: String, component: String, known: String },
    #[error("cannot read the keyring {keyring}: {message}")]
    Keyring { keyring: String, message: String },
    #[error("this machine's apt source {uri} {suite}: Signed-By is not understood: {message}")]
    SignedBy { uri: String, suite: String, message: String },
    #[error("{url} is not signed by a key of {keyrings}{by}")]
    Signature { url: String, keyrings: String, by: String },
    #[error("{url} has no good signature: {reasons}")]
    Untrusted { url: String, keyrings: String, reasons: String },
    #[error("{url} is not a signed text (an OpenPGP clear-signed message)")]
    Unsigned { url: String },
    #[error("{url}: {message}")]
    Dates { url: String, message: String },
    #[error("{url} is of {date}, older than one of the same place that was seen, of {newest}")]
    Older { url: String, date: String, newest: String, record: Option<PathBuf>, locked: bool },
    #[error("{url}: {message}")]
    Release { url: String, message: String },
    #[error("{url}: {message}")]
    Index { url: String, message: String },
    #[error("the archive no longer has the index of {suite} that alloy.lock.yml pins: {url}")]
    Gone { suite: String, url: String },
    #[error("the archive has no package for `{dependency}`, which {package} needs")]
    Unmet { package: String, dependency: String },
    #[error("what {package} needs can be met in too many ways: the index of the archive is not one of a distribution")]
    Entangled { package: String },
    #[error("the archive of {suite} has no essential packages for {architecture}")]
    NothingEssential { suite: String, architecture: String },
    #[error("cannot unpack {package}: {source}")]
    Package { package: String, source: layers::unpack::UnpackError },
    #[error("cannot write the base: {0}")]
    Root(#[from] layers::root::RootError),
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Fetch(#[from] FetchError),
}

impl DebianError {
    /// What to do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoMirror { distribution, .. } => Some(format!(
                "name one with --mirror http://HOST/{} or ALLOY_MIRROR, or install what names it: apt install \
                 python-apt-common",
                distribution.name()
            )),
            Self::Keyring { .. } => Some(
                "install the package that has it (debian-archive-keyring, ubuntu-keyring), or name another with \
                 --keyring FILE"
                    .into(),
            ),
            Self::SignedBy { .. } => {
                Some("correct the source as sources.list(5) has it, or name the keys with --keyring FILE".into())
            }
            Self::Signature { .. } => Some(
                "the keyring may be older than the archive's key: update it, or name another with --keyring FILE"
                    .into(),
            ),
            Self::Untrusted { keyrings, .. } => Some(format!(
                "an archive that changed its keys is in a newer keyring package (debian-archive-keyring, \
                 ubuntu-keyring): update {keyrings}, or name another with --keyring FILE"
            )),
            Self::Unsigned { .. } => Some(
                "a proxy or a login page may have answered in the archive's place: look at the URL, or name another \
                 mirror with --mirror URL"
                    .into(),
            ),
            Self::Dates { .. } => {
                Some("set this machine's clock if it is wrong, else name another mirror with --mirror URL".into())
            }
            Self::Older { record, locked, .. } => Some(older(record.as_ref(), *locked)),
            Self::Gone { .. } => Some(
                "pin the base as it is now: alloy lock --update=base; or build where the index is still in the store. \
                 Where archives lose what is pinned, `alloy lock --mirror-to` keeps it in a registry"
                    .into(),
            ),
            Self::Fetch(FetchError::Status { status: 404, .. }) => {
                Some("is the suite's name right, and does the mirror carry it?".into())
            }
            Self::Fetch(error) => error.hint(),
            _ => None,
        }
    }
}

/// What to do about a release that is older than what was seen.
fn older(record: Option<&PathBuf>, locked: bool) -> String {
    let record = record.map(|record| format!("delete {}", record.display()));
    let lock = locked.then(|| "take the base's pin out of alloy.lock.yml".to_owned());
    let forget: Vec<String> = record.into_iter().chain(lock).collect();
    format!(
        "the mirror may lag behind, or somebody sends an old release: try again later, or name another mirror with \
         --mirror URL; if the archive itself went back, {}",
        forget.join(" and ")
    )
}

impl Temporary for DebianError {
    /// Of several servers behind one name, another may be further. What cannot be fetched was tried again already.
    fn is_temporary(&self) -> bool {
        matches!(self, Self::Older { .. })
    }

    fn retry_after(&self) -> Option<Duration> {
        None
    }
}
