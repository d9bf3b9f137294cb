//! The runtime of a command. It cannot do without threads and descriptors, and has no error for a machine that refuses
//! them: whether they are to be had is found out before.

use std::fs::File;
use std::io;
use std::sync::mpsc::channel;
use std::thread::Builder as Thread;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use super::error::{CommandError, Kind};

const WORKERS: usize = 2;
/// Descriptors that the runtime takes when it begins, and a few to work with.
const DESCRIPTORS: usize = 16;
/// Threads that wait for files stay until the end: with one of them there, work waits where no second is to be had.
const FOR_EVER: Duration = Duration::from_secs(1 << 30);

/// What helps where a thread or a process is refused.
pub(super) const MORE_PROCESSES: &str =
    "allow this user more processes (`ulimit -u`), or this container (`pids.max` of its cgroup)";

/// A runtime.
pub(super) fn runtime() -> Result<Runtime, CommandError> {
    descriptors().map_err(|error| {
        let message = format!("cannot open {DESCRIPTORS} files at a time: {error}");
        CommandError::new(Kind::Failed, message).hint("allow this process more of them (`ulimit -n`)")
    })?;
    let refused = |error: io::Error| {
        CommandError::new(Kind::Failed, format!("cannot start threads: {error}")).hint(MORE_PROCESSES)
    };
    threads(WORKERS + 1).map_err(refused)?;
    let runtime = Builder::new_multi_thread().worker_threads(WORKERS).thread_keep_alive(FOR_EVER).enable_all().build();
    let runtime = runtime.map_err(refused)?;
    let first = runtime.spawn_blocking(|| ());
    runtime.block_on(first).map_err(|error| refused(io::Error::other(error)))?;
    Ok(runtime)
}

/// Fails unless so many can be opened.
fn descriptors() -> io::Result<()> {
    (0..DESCRIPTORS).map(|_| File::open("/dev/null")).collect::<io::Result<Vec<_>>>().map(drop)
}

/// Fails unless `count` threads can run side by side.
fn threads(count: usize) -> io::Result<()> {
    let mut started = Vec::new();
    let mut refused = None;
    for _ in 0..count {
        let (hold, held) = channel::<()>();
        match Thread::new().spawn(move || held.recv().unwrap_or_default()) {
            Ok(thread) => started.push((hold, thread)),
            Err(error) => {
                refused = Some(error);
                break;
            }
        }
    }
    for (hold, thread) in started {
        drop(hold);
        let _ = thread.join();
    }
    refused.map_or(Ok(()), Err)
}
