//! Trying again: how often, after which pause, and how long a server may make us wait.

use std::future::Future;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use jiff::fmt::rfc2822;
use jiff::tz::TimeZone;
use jiff::{Timestamp, civil};

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
        match self.pause(error) {
            Some(pause) => {
                tokio::time::sleep(pause).await;
                true
            }
            None => false,
        }
    }

    /// How long to wait before the next attempt. `None` if `error` will stay, or if there was no attempt left.
    pub fn pause(&mut self, error: &impl Temporary) -> Option<Duration> {
        let own = self.pauses.next().filter(|_| error.is_temporary())?;
        Some(pause(own, error.retry_after(), self.longest))
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

/// Nobody asks to wait for thirty years: it is a moment, in seconds since 1970, or in thousandths of them.
const MOMENT: f64 = 1e9;
const FINE_MOMENT: f64 = 1e12;
/// Who asks for more than a day asks for a day at least: that is all that anybody wants to know.
pub const LONGEST_SAID: Duration = Duration::from_secs(24 * 60 * 60);
/// The forms of dates that are obsolete, and still to be read (RFC 9110, 5.6.7): RFC 850's, and C's `asctime`.
const OBSOLETE: [&str; 2] = ["%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];

/// `Retry-After` (RFC 9110, 10.2.3): seconds, or a date; of Docker Hub, the moment in seconds since 1970. At most
/// [`LONGEST_SAID`].
pub fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    if text.starts_with(|c: char| c.is_ascii_digit()) && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
    {
        let said = text.parse::<f64>().ok()?;
        let seconds = match said {
            _ if said >= FINE_MOMENT => said / 1000.0 - now.as_duration().as_secs_f64(),
            _ if said >= MOMENT => said - now.as_duration().as_secs_f64(),
            _ => said,
        };
        return Some(Duration::from_secs_f64(seconds.clamp(0.0, LONGEST_SAID.as_secs_f64())));
    }
    let then = rfc2822::DateTimeParser::new().parse_timestamp(text).ok().or_else(|| {
        let read = |form| civil::DateTime::strptime(form, text).ok()?.to_zoned(TimeZone::UTC).ok();
        OBSOLETE.into_iter().find_map(read).map(|zoned| zoned.timestamp())
    })?;
    // A date that has passed asks for no pause.
    Some(Duration::try_from(then.duration_since(now)).unwrap_or_default().min(LONGEST_SAID))
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
        for date in ["Sunday, 06-Nov-94 08:50:07 GMT", "Sun Nov  6 08:50:07 1994"] {
            assert_eq!(seconds(date), Some(30), "{date}");
        }
        assert_eq!(retry_after("3.5", now), Some(Duration::from_millis(3500)));
        for absurd in ["999999999", "99999999999999999999", "Sun, 07 Jun 9998 23:59:59 GMT"] {
            assert_eq!(retry_after(absurd, now), Some(LONGEST_SAID), "{absurd}");
        }
        for nonsense in ["soon", "", "-1", "inf", "NaN", "1e3", "1.2.3", "."] {
            assert_eq!(seconds(nonsense), None, "{nonsense}");
        }
        let now: Timestamp = "2026-11-06T08:49:37Z".parse().unwrap();
        let moment = |from_now: i64| retry_after(&(now.as_second() + from_now).to_string(), now);
        assert_eq!(moment(30), Some(Duration::from_secs(30)));
        assert_eq!(moment(-30), Some(Duration::ZERO));
        let fine = retry_after(&(now.as_millisecond() + 30_500).to_string(), now).unwrap();
        assert_eq!(fine.as_secs_f64().round(), 31.0);
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
