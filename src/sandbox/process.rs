//! Starting a command from the worker, and learning how it ended.

use std::io::{self, PipeReader, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio as Std};

use rustix::fs::MemfdFlags;

use super::error::NO_DIRECTORY;
use super::spec::{Identity, RunSpec, Stdio};
use super::streams::Streams;
use super::worker::inherit;
use super::{SandboxError, exchange, program, shim};

/// Exit code when the sandbox itself failed, as podman and Docker have it.
pub(super) const SETUP_FAILED: u8 = 125;
/// Exit code of a program that cannot be executed.
pub(super) const NOT_EXECUTABLE: u8 = 126;
/// Exit code of a program that is not there.
pub(super) const NOT_FOUND: u8 = 127;

/// How a command ended: its exit code, or 128 and the signal that ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit(pub i32);

impl Exit {
    /// Exit code 0.
    pub fn success(self) -> bool {
        self.0 == 0
    }
}

/// A command that was started.
pub struct Running {
    pub(super) child: Child,
    /// What the command was to be, or why it could not be started.
    pub(super) spec: Option<OwnedFd>,
    /// What it prints, when captured; ends when the last process of the sandbox is gone.
    pub output: Option<PipeReader>,
    pub(super) streams: Streams,
}

/// Starts the command of `spec`. Called in the worker, from a thread that outlives the command.
pub fn spawn(spec: &RunSpec) -> Result<Running, SandboxError> {
    start(spec, None)
}

/// The same on a terminal of its own, which whoever has the other end of `console` shows.
pub fn spawn_on(spec: &RunSpec, console: OwnedFd) -> Result<Running, SandboxError> {
    start(spec, Some(console))
}

fn start(spec: &RunSpec, console: Option<OwnedFd>) -> Result<Running, SandboxError> {
    super::ensure_dispatch()?;
    let failed = |e: io::Error| SandboxError::setup("start a command", e);
    let bytes = serde_json::to_vec(spec).map_err(|e| failed(e.into()))?;
    let memory = rustix::fs::memfd_create("spec", MemfdFlags::CLOEXEC).map_err(|e| failed(e.into()))?;
    std::fs::File::from(memory.try_clone().map_err(failed)?).write_all(&bytes).map_err(failed)?;

    let kept = memory.try_clone().map_err(failed)?;
    let mut command = Command::new(program::for_command().map_err(failed)?);
    command.arg0("alloy").arg(shim::ROLE).arg(memory.as_raw_fd().to_string());
    inherit(&mut command, memory);
    if !spec.exchange.is_none() {
        exchange::enter(&mut command, exchange::below(spec.exchange).map_err(failed)?, spec.keep_groups);
    }
    // What they are here.
    let owner = Identity {
        uid: spec.exchange.user(spec.identity.uid),
        gid: spec.exchange.group(spec.identity.gid),
        groups: Vec::new(),
    };
    let mut streams = Streams::default();
    let output = match spec.stdio {
        Stdio::Caller => {
            streams = Streams::attach(&mut command, &owner).map_err(failed)?;
            None
        }
        Stdio::Terminal => {
            streams = Streams::attach_errors(&mut command, &owner).map_err(failed)?;
            command.stdin(console.map_or_else(Std::null, Std::from));
            None
        }
        Stdio::Captured => {
            let (reader, writer) = io::pipe().map_err(failed)?;
            let errors = writer.try_clone().map_err(failed)?;
            command.stdin(Std::null()).stdout(writer).stderr(errors);
            Some(reader)
        }
    };
    let child = command.spawn().map_err(failed)?;
    Ok(Running { child, spec: output.is_some().then_some(kept), output, streams })
}

/// What stands before the reason in the file that had the spec.
const FAILED: &str = "failed: ";

/// Says to who started a command that its sandbox could not be set up, and why.
pub(super) fn report(spec: &OwnedFd, why: &str) {
    let written =
        rustix::fs::ftruncate(spec, 0).and_then(|()| rustix::io::pwrite(spec, format!("{FAILED}{why}").as_bytes(), 0));
    // The exit code says that it is so.
    let _ = written;
}

/// The same, read.
fn reported(spec: OwnedFd) -> Option<String> {
    let mut file = std::fs::File::from(spec);
    io::Seek::rewind(&mut file).ok()?;
    let mut text = String::new();
    io::Read::read_to_string(&mut file, &mut text).ok()?;
    text.strip_prefix(FAILED).map(str::to_owned)
}

impl Running {
    /// Waits for the end.
    pub fn wait(mut self) -> Result<Exit, SandboxError> {
        let status = self.child.wait().map_err(|e| SandboxError::setup("wait for a command", e))?;
        self.streams.finish().map_err(|e| SandboxError::setup("write what the command printed", e))?;
        // The shim is ended by a signal only when someone kills it: then its command died with it.
        let signal = status.signal().unwrap_or_default();
        if status.code() == Some(i32::from(SETUP_FAILED))
            && let Some(message) = self.spec.take().and_then(reported)
        {
            return Err(match message.contains(NO_DIRECTORY) {
                true => SandboxError::Image { message },
                false => SandboxError::Enter { message },
            });
        }
        Ok(Exit(status.code().unwrap_or(128 + signal)))
    }
}
