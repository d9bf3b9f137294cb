//! `alloy publish`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args as ClapArgs, ValueEnum};

use super::context::{self, Global};
use super::error::{CommandError, Kind};
use super::hub::HubArgs;
use super::inputs::epoch;
use super::interrupt::{self, CtrlC};
use super::ui;
use crate::blueprint::{self, Blueprint, LoadError, Problems};
use crate::event::{Event, Reporter};
use crate::hub::{self, Contents, Form, Packing};
use crate::lint::{Looked, look, unpinned as not_pinned};
use crate::plan::{self, Platform};
use crate::registry::Reference;
use crate::resolve::Request;
use crate::yaml::Diagnostic;

/// Publishes a blueprint in a registry, for each host it supports
///
/// The artifact holds the manifest, the variables, the task files of `run_order`, the files that tasks read,
/// alloy.lock.yml, README and LICENSE. The same blueprint always gives the same bytes. Without a tag, it is published
/// under its version and as `latest`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  alloy publish . registry.example/community/arm/cortex-m
  alloy publish . community/arm/cortex-m:1.2.0 --registry registry.example
  alloy publish . registry.example/community/arm/cortex-m --format hub

Exit codes: 0 it is published; 3 the blueprint has errors, or needs what nothing pins; 4 the registry refused it")]
pub(super) struct Args {
    /// The blueprint
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The name to publish it under, [REGISTRY/]PROJECT/VENDOR/BOARD[:TAG]
    #[arg(value_name = "REF")]
    reference: String,
    /// Publish it even if its lockfile does not pin everything that it needs
    #[arg(long)]
    allow_unpinned: bool,
    /// Treat warnings as errors
    #[arg(long)]
    strict: bool,
    /// In which form
    #[arg(long, value_enum, default_value_t, value_name = "FORM")]
    format: Format,
    #[command(flatten)]
    hub: HubArgs,
}

/// How a blueprint is published
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Format {
    /// One layer with all files
    #[default]
    Alloy,
    /// The layers of the existing hub, for tools that read no other format
    Hub,
}

impl From<Format> for Form {
    fn from(format: Format) -> Self {
        match format {
            Format::Alloy => Self::Alloy,
            Format::Hub => Self::Hub,
        }
    }
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CommandError> {
    let reference = args.hub.reference(&args.reference)?;
    if reference.digest.is_some() {
        return Err(CommandError::usage(format!("`{}` has a digest: give a tag", args.reference)));
    }
    let (read, problems) = blueprint::read(&args.directory)?;
    let Some(read) = read else { return Err(LoadError::Invalid(problems).into()) };
    let destinations = destinations(&reference, &args.reference, &read.manifest.version)?;
    let epoch = epoch()?;
    let context = context::open(global, Some(&args.hub.registries(&reference)?))?;
    interrupt::obey(&context.runtime, CtrlC::Ours)?;
    let hosts = hosts(&read, context.reporter())?;
    let looked = look(&read, problems, args.strict);
    ui::hide(&looked.secrets);
    checked(&read, looked, args.allow_unpinned, context.reporter())?;
    let files =
        plan::files_read(&read).map_err(|diagnostics| Problems { diagnostics, sources: read.sources.clone() })?;
    let contents = Contents::of(&read, files)?;
    let packing = Packing { form: args.format.into(), hosts: &hosts, epoch };
    let package = hub::pack(&context.store, &contents, &read.manifest, packing)?;
    let request = Request::new(&context, Platform::of_this_machine());
    let digest = hub::publish(&request.resolver(&context), &package, &destinations)?;
    let told: Vec<String> = hosts.iter().map(ToString::to_string).collect();
    let told = if told.is_empty() { "every host".to_owned() } else { told.join(", ") };
    let files = ui::count(contents.paths().count(), "file");
    context.reporter().event(Event::Note(format!("published {} for {told}: {files}", read.manifest.name)));
    drop(request);
    drop(context);
    destinations.iter().for_each(|destination| outln!("{destination}@{digest}"));
    Ok(ExitCode::SUCCESS)
}

/// The names to give, `latest` last: who asks for it is to find the version, too.
fn destinations(reference: &Reference, given: &str, version: &str) -> Result<Vec<Reference>, CommandError> {
    let named = given.rsplit('/').next().is_some_and(|last| last.contains(':'));
    if named {
        return Ok(vec![reference.clone()]);
    }
    // Versions of semver may have a `+`, tags may not.
    let versioned = format!("{}:{}", reference.bare(), version.replace('+', "_"));
    let versioned = versioned.parse().map_err(|_| {
        CommandError::usage(format!("the version `{version}` of the blueprint cannot be a tag"))
            .hint(format!("give another one: {given}:TAG"))
    })?;
    Ok(vec![versioned, reference.clone()])
}

/// The hosts that the blueprint says it supports, as far as alloy knows them.
fn hosts(blueprint: &Blueprint, reporter: &Reporter) -> Result<Vec<Platform>, CommandError> {
    let mut hosts = Vec::new();
    for text in blueprint.manifest.hosts() {
        match text.parse::<Platform>() {
            Ok(host) if hosts.contains(&host) => {}
            Ok(host) => hosts.push(host),
            Err(_) => reporter.event(Event::Note(format!("{text} is left out: alloy is for Linux"))),
        }
    }
    hosts.sort();
    if hosts.is_empty() && !blueprint.manifest.hosts().is_empty() {
        let list = blueprint.manifest.hosts().join(", ");
        let message = format!("the blueprint supports no host that alloy knows: {list}");
        return Err(
            CommandError::new(Kind::Blueprint, message).hint("add one to `supported_hosts`, such as linux/amd64")
        );
    }
    Ok(hosts)
}

/// An error if anything is wrong with the blueprint. What is not pinned is a warning where that is allowed.
fn checked(
    blueprint: &Blueprint,
    looked: Looked,
    allow_unpinned: bool,
    reporter: &Reporter,
) -> Result<(), CommandError> {
    let sources = &looked.problems.sources;
    let usable = blueprint.lock.as_ref().is_none_or(|lockfile| lockfile.read.is_ok());
    // Of a lockfile that cannot be read, all that is said is about the file itself.
    let is_unpinned = |diagnostic: &Diagnostic| {
        diagnostic.code == "unpinned" || usable && diagnostic.is_error() && diagnostic.code == "lock"
    };
    let (mut unpinned, others): (Vec<_>, Vec<_>) = looked.problems.diagnostics.into_iter().partition(is_unpinned);
    if others.iter().any(Diagnostic::is_error) {
        return Err(Problems { diagnostics: others, sources: sources.clone() }.into());
    }
    unpinned.extend(looked.lowered.iter().flat_map(|(platform, lowered)| not_pinned(blueprint, platform, lowered)));
    let mut seen = std::collections::HashSet::new();
    unpinned.retain(|diagnostic| seen.insert((diagnostic.span, diagnostic.message.clone())));
    let told = |diagnostic: &Diagnostic| {
        let help = diagnostic.help.as_ref().map_or(String::new(), |help| format!("; {help}"));
        format!("{}: {}{help}", sources.place(diagnostic.span), diagnostic.message)
    };
    if !unpinned.is_empty() && !allow_unpinned {
        let unpinned = unpinned.into_iter().map(|one| one.strictly(true)).collect();
        let error = CommandError::from(Problems { diagnostics: unpinned, sources: sources.clone() });
        let hint = "`alloy lock` pins what it needs; --allow-unpinned publishes it as it is";
        return Err(error.hint(hint));
    }
    for diagnostic in others.iter().chain(&unpinned) {
        reporter.event(Event::Warning(told(diagnostic)));
    }
    Ok(())
}
