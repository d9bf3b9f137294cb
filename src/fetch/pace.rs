//! How slow a server may be, and how much it may send where little was asked for.

use std::time::Duration;

use reqwest::Response;
use tokio::time::{Instant, timeout_at};

/// What has to come in a second, in bytes, while anything comes: the slowest line that anybody has brings more.
const FLOOR: u64 = 64;
/// How many times as long as a silence is borne a small answer may take.
const SMALL: u32 = 10;

/// How fast a body comes.
pub struct Pace {
    window: Duration,
    since: Instant,
    moved: u64,
}

impl Pace {
    /// A body begins. It is looked at whenever `window` has passed.
    pub fn new(window: Duration) -> Self {
        Self { window, since: Instant::now(), moved: 0 }
    }

    /// More has come. False if it is so little, since one looked last, that it may go on for ever.
    pub fn keeps(&mut self, bytes: usize) -> bool {
        self.moved = self.moved.saturating_add(bytes as u64);
        let passed = self.since.elapsed();
        if passed < self.window {
            return true;
        }
        let enough = self.moved >= FLOOR.saturating_mul(passed.as_secs());
        (self.since, self.moved) = (Instant::now(), 0);
        enough
    }
}

/// Why a small answer is not read to its end.
#[derive(Debug)]
pub enum Unread {
    /// It is larger than it may be.
    Larger,
    /// It does not come to its end.
    Slow,
    /// The connection failed.
    Failed(reqwest::Error),
}

/// The body of a small answer: of no more than `limit` bytes, from a server that is borne for as long as `stall` when
/// it sends nothing. All that servers say, but for blobs and downloads, is read by this.
pub async fn small(mut response: Response, limit: u64, stall: Duration) -> Result<Vec<u8>, Unread> {
    if response.content_length().is_some_and(|length| length > limit) {
        return Err(Unread::Larger);
    }
    let (mut bytes, mut pace) = (Vec::new(), Pace::new(stall));
    // A time that no clock knows is no limit.
    let end = Instant::now().checked_add(stall.saturating_mul(SMALL));
    loop {
        let piece = match end {
            Some(end) => timeout_at(end, response.chunk()).await.map_err(|_| Unread::Slow)?,
            None => response.chunk().await,
        };
        let Some(piece) = piece.map_err(Unread::Failed)? else { return Ok(bytes) };
        if (bytes.len() + piece.len()) as u64 > limit {
            return Err(Unread::Larger);
        }
        bytes.extend_from_slice(&piece);
        if !pace.keeps(piece.len()) {
            return Err(Unread::Slow);
        }
    }
}

/// The beginning of an answer, of no more than `limit` bytes: what has come when the server ends it, or is silent for
/// `stall`, or takes too long.
pub async fn beginning(mut response: Response, limit: u64, stall: Duration) -> Vec<u8> {
    let (mut bytes, limit) = (Vec::new(), usize::try_from(limit).unwrap_or(usize::MAX));
    let end = Instant::now().checked_add(stall.saturating_mul(SMALL));
    while bytes.len() < limit {
        let silence = Instant::now().checked_add(stall);
        let piece = match silence.into_iter().chain(end).min() {
            Some(end) => timeout_at(end, response.chunk()).await,
            None => Ok(response.chunk().await),
        };
        let Ok(Ok(Some(piece))) = piece else { break };
        bytes.extend_from_slice(&piece[..piece.len().min(limit - bytes.len())]);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_drip_is_no_pace() {
        let mut pace = Pace::new(Duration::from_millis(1100));
        assert!(pace.keeps(1));
        tokio::time::sleep(Duration::from_millis(1200)).await;
        assert!(!pace.keeps(1));
        tokio::time::sleep(Duration::from_millis(1200)).await;
        assert!(pace.keeps(100));
    }
}
