//! `alloy actions`.

use std::process::ExitCode;

use clap::Args as ClapArgs;
use serde_json::{Value, json};

use super::error::CommandError;
use super::ui::{self, Format};
use crate::action::{ACTIONS, Action, COMMON, Field, FieldKind};

/// Lists the actions of task files, or explains one
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// The action to explain
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// How to print the result
    #[arg(long, value_enum, default_value_t, value_name = "FORM")]
    format: Format,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, CommandError> {
    let Some(name) = &args.name else {
        if args.format == Format::Json {
            let actions: Vec<Value> = ACTIONS.iter().map(|action| with_fields(action)).collect();
            ui::json(json!({"actions": actions, "every_task": each(&COMMON)}));
            return Ok(ExitCode::SUCCESS);
        }
        let rows: Vec<_> = ACTIONS.iter().map(|action| [action.name.to_owned(), action.summary.to_owned()]).collect();
        ui::table(&rows);
        return Ok(ExitCode::SUCCESS);
    };
    let Some(action) = Action::named(name) else {
        let error = CommandError::usage(format!("there is no action `{name}`"));
        return Err(error.hint(Action::meant(name).unwrap_or_else(|| "`alloy actions` lists them".to_owned())));
    };
    if args.format == Format::Json {
        ui::json(with_fields(action));
        return Ok(ExitCode::SUCCESS);
    }
    outln!("{}: {}\n", action.name, action.summary);
    ui::table(&action.fields.iter().map(row).collect::<Vec<_>>());
    outln!("\nevery task:");
    ui::table(&COMMON.iter().map(row).collect::<Vec<_>>());
    Ok(ExitCode::SUCCESS)
}

fn with_fields(action: &Action) -> Value {
    json!({"name": action.name, "summary": action.summary, "fields": each(action.fields)})
}

fn each(fields: &[Field]) -> Vec<Value> {
    let one = |field: &Field| {
        let kind = kind(field.kind);
        json!({"name": field.name, "kind": kind, "required": field.required, "summary": field.summary})
    };
    fields.iter().map(one).collect()
}

fn row(field: &Field) -> [String; 4] {
    let needed = if field.required { "required" } else { "" };
    [format!("  {}", field.name), kind(field.kind), needed.to_owned(), field.summary.to_owned()]
}

pub(super) fn kind(kind: FieldKind) -> String {
    match kind {
        FieldKind::Text => "text".into(),
        FieldKind::Path => "path".into(),
        FieldKind::Url => "url".into(),
        FieldKind::Sha256 => "sha256".into(),
        FieldKind::Flag => "true or false".into(),
        FieldKind::Number => "number".into(),
        FieldKind::Texts | FieldKind::Downloads => "list".into(),
        FieldKind::Words => "list or text".into(),
        FieldKind::PerArch | FieldKind::Download | FieldKind::Env => "mapping".into(),
        FieldKind::OneOf(words) => words.join("|"),
    }
}
