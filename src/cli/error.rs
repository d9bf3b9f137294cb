//! How a command fails: what kind of failure, what was wrong, and the next move.

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt::Write as _;

use layers::disk;

use crate::fetch::{ADD_CA, CHECK_NETWORK, proxies};
use crate::sandbox::UNFILTERED;

/// What went wrong, as far as a script needs to branch on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A task or a command failed, or something alloy does itself.
    Failed = 1,
    /// The command line was wrong.
    Usage = 2,
    /// The blueprint has errors.
    Blueprint = 3,
    /// A server could not be reached, refused, or sent something else than it should.
    Network = 4,
    /// This machine does not give the namespaces that are needed.
    Sandbox = 5,
    /// What keeps `alloy run`, whose exit codes are those of commands, from running one (125 as with Docker and podman).
    Setup = 125,
    /// Interrupted by the user.
    Interrupted = 130,
}

/// What to do about a full disk, whoever found it full.
pub(super) const FULL: &str = "make room on that disk: where the store is on it, `alloy prune` deletes what no image needs; --store names \
                    another place for it";

/// How an error says that there is no such system call (ENOSYS).
const MISSING: &str = "(os error 38)";

/// A failure on its way to the user.
#[derive(Debug)]
pub struct CommandError {
    /// Picks the exit code.
    pub kind: Kind,
    /// What was wrong: complete, causes included.
    pub message: String,
    /// What to do about it.
    pub hints: Vec<String>,
    /// Where in the blueprint it happened, where that is known: file, line and column.
    pub place: Option<String>,
    /// What is wrong with the blueprint, one by one, for programs.
    pub problems: Option<serde_json::Value>,
}

impl CommandError {
    /// A failure with a text.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        let message = message.into();
        // Whoever was refused the room, alloy or a command that it ran: the disk is the same, and no server's.
        let mut hints = if disk::tells_of_full(&message) { vec![FULL.to_owned()] } else { Vec::new() };
        let missing = kind == Kind::Failed && message.contains(MISSING);
        hints
            .extend(missing.then(|| format!("a kernel or a container's filter has no such system call: {UNFILTERED}")));
        let kind = if missing { Kind::Sandbox } else { kind };
        let kind = if kind == Kind::Network && disk::names_full(&message) { Kind::Failed } else { kind };
        Self { kind, message, hints, place: None, problems: None }
    }

    /// A wrong command line.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// A failure from an error and all its causes.
    pub fn from_error(kind: Kind, error: &dyn Error) -> Self {
        Self::new(kind, chain(error))
    }

    /// Several failures as one, which are `what`; one of them is told as it is.
    pub fn all(mut errors: Vec<Self>, what: &str) -> Option<Self> {
        let count = errors.len();
        let mut first = errors.drain(..1.min(count)).next()?;
        if errors.is_empty() {
            return Some(first);
        }
        first.message = format!("{count} {what}\n\n{}", first.message);
        for error in errors {
            let _ = write!(first.message, "\n\n{}", error.message);
            first.hints.extend(error.hints);
        }
        let mut told = BTreeSet::new();
        first.hints.retain(|hint| told.insert(hint.clone()));
        Some(first)
    }

    /// With a next move.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The same, whose hints say what of the environment belongs to them: the library does not know it.
    #[must_use]
    pub fn with_environment(mut self) -> Self {
        self.hints = self.hints.into_iter().map(completed).collect();
        self
    }

    /// The exit code.
    pub fn code(&self) -> u8 {
        self.kind as u8
    }
}

/// A hint of the library, which does not know the environment, with what the environment says to it.
fn completed(hint: String) -> String {
    let var = |name: &str| std::env::var(name).ok();
    match hint.as_str() {
        CHECK_NETWORK => match proxies(var).as_slice() {
            [] => hint,
            proxies => format!("check the network and the proxy: {}", proxies.join(", ")),
        },
        ADD_CA => {
            let set = ["SSL_CERT_FILE", "SSL_CERT_DIR"].into_iter();
            hint + &set.filter_map(|name| Some(format!("; {name} is {}", var(name)?))).collect::<String>()
        }
        _ => hint,
    }
}

/// `error` and its causes on one line; a cause that its effect already quotes is not repeated.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.contains(&message) {
            let _ = write!(text, ": {message}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read the file")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn a_full_disk_has_one_hint() {
        let full = std::io::Error::from(rustix::io::Errno::NOSPC);
        assert_eq!(CommandError::from_error(Kind::Failed, &Outer(full)).hints, [FULL]);
        let quota = std::io::Error::from(rustix::io::Errno::DQUOT);
        assert_eq!(CommandError::from_error(Kind::Failed, &Outer(quota)).hints, [FULL]);
        assert!(CommandError::new(Kind::Failed, "something else").hints.is_empty());
    }

    #[test]
    fn causes_are_told_once() {
        let error = Outer(std::io::Error::other("disk on fire"));
        assert_eq!(chain(&error), "cannot read the file: disk on fire");
        assert_eq!(CommandError::from_error(Kind::Network, &error).code(), 4);
    }
}
