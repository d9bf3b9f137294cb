//! The worker: one long-lived, initially single-threaded child inside the user and mount namespaces.
//!
//! What needs mapped ids or mounts is done there; the caller only sends values and reads answers.

use std::fmt::Debug;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitCode};
use std::sync::Mutex;

use rustix::io::FdFlags;
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::process::{Pid, Signal, set_parent_process_death_signal};
use rustix::thread::UnshareFlags;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::idmap::IdMap;
use super::{Channel, SandboxError};

/// The hidden first argument that makes this process the worker.
pub(super) const ROLE: &str = "@worker";

/// What the worker says before it serves.
#[derive(Debug, Serialize, Deserialize)]
enum Hello {
    /// The user namespace exists; its id map can be written.
    Unmapped,
    /// Ready to serve.
    Ready,
    /// A namespace was refused, with this errno.
    Refused { user_namespace: bool, errno: i32 },
}

/// Workers of this process, so that a signal can end them.
static RUNNING: Mutex<Vec<u32>> = Mutex::new(Vec::new());

fn running() -> std::sync::MutexGuard<'static, Vec<u32>> {
    RUNNING.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Ends all workers of this process, with everything they run and have mounted.
pub fn kill_workers() {
    for id in running().drain(..) {
        let id = i32::try_from(id).ok().and_then(Pid::from_raw);
        let _ = id.map(|id| rustix::process::kill_process(id, Signal::KILL));
    }
}

/// The caller's side of the worker. Dropping it ends the worker, all it started and all it mounted.
pub struct Worker {
    child: Child,
    channel: Channel,
}

impl Worker {
    /// Starts a worker: in a user namespace for an ordinary user, without one for root.
    /// The calling thread must live as long as the worker: its end is the worker's end.
    pub fn start() -> Result<Self, SandboxError> {
        let map = if rustix::process::geteuid().is_root() { None } else { Some(IdMap::of_current_user()?) };
        let (channel, theirs) = Channel::pair().map_err(|e| SandboxError::setup("make a socket pair", e))?;
        let fd = theirs.as_raw_fd();
        let mut command = Command::new("/proc/self/exe");
        command.arg0("alloy").arg(ROLE).arg(fd.to_string());
        inherit(&mut command, theirs.into());
        let child = command.spawn().map_err(|e| SandboxError::setup("start the worker", e))?;
        drop(command);
        running().push(child.id());
        let mut worker = Self { child, channel };
        loop {
            match worker.receive::<Hello>(|_| ())? {
                Hello::Ready => return Ok(worker),
                Hello::Unmapped => {
                    if let Some(map) = &map {
                        map.write(worker.child.id())?;
                    }
                    worker.send(&Hello::Ready)?;
                }
                Hello::Refused { user_namespace, errno } => {
                    let source = io::Error::from_raw_os_error(errno);
                    return Err(match user_namespace {
                        true => SandboxError::UserNamespace { source },
                        false => SandboxError::MountNamespace { source },
                    });
                }
            }
        }
    }

    /// The worker's process id, to end it from a signal handler.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a request.
    pub fn send(&mut self, request: &impl Serialize) -> Result<(), SandboxError> {
        self.channel.send(request).map_err(|_| self.lost())
    }

    /// Waits for the answer; what a command prints meanwhile goes to `output`.
    pub fn receive<T: DeserializeOwned + Debug>(&mut self, output: impl FnMut(Vec<u8>)) -> Result<T, SandboxError> {
        match self.channel.receive_value(output) {
            Ok(Some(value)) => Ok(value),
            Ok(None) => Err(self.lost()),
            Err(error) => Err(SandboxError::setup("understand the worker", error)),
        }
    }

    fn lost(&mut self) -> SandboxError {
        let status = self.child.wait().map_or_else(|e| e.to_string(), |status| status.to_string());
        SandboxError::WorkerLost { status }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // The worker may be in the middle of anything; its namespaces go with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let id = self.child.id();
        running().retain(|other| *other != id);
    }
}

/// Lets `command`'s child, and it alone, keep `fd` open across exec.
#[allow(unsafe_code)]
pub(super) fn inherit(command: &mut Command, fd: OwnedFd) {
    // SAFETY: the closure only makes one `fcntl` call, which is async-signal-safe, and owns the descriptor.
    unsafe {
        command.pre_exec(move || Ok(rustix::io::fcntl_setfd(&fd, FdFlags::empty())?));
    }
}

/// Takes over an inherited descriptor, and keeps it from further children.
#[allow(unsafe_code)]
pub(super) fn adopt(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: the number came from the process that started this one, which left the descriptor open for us;
    // it is adopted once, before any other code of this process runs.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    rustix::io::fcntl_setfd(&fd, FdFlags::CLOEXEC)?;
    Ok(fd)
}

/// Enters namespaces. Threads must not exist yet.
#[allow(unsafe_code)]
pub(super) fn unshare(flags: UnshareFlags) -> io::Result<()> {
    // SAFETY: unsafe only for flags that unshare descriptors or memory under running threads; this process has one.
    unsafe { rustix::thread::unshare_unsafe(flags) }?;
    Ok(())
}

/// Ctrl-C goes to the whole foreground group; the caller decides what it means, helpers do not die of it.
#[allow(unsafe_code)]
pub(super) fn ignore_interrupts() {
    for signal in super::init::INTERRUPTS {
        // SAFETY: ignoring a signal runs no handler.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

/// The worker's `main`.
pub(super) fn main(fd: RawFd, serve: fn(Channel) -> ExitCode) -> ExitCode {
    ignore_interrupts();
    let Ok(channel) = adopt(fd).and_then(Channel::from_fd) else { return ExitCode::FAILURE };
    if enter(&channel).is_err() {
        return ExitCode::FAILURE;
    }
    serve(channel)
}

fn enter(channel: &Channel) -> io::Result<()> {
    let rootless = !rustix::process::geteuid().is_root();
    let flags = if rootless { UnshareFlags::NEWUSER | UnshareFlags::NEWNS } else { UnshareFlags::NEWNS };
    if let Err(error) = unshare(flags) {
        let errno = error.raw_os_error().unwrap_or_default();
        channel.send(&Hello::Refused { user_namespace: rootless, errno })?;
        return Err(error);
    }
    if rootless {
        channel.send(&Hello::Unmapped)?;
        channel.receive_value::<Hello>(|_| ())?;
        rustix::thread::set_thread_groups(&[])?;
    }
    // After the ids are settled: a change of credentials would clear it.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)?;
    channel.send(&Hello::Ready)
}
