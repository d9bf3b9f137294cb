//! Whom tasks run as, asked before any of them runs.

use super::{Result, Session};
use crate::build::BuildError;
use crate::op::users_wanted;
use crate::target::image::RequestError;

impl Session<'_> {
    /// An error, before anything runs, if a task will run as a user whom nobody makes.
    pub(super) fn users(&mut self) -> Result<()> {
        let ahead = std::mem::take(&mut self.ahead);
        let mut names = Vec::new();
        for (name, step) in users_wanted(&ahead.iter().collect::<Vec<_>>()) {
            match self.target()?.identity(name) {
                Ok(_) => {}
                Err(RequestError::Failed { .. }) => {
                    let place = format!("{}:{}: {}", step.file, step.line, step.name);
                    names.push((name.to_owned(), self.lowered.secrets.mask(&place)));
                }
                Err(error) => return Err(error.into()),
            }
        }
        if names.is_empty() { Ok(()) } else { Err(BuildError::Users { names }) }
    }
}
