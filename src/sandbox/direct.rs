//! Commands on the machine itself: no namespaces, but a session of their own, so that they can be ended as a whole.
//! And the list of what runs, of other roots as well, for whoever has to end it.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio as Std};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::OFlags;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};
use rustix::thread::UnshareFlags;

use super::init::{become_user, lead_a_session};
use super::process::Running;
use super::spec::Identity;
use super::streams::Streams;
use super::{Exit, SandboxError};

/// How often, and how long apart: one that is dead counts as long as nobody has buried it.
const REPEATS: u32 = 20;
const BETWEEN: Duration = Duration::from_millis(50);

/// A command that runs: its process, and whether it leads a session.
static RUNNING: Mutex<Vec<(Pid, bool)>> = Mutex::new(Vec::new());
static ENDING: AtomicBool = AtomicBool::new(false);

fn running() -> MutexGuard<'static, Vec<(Pid, bool)>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends what runs, and lets nothing new be started. Commands of the machine are asked to end, each with its whole
/// process group, or `killed`; those of another root go at once. True while anything is left.
pub fn end_commands(killed: bool) -> bool {
    // Under the lock: a command is either seen here, or sees this.
    let running = running();
    ENDING.store(true, Ordering::SeqCst);
    for (pid, session) in running.iter() {
        let signal = if killed { Signal::KILL } else { Signal::TERM };
        // One that has just ended is no failure.
        let _ = match session {
            true => rustix::process::kill_process_group(*pid, signal),
            false => rustix::process::kill_process(*pid, Signal::KILL),
        };
    }
    !running.is_empty()
}

/// True once [`end_commands`] was called.
pub fn ending() -> bool {
    ENDING.load(Ordering::SeqCst)
}

/// Starts a command on this machine, with `env` for its whole environment; its output is captured.
pub fn spawn_directly(
    argv: &[String],
    env: &std::collections::BTreeMap<String, String>,
    cwd: &str,
    identity: &Identity,
    network: bool,
) -> Result<Running, SandboxError> {
    let [program, args @ ..] = argv else {
        return Err(SandboxError::setup("run a command", io::Error::other("it is empty")));
    };
    // Only this can tell a missing directory from a missing program.
    std::fs::metadata(cwd).map_err(|e| SandboxError::setup(format!("enter {cwd}"), e))?;
    let failed = |e: io::Error| SandboxError::setup(format!("run {program}"), e);
    let (reader, writer) = io::pipe().map_err(failed)?;
    let mut command = Command::new(program);
    command.args(args).env_clear().envs(env).current_dir(cwd).stdin(Std::null());
    command.stdout(writer.try_clone().map_err(failed)?).stderr(writer);
    if !network {
        leave_network(&mut command);
    }
    if identity.uid != rustix::process::geteuid().as_raw() {
        keep_capabilities(&mut command);
    }
    lead_a_session(&mut command);
    become_user(&mut command, identity, false);
    end_with_parent(&mut command);
    let child = command.spawn().map_err(failed)?;
    Ok(Running { child, spec: None, output: Some(reader), streams: Streams::default() })
}

/// Gives a command a network of its own, with nothing in it but itself.
#[allow(unsafe_code)]
fn leave_network(command: &mut Command) {
    // SAFETY: three system calls, which are async-signal-safe; the child has one thread, and neither descriptors nor
    // memory are unshared.
    unsafe {
        command.pre_exec(|| {
            rustix::thread::unshare_unsafe(UnshareFlags::NEWNET)?;
            super::scope::raise_loopback()
        });
    }
}

/// What alloy's caller let it inherit is not for commands of other users.
#[allow(unsafe_code)]
fn keep_capabilities(command: &mut Command) {
    // SAFETY: system calls, which are async-signal-safe.
    unsafe {
        command.pre_exec(|| Ok(super::privilege::pass_nothing_on()?));
    }
}

/// A command that nobody follows any more is asked to end.
#[allow(unsafe_code)]
fn end_with_parent(command: &mut Command) {
    // SAFETY: one system call, which is async-signal-safe. It comes after the change of credentials, which would undo it.
    unsafe {
        command.pre_exec(|| Ok(rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?));
    }
}

impl Running {
    /// Hands what is printed to `output` until the command has ended. `session` says that it leads one: a service that it
    /// has started may keep its end of the pipe for ever, and nobody waits for that. Otherwise it is a sandbox, in which
    /// nothing goes on by then: the process that enters it may be gone before its pid 1 is.
    pub fn finish(mut self, session: bool, output: &dyn Fn(&[u8])) -> Result<Exit, SandboxError> {
        let failed = |e: io::Error| SandboxError::setup("follow a command", e);
        let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) else { return self.wait() };
        let ended = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(ended) => ended,
            Err(error) => {
                self.give_up(pid, session);
                return Err(failed(error.into()));
            }
        };
        if !register(pid, session) {
            // With what it may have started already.
            let _ = session.then(|| rustix::process::kill_process_group(pid, Signal::KILL));
            let _ = self.child.kill();
        }
        let until = session.then_some(&ended);
        let copied = self.output.take().map_or(Ok(()), |pipe| copy(&pipe.into(), until, output));
        let exit = self.wait();
        if session {
            end_rest(pid);
        }
        running().retain(|(other, _)| *other != pid);
        copied.map_err(failed)?;
        exit
    }
}

impl Running {
    /// Ends a command that cannot be followed, and waits until nothing of it goes on: what it was lent is taken away next.
    fn give_up(&mut self, pid: Pid, session: bool) {
        if session {
            let _ = rustix::process::kill_process_group(pid, Signal::KILL);
        }
        let _ = self.child.kill();
        // Of a sandbox, whoever is left has the other end of the pipe.
        if let Some(pipe) = self.output.take().filter(|_| !session) {
            let _ = copy(&pipe.into(), None, &|_| ());
        }
        let _ = self.child.wait();
    }
}

/// Asks once more those of a command's process group that its end has left, if everything is to end: what a shell was
/// just about to start may have missed the first time.
fn end_rest(group: Pid) {
    for _ in 0..REPEATS {
        if !ending() || rustix::process::kill_process_group(group, Signal::TERM).is_err() {
            return;
        }
        std::thread::sleep(BETWEEN);
    }
}

/// Adds a command to those that run; false if everything is to end.
fn register(pid: Pid, session: bool) -> bool {
    let mut running = running();
    running.push((pid, session));
    !ending()
}

/// Copies from `pipe` until its end, or until what it held when `ended` became readable.
fn copy(pipe: &OwnedFd, ended: Option<&OwnedFd>, output: &dyn Fn(&[u8])) -> io::Result<()> {
    rustix::fs::fcntl_setfl(pipe, OFlags::NONBLOCK)?;
    let mut buffer = vec![0; 64 << 10];
    let mut over = false;
    loop {
        match rustix::io::read(pipe, &mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => output(&buffer[..length]),
            Err(rustix::io::Errno::AGAIN) if over => return Ok(()),
            Err(rustix::io::Errno::AGAIN) => {
                let mut waited = vec![PollFd::new(pipe, PollFlags::IN)];
                waited.extend(ended.map(|ended| PollFd::new(ended, PollFlags::IN)));
                match poll(&mut waited, None) {
                    Ok(_) | Err(rustix::io::Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
                over = waited.get(1).is_some_and(|ended| !ended.revents().is_empty());
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    use super::*;

    fn identity() -> Identity {
        let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        Identity { uid, gid, groups: Vec::new() }
    }

    fn shell(script: &str) -> (Exit, String) {
        on_network(true, script)
    }

    fn on_network(network: bool, script: &str) -> (Exit, String) {
        finished(network, true, script)
    }

    fn finished(network: bool, session: bool, script: &str) -> (Exit, String) {
        let env = BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]);
        let argv = ["sh", "-c", script].map(str::to_owned);
        let printed = RefCell::new(Vec::new());
        let running = spawn_directly(&argv, &env, "/", &identity(), network).unwrap();
        let exit = running.finish(session, &|bytes| printed.borrow_mut().extend_from_slice(bytes)).unwrap();
        (exit, String::from_utf8(printed.into_inner()).unwrap())
    }

    #[test]
    #[ignore = "needs root, which may change groups"]
    fn a_service_does_not_hold_up_whoever_started_it() {
        let (exit, printed) = shell("sleep 600 & echo started; echo $!; exit 3");
        let (said, pid) = printed.trim().split_once('\n').unwrap();
        assert_eq!((exit, said), (Exit(3), "started"));
        let pid = Pid::from_raw(pid.parse().unwrap()).unwrap();
        rustix::process::kill_process(pid, Signal::KILL).unwrap();
    }

    #[test]
    #[ignore = "needs root, which may change groups"]
    fn of_a_sandbox_all_has_ended() {
        let (exit, printed) = finished(true, false, "(sleep 0.3; echo late) & kill -9 $$");
        assert_eq!((exit, printed.as_str()), (Exit(137), "late\n"));
    }

    #[test]
    #[ignore = "needs root, which may change groups"]
    fn a_network_of_its_own_is_a_loopback_interface_that_is_up() {
        let script = "grep -c : /proc/net/dev; cat /proc/net/fib_trie | grep -c 127.0.0.1";
        let (_, printed) = on_network(false, script);
        assert_eq!(printed.lines().next(), Some("1"), "only lo");
        assert_ne!(printed.lines().nth(1), Some("0"), "an interface that is down has no address");
    }

    #[test]
    #[ignore = "needs root, which may change groups"]
    fn a_signal_is_told_as_shells_tell_it() {
        let (exit, _) = shell("kill -9 $$");
        assert_eq!(exit, Exit(137));
    }
}
