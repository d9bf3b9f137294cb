//! `alloy images`.

use std::process::ExitCode;

use clap::Args as ClapArgs;

use super::context::{Context, Global, now};
use super::error::CommandError;
use super::ui;
use crate::image::{self, Manifest};

/// Lists the images in the store
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CommandError> {
    let context = Context::open(global)?;
    let mut rows = vec![["NAME", "DIGEST", "PLATFORM", "SIZE", "TAGGED"].map(str::to_owned)];
    for image in image::locals(&context.store)? {
        let manifest = context.store.read_blob(&image.manifest.digest, 16 << 20).ok();
        let manifest: Option<Manifest> = manifest.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let size = manifest.map(|manifest| manifest.layers.iter().map(|layer| layer.size).sum::<u64>());
        if args.json {
            let digest = image.manifest.digest;
            let (name, platform, tagged) = (&image.name, image.platform.to_string(), image.tagged_at);
            println!(
                "{}",
                serde_json::json!({"name": name, "digest": digest, "platform": platform, "size": size, "tagged_at": tagged})
            );
            continue;
        }
        let age = std::time::Duration::from_secs(u64::try_from(now() - image.tagged_at).unwrap_or_default());
        rows.push([
            image.name,
            format!("sha256:{}", &image.manifest.digest.hex()[..12]),
            image.platform.to_string(),
            size.map_or_else(|| "damaged".to_owned(), ui::bytes),
            format!("{} ago", ui::duration(age)),
        ]);
    }
    if !args.json {
        ui::table(&rows);
    }
    Ok(ExitCode::SUCCESS)
}
