//! What is to be done with a task, and why: guards and records, in the order of the blueprint format.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use layers::root::{Root, RootError};

use super::state::{Ending, NOT_CREATED, NOT_REACHED, Record};
use crate::op::Step;
use crate::plan::{StepTrace, changes};
use crate::target::dangling;

/// Whether a task runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It does not.
    Skip(Skipped),
    /// It does; its `skip_if` may still hold it back. Why, as far as there is more to say than that it never ran.
    Run(Option<String>),
}

/// Why a task does not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Skipped {
    /// Its `creates` is there.
    Exists(String),
    /// The state file has it, done at this time.
    Done(String),
    /// A later task removes its `creates`: who.
    Removed(String),
    /// What a guard said when it was asked.
    Guard(String),
    /// Only what differs is to be done, and this was never done on this host.
    NeverDone,
    /// Only what differs is to be done, and nothing does of what it is known to have written.
    Untouched {
        /// Something is known of that.
        known: bool,
    },
}

impl Skipped {
    /// In a few words.
    pub fn reason(&self) -> String {
        match self {
            Self::Exists(path) => format!("{path} exists"),
            Self::Done(at) => format!("done {at}"),
            Self::Removed(reason) | Self::Guard(reason) => reason.clone(),
            Self::NeverDone => "it was never done here; `alloy install` does it".to_owned(),
            Self::Untouched { known: true } => "nothing of it differs".to_owned(),
            Self::Untouched { known: false } => "what it wrote is not known".to_owned(),
        }
    }
}

/// Decides on `step`: `always_run`, then `creates`, then what was recorded. `skip_if`, which comes before all of them, is
/// a command: it is asked when the step is performed, and only if anything else would let it run. `reason` says what
/// changed since.
pub fn decide(
    step: &Step,
    record: Option<&Record>,
    root: &Root,
    reason: Option<&String>,
) -> Result<Decision, RootError> {
    if step.guards.always_run {
        return Ok(Decision::Run(Some("`always_run`".into())));
    }
    // What a task that failed has left says nothing of the rest of its work.
    if let Some(why) = record.and_then(Record::failed) {
        return Ok(Decision::Run(Some(why.to_owned())));
    }
    if let Some(path) = &step.guards.creates
        && root.exists(Path::new(path))?
    {
        return Ok(Decision::Skip(Skipped::Exists(path.clone())));
    }
    Ok(match (record.filter(|record| !record.is_unreached()), &step.guards.creates) {
        (Some(Record { outcome: Ending::Done, why, .. }), Some(path)) if why != NOT_CREATED => {
            Decision::Run(Some(dangling(root, path).unwrap_or_else(|| format!("{path} is gone"))))
        }
        (Some(Record { outcome: Ending::Done, at, .. }), _) => Decision::Skip(Skipped::Done(at.clone())),
        (Some(Record { outcome: Ending::Failed | Ending::Skipped, .. }), _) => Decision::Run(None),
        (None, _) => Decision::Run(reason.cloned()),
    })
}

/// What changed about each task since `records`, in terms of the blueprint's text, by the task's name and place. One that
/// an installation has not come to is no new one.
pub fn reasons(records: &[Record], traces: &[StepTrace]) -> BTreeMap<(String, String), String> {
    let (unreached, reached): (Vec<&Record>, Vec<&Record>) = records.iter().partition(|record| record.is_unreached());
    let old: Vec<StepTrace> = reached.iter().map(|record| record.trace()).collect();
    let not_reached = |trace: &&StepTrace| {
        unreached.iter().any(|record| record.fingerprint == trace.fingerprint)
            && !old.iter().any(|old| old.name == trace.name)
    };
    let task = |trace: &StepTrace| (trace.name.clone(), trace.place.clone());
    let mut found: BTreeMap<(String, String), String> =
        traces.iter().filter(not_reached).map(|trace| (task(trace), NOT_REACHED.to_owned())).collect();
    if old.is_empty() {
        return found;
    }
    let known: BTreeSet<(String, String)> = found.keys().cloned().collect();
    for reason in changes(&old, traces) {
        let Some(task) = reason.task.filter(|task| reason.code != "task-gone" && !known.contains(task)) else {
            continue;
        };
        found.entry(task).and_modify(|text| *text += &format!(", {}", reason.what)).or_insert(reason.what);
    }
    found
}

#[cfg(test)]
mod tests {
    use layers::digest::Digest;

    use super::super::state::Wrote;
    use super::*;
    use crate::op::{Fingerprint, Guards};

    fn trace(name: &str, what: &str) -> StepTrace {
        StepTrace {
            name: name.into(),
            action: "a".into(),
            place: format!("f.yml:{}", name.len()),
            fields: serde_json::json!({ "command": what }),
            fingerprint: Fingerprint(Digest::of(what)),
            sources: BTreeMap::new(),
            variables: BTreeMap::new(),
        }
    }

    fn record(trace: &StepTrace, outcome: Ending) -> Record {
        Record::new(trace, outcome, "why".into(), Wrote::default())
    }

    #[test]
    fn guards_come_in_their_order() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("there"), "").unwrap();
        let root = Root::open(directory.path()).unwrap();
        let step = |always_run, creates: Option<&str>| Step {
            guards: Guards { always_run, creates: creates.map(str::to_owned), ..Guards::default() },
            ..Step::default()
        };
        let done = Record { why: String::new(), ..record(&trace("n", "x"), Ending::Done) };
        let failed = record(&trace("n", "x"), Ending::Failed);
        let decision = |always, creates, record| decide(&step(always, creates), record, &root, None).unwrap();
        let run = |why: &str| Decision::Run(Some(why.to_owned()));
        assert_eq!(decision(true, Some("/there"), Some(&done)), run("`always_run`"));
        assert_eq!(decision(false, Some("/there"), None), Decision::Skip(Skipped::Exists("/there".into())));
        assert_eq!(decision(false, None, Some(&done)), Decision::Skip(Skipped::Done(done.at.clone())));
        assert_eq!(decision(false, Some("/gone"), Some(&done)), run("/gone is gone"));
        std::os::unix::fs::symlink("/opt/gone", directory.path().join("link")).unwrap();
        let dangles = run("/link is a link to /opt/gone, which does not exist");
        assert_eq!(decision(false, Some("/link"), Some(&done)), dangles);
        let without = Record { why: NOT_CREATED.into(), ..done.clone() };
        assert_eq!(decision(false, Some("/gone"), Some(&without)), Decision::Skip(Skipped::Done(done.at.clone())));
        assert_eq!(decision(true, Some("/gone"), Some(&without)), run("`always_run`"));
        assert_eq!(decision(false, None, Some(&failed)), run("it failed"));
        assert_eq!(decision(false, Some("/there"), Some(&failed)), run("it failed"));
        let unreached = Record { why: NOT_REACHED.into(), ..failed.clone() };
        assert_eq!(decision(false, Some("/there"), Some(&unreached)), Decision::Skip(Skipped::Exists("/there".into())));
        assert_eq!(decision(false, None, None), Decision::Run(None));
    }

    #[test]
    fn reasons_are_told_of_the_task_that_changed() {
        let records = [record(&trace("one", "x"), Ending::Done), record(&trace("two", "y"), Ending::Done)];
        let now = [trace("one", "x"), trace("two", "z")];
        let found = reasons(&records, &now);
        let task = ("two".to_owned(), "f.yml:3".to_owned());
        assert_eq!(found, BTreeMap::from([(task.clone(), "`command` changed from y to z".to_owned())]));
        // What was not come to is not new, whether anything else is known or not.
        let unreached = Record { why: NOT_REACHED.into(), ..record(&now[1], Ending::Failed) };
        for before in [vec![unreached.clone()], vec![records[0].clone(), unreached]] {
            assert_eq!(reasons(&before, &now).get(&task).map(String::as_str), Some(NOT_REACHED));
        }
    }
}
