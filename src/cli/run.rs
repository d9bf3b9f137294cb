//! `alloy run`.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::os::unix::fs::FileTypeExt;
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;

use clap::Args as ClapArgs;

use super::context::{self, Global, RegistryArgs};
use super::error::{CommandError, Kind};
use super::exit_codes;
use super::heal;
use super::image_name::image_name;
use super::inputs::NetworkMode;
use super::interrupt::{self, CtrlC};
use crate::build::{BuildError, Stack, ensure_blobs};
use crate::context::now;
use crate::image::{self, Image, Local, LocalImage, Manifest, config_env};
use crate::plan::Platform;
use crate::resolve::Request;
use crate::sandbox::Bind;
use crate::target::image::RequestError;
use crate::target::request::Interactive;
use crate::target::workdir::cleaned;

mod workdir;

const EXAMPLES: &str = "\
Examples:
  alloy run arm-env arm-none-eabi-gcc --version
  alloy run -v .:/work -w /work arm-env -- make -j4
  alloy run --device /dev/ttyACM0 -v .:/work -w /work arm-env -- openocd -f board.cfg
  alloy run -it --rw=arm-env:tried arm-env bash";

/// Runs a command in an image of the store
///
/// The command runs in the same sandbox as the tasks of a build. Its changes are discarded unless --rw keeps them. If
/// alloy's input and output are a terminal, the command gets a terminal of its own. With -v, the image's user stands
/// for you: files that it writes to a volume belong to you, and files of the image that belong to it still do. If you
/// are root, it stands for the owner of the volume instead. With -u, ids are not translated: root in the image is you,
/// and every other user is nobody on this machine.
#[derive(Debug, ClapArgs)]
#[command(after_help = format!("{EXAMPLES}\n\n{}", exit_codes::help_of_run()))]
pub(super) struct Args {
    /// The image: NAME[:TAG], NAME@DIGEST, a digest, or its first digits (7 or more, or 4 after `sha256:`)
    #[arg(value_name = "IMAGE")]
    image: String,
    /// The command [default: the image's]
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
    /// Run PROGRAM instead of the image's entrypoint, with COMMAND as its arguments; an empty PROGRAM runs COMMAND
    /// alone
    #[arg(long, value_name = "PROGRAM")]
    entrypoint: Option<String>,
    /// Keep the command's changes as a new layer, under the image's name or under NAME
    #[arg(long, value_name = "NAME", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    rw: Option<String>,
    /// Accepted for compatibility: input is always passed on
    #[arg(long, short)]
    interactive: bool,
    /// Fail unless input and output are a terminal; a command that is started from a terminal always gets one
    #[arg(long, short)]
    tty: bool,
    /// Accepted for compatibility: without --rw, changes are always discarded
    #[arg(long, conflicts_with = "rw")]
    rm: bool,
    /// Give the command a device of this machine, for reading and writing
    #[arg(long, value_name = "DEVICE[:PATH]")]
    device: Vec<String>,
    /// Mount a file or directory of this machine; without -u, it belongs to the image's user
    #[arg(long, short, value_name = "HOST:PATH[:ro]")]
    volume: Vec<String>,
    /// Set a variable; without a value, take it from alloy's environment
    #[arg(long, short, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// The working directory [default: the image's]
    #[arg(long, short, value_name = "DIR")]
    workdir: Option<String>,
    /// The user or id to run as, optionally with :GROUP [default: the image's user]
    #[arg(long, short, value_name = "USER")]
    user: Option<String>,
    /// The network that the command can reach: this machine's, or only a loopback interface of its own
    #[arg(long, value_enum, default_value_t, value_name = "WHICH")]
    network: NetworkMode,
    /// The platform to choose from an index [default: this machine's]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,
    #[command(flatten)]
    registry: RegistryArgs,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CommandError> {
    let volumes = args.volume.iter().map(|text| bind(text)).collect::<Result<Vec<_>, _>>()?;
    let devices = args.device.iter().map(|text| device(text)).collect::<Result<Vec<_>, _>>()?;
    let result = args.rw.as_deref().filter(|name| !name.is_empty()).map(image_name).transpose()?;
    if args.tty && !(std::io::stdin().is_terminal() && std::io::stdout().is_terminal()) {
        let error = CommandError::usage("--tty: input and output are no terminal");
        return Err(error.hint("leave it out: on a terminal, a command has one of its own without being asked"));
    }
    let context = context::open(global, Some(&args.registry))?;
    interrupt::obey(&context.runtime, CtrlC::Theirs)?;
    let found = image::named(&context.store, &args.image)?;
    let name = found.name();
    let local = found.select(args.platform.as_ref())?;
    let keeps = args.rw.is_some();
    if keeps && result.is_none() && image::local(&context.store, name)?.as_ref() != Some(&found) {
        return Err(CommandError::usage(format!("--rw keeps changes under a name, and `{}` is none", args.image))
            .hint("give it one: --rw=NAME"));
    }
    let damaged = |error: String| CommandError::new(Kind::Failed, format!("{name} is damaged: {error}"));
    let bytes = context.store.read_blob(&local.manifest.digest, 16 << 20)?;
    let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
    let config = context.store.read_blob(&manifest.config.digest, 16 << 20)?;
    let image = Image::new(&local.name, local.manifest.digest, &manifest, &config)?;
    let request = Request::new(&context, local.platform.clone());
    let resolver = request.resolver(&context);
    let blobs: Vec<_> = image.layers.iter().map(|layer| layer.descriptor.clone()).collect();
    ensure_blobs(&resolver, &blobs)?;
    let interactive = interactive(args, &image, volumes, devices)?;
    let begins = || {
        heal::begins();
        if !keeps {
            context.leave();
        }
    };
    let ran = Stack::run_in(&resolver, &image, interactive, keeps, begins);
    let (code, kept) = ran.map_err(|error| {
        // Then the command has run.
        let unwritten = matches!(error, BuildError::Request(RequestError::Unwritten(_)));
        let error = CommandError::from(error);
        match error.kind {
            Kind::Sandbox => CommandError { kind: Kind::Setup, ..error },
            Kind::Failed if !unwritten => CommandError { kind: Kind::Setup, ..error },
            _ => error,
        }
    })?;
    if let Some(layer) = kept {
        let updated = crate::build::extended(&resolver, &image, &local.platform, layer)?;
        let (manifest, tagged_at) = (updated, now());
        let image = LocalImage { manifest, from: None, documents: None, tagged_at, named_at: None, ..local.clone() };
        let named = match &result {
            Some(name) => Local::Image(LocalImage { name: name.to_string(), ..image }),
            None => found.with(&context.store, image)?,
        };
        image::tag(&context.store, &named)?;
    } else if let Some(name) = &result {
        // Nothing was changed: it is the same image under another name.
        image::tag(&context.store, &Local::Image(local.clone()).renamed(&name.to_string(), now()))?;
    }
    // Codes beyond a byte do not exist (wait(2)).
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)))
}

fn interactive(
    args: &Args,
    image: &Image,
    volumes: Vec<Bind>,
    devices: Vec<Bind>,
) -> Result<Interactive, CommandError> {
    let config = &image.config["config"];
    let list = |field: &str| {
        let items = config[field].as_array().map(Vec::as_slice).unwrap_or_default();
        items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    let text = |field: &str| config[field].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let mut argv = match &args.entrypoint {
        Some(program) => [program.clone()].into_iter().filter(|program| !program.is_empty()).collect(),
        None => list("Entrypoint"),
    };
    // The image's arguments are for the image's entrypoint.
    let image_s = args.command.is_empty() && args.entrypoint.is_none();
    argv.extend(if image_s { list("Cmd") } else { args.command.clone() });
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
    let as_caller = args.user.is_none() && !volumes.is_empty();
    let keep_groups = !devices.is_empty();
    let binds = [volumes, devices].concat();
    let user = args.user.clone().or_else(|| text("User")).unwrap_or_else(|| "root".to_owned());
    let cwd = args.workdir.clone().or_else(|| text("WorkingDir")).unwrap_or_default();
    let cwd = cleaned(Path::new(&cwd));
    workdir::make_lent(&binds, &cwd)?;
    let cwd = cwd.display().to_string();
    let offline = args.network == NetworkMode::None;
    Ok(Interactive { argv, env, cwd, user, binds, as_caller, keep_groups, offline, terminal: false })
}

fn bind(text: &str) -> Result<Bind, CommandError> {
    let wrong = || CommandError::usage(format!("--volume {text}: not HOST:PATH[:ro], with PATH absolute"));
    // Options behind a second `:`. Of those of other tools, these change nothing here: there is no daemon and no label.
    let known = |option: &str| ["ro", "rw", "z", "Z", "cached", "delegated", "consistent"].contains(&option);
    let options = text.rsplit_once(':').filter(|(_, options)| options.split(',').all(known));
    let (rest, read_only) = match options {
        Some((rest, options)) => (rest, options.split(',').any(|option| option == "ro")),
        None => (text, false),
    };
    let (source, target) = rest.rsplit_once(':').ok_or_else(wrong)?;
    let target = PathBuf::from(target);
    if source.is_empty() || !target.is_absolute() {
        return Err(wrong());
    }
    inside(&target).map_err(|why| CommandError::usage(format!("--volume {text}: {why}")))?;
    let source = std::path::Path::new(source)
        .canonicalize()
        .map_err(|error| CommandError::usage(format!("--volume {text}: cannot use {source}: {error}")))?;
    Ok(Bind { read_only, ..Bind::writable(source, target) })
}

/// Why nothing can be lent at `target`, if it cannot.
fn inside(target: &Path) -> Result<(), &'static str> {
    match () {
        () if target.components().any(|part| part == Component::ParentDir) => Err("PATH has to be without `..`"),
        () if target.file_name().is_none() => Err("PATH cannot be `/`, which is the image itself"),
        () => Ok(()),
    }
}

fn device(text: &str) -> Result<Bind, CommandError> {
    let mut parts = text.split(':');
    let source = parts.next().unwrap_or_default();
    let (target, access) = match (parts.next(), parts.next(), parts.next()) {
        (None, None, None) => (source, "rw"),
        (Some(access @ ("r" | "w" | "m" | "rw" | "rm" | "wm" | "rwm")), None, None) => (source, access),
        (Some(target), access, None) => (target, access.unwrap_or("rw")),
        _ => return Err(CommandError::usage(format!("--device {text}: not DEVICE[:PATH[:rw]]"))),
    };
    if !matches!(access, "rw" | "rwm") {
        let message = format!("--device {text}: a device is lent for reading and writing, and not as `{access}`");
        return Err(CommandError::usage(message).hint("leave it out, or write `rw`"));
    }
    let wrong = |why: String| CommandError::usage(format!("--device {text}: cannot use {source}: {why}"));
    let found = std::path::Path::new(source).canonicalize().map_err(|error| wrong(error.to_string()))?;
    let kind = found.metadata().map_err(|error| wrong(error.to_string()))?.file_type();
    if !(kind.is_char_device() || kind.is_block_device()) {
        return Err(wrong("it is no device".to_owned()).hint("-v lends files and directories"));
    }
    if !std::path::Path::new(target).is_absolute() {
        return Err(CommandError::usage(format!("--device {text}: PATH has to be absolute")));
    }
    inside(std::path::Path::new(target)).map_err(|why| CommandError::usage(format!("--device {text}: {why}")))?;
    // A program that is put in its place gains nothing.
    Ok(Bind { device: true, no_set_id: true, ..Bind::writable(found, target) })
}
