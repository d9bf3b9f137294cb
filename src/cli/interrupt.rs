//! Ctrl-C and its relatives: everything that alloy started ends, then alloy.

use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;

use super::error::Kind;
use crate::sandbox::{end_commands, kill_workers};

/// How long a command of a live host may take to end when it is asked to: package managers put things in order first.
const GRACE: Duration = Duration::from_secs(10);
/// How long alloy then takes to record what was done.
const LAST: Duration = Duration::from_secs(2);

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
pub(super) fn obey(runtime: &Runtime, ctrl_c: CtrlC) {
    for kind in [SignalKind::interrupt(), SignalKind::quit(), SignalKind::terminate(), SignalKind::hangup()] {
        let theirs = ctrl_c == CtrlC::Theirs && (kind == SignalKind::interrupt() || kind == SignalKind::quit());
        runtime.spawn(async move {
            let Ok(mut stream) = signal(kind) else { return };
            if ctrl_c == CtrlC::Asked {
                return ask(&mut stream).await;
            }
            while stream.recv().await.is_some() {
                if !theirs {
                    kill_workers();
                    super::ui::interrupted();
                    std::process::exit(Kind::Interrupted as i32);
                }
            }
        });
    }
}

/// Asks what runs to end, and no longer after some time, or when told once more. Whoever waits for it ends alloy; where
/// nothing was waited for, it ends here.
async fn ask(stream: &mut Signal) {
    stream.recv().await;
    let wait = if end_commands(false) { GRACE } else { LAST };
    let _ = timeout(wait, stream.recv()).await;
    if end_commands(true) {
        let _ = timeout(LAST, stream.recv()).await;
    }
    super::ui::interrupted();
    std::process::exit(Kind::Interrupted as i32);
}
