//! Where a built image goes: files, registries.

use layers::media_type::Descriptor;
use layers::store::Store;

use super::super::error::CommandError;
use super::super::heal;
use super::super::push::{Attach, push};
use super::Args;
use super::platforms::{Part, named};
use crate::build::{Built, ensure_blobs};
use crate::event::Event;
use crate::image::{self, Destination, Local, Output, Written};
use crate::plan::Platform;
use crate::registry::Reference;
use crate::resolve::Resolver;
use crate::sink::{Sink, Taken, clash};
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

/// Where the outputs of a build go.
pub(super) struct Places {
    outputs: Vec<Destination>,
    metadata: Option<Sink>,
}

impl Places {
    /// Looks at all of them, before anything is built.
    pub(super) fn look(args: &Args, store: &Store, platforms: &[&Platform]) -> Result<Self, CommandError> {
        let outputs = args.output.iter().map(|output| output.look(store, platforms)).collect::<Result<Vec<_>, _>>()?;
        let metadata = args.metadata_file.as_deref().map(Sink::at).transpose()?;
        let all: Vec<Taken> =
            outputs.iter().flat_map(Destination::taken).chain(metadata.as_ref().and_then(Sink::taken)).collect();
        match clash(&all) {
            Some((one, other)) => {
                let (one, other) = (one.name(), other.name());
                let message = if one == other {
                    format!("two things would be written to {one}")
                } else {
                    format!("one thing would be written to {one}, and another to {other}")
                };
                Err(CommandError::usage(message).hint("name a place of its own for each --output and --metadata-file"))
            }
            None => Ok(Self { outputs, metadata }),
        }
    }

    /// True if standard output is one of them: nothing else is printed there.
    pub(super) fn take_output(&self) -> bool {
        self.outputs.iter().any(Destination::is_output) || self.metadata.as_ref().is_some_and(Sink::is_output)
    }

    /// Where `--metadata-file` goes.
    pub(super) fn metadata(&self) -> Option<&Sink> {
        self.metadata.as_ref()
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
        parts.iter().try_for_each(|part| whole(&part.resolver, &part.built))?;
    }
    let mut all: Vec<String> = names.iter().map(Reference::to_string).collect();
    if all.is_empty() {
        all.push(image.name().to_owned());
    }
    let each: Vec<_> = parts.iter().map(|part| layers(&part.built)).collect();
    let mut all: Vec<String> = names.iter().map(Reference::to_string).collect();
    if all.is_empty() {
        all.push(image.name().to_owned());
    }
    for output in &places.outputs {
        if let Some(sink) = output.root_tar() {
            parts.iter().try_for_each(|part| tar(resolver, &part.built, sink))?;
        }
        output.unpack(resolver.store, &each)?;
        let platform = if let [part] = parts { Some(&part.platform) } else { None };
        output.write(resolver.store, Written { manifest: image.descriptor(), names: &all, platform })?;
        if output.is_once() {
            heal::is_seen();
        }
        resolver.reporter.event(Event::Note(format!("wrote {}", output.name())));
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

fn tar(resolver: &Resolver<'_>, built: &Built, sink: &Sink) -> Result<(), CommandError> {
    let blobs = layers(built).iter().map(|layer| layer.descriptor.digest).collect();
    let mut target = ImageTarget::start(resolver.store, Lent::default(), DEFAULT_EPOCH)?;
    sink.write(|file| Ok::<_, CommandError>(target.export(blobs, file)?))?;
    Ok(target.finish()?)
}

fn layers(built: &Built) -> Vec<image::Layer> {
    let new = built.layers.iter().filter_map(|layer| layer.blob.as_ref());
    let new = new.map(|blob| image::Layer { descriptor: blob.descriptor.clone(), diff_id: blob.diff_id });
    built.base.image.layers.iter().cloned().chain(new).collect()
}
