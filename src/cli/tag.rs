//! `alloy tag` and `alloy untag`.

use std::process::ExitCode;

use clap::Args as ClapArgs;

use super::context::{Context, Global, image_name, now};
use super::error::CommandError;
use super::named;
use crate::image::{self, Local};

/// Gives an image of the store more names
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  alloy tag arm-env arm-env:1.2 registry.example/team/arm-env:1.2
  alloy tag sha256:75c4ffd90d58 arm-env:known-good")]
pub(super) struct TagArgs {
    /// The image: a name, a digest, or the beginning of one
    #[arg(value_name = "IMAGE")]
    image: String,
    /// Its new names; whatever had one of them has it no more
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
}

/// Takes names of images away; `alloy prune` then deletes what no image needs
#[derive(Debug, ClapArgs)]
pub(super) struct UntagArgs {
    /// Names; a digest, or the beginning of one, stands for all names of an image
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
}

pub(super) fn tag(args: &TagArgs, global: &Global) -> Result<ExitCode, CommandError> {
    let names = args.names.iter().map(|name| image_name(name)).collect::<Result<Vec<_>, _>>()?;
    let context = Context::open(global)?;
    let found = named::find(&context, &args.image)?;
    let digest = found.descriptor().digest;
    for name in names {
        let named = match found.clone() {
            Local::Image(mut image) => {
                (image.name, image.tagged_at) = (name.to_string(), now());
                Local::Image(image)
            }
            Local::Index(mut index) => {
                index.images.iter_mut().for_each(|image| image.name = name.to_string());
                (index.name, index.tagged_at) = (name.to_string(), now());
                Local::Index(index)
            }
        };
        image::tag(&context.store, &named)?;
        outln!("{name}@{digest}");
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn untag(args: &UntagArgs, global: &Global) -> Result<ExitCode, CommandError> {
    let context = Context::open(global)?;
    // All of them are there, or none is taken away.
    let names = args.images.iter().map(|text| named::names(&context, text)).collect::<Result<Vec<_>, _>>()?;
    for name in names.into_iter().flatten() {
        image::forget(&context.store, &name)?;
        outln!("{name}");
    }
    Ok(ExitCode::SUCCESS)
}
