//! Errors of pulls, and of joining images.

use super::with;
use crate::cli::error::{CommandError, Kind};
use crate::join::JoinError;
use crate::pull::PullError;

impl From<PullError> for CommandError {
    fn from(error: PullError) -> Self {
        match error {
            PullError::Build(error) => error.into(),
            PullError::Fetch(error) => error.into(),
            PullError::Image(error) => error.into(),
            PullError::Registry(error) => error.into(),
            PullError::Resolve(error) => error.into(),
            PullError::Store(error) => error.into(),
            PullError::Nested { error, repository, digest } => {
                Self::from(*error).hint(format!("alloy pull {repository}@{digest}"))
            }
            PullError::NotLinux(error) => {
                Self::from(error).hint("alloy's images are for Linux, of whatever architecture")
            }
            PullError::NoImage { .. } => {
                let hint = "`alloy clone` fetches blueprints, `alloy cache` has the caches of teams";
                with(Kind::Network, &error, Some(hint.to_owned()))
            }
        }
    }
}

impl From<JoinError> for CommandError {
    fn from(error: JoinError) -> Self {
        match error {
            JoinError::Named(error) => error.into(),
            JoinError::Image(error) => error.into(),
            JoinError::Pull(error) => error.into(),
            JoinError::Push(error) => (*error).into(),
            JoinError::Store(error) => error.into(),
            JoinError::Name(_) => with(Kind::Usage, &error, None),
            JoinError::Twice { .. } => with(Kind::Usage, &error, Some("name one image for each platform".to_owned())),
        }
    }
}
