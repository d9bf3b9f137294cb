//! The page about files: those with a schema by it, the others by the documentation of the types that are written.

use std::fmt::Write as _;

use serde_json::Value;

use super::{code, escaped, head, sentence};
use crate::cli::{man, schema};

/// A file with a schema: its heading, its kind, and what it is.
const WITH_SCHEMA: [(&str, &str, &str); 6] = [
    ("manifest.yml", "manifest", "The manifest of a blueprint. Its author writes it."),
    (
        "variables.yml",
        "variables",
        "The variables of a blueprint: one mapping of names to values. The manifest's `variables` win over it.",
    ),
    (
        "alloy.lock.yml",
        "lock",
        "The lockfile of a blueprint. `alloy lock` writes it, and it belongs into version control. [The lockfile](../concepts/lockfile.md) tells what it pins.",
    ),
    (
        "config.yml",
        "config",
        "A user's own configuration, in `$XDG_CONFIG_HOME/alloy/config.yml`. [Downloads and credentials](../how-to/downloads.md) tells how to use it.",
    ),
    (
        "index.yaml of a catalog",
        "catalog-index",
        "The versions that a catalog has of one tool, in `<kind>s/<vendor>/<tool>/index.yaml`.",
    ),
    ("VERSION.yaml of a catalog", "catalog-version", "One version of a tool, beside its `index.yaml`."),
];

/// A type that is written: the source that documents it, how its declaration begins, and what it is.
type Written = (&'static str, &'static str, &'static str);

macro_rules! source {
    ($path:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $path))
    };
}

const STATE: [Written; 3] = [
    (source!("src/install/state.rs"), "pub struct State {", "At the top, beside `version`:"),
    (source!("src/install/state.rs"), "pub struct Record {", "Each entry of `tasks`:"),
    (source!("src/install/state.rs"), "pub struct Wrote {", "`wrote` of a task:"),
];

const ENTRY: [Written; 5] = [
    (source!("src/cache/entry.rs"), "pub struct Entry {", "The record, as JSON:"),
    (source!("src/cache/entry.rs"), "pub enum Known {", "`known` is one of these:"),
    (source!("layers/src/store/layer.rs"), "pub struct LayerBlob {", "`layer` of any of them:"),
    (source!("layers/src/media_type.rs"), "pub struct Descriptor {", "`descriptor` of a layer:"),
    (source!("src/cache/mod.rs"), "pub enum Way {", "`way` of the layer of an archive:"),
];

const RECORDS: [Written; 2] = [
    (source!("src/cache/mod.rs"), "pub struct LayerRecord {", "Under a layer's key:"),
    (source!("src/cache/mod.rs"), "pub struct PortableRecord {", "Under the key of an archive's layer:"),
];

/// The page.
pub(super) fn page() -> String {
    let mut page =
        head("Files", "the schemas of `alloy schema`, the list in `src/cli/man.rs`, and the types that are written");
    page += "alloy reads and writes these files. `alloy schema KIND` prints the JSON Schema of those that people write.\n\n";
    page += "| place | what is there |\n|---|---|\n";
    for (place, what) in man::FILES {
        let places: Vec<String> = place.split(", ").map(code).collect();
        let _ = writeln!(page, "| {} | {} |", places.join(", "), escaped(what));
    }
    page += "\n";
    for (title, kind, what) in WITH_SCHEMA {
        let _ = write!(page, "## {title}\n\n{what} Its schema is `alloy schema {kind}`.\n\n");
        let schema = schema::of(kind);
        if schema["properties"].is_object() {
            page += "| field | kind | | meaning |\n|---|---|---|---|\n";
            rows(&mut page, &schema, "");
            page += "\n";
        }
    }
    page += "## Task files\n\nThe manifest's `run_order` names them. Each is a list of tasks; [actions](actions.md) has their \
             fields. Their schema is `alloy schema tasks`.\n\n";
    page += "## alloy.state.yml\n\nWhat an installation on a host has done, task by task. `alloy install` writes it after each \
             task. It belongs to one host, and not into version control. No value of a secret is in it. The file ends with \
             `...`, so that one that was cut off is noticed.\n\n";
    STATE.iter().for_each(|written| documented(&mut page, written));
    page += "## Entries of a team's cache\n\nAn entry is an OCI artifact of the type `application/vnd.alloy.cache.v1`. The \
             record is in its annotation `vnd.alloy.cache.record`, its signature in `vnd.alloy.cache.signature`, and the \
             artifact's layer is the layer that the record is about. The tag `alloy-cache` of the repository is an image index \
             that lists all entries with their names.\n\n";
    ENTRY.iter().for_each(|written| documented(&mut page, written));
    page += "## The store\n\n";
    let layout = source!("layers/src/store.rs");
    let lines = layout.lines().skip_while(|line| *line != "//! ```text").skip(1).take_while(|line| *line != "//! ```");
    let lines: Vec<&str> = lines.map(|line| line.trim_start_matches("//! ")).collect();
    let _ = write!(page, "```\n{}\n```\n\n", lines.join("\n"));
    page += "`version` holds the number of this layout. Every record has a digest of itself and of its key. These are the \
             records of layers:\n\n";
    RECORDS.iter().for_each(|written| documented(&mut page, written));
    page
}

/// The fields of a mapping, those below them included.
fn rows(page: &mut String, schema: &Value, above: &str) {
    let required = |name: &str| schema["required"].as_array().is_some_and(|all| all.iter().any(|one| one == name));
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
        row(page, &path, field, required(name));
    }
}

fn row(page: &mut String, path: &str, field: &Value, required: bool) {
    let needed = if required { "required" } else { "" };
    let meaning = sentence(&escaped(field["description"].as_str().unwrap_or_default()));
    let _ = writeln!(page, "| {} | {} | {needed} | {meaning} |", code(path), kind(field));
    below(page, path, field);
}

/// What stands below a field: its own fields, those that have any name, and those of the entries of a list.
fn below(page: &mut String, path: &str, field: &Value) {
    rows(page, field, path);
    for one in field["anyOf"].as_array().into_iter().flatten() {
        rows(page, one, path);
    }
    for (path, inner) in [(format!("{path}.*"), &field["additionalProperties"]), (format!("{path}[]"), &field["items"])]
    {
        if inner["description"].is_string() {
            row(page, &path, inner, false);
        } else if inner.is_object() {
            below(page, &path, inner);
        }
    }
}

/// What a field holds, in a word or two.
fn kind(field: &Value) -> String {
    if let Some(words) = field["enum"].as_array() {
        let words: Vec<String> = words.iter().filter_map(|word| word.as_str()).map(code).collect();
        return words.join(" or ");
    }
    if let Some(word) = field.get("const") {
        return code(word.as_str().map_or_else(|| word.to_string(), str::to_owned).as_str());
    }
    if let Some(any) = field["anyOf"].as_array() {
        let mut kinds: Vec<String> = any.iter().map(kind).collect();
        kinds.dedup();
        return kinds.join(" or ");
    }
    let of = |name: &str| match name {
        "object" => "mapping",
        "array" => "list",
        "boolean" => "true or false",
        "integer" => "number",
        _ => "text",
    };
    match &field["type"] {
        Value::String(name) => of(name).to_owned(),
        // Numbers and booleans are taken as they are written.
        Value::Array(names) if names.iter().any(|name| name == "string") => "text".to_owned(),
        Value::Array(names) => of(names[0].as_str().unwrap_or_default()).to_owned(),
        _ => "mapping".to_owned(),
    }
}

/// The fields of a type, each with its documentation.
fn documented(page: &mut String, (source, declaration, what): &Written) {
    let _ = write!(page, "{what}\n\n| field | meaning |\n|---|---|\n");
    let found = fields(source, declaration);
    assert!(!found.is_empty(), "there is no `{declaration}`");
    for (name, doc) in found {
        let _ = writeln!(page, "| {} | {} |", code(&name), sentence(&escaped(&linked(&doc))));
    }
    *page += "\n";
}

/// Links of rustdoc as the code that they lead to.
fn linked(text: &str) -> String {
    text.replace("[`", "`").replace("`]", "`")
}

/// Names and documentation of the fields of a struct, and of the variants of an enum with theirs.
fn fields(source: &str, declaration: &str) -> Vec<(String, String)> {
    let (mut found, mut doc, mut variant) = (Vec::new(), String::new(), String::new());
    let is_enum = declaration.contains(" enum ");
    let lines = source.lines().skip_while(|line| *line != declaration).skip(1);
    for line in lines.take_while(|line| *line != "}") {
        let (depth, text) = (line.len() - line.trim_start().len(), line.trim());
        if let Some(words) = text.strip_prefix("///") {
            doc += words;
            continue;
        }
        if text.starts_with("#[") {
            continue;
        }
        let name = text.trim_start_matches("pub ").split([':', ' ', ',', '{', '(']).next().unwrap_or_default();
        if !name.is_empty() && name != "}" {
            let own = is_enum && depth == 4;
            let named = if own { kebab(name) } else { name.to_owned() };
            let path = if own || variant.is_empty() { named.clone() } else { format!("{variant}.{named}") };
            if own {
                variant = named;
            }
            found.push((path, std::mem::take(&mut doc).trim().to_owned()));
        }
        doc.clear();
    }
    found
}

/// A variant as serde writes it.
fn kebab(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !out.is_empty() {
            out.push('-');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

#[test]
fn documentation_of_types_is_read() {
    let source = "/// X.\npub enum Known {\n    /// A layer.\n    Layer {\n        /// Its\n        /// name.\n        name: String,\n    },\n    /// Not.\n    InPlace,\n}\n";
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    let expected = [pair("layer", "A layer."), pair("layer.name", "Its name."), pair("in-place", "Not.")];
    assert_eq!(fields(source, "pub enum Known {"), expected);
}
