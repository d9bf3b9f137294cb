//! Whom tasks run as, asked before any of them runs.

use super::{Maker, Result};
use crate::build::BuildError;
use crate::event::Event;
use crate::op::{Step, WantedUser, users_wanted};
use crate::target::facts::{FactsRequest, World};
use crate::target::image::RequestError;

impl Maker<'_> {
    /// An error, before anything runs, if a task will run as a user whom nobody makes; a warning, if it may.
    pub(super) fn users(&mut self) -> Result<()> {
        let ahead = std::mem::take(&mut self.ahead);
        let steps: Vec<&Step> = ahead.iter().collect();
        let mut failed = None;
        let (lowered, target) = (self.build.lowered, self.stack.target()?);
        let wanted = users_wanted(&steps, lowered.developer.as_deref(), |path| {
            let exists = target.facts(at(path)).map(|world| world == World::Exists);
            exists.unwrap_or_else(|error| {
                failed.get_or_insert(error);
                true
            })
        });
        if let Some(error) = failed {
            return Err(error.into());
        }
        // Of the first task, it is told when it begins.
        let first = |wanted: &WantedUser<'_>| ahead.first().is_some_and(|first| std::ptr::eq(first, wanted.step));
        wanted.iter().filter(|wanted| !first(wanted)).try_for_each(|wanted| self.is_there(wanted))
    }

    fn is_there(&mut self, wanted: &WantedUser<'_>) -> Result<()> {
        let WantedUser { name, step, sure } = *wanted;
        match self.stack.target()?.identity(name) {
            Ok(_) => return Ok(()),
            Err(RequestError::Failed { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let (name, task) = (self.build.lowered.secrets.mask(name), self.build.lowered.secrets.mask(&step.name));
        if sure {
            return Err(BuildError::User { name, task, file: step.file.clone(), line: step.line });
        }
        let place = format!("{}:{}: {task}", step.file, step.line);
        let warning = format!(
            "{place}: unless its `skip_if` holds, it will fail: no task before makes the user `{name}`; `--user {name}` does"
        );
        self.build.resolver.reporter().event(Event::Warning(warning));
        Ok(())
    }
}

/// Asks whether something is at `path`, and nothing else.
fn at(path: &str) -> FactsRequest {
    let (dest, creates) = ("/".to_owned(), Some(path.to_owned()));
    FactsRequest { dest, owner: None, creates, sets_attributes: false, tops: None }
}
