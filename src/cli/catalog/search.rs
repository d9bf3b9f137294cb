//! `alloy catalog search`.

use std::process::ExitCode;

use clap::Args as ClapArgs;
use serde_json::json;

use super::super::context::{Global, open_store};
use super::super::error::CommandError;
use super::super::ui::{self, Format};
use super::{CatalogArg, printable};
use crate::catalog::Summary;
use crate::catalog_clone;
use crate::event::Event;

/// Finds tools by id, name and features
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    #[command(flatten)]
    catalog: CatalogArg,
    /// Words that must all match, whatever their case; without any, all tools are listed
    words: Vec<String>,
    /// How to print the result
    #[arg(long, value_enum, default_value_t, value_name = "FORM")]
    format: Format,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CommandError> {
    let catalog = args.catalog.open(global)?;
    let known = catalog_clone::all(&open_store(global)?, &catalog);
    let words: Vec<String> =
        args.words.iter().flat_map(|word| word.split_whitespace()).map(str::to_lowercase).collect();
    let found: Vec<&Summary> = known.tools.iter().filter(|tool| tool.matches(&words)).collect();
    match args.format {
        Format::Json => ui::json(json!({"tools": found, "problems": known.problems})),
        Format::Human => {
            if !found.is_empty() {
                let header = ["ID", "VERSION", "NAME", "CAPABILITIES"].map(str::to_owned);
                let rows: Vec<_> = std::iter::once(header).chain(found.iter().map(|tool| row(tool))).collect();
                ui::table(&rows);
            }
            let reporter = ui::reporter(global.progress, global.quiet, global.task_output);
            known.warnings().into_iter().for_each(|text| reporter.event(Event::Warning(text)));
            if found.is_empty() {
                let tools = ui::count(known.tools.len(), "tool");
                reporter.event(Event::Note(format!("none of {tools} matches `{}`", args.words.join(" "))));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn row(tool: &Summary) -> [String; 4] {
    let version = tool.version.clone().unwrap_or_default();
    // What is in order needs no word.
    let version = match tool.status.as_deref() {
        None | Some("stable" | "active") => version,
        Some(status) => format!("{version} ({status})"),
    };
    let (name, capabilities) = (tool.name.as_deref().unwrap_or_default(), tool.capabilities.join(" "));
    [tool.id.clone(), printable(&version), printable(name), printable(&capabilities)]
}
