//! `alloy schema`: JSON Schema (draft 2020-12) from the same slices as the parser.

mod catalog;
mod config;
mod lock;
mod manifest;

use std::process::ExitCode;

use clap::{Args as ClapArgs, ValueEnum};
use serde_json::{Map, Value, json};

use super::error::CommandError;
use super::ui;
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
    /// index.yaml of a tool in a catalog
    CatalogIndex,
    /// The file of one version in a catalog
    CatalogVersion,
    /// A user's own config.yml: headers for servers of downloads
    Config,
}

impl FileKind {
    fn schema(self) -> Value {
        match self {
            Self::Manifest => manifest::manifest(),
            Self::Tasks => tasks(),
            Self::Variables => manifest::variables(),
            Self::Lock => lock::lock(),
            Self::CatalogIndex => catalog::index(),
            Self::CatalogVersion => catalog::version(),
            Self::Config => config::config(),
        }
    }
}

/// The schema of a kind of file, by the name of the kind.
#[cfg(test)]
pub(super) fn of(kind: &str) -> Value {
    FileKind::from_str(kind, false).unwrap().schema()
}

pub(super) fn run(args: &Args) -> Result<ExitCode, CommandError> {
    let mut schema = args.kind.schema();
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    ui::json_lines(schema);
    Ok(ExitCode::SUCCESS)
}

fn text() -> Value {
    // Numbers and booleans are taken as they are written.
    json!({"type": ["string", "number", "boolean"]})
}

/// Variables of an environment.
fn environment() -> Value {
    json!({
        "type": "object",
        "propertyNames": {"pattern": "^[^=]+$"},
        "additionalProperties": {"type": ["string", "number", "boolean", "null"]},
    })
}

/// A digest, with or without its algorithm.
fn sha256() -> Value {
    json!({"description": "SHA-256: 64 hexadecimal digits", "type": "string", "pattern": "^(sha256:)?[0-9A-Fa-f]{64}$"})
}

/// `schema` with what an editor shows beside it.
fn described(mut schema: Value, description: &str) -> Value {
    schema["description"] = json!(description);
    schema
}

fn field(field: &Field) -> Value {
    let template = json!({"type": "string", "pattern": "\\{\\{|\\$"});
    let mut schema = match field.kind {
        FieldKind::Text => text(),
        FieldKind::Path => json!({"type": "string", "pattern": "^(/|.*\\{\\{|.*\\$)"}),
        FieldKind::Url => json!({"type": "string", "minLength": 1}),
        FieldKind::Sha256 => json!({"anyOf": [sha256(), template]}),
        FieldKind::Flag => json!({"type": "boolean"}),
        FieldKind::Number => {
            json!({"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^[0-9]+$"}, template]})
        }
        FieldKind::Texts => json!({"type": "array", "items": text()}),
        FieldKind::Words => json!({"anyOf": [text(), {"type": "array", "items": text()}]}),
        FieldKind::Download => json!({
            "type": "object",
            "required": ["url"],
            "properties": {
                "url": described(json!({"type": "string"}), "Where it is"),
                "sha256": {"anyOf": [sha256(), template]},
            },
        }),
        FieldKind::Downloads => {
            let fields = json!({
                "url": described(text(), "Where it is"),
                "sha256": {"anyOf": [sha256(), template]},
                "arch": described(json!({"type": "string"}), "Debian's name of the only architecture it is for"),
            });
            let one =
                json!({"type": "object", "required": ["url"], "properties": fields, "additionalProperties": false});
            json!({"type": "array", "items": {"anyOf": [text(), one]}})
        }
        FieldKind::PerArch => {
            let fields: Map<String, Value> = PER_ARCH_FIELDS.iter().map(|name| ((*name).to_owned(), text())).collect();
            let block = json!({"type": "object", "properties": fields, "additionalProperties": false});
            let of = |arch: &str| (arch.to_owned(), described(block.clone(), &format!("What differs on {arch}")));
            let arches: Map<String, Value> = ARCHITECTURES.iter().map(|arch| of(arch)).collect();
            json!({"type": "object", "properties": arches, "additionalProperties": false})
        }
        FieldKind::Env => environment(),
        FieldKind::OneOf(words) => json!({"anyOf": [{"enum": words}, template]}),
    };
    // `mode: 0755` is a number to YAML.
    if field.name == "mode" {
        schema = json!({"type": ["string", "integer"]});
    }
    described(schema, field.summary)
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
            let mut schema =
                json!({"title": action.name, "type": "object", "properties": properties, "required": required});
            if action.name == "apt_install" {
                schema["anyOf"] = json!([{"required": ["packages"]}, {"required": ["debs"]}]);
            }
            schema
        })
        .collect();
    let names: Vec<&str> = ACTIONS.iter().map(|action| action.name).collect();
    // The action decides which fields there are: an editor then says what is wrong with those of that
    // action.
    let conditions: Vec<Value> = actions
        .into_iter()
        .map(|schema| {
            json!({"if": {"properties": {"action": schema["properties"]["action"]}, "required": ["action"]}, "then": schema})
        })
        .collect();
    json!({
        "title": "alloy task file",
        "description": "Tasks, in the order they run",
        "type": ["array", "null"],
        "items": {
            "type": "object",
            "required": ["name", "action"],
            "properties": {"action": described(json!({"enum": names}), "What the task does")},
            "allOf": conditions,
        },
    })
}
