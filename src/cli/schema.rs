//! `alloy schema`: JSON Schema (draft 2020-12) from the same slices as the parser.

use std::process::ExitCode;

use clap::{Args as ClapArgs, ValueEnum};
use serde_json::{Map, Value, json};

use super::error::CommandError;
use crate::action::{ACTIONS, COMMON, Field, FieldKind};
use crate::blueprint::{ARCHITECTURES, PER_ARCH_FIELDS};

/// Prints the JSON Schema of a kind of file, for editors
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
In an editor with the YAML language server, put this on top of a task file:
  # yaml-language-server: $schema=tasks.schema.json")]
pub(super) struct Args {
    /// The kind of file
    #[arg(value_enum)]
    kind: FileKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FileKind {
    /// manifest.yml
    Manifest,
    /// Task files
    Tasks,
    /// variables.yml
    Variables,
    /// alloy.lock.yml
    Lock,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, CommandError> {
    let mut schema = match args.kind {
        FileKind::Manifest => manifest(),
        FileKind::Tasks => tasks(),
        FileKind::Variables => variables(),
        FileKind::Lock => lock(),
    };
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    println!("{schema:#}");
    Ok(ExitCode::SUCCESS)
}

fn text() -> Value {
    // Numbers and booleans are taken as they are written.
    json!({"type": ["string", "number", "boolean"]})
}

fn variables() -> Value {
    json!({
        "type": ["object", "null"],
        "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_]*$"},
        "additionalProperties": {"type": ["string", "number", "boolean", "null"]},
    })
}

fn field(field: &Field) -> Value {
    let template = json!({"type": "string", "pattern": "\\{\\{|\\$"});
    let mut schema = match field.kind {
        FieldKind::Text => text(),
        FieldKind::Path => json!({"type": "string", "pattern": "^(/|.*\\{\\{|.*\\$)"}),
        FieldKind::Url => json!({"type": "string", "minLength": 1}),
        FieldKind::Sha256 => json!({"anyOf": [{"type": "string", "pattern": "^(sha256:)?[0-9A-Fa-f]{64}$"}, template]}),
        FieldKind::Flag => json!({"type": "boolean"}),
        FieldKind::Number => {
            json!({"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^[0-9]+$"}, template]})
        }
        FieldKind::Texts => json!({"type": "array", "items": text()}),
        FieldKind::Words => json!({"anyOf": [text(), {"type": "array", "items": text()}]}),
        FieldKind::Download => json!({
            "type": "object",
            "required": ["url"],
            "properties": {"url": {"type": "string"}, "sha256": {"type": "string"}},
        }),
        FieldKind::PerArch => {
            let fields: Map<String, Value> = PER_ARCH_FIELDS.iter().map(|name| ((*name).to_owned(), text())).collect();
            let block = json!({"type": "object", "properties": fields, "additionalProperties": false});
            let arches: Map<String, Value> =
                ARCHITECTURES.iter().map(|arch| ((*arch).to_owned(), block.clone())).collect();
            json!({"type": "object", "properties": arches, "additionalProperties": false})
        }
        FieldKind::OneOf(words) => json!({"anyOf": [{"enum": words}, template]}),
    };
    // `mode: 0755` is a number to YAML.
    if matches!(field.name, "mode" | "content") {
        schema = text();
    }
    schema["description"] = json!(field.summary);
    schema
}

fn tasks() -> Value {
    let overridden = |name: &str| PER_ARCH_FIELDS.contains(&name);
    let actions: Vec<Value> = ACTIONS
        .iter()
        .map(|action| {
            let all = COMMON.iter().chain(action.fields);
            let mut properties: Map<String, Value> = all.map(|f| (f.name.to_owned(), field(f))).collect();
            properties.insert("action".into(), json!({"const": action.name, "description": action.summary}));
            // What `per_arch` may bring is not missed at the top.
            let required: Vec<&str> = COMMON
                .iter()
                .chain(action.fields)
                .filter(|field| field.required && !overridden(field.name))
                .map(|field| field.name)
                .collect();
            json!({"title": action.name, "type": "object", "properties": properties, "required": required})
        })
        .collect();
    let names: Vec<&str> = ACTIONS.iter().map(|action| action.name).collect();
    // The action decides which fields there are: an editor then says what is wrong with those of that action.
    let conditions: Vec<Value> = actions
        .into_iter()
        .map(|schema| {
            json!({"if": {"properties": {"action": schema["properties"]["action"]}, "required": ["action"]}, "then": schema})
        })
        .collect();
    json!({
        "title": "alloy task file",
        "type": ["array", "null"],
        "items": {
            "type": "object",
            "required": ["name", "action"],
            "properties": {"action": {"enum": names}},
            "allOf": conditions,
        },
    })
}

fn manifest() -> Value {
    let texts = json!({"type": "array", "items": text()});
    let map = json!({"type": "object", "additionalProperties": {"type": ["string", "number", "boolean", "null"]}});
    let name = json!({"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$"});
    json!({
        "title": "alloy manifest",
        "type": "object",
        "required": ["name", "version", "run_order"],
        "additionalProperties": false,
        "properties": {
            "name": {"description": "Name of the environment", "type": ["string", "number"]},
            "version": {"description": "Semantic version", "type": ["string", "number"]},
            "description": text(),
            "authors": {"anyOf": [text(), texts]},
            "vendor": text(),
            "licenses": {"description": "SPDX expression", "type": "string"},
            "variables": variables(),
            "toolchains": {"type": "array", "items": {
                "type": "object",
                "required": ["ref"],
                "properties": {"ref": {"type": "string"}, "alias": {"type": "string"}},
            }},
            "required_env": {"type": "array", "items": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": name, "description": text(), "secret": {"type": "boolean"}},
            }},
            "supported_hosts": {"type": "array", "items": {"type": "string", "pattern": "^[^/]+/[^/]+"}},
            "image": {
                "type": "object",
                "additionalProperties": false,
                "properties": {
                    "base": {"type": "string"},
                    "env": map,
                    "env_from_profile": {"type": "boolean"},
                    "user": {"type": ["string", "number"]},
                    "workdir": {"type": "string", "pattern": "^/"},
                    "entrypoint": texts,
                    "cmd": texts,
                    "labels": map,
                },
            },
            "run_order": {"description": "Task files, in the order they run", "type": "array", "items": {"type": "string"}, "uniqueItems": true},
        },
    })
}

fn lock() -> Value {
    let sha256 = json!({"type": "string", "pattern": "^(sha256:)?[0-9A-Fa-f]{64}$"});
    let pin = json!({
        "type": "object",
        "required": ["url", "sha256"],
        "properties": {"url": {"type": "string"}, "sha256": sha256, "method": {"type": "string"}, "version": text()},
    });
    let toolchains = json!({"type": "object", "additionalProperties": pin});
    let download = json!({
        "type": "object",
        "required": ["sha256"],
        "properties": {"sha256": sha256, "size": {"type": "integer", "minimum": 0}},
    });
    json!({
        "title": "alloy lockfile",
        "type": ["object", "null"],
        "properties": {
            "resolved_at": {"type": "string"},
            "host": {"type": "string"},
            "toolchains": toolchains,
            "hosts": {"type": "object", "additionalProperties": {"type": "object", "properties": {"toolchains": toolchains}}},
            "downloads": {"type": "object", "additionalProperties": download},
        },
    })
}
