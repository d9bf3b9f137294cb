//! `alloy build`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args as ClapArgs;
use layers::digest::Digest;

use super::attach::AttachArgs;
use super::context::{self, Global, Verbose};
use super::error::CommandError;
use super::heal;
use super::image_name::{FAILED, image_name};
use super::inputs::{InputArgs, Prepared};
use super::interrupt::{self, CtrlC};
use super::ssh::SshArgs;
use super::team::{CacheFrom, places};
use super::ui;
use crate::build::{BuildError, BuiltLayer, Hit, LookInside, NoCache, Options};
use crate::cache::Team;
use crate::context::{Context, now};
use crate::event::Event;
use crate::image::{self, Local, LocalImage, Output};
use crate::plan::Platform;
use crate::push::Attach;
use crate::registry::Reference;
use crate::resolve::{Request, Resolver};
use crate::target::DEFAULT_EPOCH;

mod deliver;
mod metadata;
mod places;
mod platforms;

use places::Places;

/// The name inside of files, where none is given.
const UNNAMED: &str = "image:latest";

/// Builds an image from a blueprint
///
/// Each task file becomes a layer. A layer whose tasks, inputs and base have not changed is taken from the store.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  alloy build examples/hello -t hello
  alloy build . -t registry.example/team/arm-env:1.2 --push
  alloy build . -t arm-env -o type=oci,dest=arm-env.oci
  alloy build . -t registry.example/team/arm-env:1.2 --platform linux/amd64,linux/arm64 --push
  alloy build . -t arm-env --base registry.example/base:12 --var VERSION=13.3")]
pub(super) struct Args {
    /// Name the image [REGISTRY/]NAME[:TAG]. The name `alloy-failed` is reserved for builds that fail
    #[arg(long, short, value_name = "REF")]
    tag: Vec<String>,
    /// Push the image under every name that --tag gives
    #[arg(long, requires = "tag")]
    push: bool,
    /// Also write the image to a file or directory: type=TYPE,dest=PATH
    ///
    /// TYPE is `oci` (an OCI image layout, a directory), `oci-archive` (the same in a tar), `docker-archive` (what `docker
    /// load` reads), `tar` (the root file system in a tar) or `dir` (the root file system in a directory). `dest=-` is
    /// standard output, for the three that are one file. May be given more than once.
    #[arg(long, short, value_name = "OUTPUT")]
    output: Vec<Output>,
    /// Build all layers again, or only those of these task files
    #[arg(long, value_name = "FILE", num_args = 0.., require_equals = true, value_delimiter = ',')]
    no_cache: Option<Vec<String>>,
    /// Build every layer again that has a task with `always_run`
    #[arg(long, conflicts_with = "no_cache")]
    refresh: bool,
    /// Look up again what tags, suites and downloads without a digest stand for
    #[arg(long)]
    pull: bool,
    /// Write the image's digests and layers to a file as JSON; `-` is standard output
    #[arg(long, value_name = "FILE")]
    metadata_file: Option<PathBuf>,
    /// Store layers in this cache for others: REGISTRY/REPOSITORY or type=local,dest=DIR, or `none` [default with
    /// --push: beside the image]
    #[arg(
        long,
        help_heading = "Caches of a team",
        value_name = "CACHE",
        env = "ALLOY_CACHE_TO",
        hide_env_values = true,
        value_delimiter = ' '
    )]
    cache_to: Vec<String>,
    #[command(flatten)]
    cache_from: CacheFrom,
    #[command(flatten)]
    attach: AttachArgs,
    #[command(flatten)]
    inputs: InputArgs,
    #[command(flatten)]
    ssh: SshArgs,
    #[command(flatten)]
    verbose: Verbose,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CommandError> {
    heal::makes();
    let start = Instant::now();
    let names = args.tag.iter().map(|tag| image_name(tag)).collect::<Result<Vec<_>, _>>()?;
    if args.push
        && let Some(name) = names.iter().find(|name| !name.names_registry())
    {
        return Err(CommandError::usage(format!("`{name}` names no registry to push to"))
            .hint(format!("write it out: --tag REGISTRY/{name}")));
    }
    let attach = args.attach.read()?;
    let prepared = args.inputs.prepare()?;
    deliver::check(&args.output, prepared.len())?;
    let global = &args.verbose.of(global);
    let mut context = context::open(global, None)?;
    context.ssh = args.ssh.open(context.stall())?;
    context::keep_log(&mut context, &format!("build {}", args.inputs.directory.display()));
    let places = Places::look(args, &context.store, &prepared)?;
    context::reach_servers(&mut context, global, &args.inputs.registry)?;
    interrupt::obey(&context.runtime, CtrlC::Ours)?;
    Prepared::warn(&prepared, &context);
    let mut requests: Vec<Request> = prepared.iter().map(|one| args.inputs.request(&context, one)).collect();
    for request in &mut requests {
        request.pull = args.pull;
        request.share(team(args, if args.push { &names } else { &[] }, &attach)?);
    }
    let options = Options {
        compression: args.inputs.compression,
        epoch: prepared.first().map_or(DEFAULT_EPOCH, |one| one.epoch),
        no_cache: no_cache(args.no_cache.as_deref(), args.refresh, &prepared)?,
        layering: args.inputs.layers,
        push: if args.push { names.clone() } else { Vec::new() },
        // Whoever pushes what the cache has will want it.
        whole: !args.output.is_empty() || heal::is_again(),
        look_inside: look_inside(args, requests.iter().any(|request| !request.team().to.is_empty())),
    };
    let resolvers: Vec<Resolver<'_>> = requests.iter().map(|request| request.resolver(&context)).collect();
    let parts = platforms::build(args, &prepared, &resolvers, &options)?;
    let image_as = |name: &str| platforms::named(&context.store, name, &parts);
    let moment = image::now_exactly();
    for name in &names {
        image::tag_at(&context.store, &image_as(&name.to_string())?, moment)?;
    }
    let image = image_as(&names.first().map_or_else(|| UNNAMED.to_owned(), Reference::to_string))?;
    deliver::deliver(args, &places, &parts, &image, &names, &attach)?;
    if let Some(sink) = places.metadata() {
        metadata::write(sink, &metadata::of(&image, &parts, &names))?;
    }
    let layers = || parts.iter().flat_map(|part| &part.built.layers);
    context.reporter().event(Event::Note(sum(layers, start.elapsed())));
    drop(parts);
    drop(requests);
    let digest = image.descriptor().digest;
    let told: Vec<String> = names.iter().map(Reference::to_string).collect();
    ui::made(&digest.to_string(), &told, start.elapsed());
    let made = names.first().map_or_else(|| digest.to_string(), |name| format!("{name}@{digest}"));
    if places.take_output() {
        context.reporter().event(Event::Note(made));
        return Ok(ExitCode::SUCCESS);
    }
    // Printed last, and alone on standard output: for scripts.
    drop(context);
    outln!("{made}");
    Ok(ExitCode::SUCCESS)
}

fn team(args: &Args, images: &[Reference], attach: &Attach) -> Result<Team, CommandError> {
    let mut team = args.cache_from.team(images)?;
    team.to = places("--cache-to", &args.cache_to, images)?;
    if let Some(key) = &attach.key {
        team.sign_with(key.clone());
    }
    Ok(team)
}

/// What was built, and what of that took longest.
fn sum<'l, L: Iterator<Item = &'l BuiltLayer>>(layers: impl Fn() -> L, elapsed: Duration) -> String {
    let is_built = |layer: &&BuiltLayer| layer.hit == Hit::Built;
    let (count, built) = (layers().count(), layers().filter(is_built).count());
    let size: u64 = layers().filter(is_built).filter_map(|layer| layer.blob.as_ref()).map(|b| b.descriptor.size).sum();
    let mut text =
        format!("done in {}: {}, {} of them cached", ui::duration(elapsed), ui::count(count, "layer"), count - built);
    if built > 0 {
        text += &format!("; built {built}, {}", ui::bytes(size));
    }
    if let Some(longest) = layers().filter(is_built).max_by_key(|layer| layer.elapsed).filter(|_| built > 1) {
        text += &format!(", longest {} in {}", longest.name, ui::duration(longest.elapsed));
    }
    text
}

/// Whoever leaves layers for others leaves what they will want to know of them: they do not have the layers.
fn look_inside(args: &Args, shares: bool) -> LookInside {
    match () {
        () if !args.attach.no_attest && (args.push || shares) => LookInside::WhenHere,
        () if shares => LookInside::WhenUnpacked,
        () => LookInside::Never,
    }
}

/// What `--no-cache` and `--refresh` ask for.
pub(super) fn no_cache(
    files: Option<&[String]>,
    refresh: bool,
    prepared: &[Prepared],
) -> Result<NoCache, CommandError> {
    let Some(files) = files else {
        return Ok(if refresh { NoCache::AlwaysRun } else { NoCache::Nothing });
    };
    if files.is_empty() {
        return Ok(NoCache::Everything);
    }
    let layers = || prepared.iter().flat_map(|one| &one.lowered.layers);
    let files: Vec<&str> = files.iter().map(|file| file.strip_prefix("./").unwrap_or(file)).collect();
    match files.iter().find(|file| !layers().any(|layer| layer.name == **file)) {
        Some(file) => Err(CommandError::usage(format!("--no-cache: the blueprint has no task file `{file}`"))),
        None => Ok(NoCache::Files(files.iter().map(|file| (*file).to_owned()).collect::<BTreeSet<_>>())),
    }
}

/// The tag of failed builds of the blueprint in `directory`: the directory's name, and digits that tell apart those of
/// the same name.
fn failed_tag(directory: &Path) -> String {
    let fits = |c: &char| c.is_ascii_alphanumeric() || "_-".contains(*c);
    let name: String =
        directory.file_name().unwrap_or_default().to_string_lossy().chars().filter(fits).take(40).collect();
    let name = name.trim_start_matches('-');
    let digits = &Digest::of(directory.as_os_str().as_encoded_bytes()).hex()[..6];
    if name.is_empty() { digits.to_owned() } else { format!("{name}-{digits}") }
}

/// Gives what a failed build left its names, and says how to look into it.
fn explain(error: BuildError, context: &Context, directory: &Path, platform: &Platform) -> CommandError {
    let (partial, helps) = match &error {
        BuildError::Task { failure, .. } => (failure.image.clone(), failure.looked_into),
        _ => (None, false),
    };
    let mut failure = CommandError::from(error);
    if let Some(manifest) = partial {
        let tag = |name: String| {
            let (manifest, platform, tagged_at) = (manifest.clone(), platform.clone(), now());
            let image = LocalImage { name, manifest, platform, tagged_at, named_at: None, from: None, documents: None };
            image::tag(&context.store, &Local::Image(image))
        };
        // Others that fail meanwhile take the first one.
        let own = format!("{FAILED}:{}", failed_tag(directory));
        if tag(format!("{FAILED}:latest")).and_then(|()| tag(own.clone())).is_ok() && helps {
            failure = failure.hint(format!("look inside, as it was when the task failed: alloy run {own}"));
        }
    }
    failure
}
