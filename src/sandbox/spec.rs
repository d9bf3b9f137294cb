//! What a command needs to run: a value, sent to the shim over a memory file, never over the command line.

use std::collections::BTreeMap;
use std::path::PathBuf;

use layers::ids::Exchange;
use serde::{Deserialize, Serialize};

/// Who a command runs as, by number; names were looked up in the root before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

/// A file or directory of the machine lent to the command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bind {
    /// On the machine.
    pub source: PathBuf,
    /// Absolute, inside the root; made when it does not exist.
    pub target: PathBuf,
    /// Mounted read-only.
    pub read_only: bool,
    /// No program in it gains anything by a set-id bit.
    pub no_set_id: bool,
    /// A device, which may be opened.
    pub device: bool,
}

impl Bind {
    /// What alloy itself lends: read-only, and without effect of set-id bits.
    pub fn lent(source: impl Into<PathBuf>, target: impl Into<PathBuf>) -> Self {
        Self { source: source.into(), target: target.into(), read_only: true, no_set_id: true, device: false }
    }

    /// A directory of a build's own, which commands write to.
    pub fn writable(source: impl Into<PathBuf>, target: impl Into<PathBuf>) -> Self {
        Self { source: source.into(), target: target.into(), read_only: false, no_set_id: false, device: false }
    }
}

/// Where a command's input and output go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stdio {
    /// Input empty, output and errors to one pipe.
    Captured,
    /// Those of alloy's caller, as far as `streams` hands them on.
    Caller,
    /// A terminal of the sandbox's own, which alloy shows on its caller's.
    Terminal,
}

/// One command in one root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSpec {
    /// The mounted root.
    pub root: PathBuf,
    /// Device and inode of the directory that is meant, where somebody else might put another one under that name.
    pub root_is: Option<(u64, u64)>,
    /// Program (looked up in `PATH` of `env`, inside the root) and arguments. Without any, the sandbox is only set up.
    pub argv: Vec<String>,
    /// The whole environment.
    pub env: BTreeMap<String, String>,
    /// Working directory inside the root.
    pub cwd: String,
    /// Who it runs as.
    pub identity: Identity,
    /// What is lent, in order.
    pub binds: Vec<Bind>,
    /// Reach the network of the machine, or nothing but a loopback interface of its own.
    pub network: bool,
    /// Input and output.
    pub stdio: Stdio,
    /// Who has changed places with root, in a user namespace of the command's own.
    pub exchange: Exchange,
    /// It has the groups of alloy's caller, which have no names inside, and not those of `identity` but for its own.
    pub keep_groups: bool,
    /// Process id of the worker, so that the shim can tell that it is already orphaned.
    pub parent: u32,
}
