//! `alloy images`.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args as ClapArgs;
use glob::Pattern;
use serde_json::{Value, json};

use super::context::{self, Global};
use super::error::CommandError;
use super::ui::{self, Format};
use crate::cache::elsewhere;
use crate::context::{Context, now};
use crate::event::Event;
use crate::image::{self, Local, LocalImage, Manifest};

mod filter;

use filter::{Filter, Filters, pattern};

/// Lists the images in the store
///
/// NAME is a name, or its part after a `/`, or a pattern (`*`, `?`, `[…]`), with or without a tag. The times are those
/// at which names were given, since an image itself has no time. With -q, only digests are printed, each once.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  alloy images
  alloy images 'team/*' --filter until=30d
  alloy images --filter since=arm-env:1.2 --filter until=2026-01-31
  alloy rmi $(alloy images -q --filter reference='arm-env:pr-*')
  alloy images --filter dangling=true")]
pub(super) struct Args {
    /// List only images that have one of these names
    #[arg(value_name = "NAME", value_parser = pattern)]
    names: Vec<Pattern>,
    /// List only images that meet the condition
    ///
    /// reference=GLOB: a name, as NAME is; before=IMAGE, since=IMAGE: named before or after that image was; until=AGE: named
    /// at least so long ago, such as 30d, 2w, 12h or 1h30m (units are y, w, d, h, m, s and ms); until=TIME: named before
    /// 2026-01-31, 2026-01-31T12:00:00Z or 1769860800, seconds since 1970 (a time without a zone is this machine's);
    /// dangling=true|false: without a name, or with one; label=KEY[=VALUE]: with that label. As docker has it, of several
    /// NAMEs and `reference` any is enough, and all other conditions have to be met.
    #[arg(long, short, value_name = "CONDITION")]
    filter: Vec<Filter>,
    /// Also list images that have no name; they stay until the next prune
    #[arg(long, short)]
    all: bool,
    /// Show whole digests
    #[arg(long)]
    no_trunc: bool,
    /// How to print the list; `json` is one array
    #[arg(long, value_enum, default_value_t, value_name = "FORM")]
    format: Format,
    /// Print one JSON object a line instead of an array
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

/// An image that is listed.
struct Listed {
    local: Local,
    has_name: bool,
    sizes: Vec<Option<u64>>,
    size: Option<u64>,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CommandError> {
    let context = context::reading(global, None)?;
    let filters = Filters::new(&context, &args.names, &args.filter)?;
    let (locals, strange) = image::all(&context.store)?;
    for strange in strange {
        let (name, why) = (strange.name(), &strange.why);
        context.reporter().event(Event::Warning(format!("the image {name} is not listed: {why}")));
    }
    let mut all: Vec<(Local, bool)> = locals.into_iter().map(|local| (local, true)).collect();
    if args.all || filters.dangling() == Some(true) {
        let named: Vec<&Local> = all.iter().map(|(local, _)| local).collect();
        let nameless = image::nameless(&context.store, &named, |layer| elsewhere::reachable(&context.store, layer))?;
        all.extend(nameless.into_iter().map(|local| (local, false)));
    }
    all.retain(|(local, has_name)| filters.take(&context, local, *has_name));
    if global.quiet {
        let mut told = BTreeSet::new();
        for digest in all.iter().map(|(local, _)| local.descriptor().digest).filter(|digest| told.insert(*digest)) {
            outln!("{digest}");
        }
        return Ok(ExitCode::SUCCESS);
    }
    let listed = all.into_iter().map(|(local, has_name)| {
        let sizes: Vec<Option<u64>> = local.images().iter().map(|image| size(&context, image)).collect();
        // Layers that platforms share are counted for each: that is what each of them pulls.
        let size = sizes.iter().copied().sum::<Option<u64>>();
        Listed { local, has_name, sizes, size }
    });
    if args.json {
        listed.for_each(|one| ui::json(one.as_json()));
    } else if args.format == Format::Json {
        ui::json(listed.map(|one| one.as_json()).collect());
    } else {
        let mut rows = vec![["NAME", "DIGEST", "PLATFORM", "SIZE", "TAGGED"].map(str::to_owned)];
        rows.extend(listed.map(|one| one.row(args.no_trunc)));
        ui::table(&rows);
    }
    Ok(ExitCode::SUCCESS)
}

/// Bytes of an image's layers; `None` if its manifest is damaged.
fn size(context: &Context, image: &LocalImage) -> Option<u64> {
    let manifest = context.store.read_blob(&image.manifest.digest, 16 << 20).ok()?;
    let manifest: Manifest = serde_json::from_slice(&manifest).ok()?;
    Some(manifest.layers.iter().fold(0, |sum: u64, layer| sum.saturating_add(layer.descriptor.size)))
}

impl Listed {
    fn row(&self, whole: bool) -> [String; 5] {
        let local = &self.local;
        let digest = local.descriptor().digest;
        let platforms: Vec<String> = local.images().iter().map(|image| image.platform.to_string()).collect();
        let age = Duration::from_secs(u64::try_from(now() - local.tagged_at()).unwrap_or_default());
        [
            if self.has_name { local.name().to_owned() } else { "-".to_owned() },
            if whole { digest.to_string() } else { format!("sha256:{}", &digest.hex()[..12]) },
            platforms.join(","),
            self.size.map_or_else(|| "damaged".to_owned(), ui::bytes),
            if self.has_name { ui::age(age) } else { "-".to_owned() },
        ]
    }

    fn as_json(&self) -> Value {
        let local = &self.local;
        let (name, tagged_at) = (local.name(), local.tagged_at());
        let (name, tagged_at) =
            if self.has_name { (json!(name), json!(tagged_at)) } else { (json!(null), json!(null)) };
        let digest = local.descriptor().digest;
        let mut value = json!({"name": name, "digest": digest, "size": self.size, "tagged_at": tagged_at});
        match local {
            Local::Image(image) => value["platform"] = json!(image.platform.to_string()),
            Local::Index(index) => {
                let each = index.images.iter().zip(&self.sizes).map(|(image, size)| {
                    json!({"platform": image.platform.to_string(), "digest": image.manifest.digest, "size": size})
                });
                value["platforms"] = each.collect();
            }
        }
        value
    }
}
