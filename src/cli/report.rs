//! Problems in forms that programs read.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::blueprint::Problems;
use crate::yaml::{Diagnostic, Sources};

/// An array of problems.
pub(super) fn json(all: &[Problems]) -> Value {
    Value::Array(each(all, as_json).collect())
}

fn each<'a>(
    all: &'a [Problems],
    form: impl Fn(&Diagnostic, &Sources) -> Value + Copy + 'a,
) -> impl Iterator<Item = Value> + 'a {
    all.iter().flat_map(move |problems| problems.diagnostics.iter().map(move |d| form(d, &problems.sources)))
}

fn severity(diagnostic: &Diagnostic) -> &'static str {
    if diagnostic.is_error() { "error" } else { "warning" }
}

fn as_json(diagnostic: &Diagnostic, sources: &Sources) -> Value {
    json!({
        "code": diagnostic.code,
        "severity": severity(diagnostic),
        "message": diagnostic.message,
        "file": sources.name(diagnostic.span.file),
        "line": diagnostic.span.line,
        "column": diagnostic.span.column,
        "label": diagnostic.label,
        "help": diagnostic.help,
    })
}

fn as_result(diagnostic: &Diagnostic, sources: &Sources) -> Value {
    let help = diagnostic.help.as_ref().map_or(String::new(), |help| format!("\n{help}"));
    json!({
        "ruleId": diagnostic.code,
        "level": severity(diagnostic),
        "message": {"text": format!("{}{help}", diagnostic.message)},
        "locations": [{"physicalLocation": {
            "artifactLocation": {"uri": uri(sources.name(diagnostic.span.file))},
            "region": {"startLine": diagnostic.span.line, "startColumn": diagnostic.span.column},
        }}],
    })
}

/// A relative reference, or an absolute path, as a URI has it (RFC 3986, 2.1).
fn uri(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let encoded = path.bytes().map(|byte| if plain(byte) { char::from(byte).into() } else { format!("%{byte:02X}") });
    encoded.collect()
}

/// A log of SARIF 2.1.0.
pub(super) fn sarif(all: &[Problems]) -> Value {
    let results: Vec<Value> = each(all, as_result).collect();
    let rules: BTreeSet<String> = results.iter().filter_map(|r| r["ruleId"].as_str().map(str::to_owned)).collect();
    let rules: Vec<Value> = rules.into_iter().map(|id| json!({"id": id})).collect();
    let driver = json!({"name": "alloy", "version": env!("CARGO_PKG_VERSION"), "rules": rules});
    json!({
        "version": "2.1.0",
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "runs": [{"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}],
    })
}
