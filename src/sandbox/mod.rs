//! Namespaces, id maps, mounts and processes: the one home of `unsafe`.
//!
//! alloy re-executes itself three ways, so that every namespace is entered by a single-threaded process:
//!
//! ```text
//! alloy ──spawns──▶ worker   user + mount namespace; unpacks, performs ops, diffs, deletes (`worker`)
//!                     └─▶ shim   enters pid, ipc, uts and mount namespaces for one command (`shim`)
//!                           └─▶ init   pid 1: mounts, pivots, drops privileges, runs it, reaps (`init`)
//! ```
//!
//! Commands of a live host have no namespaces: a session of their own, started by alloy itself (`direct`). Those of
//! another root have a shim, and no worker.
//!
//! Root's worker has ids that nobody has outside, and reaches the store and what is lent to it by mounts that alloy
//! hands over (`loan`), attached in a directory of its own (`place`). `mode` says which ways of confining there are.
//!
//! Each dies with its parent, and a namespace goes with its last process: after a SIGKILL of alloy nothing runs
//! and nothing stays mounted.

mod calls;
mod channel;
mod compat;
mod console;
mod descriptors;
mod direct;
mod emulator;
mod error;
mod exchange;
mod filter;
mod idmap;
mod init;
mod loan;
mod memory;
mod mode;
mod mounts;
mod overlay;
mod panic;
mod place;
mod privilege;
mod process;
mod program;
mod scope;
mod shim;
mod spec;
mod streams;
mod terminal;
mod worker;

pub use calls::needed_calls;
pub use channel::{Channel, Frame};
pub use console::Console;
pub use direct::{end_commands, ending, spawn_directly};
pub use emulator::{NoEmulator, runs_here};
pub use error::{MORE_PROCESSES, SandboxError, UNFILTERED};
pub use idmap::{IdMap, possible};
pub use loan::Loan;
pub use memory::killed_hint;
pub use mode::Mode;
pub use overlay::{Overlay, fits as overlay_fits};
pub use panic::{tell_of_limits, tell_of_panics, without_random_numbers, without_stack};
pub use place::attach;
pub use process::{Exit, Running, spawn, spawn_on};
pub use spec::{Bind, Identity, RunSpec, Stdio};
pub use worker::{Needs, Worker, kill_workers};

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

/// This program looks whether it was started as a helper, before it does anything else.
static DISPATCHES: AtomicBool = AtomicBool::new(false);

/// Runs a hidden helper if this process was started as one; `serve` is the worker's loop.
///
/// A program that uses this library calls this first in `main`, before any thread exists, and ends with the exit code that
/// it may be given: it is started once more for whatever enters namespaces. Where it did not, nothing is started, and
/// [`SandboxError::NotDispatched`] says so.
pub fn dispatch(serve: fn(Channel) -> ExitCode) -> Option<ExitCode> {
    DISPATCHES.store(true, Ordering::Relaxed);
    descriptors::keep_to_ourselves();
    let mut args = std::env::args_os().skip(1);
    let role = args.next()?;
    let fd = args.next().and_then(|fd| fd.to_str()?.parse().ok());
    if let (Some(worker::ROLE | shim::ROLE | init::ROLE), Some(fd)) = (role.to_str(), fd) {
        descriptors::close_all_but(fd);
    }
    match (role.to_str()?, fd) {
        (worker::ROLE, Some(fd)) => Some(worker::main(fd, serve)),
        (shim::ROLE, Some(fd)) => Some(shim::main(fd)),
        (init::ROLE, Some(fd)) => Some(init::main(fd)),
        _ => None,
    }
}

/// An error unless this program, started once more, becomes the helper that it is meant to be.
fn ensure_dispatch() -> Result<(), SandboxError> {
    if DISPATCHES.load(Ordering::Relaxed) { Ok(()) } else { Err(SandboxError::NotDispatched) }
}
