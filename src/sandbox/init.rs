//! Pid 1 of one command: mounts, pivots, drops privileges, runs the command, reaps orphans.

use std::io::{self, Write};
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio as Std};

use rustix::process::{Gid, Pid, Signal, Uid, WaitOptions, set_parent_process_death_signal, wait};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use super::shim::read_spec;
use super::spec::{Identity, RunSpec, Stdio};
use super::terminal::{self, Terminal};
use super::worker::adopt;
use super::{compat, descriptors, mounts, privilege, process, scope};

/// The hidden first argument that makes this process pid 1 of a sandbox.
pub(super) const ROLE: &str = "@init";

/// Signals that alloy's helpers ignore and commands get back.
pub(super) const INTERRUPTS: [i32; 3] = [libc::SIGINT, libc::SIGQUIT, libc::SIGTERM];

/// The init's `main`: exits as the command did.
pub(super) fn main(fd: RawFd) -> ExitCode {
    // Whoever reads it may be gone, and the exit code says it as well.
    let tell = |error: &io::Error| drop(writeln!(io::stderr(), "alloy: {error}"));
    let prepared =
        adopt(fd).and_then(|file| prepare(&file).inspect_err(|error| process::report(&file, &error.to_string())));
    let (spec, mut terminal) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            tell(&error);
            return ExitCode::from(process::SETUP_FAILED);
        }
    };
    if spec.argv.is_empty() {
        return ExitCode::SUCCESS;
    }
    let result = start(&spec, terminal.as_mut()).and_then(|command| {
        let ended = reap_until(command, terminal.as_ref());
        terminal.as_ref().map(Terminal::ended);
        ended
    });
    ExitCode::from(result.unwrap_or_else(|error| {
        tell(&error);
        match error.kind() {
            io::ErrorKind::NotFound => process::NOT_FOUND,
            io::ErrorKind::PermissionDenied => process::NOT_EXECUTABLE,
            _ => process::SETUP_FAILED,
        }
    }))
}

fn prepare(file: &OwnedFd) -> io::Result<(RunSpec, Option<Terminal>)> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let spec = read_spec(file)?;
    let other = |error: super::SandboxError| io::Error::other(error.to_string());
    mounts::enter(&spec).map_err(other)?;
    rustix::system::sethostname(b"alloy")
        .map_err(|errno| io::Error::other(format!("cannot set the host name: {errno}")))?;
    compat::adopt_personality();
    if !spec.network {
        scope::raise_loopback()?;
    }
    let terminal = match spec.stdio {
        Stdio::Terminal => Some(Terminal::open(&spec.identity)?),
        Stdio::Captured | Stdio::Caller => None,
    };
    privilege::restrict(!spec.network).map_err(other)?;
    if spec.argv.is_empty() {
        // All that a command's own process does before it becomes the command.
        rustix::process::setsid().map_err(|errno| told(&own(0, errno)))?;
        User::of(&spec.identity, spec.keep_groups).take_over().map_err(|refused| told(&refused))?;
    }
    Ok((spec, terminal))
}

fn start(spec: &RunSpec, terminal: Option<&mut Terminal>) -> io::Result<Pid> {
    let [program, args @ ..] = spec.argv.as_slice() else { return Err(io::Error::other("no command to run")) };
    let mut command = Command::new(program);
    command.args(args).env_clear().envs(&spec.env).current_dir(&spec.cwd);
    if spec.stdio == Stdio::Captured {
        command.stdin(Std::null());
    }
    let on_terminal = terminal.is_some();
    match terminal {
        Some(terminal) => terminal.give(&mut command)?,
        None => lead_a_session(&mut command),
    }
    become_user(&mut command, &spec.identity, spec.keep_groups);
    // Only these two can tell a missing directory from a missing program.
    if let Err(error) = std::fs::metadata(&spec.cwd) {
        return Err(io::Error::other(format!("working directory {}: {error}", spec.cwd)));
    }
    let child = command.spawn().map_err(|error| match error.raw_os_error() {
        Some(code) if code > OWN => told(&error),
        // The file's mode is EACCES (execve(2)): this is the machine's, which refuses the call.
        Some(libc::EPERM) => io::Error::other(format!("cannot start {program}: {error}")),
        _ => io::Error::new(error.kind(), format!("cannot run {program}: {error}")),
    })?;
    let child = Pid::from_raw(child.id().cast_signed()).ok_or_else(|| io::Error::other("no process id"))?;
    if !on_terminal {
        terminal::hand_on_signals(child);
    }
    Ok(child)
}

/// Makes the child of `command` the leader of a session: signals to its process group, which `kill 0` names, reach nobody
/// outside, pid namespace or not.
#[allow(unsafe_code)]
pub(super) fn lead_a_session(command: &mut Command) {
    // SAFETY: one system call, which is async-signal-safe.
    unsafe {
        command.pre_exec(|| rustix::process::setsid().map(drop).map_err(|errno| own(0, errno)));
    }
}

/// Makes the child of `command` a user of the root, with signals as they are by default.
#[allow(unsafe_code)]
pub(super) fn become_user(command: &mut Command, identity: &Identity, keep_groups: bool) {
    let user = User::of(identity, keep_groups);
    // SAFETY: only system calls, which are async-signal-safe; what they need was allocated above.
    unsafe {
        command.pre_exec(move || {
            for signal in INTERRUPTS.into_iter().chain([libc::SIGXFSZ]) {
                libc::signal(signal, libc::SIG_DFL);
            }
            descriptors::keep_to_ourselves();
            user.take_over()
        });
    }
}

/// Added to what a call of alloy's own fails with between fork and exec: that is not the program's failure, and a number is
/// all that the parent hears of it.
const OWN: i32 = 1 << 16;
/// Those calls; each has `OWN` once more than the one before it.
const CALLS: [&str; 4] = ["setsid", "setgroups", "setresgid", "setresuid"];

fn own(call: i32, errno: rustix::io::Errno) -> io::Error {
    io::Error::from_raw_os_error(OWN * (call + 1) + errno.raw_os_error())
}

/// The failure of such a call, in words.
fn told(error: &io::Error) -> io::Error {
    let code = error.raw_os_error().unwrap_or_default();
    let (call, errno) = (usize::try_from(code / OWN - 1), io::Error::from_raw_os_error(code % OWN));
    let call = call.ok().and_then(|at| CALLS.get(at)).unwrap_or(&"a system call");
    io::Error::other(format!("this machine refuses what a command's process needs before it runs: {call}: {errno}"))
}

/// A user that a process becomes.
struct User {
    uid: Uid,
    gid: Gid,
    /// `None` if the groups of the caller stay.
    groups: Option<Vec<Gid>>,
}

impl User {
    fn of(identity: &Identity, keep_groups: bool) -> Self {
        let groups = identity.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
        let groups = Some(groups).filter(|_| !keep_groups && may_set_groups());
        Self { uid: Uid::from_raw(identity.uid), gid: Gid::from_raw(identity.gid), groups }
    }

    /// Async-signal-safe. Fails with what [`told`] puts into words.
    fn take_over(&self) -> io::Result<()> {
        if let Some(groups) = &self.groups {
            set_thread_groups(groups).map_err(|errno| own(1, errno))?;
        }
        set_thread_res_gid(self.gid, self.gid, self.gid).map_err(|errno| own(2, errno))?;
        set_thread_res_uid(self.uid, self.uid, self.uid).map_err(|errno| own(3, errno))
    }
}

/// Where one id alone is mapped, nobody changes groups (user_namespaces(7), `/proc/PID/setgroups`): those of the caller stay,
/// which have no names inside.
pub(super) fn may_set_groups() -> bool {
    std::fs::read_to_string("/proc/self/setgroups").map_or(true, |text| text.trim() != "deny")
}

/// Waits for `command`, taking in every orphan on the way. What still runs afterwards dies with this process.
fn reap_until(command: Pid, terminal: Option<&Terminal>) -> io::Result<u8> {
    let options = if terminal.is_some() { WaitOptions::UNTRACED } else { WaitOptions::empty() };
    loop {
        match wait(options) {
            Ok(Some((pid, status))) if status.stopped() => {
                if let Some(terminal) = terminal.filter(|_| pid == command) {
                    terminal.stopped(command)?;
                }
            }
            Ok(Some((pid, status))) if pid == command => {
                let code = status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal));
                return Ok(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX));
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
