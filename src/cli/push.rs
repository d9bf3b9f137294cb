//! `alloy push`.

use std::process::ExitCode;

use clap::Args as ClapArgs;

use super::context::{Context, Global, Network, RegistryArgs, image_name};
use super::error::{CommandError, Kind};
use super::interrupt::{self, CtrlC};
use super::ui;
use crate::build::ensure_blobs;
use crate::event::Event;
use crate::image::{self, LocalImage, Manifest};
use crate::registry::{Pushed, Reference, RegistryError};
use crate::resolve::{ResolveError, Resolver};

mod attach;

pub(super) use attach::{Attach, AttachArgs};

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
    let network = Network::new(&context, &args.registry, image.platform.clone());
    push(&network.resolver(), &image, &destination, &attach)?;
    drop(network);
    drop(context);
    println!("{destination}@{}", image.manifest.digest);
    Ok(ExitCode::SUCCESS)
}

/// The local image of that name.
pub(super) fn find(context: &Context, name: &Reference) -> Result<LocalImage, CommandError> {
    let name = name.to_string();
    match image::local(&context.store, &name)? {
        Some(image) => Ok(image),
        None => {
            let known: Vec<String> = image::locals(&context.store)?.into_iter().map(|image| image.name).collect();
            let error = CommandError::new(Kind::Failed, format!("there is no image `{name}` in the store"));
            Err(match crate::yaml::nearest(&name, known.iter().map(String::as_str)) {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None => error.hint("`alloy images` lists those that are there"),
            })
        }
    }
}

/// Pushes what the registry does not have and what goes with it, the manifest last.
pub(super) fn push(
    resolver: &Resolver<'_>,
    image: &LocalImage,
    destination: &Reference,
    attach: &Attach,
) -> Result<(), CommandError> {
    let start = std::time::Instant::now();
    let bytes = resolver.store.read_blob(&image.manifest.digest, 16 << 20)?;
    let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|error| {
        CommandError::new(Kind::Failed, format!("the manifest of {} is damaged: {error}", image.name))
    })?;
    let client = resolver.client(destination)?;
    // Layers that were never pulled are taken over from the base's own repository.
    let base: Option<Reference> = image.base.as_deref().and_then(|base| base.parse().ok());
    let from = base.as_ref().filter(|base| base.registry == destination.registry).map(|base| base.repository.clone());
    let blobs: Vec<_> = manifest.layers.iter().chain([&manifest.config]).cloned().collect();
    let tasks: Vec<_> = blobs
        .into_iter()
        .map(|blob| {
            let (client, here) = (client.clone(), resolver.store.contains(&blob.digest));
            let from = from.clone().filter(|_| !here);
            resolver.runtime.spawn(async move {
                let pushed = match from {
                    Some(from) => client.mount(&blob, &from).await?,
                    None if here => Some(client.push_blob(&blob).await?),
                    None => None,
                };
                Ok((blob, pushed))
            })
        })
        .collect();
    let mut sent = 0;
    for task in tasks {
        let done = resolver.runtime.block_on(task);
        let done: Result<_, RegistryError> =
            done.map_err(|error| CommandError::new(Kind::Failed, error.to_string()))?;
        let (blob, pushed) = done?;
        if pushed.is_none() {
            ensure_blobs(resolver, std::slice::from_ref(&blob), image.base.as_deref())?;
            resolver.runtime.block_on(client.push_blob(&blob))?;
        }
        if matches!(pushed, None | Some(Pushed::Sent)) {
            sent += blob.size;
        }
    }
    attach::attach(resolver, &client, image, destination, attach)?;
    let name = destination.manifest();
    let put = client.push_manifest(&name, &image.manifest.media_type, &bytes);
    resolver.runtime.block_on(put).map_err(ResolveError::from)?;
    let (sent, time) = (ui::bytes(sent), ui::duration(start.elapsed()));
    resolver.reporter.event(Event::Note(format!("pushed {destination}: {sent} sent in {time}")));
    Ok(())
}
