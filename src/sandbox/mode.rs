//! How far root of a sandbox is from root of the machine: the one place where this is decided.
//!
//! Root's sandbox has a user namespace of its own wherever kernel, file system and surroundings allow it. Where they do
//! not, it is run as before, and rests on dropped capabilities and mounts alone.

use serde::{Deserialize, Serialize};

use super::SandboxError;

/// Names the way that is wanted: `userns` (or nothing else) or `privileged`. Without it alloy finds out.
pub(super) const VARIABLE: &str = "ALLOY_SANDBOX";

/// Who root of the sandbox is outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// The ordinary user who runs alloy; other ids come from that user's ranges.
    Rootless,
    /// Nobody: root has mapped all ids to such that have no owner on the machine.
    Mapped,
    /// Root of the machine, with less than its capabilities.
    Privileged,
}

/// The ways to try, in this order.
pub(super) fn wanted(root: bool, variable: Option<&str>) -> Result<&'static [Mode], SandboxError> {
    match (root, variable.unwrap_or_default()) {
        (false, _) => Ok(&[Mode::Rootless]),
        (true, "") => Ok(&[Mode::Mapped, Mode::Privileged]),
        (true, "userns") => Ok(&[Mode::Mapped]),
        (true, "privileged") => Ok(&[Mode::Privileged]),
        (true, other) => Err(SandboxError::UnknownMode { variable: VARIABLE, value: other.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_leaves_no_choice_and_ordinary_users_have_none() {
        assert_eq!(wanted(true, None).unwrap(), [Mode::Mapped, Mode::Privileged]);
        assert_eq!(wanted(true, Some("userns")).unwrap(), [Mode::Mapped]);
        assert_eq!(wanted(true, Some("privileged")).unwrap(), [Mode::Privileged]);
        assert_eq!(wanted(false, Some("privileged")).unwrap(), [Mode::Rootless]);
        assert!(wanted(true, Some("priviledged")).unwrap_err().to_string().contains("priviledged"));
    }
}
