//! `alloy images`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args as ClapArgs;
use serde_json::{Value, json};

use super::context::{Context, Global, now};
use super::error::CommandError;
use super::ui;
use crate::event::Event;
use crate::image::{self, Local, LocalImage, Manifest};

/// Lists the images in the store
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CommandError> {
    let context = Context::reading(global)?;
    let mut rows = vec![["NAME", "DIGEST", "PLATFORM", "SIZE", "TAGGED"].map(str::to_owned)];
    let (locals, strange) = image::all(&context.store)?;
    for strange in strange {
        let (name, why) = (strange.name(), &strange.why);
        context.reporter.event(Event::Warning(format!("the image {name} is not listed: {why}")));
    }
    for local in locals {
        let sizes: Vec<Option<u64>> = local.images().iter().map(|image| size(&context, image)).collect();
        // Layers that platforms share are counted for each: that is what each of them pulls.
        let size = sizes.iter().copied().sum::<Option<u64>>();
        if args.json {
            ui::json(as_json(&local, &sizes, size));
            continue;
        }
        let age = Duration::from_secs(u64::try_from(now() - local.tagged_at()).unwrap_or_default());
        let platforms: Vec<String> = local.images().iter().map(|image| image.platform.to_string()).collect();
        rows.push([
            local.name().to_owned(),
            format!("sha256:{}", &local.descriptor().digest.hex()[..12]),
            platforms.join(","),
            size.map_or_else(|| "damaged".to_owned(), ui::bytes),
            format!("{} ago", ui::duration(age)),
        ]);
    }
    if !args.json {
        ui::table(&rows);
    }
    Ok(ExitCode::SUCCESS)
}

/// Bytes of an image's layers; `None` if its manifest is damaged.
fn size(context: &Context, image: &LocalImage) -> Option<u64> {
    let manifest = context.store.read_blob(&image.manifest.digest, 16 << 20).ok()?;
    let manifest: Manifest = serde_json::from_slice(&manifest).ok()?;
    Some(manifest.layers.iter().fold(0, |sum: u64, layer| sum.saturating_add(layer.size)))
}

fn as_json(local: &Local, sizes: &[Option<u64>], size: Option<u64>) -> Value {
    let (name, digest, tagged_at) = (local.name(), local.descriptor().digest, local.tagged_at());
    let mut value = json!({"name": name, "digest": digest, "size": size, "tagged_at": tagged_at});
    match local {
        Local::Image(image) => value["platform"] = json!(image.platform.to_string()),
        Local::Index(index) => {
            let each = index.images.iter().zip(sizes).map(|(image, size)| {
                json!({"platform": image.platform.to_string(), "digest": image.manifest.digest, "size": size})
            });
            value["platforms"] = each.collect();
        }
    }
    value
}
