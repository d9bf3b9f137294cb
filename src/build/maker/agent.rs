//! The agent of whoever builds, lent to the commands of one step.

use super::{Maker, Result};
use crate::op::Step;
use crate::ssh::Proxy;
use crate::target::image::RequestError;

impl Maker<'_> {
    /// A socket that speaks for the agent as long as it is held, if there is an agent and `step` has a use for it.
    pub(super) fn agent(&mut self, step: &Step) -> Result<Option<Proxy>> {
        let Some(ssh) = self.build.resolver.ssh().filter(|_| step.wants_ssh()) else { return Ok(None) };
        let runtime = self.build.resolver.runtime();
        let directory = self.stack.target()?.work().join("ssh");
        let failed = |error: std::io::Error| RequestError::Failed {
            message: format!("cannot lend the agent to commands: {error}"),
            hint: None,
        };
        Ok(Some(ssh.lend_in(directory, runtime).map_err(failed)?))
    }
}
