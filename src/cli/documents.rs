//! Documents of an image, printed: what `alloy sbom` and `alloy provenance` have in common.

use clap::Args;

use super::context::{self, Global, RegistryArgs};
use super::error::{CommandError, Kind};
use super::interrupt::{self, CtrlC};
use super::ui;
use crate::documents::{self, Which};
use crate::image;
use crate::plan::Platform;
use crate::registry::Reference;
use crate::resolve::Request;

/// Options of commands that show a document
#[derive(Debug, Args)]
pub(super) struct DocumentArgs {
    /// An image of the store, or one in a registry
    #[arg(value_name = "REF")]
    image: String,
    /// Which image of an index, os/arch[/variant] [default: this machine]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,
    #[command(flatten)]
    registry: RegistryArgs,
}

/// Prints a document on standard output, as it is stored: its digest is what was signed and attached.
pub(super) fn show(which: Which, args: &DocumentArgs, global: &Global) -> Result<(), CommandError> {
    let name: Reference = args.image.parse().map_err(|error| CommandError::from_error(Kind::Usage, &error))?;
    let context = context::reading(global, Some(&args.registry))?;
    interrupt::obey(&context.runtime, CtrlC::Ours)?;
    let platform = args.platform.clone().unwrap_or_else(Platform::of_this_machine);
    let request = Request::new(&context, platform);
    let resolver = request.resolver(&context);
    let found = match image::named(&context.store, &args.image) {
        Err(_) if name.names_registry() => None,
        found => Some(found?),
    };
    let local = found.as_ref().and_then(|local| local.select(args.platform.as_ref()).ok());
    let mut bytes = match local.and_then(|local| Some((local, local.documents.as_ref()?))) {
        Some((local, documents)) => documents::of_image(&resolver, which, local, documents)?,
        None if name.names_registry() => documents::attached(&resolver, &name, which)?,
        None => {
            let built = local.is_some_and(|local| local.from.is_some());
            return Err(not_here(which, &args.image, built));
        }
    };
    drop(request);
    drop(context);
    bytes.extend((!bytes.ends_with(b"\n")).then_some(b'\n'));
    ui::document(&bytes);
    Ok(())
}

/// An error for an image of the store of which nothing is said here.
fn not_here(which: Which, image: &str, built: bool) -> CommandError {
    let which = which.name();
    if built {
        let message = format!("there is no {which} of {image}: it was built without");
        return CommandError::new(Kind::Failed, message).hint("build it again, without --no-attest");
    }
    let message = format!("the store has no {which} of {image}: it was not built here");
    CommandError::new(Kind::Failed, message)
        .hint("what is attached to it in a registry is shown by its name there: REGISTRY/NAME@DIGEST")
}
