//! Open files of whoever started alloy: no command of a sandbox or of a live host gets any.

use std::os::fd::RawFd;

/// The first that is neither input, output nor errors.
pub(super) const FIRST: RawFd = 3;

/// Runs before the standard library, which opens `/dev/null` in place of a standard output that is closed: what is written
/// there is lost, and nobody is told. Here it is opened for reading alone, so that every write fails.
#[allow(unsafe_code)]
#[used]
// SAFETY: what is in this section is called once, by the only thread; it makes system calls and nothing else.
#[unsafe(link_section = ".init_array")]
static CLOSED_OUTPUT_TAKES_NOTHING: extern "C" fn() = {
    extern "C" fn open_what_is_closed() {
        // Input as well: what is opened gets the first number that is free.
        for fd in [libc::STDIN_FILENO, libc::STDOUT_FILENO] {
            // SAFETY: the path ends with a NUL; the descriptor stays open for good, as its number says.
            #[allow(unsafe_code)]
            unsafe {
                if libc::fcntl(fd, libc::F_GETFD) < 0 {
                    libc::open(c"/dev/null".as_ptr(), libc::O_RDONLY);
                }
            }
        }
    }
    open_what_is_closed
};

/// Keeps every open file above standard errors from the programs that are started. Async-signal-safe.
pub(super) fn keep_to_ourselves() {
    if !close_range(FIRST, RawFd::MAX, libc::CLOSE_RANGE_CLOEXEC) {
        each(RawFd::MAX, |fd| {
            // SAFETY: sets one flag of a descriptor, open or not.
            #[allow(unsafe_code)]
            unsafe {
                libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC)
            };
        });
    }
}

/// Closes what a helper was started with, but for `kept`. Nothing of this process may own a descriptor yet.
pub(super) fn close_all_but(kept: RawFd) {
    let below = kept <= FIRST || close_range(FIRST, kept - 1, 0);
    let above = close_range(kept.max(FIRST - 1) + 1, RawFd::MAX, 0);
    if !(below && above) {
        each(kept, |fd| {
            // SAFETY: called before anything of this process has opened a file.
            #[allow(unsafe_code)]
            unsafe {
                libc::close(fd)
            };
        });
    }
}

#[allow(unsafe_code)]
fn close_range(first: RawFd, last: RawFd, flags: libc::c_uint) -> bool {
    // SAFETY: what is closed is nobody's, as the callers say; a flag is set on the rest.
    unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) == 0 }
}

/// For kernels before 5.11, one by one.
#[allow(unsafe_code)]
fn each(but: RawFd, act: impl Fn(RawFd)) {
    /// Where no limit is set, the kernel's own default for one.
    const MOST: libc::rlim_t = 1 << 20;
    let mut limit = libc::rlimit { rlim_cur: MOST, rlim_max: MOST };
    // SAFETY: `limit` is written to, and outlives the call.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    let most = RawFd::try_from(limit.rlim_cur.min(MOST)).unwrap_or(RawFd::MAX);
    (FIRST..most).filter(|fd| *fd != but).for_each(act);
}
