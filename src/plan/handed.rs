//! What commands on a live host have in their environment beside what a task asks for: the rest of the env file, as they
//! have the environment of whoever installs. It is no part of what a task is: one variable more, or another value of one
//! that no task uses, changes none. What a task names, and what the blueprint requires, counts.
//!
//! In an image it all counts: whatever a command can see may be in what it makes.

use std::collections::BTreeMap;
use std::fmt;

use layers::digest::Digest;
use serde_json::Value;

use super::StepTrace;
use crate::blueprint::{RequiredEnv, of_commands};
use crate::op::{Fingerprint, Op, Secrets, Source, Step, marker};

/// Variables of an env file, and the environment of whoever installs.
#[derive(Clone, Default)]
pub struct Handed {
    /// Values of secrets are markers.
    file: BTreeMap<String, String>,
    process: BTreeMap<String, String>,
}

impl fmt::Debug for Handed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.file.keys()).finish()
    }
}

impl Handed {
    /// `exported` is what commands have of the env file and of what the blueprint requires.
    pub fn new(exported: &BTreeMap<String, String>, process: &BTreeMap<String, String>) -> Self {
        Self { file: exported.clone(), process: of_commands(process) }
    }

    /// `step` with what is handed to its commands. What it says itself stays.
    pub fn added_to(&self, step: &Step) -> Step {
        let mut step = step.clone();
        add(&mut step, &self.file);
        step
    }

    /// True if the task that a state file knows as `was` is `step`, which is `is` now, but for variables that do not count:
    /// an earlier alloy took all of the env file for part of each task; and whoever gives what stood in the file by their own
    /// environment gives the same.
    pub fn is_same(&self, step: &Step, was: &StepTrace, is: &StepTrace, sources: &BTreeMap<Source, Digest>) -> bool {
        if was.name != is.name || was.action != is.action || was.fields != is.fields {
            return false;
        }
        if is.variables.iter().any(|(name, value)| was.variables.get(name) != Some(value)) {
            return false;
        }
        let mut more = BTreeMap::new();
        for (name, value) in was.variables.iter().filter(|(name, _)| !is.variables.contains_key(*name)) {
            if is_named(&was.fields, name) && !self.has(name, value) {
                return false;
            }
            more.insert(name.clone(), self.as_hashed(name, value));
        }
        let mut then = step.clone();
        add(&mut then, &more);
        !more.is_empty() && Fingerprint::of(&then, sources) == Some(was.fingerprint)
    }

    /// True if whoever installs has the variable with this value. Those of secrets do not count.
    fn has(&self, name: &str, value: &str) -> bool {
        self.process.get(name).is_some_and(|now| now == value || is_secret(name, value))
    }

    /// The value of which a state file has `value`, as fingerprints have it.
    fn as_hashed(&self, name: &str, value: &str) -> String {
        match self.file.get(name).filter(|now| Secrets::as_written(now) == value) {
            Some(now) => now.clone(),
            None if is_secret(name, value) => marker(name),
            None => value.to_owned(),
        }
    }
}

fn is_secret(name: &str, value: &str) -> bool {
    value == Secrets::as_written(&marker(name))
}

/// Gives the condition and the commands of `step` what they do not have of `variables`.
fn add(step: &mut Step, variables: &BTreeMap<String, String>) {
    let own: Vec<String> = step.env.iter().map(|(name, _)| name.clone()).collect();
    let fill = |env: &mut BTreeMap<String, String>| {
        for (name, value) in variables.iter().filter(|(name, _)| !own.contains(name)) {
            env.entry(name.clone()).or_insert_with(|| value.clone());
        }
    };
    if step.guards.skip_if.is_some() {
        fill(&mut step.guards.env);
    }
    for op in &mut step.ops {
        if let Op::Run { env, .. } = op {
            fill(env);
        }
    }
}

/// What of `exported` is part of a task with these `fields`: what they name, what the image's environment names, and what
/// the blueprint requires.
pub(super) fn counted(
    exported: &BTreeMap<String, String>,
    fields: &Value,
    required: &[RequiredEnv],
    image_env: &[(String, String)],
) -> BTreeMap<String, String> {
    let counts = |name: &String| {
        required.iter().any(|required| required.name == *name)
            || is_named(fields, name)
            || image_env.iter().any(|(_, value)| has_word(value, name))
    };
    exported.iter().filter(|(name, _)| counts(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// True if a text of `fields` has this name.
pub fn is_named(fields: &Value, name: &str) -> bool {
    match fields {
        Value::String(text) => has_word(text, name),
        Value::Array(items) => items.iter().any(|item| is_named(item, name)),
        Value::Object(fields) => fields.iter().any(|(key, value)| has_word(key, name) || is_named(value, name)),
        _ => false,
    }
}

/// True if `word` stands in `text`, not as a part of a longer name.
fn has_word(text: &str, word: &str) -> bool {
    let of_name = |c: char| c.is_alphanumeric() || c == '_';
    !word.is_empty()
        && text.match_indices(word).any(|(start, _)| {
            let (before, after) = (&text[..start], &text[start + word.len()..]);
            !before.ends_with(of_name) && !after.starts_with(of_name)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::{Command, Guards};

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn step(command: &str, env: &BTreeMap<String, String>) -> Step {
        Step {
            name: "n".into(),
            action: "run_command".into(),
            fields: serde_json::json!({ "command": command }),
            guards: Guards { skip_if: Some("false".into()), env: env.clone(), ..Guards::default() },
            ops: vec![Op::Run { command: Command::Shell(command.into()), user: None, env: env.clone(), cwd: None }],
            ..Step::default()
        }
    }

    #[test]
    fn names_stand_by_themselves() {
        for text in ["echo $SITE", "${SITE}/x", "printenv SITE", "SITE", "a.SITE-b"] {
            assert!(has_word(text, "SITE"), "{text}");
        }
        assert!(!has_word("$SITE_A $MYSITE SITES", "SITE") && !has_word("", "SITE") && !has_word("x", ""));
    }

    #[test]
    fn a_record_of_an_earlier_alloy_is_of_the_same_task() {
        let sources = BTreeMap::new();
        let trace = |step: &Step| {
            let fingerprint = Fingerprint::of(step, &sources).unwrap();
            let trace = StepTrace::of(step, fingerprint, &sources, &Secrets::default());
            let written = |(name, value): (&String, &String)| (name.clone(), Secrets::as_written(value));
            StepTrace { variables: trace.variables.iter().map(written).collect(), ..trace }
        };
        let all = map(&[("SITE", "a"), ("OTHER", "b"), ("TOKEN", &marker("TOKEN"))]);
        let command = "echo $SITE";
        let was = trace(&step(command, &all));
        let handed = |file: &[(&str, &str)], process: &[(&str, &str)]| Handed::new(&map(file), &map(process));
        let same = |handed: &Handed, env: &[(&str, &str)], command: &str| {
            let now = step(command, &map(env));
            handed.is_same(&now, &was, &trace(&now), &sources)
        };
        // What it does not use has another value, is gone, or is there as before.
        for file in [&[("OTHER", "c")][..], &[], &[("OTHER", "b"), ("NEW", "1")]] {
            assert!(same(&handed(file, &[]), &[("SITE", "a")], command));
        }
        // What it uses has another value, is gone, or comes by the environment.
        assert!(!same(&handed(&[], &[]), &[("SITE", "b")], command));
        assert!(!same(&handed(&[], &[("SITE", "b")]), &[], command));
        assert!(same(&handed(&[], &[("SITE", "a")]), &[], command));
        assert!(!same(&handed(&[], &[]), &[("SITE", "a"), ("MORE", "1")], command));
        assert!(!same(&handed(&[], &[]), &[("SITE", "a")], "echo $SITE again"));
    }

    #[test]
    fn what_a_step_says_itself_stays() {
        let handed = Handed::new(&map(&[("A", "file"), ("B", "file"), ("C", "file")]), &BTreeMap::new());
        let step = Step { env: vec![("B".into(), "own".into())], ..step("x", &map(&[("A", "own")])) };
        let Op::Run { env, .. } = &handed.added_to(&step).ops[0] else { panic!("no run") };
        assert_eq!(*env, map(&[("A", "own"), ("C", "file")]));
    }
}
