//! `alloy verify`.

use std::path::Path;
use std::process::ExitCode;

use clap::Args as ClapArgs;
use layers::media_type::Descriptor;

use super::context::{self, Global};
use super::error::{CommandError, Kind};
use super::inputs::{InputArgs, Prepared};
use super::interrupt::{self, CtrlC};
use super::ssh::SshArgs;
use super::ui::{self, Format};
use crate::build::{Build, LookInside, NoCache, Options, Resolved, Verdict};
use crate::context::Context;
use crate::event::Event;
use crate::image::{self, BuiltFrom, LocalImage, Manifest};
use crate::plan::Platform;

mod report;

/// Differences of a layer that are told without --all.
const SHOWN: usize = 20;

/// Builds an image again without the cache, and compares the result
///
/// An image is built again from the blueprint and with the options that it was built with. A blueprint is compared with
/// the image that the store has for it, which is built first if it is missing. Everything is built in a temporary
/// store; downloads and the base stay the same. Each of several platforms is built. The exit code is 0 if both results
/// are equal. Otherwise it is 1, and the report names, layer by layer, each file that differs, the field, both values,
/// and the task file that wrote it.
#[derive(Debug, ClapArgs)]
#[command(
    mut_arg("directory", |arg| arg
        .value_name("REF|DIR")
        .help("An image of the store, or a blueprint: a directory with a manifest.yml")),
    after_help = "\
Examples:
  alloy verify examples/cortex-m
  alloy verify arm-env
  alloy verify arm-env --var VENDOR_TOKEN=…     (values of secrets are not remembered)
  alloy verify . --format json --all"
)]
pub(super) struct Args {
    #[command(flatten)]
    inputs: InputArgs,
    #[command(flatten)]
    ssh: SshArgs,
    /// List all differences
    #[arg(long)]
    all: bool,
    /// How to print the result
    #[arg(long, value_enum, default_value_t, value_name = "FORM")]
    format: Format,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CommandError> {
    let mut context = context::open(global, Some(&args.inputs.registry))?;
    context.ssh = args.ssh.open(context.stall())?;
    context::keep_log(&mut context, &format!("verify {}", args.inputs.directory.display()));
    interrupt::obey(&context.runtime, CtrlC::Ours)?;
    let mut verdicts = Vec::new();
    if is_blueprint(&args.inputs.directory) {
        let prepared = args.inputs.prepare()?;
        Prepared::warn(&prepared, &context);
        let several = prepared.len() > 1;
        for one in prepared {
            announce(&context, several, &one.platform);
            verdicts.push(verify(args, &context, &args.inputs, &one, None)?);
        }
    } else {
        let images = images(args, &context)?;
        for (image, from) in &images {
            announce(&context, images.len() > 1, &image.platform);
            let inputs = args.inputs.remembered(&image.name, from)?;
            let context = context.reaching(inputs.registry.registries(context.stall()));
            let prepared = inputs.prepare()?;
            Prepared::warn(&prepared, &context);
            for one in prepared {
                let one = Prepared { epoch: from.epoch, ..one };
                verdicts.push(verify(args, &context, &inputs, &one, Some((image, from)))?);
            }
        }
    }
    match args.format {
        Format::Human => report::human(&verdicts),
        Format::Json => ui::json(report::as_json(&verdicts)),
    }
    let identical = verdicts.iter().all(|(_, verdict)| verdict.is_identical());
    Ok(if identical { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Says which of several platforms it is.
fn announce(context: &Context, several: bool, platform: &Platform) {
    if several {
        context.reporter().event(Event::Platform(platform.to_string()));
    }
}

/// Builds `prepared` once more: what `image` is, or else what the store has for it, built now where it is missing.
fn verify(
    args: &Args,
    context: &Context,
    inputs: &InputArgs,
    prepared: &Prepared,
    image: Option<(&LocalImage, &BuiltFrom)>,
) -> Result<(Platform, Verdict), CommandError> {
    let request = inputs.request(context, prepared);
    let resolver = request.resolver(context);
    let options = Options {
        compression: inputs.compression,
        epoch: prepared.epoch,
        no_cache: NoCache::Nothing,
        layering: inputs.layers,
        push: Vec::new(),
        whole: false,
        look_inside: LookInside::Never,
    };
    let (directory, lowered) = (&*prepared.blueprint.directory, &prepared.lowered);
    let build = Build { resolver: &resolver, directory, lowered, options: &options };
    let resolved = build.resolve()?;
    let manifest = match image {
        Some((image, from)) => same(&build, &resolved, image, from)?,
        None => build.run(resolved.clone())?.manifest,
    };
    let limit = if args.all { usize::MAX } else { SHOWN };
    Ok((prepared.platform.clone(), build.verify(&resolved, manifest.digest, limit)?))
}

/// What looks like a path, or is a blueprint, is no image.
fn is_blueprint(given: &Path) -> bool {
    let text = given.to_string_lossy();
    text.starts_with(['.', '/']) || given.join("manifest.yml").is_file()
}

/// The image that was asked for, for each platform or those asked for, and what each was built from.
fn images(args: &Args, context: &Context) -> Result<Vec<(LocalImage, BuiltFrom)>, CommandError> {
    let local = image::named(&context.store, &args.inputs.directory.to_string_lossy())
        .map_err(|error| CommandError::from(error).hint("or name a directory with a manifest.yml"))?;
    let name = local.name();
    let images: Vec<&LocalImage> = match args.inputs.platform.as_slice() {
        [] => local.images().iter().collect(),
        platforms => platforms.iter().map(|platform| local.select(Some(platform))).collect::<Result<_, _>>()?,
    };
    let from = |image: &LocalImage| match image.from.clone() {
        Some(from) => Ok((image.clone(), from)),
        None => {
            let message = if was_changed(context, image) {
                format!("{name} is not what a blueprint made: `alloy run --rw` has changed it since")
            } else {
                format!("{name} does not say what it was built from: it was pulled, joined, or is older")
            };
            let hint =
                format!("build it again: alloy build DIR -t {name}; `alloy run --rw=OTHER` leaves an image as it is");
            Err(CommandError::new(Kind::Failed, message).hint(hint))
        }
    };
    images.into_iter().map(from).collect()
}

/// True if a command's changes are a layer of it.
fn was_changed(context: &Context, image: &LocalImage) -> bool {
    let config = || -> Result<serde_json::Value, CommandError> {
        let manifest: Manifest = image::read_document(&context.store, &image.name, &image.manifest.digest)?;
        Ok(image::read_document(&context.store, &image.name, &manifest.config.digest)?)
    };
    let made = |config: serde_json::Value| {
        config["history"].as_array().is_some_and(|all| all.iter().any(|one| one["created_by"] == "alloy run"))
    };
    config().is_ok_and(made)
}

/// The image's manifest, if it can be built once more from what it was built from.
fn same(
    build: &Build<'_>,
    resolved: &Resolved,
    image: &LocalImage,
    from: &BuiltFrom,
) -> Result<Descriptor, CommandError> {
    let changes = build.changed(resolved, from)?;
    if changes.is_empty() {
        return Ok(image.manifest.clone());
    }
    let changes: String = changes.iter().map(|change| format!("\n  {change}")).collect();
    let message = format!("{} was built from something else than is there now:{changes}", image.name);
    let directory = from.directory.display();
    Err(CommandError::new(Kind::Failed, message).hint(format!("verify what is there now: alloy verify {directory}")))
}
