//! Threads for what waits for files or names, or takes long: the one that drives the runtime has to go on meanwhile.
//!
//! Of such a thread only the first has to be had. Where the machine refuses more, work waits for those that are there;
//! and those that have nothing to do end soon, since the machine may refuse them to others.

use std::collections::VecDeque;
use std::io;
use std::num::NonZero;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, available_parallelism};
use std::time::Duration;

/// How long a thread waits for work.
const IDLE: Duration = Duration::from_secs(1);

type Work = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct State {
    waiting: VecDeque<Work>,
    threads: usize,
    idle: usize,
    /// Pieces of work that have begun, or will.
    unfinished: usize,
}

/// Threads, and what they are to do.
pub(super) struct Pool {
    /// Of threads.
    most: fn() -> usize,
    state: Mutex<State>,
    work: Condvar,
    done: Condvar,
}

/// For work on files. More at once only wait for the same disk.
pub(super) static FILES: Pool = Pool::new(|| available_parallelism().map_or(4, NonZero::get).clamp(4, 8));
/// For names of servers: a name server that is silent holds up no file.
pub(super) static NAMES: Pool = Pool::new(|| 4);

impl Pool {
    const fn new(most: fn() -> usize) -> Self {
        let state = State { waiting: VecDeque::new(), threads: 0, idle: 0, unfinished: 0 };
        Self { most, state: Mutex::new(state), work: Condvar::new(), done: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sees to it that there is a thread.
    pub(super) fn ready(&'static self) -> io::Result<()> {
        self.more(&mut self.state())
    }

    /// Sees to it that a thread takes what waits, now or later.
    fn more(&'static self, state: &mut State) -> io::Result<()> {
        let enough = state.threads > 0 && state.idle >= state.waiting.len();
        if enough || state.threads == (self.most)() {
            return Ok(());
        }
        match Builder::new().name("aside".into()).spawn(|| self.serve()) {
            Ok(_) => {
                state.threads += 1;
                Ok(())
            }
            // It has to wait for one that is at work.
            Err(_) if state.threads > 0 => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Does `work` as soon as a thread is free.
    pub(super) fn start(&'static self, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let mut state = self.state();
        state.waiting.push_back(Box::new(work));
        if let Err(error) = self.more(&mut state) {
            state.waiting.pop_back();
            return Err(error);
        }
        state.unfinished += 1;
        self.work.notify_one();
        Ok(())
    }

    fn serve(&self) {
        let mut state = self.state();
        loop {
            if let Some(work) = state.waiting.pop_front() {
                drop(state);
                work();
                state = self.state();
                state.unfinished -= 1;
                if state.unfinished == 0 {
                    self.done.notify_all();
                }
            } else {
                state.idle += 1;
                let waited = self.work.wait_timeout(state, IDLE).unwrap_or_else(PoisonError::into_inner);
                state = waited.0;
                state.idle -= 1;
                // One stays: another might not be had.
                if waited.1.timed_out() && state.waiting.is_empty() && state.threads > 1 {
                    state.threads -= 1;
                    return;
                }
            }
        }
    }

    /// Waits until nothing is at work.
    pub(super) fn finish(&self) {
        let state = self.state();
        drop(self.done.wait_while(state, |state| state.unfinished > 0).unwrap_or_else(PoisonError::into_inner));
    }
}
