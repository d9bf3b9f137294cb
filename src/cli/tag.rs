//! `alloy tag` and `alloy untag`.

use std::process::ExitCode;

use clap::Args as ClapArgs;

use super::context::{self, Global};
use super::error::CommandError;
use super::image_name::image_name;
use crate::context::now;
use crate::image;

/// Gives more names to an image in the store
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  alloy tag arm-env arm-env:1.2 registry.example/team/arm-env:1.2
  alloy tag sha256:75c4ffd90d58 arm-env:known-good")]
pub(super) struct TagArgs {
    /// The image: NAME[:TAG], NAME@DIGEST, a digest, or its first digits (7 or more, or 4 after `sha256:`)
    #[arg(value_name = "IMAGE")]
    image: String,
    /// The new names, [REGISTRY/]NAME[:TAG]; an image that has one of them loses it
    ///
    /// `alloy-failed`, `sha256` and what bases begin with (`local`, `deb`, `oci`, `oci-archive`, `docker-archive`, `rootfs`, `scratch`)
    /// are no names without a registry, since they mean something else.
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
}

/// Removes names of images; `alloy prune` then deletes what no image needs
#[derive(Debug, ClapArgs)]
pub(super) struct UntagArgs {
    /// The names to remove; a digest, or its first digits (7 or more, or 4 after `sha256:`), stands for all names of an
    /// image
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
}

pub(super) fn tag(args: &TagArgs, global: &Global) -> Result<ExitCode, CommandError> {
    let names = args.names.iter().map(|name| image_name(name)).collect::<Result<Vec<_>, _>>()?;
    let context = context::open(global, None)?;
    let found = image::named(&context.store, &args.image)?;
    let digest = found.descriptor().digest;
    let moment = image::now_exactly();
    for name in names {
        image::tag_at(&context.store, &found.clone().renamed(&name.to_string(), now()), moment)?;
        outln!("{name}@{digest}");
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn untag(args: &UntagArgs, global: &Global) -> Result<ExitCode, CommandError> {
    let context = context::open(global, None)?;
    // All of them are there, or none is taken away.
    let names = args.images.iter().map(|text| image::names(&context.store, text)).collect::<Result<Vec<_>, _>>()?;
    for name in names.into_iter().flatten() {
        image::forget(&context.store, &name)?;
        outln!("{name}");
    }
    Ok(ExitCode::SUCCESS)
}
