//! Registries that are asked too often (429), or are in trouble: how long they are waited for, and what is said meanwhile.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::RegistryError;
use super::client::Client;
use super::endpoint::Endpoint;
use super::error::span;
use super::host::Host;
use crate::event::{Event, Reporter};
use crate::fetch::{Patience, Temporary};

/// What one registry may make us wait before anything succeeds.
const BOUND: Duration = Duration::from_secs(4 * 60);
/// A shorter pause is one between attempts like any other, and nothing to tell of.
const SHORT: Duration = Duration::from_secs(5);
/// What a server in trouble may ask us to wait before one more attempt.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The pauses that a registry has asked for, whoever it was that it asked.
#[derive(Debug, Default)]
pub(super) struct Limit(Mutex<Spell>);

#[derive(Debug, Default)]
struct Spell {
    /// The end of the last pause.
    until: Option<Instant>,
    /// What was waited so far, and is to be waited now.
    spent: Duration,
}

/// A pause that is to be made.
#[derive(Debug, PartialEq, Eq)]
struct Pause {
    /// What may have to be waited from now on.
    left: Duration,
    /// Somebody else waits for the same already.
    told: bool,
}

impl Limit {
    /// The registry wants a pause of `asked` at `now`. `None` if that is more than one waits.
    fn pause(&self, asked: Duration, now: Instant) -> Option<Pause> {
        let end = now.checked_add(asked.min(BOUND + SHORT))?;
        let mut spell = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let covered = spell.until.filter(|until| *until > now).unwrap_or(now);
        let more = end.saturating_duration_since(covered);
        let left = BOUND.checked_sub(spell.spent)?;
        spell.spent = (spell.spent + more <= BOUND).then_some(spell.spent + more)?;
        spell.until = Some(end.max(covered));
        Some(Pause { left, told: more < SHORT })
    }

    /// It gives what it is asked for again.
    fn is_over(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Spell::default();
    }
}

/// What is left of the attempts at one thing.
pub(super) struct Waiting<'a> {
    host: &'a Host,
    reporter: &'a Reporter,
    patience: Patience,
    longest: Duration,
    waited: bool,
}

impl<'a> Waiting<'a> {
    /// All attempts. A server in trouble may ask for pauses of up to `longest` between them.
    pub(super) fn new(host: &'a Host, reporter: &'a Reporter, longest: Duration) -> Self {
        Self { host, reporter, patience: Patience::new(longest), longest, waited: false }
    }

    /// Something got on: it does not run out of attempts.
    pub(super) fn renew(&mut self) {
        self.patience = Patience::new(self.longest);
        self.succeeded();
    }

    /// It is done.
    pub(super) fn succeeded(&mut self) {
        if std::mem::take(&mut self.waited) {
            self.host.limit.is_over();
        }
    }

    /// Waits before the next attempt. False if `error` will stay, or if nobody waits any longer. Whoever limits is waited
    /// for as long as it says. A server in trouble knows less of when that ends: it has its attempts, and may ask for
    /// pauses between them.
    pub(super) async fn outlasts(&mut self, error: &RegistryError) -> bool {
        let (at, status, asked) = match error.asks_for_pause() {
            Some(asks) if asks.2 >= SHORT && error.is_temporary() => asks,
            _ => return self.patience.outlasts(error).await,
        };
        let limits = matches!(error, RegistryError::Limited { .. });
        let own = if limits { Some(asked) } else { self.patience.pause(error) };
        let Some(wait) = own else { return false };
        let Some(pause) = self.host.limit.pause(wait, Instant::now()) else { return false };
        self.waited = true;
        if !pause.told {
            let (name, part) =
                (at.unwrap_or(&self.host.name), if wait < asked { format!(" {}", span(wait)) } else { String::new() });
            let note = format!(
                "{name} asks to wait {} ({status}); waiting{part}, at most {} more",
                span(asked),
                span(pause.left)
            );
            self.reporter.event(Event::Note(note));
        }
        tokio::time::sleep(wait).await;
        true
    }
}

impl Client {
    /// Tries again, with growing pauses, as long as the failure may be a temporary one.
    pub(super) async fn retry<T, F>(&self, attempt: impl FnMut() -> F) -> Result<T, RegistryError>
    where
        F: Future<Output = Result<T, RegistryError>>,
    {
        self.retry_at(&self.inner.origin, attempt).await
    }

    /// The same at another server than the repository's own.
    pub(super) async fn retry_at<T, F>(&self, at: &Endpoint, mut attempt: impl FnMut() -> F) -> Result<T, RegistryError>
    where
        F: Future<Output = Result<T, RegistryError>>,
    {
        let mut waiting = Waiting::new(&at.host, &self.inner.reporter, LONGEST_WAIT);
        loop {
            match attempt().await {
                Ok(done) => {
                    waiting.succeeded();
                    return Ok(done);
                }
                Err(error) if waiting.outlasts(&error).await => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Ends when nothing has moved for `patience`, or a little longer.
pub(super) async fn stalled(moved: &AtomicU64, patience: Duration) {
    let mut before = None;
    loop {
        let now = moved.load(Ordering::Relaxed);
        if before.replace(now) == Some(now) {
            return;
        }
        tokio::time::sleep(patience).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn waiting_has_a_bound_until_something_succeeds() {
        let (limit, start) = (Limit::default(), Instant::now());
        let at = |after: u64, asked: u64| limit.pause(seconds(asked), start + seconds(after));
        assert_eq!(at(0, 100), Some(Pause { left: seconds(240), told: false }));
        assert_eq!(at(100, 100), Some(Pause { left: seconds(140), told: false }));
        assert_eq!(at(200, 41), None, "more than four minutes");
        assert_eq!(at(200, 40), Some(Pause { left: seconds(40), told: false }));
        assert_eq!(at(240, 5), None);
        limit.is_over();
        assert_eq!(at(240, 5), Some(Pause { left: seconds(240), told: false }));
        assert_eq!(at(300, u64::MAX), None);
    }

    #[test]
    fn those_who_wait_side_by_side_wait_once() {
        let (limit, start) = (Limit::default(), Instant::now());
        for told in [false, true, true, true, true, true] {
            let pause = limit.pause(seconds(60), start).unwrap();
            assert_eq!(pause.told, told);
        }
        assert_eq!(limit.0.lock().unwrap().spent, seconds(60));
        assert!(limit.pause(seconds(62), start + seconds(1)).unwrap().told, "three seconds more are not told");
    }
}
