//! The shim: enters the namespaces of one command and starts the init that will be pid 1 in them.
//!
//! `unshare(CLONE_NEWPID)` puts only *children* into the new pid namespace, hence one process more.

use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitCode};

use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::process::{Signal, set_parent_process_death_signal};
use rustix::thread::UnshareFlags;

use super::spec::RunSpec;
use super::worker::{adopt, ignore_interrupts, inherit, unshare};
use super::{init, process};

/// The hidden first argument that makes this process the shim.
pub(super) const ROLE: &str = "@shim";

/// The shim's `main`: exits as the command did.
pub(super) fn main(fd: RawFd) -> ExitCode {
    ignore_interrupts();
    let ended = adopt(fd).and_then(|spec| run(&spec).inspect_err(|error| process::report(&spec, &error.to_string())));
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            // Whoever reads it may be gone, and the exit code says it as well.
            let _ = writeln!(io::stderr(), "alloy: cannot enter the sandbox: {error}");
            ExitCode::from(process::SETUP_FAILED)
        }
    }
}

fn run(spec_file: &OwnedFd) -> io::Result<u8> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let spec = read_spec(spec_file)?;
    let parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get().cast_unsigned());
    if parent != Some(spec.parent) {
        return Err(io::Error::other("the worker is gone"));
    }
    let mut flags = UnshareFlags::NEWPID | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS | UnshareFlags::NEWNS;
    if !spec.network {
        flags |= UnshareFlags::NEWNET;
    }
    unshare(flags)?;
    mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)?;

    let mut command = Command::new("/proc/self/exe");
    let file = spec_file.try_clone()?;
    command.arg0("alloy").arg(init::ROLE).arg(file.as_raw_fd().to_string());
    inherit(&mut command, file);
    let status = command.status()?;
    Ok(match (status.code(), status.signal()) {
        (Some(code), _) => u8::try_from(code).unwrap_or(u8::MAX),
        (None, signal) => 128_u8.saturating_add(u8::try_from(signal.unwrap_or_default()).unwrap_or_default()),
    })
}

/// Reads the spec from its memory file, whose offset every process of the chain shares.
pub(super) fn read_spec(fd: &OwnedFd) -> io::Result<RunSpec> {
    rustix::fs::seek(fd, rustix::fs::SeekFrom::Start(0))?;
    let mut bytes = Vec::new();
    std::fs::File::from(fd.try_clone()?).read_to_end(&mut bytes)?;
    Ok(serde_json::from_slice(&bytes)?)
}
