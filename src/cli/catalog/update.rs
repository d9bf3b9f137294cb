//! `alloy catalog update`.

use std::process::ExitCode;

use clap::Args as ClapArgs;
use serde_json::json;

use super::super::context::{Global, git_programs, open_store};
use super::super::error::CommandError;
use super::super::ui::{self, Format};
use super::CatalogArg;
use crate::catalog::Catalog;
use crate::catalog_clone::{self, Updated, Wanted};
use crate::event::Event;

/// Downloads or updates the catalog with git
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    #[command(flatten)]
    catalog: CatalogArg,
    /// The git repository to take it from [default: the one it last came from]
    #[arg(long, value_name = "URL|DIR", env = "ALLOY_CATALOG_REMOTE", hide_env_values = true)]
    remote: Option<String>,
    /// Discard local changes to the catalog
    #[arg(long)]
    discard: bool,
    /// How to print the result
    #[arg(long, value_enum, default_value_t, value_name = "FORM")]
    format: Format,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CommandError> {
    let directory = args.catalog.directory(global)?;
    let store = open_store(global)?;
    let _lock = store.lock("catalog")?;
    let updated = catalog_clone::update(&Wanted {
        directory: &directory,
        remote: args.remote.as_deref(),
        discard: args.discard,
        stall: global.stall_timeout,
        programs: &git_programs(),
    })?;
    let Updated { remote, commit, changed } = updated;
    let known = catalog_clone::all(&store, &Catalog::open(&directory)?);
    match args.format {
        Format::Human => {
            let tools = ui::count(known.tools.len(), "tool");
            let state = if changed { "updated" } else { "up to date" };
            ui::tell(&format!("{state}: {tools} from {remote} at {}\n", commit.get(..12).unwrap_or(&commit)));
        }
        Format::Json => {
            let (tools, problems) = (known.tools.len(), &known.problems);
            let directory = directory.display().to_string();
            let value = json!({"directory": directory, "remote": remote, "commit": commit, "changed": changed,
                               "tools": tools, "problems": problems});
            ui::json(value);
        }
    }
    let reporter = ui::reporter(global.progress, global.quiet, global.task_output);
    known.warnings().into_iter().for_each(|text| reporter.event(Event::Warning(text)));
    Ok(ExitCode::SUCCESS)
}
