//! `alloy run`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args as ClapArgs;

use super::context::{Context, Global, Network, RegistryArgs};
use super::error::{CommandError, Kind};
use super::heal;
use super::inputs::NetworkMode;
use super::interrupt::{self, CtrlC};
use super::named::find;
use crate::build::{Session, ensure_blobs};
use crate::image::{self, Image, LocalImage, Manifest, config_env};
use crate::plan::Platform;
use crate::sandbox::Bind;
use crate::target::request::Interactive;

/// Runs a command in an image of the store
///
/// In the same sandbox as the tasks of a build. What it changes is forgotten, unless --rw keeps it.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  alloy run arm-env arm-none-eabi-gcc --version
  alloy run -v .:/work -w /work arm-env -- make -j4
  alloy run --rw arm-env")]
pub(super) struct Args {
    /// The local image
    #[arg(value_name = "IMAGE")]
    image: String,
    /// The command [default: the image's]
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
    /// Keep what the command changes, as a layer on the image
    #[arg(long)]
    rw: bool,
    /// Lend a file or directory of this machine
    #[arg(long, short, value_name = "HOST:PATH[:ro]")]
    volume: Vec<String>,
    /// Set a variable; without a value, take this machine's
    #[arg(long, short, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Working directory [default: the image's]
    #[arg(long, short, value_name = "DIR")]
    workdir: Option<String>,
    /// User or id, with :GROUP [default: the image's]
    #[arg(long, short, value_name = "USER")]
    user: Option<String>,
    /// Its network: this machine's, or none but a loopback interface of its own
    #[arg(long, value_enum, default_value_t, value_name = "WHICH")]
    network: NetworkMode,
    /// Which of several platforms [default: this machine's]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,
    #[command(flatten)]
    registry: RegistryArgs,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CommandError> {
    let volumes = args.volume.iter().map(|text| bind(text)).collect::<Result<Vec<_>, _>>()?;
    let context = Context::open(global)?;
    interrupt::obey(&context.runtime, CtrlC::Theirs)?;
    let found = find(&context, &args.image)?;
    let name = found.name();
    let local = found.select(args.platform.as_ref())?;
    if args.rw && image::local(&context.store, name)?.as_ref() != Some(&found) {
        return Err(CommandError::usage(format!("--rw keeps changes under a name, and `{}` is none", args.image))
            .hint(format!("give it one: alloy tag {} NAME", args.image)));
    }
    let damaged = |error: String| CommandError::new(Kind::Failed, format!("{name} is damaged: {error}"));
    let bytes = context.store.read_blob(&local.manifest.digest, 16 << 20)?;
    let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
    let config = context.store.read_blob(&manifest.config.digest, 16 << 20)?;
    let image = Image::new(&local.name, local.manifest.digest, &manifest, &config)?;
    let network = Network::new(&context, &args.registry, local.platform.clone())?;
    let resolver = network.resolver();
    let blobs: Vec<_> = image.layers.iter().map(|layer| layer.descriptor.clone()).collect();
    ensure_blobs(&resolver, &blobs)?;
    let interactive = interactive(args, &image, volumes)?;
    let begins = || {
        heal::begins();
        if !args.rw {
            context.leave();
        }
    };
    let (code, kept) = Session::run_in(&resolver, &image, interactive, args.rw, begins)?;
    if let Some(layer) = kept {
        let updated = crate::build::extended(&resolver, &image, &local.platform, layer)?;
        let image = LocalImage { manifest: updated, from: None, documents: None, ..local.clone() };
        image::tag(&context.store, &found.with(&context.store, image)?)?;
    }
    // Codes beyond a byte do not exist (wait(2)).
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)))
}

fn interactive(args: &Args, image: &Image, binds: Vec<Bind>) -> Result<Interactive, CommandError> {
    let config = &image.config["config"];
    let list = |field: &str| {
        let items = config[field].as_array().map(Vec::as_slice).unwrap_or_default();
        items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    let text = |field: &str| config[field].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let mut argv = list("Entrypoint");
    argv.extend(if args.command.is_empty() { list("Cmd") } else { args.command.clone() });
    if argv.is_empty() {
        return Err(CommandError::usage("the image has no command of its own: give one"));
    }
    let mut env: BTreeMap<String, String> = config_env(&image.config).into_iter().collect();
    env.extend(std::env::var("TERM").ok().map(|term| ("TERM".to_owned(), term)));
    for pair in &args.env {
        match pair.split_once('=') {
            Some((name, value)) => env.insert(name.to_owned(), value.to_owned()),
            None => std::env::var(pair).ok().and_then(|value| env.insert(pair.clone(), value)),
        };
    }
    let user = args.user.clone().or_else(|| text("User")).unwrap_or_else(|| "root".to_owned());
    let cwd = args.workdir.clone().or_else(|| text("WorkingDir")).unwrap_or_else(|| "/".to_owned());
    let offline = args.network == NetworkMode::None;
    Ok(Interactive { argv, env, cwd, user, binds, offline, terminal: false })
}

fn bind(text: &str) -> Result<Bind, CommandError> {
    let wrong = || CommandError::usage(format!("--volume {text}: not HOST:PATH[:ro], with PATH absolute"));
    let (rest, read_only) = match text.strip_suffix(":ro") {
        Some(rest) => (rest, true),
        None => (text.strip_suffix(":rw").unwrap_or(text), false),
    };
    let (source, target) = rest.rsplit_once(':').ok_or_else(wrong)?;
    let target = PathBuf::from(target);
    if source.is_empty() || !target.is_absolute() {
        return Err(wrong());
    }
    let source = std::path::Path::new(source)
        .canonicalize()
        .map_err(|error| CommandError::usage(format!("--volume {text}: cannot use {source}: {error}")))?;
    Ok(Bind { source, target, read_only, no_set_id: false })
}
