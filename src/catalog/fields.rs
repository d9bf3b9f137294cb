//! Fields that several files of a catalog have.

use layers::digest::Digest;

use super::Id;
use crate::yaml::{Diagnostic, Mapping, Node, Span};

/// The version of the format.
const SPEC_VERSION: &str = "1";

/// Bytes of a URL.
const MAX_URL: usize = 8192;

/// Takes a value, or notes what is wrong with it.
pub(super) fn take<T>(result: Result<T, Diagnostic>, errors: &mut Vec<Diagnostic>) -> Option<T> {
    result.map_err(|error| errors.push(error)).ok()
}

/// The value of a field that must be there.
pub(super) fn required<'n>(fields: &'n Mapping, field: &str, node: &Node) -> Result<&'n Node, Diagnostic> {
    fields.get(field).ok_or_else(|| {
        let span = fields.bare(field).unwrap_or(Span { end: node.span.start, ..node.span });
        let error = Diagnostic::error("missing-field", span, format!("`{field}` is missing"));
        let near = fields.entries.iter().map(|(key, _)| key.text.as_str());
        match crate::yaml::nearest(field, near.filter(|key| *key != field)) {
            Some(near) => error.help(format!("is `{near}` meant to be `{field}`?")),
            None => error,
        }
    })
}

/// A text that may be missing.
pub(super) fn text(fields: &Mapping, field: &str, errors: &mut Vec<Diagnostic>) -> Option<String> {
    fields.get(field).and_then(|node| take(node.text(field).map(str::to_owned), errors))
}

/// A text that must be there.
pub(super) fn filled(fields: &Mapping, field: &str, node: &Node) -> Result<String, Diagnostic> {
    let node = required(fields, field, node)?;
    match node.text(field)? {
        text if text.trim().is_empty() => Err(Diagnostic::error("empty", node.span, format!("`{field}` is empty"))),
        text => Ok(text.to_owned()),
    }
}

/// Refuses a file of another format.
pub(super) fn spec_version(fields: &Mapping, node: &Node) -> Result<(), Diagnostic> {
    let node = required(fields, "spec_version", node)?;
    match node.text("spec_version")? {
        SPEC_VERSION => Ok(()),
        other => Err(Diagnostic::error("spec-version", node.span, format!("this is format {other} of the catalog"))
            .help(format!("this alloy knows format {SPEC_VERSION}"))),
    }
}

/// The id, which must be the one of the directory, if that is known.
pub(super) fn id(fields: &Mapping, node: &Node, expected: Option<&Id>) -> Result<Id, Diagnostic> {
    let node = required(fields, "id", node)?;
    let id = Id::parse(node.text("id")?, node.span)?;
    match expected {
        Some(expected) if *expected != id => {
            Err(Diagnostic::error("id", node.span, format!("`{id}` stands in the directory of {expected}"))
                .help(format!("write `id: {expected}`, or move the file to {}", id.directory().display())))
        }
        _ => Ok(id),
    }
}

pub(super) fn url(node: &Node) -> Result<String, Diagnostic> {
    match node.text("url")? {
        text if text.len() > MAX_URL => {
            Err(Diagnostic::error("url", node.span, format!("`url` is longer than {MAX_URL} bytes")))
        }
        text if url::Url::parse(text).is_ok() => Ok(text.to_owned()),
        text => Err(Diagnostic::error("url", node.span, format!("`{text}` is not a URL"))),
    }
}

pub(super) fn sha256(node: &Node) -> Result<Digest, Diagnostic> {
    let text = node.text("sha256")?;
    Digest::from_hex(text.strip_prefix("sha256:").unwrap_or(text)).map_err(|_| {
        Diagnostic::error("sha256", node.span, "`sha256` must be 64 hexadecimal digits")
            .label(format!("{} characters", text.chars().count()))
    })
}

/// True for a version: a name of a file, and of a reference.
fn is_version(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 128
        && !text.starts_with(['.', '-'])
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.+".contains(c))
}

/// A version.
pub(super) fn version(node: &Node, what: &str) -> Result<String, Diagnostic> {
    match node.text(what)? {
        text if is_version(text) => Ok(text.to_owned()),
        text => Err(Diagnostic::error("version", node.span, format!("`{text}` cannot be a version"))
            .help("letters, digits, `-`, `_`, `+` and `.`; not in front `-` or `.`")),
    }
}
