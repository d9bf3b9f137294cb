//! Passwords and tokens that stand in the blueprint's own texts, for all to read who read the blueprint.

use std::ops::Range;

use crate::blueprint::Blueprint;
use crate::op::{Secrets, parameters_written, passwords_written, tokens_written};
use crate::yaml::{Diagnostic, FileId, MAX_PROBLEMS, Mapping, Node, Span, Value};

/// Fields whose values are URLs, or hold some.
const URLS: [&str; 3] = ["debs", "external_tree", "url"];

/// Values that say whether, and not what.
const SWITCHES: [&str; 7] = ["always", "disabled", "enabled", "false", "never", "none", "true"];

/// An error in a URL that a task gets, elsewhere a warning.
pub(super) fn written(blueprint: &Blueprint) -> Vec<Diagnostic> {
    let mut urls = Vec::new();
    blueprint.files.iter().flat_map(|file| &file.tasks).for_each(|task| of_fields(&task.fields, &mut urls));
    let urls: Vec<Span> = urls.into_iter().map(|node| node.span).collect();
    let mut found = Vec::new();
    for (file, (_, text)) in (0..).zip(blueprint.sources.all()) {
        for Written { place, message, help } in all(text).into_iter().take(MAX_PROBLEMS) {
            let span = Span::of(FileId(file), text, place.start, place.end);
            let in_url = urls.iter().any(|url| url.file == span.file && url.start <= span.start && span.end <= url.end);
            let say = if in_url { Diagnostic::error } else { Diagnostic::warning };
            found.push(say("password", span, message).label("for all to read who read the blueprint").help(help));
        }
    }
    let tasks = blueprint.files.iter().flat_map(|file| &file.tasks);
    let mut texts = Vec::new();
    tasks.for_each(|task| task.fields.entries.iter().for_each(|(_, node)| leaves(node, &mut texts)));
    let given = texts.into_iter().filter_map(|node| given(blueprint, node, &urls));
    found.extend(given.take(MAX_PROBLEMS));
    found.extend(variables(blueprint).take(MAX_PROBLEMS));
    found
}

/// The values that [`variables`] tells of.
pub(super) fn secrets(blueprint: &Blueprint) -> Secrets {
    let mut secrets = Secrets::default();
    named(blueprint).for_each(|found| secrets.hide(&found.value));
    secrets
}

/// A variable that is a secret by its name, and has its value here.
struct Named<'b> {
    name: &'b str,
    value: String,
    span: Span,
    /// It is one of the image, and not of a task.
    of_image: bool,
}

fn named(blueprint: &Blueprint) -> impl Iterator<Item = Named<'_>> {
    let image = &blueprint.manifest.image;
    let of_image = image.env.iter().zip(&image.env_places);
    let of_image =
        of_image.map(|((name, value), span)| Named { name, value: value.clone(), span: *span, of_image: true });
    let tasks = blueprint.files.iter().flat_map(|file| &file.tasks);
    let entries = tasks.filter_map(|task| match &task.fields.get("env")?.value {
        Value::Mapping(env) => Some(&env.entries),
        _ => None,
    });
    let of_tasks = entries.flatten().filter_map(|(key, node)| {
        let Value::Scalar { text, .. } = &node.value else { return None };
        let value = blueprint.with_own_values(text).map_or_else(|| text.clone(), |(expanded, _)| expanded);
        Some(Named { name: &key.text, value, span: node.span, of_image: false })
    });
    of_image.chain(of_tasks).filter(|found| is_secret(found.name, &found.value))
}

/// Those of commands and of the image.
fn variables(blueprint: &Blueprint) -> impl Iterator<Item = Diagnostic> {
    named(blueprint).map(|Named { name, span, of_image, .. }| {
        let (has_it, help) = match of_image {
            true => (
                "every image has its value",
                "leave it out of `image`: who runs it gives it to the container (`-e`), and tasks that need it have it in \
                 their own `env`, from `required_env` with `secret: true`"
                    .to_owned(),
            ),
            false => (
                "its value stands in the blueprint",
                format!(
                    "name it in `required_env` with `secret: true`, and write `{name}: '{{{{.Vars.{name}}}}}'`: each user \
                     gives it"
                ),
            ),
        };
        let message = format!("`{name}` is a secret by its name, and {has_it}");
        let warning = Diagnostic::warning("password", span, message);
        warning.label("for all to read who read the blueprint").help(help)
    })
}

/// True for a secret's name with a value that may be one: what refers to another, is the path of a file, a switch or a
/// word of fewer than four characters is none.
fn is_secret(name: &str, value: &str) -> bool {
    let is_switch = SWITCHES.contains(&value.to_ascii_lowercase().as_str());
    let is_place = value.starts_with(['/', '~', '.']) || value.contains("://");
    // What is only called a key may be anything.
    let is_key =
        !name.to_ascii_uppercase().ends_with("KEY") || value.len() >= 16 && !value.contains(char::is_whitespace);
    Secrets::is_secret_name(name)
        && is_key
        && !is_switch
        && !is_place
        && value.chars().count() >= 4
        && !value.contains(['$', '{'])
}

/// The same of a text that gets a password from a variable whose value stands in the blueprint.
fn given(blueprint: &Blueprint, node: &Node, urls: &[Span]) -> Option<Diagnostic> {
    let Value::Scalar { text, .. } = &node.value else { return None };
    let (expanded, names) = blueprint.with_own_values(text)?;
    let Written { message, .. } = all(&expanded).into_iter().next().filter(|_| all(text).is_empty())?;
    let named = names.iter().filter_map(|name| {
        let place = blueprint.sources.place(blueprint.variables.get(name)?.span);
        Some(format!("`{name}` ({place})"))
    });
    let named = named.collect::<Vec<_>>().join(" or ");
    let message = format!("{message}: its value stands in the blueprint, as that of {named}");
    let say = if urls.contains(&node.span) { Diagnostic::error } else { Diagnostic::warning };
    let diagnostic = say("password", node.span, message).label("for all to read who read the blueprint");
    Some(
        diagnostic
            .help("take the value out of `variables`, and name the variable in `required_env` with `secret: true`"),
    )
}

struct Written {
    place: Range<usize>,
    message: String,
    help: String,
}

fn all(text: &str) -> Vec<Written> {
    let passwords = passwords_written(text).into_iter().map(|(place, host)| Written {
        place,
        message: format!("the URL of {host} has a password in it"),
        help: format!("let each user give it: https://{{{{.Vars.X_USER}}}}:{{{{.Vars.X_PASSWORD}}}}@{host}/…"),
    });
    let tokens = tokens_written(text).into_iter().map(|(place, host)| Written {
        place,
        message: format!("the URL of {host} has a token in it"),
        help: format!(
            "let each user give it: https://{{{{.Vars.X_TOKEN}}}}@{host}/…, or a `machine {host}` in ~/.netrc"
        ),
    });
    let parameters = parameters_written(text).into_iter().map(|found| Written {
        message: format!("the URL of {} has a token in it, as `{}`", found.host, found.name),
        help: format!("let each user give it: {}={{{{.Vars.X_TOKEN}}}}, or by --header and ~/.netrc", found.name),
        place: found.place,
    });
    passwords.chain(tokens).chain(parameters).collect()
}

/// Values that are URLs.
fn of_fields<'n>(fields: &'n Mapping, urls: &mut Vec<&'n Node>) {
    for (key, node) in &fields.entries {
        match key.text.as_str() {
            name if URLS.contains(&name) => leaves(node, urls),
            "per_arch" => {
                let Value::Mapping(blocks) = &node.value else { continue };
                for (_, block) in &blocks.entries {
                    if let Value::Mapping(block) = &block.value {
                        block
                            .entries
                            .iter()
                            .filter(|(key, _)| key.text == "url")
                            .for_each(|(_, node)| leaves(node, urls));
                    }
                }
            }
            _ => {}
        }
    }
}

fn leaves<'n>(node: &'n Node, found: &mut Vec<&'n Node>) {
    match &node.value {
        Value::Scalar { .. } => found.push(node),
        Value::Sequence(items) => items.iter().for_each(|item| leaves(item, found)),
        Value::Mapping(mapping) => mapping.entries.iter().for_each(|(_, node)| leaves(node, found)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_what_a_value_is() {
        for (name, value) in [
            ("API_TOKEN", "glpat-abc"),
            ("DB_PASSWORD", "hunter2"),
            ("GIT_AUTH", "user:pass"),
            ("SIGNING_KEY", "0123456789abcdef"),
            ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG"),
        ] {
            assert!(is_secret(name, value), "{name}: {value}");
        }
        for (name, value) in [
            ("API_TOKEN", "{{.Vars.API_TOKEN}}"),
            ("API_TOKEN", "$OTHER"),
            ("API_TOKEN", ""),
            ("API_TOKEN", "/run/secrets/token"),
            ("GIT_AUTH", "none"),
            ("USE_AUTH", "1"),
            ("SORT_KEY", "name"),
            ("DB_USER", "hunter2"),
            ("TOKENIZERS_PARALLELISM", "false"),
        ] {
            assert!(!is_secret(name, value), "{name}: {value}");
        }
    }
}
