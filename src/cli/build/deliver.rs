//! Where a built image goes: files, registries.

use layers::media_type::Descriptor;

use super::super::error::{CommandError, Kind};
use super::super::push::{Attach, push};
use super::Args;
use crate::build::{Built, ensure_blobs};
use crate::event::Event;
use crate::image::{self, LocalImage, OutputKind};
use crate::registry::Reference;
use crate::resolve::{Origin, Resolver};
use crate::target::image::ImageTarget;
use crate::target::{DEFAULT_EPOCH, Lent};

/// Writes outputs and pushes.
pub(super) fn deliver(
    args: &Args,
    resolver: &Resolver<'_>,
    built: &Built,
    names: &[Reference],
    images: &[LocalImage],
    attach: &Attach,
) -> Result<(), CommandError> {
    if !args.output.is_empty() {
        let blobs: Vec<Descriptor> = built.base.image.layers.iter().map(|layer| layer.descriptor.clone()).collect();
        let origin = match &built.base.origin {
            Origin::Registry(reference) => Some(reference.as_str()),
            _ => None,
        };
        ensure_blobs(resolver, &blobs, origin)?;
    }
    let name = names.first().map_or_else(|| "image:latest".to_owned(), Reference::to_string);
    for output in &args.output {
        match output.kind {
            OutputKind::Dir => {
                image::unpack_to(resolver.store, &layers(built), &output.dest)?;
            }
            OutputKind::Tar => {
                let failed = |error| CommandError::new(Kind::Failed, format!("{}: {error}", output.dest.display()));
                let dest = std::path::absolute(&output.dest).map_err(failed)?;
                let blobs = layers(built).iter().map(|layer| layer.descriptor.digest).collect();
                let mut target = ImageTarget::start(resolver.store, Lent::default(), DEFAULT_EPOCH)?;
                target.export(blobs, dest)?;
                target.finish()?;
            }
            _ => image::write(resolver.store, &built.manifest, &name, resolver.platform, output)?,
        }
        resolver.reporter.event(Event::Note(format!("wrote {}", output.dest.display())));
    }
    if args.push {
        for (name, image) in names.iter().zip(images) {
            push(resolver, image, name, attach)?;
        }
    }
    Ok(())
}

fn layers(built: &Built) -> Vec<image::Layer> {
    let new = built.layers.iter().filter_map(|layer| layer.blob.as_ref());
    let new = new.map(|blob| image::Layer { descriptor: blob.descriptor.clone(), diff_id: blob.diff_id });
    built.base.image.layers.iter().cloned().chain(new).collect()
}
