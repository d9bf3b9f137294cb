//! Where a built image goes: files, registries.

use layers::apply::Absent;
use layers::media_type::Descriptor;

use super::super::error::CommandError;
use super::super::heal;
use super::Args;
use super::places::Places;
use super::platforms::{Part, named};
use crate::build::{Built, ensure_blobs};
use crate::event::{Event, listed};
use crate::image::{self, Local, Output, Written};
use crate::push::{Attach, Push};
use crate::registry::Reference;
use crate::resolve::Resolver;
use crate::sink::Sink;
use crate::target::image::{ImageTarget, RequestError};

/// Device nodes and attributes that are named when they are not in a root file system.
const TOLD: usize = 5;

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
    places: &Places,
    parts: &[Part<'_>],
    image: &Local,
    names: &[Reference],
    attach: &Attach,
) -> Result<(), CommandError> {
    let Some(Part { resolver, .. }) = parts.first() else { return Ok(()) };
    if !places.outputs.is_empty() {
        parts.iter().try_for_each(|part| whole(part.resolver, &part.built))?;
    }
    let mut all: Vec<String> = names.iter().map(Reference::to_string).collect();
    if all.is_empty() {
        all.push(image.name().to_owned());
    }
    let each: Vec<_> = parts.iter().map(|part| layers(&part.built)).collect();
    for output in &places.outputs {
        if let Some(sink) = output.root_tar() {
            for part in parts {
                tell(resolver, &output.name(), &tar(resolver, &part.built, sink)?);
            }
        }
        for (directory, absent) in output.unpack(resolver.store, &each)? {
            tell(resolver, &directory.display().to_string(), &absent);
        }
        let platform = if let [part] = parts { Some(part.platform) } else { None };
        output.write(resolver.store, Written { manifest: image.descriptor(), names: &all, platform })?;
        if output.is_once() {
            heal::is_seen();
        }
        resolver.reporter().event(Event::Note(format!("wrote {}", output.name())));
    }
    if args.push {
        for name in names {
            Push::new(resolver, name, attach)?.image(&named(resolver.store, &name.to_string(), parts)?)?;
        }
    }
    Ok(())
}

/// Makes sure that layers are here which were never pulled.
fn whole(resolver: &Resolver<'_>, built: &Built<'_>) -> Result<(), CommandError> {
    let blobs: Vec<Descriptor> = layers(built).into_iter().map(|layer| layer.descriptor).collect();
    ensure_blobs(resolver, &blobs)?;
    // Whoever reads a file or a directory has no registry's client to look at it first.
    let warnings = image::verify_layers(resolver.store, "the image", &layers(built))?;
    // Of what is read from the disk, the base was looked at before.
    warnings.into_iter().for_each(|warning| resolver.warn_once(warning));
    Ok(())
}

/// Says what the root file system `name` lacks of the image.
fn tell(resolver: &Resolver<'_>, name: &str, absent: &Absent) {
    let attributes: Vec<_> = absent.attributes.iter().map(|(name, path)| format!("{name} of {path}")).collect();
    for (what, of) in [("device nodes", &absent.devices), ("extended attributes", &attributes)] {
        if !of.is_empty() {
            let text = format!("{name} is without {what}, which the image keeps: {}", listed(of, TOLD));
            resolver.reporter().event(Event::Warning(text));
        }
    }
}

fn tar(resolver: &Resolver<'_>, built: &Built, sink: &Sink) -> Result<Absent, CommandError> {
    let blobs = layers(built).iter().map(|layer| layer.descriptor.digest).collect();
    let mut target = ImageTarget::start(resolver.store, resolver.context.vars())?;
    let absent = sink.write(|file| match target.export(blobs, file) {
        Err(RequestError::Unwritten(source)) => Err(sink.failed(source).into()),
        done => done.map_err(CommandError::from),
    })?;
    target.finish()?;
    Ok(absent)
}

fn layers(built: &Built<'_>) -> Vec<image::Layer> {
    let new = built.layers.iter().filter_map(|layer| layer.blob.as_ref());
    let new = new.map(|blob| image::Layer::new(blob.descriptor.clone(), blob.diff_id));
    built.base.image.layers.iter().cloned().chain(new).collect()
}
