//! `alloy build`.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Args as ClapArgs;
use layers::media_type::Descriptor;

use super::context::{Context, Global, image_name, now};
use super::documents;
use super::error::CommandError;
use super::inputs::{InputArgs, Prepared};
use super::interrupt::{self, CtrlC};
use super::push::AttachArgs;
use super::ui;
use crate::build::{self, BuildError, Built, NoCache, Options};
use crate::event::Event;
use crate::image::{self, BuiltFrom, LocalImage, Output};
use crate::plan::Platform;
use crate::resolve::Origin;

mod deliver;
mod metadata;

/// The name under which a failed build can be looked into.
const FAILED: &str = "alloy-failed:latest";

/// Builds an image from a blueprint
///
/// Each task file becomes a layer. A layer whose tasks, inputs and base are the same as before is taken from the store.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  alloy build examples/hello -t hello
  alloy build . -t registry.example/team/arm-env:1.2 --push
  alloy build . -t arm-env -o type=oci,dest=arm-env.oci
  alloy build . -t arm-env --base registry.example/base:12 --var VERSION=13.3")]
pub(super) struct Args {
    /// Name of the image, [REGISTRY/]NAME[:TAG]; may be given more than once
    #[arg(long, short, value_name = "REF")]
    tag: Vec<String>,
    /// Push the image under every name given with --tag
    #[arg(long, requires = "tag")]
    push: bool,
    /// Also write the image: type=oci|oci-archive|docker-archive|tar|dir,dest=PATH
    #[arg(long, short, value_name = "OUTPUT")]
    output: Vec<Output>,
    /// Build all layers anew, or those of these task files
    #[arg(long, value_name = "FILE", num_args = 0.., require_equals = true, value_delimiter = ',')]
    no_cache: Option<Vec<String>>,
    /// Build those layers anew that have a task with `always_run`
    #[arg(long, conflicts_with = "no_cache")]
    refresh: bool,
    /// Ask again what tags, suites and downloads without a digest stand for
    #[arg(long)]
    pull: bool,
    /// Write digests and layers as JSON
    #[arg(long, value_name = "FILE")]
    metadata_file: Option<PathBuf>,
    #[command(flatten)]
    attach: AttachArgs,
    #[command(flatten)]
    inputs: InputArgs,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CommandError> {
    let start = Instant::now();
    let names = args.tag.iter().map(|tag| image_name(tag)).collect::<Result<Vec<_>, _>>()?;
    if args.push
        && let Some(name) = names.iter().find(|name| !name.names_registry())
    {
        return Err(CommandError::usage(format!("`{name}` names no registry to push to"))
            .hint(format!("write it out: --tag REGISTRY/{name}")));
    }
    let attach = args.attach.read()?;
    let mut prepared = args.inputs.prepare()?;
    let context = Context::open(global)?;
    interrupt::obey(&context.runtime, CtrlC::Ours);
    prepared.warn(&context);
    let mut network = args.inputs.network(&context, &prepared);
    network.pull = args.pull;
    let resolver = network.resolver();
    let platform = prepared.platform.clone();
    let no_cache = match &args.no_cache {
        None if args.refresh => NoCache::AlwaysRun,
        None => NoCache::Nothing,
        Some(files) if files.is_empty() => NoCache::Everything,
        Some(files) => {
            let known = |file: &&String| prepared.lowered.layers.iter().any(|layer| layer.name == **file);
            if let Some(file) = files.iter().find(|file| !known(file)) {
                return Err(CommandError::usage(format!("--no-cache: the blueprint has no task file `{file}`")));
            }
            NoCache::Files(files.iter().cloned().collect::<BTreeSet<_>>())
        }
    };
    let push = if args.push { names.clone() } else { Vec::new() };
    let options = Options {
        compression: args.inputs.compression,
        epoch: prepared.epoch,
        no_cache,
        layering: args.inputs.layers,
        push,
    };
    let lowered = std::mem::take(&mut prepared.lowered);
    let built = build::build(&resolver, &prepared.blueprint.directory, lowered, &options)
        .map_err(|error| explain(error, &context, &platform))?;
    let from = built_from(&args.inputs, &prepared, &built);
    let documents = match args.attach.no_attest {
        true => None,
        false => Some(documents::of_build(&context.store, &built, &prepared, &from)?),
    };
    let mut images = Vec::new();
    for name in &names {
        let image = local(name.to_string(), &built.manifest, &platform, &built);
        images.push(LocalImage { from: Some(from.clone()), documents: documents.clone(), ..image });
    }
    images.iter().try_for_each(|image| image::tag(&context.store, image))?;
    deliver::deliver(args, &resolver, &built, &names, &images, &attach)?;
    if let Some(path) = &args.metadata_file {
        metadata::write(path, &metadata::of(&built, &names))?;
    }
    let cached = built.layers.iter().filter(|layer| layer.cached).count();
    context.reporter.event(Event::Note(format!(
        "done in {}: {}, {cached} of them cached",
        ui::duration(start.elapsed()),
        ui::count(built.layers.len(), "layer")
    )));
    // Printed last, and alone on standard output: for scripts.
    drop(context);
    match names.first() {
        Some(name) => println!("{name}@{}", built.manifest.digest),
        None => println!("{}", built.manifest.digest),
    }
    Ok(ExitCode::SUCCESS)
}

fn local(name: String, manifest: &Descriptor, platform: &Platform, built: &Built) -> LocalImage {
    let base = match &built.base.origin {
        Origin::Registry(reference) => Some(reference.clone()),
        _ => None,
    };
    let (manifest, platform, tagged_at) = (manifest.clone(), platform.clone(), now());
    LocalImage { name, manifest, platform, tagged_at, base, from: None, documents: None }
}

/// What `alloy verify` needs to build the image once more.
fn built_from(inputs: &InputArgs, prepared: &Prepared, built: &Built) -> BuiltFrom {
    let (mut options, withheld) = inputs.options(Some(&prepared.blueprint));
    if !options.iter().any(|option| option.starts_with("--platform=")) {
        options.push(format!("--platform={}", prepared.platform));
    }
    let directory = prepared.blueprint.directory.clone();
    let layers = built.plan.layers.iter().map(|layer| (layer.name.clone(), layer.key)).collect();
    BuiltFrom { directory, options, withheld, epoch: prepared.epoch, base: built.base.identity, layers }
}

/// Gives what a failed build left a name, and says how to look into it.
fn explain(error: BuildError, context: &Context, platform: &Platform) -> CommandError {
    let partial = match &error {
        BuildError::Task { failure, .. } => failure.image.clone(),
        _ => None,
    };
    let mut failure = CommandError::from(error);
    if let Some(manifest) = partial {
        let (name, platform, tagged_at) = (FAILED.to_owned(), platform.clone(), now());
        let image = LocalImage { name, manifest, platform, tagged_at, base: None, from: None, documents: None };
        if image::tag(&context.store, &image).is_ok() {
            let name = FAILED.trim_end_matches(":latest");
            failure = failure.hint(format!("look inside, as it was when the task failed: alloy run {name}"));
        }
    }
    failure
}
