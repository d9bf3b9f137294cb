//! Fields that an action does not have: misspelt ones, and what other tools call them.

use super::foreign;
use super::{COMMON, Field, FieldKind, Fields};
use crate::yaml::{Diagnostic, Key, MAX_PROBLEMS, Value, nearest};

/// A field, and other words for it: whoever writes one of these means the field, where the action has it.
const SYNONYMS: &[(&str, &[&str])] = &[
    ("source", &["src", "from"]),
    ("command", &["cmd", "script", "run", "shell_command"]),
    ("packages", &["package", "pkg", "pkgs", "deb", "debs"]),
    ("package", &["packages", "pkg", "crate", "module"]),
    ("sha256", &["checksum", "sha", "sha256sum", "digest", "hash"]),
    ("dest", &["dst", "destination", "target", "path", "to", "dir", "directory"]),
    ("destination", &["dest", "dst", "prefix"]),
    ("url", &["uri", "href", "repo", "repository", "manifest_url"]),
    ("file", &["path", "dest", "dst", "filename", "manifest", "manifest_name", "manifest_file", "manifest_path"]),
    ("env_file", &["file", "path", "dest"]),
    ("rule_file", &["file", "path", "dest"]),
    ("content", &["contents", "text", "body"]),
    ("revision", &["version", "rev", "ref", "tag", "branch", "commit"]),
    ("commit_hash", &["commit", "sha"]),
    ("version", &["revision", "rev", "ref", "tag", "branch", "commit", "manifest_branch"]),
    ("run_as", &["user", "become_user"]),
    ("owner", &["chown"]),
    ("mode", &["chmod", "permissions"]),
    ("skip_if", &["unless", "not_if"]),
    ("env", &["environment", "envs"]),
    ("strip_components", &["strip", "strip_component"]),
    ("args", &["arguments"]),
    ("depth", &["clone_depth"]),
    ("groups", &["group"]),
    ("repo_rev", &["repo_revision", "repo_branch", "repo_version"]),
];

const DOWNLOAD: [&str; 2] = ["url", "sha256"];

/// Says which fields the action does not have: an error where another one is meant, or where the task would do something
/// else without it; else a warning. Gives the fields
/// that are meant: of these need not be said that they are missing.
pub(super) fn unknown(fields: &mut Fields<'_>) -> Vec<&'static str> {
    let task = fields.task;
    let known: Vec<&'static str> = COMMON.iter().chain(task.action.fields).map(|field| field.name).collect();
    let there = |name: &str| fields.node(name).is_some();
    let mut meant = Vec::new();
    let mut said = Vec::new();
    for (key, _) in task.fields.entries.iter().take(MAX_PROBLEMS) {
        if !known.contains(&key.text.as_str()) {
            let found = meaning(&key.text, &known, there);
            meant.extend(found);
            let pinned = known.contains(&"sha256") && there("sha256");
            said.push(diagnostic(key, task.action.name, found, pinned));
        }
    }
    let downloads = task.action.fields.iter().filter(|field: &&Field| field.kind == FieldKind::Download);
    for field in downloads {
        let Some(Value::Mapping(download)) = fields.node(field.name).map(|node| &node.value) else { continue };
        for (key, _) in download.entries.iter().take(MAX_PROBLEMS) {
            if !DOWNLOAD.contains(&key.text.as_str()) {
                let found = meaning(&key.text, &DOWNLOAD, |name| download.get(name).is_some());
                said.push(diagnostic(key, field.name, found, download.get("sha256").is_some()));
            }
        }
    }
    said.into_iter().for_each(|diagnostic| fields.warn(diagnostic));
    meant
}

/// Which of the `known` fields is meant by `name`: one that is not there as well, by another word for it.
fn meaning(name: &str, known: &[&'static str], there: impl Fn(&str) -> bool) -> Option<&'static str> {
    let lower = name.to_ascii_lowercase().replace('-', "_");
    let same = known.iter().find(|field| **field == lower);
    let synonym = || {
        let fits = |(field, words): &&(&'static str, &[&str])| {
            words.contains(&lower.as_str()) && known.contains(field) && !there(field)
        };
        SYNONYMS.iter().find(fits).map(|(field, _)| *field)
    };
    same.copied().or_else(synonym).or_else(|| {
        let near = nearest(name, known.iter().copied())?;
        known.iter().copied().find(|field| *field == near)
    })
}

/// `pinned` is whether a digest stands beside it.
fn diagnostic(key: &Key, of: &str, meant: Option<&str>, pinned: bool) -> Diagnostic {
    let message = format!("`{}` is not a field of `{of}`", key.text);
    match meant {
        Some(meant) => Diagnostic::error("unknown-field", key.span, message).help(format!("did you mean `{meant}`?")),
        None => match foreign::help(&key.text, pinned) {
            Some((help, true)) => Diagnostic::error("unknown-field", key.span, message).help(help),
            Some((help, false)) => {
                Diagnostic::warning("unknown-field", key.span, message + "; it is ignored").help(help)
            }
            None => Diagnostic::warning("unknown-field", key.span, message + "; it is ignored"),
        },
    }
    .label("unknown field")
}

#[cfg(test)]
mod tests {
    use super::super::{ACTIONS, Action};
    use super::*;

    fn meant(action: &str, name: &str, there: &[&str]) -> Option<&'static str> {
        let action = Action::named(action).unwrap();
        let known: Vec<&'static str> = COMMON.iter().chain(action.fields).map(|field| field.name).collect();
        assert!(!known.contains(&name), "{name}");
        meaning(name, &known, |field| there.contains(&field))
    }

    #[test]
    fn other_words_for_a_field_lead_to_it() {
        for (action, name, field) in [
            ("apt_install", "package", "packages"),
            ("python_package", "packages", "package"),
            ("copy", "src", "source"),
            ("run_command", "cmd", "command"),
            ("get_file", "checksum", "sha256"),
            ("get_file", "sha265", "sha256"),
            ("get_file", "path", "dest"),
            ("write_env_file", "path", "file"),
            ("git_clone", "branch", "revision"),
            ("yocto_manifest", "manifest", "file"),
            ("yocto_manifest", "manifest_url", "url"),
            ("yocto_manifest", "manifest-branch", "version"),
            ("yocto_manifest", "clone-depth", "depth"),
            ("run_command", "Run-As", "run_as"),
        ] {
            assert_eq!(meant(action, name, &[]), Some(field), "{action}: {name}");
        }
        assert_eq!(meant("run_command", "colour", &[]), None);
        // The field itself is there already: whatever else is written means something else.
        assert_eq!(meant("run_command", "cmd", &["command"]), None);
    }

    #[test]
    fn every_synonym_is_of_a_field_that_some_action_has() {
        let fields = || COMMON.iter().chain(ACTIONS.iter().flat_map(|action| action.fields));
        for (field, words) in SYNONYMS {
            assert!(fields().any(|known| known.name == *field), "{field}");
            assert!(!words.contains(field), "{field}");
        }
    }
}
