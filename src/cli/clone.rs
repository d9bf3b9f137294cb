//! `alloy clone`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args as ClapArgs;
use serde_json::json;

use super::context::{self, Global};
use super::error::{CommandError, Kind};
use super::hub::{HubArgs, tagged};
use super::inputs;
use super::interrupt::{self, CtrlC};
use super::ui::{self, Format};
use crate::event::Event;
use crate::hub::{self, Renewed};
use crate::plan::Platform;
use crate::resolve::Request;
use crate::sink::Theirs;

/// Downloads a blueprint from a registry, so that you can read, change and build it
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  alloy clone registry.example/community/arm/cortex-m:1.2.0
  alloy clone community/arm/cortex-m -o my-board --registry registry.example
  alloy clone community/arm/cortex-m --update --registry registry.example
  alloy clone --list community --registry registry.example")]
pub(super) struct Args {
    /// The blueprint, [REGISTRY/]PROJECT/VENDOR/BOARD[:TAG]
    #[arg(value_name = "NAME", required_unless_present = "list", conflicts_with = "list")]
    name: Option<String>,
    /// The directory to put it in, which must be new or empty [default: the last part of its name]
    #[arg(long, short, value_name = "DIR", conflicts_with = "list")]
    output: Option<PathBuf>,
    /// The tag, if NAME has none [default: latest]
    #[arg(long, value_name = "TAG", requires = "name")]
    tag: Option<String>,
    /// Update an earlier clone in that directory, or one that another tool made; files that you have changed are never
    /// overwritten
    #[arg(long, conflicts_with = "list")]
    update: bool,
    /// List the blueprints whose names begin with this
    #[arg(long, value_name = "[REGISTRY/]PROJECT")]
    list: Option<String>,
    /// How to list them
    #[arg(long, value_enum, default_value_t, value_name = "FORM", requires = "list")]
    format: Format,
    /// For which host, os/arch[/variant] [default: this machine]
    #[arg(long, value_name = "PLATFORM", conflicts_with = "list")]
    platform: Option<Platform>,
    /// Read the registry, and who we are to it, from a file of NAME=value lines
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    #[command(flatten)]
    hub: HubArgs,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CommandError> {
    let hub_args = args.hub.with(inputs::of_files(&args.env_file)?);
    match (&args.list, &args.name) {
        (Some(project), _) => list(project, args, &hub_args, global)?,
        (None, Some(name)) => clone(name, args, &hub_args, global)?,
        // clap wants one of them.
        (None, None) => return Err(CommandError::usage("name a blueprint")),
    }
    Ok(ExitCode::SUCCESS)
}

fn clone(name: &str, args: &Args, hub_args: &HubArgs, global: &Global) -> Result<(), CommandError> {
    let reference = hub_args.reference(name)?;
    let reference = tagged(reference, name, args.tag.as_deref())?;
    let last = reference.repository.rsplit('/').next().unwrap_or_default();
    let directory = args.output.as_deref().unwrap_or(Path::new(last));
    if !args.update {
        // Before anybody is asked.
        hub::free(directory)?;
    }
    let context = context::open(global, Some(&hub_args.registries(&reference)?))?;
    interrupt::obey(&context.runtime, CtrlC::Ours)?;
    let platform = args.platform.clone().unwrap_or_else(Platform::of_this_machine);
    let request = Request::new(&context, platform);
    let resolver = request.resolver(&context);
    let found = hub::find(&resolver, &reference)?;
    // A clone that root makes in somebody's home is theirs.
    let theirs = Theirs::of(directory);
    let how = match found.put(&resolver, directory, args.update)? {
        Renewed::New => String::new(),
        Renewed::Same => ", as it was".to_owned(),
        Renewed::Files(count) => format!(", {} changed", ui::count(count, "file")),
    };
    theirs.map_or(Ok(()), |theirs| theirs.hand_over()).map_err(|error| {
        CommandError::new(Kind::Failed, format!("cannot hand over {}: {error}", directory.display()))
    })?;
    let version = found.version.as_ref().map_or(String::new(), |version| format!(" {version}"));
    let title = found.title.as_deref().unwrap_or(name);
    let note = format!("{title}{version} from {reference}@{}{how}", found.digest);
    context.reporter().event(Event::Note(note));
    drop(request);
    drop(context);
    outln!("{}", directory.display());
    Ok(())
}

fn list(project: &str, args: &Args, hub_args: &HubArgs, global: &Global) -> Result<(), CommandError> {
    let name = project.trim_end_matches('/');
    let reference = hub_args.reference(name)?;
    let context = context::open(global, Some(&hub_args.registries(&reference)?))?;
    interrupt::obey(&context.runtime, CtrlC::Ours)?;
    let request = Request::new(&context, Platform::of_this_machine());
    let listed = hub::list(&request.resolver(&context), &reference, name)?;
    if listed.is_empty() {
        let note = format!("{} has no blueprint whose name begins with {}", reference.registry, reference.repository);
        context.reporter().event(Event::Note(note));
    }
    drop(request);
    drop(context);
    match args.format {
        Format::Human if listed.is_empty() => {}
        Format::Human => {
            let rows =
                listed.into_iter().map(|one| [one.name, one.tags.join(" "), one.description.unwrap_or_default()]);
            let header = ["NAME", "TAGS", "DESCRIPTION"].map(str::to_owned);
            ui::table(&std::iter::once(header).chain(rows).collect::<Vec<_>>());
        }
        Format::Json => {
            let listed = listed.iter().map(|one| {
                json!({
                    "name": one.name,
                    "repository": one.repository,
                    "tags": one.tags,
                    "description": one.description,
                })
            });
            ui::json(json!(listed.collect::<Vec<_>>()));
        }
    }
    Ok(())
}
