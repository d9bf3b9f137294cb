//! Ctrl-C and its relatives: everything that alloy started ends, then alloy.

use std::io;
use std::os::unix::net::UnixStream as Pair;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::{flag, low_level::pipe};
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};

use super::error::{CommandError, Kind};
use crate::sandbox::{end_commands, kill_workers};
use crate::sink::remove_unfinished;
use crate::tasks::Runtime;

/// How long a command of a live host may take to end when it is asked to: package managers put things in order first.
const GRACE: Duration = Duration::from_secs(10);
/// How long alloy then takes to record what was done.
const LAST: Duration = Duration::from_secs(2);

/// Signals that come this soon after the first are the same wish: a terminal that closes, or a supervisor, sends two.
const SAME: Duration = Duration::from_millis(300);

/// Who gets Ctrl-C.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CtrlC {
    /// alloy: it ends.
    Ours,
    /// The command on the terminal: alloy waits for it.
    Theirs,
    /// The commands of a live host: they are asked to end, then alloy records what was done, and ends.
    Asked,
}

/// From now on, signals that ask alloy to end are obeyed at once. What a build leaves in its directory is deleted by
/// the next one.
pub(super) fn obey(runtime: &Runtime, ctrl_c: CtrlC) -> Result<(), CommandError> {
    let refused = |error| CommandError::new(Kind::Failed, format!("cannot listen to signals: {error}"));
    // Registering a socket wants the runtime around it.
    let _inside = runtime.handle().enter();
    let over = Arc::new(AtomicBool::new(false));
    let mut signals = listen(ctrl_c, &over).map_err(refused)?;
    let over = Over(over);
    runtime.handle().spawn(async move {
        let _over = over;
        next(&mut signals).await;
        if ctrl_c == CtrlC::Asked {
            return ask(&mut signals).await;
        }
        kill_workers();
        remove_unfinished();
        super::ui::interrupted();
        std::process::exit(Kind::Interrupted as i32);
    });
    Ok(())
}

/// Once it is dropped, nobody listens any more: signals do then what they do to any program.
struct Over(Arc<AtomicBool>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A stream that gets a byte for each signal that is alloy's, until it is over.
fn listen(ctrl_c: CtrlC, over: &Arc<AtomicBool>) -> io::Result<UnixStream> {
    let (read, write) = Pair::pair()?;
    for signal in [SIGINT, SIGQUIT, SIGTERM, SIGHUP] {
        flag::register_conditional_default(signal, Arc::clone(over))?;
        if ctrl_c == CtrlC::Theirs && [SIGINT, SIGQUIT].contains(&signal) {
            // It is known by now, and means nothing.
            continue;
        }
        pipe::register(signal, write.try_clone()?)?;
    }
    read.set_nonblocking(true)?;
    UnixStream::from_std(read)
}

/// Waits for a signal. Those that came at once count as one each.
async fn next(signals: &mut UnixStream) {
    // Nobody else writes, and the other end stays open: there is a byte, or none yet.
    let _ = signals.read_u8().await;
}

/// Asks what runs to end, and no longer after some time, or when told once more. Whoever waits for it ends alloy; where
/// nothing was waited for, it ends here.
async fn ask(signals: &mut UnixStream) {
    let wait = if end_commands(false) { GRACE } else { LAST };
    sleep(SAME).await;
    let _ = signals.try_read(&mut [0; 64]);
    let _ = timeout(wait, next(signals)).await;
    if end_commands(true) {
        let _ = timeout(LAST, next(signals)).await;
    }
    super::ui::interrupted();
    std::process::exit(Kind::Interrupted as i32);
}
