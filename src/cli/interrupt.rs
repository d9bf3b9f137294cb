//! Ctrl-C and its relatives: everything that alloy started ends, then alloy.

use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use super::error::Kind;
use crate::sandbox::kill_workers;

/// Who gets Ctrl-C.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CtrlC {
    /// alloy: it ends.
    Ours,
    /// The command on the terminal: alloy waits for it.
    Theirs,
}

/// From now on, signals that ask alloy to end are obeyed at once. What a build leaves in its directory is deleted by
/// the next one.
pub(super) fn obey(runtime: &Runtime, ctrl_c: CtrlC) {
    for kind in [SignalKind::interrupt(), SignalKind::quit(), SignalKind::terminate(), SignalKind::hangup()] {
        let theirs = ctrl_c == CtrlC::Theirs && (kind == SignalKind::interrupt() || kind == SignalKind::quit());
        runtime.spawn(async move {
            let Ok(mut stream) = signal(kind) else { return };
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
