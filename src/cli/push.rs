//! `alloy push`.

use std::process::ExitCode;

use clap::Args as ClapArgs;

use super::context::{Context, Global, Network, RegistryArgs, image_name};
use super::error::{CommandError, Kind};
use super::interrupt::{self, CtrlC};
use super::ui;
use crate::build::ensure_blobs;
use crate::cache::elsewhere;
use crate::event::Event;
use crate::fetch::FetchError;
use crate::image::{self, Local, LocalImage, Manifest};
use crate::plan::Platform;
use crate::registry::{Pushed, Reference, RegistryError};
use crate::resolve::{ResolveError, Resolver};
use crate::tasks::Task;

mod attach;
mod checked;

pub(super) use attach::{Attach, AttachArgs, sign};

/// Pushes a built image to a registry
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  alloy push registry.example/team/arm-env:1.2
  alloy push arm-env registry.example/team/arm-env:1.2")]
pub(super) struct Args {
    /// The local image
    #[arg(value_name = "IMAGE")]
    image: String,
    /// Where to push it [default: the same name]
    #[arg(value_name = "REF")]
    destination: Option<String>,
    #[command(flatten)]
    attach: AttachArgs,
    #[command(flatten)]
    registry: RegistryArgs,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CommandError> {
    let name = image_name(&args.image)?;
    let destination = args.destination.as_deref().map_or(Ok(name.clone()), image_name)?;
    if !destination.names_registry() {
        return Err(CommandError::usage(format!("`{destination}` names no registry"))
            .hint(format!("say where to: alloy push {name} REGISTRY/{destination}")));
    }
    let attach = args.attach.read()?;
    let context = Context::open(global)?;
    interrupt::obey(&context.runtime, CtrlC::Ours);
    let image = find(&context, &name)?;
    let network = Network::new(&context, &args.registry, Platform::of_this_machine());
    push(&network.resolver(), &image, &destination, &attach)?;
    drop(network);
    drop(context);
    outln!("{destination}@{}", image.descriptor().digest);
    Ok(ExitCode::SUCCESS)
}

/// What that name stands for in the store.
pub(super) fn find(context: &Context, name: &Reference) -> Result<Local, CommandError> {
    let name = name.to_string();
    match image::local(&context.store, &name)? {
        Some(image) => Ok(image),
        None => {
            let known: Vec<String> =
                image::locals(&context.store)?.into_iter().map(|image| image.name().to_owned()).collect();
            let error = CommandError::new(Kind::Failed, format!("there is no image `{name}` in the store"));
            Err(match crate::yaml::nearest(&name, known.iter().map(String::as_str)) {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None => error.hint("`alloy images` lists those that are there"),
            })
        }
    }
}

/// Pushes what the registry does not have and what goes with it. The tag is moved last, when all is there.
pub(super) fn push(
    resolver: &Resolver<'_>,
    image: &Local,
    destination: &Reference,
    attach: &Attach,
) -> Result<(), CommandError> {
    let start = std::time::Instant::now();
    let (tag, client) = (destination.manifest(), resolver.client(destination)?);
    let descriptor = image.descriptor();
    // All of them first: a registry is left without half an index.
    for image in image.images() {
        checked::check(resolver, image, &read(resolver, image)?.1)?;
    }
    let there = resolver.runtime.block_on(client.manifest_digest(&tag, &descriptor.media_type))?;
    if there == Some(descriptor.digest) {
        resolver.reporter.event(Event::Note(format!("{destination} is there already")));
        for image in image.images() {
            attach::complete(resolver, &client, image, destination, attach)?;
        }
        return match image {
            Local::Index(index) => sign(resolver, &client, &index.index.digest, destination, attach),
            Local::Image(_) => Ok(()),
        };
    }
    let sent = match image {
        Local::Image(image) => send(resolver, image, destination, &tag, attach)?,
        Local::Index(index) => {
            let mut sent = 0;
            for image in &index.images {
                sent += send(resolver, image, destination, &image.manifest.digest.to_string(), attach)?;
            }
            let bytes = resolver.store.read_blob(&index.index.digest, 16 << 20)?;
            sign(resolver, &client, &index.index.digest, destination, attach)?;
            resolver.runtime.block_on(client.push_manifest(&tag, &index.index.media_type, &bytes))?;
            sent
        }
    };
    let (sent, time) = (ui::bytes(sent), ui::duration(start.elapsed()));
    resolver.reporter.event(Event::Note(format!("pushed {destination}: {sent} sent in {time}")));
    Ok(())
}

/// The manifest of an image, as bytes and as what they say.
fn read(resolver: &Resolver<'_>, image: &LocalImage) -> Result<(Vec<u8>, Manifest), CommandError> {
    let bytes = resolver.store.read_blob(&image.manifest.digest, 16 << 20)?;
    let manifest = serde_json::from_slice(&bytes).map_err(|error| {
        CommandError::new(Kind::Failed, format!("the manifest of {} is damaged: {error}", image.name))
    })?;
    Ok((bytes, manifest))
}

/// Sends what the registry does not have of an image, its manifest last and under `name`, a tag or digest. Gives the
/// bytes that were sent.
pub(super) fn send(
    resolver: &Resolver<'_>,
    image: &LocalImage,
    destination: &Reference,
    name: &str,
    attach: &Attach,
) -> Result<u64, CommandError> {
    let (bytes, manifest) = read(resolver, image)?;
    checked::check(resolver, image, &manifest)?;
    let client = resolver.client(destination)?;
    let blobs: Vec<_> = manifest.layers.iter().chain([&manifest.config]).cloned().collect();
    let mut tasks = Vec::new();
    for blob in blobs {
        let (client, here) = (client.clone(), resolver.store.contains(&blob.digest));
        // What another repository of the registry has is taken over from there.
        let places = elsewhere::places(resolver.store, &blob.digest)?;
        let from: Vec<String> = places.iter().filter_map(|it| it.mounts_to(destination).map(str::to_owned)).collect();
        tasks.push(Task::start(resolver.runtime, async move {
            let mut pushed = None;
            for from in &from {
                pushed = client.mount(&blob, from).await?;
                if pushed.is_some() {
                    break;
                }
            }
            if pushed.is_none() {
                pushed = match here {
                    true => Some(client.push_blob(&blob).await?),
                    false => client.has_blob(&blob.digest).await?.then_some(Pushed::There),
                };
            }
            Ok((blob, pushed))
        }));
    }
    let mut sent = 0;
    for task in tasks {
        let done: Result<_, RegistryError> = task.wait().map_err(FetchError::from)?;
        let (blob, pushed) = done?;
        if pushed.is_none() {
            ensure_blobs(resolver, std::slice::from_ref(&blob))?;
            checked::check_one(resolver, image, &manifest, &blob)?;
            resolver.runtime.block_on(client.push_blob(&blob))?;
        }
        if matches!(pushed, None | Some(Pushed::Sent)) {
            sent += blob.size;
        }
    }
    attach::attach(resolver, &client, image, destination, attach)?;
    let put = client.push_manifest(name, &image.manifest.media_type, &bytes);
    resolver.runtime.block_on(put).map_err(ResolveError::from)?;
    Ok(sent)
}
