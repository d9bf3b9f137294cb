//! The caller's terminal, while a command runs on one of its own: what is typed goes there, what is shown comes back.
//!
//! A command never has the caller's terminal itself. It could change its mode, read from it for ever, and send signals to
//! all that was started on it. Pid 1 of the sandbox makes a terminal there (`terminal`) and hands its other end over.

use std::io::{self, IsTerminal};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Mutex, Once, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::{Signal, getpgrp, kill_current_process_group};
use rustix::termios::{
    OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetpgrp, tcgetwinsize, tcsetattr, tcsetwinsize,
};
use serde::{Deserialize, Serialize};

use super::Channel;

/// What the caller and pid 1 of the sandbox say to each other. Each word of pid 1 waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Word {
    /// From pid 1: here is the terminal.
    Terminal,
    /// From pid 1: the command has stopped, as by Ctrl-Z.
    Stopped,
    /// From pid 1: the command has ended.
    Ended,
    /// The answer: go on.
    GoOn,
}

/// How the caller's terminal was before, while it is not.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);
/// Where a change of the terminal's size is told.
static RESIZED: AtomicI32 = AtomicI32::new(-1);
/// More lines than the kernel keeps.
const TYPED_AHEAD: usize = 4096;
/// How long a process may take to stop after it was told to.
const STOPPING: Duration = Duration::from_millis(100);

/// Puts the caller's terminal back as it was. To be called before this process ends, however it ends.
pub(super) fn give_back() {
    let before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take();
    let _ = before.map(|before| tcsetattr(io::stdin(), OptionalActions::Drain, &before));
}

/// A terminal of the caller's that a command is to be shown on.
pub struct Console {
    ours: UnixStream,
    theirs: Option<OwnedFd>,
    relay: Option<JoinHandle<()>>,
}

impl Console {
    /// `None` unless both input and output are the terminal, and it is this process's turn on it.
    pub fn open() -> io::Result<Option<Self>> {
        let stdin = io::stdin();
        let ours = tcgetpgrp(&stdin).is_ok_and(|group| group == getpgrp());
        if !ours || !io::stdout().is_terminal() {
            return Ok(None);
        }
        let (ours, theirs) = UnixStream::pair()?;
        let channel = Channel::from_fd(ours.try_clone()?.into())?;
        let relay = std::thread::Builder::new().name("console".into()).spawn(move || {
            // Whatever goes wrong, the command goes on without being seen until it ends or is ended.
            let _ = relay(&channel);
            give_back();
        })?;
        Ok(Some(Self { ours, theirs: Some(theirs.into()), relay: Some(relay) }))
    }

    /// The end for the command.
    pub fn theirs(&mut self) -> io::Result<OwnedFd> {
        self.theirs.take().ok_or_else(|| io::Error::other("the console is in use"))
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        let _ = self.ours.shutdown(std::net::Shutdown::Both);
        let _ = self.relay.take().map(JoinHandle::join);
        give_back();
    }
}

/// Follows one command to its end.
fn relay(channel: &Channel) -> io::Result<()> {
    if channel.receive_value(|_| ())? != Some(Word::Terminal) {
        // It could not be started: pid 1 has said why.
        return Ok(());
    }
    let master = channel.take_descriptor()?;
    rustix::fs::fcntl_setfl(&master, OFlags::NONBLOCK)?;
    let before = tcgetattr(io::stdin())?;
    // What erases a character, and how characters are encoded, is the same inside.
    tcsetattr(&master, OptionalActions::Now, &before)?;
    let resized = watch_size()?;
    let _ = tcsetwinsize(&master, tcgetwinsize(io::stdin())?);
    let mut typed = typed_ahead(&before);
    take(&before)?;
    channel.send(&Word::GoOn)?;

    let mut input = true;
    loop {
        let stdin = io::stdin();
        let none = PollFlags::empty();
        let wants = if typed.is_empty() { PollFlags::IN } else { PollFlags::IN | PollFlags::OUT };
        let mut waited = [
            PollFd::new(channel, PollFlags::IN),
            PollFd::new(&master, wants),
            PollFd::new(&resized, PollFlags::IN),
            PollFd::new(&stdin, if input && typed.is_empty() { PollFlags::IN } else { none }),
        ];
        // One that nobody waits for would end every wait once it hangs up.
        let count = if input { waited.len() } else { waited.len() - 1 };
        match poll(&mut waited[..count], None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let ready = waited.map(|fd| fd.revents());
        if !ready[2].is_empty() {
            let _ = rustix::io::read(&resized, &mut [0; 64]);
            let _ = tcsetwinsize(&master, tcgetwinsize(&stdin)?);
        }
        if ready[3].intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
            let mut buffer = [0; 4096];
            match rustix::io::read(&stdin, &mut buffer) {
                Ok(0) => input = false,
                Ok(length) => typed.extend_from_slice(&buffer[..length]),
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(_) => input = false,
            }
        }
        if !typed.is_empty() {
            match rustix::io::write(&master, &typed) {
                Ok(written) => drop(typed.drain(..written)),
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(_) => typed.clear(),
            }
        }
        show(&master)?;
        if ready[0].is_empty() {
            continue;
        }
        match channel.receive_value(|_| ())? {
            Some(Word::Stopped) => stop(&before)?,
            Some(Word::Ended) => {
                show(&master)?;
                give_back();
                return channel.send(&Word::GoOn);
            }
            _ => return Ok(()),
        }
        channel.send(&Word::GoOn)?;
    }
}

/// What was typed before the command is there. An end of input among it has to be typed once more: in a terminal that hands
/// on every key it would be a zero.
fn typed_ahead(before: &Termios) -> Vec<u8> {
    let (mut typed, mut buffer) = (Vec::new(), [0; 4096]);
    let stdin = io::stdin();
    let now = rustix::event::Timespec::default();
    for _ in 0..TYPED_AHEAD {
        if !poll(&mut [PollFd::new(&stdin, PollFlags::IN)], Some(&now)).is_ok_and(|ready| ready > 0) {
            break;
        }
        match rustix::io::read(&stdin, &mut buffer) {
            Ok(0) => typed.push(before.special_codes[SpecialCodeIndex::VEOF]),
            Ok(length) => typed.extend_from_slice(&buffer[..length]),
            Err(_) => break,
        }
    }
    typed
}

/// Shows what there is to be shown.
fn show(master: &OwnedFd) -> io::Result<()> {
    let mut buffer = [0; 16 << 10];
    loop {
        match rustix::io::read(master, &mut buffer) {
            // All of the command's ends are closed: pid 1 is about to tell.
            Ok(0) | Err(Errno::AGAIN | Errno::IO) => return Ok(()),
            Ok(length) => write_all(&buffer[..length])?,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn write_all(mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(io::stdout(), bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            // Somebody else has made the terminal one that does not wait.
            Err(Errno::AGAIN) => drop(poll(&mut [PollFd::new(&io::stdout(), PollFlags::OUT)], None)),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Stops this process and all of its job, as Ctrl-Z does, and goes on when the caller's shell says so.
fn stop(before: &Termios) -> io::Result<()> {
    give_back();
    kill_current_process_group(Signal::TSTP)?;
    // Another thread may be the one that takes note of it, and this one must not be ahead of it.
    std::thread::sleep(STOPPING);
    take(before)
}

/// Makes the caller's terminal one that hands on every key.
fn take(before: &Termios) -> io::Result<()> {
    static AT_PANIC: Once = Once::new();
    AT_PANIC.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            give_back();
            hook(panic);
        }));
    });
    *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(before.clone());
    let mut raw = before.clone();
    raw.make_raw();
    loop {
        match tcsetattr(io::stdin(), OptionalActions::Drain, &raw) {
            Err(Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}

/// What becomes readable whenever the terminal has another size.
#[allow(unsafe_code)]
fn watch_size() -> io::Result<UnixStream> {
    extern "C" fn resized(_: libc::c_int) {
        // SAFETY: one system call, which is async-signal-safe, with a byte that lives.
        unsafe { libc::write(RESIZED.load(Ordering::Relaxed), [0_u8].as_ptr().cast(), 1) };
    }
    let (reader, writer) = UnixStream::pair()?;
    reader.set_nonblocking(true)?;
    writer.set_nonblocking(true)?;
    // Never closed: a signal may come at any time.
    RESIZED.store(writer.as_raw_fd(), Ordering::Relaxed);
    std::mem::forget(writer);
    let handler: extern "C" fn(libc::c_int) = resized;
    // SAFETY: the handler makes one system call.
    unsafe { libc::signal(libc::SIGWINCH, handler as libc::sighandler_t) };
    Ok(reader)
}
