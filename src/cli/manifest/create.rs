//! `alloy manifest create`.

use std::process::ExitCode;

use clap::Args as ClapArgs;

use crate::cli::attach::AttachArgs;
use crate::cli::context::{self, Global, RegistryArgs};
use crate::cli::error::CommandError;
use crate::cli::image_name::image_name;
use crate::cli::interrupt::{self, CtrlC};
use crate::join;
use crate::plan::Platform;
use crate::push::Push;
use crate::resolve::Request;

/// Joins images for several platforms, built on several machines, under one name, and pushes it
///
/// Each image is looked for in the store first, then in its registry. Whatever the registry of INDEX does not have yet
/// is sent to it. The index lists the images in the order given. Its name is moved last, when everything else is there.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  alloy manifest create registry.example/team/arm-env:1.2 \\
      registry.example/team/arm-env:1.2-amd64 registry.example/team/arm-env:1.2-arm64")]
pub(super) struct Args {
    /// The name of the new index, REGISTRY/NAME[:TAG]
    #[arg(value_name = "INDEX")]
    index: String,
    /// Images in the store or in a registry; an index stands for all images that it lists
    #[arg(value_name = "REF", required = true)]
    images: Vec<String>,
    #[command(flatten)]
    attach: AttachArgs,
    #[command(flatten)]
    registry: RegistryArgs,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CommandError> {
    let destination = image_name(&args.index)?;
    if !destination.names_registry() {
        return Err(CommandError::usage(format!("`{destination}` names no registry to push to"))
            .hint(format!("write it out: alloy manifest create REGISTRY/{destination} …")));
    }
    let attach = args.attach.read()?;
    let context = context::open(global, Some(&args.registry))?;
    interrupt::obey(&context.runtime, CtrlC::Ours)?;
    let request = Request::new(&context, Platform::of_this_machine());
    let resolver = request.resolver(&context);
    let joined = join::find(&resolver, &args.images)?;
    let push = Push::new(&resolver, &destination, &attach)?;
    let index = join::join(&resolver, joined, &push)?;
    drop(push);
    drop(request);
    drop(context);
    outln!("{destination}@{}", index.digest);
    Ok(ExitCode::SUCCESS)
}
