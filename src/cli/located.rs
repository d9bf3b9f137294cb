//! Where in the blueprint a task stands that failed, and which of its fields the failure is about.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use super::error::CommandError;
use super::ui;
use crate::blueprint::{Blueprint, MANIFEST_FILE, Manifest, Problems, Task};
use crate::plan::covers;
use crate::yaml::{Diagnostic, Mapping, Node, Span, Value};

/// The blueprint that the command is about.
static AT_WORK: Mutex<Option<Arc<Blueprint>>> = Mutex::new(None);

/// Fields that a failure may quote, those first that say most.
const QUOTED: [&str; 18] = [
    "sha256",
    "run_as",
    "owner",
    "url",
    "external_tree",
    "artifact_source",
    "source",
    "ref",
    "packages",
    "debs",
    "dependencies",
    "package",
    "revision",
    "version",
    "commit_hash",
    "file",
    "rule_file",
    "dest",
];

/// Failures of tasks are shown in this blueprint from now on.
pub(super) fn show_in(blueprint: &Arc<Blueprint>) {
    *AT_WORK.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(blueprint));
}

/// A place of a blueprint, and how it looks there.
#[derive(Debug, Default)]
pub(super) struct Place {
    /// The task file, the line, and the column where that is known.
    pub(super) text: String,
    /// The lines there, what counts underlined; empty where they are not known.
    pub(super) shown: String,
}

impl Place {
    /// Of the task at `line` of `file`, the field that `told` quotes.
    pub(super) fn of(file: &str, line: usize, told: &str) -> Self {
        Self::found(file, line, |task| quoted(task, told))
    }

    /// Of the task at `line` of `file`, what names the archive that `told` is about.
    pub(super) fn of_archive(file: &str, line: usize, told: &str) -> Self {
        Self::found(file, line, |task| quoted(task, told).or_else(|| archive(task)))
    }

    /// Of the task at `line` of `file`, the value of `field`.
    pub(super) fn of_field(file: &str, line: usize, field: &str) -> Self {
        Self::found(file, line, |task| task.fields.get(field).map(|node| node.span))
    }

    /// A value of the manifest, where it is written there.
    pub(super) fn of_manifest(look: impl FnOnce(&Manifest) -> Option<Span>) -> Option<Self> {
        let at_work = AT_WORK.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        let span = look(&at_work.manifest)?;
        Some(Self::at(&at_work, MANIFEST_FILE, span))
    }

    fn found(file: &str, line: usize, look: impl FnOnce(&Task) -> Option<Span>) -> Self {
        let at_work = AT_WORK.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let span = at_work.as_ref().and_then(|blueprint| find(blueprint, file, line, look));
        let (Some(blueprint), Some(span)) = (at_work, span) else {
            return Self { text: format!("{file}:{line}"), shown: String::new() };
        };
        Self::at(&blueprint, file, span)
    }

    fn at(blueprint: &Blueprint, file: &str, span: Span) -> Self {
        let text = format!("{file}:{}:{}", span.line, span.column);
        let (diagnostics, sources) = (vec![Diagnostic::error("task", span, "it failed")], blueprint.sources.clone());
        let whole = ui::problems(&Problems { diagnostics, sources }, ui::color());
        let lines = whole.lines().skip_while(|line| !line.contains('╭')).collect::<Vec<_>>();
        Self { text, shown: lines.join("\n") }
    }

    /// Says where `error` happened, and what happened to whom there.
    pub(super) fn told_of(self, mut error: CommandError, task: &str) -> CommandError {
        error.message.insert_str(0, &format!("{}: {task}: ", self.text));
        self.shown_with(error)
    }

    /// Says where `error` happened, which is in no task.
    pub(super) fn told(self, mut error: CommandError) -> CommandError {
        error.message.insert_str(0, &format!("{}: ", self.text));
        self.shown_with(error)
    }

    /// Shows the place below what `error` says.
    pub(super) fn shown_with(self, mut error: CommandError) -> CommandError {
        if !self.shown.is_empty() {
            let _ = write!(error.message, "\n{}", self.shown);
        }
        error.place = Some(self.text);
        error
    }
}

fn find(blueprint: &Blueprint, file: &str, line: usize, look: impl FnOnce(&Task) -> Option<Span>) -> Option<Span> {
    let file = blueprint.files.iter().find(|known| known.path == file)?;
    let task = file.tasks.iter().find(|task| task.span.line == line)?;
    Some(look(task).unwrap_or_else(|| beginning(task)))
}

/// The name of a task says more than the line that it begins in.
fn beginning(task: &Task) -> Span {
    task.fields.get("name").map_or(task.span, |node| node.span)
}

/// What names the archive, for which the task may have other words than what it stands for.
fn archive(task: &Task) -> Option<Span> {
    ["url", "artifact_source", "source", "ref"].iter().find_map(|name| task.fields.get(name).map(|node| node.span))
}

/// The value that `told` quotes.
fn quoted(task: &Task, told: &str) -> Option<Span> {
    let words: Vec<&str> = told.split_whitespace().map(bare).filter(|word| !word.is_empty()).collect();
    QUOTED.iter().find_map(|name| {
        let own = task.fields.get(name);
        own.and_then(|node| among(node, &words)).or_else(|| by_architecture(&task.fields, name, &words))
    })
}

fn by_architecture(fields: &Mapping, name: &str, words: &[&str]) -> Option<Span> {
    let Value::Mapping(blocks) = &fields.get("per_arch")?.value else { return None };
    blocks.entries.iter().find_map(|(_, block)| match &block.value {
        Value::Mapping(block) => among(block.get(name)?, words),
        _ => None,
    })
}

/// The first value below `node` that is one of `words`, whatever its variables hold.
fn among(node: &Node, words: &[&str]) -> Option<Span> {
    match &node.value {
        Value::Scalar { text, .. } => {
            let meant = |part: &str| words.iter().any(|word| covers(part, word));
            // A text that is a variable and nothing else may be anything.
            let says = |part: &&str| part.len() > 1 && !part.starts_with("{{") && !part.starts_with('$');
            let text = text.trim();
            // `user:group` is two names.
            text.split_whitespace().chain(text.split(':')).filter(says).any(meant).then_some(node.span)
        }
        Value::Sequence(items) => items.iter().find_map(|item| among(item, words)),
        Value::Mapping(mapping) => mapping.entries.iter().find_map(|(_, node)| among(node, words)),
    }
}

/// A word without what a sentence puts around it.
fn bare(word: &str) -> &str {
    let word = word.trim_matches(|c: char| "`'\"(),;".contains(c)).trim_end_matches([':', '.']);
    word.strip_prefix("sha256:").unwrap_or(word)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::blueprint::read_texts;

    fn column(fields: &str, told: &str) -> String {
        let files = BTreeMap::from([
            (MANIFEST_FILE.to_owned(), b"name: x\nversion: 1.0.0\nrun_order: [a.yml]\n".to_vec()),
            ("a.yml".to_owned(), format!("- {{name: it, action: x, {fields}}}\n").into_bytes()),
        ]);
        let blueprint = read_texts(&files).0.unwrap();
        let span = find(&blueprint, "a.yml", 1, |task| quoted(task, told)).unwrap();
        blueprint.sources.text(span.file)[span.start..span.end].to_owned()
    }

    #[test]
    fn the_field_is_shown_that_a_failure_is_about() {
        let fetch = "url: 'https://a.example/{{.Vars.V}}/x', sha256: abc, dest: /opt/x";
        let refused = "cannot fetch https://a.example/1.2/x: the server answered 404";
        assert_eq!(column(fetch, refused), "'https://a.example/{{.Vars.V}}/x'");
        assert_eq!(column(fetch, &format!("{refused}: expected sha256:abc, found sha256:def")), "abc");
        assert_eq!(column("packages: [git, gitt]", "E: Unable to locate package gitt"), "gitt");
        assert_eq!(column("packages: git gitt", "E: Unable to locate package gitt"), "git gitt");
        assert_eq!(column("run_as: eve, command: 'true'", "there is no user `eve`"), "eve");
        assert_eq!(column("owner: 'eve:staff'", "there is no user `eve`"), "'eve:staff'");
        assert_eq!(column("per_arch: {amd64: {url: 'file:x'}}", "cannot read file:x: no"), "'file:x'");
        assert_eq!(column("run_as: '{{.Vars.U}}'", "there is no user `eve`"), "it");
    }
}
