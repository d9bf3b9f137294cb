//! The worker: one long-lived, initially single-threaded child inside the user and mount namespaces.
//!
//! What needs mapped ids or mounts is done there; the caller only sends values and reads answers.

use std::fmt::Debug;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::sync::Mutex;
use std::time::Duration;

use rustix::io::FdFlags;
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::process::{Gid, Pid, Signal, Uid, set_parent_process_death_signal};
use rustix::thread::{UnshareFlags, set_thread_res_gid, set_thread_res_uid};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::idmap::IdMap;
use super::{Bind, Channel, Loan, Mode, SandboxError, mode, place, program};
use crate::vars::Vars;

mod loans;

/// The hidden first argument that makes this process the worker.
pub(super) const ROLE: &str = "@worker";

/// How long a worker that has hung up may take to end, and how often one looks.
const LAST: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(5);

/// What both sides say before requests are served.
#[derive(Debug, Serialize, Deserialize)]
enum Hello {
    /// To the worker: what to be.
    Become { mode: Mode, keep_groups: bool },
    /// The user namespace exists; its id map can be written.
    Unmapped,
    /// To the worker: the id map is written.
    Mapped,
    /// To the worker: the id map is written, and here is the store; in it the directory `work` is empty.
    Store { work: PathBuf },
    /// Ready to serve. The place is where the store and loans are attached, if they have to be.
    Ready { place: Option<PathBuf> },
    /// A namespace was refused, with this errno.
    Refused { user_namespace: bool, errno: i32 },
    /// What the namespaces would need is refused.
    Unfit { reason: String },
}

/// What a worker will be asked to work with.
#[derive(Clone, Copy, Debug)]
pub struct Needs<'a> {
    /// The store's directory.
    pub store: &'a Path,
    /// A directory below it that is empty.
    pub work: &'a Path,
    /// What commands are lent besides.
    pub lent: &'a [Bind],
    /// Commands have the groups of an ordinary user who calls: a device is often one group's.
    pub keep_groups: bool,
    /// The environment, which may say how the worker is confined.
    pub vars: &'a Vars,
}

/// Workers of this process, so that a signal can end them.
static RUNNING: Mutex<Vec<u32>> = Mutex::new(Vec::new());

fn running() -> std::sync::MutexGuard<'static, Vec<u32>> {
    RUNNING.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Ends all workers of this process, with everything they run and have mounted, and puts the terminal back as it was.
pub fn kill_workers() {
    super::console::give_back();
    for id in running().drain(..) {
        let id = i32::try_from(id).ok().and_then(Pid::from_raw);
        let _ = id.map(|id| rustix::process::kill_process(id, Signal::KILL));
    }
}

/// The caller's side of the worker. Dropping it ends the worker, all it started and all it mounted.
pub struct Worker {
    child: Child,
    channel: Channel,
    mode: Mode,
    /// Why it is not confined in the way that comes first.
    instead: Option<SandboxError>,
    place: Option<PathBuf>,
    /// The user namespace for which ids of loans are translated.
    ids: Option<OwnedFd>,
    /// User and group of the machine that are root in it.
    root: Option<(u32, u32)>,
}

impl Worker {
    /// Starts a worker in the first way of `mode::wanted` that this machine and the store allow. What is lent has no say
    /// in that.
    /// The calling thread must live as long as the worker: its end is the worker's end.
    pub fn start(needs: Needs<'_>) -> Result<Self, SandboxError> {
        let variable = needs.vars.get(mode::VARIABLE);
        let modes = mode::wanted(rustix::process::geteuid().is_root(), variable.as_deref())?;
        let (last, first) = modes.split_last().unwrap_or((&Mode::Privileged, &[]));
        let mut instead = None;
        for mode in first {
            match Self::start_as(*mode, needs) {
                Err(error @ SandboxError::Unlendable { .. }) => return Err(error),
                Err(error) => instead = Some(error),
                Ok(worker) => return Ok(worker),
            }
        }
        let mut worker = Self::start_as(*last, needs)?;
        worker.instead = instead;
        Ok(worker)
    }

    fn start_as(mode: Mode, needs: Needs<'_>) -> Result<Self, SandboxError> {
        let map = if mode == Mode::Rootless { Some(IdMap::of_current_user(needs.vars)?) } else { None };
        let mut worker = Self::launch(mode, needs.keep_groups)?;
        loop {
            match worker.receive::<Hello>(|_| ())? {
                Hello::Ready { place } => {
                    worker.place = place;
                    worker.try_loans(needs.lent)?;
                    return Ok(worker);
                }
                Hello::Unmapped => match &map {
                    Some(map) => {
                        map.write(worker.child.id())?;
                        worker.send(&Hello::Mapped)?;
                    }
                    None => worker.hand_over(needs)?,
                },
                Hello::Unfit { reason } => {
                    return Err(SandboxError::Enter { message: reason });
                }
                Hello::Refused { user_namespace, errno } => {
                    let source = io::Error::from_raw_os_error(errno);
                    return Err(match user_namespace {
                        true => SandboxError::UserNamespace { source },
                        false => SandboxError::MountNamespace { source },
                    });
                }
                other @ (Hello::Become { .. } | Hello::Mapped | Hello::Store { .. }) => {
                    return Err(SandboxError::setup("understand the worker", io::Error::other(format!("{other:?}"))));
                }
            }
        }
    }

    fn launch(mode: Mode, keep_groups: bool) -> Result<Self, SandboxError> {
        super::ensure_dispatch()?;
        let (channel, theirs) = Channel::pair().map_err(|e| SandboxError::setup("make a socket pair", e))?;
        let fd = theirs.as_raw_fd();
        let mut command = Command::new(program::for_worker());
        command.arg0("alloy").arg(ROLE).arg(fd.to_string());
        inherit(&mut command, theirs.into());
        let child = command.spawn().map_err(|e| SandboxError::setup("start the worker", e))?;
        drop(command);
        running().push(child.id());
        let mut worker = Self { child, channel, mode, instead: None, place: None, ids: None, root: None };
        worker.send(&Hello::Become { mode, keep_groups })?;
        Ok(worker)
    }

    /// Writes the id map of root's worker, and lends it the store, in which ids on the disk are ids inside.
    fn hand_over(&mut self, needs: Needs<'_>) -> Result<(), SandboxError> {
        let failed = |e: io::Error| SandboxError::setup("map ids", e);
        let id = self.child.id();
        self.root = Some(super::idmap::write_for_root(id).map_err(failed)?);
        let ids = OwnedFd::from(File::open(format!("/proc/{id}/ns/user")).map_err(failed)?);
        let store = Loan::open(needs.store, &ids, false).map_err(|e| SandboxError::setup("lend the store", e))?;
        if !store.owned {
            let unfit = io::Error::other(format!("ids of {} cannot be translated", needs.store.display()));
            return Err(SandboxError::setup("lend the store", unfit));
        }
        let work = needs.work.strip_prefix(needs.store).unwrap_or(needs.work).to_owned();
        self.send_with(&Hello::Store { work }, &store)?;
        self.ids = Some(ids);
        Ok(())
    }

    /// Whoever lends something to be written to gets it back with owners that there are. What is only read may belong to
    /// nobody, and a device is made once more.
    fn try_loans(&self, lent: &[Bind]) -> Result<(), SandboxError> {
        for bind in lent.iter().filter(|bind| !bind.read_only && !bind.device) {
            let loan = self.loan(&bind.source, false);
            let loan = loan.map_err(|e| SandboxError::setup(format!("lend {}", bind.source.display()), e))?;
            if loan.is_some_and(|loan| !loan.owned) {
                return Err(SandboxError::Unlendable { path: bind.source.clone() });
            }
        }
        Ok(())
    }

    /// Why it is not confined in the way that comes first, where nobody has asked for that.
    pub fn instead(&self) -> Option<&SandboxError> {
        self.instead.as_ref()
    }

    /// How it is confined.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The directory of the worker's own in which the store and loans are attached; `None` where it reaches all things
    /// where they are.
    pub fn place(&self) -> Option<&Path> {
        self.place.as_deref()
    }

    /// Where the worker sees a path below the store.
    pub fn store(&self) -> Option<PathBuf> {
        self.place.as_ref().map(|place| place.join(place::STORE))
    }

    /// Sends a request, with what is lent for it.
    pub fn send_with(&mut self, request: &impl Serialize, loan: &Loan) -> Result<(), SandboxError> {
        self.send_descriptor(request, &loan.mount)
    }

    /// Sends a request, with a descriptor for it.
    pub fn send_descriptor(&mut self, request: &impl Serialize, fd: &impl AsFd) -> Result<(), SandboxError> {
        self.channel.send_with(request, fd).map_err(|error| self.lost(Some(error)))
    }

    /// The worker's process id, to end it from a signal handler.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a request.
    pub fn send(&mut self, request: &impl Serialize) -> Result<(), SandboxError> {
        self.channel.send(request).map_err(|error| self.lost(Some(error)))
    }

    /// Waits for the answer; what a command prints meanwhile goes to `output`.
    pub fn receive<T: DeserializeOwned + Debug>(&mut self, output: impl FnMut(Vec<u8>)) -> Result<T, SandboxError> {
        match self.channel.receive_value(output) {
            Ok(Some(value)) => Ok(value),
            Ok(None) => Err(self.lost(None)),
            Err(error) => Err(self.lost(Some(error))),
        }
    }

    /// How it ended, once it has; `None` if it does not.
    fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        let mut waited = Duration::ZERO;
        loop {
            match self.child.try_wait() {
                Ok(None) if waited < LAST => std::thread::sleep(POLL),
                ended => return ended,
            }
            waited += POLL;
        }
    }

    /// Why it does not answer: it has ended, or the two do not understand each other any more, and it has to end.
    fn lost(&mut self, error: Option<io::Error>) -> SandboxError {
        self.channel.end();
        let gone =
            |error: &io::Error| matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset);
        let ended = self.ended();
        if !matches!(ended, Ok(Some(_))) {
            let _ = self.child.kill();
        }
        let lost = |status: String, killed| SandboxError::WorkerLost { status, killed };
        match (error.filter(|error| !gone(error)), ended) {
            (Some(error), _) => SandboxError::setup("talk to the worker", error),
            (None, Ok(Some(status))) => lost(status.to_string(), status.signal() == Some(Signal::KILL.as_raw())),
            (None, Ok(None)) => lost("it said nothing more".into(), false),
            (None, Err(error)) => lost(error.to_string(), false),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // The worker may be in the middle of anything; its namespaces go with it.
        self.channel.end();
        let _ = match self.child.kill() {
            Ok(()) => self.child.wait().map(Some),
            // It ends by itself when nobody talks to it, and at the latest with this process.
            Err(_) => self.ended(),
        };
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
    if let Err(error) = enter(&channel) {
        // Nobody listens any more if that was said already.
        let _ = channel.send(&Hello::Unfit { reason: error.to_string() });
        return ExitCode::FAILURE;
    }
    serve(channel)
}

fn enter(channel: &Channel) -> io::Result<()> {
    let out_of_turn = || io::Error::other("a message out of turn");
    let Some(Hello::Become { mode, keep_groups }) = channel.receive_value(|_| ())? else {
        return Err(out_of_turn());
    };
    let user_namespace = mode != Mode::Privileged;
    let flags = if user_namespace { UnshareFlags::NEWUSER | UnshareFlags::NEWNS } else { UnshareFlags::NEWNS };
    if let Err(error) = unshare(flags) {
        let errno = error.raw_os_error().unwrap_or_default();
        channel.send(&Hello::Refused { user_namespace, errno })?;
        return Err(error);
    }
    let mut work = None;
    if user_namespace {
        channel.send(&Hello::Unmapped)?;
        match (mode, channel.receive_value::<Hello>(|_| ())?) {
            (Mode::Mapped, Some(Hello::Store { work: path })) => work = Some(path),
            (Mode::Rootless, Some(Hello::Mapped)) => {}
            _ => return Err(out_of_turn()),
        }
        if mode == Mode::Mapped || !keep_groups {
            rustix::thread::set_thread_groups(&[])?;
        }
    }
    if mode == Mode::Mapped {
        // Until now this process was root of the machine, which is nobody inside.
        set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT)?;
        set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT)?;
    }
    // After the ids are settled: a change of credentials would clear it.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)?;
    let place = match work.map(|work| place::furnish(&channel.take_descriptor()?, &work)).transpose() {
        Ok(place) => place,
        Err(error) => {
            channel.send(&Hello::Unfit { reason: error.to_string() })?;
            return Err(error);
        }
    };
    channel.send(&Hello::Ready { place })
}
