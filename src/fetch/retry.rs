//! Trying again: how often, after which pause, and how long a server may make us wait.

use std::future::Future;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use jiff::Timestamp;
use jiff::fmt::rfc2822;

const ATTEMPTS: usize = 5;
/// What a server may ask us to wait.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// A failure that may be over when one asks again.
pub trait Temporary {
    /// True if it may be.
    fn is_temporary(&self) -> bool;

    /// How long the server asks to wait.
    fn retry_after(&self) -> Option<Duration>;
}

/// What is left of the attempts.
pub struct Patience {
    pauses: ExponentialBackoff,
    longest: Duration,
}

impl Patience {
    /// All attempts; a server may ask for pauses of up to `longest`.
    pub fn new(longest: Duration) -> Self {
        let pauses = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(300))
            .with_max_delay(Duration::from_secs(8))
            .with_max_times(ATTEMPTS - 1)
            .with_jitter();
        Self { pauses: pauses.build(), longest }
    }

    /// Waits before the next attempt. False if `error` will stay, or if there was no attempt left.
    pub async fn outlasts(&mut self, error: &impl Temporary) -> bool {
        match self.pauses.next().filter(|_| error.is_temporary()) {
            Some(own) => {
                tokio::time::sleep(pause(own, error.retry_after(), self.longest)).await;
                true
            }
            None => false,
        }
    }
}

fn pause(own: Duration, asked: Option<Duration>, longest: Duration) -> Duration {
    own.max(asked.unwrap_or_default().min(longest))
}

/// Tries again, with growing pauses, as long as the failure may be a temporary one.
pub async fn retry<T, E: Temporary, F>(mut attempt: impl FnMut() -> F) -> Result<T, E>
where
    F: Future<Output = Result<T, E>>,
{
    let mut patience = Patience::new(LONGEST_WAIT);
    loop {
        match attempt().await {
            Err(error) if patience.outlasts(&error).await => {}
            done => return done,
        }
    }
}

/// Nobody asks to wait for thirty years: it is a moment, in seconds since 1970.
const MOMENT: u64 = 1_000_000_000;

/// `Retry-After` (RFC 9110, 10.2.3): seconds, or a date; of Docker Hub, the moment in seconds since 1970.
pub fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse::<u64>() {
        let passed = if seconds < MOMENT { 0 } else { u64::try_from(now.as_second()).unwrap_or_default() };
        return Some(Duration::from_secs(seconds.saturating_sub(passed)));
    }
    let then = rfc2822::DateTimeParser::new().parse_timestamp(text.trim()).ok()?;
    // A date that has passed asks for no pause.
    Some(Duration::try_from(then.duration_since(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates() {
        let now: Timestamp = "1994-11-06T08:49:37Z".parse().unwrap();
        let seconds = |text| retry_after(text, now).map(|duration| duration.as_secs());
        assert_eq!(seconds("120"), Some(120));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:50:07 GMT"), Some(30));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:00:00 GMT"), Some(0));
        assert_eq!(seconds("soon"), None);
        let now: Timestamp = "2026-11-06T08:49:37Z".parse().unwrap();
        let moment = |from_now: i64| retry_after(&(now.as_second() + from_now).to_string(), now);
        assert_eq!(moment(30), Some(Duration::from_secs(30)));
        assert_eq!(moment(-30), Some(Duration::ZERO));
    }

    #[test]
    fn the_longer_pause_counts_within_bounds() {
        let seconds = Duration::from_secs;
        assert_eq!(pause(seconds(2), None, seconds(60)), seconds(2));
        assert_eq!(pause(seconds(2), Some(seconds(30)), seconds(60)), seconds(30));
        assert_eq!(pause(seconds(2), Some(seconds(1)), seconds(60)), seconds(2));
        assert_eq!(pause(seconds(2), Some(seconds(86_400)), seconds(60)), seconds(60));
    }
}
