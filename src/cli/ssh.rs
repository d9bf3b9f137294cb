//! `--ssh`: keys of this user for commands that clone.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;

use super::error::{CommandError, Kind};
use crate::ssh::{Ssh, SshError};

/// Options of commands that perform tasks, or ask git servers
#[derive(Clone, Debug, Default, Args)]
pub(super) struct SshArgs {
    /// Let commands that clone, and tasks with `ssh: true`, use your ssh agent: default, or default=SOCKET [SOCKET:
    /// $SSH_AUTH_SOCK]
    #[arg(help_heading = "SSH", long, value_name = "default[=SOCKET]")]
    ssh: Option<Agent>,
    /// Files with the host keys to trust, for --ssh [default: ~/.ssh/known_hosts and /etc/ssh/ssh_known_hosts]
    #[arg(help_heading = "SSH", long, value_name = "FILE", requires = "ssh")]
    ssh_known_hosts: Vec<PathBuf>,
}

/// An agent that is named.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Agent {
    socket: Option<PathBuf>,
}

impl FromStr for Agent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let socket = match text.split_once('=') {
            None if text == "default" => None,
            Some(("default", socket)) if !socket.is_empty() => Some(PathBuf::from(socket)),
            _ => {
                return Err(
                    "write `default`, or `default=SOCKET`: there is one agent, and `default` is its name".into()
                );
            }
        };
        Ok(Self { socket })
    }
}

impl SshArgs {
    /// What there is to lend, if it was asked for.
    pub(super) fn open(&self, stall: Duration) -> Result<Option<Ssh>, CommandError> {
        let Some(agent) = &self.ssh else { return Ok(None) };
        let var = |name: &str| std::env::var(name).ok();
        Ok(Some(Ssh::open(agent.socket.as_deref(), &self.ssh_known_hosts, stall, var)?))
    }
}

impl From<SshError> for CommandError {
    fn from(error: SshError) -> Self {
        let failure = Self::from_error(Kind::Usage, &error);
        error.hint().into_iter().fold(failure, Self::hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_has_one_name() {
        let socket = |text: &str| text.parse::<Agent>().map(|agent| agent.socket);
        assert_eq!(socket("default"), Ok(None));
        assert_eq!(socket("default=/run/a=b"), Ok(Some(PathBuf::from("/run/a=b"))));
        for other in ["", "default=", "github", "/run/agent", "id=/run/agent"] {
            assert!(socket(other).is_err(), "{other}");
        }
    }
}
