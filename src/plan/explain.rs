//! Why a layer is not there: the last key against the next one, in the terms of the blueprint's author.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use super::{StepTrace, Trace};
use crate::op::Secrets;
use crate::yaml::one_line;

/// One reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// What kind of reason, for programs.
    pub code: &'static str,
    /// The task it is about, and where that stands.
    pub task: Option<(String, String)>,
    /// What changed.
    pub what: String,
}

impl Reason {
    /// A reason that is about no task.
    pub fn new(code: &'static str, what: impl Into<String>) -> Self {
        Self { code, task: None, what: what.into() }
    }

    fn of(step: &StepTrace, code: &'static str, what: impl Into<String>) -> Self {
        let line = |text: &str| one_line(text).into_owned();
        Self { code, task: Some((line(&step.name), line(&step.place))), what: what.into() }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.task {
            Some((name, place)) => write!(f, "{} ({name}, {place})", self.what),
            None => f.write_str(&self.what),
        }
    }
}

/// Why `new` has another key than `old`. `below` names the layer below, if there is one in the blueprint.
pub fn explain(old: &Trace, new: &Trace, below: Option<&str>) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let (was, is) = (&old.preimage, &new.preimage);
    if was.version != is.version {
        reasons.push(Reason::new("alloy", "another version of alloy made it"));
    }
    let mut settings = |code, name: &str, was: String, is: String| {
        if was != is {
            reasons.push(Reason::new(code, format!("{name} changed from {was} to {is}")));
        }
    };
    settings("platform", "the platform", was.platform.to_string(), is.platform.to_string());
    settings("compression", "the compression", was.compression.clone(), is.compression.clone());
    settings("epoch", "SOURCE_DATE_EPOCH", was.epoch.to_string(), is.epoch.to_string());
    steps(&old.steps, &new.steps, &mut reasons);
    if was.parent != is.parent {
        reasons.push(match below {
            Some(below) => Reason::new("below", format!("the layer below, {below}, changed")),
            None if old.base != new.base => {
                Reason::new("base", format!("the base changed from {} to {}", old.base, new.base))
            }
            None => {
                let (was, is) = (short(&was.parent.hex()), short(&is.parent.hex()));
                let base = &new.base;
                Reason::new(
                    "base",
                    format!("what is below it changed from {was} to {is}: {base} moved, or a layer between is gone"),
                )
            }
        });
    }
    reasons
}

fn short(hex: &str) -> String {
    hex.chars().take(12).collect()
}

/// What makes the steps of `new` others than those of `old`, each told with the step it is about.
pub fn changes(old: &[StepTrace], new: &[StepTrace]) -> Vec<Reason> {
    let mut reasons = Vec::new();
    steps(old, new, &mut reasons);
    reasons
}

/// Pairs what is the same, then what has the same name, then what has the same action; the rest came or went.
fn steps(old: &[StepTrace], new: &[StepTrace], reasons: &mut Vec<Reason>) {
    let mut left: Vec<Option<&StepTrace>> = old.iter().map(Some).collect();
    let mut pairs: Vec<(Option<usize>, &StepTrace)> = new.iter().map(|step| (None, step)).collect();
    let alike: [fn(&StepTrace, &StepTrace) -> bool; 3] =
        [|a, b| a.fingerprint == b.fingerprint, |a, b| a.name == b.name, |a, b| a.action == b.action];
    for same in alike {
        for (pair, step) in pairs.iter_mut().filter(|(pair, _)| pair.is_none()) {
            let found = left.iter().position(|old| old.is_some_and(|old| same(old, step)));
            if let Some(at) = found {
                left[at] = None;
                *pair = Some(at);
            }
        }
    }
    let before = reasons.len();
    for (pair, step) in &pairs {
        match pair.map(|at| &old[at]) {
            None => reasons.push(Reason::of(step, "task-new", "the task is new")),
            Some(was) if was.fingerprint != step.fingerprint => changed(was, step, reasons),
            Some(_) => {}
        }
    }
    reasons.extend(gone(&left.into_iter().flatten().collect::<Vec<_>>()));
    let order: Vec<usize> = pairs.iter().filter_map(|(pair, _)| *pair).collect();
    if reasons.len() == before && !order.is_sorted() {
        reasons.push(Reason::new("order", "the tasks are in another order"));
    }
}

/// One reason for all tasks that are gone.
fn gone(steps: &[&StepTrace]) -> Option<Reason> {
    match steps {
        [] => None,
        [step] => Some(Reason::of(step, "task-gone", "the task is gone")),
        steps => {
            let names: Vec<_> = steps.iter().map(|step| one_line(&step.name)).collect();
            Some(Reason::new("task-gone", format!("{} tasks are gone: {}", steps.len(), names.join(", "))))
        }
    }
}

fn changed(was: &StepTrace, is: &StepTrace, reasons: &mut Vec<Reason>) {
    let mut changes = Vec::new();
    fields("", &was.fields, &is.fields, &mut changes);
    // Names, and what surrounds them, are for people.
    changes.retain(|(path, _)| path != "name");
    let before = reasons.len();
    reasons.extend(changes.into_iter().map(|(_, what)| Reason::of(is, "field", what)));
    for (name, digest) in &is.sources {
        if was.sources.get(name).is_none_or(|before| before == digest) {
            continue;
        }
        let moved = format!("{} to {}", short(&was.sources[name].hex()), short(&digest.hex()));
        let what = match is.fields["ref"].as_str() {
            Some(reference) => format!("the lockfile's entry {reference} changed from {moved}"),
            None if !name.contains("://") => format!("the file {name} changed from {moved}"),
            // The field itself was told of already.
            None if reasons.len() > before => continue,
            None => format!("what {name} holds changed from {moved}"),
        };
        reasons.push(Reason::of(is, "source", what));
    }
    if let Some(reference) = is.fields["ref"].as_str()
        && reasons.len() == before
        && was.sources != is.sources
    {
        reasons.push(Reason::of(is, "source", format!("the lockfile's entry {reference} changed")));
    }
    let mut variables = Vec::new();
    mapping(&was.variables, &is.variables, &mut variables);
    if reasons.len() == before {
        reasons.extend(variables.into_iter().map(|what| Reason::of(is, "variable", what)));
    }
    if reasons.len() == before && !was.sources.keys().eq(is.sources.keys()) {
        let what = match (was.sources.is_empty(), is.sources.is_empty()) {
            (true, _) => "the lockfile pins what it installs now",
            (_, true) => "the lockfile no longer pins what it installs",
            _ => "the lockfile pins other packages for it now",
        };
        reasons.push(Reason::of(is, "lock", what.to_owned()));
    }
    if reasons.len() == before {
        reasons.push(Reason::of(is, "action", format!("alloy does `{}` differently now", is.action)));
    }
}

fn mapping(was: &BTreeMap<String, String>, is: &BTreeMap<String, String>, changes: &mut Vec<String>) {
    for (name, value) in is {
        match was.get(name) {
            Some(before) if before == value => {}
            Some(before) => changes.push(format!("the variable {name} changed from {} to {}", cut(before), cut(value))),
            None => changes.push(format!("the variable {name} is new: {}", cut(value))),
        }
    }
    let gone = was.keys().filter(|name| !is.contains_key(*name));
    changes.extend(gone.map(|name| format!("the variable {name} is gone")));
}

/// Differences of two values, each with the path of its field.
fn fields(path: &str, was: &Value, is: &Value, changes: &mut Vec<(String, String)>) {
    if was == is {
        return;
    }
    let mut say = |path: &str, what: String| changes.push((path.to_owned(), format!("`{path}` {what}")));
    match (was, is) {
        (Value::Object(old), Value::Object(new)) => {
            let below = |key: &String| if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            for (key, value) in new {
                match old.get(key) {
                    Some(before) => fields(&below(key), before, value, changes),
                    None => changes.push((below(key), format!("`{}` is new: {}", below(key), text(value)))),
                }
            }
            let gone = old.keys().filter(|key| !new.contains_key(*key));
            changes.extend(gone.map(|key| (below(key), format!("`{}` is gone", below(key)))));
        }
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            for (index, (before, value)) in old.iter().zip(new).enumerate() {
                fields(&format!("{path}[{index}]"), before, value, changes);
            }
        }
        (Value::Array(old), Value::Array(new)) => {
            let mut left: Vec<Option<&Value>> = old.iter().map(Some).collect();
            for (index, value) in new.iter().enumerate() {
                match left.iter().position(|before| *before == Some(value)) {
                    Some(at) => left[at] = None,
                    None => say(&format!("{path}[{index}]"), format!("is new: {}", text(value))),
                }
            }
            for value in left.into_iter().flatten() {
                say(path, format!("no longer has {}", text(value)));
            }
        }
        (Value::String(old), Value::String(new)) if old.contains('\n') || new.contains('\n') => {
            let (mut olds, mut news) = (old.lines(), new.lines());
            let mut line = 1;
            loop {
                let pair = (olds.next(), news.next());
                if pair == (None, None) || pair.0 != pair.1 {
                    let or_end = |text: Option<&str>| text.map_or("the end".to_owned(), cut);
                    say(path, format!("changed in line {line} from {} to {}", or_end(pair.0), or_end(pair.1)));
                    return;
                }
                line += 1;
            }
        }
        _ => say(path, format!("changed from {} to {}", text(was), text(is))),
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| cut(&value.to_string()), cut)
}

/// Enough to recognise it; secrets as the author wrote them.
fn cut(text: &str) -> String {
    const MOST: usize = 60;
    let shown = Secrets::as_written(text);
    let some: String = shown.chars().take(MOST).collect();
    let mut short = one_line(&some).into_owned();
    if some.len() < shown.len() {
        short.push('…');
    }
    if short.is_empty() || short.contains(' ') { format!("`{short}`") } else { short }
}

#[cfg(test)]
mod tests {
    use layers::digest::Digest;
    use serde_json::json;

    use super::*;
    use crate::op::Fingerprint;

    fn told(was: Value, is: Value) -> Vec<String> {
        let mut changes = Vec::new();
        fields("", &was, &is, &mut changes);
        changes.into_iter().map(|(_, what)| what).collect()
    }

    #[test]
    fn fields_are_told_by_their_path() {
        let was = json!({"packages": ["gcc", "make", "cmake"], "owner": "root", "per": {"url": "a"}});
        let is = json!({"packages": ["gcc", "make", "cmake=3.25"], "mode": "0755", "per": {"url": "b"}});
        let expected = [
            "`mode` is new: 0755",
            "`packages[2]` changed from cmake to cmake=3.25",
            "`per.url` changed from a to b",
            "`owner` is gone",
        ];
        let mut found = told(was, is);
        found.sort_by_key(|what| expected.iter().position(|other| other == what));
        assert_eq!(found, expected);
    }

    #[test]
    fn tasks_that_are_gone_are_told_in_one_line() {
        let step = |name: &str| StepTrace {
            name: name.to_owned(),
            place: "a.yml:1".to_owned(),
            action: name.to_owned(),
            fields: json!({}),
            fingerprint: Fingerprint(Digest::of(name)),
            sources: BTreeMap::new(),
            variables: BTreeMap::new(),
        };
        let told = |names: &[&str]| {
            let old: Vec<StepTrace> = names.iter().map(|name| step(name)).collect();
            changes(&old, &[]).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(told(&["one"]), ["the task is gone (one, a.yml:1)"]);
        assert_eq!(told(&["one", "two"]), ["2 tasks are gone: one, two"]);
    }

    #[test]
    fn a_list_that_grows_says_what_is_new() {
        assert_eq!(told(json!({"p": ["a", "c"]}), json!({"p": ["a", "b", "c"]})), ["`p[1]` is new: b"]);
        assert_eq!(told(json!({"p": ["a", "b"]}), json!({"p": ["b"]})), ["`p` no longer has a"]);
    }

    #[test]
    fn long_texts_by_their_first_line_and_secrets_by_name() {
        let was = json!({"command": "set -e\nmake"});
        let is = json!({"command": "set -e\nmake \0secret:TOKEN\0\nexit"});
        assert_eq!(told(was, is), ["`command` changed in line 2 from make to `make {{.Vars.TOKEN}}`"]);
    }
}
