//! One transfer as it is shown: of a single file, or of many together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::event::{Event, Id, Reporter};

/// A shown transfer; it ends when it is dropped.
pub struct Transfer {
    id: Id,
    done: AtomicU64,
    reporter: Reporter,
}

impl Transfer {
    /// Shows a transfer of `total` bytes.
    pub fn start(reporter: &Reporter, name: String, total: Option<u64>) -> Arc<Self> {
        let id = Id::next();
        reporter.event(Event::TransferStarted { id, name, total });
        Arc::new(Self { id, done: AtomicU64::new(0), reporter: Arc::clone(reporter) })
    }

    /// More bytes have moved.
    pub fn add(&self, bytes: u64) {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.reporter.event(Event::TransferProgress { id: self.id, done });
    }

    /// Bytes that moved have to move again.
    pub fn take_back(&self, bytes: u64) {
        let done = self.done.fetch_sub(bytes, Ordering::Relaxed).saturating_sub(bytes);
        self.reporter.event(Event::TransferProgress { id: self.id, done });
    }
}

impl std::fmt::Debug for Transfer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transfer").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.reporter.event(Event::TransferEnded { id: self.id });
    }
}
