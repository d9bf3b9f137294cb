//! System calls that nothing works without, tried before anything is done: what a kernel does not know, or a container's
//! filter refuses, is told as that, and not as the failure of whatever needs it first.

use std::io;
use std::path::Path;

use layers::beneath::openat2;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};

use super::SandboxError;

/// An error that names the call that this machine refuses, if it refuses one.
pub fn needed_calls() -> Result<(), SandboxError> {
    let refused = |call: &'static str, source: io::Error| SandboxError::Call { call, source };
    let (flags, resolve) = (OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, ResolveFlags::NO_MAGICLINKS);
    openat2(CWD, Path::new("/"), flags, Mode::empty(), resolve).map_err(|error| refused("openat2", error.into()))?;
    if !Path::new("/proc/self/fd").exists() {
        return Err(SandboxError::Enter { message: "/proc is not mounted here".to_owned() });
    }
    // The C library starts threads by clone3(2), and takes the older call only where that is said to be unknown.
    match std::thread::Builder::new().spawn(|| ()) {
        Ok(thread) => {
            let _ = thread.join();
            Ok(())
        }
        // Too many of them: whoever needs one says so.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        Err(error) => Err(refused("clone3", error)),
    }
}
