//! `alloy plan`.

use std::process::ExitCode;

use clap::Args as ClapArgs;
use layers::store::Store;
use serde_json::{Map, Value, json};

use super::context::{self, Global};
use super::error::{CommandError, Kind};
use super::inputs::{InputArgs, Prepared};
use super::team::CacheFrom;
use super::ui::{self, Format};
use crate::build::{Build, Forecast, ForecastLayer, LookInside, Options};
use crate::cache::Team;
use crate::resolve::{Base, Resolver};

/// Shows what a build would do, and why
///
/// For each layer, it shows whether the layer is in the store, and if it is not, what has changed since it was last
/// built. Nothing is fetched, built or written, and no privileges are needed. With --cache-from, the team's caches are
/// asked for layers that are not in the store.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    #[command(flatten)]
    inputs: InputArgs,
    #[command(flatten)]
    cache_from: CacheFrom,
    /// Plan as if all layers, or those of these task files, had to be built again
    #[arg(long, value_name = "FILE", num_args = 0.., require_equals = true, value_delimiter = ',')]
    no_cache: Option<Vec<String>>,
    /// Plan as if every layer that has a task with `always_run` had to be built again
    #[arg(long, conflicts_with = "no_cache")]
    refresh: bool,
    /// How to print the result
    #[arg(long, value_enum, default_value_t, value_name = "FORM")]
    format: Format,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CommandError> {
    let prepared = args.inputs.prepare()?;
    let context = context::read_only(global, Some(&args.inputs.registry))?;
    Prepared::warn(&prepared, &context);
    let no_cache = super::build::no_cache(args.no_cache.as_deref(), args.refresh, &prepared)?;
    let mut forecasts = Vec::new();
    for one in prepared {
        let mut request = args.inputs.request(&context, &one);
        request.share(args.team()?);
        let base = args.ask_for_base(&one, &request.resolver(&context))?;
        let options = Options {
            compression: args.inputs.compression,
            epoch: one.epoch,
            no_cache: no_cache.clone(),
            layering: args.inputs.layers,
            push: Vec::new(),
            whole: false,
            look_inside: LookInside::Never,
        };
        let (resolver, directory) = (request.resolver(&context), &*one.blueprint.directory);
        let build = Build { resolver: &resolver, directory, lowered: &one.lowered, options: &options };
        let forecast = build.forecast(base)?;
        forecasts.push((one.platform, forecast));
    }
    match (args.format, forecasts.as_slice()) {
        (Format::Human, [(_, forecast)]) => human(forecast),
        (Format::Human, forecasts) => {
            for (platform, forecast) in forecasts {
                outln!("{platform}:");
                human(forecast);
            }
        }
        (Format::Json, [(_, forecast)]) => ui::json(as_json(forecast)),
        (Format::Json, forecasts) => {
            let each = forecasts.iter().map(|(platform, forecast)| (platform.to_string(), as_json(forecast)));
            ui::json(json!({"platforms": each.collect::<Map<_, _>>()}));
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl Args {
    fn team(&self) -> Result<Team, CommandError> {
        let mut team = self.cache_from.team(&[])?;
        team.only_looks = true;
        Ok(team)
    }

    /// What the base is, where it is not known here and caches are asked: without it, no key of theirs is known. What is
    /// read for it is not kept.
    fn ask_for_base(&self, prepared: &Prepared, resolver: &Resolver<'_>) -> Result<Option<Base>, CommandError> {
        let reference = &prepared.lowered.base;
        if resolver.team().from.is_empty() || resolver.known_base(reference)?.is_some() {
            return Ok(None);
        }
        let place = tempfile::tempdir().map_err(|error| {
            let message = format!("cannot make a temporary directory: {error}");
            CommandError::new(Kind::Failed, message).hint("TMPDIR names where they are made")
        })?;
        let context = resolver.context.elsewhere(Store::open(place.path())?);
        let mut request = self.inputs.request(&context, prepared);
        request.share(self.team()?);
        Ok(Some(request.resolver(&context).base(reference)?))
    }
}

fn human(forecast: &Forecast) {
    let (bold, dim, plain) = if ui::color_out() { ("\x1b[1m", "\x1b[2m", "\x1b[0m") } else { ("", "", "") };
    let state = match (&forecast.known, &forecast.base_team) {
        (None, _) => "not asked for yet".to_owned(),
        (Some(_), _) if forecast.base_here => "here".to_owned(),
        (Some(_), _) if forecast.layers.iter().all(|layer| layer.here.is_some()) => "not needed".to_owned(),
        (Some(_), Some((size, place))) => format!("cached in {place}, {}", ui::bytes(*size)),
        (Some(_), None) => "to be made".to_owned(),
    };
    outln!("base {bold}{}{plain}: {state}", forecast.base);
    let count = forecast.layers.len();
    for (index, layer) in forecast.layers.iter().enumerate() {
        let state = match layer.here {
            Some(size) if let Some(place) = &layer.team => format!("cached in {place}, {}", ui::bytes(size)),
            Some(0) => "cached, no change".to_owned(),
            Some(size) => format!("cached, {}", ui::bytes(size)),
            None => "to be built".to_owned(),
        };
        let portable = if layer.planned.portable.is_some() { ", portable" } else { "" };
        outln!("[{}/{count}] {bold}{}{plain}: {state}{portable}", index + 1, layer.planned.name);
        for reason in &layer.reasons {
            outln!("      because {reason}");
        }
        for step in layer.planned.steps.iter().filter(|_| layer.here.is_none()) {
            outln!("      {dim}{} {} ({}:{}){plain}", step.action, step.name, step.file, step.line);
        }
    }
    for download in &forecast.downloads {
        let size = download.size.map_or("size unknown".to_owned(), ui::bytes);
        outln!("download {}: {size}", download.name);
    }
    let built = forecast.layers.iter().filter(|layer| layer.here.is_none()).count();
    outln!("{} cached, {built} to be built, {}", count - built, ui::count(forecast.downloads.len(), "download"));
}

fn as_json(forecast: &Forecast) -> Value {
    let layers: Vec<Value> = forecast.layers.iter().enumerate().map(|(index, layer)| of_layer(index, layer)).collect();
    let downloads = forecast.downloads.iter().map(|download| json!({"name": download.name, "size": download.size}));
    json!({
        "base": {
            "reference": forecast.base,
            "identity": forecast.known.as_ref().map(|base| base.identity),
            "here": forecast.base_here,
            "team": forecast.base_team.as_ref().map(|(_, place)| place.to_string()),
        },
        "layers": layers,
        "downloads": downloads.collect::<Vec<_>>(),
    })
}

fn of_layer(index: usize, layer: &ForecastLayer) -> Value {
    let reasons = layer.reasons.iter().map(|reason| {
        let (task, place) = reason.task.clone().unzip();
        json!({"code": reason.code, "what": reason.what, "task": task, "place": place})
    });
    let steps = layer
        .planned
        .steps
        .iter()
        .map(|step| json!({"name": step.name, "action": step.action, "file": step.file, "line": step.line}));
    json!({
        "index": index + 1,
        "name": layer.planned.name,
        "key": layer.planned.key.hex(),
        "state": match (&layer.team, layer.here) {
            (Some(_), _) => "remote",
            (None, Some(_)) => "local",
            (None, None) => "miss",
        },
        "portable": layer.planned.portable.is_some(),
        "size": layer.here,
        "reasons": reasons.collect::<Vec<_>>(),
        "steps": steps.collect::<Vec<_>>(),
    })
}
