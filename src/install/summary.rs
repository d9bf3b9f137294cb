//! How an installation ended.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{InstallError, Skipped};

/// Tasks by what became of them.
#[derive(Debug, Default)]
pub struct Summary {
    /// How many ran.
    pub done: usize,
    /// How many did not, by why.
    pub skipped: BTreeMap<&'static str, usize>,
    /// How many did not get through.
    pub failed: usize,
    /// What kept the rest from running.
    pub failure: Option<InstallError>,
    /// How many were not come to.
    pub left: usize,
    /// How long it took.
    pub took: Duration,
}

impl Summary {
    /// Counts a task that did not run.
    pub(super) fn skip(&mut self, skipped: &Skipped) {
        let why = match skipped {
            Skipped::Exists(_) => "there already",
            Skipped::Removed(_) | Skipped::Done(_) => "done before",
            Skipped::Guard(_) => "held back by a guard",
            Skipped::NeverDone => "never done here",
            Skipped::Untouched { .. } => "not touched",
        };
        *self.skipped.entry(why).or_default() += 1;
    }

    /// In one line, without the time: `2 done, 3 skipped (2 done before, 1 there already), 1 failed, 4 not reached`.
    pub fn counts(&self) -> String {
        let mut parts = vec![format!("{} done", self.done)];
        let skipped: usize = self.skipped.values().sum();
        let why: Vec<String> = self.skipped.iter().map(|(why, count)| format!("{count} {why}")).collect();
        parts.extend((skipped > 0).then(|| format!("{skipped} skipped ({})", why.join(", "))));
        parts.extend((self.failed > 0).then(|| format!("{} failed", self.failed)));
        parts.extend((self.left > 0).then(|| format!("{} not reached", self.left)));
        parts.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_told_with_their_reasons() {
        let mut summary = Summary { done: 2, ..Summary::default() };
        assert_eq!(summary.counts(), "2 done");
        summary.skip(&Skipped::Done("then".into()));
        summary.skip(&Skipped::Exists("/x".into()));
        summary.skip(&Skipped::Done("then".into()));
        summary.failure = Some(InstallError::Interrupted { task: None });
        summary.left = 5;
        assert!(summary.counts().ends_with("there already), 5 not reached"), "{}", summary.counts());
        (summary.failed, summary.left) = (1, 4);
        let text = "2 done, 3 skipped (2 done before, 1 there already), 1 failed, 4 not reached";
        assert_eq!(summary.counts(), text);
    }
}
