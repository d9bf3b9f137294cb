//! Passwords and tokens that stand in the blueprint's own texts, for all to read who read the blueprint.

use std::ops::Range;

use crate::blueprint::Blueprint;
use crate::op::{parameters_written, passwords_written, tokens_written};
use crate::yaml::{Diagnostic, FileId, MAX_PROBLEMS, Mapping, Node, Span, Value};

/// Fields whose values are URLs, or hold some.
const URLS: [&str; 3] = ["debs", "external_tree", "url"];

/// An error in a URL that a task gets, elsewhere a warning.
pub(super) fn written(blueprint: &Blueprint) -> Vec<Diagnostic> {
    let mut urls = Vec::new();
    blueprint.files.iter().flat_map(|file| &file.tasks).for_each(|task| of_fields(&task.fields, &mut urls));
    let mut found = Vec::new();
    for (file, (_, text)) in (0..).zip(blueprint.sources.all()) {
        for Written { place, message, help } in all(text).into_iter().take(MAX_PROBLEMS) {
            let span = Span::of(FileId(file), text, place.start, place.end);
            let in_url = urls.iter().any(|url| url.file == span.file && url.start <= span.start && span.end <= url.end);
            let say = if in_url { Diagnostic::error } else { Diagnostic::warning };
            found.push(say("password", span, message).label("for all to read who read the blueprint").help(help));
        }
    }
    found
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

/// Places of values that are URLs.
fn of_fields(fields: &Mapping, urls: &mut Vec<Span>) {
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

fn leaves(node: &Node, urls: &mut Vec<Span>) {
    match &node.value {
        Value::Scalar { .. } => urls.push(node.span),
        Value::Sequence(items) => items.iter().for_each(|item| leaves(item, urls)),
        Value::Mapping(mapping) => mapping.entries.iter().for_each(|(_, node)| leaves(node, urls)),
    }
}
