//! Errors of comparing pins with what there is today.

use super::with;
use crate::cli::error::{CommandError, Kind};
use crate::outdated::OutdatedError;

impl From<OutdatedError> for CommandError {
    fn from(error: OutdatedError) -> Self {
        match error {
            OutdatedError::Resolve(error) => error.into(),
            OutdatedError::Debian(error) => error.into(),
            OutdatedError::Platform(_) => with(Kind::Usage, &error, None),
        }
    }
}
