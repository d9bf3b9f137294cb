//! Where a built image goes: files, registries.

use std::path::Path;

use layers::media_type::Descriptor;

use super::super::error::{CommandError, Kind};
use super::super::push::{Attach, push};
use super::Args;
use super::platforms::{Part, named};
use crate::build::{Built, ensure_blobs};
use crate::event::Event;
use crate::image::{self, Local, Output, OutputKind};
use crate::registry::Reference;
use crate::resolve::Resolver;
use crate::target::image::ImageTarget;
use crate::target::{DEFAULT_EPOCH, Lent};

/// An error if an output cannot hold that many platforms.
pub(super) fn check(outputs: &[Output], platforms: usize) -> Result<(), CommandError> {
    match outputs.iter().find(|output| platforms > 1 && !output.kind.takes_several()) {
        Some(output) => {
            let message = format!("--output type={} holds one platform, not {platforms}", output.kind.name());
            Err(CommandError::usage(message).hint("write type=oci or oci-archive, or build each platform by itself"))
        }
        None => Ok(()),
    }
}

/// Writes outputs and pushes.
pub(super) fn deliver(
    args: &Args,
    parts: &[Part<'_>],
    image: &Local,
    names: &[Reference],
    attach: &Attach,
) -> Result<(), CommandError> {
    let Some(Part { resolver, .. }) = parts.first() else { return Ok(()) };
    if !args.output.is_empty() {
        parts.iter().try_for_each(|part| whole(&part.resolver, &part.built))?;
    }
    for output in &args.output {
        match (output.kind, parts) {
            (OutputKind::Dir, [part]) => image::unpack_to(resolver.store, &layers(&part.built), &output.dest)?,
            (OutputKind::Dir, parts) => {
                for part in parts {
                    let directory = output.dest.join(part.platform.to_string().replace('/', "_"));
                    std::fs::create_dir_all(&output.dest).map_err(|error| failed(&output.dest, &error))?;
                    image::unpack_to(resolver.store, &layers(&part.built), &directory)?;
                }
            }
            (OutputKind::Tar, parts) => parts.iter().try_for_each(|part| tar(resolver, &part.built, &output.dest))?,
            _ => {
                let platform = if let [part] = parts { Some(&part.platform) } else { None };
                image::write(resolver.store, image.descriptor(), image.name(), platform, output)?;
            }
        }
        resolver.reporter.event(Event::Note(format!("wrote {}", output.dest.display())));
    }
    if args.push {
        for name in names {
            push(resolver, &named(resolver.store, &name.to_string(), parts)?, name, attach)?;
        }
    }
    Ok(())
}

/// Makes sure that layers are here which were never pulled.
fn whole(resolver: &Resolver<'_>, built: &Built) -> Result<(), CommandError> {
    let blobs: Vec<Descriptor> = layers(built).into_iter().map(|layer| layer.descriptor).collect();
    ensure_blobs(resolver, &blobs)?;
    // Whoever reads a file or a directory has no registry's client to look at it first.
    Ok(image::verify_layers(resolver.store, "the image", &layers(built))?)
}

fn tar(resolver: &Resolver<'_>, built: &Built, dest: &Path) -> Result<(), CommandError> {
    let dest = std::path::absolute(dest).map_err(|error| failed(dest, &error))?;
    let blobs = layers(built).iter().map(|layer| layer.descriptor.digest).collect();
    let mut target = ImageTarget::start(resolver.store, Lent::default(), DEFAULT_EPOCH)?;
    target.export(blobs, &dest)?;
    Ok(target.finish()?)
}

fn failed(path: &Path, error: &std::io::Error) -> CommandError {
    CommandError::new(Kind::Failed, format!("{}: {error}", path.display()))
}

fn layers(built: &Built) -> Vec<image::Layer> {
    let new = built.layers.iter().filter_map(|layer| layer.blob.as_ref());
    let new = new.map(|blob| image::Layer { descriptor: blob.descriptor.clone(), diff_id: blob.diff_id });
    built.base.image.layers.iter().cloned().chain(new).collect()
}
