//! What no error stands for, told as one: libraries below have no other word for it when the machine refuses a thread or
//! random bytes.

use std::any::Any;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use rustix::rand::{GetRandomFlags, getrandom};

use super::{process, worker};
use crate::yaml::shown;

/// A file that may become no longer (`ulimit -f`) is an error of whoever writes it, not the end of the process.
#[allow(unsafe_code)]
pub fn tell_of_limits() {
    // SAFETY: ignoring a signal runs no handler.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}

/// A panic ends this process as any other failure does: with a message, and with the exit code of a failure; nothing
/// that it started goes on.
pub fn tell_of_panics() {
    static TOLD: AtomicBool = AtomicBool::new(false);
    std::panic::set_hook(Box::new(|panic| {
        // One thread tells, and is about to end all others.
        while TOLD.swap(true, Ordering::SeqCst) {
            std::thread::park();
        }
        let place = panic.location().map(|place| format!(" ({}:{})", file(place.file()), place.line()));
        let said = sentence(said(panic.payload()));
        let refused = panic.location().is_some_and(|place| is_refusal(place.file(), &said));
        let text = said + &place.unwrap_or_default();
        let role = std::env::args_os().nth(1).filter(|role| role.to_string_lossy().starts_with('@'));
        let (who, code) = match role {
            None => {
                worker::kill_workers();
                if refused { (REFUSED, UNFIT) } else { ("error: alloy itself failed", 1) }
            }
            // Whoever waits for it has an error of its own for that.
            Some(role) if role == worker::ROLE => ("alloy: the worker itself failed", 1),
            Some(_) => ("alloy: the sandbox itself failed", process::SETUP_FAILED.into()),
        };
        // By the system call: another thread may hold the lock of standard error for long. Whoever reads it may be gone.
        let _ = rustix::io::write(rustix::stdio::stderr(), format!("{who}: {text}\n").as_bytes());
        std::process::exit(code);
    }));
}

/// What is said of a system call that a library cannot do without.
const REFUSED: &str = "error: this machine, or the filter of a container, refuses a system call that every program of this \
                       kind needs";
/// The exit code for machines that cannot do it.
const UNFIT: i32 = 5;

/// True of a panic of a library's that a refused system call brings about (EPERM, EINVAL, ENOSYS): it has no error for it.
fn is_refusal(file: &str, said: &str) -> bool {
    let ours = file.starts_with("src/") || file.starts_with("layers/");
    let refusals = [libc::EPERM, libc::EINVAL, libc::ENOSYS];
    // The standard library asserts that some calls do not fail.
    let asserted = file.contains("library/std/src/sys/");
    let refused = refusals
        .iter()
        .any(|code| said.contains(&format!("code: {code},")) || said.contains(&format!("(os error {code})")));
    !ours && (asserted || refused)
}

/// Ends a program that has too little stack, before it overflows: no error can be told then.
pub fn without_stack() -> Option<ExitCode> {
    let limit = getrlimit(Resource::Stack).current.filter(|limit| *limit < STACK)?;
    let text = format!(
        "error: this process may have a stack of {} KiB alone, and alloy needs {}; hint: allow it more (`ulimit -s {}`)\n",
        limit >> 10,
        STACK >> 10,
        STACK >> 10
    );
    let _ = rustix::io::write(rustix::stdio::stderr(), text.as_bytes());
    Some(ExitCode::FAILURE)
}

/// What alloy's first thread needs, in bytes.
const STACK: u64 = 1 << 20;

/// Ends a program that gets no random numbers, with what that is: the standard library counts on them.
pub fn without_random_numbers() -> Option<ExitCode> {
    match getrandom(&mut [0; 16], GetRandomFlags::empty()) {
        // The devices are asked then.
        Ok(_) | Err(Errno::NOSYS | Errno::PERM) => None,
        Err(error) => {
            let text = format!("error: the kernel gives no random numbers (getrandom(2)): {error}\n");
            let _ = rustix::io::write(rustix::stdio::stderr(), text.as_bytes());
            Some(ExitCode::FAILURE)
        }
    }
}

/// What was said, on one line.
fn sentence(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    shown(&words.join(" "), false).into_owned()
}

fn said(payload: &dyn Any) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("for no reason that is known")
}

/// Where it is in the code, without where that lay when it was compiled.
fn file(path: &str) -> &str {
    path.rsplit_once("/src/").map_or(path, |(before, _)| &path[before.rfind('/').map_or(0, |at| at + 1)..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_is_one_line_that_steers_no_terminal() {
        assert_eq!(
            sentence("assertion failed\n  left: 1\n right: 2\x1b[2J"),
            "assertion failed left: 1 right: 2\\u{1b}[2J"
        );
    }

    #[test]
    fn a_refused_system_call_is_no_fault_of_alloy_s() {
        let said =
            "Bad read on self-pipe: Os { code: 1, kind: PermissionDenied, message: \"Operation not permitted\" }";
        assert!(is_refusal("/home/ann/registry/src/tokio-1.2.3/src/runtime/signal.rs", said));
        assert!(is_refusal("library/std/src/thread.rs", "failed: Function not implemented (os error 38)"));
        assert!(is_refusal("/rustc/1/library/std/src/sys/thread/unix.rs", "assertion failed left: 1 right: 4"));
        assert!(!is_refusal("src/build.rs", said) && !is_refusal("library/core/src/option.rs", "index out of bounds"));
    }

    #[test]
    fn places_are_told_without_those_of_the_machine_that_compiled() {
        assert_eq!(file("/home/ann/registry/tokio-1.2.3/src/runtime/task.rs"), "tokio-1.2.3/src/runtime/task.rs");
        assert_eq!(file("src/build.rs"), "src/build.rs");
    }
}
