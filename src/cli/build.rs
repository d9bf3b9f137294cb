//! `alloy build`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Args as ClapArgs;
use layers::compress::Compression;
use layers::media_type::Descriptor;

use super::context::{Context, Global, RegistryArgs, image_name, keychain, now};
use super::error::{CommandError, Kind};
use super::interrupt::{self, CtrlC};
use super::{env_file, ui};
use crate::blueprint::{self, Given, Problems};
use crate::build::{self, BuildError, Built, NoCache, Options, ensure_blobs};
use crate::debian::BaseOptions;
use crate::event::Event;
use crate::fetch::proxy_passwords;
use crate::image::{self, LocalImage, Output, OutputKind};
use crate::plan::{self, Lowered, Platform, Settings};
use crate::registry::Reference;
use crate::resolve::{Origin, Resolver};
use crate::target::image::ImageTarget;
use crate::target::{DEFAULT_EPOCH, Lent};
use crate::yaml;

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
    /// The blueprint: a directory with a manifest.yml
    #[arg(default_value = ".", value_name = "DIR")]
    directory: PathBuf,
    /// Name of the image, [REGISTRY/]NAME[:TAG]; may be given more than once
    #[arg(long, short, value_name = "REF")]
    tag: Vec<String>,
    /// Push the image under every name given with --tag
    #[arg(long, requires = "tag")]
    push: bool,
    /// The base: deb:SUITE, an image reference, or oci:, oci-archive:, docker-archive:, rootfs: and a path
    #[arg(long, value_name = "BASE")]
    base: Option<String>,
    /// What the image runs on, os/arch[/variant] [default: this machine]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,
    /// Also write the image: type=oci|oci-archive|docker-archive|tar|dir,dest=PATH
    #[arg(long, short, value_name = "OUTPUT")]
    output: Vec<Output>,
    /// Build all layers anew, or those of these task files
    #[arg(long, value_name = "FILE", num_args = 0.., require_equals = true, value_delimiter = ',')]
    no_cache: Option<Vec<String>>,
    /// Ask again what tags, suites and downloads without a digest stand for
    #[arg(long)]
    pull: bool,
    /// Read variables from a file of NAME=value lines
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Set a variable of the blueprint
    #[arg(long, value_name = "NAME=VALUE")]
    var: Vec<String>,
    /// Write digests and layers as JSON
    #[arg(long, value_name = "FILE")]
    metadata_file: Option<PathBuf>,
    /// Compression of layers: zstd, gzip or none, with :LEVEL
    #[arg(long, value_name = "HOW", default_value = "zstd:3")]
    compression: Compression,
    /// Mirror that deb: bases come from [default: this machine's apt sources]
    #[arg(long, value_name = "URL", env = "ALLOY_MIRROR", hide_env_values = true)]
    mirror: Option<String>,
    /// Keys that sign the archive of deb: bases [default: this machine's]
    #[arg(long, value_name = "FILE")]
    keyring: Option<PathBuf>,
    /// Refuse downloads and toolchains that nothing pins, and a lockfile that pins what nothing uses
    #[arg(long)]
    locked: bool,
    /// Take warnings for errors
    #[arg(long)]
    strict: bool,
    /// Build for a platform that the blueprint does not list
    #[arg(long)]
    ignore_supported_hosts: bool,
    /// Allow file: URLs
    #[arg(long)]
    allow_file_urls: bool,
    /// Switch on the tag `docker` of `exclude` (always on in image builds)
    #[arg(long)]
    docker: bool,
    /// Switch on the tag `wsl2` of `exclude`
    #[arg(long)]
    wsl2: bool,
    #[command(flatten)]
    registry: RegistryArgs,
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
    let epoch = epoch()?;
    let platform = args.platform.clone().unwrap_or_else(Platform::of_this_machine);
    let loaded = blueprint::load(&args.directory)?;
    let mut lowered = plan::lower(&loaded, &settings(args, platform.clone())?)?;
    if args.locked {
        let diagnostics = plan::not_locked(&loaded, &lowered, &platform);
        if !diagnostics.is_empty() {
            return Err(Problems { diagnostics, sources: loaded.sources }.into());
        }
    }
    // Tasks have the proxies too, and may show them.
    proxy_passwords().iter().for_each(|password| lowered.secrets.hide(password));
    let context = Context::open(global)?;
    interrupt::obey(&context.runtime, CtrlC::Ours);
    warn(&context, &lowered, &loaded.sources);
    let fetcher = context.fetcher(lowered.secrets.clone(), args.allow_file_urls);
    let resolver = Resolver {
        store: &context.store,
        fetcher: &fetcher,
        runtime: context.runtime.handle(),
        reporter: &context.reporter,
        keychain: &keychain(),
        insecure: &args.registry.insecure_registry,
        archive: &BaseOptions { mirror: args.mirror.clone(), keyring: args.keyring.clone() },
        platform: &platform,
        compression: args.compression,
        pull: args.pull,
        locked: args.locked,
        now: now(),
    };
    let no_cache = match &args.no_cache {
        None => NoCache::Nothing,
        Some(files) if files.is_empty() => NoCache::Everything,
        Some(files) => {
            let known = |file: &&String| lowered.layers.iter().any(|layer| layer.name == **file);
            if let Some(file) = files.iter().find(|file| !known(file)) {
                return Err(CommandError::usage(format!("--no-cache: the blueprint has no task file `{file}`")));
            }
            NoCache::Files(files.iter().cloned().collect::<BTreeSet<_>>())
        }
    };
    let options = Options { compression: args.compression, epoch, no_cache };
    let built = build::build(&resolver, &loaded.directory, lowered, &options)
        .map_err(|error| explain(error, &context, &platform))?;
    for name in &names {
        image::tag(&context.store, &local(name.to_string(), &built.manifest, &platform, &built))?;
    }
    deliver(args, &resolver, &built, &names, &platform)?;
    if let Some(path) = &args.metadata_file {
        write_metadata(path, &metadata(&built, &names))?;
    }
    let cached = built.layers.iter().filter(|layer| layer.cached).count();
    context.reporter.event(Event::Note(format!(
        "done in {}: {}, {cached} of them cached",
        ui::duration(start.elapsed()),
        if built.layers.len() == 1 { "1 layer".to_owned() } else { format!("{} layers", built.layers.len()) }
    )));
    // Printed last, and alone on standard output: for scripts.
    drop(context);
    match names.first() {
        Some(name) => println!("{name}@{}", built.manifest.digest),
        None => println!("{}", built.manifest.digest),
    }
    Ok(ExitCode::SUCCESS)
}

fn settings(args: &Args, platform: Platform) -> Result<Settings, CommandError> {
    let mut vars = BTreeMap::new();
    for pair in &args.var {
        let Some((name, value)) = pair.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            return Err(CommandError::usage(format!("--var {pair}: not NAME=VALUE")));
        };
        vars.insert(name.to_owned(), value.to_owned());
    }
    let mut from_files = BTreeMap::new();
    for file in &args.env_file {
        from_files.extend(env_file::read(file)?);
    }
    // Variables that are not text cannot be meant.
    let process =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let given = Given { vars, env_file: from_files, process: process.collect(), placeholders: false };
    let on = |name: &str| given.process.get(name).is_some_and(|value| value == "1");
    // An image build is what the tag stands for.
    let mut tags = BTreeSet::from(["docker".to_owned()]);
    tags.extend((args.wsl2 || on("ALLOY_ENV_WSL2")).then(|| "wsl2".to_owned()));
    Ok(Settings {
        platform,
        given,
        tags,
        strict: args.strict,
        ignore_supported_hosts: args.ignore_supported_hosts,
        base: args.base.clone(),
    })
}

fn epoch() -> Result<u64, CommandError> {
    match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) if !text.is_empty() => text
            .parse()
            .map_err(|_| CommandError::usage(format!("SOURCE_DATE_EPOCH={text}: not a number of seconds since 1970"))),
        _ => Ok(DEFAULT_EPOCH),
    }
}

fn warn(context: &Context, lowered: &Lowered, sources: &yaml::Sources) {
    for warning in &lowered.warnings {
        let help = warning.help.as_ref().map_or(String::new(), |help| format!("; {help}"));
        let text = format!("{}: {}{help}", sources.place(warning.span), warning.message);
        context.reporter.event(Event::Warning(text));
    }
    for note in &lowered.notes {
        context.reporter.event(Event::Note(note.clone()));
    }
}

fn local(name: String, manifest: &Descriptor, platform: &Platform, built: &Built) -> LocalImage {
    let base = match &built.base.origin {
        Origin::Registry(reference) => Some(reference.clone()),
        _ => None,
    };
    LocalImage { name, manifest: manifest.clone(), platform: platform.clone(), tagged_at: now(), base }
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
        let image = LocalImage { name, manifest, platform, tagged_at, base: None };
        if image::tag(&context.store, &image).is_ok() {
            let name = FAILED.trim_end_matches(":latest");
            failure = failure.hint(format!("look inside, as it was when the task failed: alloy run {name}"));
        }
    }
    failure
}

/// Writes outputs and pushes.
fn deliver(
    args: &Args,
    resolver: &Resolver<'_>,
    built: &Built,
    names: &[Reference],
    platform: &Platform,
) -> Result<(), CommandError> {
    if !args.output.is_empty() {
        let blobs: Vec<Descriptor> = built.base.image.layers.iter().map(|layer| layer.descriptor.clone()).collect();
        let origin = match &built.base.origin {
            Origin::Registry(reference) => Some(reference.as_str()),
            _ => None,
        };
        ensure_blobs(resolver, &blobs, origin)?;
    }
    let name = names.first().map_or_else(|| "image:latest".to_owned(), Reference::to_string);
    for output in &args.output {
        match output.kind {
            OutputKind::Dir => {
                image::unpack_to(resolver.store, &layers(built), &output.dest)?;
            }
            OutputKind::Tar => {
                let failed = |error| CommandError::new(Kind::Failed, format!("{}: {error}", output.dest.display()));
                let dest = std::path::absolute(&output.dest).map_err(failed)?;
                let blobs = layers(built).iter().map(|layer| layer.descriptor.digest).collect();
                let mut target = ImageTarget::start(resolver.store, Lent::default(), DEFAULT_EPOCH)?;
                target.export(blobs, dest)?;
                target.finish()?;
            }
            _ => image::write(resolver.store, &built.manifest, &name, platform, output)?,
        }
        resolver.reporter.event(Event::Note(format!("wrote {}", output.dest.display())));
    }
    if args.push {
        for name in names {
            super::push::push(resolver, &local(name.to_string(), &built.manifest, platform, built), name)?;
        }
    }
    Ok(())
}

fn layers(built: &Built) -> Vec<image::Layer> {
    let new = built.layers.iter().filter_map(|layer| layer.blob.as_ref());
    let new = new.map(|blob| image::Layer { descriptor: blob.descriptor.clone(), diff_id: blob.diff_id });
    built.base.image.layers.iter().cloned().chain(new).collect()
}

/// Keys as BuildKit names them, where it has them.
fn metadata(built: &Built, names: &[Reference]) -> serde_json::Value {
    let names: Vec<String> = names.iter().map(Reference::to_string).collect();
    let layers: Vec<serde_json::Value> = built
        .layers
        .iter()
        .map(|layer| {
            let blob = layer.blob.as_ref();
            serde_json::json!({
                "name": layer.name,
                "cached": layer.cached,
                "digest": blob.map(|blob| blob.descriptor.digest),
                "diff_id": blob.map(|blob| blob.diff_id),
                "size": blob.map(|blob| blob.descriptor.size),
            })
        })
        .collect();
    serde_json::json!({
        "containerimage.digest": built.manifest.digest,
        "containerimage.config.digest": built.config,
        "containerimage.descriptor": built.manifest,
        "image.name": names.join(","),
        "base": {"identity": built.base.identity, "layers": built.base.image.layers},
        "layers": layers,
    })
}

fn write_metadata(path: &Path, value: &serde_json::Value) -> Result<(), CommandError> {
    let failed = |error: &dyn std::fmt::Display| {
        CommandError::new(Kind::Failed, format!("cannot write {}: {error}", path.display()))
    };
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(directory).map_err(|error| failed(&error))?;
    serde_json::to_writer_pretty(&mut file, value).map_err(|error| failed(&error))?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(file.path(), mode).map_err(|error| failed(&error))?;
    file.persist(path).map(drop).map_err(|error| failed(&error.error))
}
