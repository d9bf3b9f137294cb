//! Errors of the catalog's clone.

use super::with;
use crate::catalog_clone::CloneError;
use crate::cli::error::{CommandError, Kind};

impl From<CloneError> for CommandError {
    fn from(error: CloneError) -> Self {
        let (kind, hint) = match &error {
            CloneError::Remote { .. } => (Kind::Usage, None),
            CloneError::NoRemote => {
                let hint = "name its repository: `alloy catalog update --remote URL`, or ALLOY_CATALOG_REMOTE";
                (Kind::Usage, Some(hint))
            }
            CloneError::OfAnother { .. } => {
                (Kind::Usage, Some("name another directory with --catalog, or move this one away"))
            }
            CloneError::NotOwn { .. } => {
                (Kind::Usage, Some("name another directory with --catalog, or update this one yourself"))
            }
            CloneError::Untrusted { .. } => {
                (Kind::Usage, Some("take it out, or name another directory with --catalog"))
            }
            CloneError::Changed { own: true, .. } => {
                (Kind::Failed, Some("send them to where the catalog comes from, or drop them with --discard"))
            }
            CloneError::Changed { own: false, .. } => {
                let hint = "it was not made by `alloy catalog update`: send them to where it comes from, move it away, or \
                            name another directory with --catalog";
                (Kind::Failed, Some(hint))
            }
            CloneError::NoCatalog { .. } => {
                let hint = "a catalog has directories such as toolchains/<vendor>/<tool>, at its top or in catalog/";
                (Kind::Failed, Some(hint))
            }
            CloneError::Files { .. } | CloneError::Git(_) => (Kind::Failed, None),
        };
        match error {
            CloneError::Git(error) => error.into(),
            error => with(kind, &error, hint.map(str::to_owned)),
        }
    }
}
