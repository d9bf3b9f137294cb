//! `alloy inspect`.

use std::process::ExitCode;

use clap::Args as ClapArgs;
use serde_json::{Value, json};

use super::context::{self, Global};
use super::error::{CommandError, Kind};
use super::ui;
use crate::context::Context;
use crate::image::{self, Local, LocalImage, Manifest};
use crate::plan::Platform;

/// Shows the manifest and config of an image in the store as JSON
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// The image: NAME[:TAG], NAME@DIGEST, a digest, or its first digits (7 or more, or 4 after `sha256:`)
    #[arg(value_name = "IMAGE")]
    image: String,
    /// One of several platforms [default: all]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CommandError> {
    let context = context::reading(global, None)?;
    let local = image::named(&context.store, &args.image)?;
    let value = match (&local, &args.platform) {
        (Local::Index(index), None) => {
            let images = index.images.iter().map(|image| of(&context, image)).collect::<Result<Vec<_>, _>>()?;
            let bytes = context.store.read_blob(&index.index.digest, 16 << 20)?;
            let index: Value = serde_json::from_slice(&bytes).map_err(|error| damaged(local.name(), &error))?;
            json!({"name": local.name(), "digest": local.descriptor().digest, "index": index, "images": images})
        }
        (_, platform) => of(&context, local.select(platform.as_ref())?)?,
    };
    ui::json_lines(value);
    Ok(ExitCode::SUCCESS)
}

fn of(context: &Context, image: &LocalImage) -> Result<Value, CommandError> {
    let bytes = context.store.read_blob(&image.manifest.digest, 16 << 20)?;
    let damaged = |error: serde_json::Error| damaged(&image.name, &error);
    let manifest: Manifest = serde_json::from_slice(&bytes).map_err(damaged)?;
    let config = context.store.read_blob(&manifest.config.digest, 16 << 20)?;
    Ok(json!({
        "name": image.name,
        "digest": image.manifest.digest,
        "platform": image.platform.to_string(),
        "manifest": serde_json::from_slice::<Value>(&bytes).map_err(damaged)?,
        "config": serde_json::from_slice::<Value>(&config).map_err(damaged)?,
    }))
}

fn damaged(name: &str, error: &serde_json::Error) -> CommandError {
    CommandError::new(Kind::Failed, format!("{name} is damaged: {error}"))
}
