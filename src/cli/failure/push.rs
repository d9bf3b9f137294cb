//! Errors of pushes, and of documents about images.

use super::with;
use crate::cli::error::{CommandError, Kind};
use crate::documents::DocumentError;
use crate::push::PushError;

impl From<DocumentError> for CommandError {
    fn from(error: DocumentError) -> Self {
        match error {
            DocumentError::Build(error) => error.into(),
            DocumentError::Image(error) => error.into(),
            DocumentError::Registry(error) => error.into(),
            DocumentError::Resolve(error) => error.into(),
            DocumentError::Store(error) => error.into(),
            DocumentError::Damaged { .. } => with(Kind::Failed, &error, Some("build it again".to_owned())),
            DocumentError::NotAttached { .. } => {
                let hint = "`alloy build --push` and `alloy push` attach it";
                with(Kind::Failed, &error, Some(hint.to_owned()))
            }
            DocumentError::TooLarge { .. } | DocumentError::NotOfSubject { .. } => with(Kind::Network, &error, None),
        }
    }
}

impl From<PushError> for CommandError {
    fn from(error: PushError) -> Self {
        match error {
            PushError::Document(error) => error.into(),
            PushError::Build(error) => error.into(),
            PushError::Fetch(error) => error.into(),
            PushError::Image(error) => error.into(),
            PushError::Registry(error) => error.into(),
            PushError::Resolve(error) => error.into(),
            PushError::Store(error) => error.into(),
            PushError::Manifest { .. } => with(Kind::Failed, &error, None),
            PushError::Sbom(error) => Self::from(error).hint("--no-attest pushes the image without an SBOM"),
            PushError::Untagged { error, repository, digest } => {
                let mut failure = Self::from(*error);
                if failure.kind != Kind::Interrupted {
                    failure.message += &format!("; {repository}@{digest} is there, without its tag");
                }
                failure
            }
            PushError::Refused { error, by_digest, has_foreign } => {
                let mut failure = Self::from(error);
                if by_digest {
                    failure = failure.hint(
                        "a registry may take manifests under tags alone, and the image is put by its digest for what goes \
                         with it: --no-attest pushes it by its tag",
                    );
                }
                if has_foreign {
                    failure = failure.hint(
                        "the image has layers that are to be had from URLs, which are not sent: a registry may not take \
                         manifests with any (`validation.manifests.urls` of distribution's)",
                    );
                }
                failure
            }
        }
    }
}
