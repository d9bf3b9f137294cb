//! `alloy push`.

use std::collections::BTreeSet;
use std::process::ExitCode;

use clap::Args as ClapArgs;
use futures_util::future::try_join_all;
use layers::digest::Digest;
use layers::media_type::Descriptor;
use tokio::try_join;

use super::context::{self, Global, RegistryArgs};
use super::error::{CommandError, Kind};
use super::image_name::image_name;
use super::interrupt::{self, CtrlC};
use super::ui;
use crate::build::ensure_blobs;
use crate::cache::elsewhere;
use crate::event::Event;
use crate::fetch::FetchError;
use crate::image::{self, LayerEntry, Local, LocalImage, Manifest};
use crate::plan::Platform;
use crate::registry::{Client, Pushed, Reference, RegistryError};
use crate::resolve::{Request, ResolveError, Resolver};
use crate::tasks::Task;

mod attach;
mod checked;
mod verify;

pub(super) use attach::{Attach, AttachArgs, put_index};

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
    push(&resolver, &image, &destination, &attach)?;
    if args.verify {
        verify::verify(&resolver, &image, &destination)?;
    }
    drop(request);
    drop(context);
    outln!("{destination}@{}", image.descriptor().digest);
    Ok(ExitCode::SUCCESS)
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
    let mut blobs = Vec::new();
    // All of them first: a registry is left without half an index.
    for image in image.images() {
        let manifest = read(resolver, image)?.1;
        checked::check(resolver, image, &manifest)?;
        blobs.extend(sent_of(&manifest));
        blobs.extend(attach::known(resolver, &client, image, attach)?);
    }
    let mut seen = BTreeSet::new();
    blobs.retain(|blob| seen.insert(blob.digest));
    let there = resolver.runtime().block_on(client.manifest_digest(&tag, &descriptor.media_type))?;
    let there = there == Some(descriptor.digest);
    let lost = if there { resolver.runtime().block_on(lost(&client, image, &blobs))? } else { 0 };
    if there && lost == 0 {
        resolver.reporter().event(Event::Note(format!("{destination} is there already")));
        for image in image.images() {
            attach::complete(resolver, &client, image, destination, attach)?;
        }
        return match image {
            Local::Index(it) => attach::complete_index(resolver, &client, &it.index, &it.images, destination, attach),
            Local::Image(_) => Ok(()),
        };
    }
    if there {
        let lost = ui::count(lost, "part");
        resolver.reporter().event(Event::Warning(format!(
            "the registry has lost {lost} of {destination}; what is missing is sent again"
        )));
    }
    let sent = match image {
        Local::Image(image) => send(resolver, image, destination, &tag, attach)?,
        Local::Index(index) => {
            let mut sent = 0;
            for image in &index.images {
                sent += send(resolver, image, destination, &image.manifest.digest.to_string(), attach)?;
            }
            put_index(resolver, &client, &index.index, &index.images, destination, attach)?;
            sent
        }
    };
    if lost > 0 {
        let still = resolver.runtime().block_on(client.lost(&blobs)).map_err(ResolveError::from)?;
        if let Some(digest) = still.into_iter().next() {
            return Err(RegistryError::Keeps { reference: destination.to_string(), digest }.into());
        }
    }
    let (sent, time) = (ui::bytes(sent), ui::duration(start.elapsed()));
    resolver.reporter().event(Event::Note(format!("pushed {destination}: {sent} sent in {time}")));
    Ok(())
}

/// How many of the image's parts the registry does not have, though it has the manifest that names them.
async fn lost(client: &Client, image: &Local, blobs: &[Descriptor]) -> Result<usize, RegistryError> {
    let parts = image.images().iter().filter(|part| part.manifest.digest != image.descriptor().digest);
    let parts = try_join_all(parts.map(|part| has_manifest(client, &part.manifest)));
    let (blobs, parts) = try_join!(client.lost(blobs), parts)?;
    Ok(blobs.len() + parts.into_iter().filter(|there| !there).count())
}

/// True unless the registry says that it does not have the manifest.
async fn has_manifest(client: &Client, manifest: &Descriptor) -> Result<bool, RegistryError> {
    let found = client.manifest_digest(&manifest.digest.to_string(), &manifest.media_type).await?;
    Ok(found == Some(manifest.digest))
}

/// What of an image goes to a registry: not what its author wants had from elsewhere.
fn sent_of(manifest: &Manifest) -> Vec<Descriptor> {
    let layers = manifest.layers.iter().filter(|layer| !layer.stays_away()).map(|layer| &layer.descriptor);
    layers.chain([&manifest.config]).cloned().collect()
}

/// The manifest of an image, as bytes and as what they say.
fn read(resolver: &Resolver<'_>, image: &LocalImage) -> Result<(Vec<u8>, Manifest), CommandError> {
    let bytes = resolver.store.read_blob(&image.manifest.digest, 16 << 20)?;
    let manifest = serde_json::from_slice(&bytes).map_err(|error| {
        CommandError::new(Kind::Failed, format!("the manifest of {} is damaged: {error}", image.name))
    })?;
    Ok((bytes, manifest))
}

/// Sends what the registry does not have of an image: its blobs, its manifest, what goes with it, and last of all `name`,
/// a tag or digest. Gives the bytes that were sent.
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
    let blobs = sent_of(&manifest);
    let mut tasks = Vec::new();
    for blob in blobs {
        let (client, here) = (client.clone(), resolver.store.holds(&blob));
        // What another repository of the registry has is taken over from there.
        let places = elsewhere::places(resolver.store, &blob.digest)?;
        let from: Vec<String> = places.iter().filter_map(|it| it.mounts_to(destination).map(str::to_owned)).collect();
        tasks.push(Task::start(resolver.runtime(), async move {
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
            resolver.runtime().block_on(client.push_blob(&blob))?;
        }
        if matches!(pushed, None | Some(Pushed::Sent)) {
            sent += blob.size;
        }
    }
    let put = |name: &str| resolver.runtime().block_on(client.push_manifest(name, &image.manifest.media_type, &bytes));
    let documents = attach::with_sbom(resolver, image, attach)?;
    let (digest, goes_along) = (image.manifest.digest.to_string(), attach::goes_along(image, attach));
    let first = if goes_along { &digest } else { name };
    let by_digest = goes_along && first != name && attach.key.is_none();
    match put(first) {
        Err(error) if error.unknown_blobs().is_some() => {
            // What was never here has to come before it can be sent again.
            sent += again(resolver, &client, image, &manifest, &error.unknown_blobs().unwrap_or_default())?;
            put(first).map_err(|error| refused(error, &manifest, by_digest))?;
        }
        done => done.map_err(|error| refused(error, &manifest, by_digest))?,
    }
    attach::attach(resolver, &client, image, destination, attach, documents).map_err(|error| {
        if goes_along { attach::untagged(error, destination, &image.manifest.digest) } else { error }
    })?;
    if first != name {
        let error = |error| attach::untagged(ResolveError::from(error).into(), destination, &image.manifest.digest);
        put(name).map_err(error)?;
    }
    Ok(sent)
}

/// The error of a registry that does not take a manifest, `by_digest` where only what goes with the image wants that.
fn refused(error: RegistryError, manifest: &Manifest, by_digest: bool) -> CommandError {
    let by_digest = by_digest && error.is_refusal();
    let error = CommandError::from(ResolveError::from(error));
    let error = match by_digest {
        true => error.hint(
            "a registry may take manifests under tags alone, and the image is put by its digest for what goes with it: \
             --no-attest pushes it by its tag",
        ),
        false => error,
    };
    if !manifest.layers.iter().any(LayerEntry::stays_away) {
        return error;
    }
    error.hint(
        "the image has layers that are to be had from URLs, which are not sent: a registry may not take manifests with any \
         (`validation.manifests.urls` of distribution's)",
    )
}

/// Sends blobs of the image anew, whatever the registry says that it has: those of `digests`, or all if there are none.
/// Gives their bytes.
fn again(
    resolver: &Resolver<'_>,
    client: &Client,
    image: &LocalImage,
    manifest: &Manifest,
    digests: &[Digest],
) -> Result<u64, CommandError> {
    let all = sent_of(manifest);
    let mut sent = 0;
    for blob in all.iter().filter(|blob| digests.is_empty() || digests.contains(&blob.digest)) {
        ensure_blobs(resolver, std::slice::from_ref(blob))?;
        checked::check_one(resolver, image, manifest, blob)?;
        resolver.runtime().block_on(client.send_again(blob)).map_err(ResolveError::from)?;
        sent += blob.size;
    }
    Ok(sent)
}
