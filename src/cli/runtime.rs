//! The runtime of a command, and what is said where the machine refuses it what it needs.

use std::fs::File;
use std::io;

use super::error::{CommandError, Kind};
use crate::sandbox::{MORE_PROCESSES, SandboxError};
use crate::tasks::Runtime;

/// Descriptors that the runtime takes when it begins, and a few to work with.
const DESCRIPTORS: usize = 16;

/// A runtime.
pub(super) fn runtime() -> Result<Runtime, CommandError> {
    descriptors().and_then(|()| Runtime::start()).map_err(refused)
}

fn refused(error: io::Error) -> CommandError {
    match error.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE) => {
            let message = format!("cannot open {DESCRIPTORS} files at a time: {error}");
            CommandError::new(Kind::Failed, message).hint("allow this process more of them (`ulimit -n`)")
        }
        Some(libc::EAGAIN) => {
            CommandError::new(Kind::Failed, format!("cannot start threads: {error}")).hint(MORE_PROCESSES)
        }
        Some(libc::ENOENT) => CommandError::new(Kind::Sandbox, "this machine has no /dev/null".to_owned())
            .hint("alloy needs the usual devices: a container has them unless something else is mounted on /dev"),
        _ => SandboxError::setup("begin to work, as this machine refuses a system call", error).into(),
    }
}

/// Fails unless so many can be opened.
fn descriptors() -> io::Result<()> {
    (0..DESCRIPTORS).map(|_| File::open("/dev/null")).collect::<io::Result<Vec<_>>>().map(drop)
}
