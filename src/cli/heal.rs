//! What was found damaged in the store is put aside, and a command that makes or fetches what it needs then does so
//! anew: the user is told, and gets what they asked for.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use layers::store::{Fate, Store};

use super::error::CommandError;
use super::ui;
use crate::event::{Event, Reporter};

/// A disk that damages more than this while one command runs is not to be healed.
const TRIES: usize = 16;

/// Damage that this process was told of, and that is out of the way.
static PUT_ASIDE: AtomicUsize = AtomicUsize::new(0);

/// The command makes what is nowhere to be had.
static MAKES: AtomicBool = AtomicBool::new(false);

/// It runs once more.
static AGAIN: AtomicBool = AtomicBool::new(false);

/// How much of it no second try follows from.
static SETTLED: AtomicUsize = AtomicUsize::new(0);

/// Something begins that must not be done twice: what was found damaged so far has not failed it.
pub(super) fn begins() {
    SETTLED.fetch_max(PUT_ASIDE.load(Ordering::Relaxed), Ordering::Relaxed);
}

/// Others have seen what this command has made: it must not be made for them again.
pub(super) fn is_seen() {
    SETTLED.store(usize::MAX, Ordering::Relaxed);
}

/// What this command finds lost, it makes.
pub(super) fn makes() {
    MAKES.store(true, Ordering::Relaxed);
}

/// A layer that was known to be in a registry or a cache is not there, or another one: that is forgotten, and a build
/// makes it again, once.
pub(super) fn lost() {
    if MAKES.load(Ordering::Relaxed) && !is_again() {
        PUT_ASIDE.fetch_add(1, Ordering::Relaxed);
    }
}

/// True if the command runs once more: then nothing is believed to be elsewhere.
pub(super) fn is_again() -> bool {
    AGAIN.load(Ordering::Relaxed)
}

/// Has the user told of all damage that is found in `store`.
pub(super) fn listen(store: &Store, reporter: &Reporter) {
    let reporter = reporter.clone();
    store.on_damage(move |damage| {
        if damage.fate == Fate::Aside {
            PUT_ASIDE.fetch_add(1, Ordering::Relaxed);
        }
        reporter.event(Event::Warning(damage.to_string()));
    });
}

/// Runs a command that makes or fetches whatever is missing: once more if it has failed and something damaged was put
/// aside meanwhile.
pub(super) fn healed(run: impl Fn() -> Result<ExitCode, CommandError>) -> Result<ExitCode, CommandError> {
    let mut tries = 1;
    loop {
        let before = PUT_ASIDE.load(Ordering::Relaxed);
        let result = run();
        if result.is_ok()
            || PUT_ASIDE.load(Ordering::Relaxed) <= before.max(SETTLED.load(Ordering::Relaxed))
            || tries == TRIES
        {
            return result;
        }
        tries += 1;
        AGAIN.store(true, Ordering::Relaxed);
        ui::note("what was damaged is fetched or made anew\n");
    }
}
