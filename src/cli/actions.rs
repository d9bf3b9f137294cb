//! `alloy actions`.

use std::process::ExitCode;

use clap::Args as ClapArgs;

use super::error::CommandError;
use super::ui;
use crate::action::{ACTIONS, Action, COMMON, Field, FieldKind};

/// Lists the actions of task files, or explains one
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// The action
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, CommandError> {
    let Some(name) = &args.name else {
        let rows: Vec<_> = ACTIONS.iter().map(|action| [action.name.to_owned(), action.summary.to_owned()]).collect();
        ui::table(&rows);
        return Ok(ExitCode::SUCCESS);
    };
    let Some(action) = Action::named(name) else {
        let error = CommandError::usage(format!("there is no action `{name}`"));
        let near = crate::yaml::nearest(name, ACTIONS.iter().map(|action| action.name));
        return Err(match near {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error.hint("`alloy actions` lists them"),
        });
    };
    outln!("{}: {}\n", action.name, action.summary);
    ui::table(&action.fields.iter().map(row).collect::<Vec<_>>());
    outln!("\nevery task:");
    ui::table(&COMMON.iter().map(row).collect::<Vec<_>>());
    Ok(ExitCode::SUCCESS)
}

fn row(field: &Field) -> [String; 4] {
    let needed = if field.required { "required" } else { "" };
    [format!("  {}", field.name), kind(field.kind), needed.to_owned(), field.summary.to_owned()]
}

fn kind(kind: FieldKind) -> String {
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
