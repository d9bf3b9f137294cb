//! `alloy drift`.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Args as ClapArgs;
use serde_json::{Value, json};

use super::context::{self, Global};
use super::error::{CommandError, Kind};
use super::inputs;
use super::interrupt::{self, CtrlC};
use super::place::PlaceArgs;
use super::ui::{self, Format};
use crate::blueprint::Blueprint;
use crate::build::ensure_blobs;
use crate::context::Context;
use crate::event::listed;
use crate::image::{self, BaseRef, Image, Manifest};
use crate::install::drift::{self, Drift, Finding, Subject, Undone, thousands, together};
use crate::install::state::{Left, StateFile};
use crate::op::Secrets;
use crate::plan::Platform;
use crate::resolve::{Request, Resolver};

/// Differences that people are told; more of them nobody reads.
const SHOWN: usize = 200;
/// Directories that are named where nothing is known of what is in them.
const FEW: usize = 4;

/// Shows what on this machine differs from what a blueprint installed
///
/// It reports files that were changed or deleted, modes, owners, and packages that are gone or have another version. It
/// compares the machine with the state file of `alloy install` or, with --image, with what a blueprint put into an
/// image. For short texts that everybody may read, it shows the lines that differ, without secrets. It also names tasks
/// that failed, were not reached or were undone, since their work is not known. `alloy install --repair` repeats the
/// tasks whose work differs.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  sudo alloy drift --blueprint-dir examples/cortex-m
  sudo alloy drift registry.example/community/arm/cortex-m
  sudo alloy drift --image arm-env
  sudo alloy drift --image oci-archive:arm-env.tar --format json

Exit codes: 0 all is done, and as it was; 1 something is not")]
pub(super) struct Args {
    #[command(flatten)]
    place: PlaceArgs,
    /// Compare with an image in the store or in a registry, or with oci:PATH, oci-archive:PATH or docker-archive:PATH
    #[arg(long, value_name = "REF", conflicts_with_all = ["state", "name"])]
    image: Option<String>,
    /// How to print the result
    #[arg(long, value_enum, default_value_t, value_name = "FORM")]
    format: Format,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CommandError> {
    let root = drift::open(&args.place.root)?;
    let platform = Platform::of_this_machine();
    let native = platform.debian_arch();
    let blueprint = args.place.blueprint();
    hide_secrets(blueprint.as_ref())?;
    let found = match &args.image {
        None => {
            let context = context::read_only(global, None)?;
            drift::host(&context.store, &root, &StateFile::new(args.place.state()?), native, blueprint.as_ref())?
        }
        Some(name) => {
            let context = context::open(global, Some(&args.place.registries()?))?;
            interrupt::obey(&context.runtime, CtrlC::Ours)?;
            let request = Request::new(&context, platform.clone());
            let image = image(&context, &request.resolver(&context), name)?;
            drift::image(&context.store, &image, &root, native)?
        }
    };
    match args.format {
        Format::Human => human(&found, args.image.is_some()),
        Format::Json => ui::json(as_json(&found)),
    }
    Ok(if found.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Values that the environment and the blueprint give to names of secrets are not shown: a file may hold one of them.
fn hide_secrets(blueprint: Option<&Blueprint>) -> Result<(), CommandError> {
    let required = blueprint.iter().flat_map(|blueprint| &blueprint.manifest.required_env);
    let declared: Vec<&str> = required.filter(|one| one.secret).map(|one| one.name.as_str()).collect();
    let given = inputs::given(&[], BTreeMap::new())?.process;
    let written = blueprint.iter().flat_map(|blueprint| &blueprint.variables);
    let written = written.map(|(name, variable)| (name, &variable.value));
    let mut secrets = Secrets::default();
    for (name, value) in given.iter().chain(written) {
        if Secrets::is_secret_name(name) || declared.contains(&name.as_str()) {
            secrets.insert(name, value);
        }
    }
    ui::hide(&secrets);
    Ok(())
}

/// The image of that name, the layers of its blueprint in the store.
fn image(context: &Context, resolver: &Resolver<'_>, text: &str) -> Result<Image, CommandError> {
    let elsewhere = match text.parse::<BaseRef>() {
        Ok(BaseRef::Registry(name)) => name.names_registry() && image::local(&context.store, text)?.is_none(),
        Ok(BaseRef::Local(_) | BaseRef::Oci(_) | BaseRef::OciArchive(_) | BaseRef::DockerArchive(_)) => true,
        Ok(BaseRef::Deb { .. } | BaseRef::Rootfs(_) | BaseRef::Scratch) | Err(_) => false,
    };
    let image = if elsewhere {
        resolver.base(text)?.image
    } else {
        let local = image::named(&context.store, text)?;
        let local = local.select(None)?;
        let damaged = |error: &dyn std::error::Error| {
            CommandError::new(Kind::Failed, format!("{} is damaged: {error}", local.name))
        };
        let bytes = context.store.read_blob(&local.manifest.digest, 16 << 20)?;
        let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|error| damaged(&error))?;
        let config = context.store.read_blob(&manifest.config.digest, 16 << 20)?;
        Image::new(&local.name, local.manifest.digest, &manifest, &config)?
    };
    let layers = drift::blueprint_layers(&image);
    if layers.is_empty() {
        let message = format!("{text} was not built from a blueprint: its history tells of no task file");
        return Err(CommandError::new(Kind::Failed, message));
    }
    let blobs: Vec<_> = layers.into_iter().map(|(_, layer)| layer.descriptor.clone()).collect();
    ensure_blobs(resolver, &blobs)?;
    Ok(image)
}

fn human(drift: &Drift, of_image: bool) {
    let (bold, dim, plain) = if ui::color_out() { ("\x1b[1m", "\x1b[2m", "\x1b[0m") } else { ("", "", "") };
    if let Some(other) = &drift.other {
        ui::note(&format!("{other}\n"));
    }
    let told = together(drift.findings.iter());
    for findings in told.iter().take(SHOWN) {
        let by = findings.by();
        if let Some(several) = findings.several() {
            outln!("{bold}{several}{plain}   {dim}{by}{plain}");
            continue;
        }
        for finding in &findings.findings {
            if let Some(hidden) = &finding.hidden {
                outln!("{bold}{}{plain}: {hidden}   {dim}{by}{plain}", finding.subject());
                continue;
            }
            outln!("{bold}{}{plain}: {}   {dim}{by}{plain}", finding.subject(), finding.field);
            if finding.lines.is_empty() {
                outln!("    was  {}", finding.was);
                outln!("    is   {}", finding.is);
            }
            finding.lines.iter().for_each(|line| outln!("    {line}"));
        }
    }
    if told.len() > SHOWN {
        outln!("… and {} more; --format json has all of them", thousands(told.len() - SHOWN));
    }
    for Undone { name, place, why, left } in &drift.undone {
        let what = if *left == Left::Failed { format!("failed: {why}") } else { why.clone() };
        outln!("{bold}{name}{plain}: {what}   {dim}{place}{plain}");
    }
    let by = ui::count(drift.by, if of_image { "layer" } else { "task" });
    let looked = format!("{} and {} of {by}", ui::count(drift.paths, "path"), ui::count(drift.packages, "package"));
    let left = |left| (drift.undone.iter().filter(|undone| undone.left == left).count(), left);
    let undone = [Left::Failed, Left::NotReached, Left::Undone].map(left).into_iter().filter(|(count, _)| *count > 0);
    let undone: Vec<String> =
        undone.map(|(count, left)| format!("{} {}", ui::count(count, "task"), left.word())).collect();
    let found = match drift.findings.len() {
        0 if undone.is_empty() && drift.unknown > 0 && drift.paths + drift.packages == 0 => {
            "nothing to look at".to_owned()
        }
        0 if undone.is_empty() => format!("no drift: {looked}"),
        0 => format!("nothing differs of {looked}"),
        count => ui::count(count, "difference"),
    };
    let tasks = ui::count(drift.unknown, "task");
    let unknown = (drift.unknown > 0 && drift.findings.is_empty()).then(|| format!("what {tasks} wrote is not known"));
    let unlooked = (!drift.unlooked.is_empty()).then(|| not_looked_at(&drift.unlooked));
    let rest = (!undone.is_empty()).then(|| undone.join(", "));
    let rest: Vec<String> = rest.into_iter().chain(unknown).chain(unlooked).collect();
    outln!("{}", std::iter::once(found).chain(rest).collect::<Vec<_>>().join("; "));
    if !drift.findings.is_empty() && !of_image {
        ui::note("`alloy install --repair` does the tasks again whose work differs\n");
    }
    if !drift.undone.is_empty() {
        ui::note("`alloy install` does what was not done\n");
    }
}

/// Where tasks have put what is not known.
fn not_looked_at(places: &[String]) -> String {
    format!("what is in {} was not looked at", listed(places, FEW))
}

fn as_json(drift: &Drift) -> Value {
    let one = |finding: &Finding| {
        let (kind, name) = match &finding.what {
            Subject::Path(path) => ("path", path),
            Subject::Package(name) => ("package", name),
        };
        let mut value =
            json!({kind: name, "field": finding.field, "was": finding.was, "is": finding.is, "by": finding.by});
        if !finding.lines.is_empty() {
            value["lines"] = json!(finding.lines);
        }
        if let Some(hidden) = &finding.hidden {
            value["hidden"] = json!(hidden);
        }
        value
    };
    let undone =
        |one: &Undone| json!({"name": one.name, "place": one.place, "outcome": one.left.word(), "why": one.why});
    json!({
        "drift": !drift.is_none(),
        "differences": drift.findings.iter().map(one).collect::<Vec<_>>(),
        "other_blueprint": drift.other,
        "undone": drift.undone.iter().map(undone).collect::<Vec<_>>(),
        "looked_at": {"paths": drift.paths, "packages": drift.packages, "by": drift.by},
        "unknown": drift.unknown,
        "not_looked_at": drift.unlooked,
    })
}
