//! Whom tasks run as, asked before any of them runs.

use super::{Result, Session};
use crate::build::BuildError;
use crate::op::users_wanted;
use crate::target::image::RequestError;

impl Session<'_> {
    /// An error, before anything runs, if a task will run as a user whom nobody makes.
    pub(super) fn users(&mut self) -> Result<()> {
        let ahead = std::mem::take(&mut self.ahead);
        for (name, step) in users_wanted(&ahead.iter().collect::<Vec<_>>()) {
            // Of the first task, it is told when it begins.
            if ahead.first().is_some_and(|first| std::ptr::eq(first, step)) {
                continue;
            }
            match self.target()?.identity(name) {
                Ok(_) => {}
                Err(RequestError::Failed { .. }) => {
                    let (name, task) = (self.lowered.secrets.mask(name), self.lowered.secrets.mask(&step.name));
                    return Err(BuildError::User { name, task, file: step.file.clone(), line: step.line });
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
