//! What a task makes for tasks after it, and one of these removes: a download that was unpacked, a directory that something
//! was built in. That it is gone when the installation has ended is how the blueprint wants it.

use std::path::Path;

use layers::root::{Root, RootError};

use super::decide::{Decision, Skipped, decide};
use super::prepared::Prepared;
use super::state::{Ending, REMOVED, Record};
use crate::op::Step;

/// Directories whose content does not last.
pub(super) const PASSING: [&str; 6] = ["dev", "proc", "run", "sys", "tmp", "var/tmp"];

impl Prepared<'_> {
    /// Tasks before the one at `at` whose `creates` is there now.
    pub fn standing(&self, root: &Root, at: usize) -> Result<Vec<usize>, RootError> {
        let mut found = Vec::new();
        for (earlier, step) in self.steps[..at].iter().enumerate() {
            let settled = |record: &Record| matches!(record.outcome, Ending::Done | Ending::Skipped);
            if self.records[earlier].as_ref().is_some_and(settled)
                && let Some(path) = &step.guards.creates
                && root.exists(Path::new(path))?
            {
                found.push(earlier);
            }
        }
        Ok(found)
    }

    /// Notes of those tasks whose `creates` was `standing` until the one at `at` was performed that it has removed it.
    pub fn note_removed(&mut self, root: &Root, at: usize, standing: &[usize]) -> Result<(), RootError> {
        let by = self.name(at);
        for earlier in standing {
            let Some(path) = &self.steps[*earlier].guards.creates else { continue };
            if let Some(record) = &mut self.records[*earlier]
                && !root.exists(Path::new(path))?
            {
                record.why = format!("{REMOVED}{by}");
            }
        }
        Ok(())
    }

    /// What is to be done with the task at `at` by its guards and `record`; one whose `creates` a later task removes is
    /// done, unless a task that is still to be done needs it. `reason` says what changed since.
    pub(super) fn by_guards(
        &self,
        at: usize,
        record: Option<&Record>,
        root: &Root,
        reason: Option<&String>,
    ) -> Result<Decision, RootError> {
        let decision = self.settled(at, record, root, reason)?;
        match (&decision, self.gone(at, record, root)?) {
            (Decision::Skip(_), Some(path)) => Ok(match self.needed(at, root)? {
                Some(by) => Decision::Run(Some(format!("{path} is gone, and {by} needs it"))),
                None => decision,
            }),
            _ => Ok(decision),
        }
    }

    fn settled(
        &self,
        at: usize,
        record: Option<&Record>,
        root: &Root,
        reason: Option<&String>,
    ) -> Result<Decision, RootError> {
        let step = self.steps[at];
        let decision = decide(step, record, root, reason)?;
        let (Decision::Run(_), Some(record)) = (&decision, record) else { return Ok(decision) };
        if step.guards.always_run || record.failed().is_some() || step.guards.creates.is_none() {
            return Ok(decision);
        }
        let removed = self.remover(at, record).is_some();
        Ok(match record.outcome {
            Ending::Done if removed || passes(step) => Decision::Skip(Skipped::Done(record.at.clone())),
            Ending::Skipped if removed => Decision::Skip(Skipped::Removed(record.why.clone())),
            _ => decision,
        })
    }

    /// The later task that has removed what the one at `at`, of this `record`, had made. One that the blueprint no longer
    /// has will not do so again.
    fn remover<'r>(&self, at: usize, record: &'r Record) -> Option<&'r str> {
        let later = |by: &&str| self.traces[at + 1..].iter().flatten().any(|trace| trace.name == *by);
        record.remover().filter(later)
    }

    /// The `creates` of a task that has made it, and that is not there.
    fn gone(&self, at: usize, record: Option<&Record>, root: &Root) -> Result<Option<&String>, RootError> {
        let step = self.steps[at];
        let Some(path) = &step.guards.creates else { return Ok(None) };
        let made = record.is_some_and(|record| {
            self.remover(at, record).is_some() || record.outcome == Ending::Done && record.why.is_empty()
        });
        Ok(Some(path).filter(|_| made).filter(|_| !root.exists(Path::new(path)).unwrap_or(true)))
    }

    /// The first of the tasks after the one at `at` that may use its `creates` and is still to be done, be it because another
    /// one needs what it makes in its turn.
    fn needed(&self, at: usize, root: &Root) -> Result<Option<String>, RootError> {
        let users: Vec<usize> = (at + 1..self.steps.len()).filter(|later| self.may_use(*later, at)).collect();
        if users.is_empty() {
            return Ok(None);
        }
        let mut runs = vec![false; self.steps.len()];
        for later in (at + 1..self.steps.len()).rev() {
            // Of what always runs, it is not to be made each time but for who names it.
            if self.steps[later].guards.always_run {
                let path = self.steps[at].guards.creates.as_deref().unwrap_or_default();
                runs[later] = names_path(&self.steps[later].fields, path);
                continue;
            }
            let record = self.records[later].as_ref();
            runs[later] = match self.settled(later, record, root, None)? {
                Decision::Run(_) => true,
                Decision::Skip(_) if self.gone(later, record, root)?.is_some() => {
                    (later + 1..self.steps.len()).any(|next| runs[next] && self.may_use(next, later))
                }
                Decision::Skip(_) => false,
            };
        }
        let by = users.into_iter().find(|later| runs[*later]);
        Ok(by.map(|by| self.name(by)))
    }

    /// True if the task at `later` may want the `creates` of the one at `at`: all do up to the one that removes it, that one
    /// included, whatever they call it; after that, those whose text names it.
    fn may_use(&self, later: usize, at: usize) -> bool {
        let Some(path) = &self.steps[at].guards.creates else { return false };
        let remover = self.records[at].as_ref().and_then(|record| self.remover(at, record));
        let last = (at + 1..self.steps.len()).find(|other| remover == Some(self.name(*other).as_str()));
        // What lies where nothing lasts may be gone whoever uses it.
        last.map_or(passes(self.steps[at]), |last| later <= last) || names_path(&self.steps[later].fields, path)
    }
}

fn passes(step: &Step) -> bool {
    let relative = step.guards.creates.as_deref().map(|path| path.trim_start_matches('/'));
    relative.is_some_and(|path| PASSING.iter().any(|place| Path::new(path).starts_with(place)))
}

/// True if `path` stands in a text of these fields, not as the beginning of a longer name.
pub(super) fn names_path(fields: &serde_json::Value, path: &str) -> bool {
    match fields {
        serde_json::Value::String(text) => text.match_indices(path).any(|(start, _)| {
            let next = text[start + path.len()..].chars().next();
            !next.is_some_and(|c| c.is_alphanumeric() || "-_.".contains(c))
        }),
        serde_json::Value::Array(items) => items.iter().any(|item| names_path(item, path)),
        serde_json::Value::Object(fields) => fields.values().any(|value| names_path(value, path)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_named_as_a_whole() {
        let named = |text: &str| names_path(&serde_json::json!({"a": [{"b": text}]}), "/srv/t");
        assert!(named("tar xf /srv/t -C /opt") && named("/srv/t") && named("ls /srv/t/x") && named("'/srv/t'"));
        assert!(!named("/srv/t.sig") && !named("/srv/two") && !named("t"));
    }
}
