//! The process that performs tasks: started when the first of them needs it.

use super::{Result, Stack};
use crate::event::Event;
use crate::sandbox::Bind;
use crate::target::Lent;
use crate::target::image::{ImageTarget, RequestError, Starting};

impl Stack<'_> {
    /// The worker, started for tasks if it was not started before.
    pub(in crate::build) fn target(&mut self) -> Result<&mut ImageTarget> {
        if self.target.is_none() {
            let lent = Lent::by_this_machine(|name| self.resolver.context.vars().get(name));
            let logins = self.resolver.request.archive.logins();
            Lent::untold(&logins).for_each(|text| self.resolver.reporter().event(Event::Warning(text)));
            self.start(lent.with_logins(&logins), &[], false)?;
        }
        let lost = || RequestError::Failed { message: "no worker".into(), hint: None };
        self.target.as_mut().ok_or_else(|| lost().into())
    }

    /// An error if this machine does not let commands be run, before anything is fetched for them.
    pub(in crate::build) fn try_out(&mut self) -> Result<()> {
        Ok(self.target()?.try_out()?)
    }

    /// Starts the worker, for commands that are lent `lent`, and `binds` by whoever calls, with whose groups if
    /// `keep_groups`.
    pub(super) fn start(&mut self, lent: Lent, binds: &[Bind], keep_groups: bool) -> Result<()> {
        let target = ImageTarget::start_lending(Starting {
            store: self.resolver.store,
            vars: self.resolver.context.vars(),
            lent,
            epoch: self.written.epoch,
            binds,
            keep_groups,
        })?;
        if let Some(why) = target.instead() {
            let note = format!("commands run without a user namespace, as in a plain container: {why}");
            self.resolver.reporter().event(Event::Note(note));
        }
        self.target = Some(target);
        Ok(())
    }
}
