//! `alloy.state.yml`: what was done on a host, task by task. Written after each one, so that whatever happens next, what
//! was done is known.

use std::collections::BTreeMap;
use std::path::Path;

use layers::digest::Digest;
use serde::Deserialize;
use serde_json::Value;

use super::seen::Seen;
use crate::op::{Fingerprint, Secrets};
use crate::plan::StepTrace;

mod file;
mod read;
mod write;

pub use file::{StateError, StateFile};

/// The name of the file beside a blueprint.
pub const STATE_FILE: &str = "alloy.state.yml";

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// The name of the blueprint.
    pub blueprint: String,
    /// The platform that it was installed for.
    pub platform: String,
    /// The host that it was installed on, by the name that the host has in its own `/var/lib/alloy`.
    pub host: String,
    /// The tasks in the order in which they have run. Those that the blueprint no longer has stay where they were.
    pub tasks: Vec<Record>,
}

impl State {
    /// When a task was last recorded (RFC 3339).
    pub fn last(&self) -> &str {
        self.tasks.iter().map(|record| record.at.as_str()).max().unwrap_or("at an unknown time")
    }

    /// The error that this state, of the file at `path`, is not that of the blueprint `wanted`.
    pub fn of_another(&self, path: &Path, wanted: &str) -> StateError {
        let (path, found, at) = (path.to_owned(), self.blueprint.clone(), self.last().to_owned());
        StateError::Blueprint { path, found, at, wanted: wanted.to_owned() }
    }
}

/// Why a task that is at work counts as failed: if nothing else is recorded, alloy did not live to see its end.
pub const CUT_OFF: &str = "it was cut off";

/// Why a task counts as failed that an installation has not come to.
pub const NOT_REACHED: &str = "it was not reached";

/// Begins why a task counts as one that was not reached whose earlier clone stays in its place.
pub const NOT_RENEWED: &str = "what it is to clone now is not installed: ";

/// What is said of a task that succeeded, and whose `creates` was not there afterwards: its absence tells nothing later.
pub const NOT_CREATED: &str = "it did not make what its `creates` names";

/// Begins what is said of a task whose `creates` was there, until a later task of the same installation removed it: who.
pub const REMOVED: &str = "what its `creates` names was removed by ";

/// Begins why a task counts as failed that succeeded, and of whose work an earlier task has made something else since.
pub const UNDONE: &str = "what it did was undone: ";

/// Stands between what has undone a task, and what became of it when it was done again.
const THEN: &str = "; then: ";

/// How a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ending {
    /// It ran.
    Done,
    /// A guard held it back.
    Skipped,
    /// It is to be tried again.
    Failed,
}

impl Ending {
    fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
        }
    }
}

/// Why a task is still to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Left {
    /// It failed.
    Failed,
    /// No installation has come to it.
    NotReached,
    /// An earlier task has undone what it did.
    Undone,
}

impl Left {
    /// In a word or two, of a task.
    pub fn word(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::NotReached => "not reached",
            Self::Undone => "undone",
        }
    }
}

/// What is known of one task. No value of a secret is in it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The name of the task.
    pub name: String,
    /// The file and line where it stands.
    pub place: String,
    /// The action of the task.
    pub action: String,
    /// The fingerprint of what it does: SHA-256 of its operations and conditions.
    pub fingerprint: Fingerprint,
    /// How it ended: `done`, `skipped` or `failed`.
    pub outcome: Ending,
    /// Why it was skipped or failed, or what is to be said of a task that succeeded: that it did not make what its `creates`
    /// names, or which later task removed that.
    #[serde(default)]
    pub why: String,
    /// When that was (RFC 3339).
    pub at: String,
    /// The fingerprint of what the task did when it was last done, before it was changed to this.
    #[serde(default)]
    pub instead_of: Option<Fingerprint>,
    /// What the task wrote.
    #[serde(default)]
    pub wrote: Wrote,
    /// The digests of its downloads and of files of the blueprint, by URL or path.
    #[serde(default)]
    pub sources: BTreeMap<String, Digest>,
    /// Variables that its commands saw, without the values of secrets.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    /// The fields of the task, with variables put in.
    #[serde(default)]
    pub fields: Value,
}

/// What a task put on the host, as far as that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wrote {
    /// Absolute paths, and what was there afterwards.
    #[serde(default)]
    pub files: BTreeMap<String, Seen>,
    /// The digest of a record in the store with the same of an archive, which would be too long for this file.
    #[serde(default)]
    pub listing: Option<Digest>,
    /// Packages and their versions.
    #[serde(default)]
    pub packages: BTreeMap<String, String>,
}

impl Record {
    /// A record of the task of `trace`.
    pub fn new(trace: &StepTrace, outcome: Ending, why: String, wrote: Wrote) -> Self {
        let StepTrace { name, action, place, fields, fingerprint, sources, variables } = trace.clone();
        let at = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second()).unwrap_or_default().to_string();
        Self { name, place, action, fingerprint, outcome, why, at, instead_of: None, wrote, sources, variables, fields }
    }

    /// What it says of the task itself.
    pub fn trace(&self) -> StepTrace {
        StepTrace {
            name: self.name.clone(),
            action: self.action.clone(),
            place: self.place.clone(),
            fields: self.fields.clone(),
            fingerprint: self.fingerprint,
            sources: self.sources.clone(),
            variables: self.variables.clone(),
        }
    }

    /// True of a task that no installation has come to.
    pub fn is_unreached(&self) -> bool {
        self.outcome == Ending::Failed && (self.why == NOT_REACHED || self.why.starts_with(NOT_RENEWED))
    }

    /// Why a task has to be done again that was begun and did not succeed.
    pub fn failed(&self) -> Option<&str> {
        match self.outcome {
            Ending::Failed if self.is_unreached() => None,
            Ending::Failed if self.why == CUT_OFF => Some(CUT_OFF),
            Ending::Failed => Some("it failed"),
            Ending::Done | Ending::Skipped => None,
        }
    }

    /// The later task that has removed what this one had made, if one has.
    pub fn remover(&self) -> Option<&str> {
        self.why.strip_prefix(REMOVED).filter(|_| self.outcome != Ending::Failed)
    }

    /// What has undone the work of a task that succeeded, if something has.
    pub fn undone_by(&self) -> Option<&str> {
        self.why.strip_prefix(UNDONE).filter(|_| self.outcome == Ending::Failed)
    }

    /// What is said of this task when it ends with `why` without success: one that was undone is so until it succeeds, and
    /// no `creates` holds it back.
    pub fn still_undone(&self, why: String) -> String {
        match self.undone_by() {
            Some(by) if !why.starts_with(UNDONE) => {
                format!("{UNDONE}{}{THEN}{why}", by.split(THEN).next().unwrap_or_default())
            }
            _ => why,
        }
    }

    /// True of a task that was undone, and was begun again without success.
    pub fn is_tried_again(&self) -> bool {
        self.undone_by().is_some_and(|by| by.contains(THEN))
    }

    /// Why it is to be done although it was recorded; `None` of one that needs nothing.
    pub fn left(&self) -> Option<Left> {
        match self.outcome {
            Ending::Failed if self.is_unreached() => Some(Left::NotReached),
            Ending::Failed if self.undone_by().is_some() => Some(Left::Undone),
            Ending::Failed => Some(Left::Failed),
            Ending::Done | Ending::Skipped => None,
        }
    }

    /// True if `other` says the same, at whatever time.
    pub fn says(&self, other: &Self) -> bool {
        Self { at: other.at.clone(), ..self.clone() } == *other
    }
}

/// A trace as the state file has it: secrets as their author wrote them, no field that is nothing.
pub fn plain(trace: StepTrace) -> StepTrace {
    let StepTrace { fields, sources, variables, .. } = &trace;
    let fields = written(fields);
    let written = |text: &String| Secrets::as_written(text);
    let sources = sources.iter().map(|(name, digest)| (written(name), *digest)).collect();
    let variables = variables.iter().map(|(name, value)| (name.clone(), written(value))).collect();
    StepTrace { name: written(&trace.name), fields, sources, variables, ..trace }
}

/// Bytes of a field that are kept: enough to say what changed. Of a longer one, its digest is.
const LONG: usize = 4 << 10;

fn written(value: &Value) -> Value {
    match value {
        Value::String(text) if text.len() > LONG => Value::String(Digest::of(text).to_string()),
        Value::String(text) => Value::String(Secrets::as_written(text)),
        Value::Array(items) => items.iter().map(written).collect(),
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(name, value)| (name.clone(), written(value))).collect())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_undone_is_so_until_it_succeeds() {
        let trace = StepTrace {
            name: "n".into(),
            action: "a".into(),
            place: "f.yml:1".into(),
            fields: Value::Null,
            fingerprint: Fingerprint(Digest::of("x")),
            sources: BTreeMap::new(),
            variables: BTreeMap::new(),
        };
        let failed = |why: String| Record::new(&trace, Ending::Failed, why, Wrote::default());
        let undone = failed(format!("{UNDONE}A has made /x anew"));
        assert_eq!((undone.left(), undone.is_tried_again()), (Some(Left::Undone), false));
        let cut = failed(undone.still_undone(CUT_OFF.to_owned()));
        assert_eq!(cut.undone_by(), Some("A has made /x anew; then: it was cut off"));
        assert_eq!((cut.left(), cut.is_tried_again()), (Some(Left::Undone), true));
        assert_eq!(cut.still_undone("no".into()), format!("{UNDONE}A has made /x anew; then: no"));
        let other = failed(CUT_OFF.to_owned());
        assert_eq!((other.left(), other.still_undone("no".into()).as_str()), (Some(Left::Failed), "no"));
    }
}
