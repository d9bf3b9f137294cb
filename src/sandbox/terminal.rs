//! A command's own terminal, or its own session without one: what pid 1 of a sandbox does so that the command sends no
//! signals to whoever called alloy, and gets those that are meant for it.

use std::io::{self, IsTerminal};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicI32, Ordering};

use rustix::fs::{Mode, OFlags};
use rustix::process::{Gid, Pid, Signal, Uid, kill_process_group};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};

use super::console::Word;
use super::spec::Identity;
use super::{Channel, descriptors};

/// Group of terminals, as in `dev`.
const TTY: u32 = 5;

/// The terminal, and the channel to whoever shows it.
pub(super) struct Terminal {
    channel: Channel,
    slave: Option<OwnedFd>,
}

impl Terminal {
    /// Makes one in the sandbox's own `/dev/pts`, and makes it this process's. The channel is standard input.
    pub(super) fn open(owner: &Identity) -> io::Result<Self> {
        let channel = Channel::from_fd(rustix::io::fcntl_dupfd_cloexec(io::stdin(), descriptors::FIRST)?)?;
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let master = rustix::fs::open("/dev/pts/ptmx", flags, Mode::empty())?;
        unlockpt(&master)?;
        let slave = ioctl_tiocgptpeer(&master, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        rustix::fs::fchown(&slave, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(TTY)))?;
        rustix::process::setsid()?;
        rustix::process::ioctl_tiocsctty(&slave)?;
        let terminal = Self { channel, slave: Some(slave) };
        terminal.channel.send_with(&Word::Terminal, &master)?;
        terminal.answer()?;
        Ok(terminal)
    }

    /// Hands it to a command as input and output, and as errors unless they go elsewhere, and makes it the one in front.
    #[allow(unsafe_code)]
    pub(super) fn give(&mut self, command: &mut Command) -> io::Result<()> {
        let slave = self.slave.take().ok_or_else(|| io::Error::other("the terminal is in use"))?;
        command.stdin(slave.try_clone()?).stdout(slave.try_clone()?);
        if io::stderr().is_terminal() {
            command.stderr(slave);
        }
        // SAFETY: only system calls, which are async-signal-safe.
        unsafe {
            command.pre_exec(|| {
                rustix::process::setpgid(None, None)?;
                // Whoever is not in front is stopped when it steps there.
                libc::signal(libc::SIGTTOU, libc::SIG_IGN);
                let stepped = rustix::termios::tcsetpgrp(io::stdin(), rustix::process::getpid());
                libc::signal(libc::SIGTTOU, libc::SIG_DFL);
                Ok(stepped?)
            });
        }
        Ok(())
    }

    /// The command was stopped: so is all of the caller's job, until its shell lets it go on.
    pub(super) fn stopped(&self, command: Pid) -> io::Result<()> {
        self.channel.send(&Word::Stopped)?;
        self.answer()?;
        match kill_process_group(command, Signal::CONT) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until all that the command has printed is shown: it would get lost with this process.
    pub(super) fn ended(&self) {
        // Whoever shows it may be gone.
        let _ = self.channel.send(&Word::Ended).and_then(|()| self.answer());
    }

    fn answer(&self) -> io::Result<()> {
        match self.channel.receive_value(|_| ())? {
            Some(Word::GoOn) => Ok(()),
            _ => Err(io::Error::other("nobody shows the terminal")),
        }
    }
}

/// The command's process group, once it is there.
static COMMAND: AtomicI32 = AtomicI32::new(0);

/// From now on, what is typed at the caller's terminal to end, stop or continue a job is handed on to the command: it is in
/// a session of its own, and would not get it.
#[allow(unsafe_code)]
pub(super) fn hand_on_signals(command: Pid) {
    extern "C" fn hand_on(signal: libc::c_int) {
        // In a session without a terminal, nobody continues what a gentler signal has stopped: the kernel ignores it.
        let signal = if signal == libc::SIGTSTP { libc::SIGSTOP } else { signal };
        let group = COMMAND.load(Ordering::Relaxed);
        // SAFETY: a system call, which is async-signal-safe; it changes `errno`, which nobody reads in between.
        unsafe { libc::kill(-group, signal) };
    }
    COMMAND.store(command.as_raw_nonzero().get(), Ordering::Relaxed);
    let handler: extern "C" fn(libc::c_int) = hand_on;
    for signal in [libc::SIGINT, libc::SIGQUIT, libc::SIGTSTP, libc::SIGCONT] {
        // SAFETY: the handler makes one system call.
        unsafe { libc::signal(signal, handler as libc::sighandler_t) };
    }
}
