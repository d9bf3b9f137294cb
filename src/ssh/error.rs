//! Why nothing can be lent.

use std::io;
use std::path::PathBuf;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the fields are what the messages say")]
pub enum SshError {
    #[error("--ssh default: no agent runs for this user: $SSH_AUTH_SOCK is not set")]
    NoAgent { sudo: bool },
    #[error("--ssh: {} is a file, and no agent's socket: alloy is lent keys by an agent, and reads none itself", path.display())]
    KeyFile { path: PathBuf },
    #[error("--ssh: {} is no agent's socket", path.display())]
    NoSocket { path: PathBuf },
    #[error("--ssh: cannot reach the agent at {}: {source}", path.display())]
    Agent { path: PathBuf, source: io::Error },
    #[error("--ssh: what listens at {} does not speak as an ssh agent does", path.display())]
    Strange { path: PathBuf },
    #[error("--ssh: the agent at {} has no keys", path.display())]
    NoKeys { path: PathBuf },
    #[error("cannot read the known hosts in {}: {source}", path.display())]
    KnownHosts { path: PathBuf, source: io::Error },
}

impl SshError {
    /// What to do, where that is known.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoAgent { sudo: true } => {
                "sudo keeps it from alloy: sudo --preserve-env=SSH_AUTH_SOCK alloy …, or --ssh default=SOCKET".into()
            }
            Self::NoAgent { sudo: false } => "start one and give it a key: eval \"$(ssh-agent)\" && ssh-add".into(),
            Self::KeyFile { path } => {
                let path = path.display();
                format!("give the key to an agent: eval \"$(ssh-agent)\" && ssh-add {path}; then --ssh default")
            }
            Self::NoSocket { .. } | Self::Agent { .. } | Self::Strange { .. } => {
                "--ssh default takes the agent of $SSH_AUTH_SOCK; `ssh-add -l` asks it, and `eval \"$(ssh-agent)\"` starts one"
                    .into()
            }
            Self::NoKeys { .. } => "give it one: ssh-add, or ssh-add FILE; `ssh-add -l` lists what it has".into(),
            Self::KnownHosts { .. } => return None,
        })
    }
}
