//! What happens during a build, as values: everything that works reports here, only `cli::ui` prints.

mod text;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use text::{age, bytes, count, duration};

/// Ties the events of one transfer or one layer together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Id(pub u64);

impl Id {
    /// An id no other event of this process carries.
    pub fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// The first `most` of `names`, and how many more there are: for a sentence.
pub fn listed<S: AsRef<str>>(names: &[S], most: usize) -> String {
    let shown: Vec<&str> = names.iter().take(most).map(AsRef::as_ref).collect();
    match names.len().saturating_sub(most) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// The same of paths.
pub fn listed_paths(paths: &[PathBuf], most: usize) -> String {
    listed(&paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>(), most)
}

/// One thing that happened. Texts are sentences or noun phrases without a trailing newline; sizes are in bytes.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields say what they are")]
pub enum Event {
    /// Something worth one line.
    Note(String),
    /// Something the user should look at; the build goes on.
    Warning(String),
    /// What follows is for this platform. Only said where there are several.
    Platform(String),
    /// Bytes begin to move; `total` where it is known.
    TransferStarted { id: Id, name: String, total: Option<u64> },
    /// `done` bytes have moved so far.
    TransferProgress { id: Id, done: u64 },
    /// The transfer ended, well or not.
    TransferEnded { id: Id },
    /// Something is waited for, a noun phrase, that others are at work on.
    WaitStarted { id: Id, what: String },
    /// It is no longer waited for, whether it came or not.
    WaitEnded { id: Id },
    /// A layer (or the base) is begun; `index` counts from 1 to `count`, the base is 0.
    LayerStarted { id: Id, name: String, index: usize, count: usize },
    /// What is done for the layer where no task runs: a noun phrase or a gerund (`writing the layer`).
    LayerPhase { layer: Id, doing: &'static str },
    /// A task of a layer is begun.
    TaskStarted { layer: Id, name: String },
    /// A task did not run, and why.
    TaskSkipped { layer: Id, name: String, reason: String },
    /// Whole lines of what the running task prints.
    TaskOutput { layer: Id, text: String },
    /// The running task is done.
    TaskEnded { layer: Id },
    /// A layer is done; `outcome` says how (`cached`, `built`, `no change`), `size` its compressed length.
    LayerEnded { id: Id, outcome: &'static str, size: Option<u64> },
}

/// Where events go. Called from any thread; must not block for long.
pub trait Report: Send + Sync {
    /// Takes note of `event`.
    fn event(&self, event: Event);
}

/// A shared reporter.
pub type Reporter = Arc<dyn Report>;

/// Something that is waited for, as long as there is this value.
pub struct Wait {
    id: Id,
    reporter: Reporter,
}

impl Wait {
    /// From now on, `what` is waited for.
    pub fn start(reporter: &Reporter, what: String) -> Self {
        let id = Id::next();
        reporter.event(Event::WaitStarted { id, what });
        Self { id, reporter: Arc::clone(reporter) }
    }

    /// The same of another build, which is at work on `layer`.
    pub fn for_build(reporter: &Reporter, layer: &str) -> Self {
        Self::start(reporter, format!("another build, which makes {layer}"))
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.reporter.event(Event::WaitEnded { id: self.id });
    }
}

/// Drops every event.
pub struct Silent;

impl Report for Silent {
    fn event(&self, _: Event) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_few_and_how_many_more() {
        assert_eq!(listed(&["a", "b"], 2), "a, b");
        assert_eq!(listed(&["a", "b", "c"], 1), "a and 2 more");
        assert_eq!(listed_paths(&["/a".into(), "/b".into()], 1), "/a and 1 more");
    }
}
