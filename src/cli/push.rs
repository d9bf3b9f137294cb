//! `alloy push`.

use std::process::ExitCode;

use clap::Args as ClapArgs;

use super::attach::AttachArgs;
use super::context::{self, Global, RegistryArgs};
use super::error::CommandError;
use super::image_name::image_name;
use super::interrupt::{self, CtrlC};
use crate::image;
use crate::plan::Platform;
use crate::push::Push;
use crate::registry::Reference;
use crate::resolve::Request;

/// Pushes a built image to a registry
///
/// A push does not fill a team's cache: `alloy build --push` does that while it builds, and `alloy cache export` does
/// it later.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  alloy push registry.example/team/arm-env:1.2
  alloy push arm-env registry.example/team/arm-env:1.2
  alloy push registry.example/team/arm-env:1.2 --verify")]
pub(super) struct Args {
    /// The image: NAME[:TAG], NAME@DIGEST, a digest, or its first digits (7 or more, or 4 after `sha256:`)
    #[arg(value_name = "IMAGE")]
    image: String,
    /// Where to push it [default: the same name]
    #[arg(value_name = "REF")]
    destination: Option<String>,
    /// Read the image back from the registry, and send again whatever is missing or differs
    #[arg(long)]
    verify: bool,
    #[command(flatten)]
    attach: AttachArgs,
    #[command(flatten)]
    registry: RegistryArgs,
}

/// Where the image `text` belongs: what `build` prints, `NAME:TAG@DIGEST`, is pushed to `NAME:TAG`.
fn own_name(text: &str) -> Result<Reference, CommandError> {
    match text.parse::<Reference>() {
        Ok(mut reference) if reference.digest.is_some() && reference.tag.is_some() => {
            reference.digest = None;
            Ok(reference)
        }
        _ => image_name(text).map_err(|error| error.hint(format!("say where to: alloy push {text} REGISTRY/NAME"))),
    }
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CommandError> {
    let destination = match &args.destination {
        Some(given) => image_name(given)?,
        None => own_name(&args.image)?,
    };
    if !destination.names_registry() {
        return Err(CommandError::usage(format!("`{destination}` names no registry"))
            .hint(format!("say where to: alloy push {} REGISTRY/{destination}", args.image)));
    }
    let attach = args.attach.read()?;
    let context = context::open(global, Some(&args.registry))?;
    interrupt::obey(&context.runtime, CtrlC::Ours)?;
    let image = image::named(&context.store, &args.image)?;
    let request = Request::new(&context, Platform::of_this_machine());
    let resolver = request.resolver(&context);
    let push = Push::new(&resolver, &destination, &attach)?;
    push.image(&image)?;
    if args.verify {
        push.verify(&image)?;
    }
    drop(push);
    drop(request);
    drop(context);
    outln!("{destination}@{}", image.descriptor().digest);
    Ok(ExitCode::SUCCESS)
}
