//! `alloy inspect`.

use std::process::ExitCode;

use clap::Args as ClapArgs;
use serde_json::{Value, json};

use super::context::{Context, Global, image_name};
use super::error::{CommandError, Kind};
use super::push::find;
use crate::image::Manifest;

/// Shows the manifest and config of an image in the store as JSON
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// The local image
    #[arg(value_name = "IMAGE")]
    image: String,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CommandError> {
    let context = Context::open(global)?;
    let image = find(&context, &image_name(&args.image)?)?;
    let bytes = context.store.read_blob(&image.manifest.digest, 16 << 20)?;
    let damaged =
        |error: serde_json::Error| CommandError::new(Kind::Failed, format!("{} is damaged: {error}", image.name));
    let manifest: Manifest = serde_json::from_slice(&bytes).map_err(damaged)?;
    let config = context.store.read_blob(&manifest.config.digest, 16 << 20)?;
    let value = json!({
        "name": image.name,
        "digest": image.manifest.digest,
        "platform": image.platform.to_string(),
        "manifest": serde_json::from_slice::<Value>(&bytes).map_err(damaged)?,
        "config": serde_json::from_slice::<Value>(&config).map_err(damaged)?,
    });
    println!("{}", serde_json::to_string_pretty(&value).map_err(damaged)?);
    Ok(ExitCode::SUCCESS)
}
