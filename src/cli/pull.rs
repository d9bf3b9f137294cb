//! `alloy pull`.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Instant;

use clap::Args as ClapArgs;
use layers::digest::Digest;
use layers::document;
use layers::media_type::{self, Descriptor};

use super::context::{self, Global, RegistryArgs};
use super::error::{CommandError, Kind};
use super::image_name::not_reserved;
use super::interrupt::{self, CtrlC};
use super::ui;
use crate::build::ensure_blobs;
use crate::cache::{Place, elsewhere};
use crate::context::{Context, now};
use crate::event::Event;
use crate::fetch::FetchError;
use crate::image::{self, Image, ImageError, Index, IndexEntry, LayerEntry, Local, LocalImage, LocalIndex, Manifest};
use crate::plan::Platform;
use crate::registry::{Client, Reference, RegistryError};
use crate::resolve::{Request, ResolveError, Resolver};
use crate::tasks::Task;

/// What images of alloy run on, as Go names it.
const LINUX: &str = "linux";
/// Bytes of a manifest.
const MANIFEST_LIMIT: u64 = 16 << 20;
/// Images of one index: each is fetched.
pub(super) const MOST: usize = 500;

/// Downloads an image from a registry into the store, under the same name
///
/// Layers that are in the store already are not downloaded again. Every layer is verified against the image's config
/// before the image gets its name. Layers are unpacked only when a command needs them. Documents that are attached to
/// the image in the registry, such as an SBOM, stay there; `alloy sbom` finds them. With -q, only the image's digest is
/// printed.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  alloy pull registry.example/team/arm-env:1.2
  alloy pull registry.example/team/arm-env@sha256:…
  alloy pull --platform linux/amd64,linux/arm64 registry.example/team/arm-env:1.2")]
pub(super) struct Args {
    /// The image, [REGISTRY/]NAME[:TAG] or [REGISTRY/]NAME@DIGEST; without a registry, Docker Hub's
    #[arg(value_name = "REF")]
    image: String,
    /// Which images of an index, os/arch[/variant]; several stay an index [default: this machine's]
    #[arg(long, value_name = "PLATFORM", value_delimiter = ',')]
    platform: Vec<Platform>,
    /// Download all images of an index that are for Linux
    #[arg(long, conflicts_with = "platform")]
    all_platforms: bool,
    #[command(flatten)]
    registry: RegistryArgs,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CommandError> {
    let reference: Reference = args.image.parse().map_err(|error| CommandError::from_error(Kind::Usage, &error))?;
    not_reserved(&reference)?;
    let context = context::open(global, Some(&args.registry))?;
    interrupt::obey(&context.runtime, CtrlC::Ours)?;
    let request = Request::new(&context, Platform::of_this_machine());
    let resolver = request.resolver(&context);
    let (start, name) = (Instant::now(), reference.to_string());
    let before = image::local(&context.store, &name).ok().flatten();
    let Found { local, whole } = find(args, &context, &resolver, &reference)?;
    let got = layers(&context, &resolver, &reference, &local)?;
    let digest = local.descriptor().digest;
    let same = before.as_ref().is_some_and(|before| before.descriptor().digest == digest);
    if !same {
        image::tag(&context.store, &local)?;
    }
    let platforms: Vec<String> = local.images().iter().map(|image| image.platform.to_string()).collect();
    let (platforms, from) = (platforms.join(", "), format!("{}/{}", reference.registry, reference.repository));
    let count = ui::count(got.count, "layer");
    let note = match (same, got.came) {
        (true, 0) => format!("{name} ({platforms}) is there already"),
        _ => {
            let (bytes, time) = (ui::bytes(got.bytes), ui::duration(start.elapsed()));
            let there = got.count - got.came;
            format!("pulled {name} ({platforms}) from {from}: {count}, {there} of them here; {bytes} came in {time}")
        }
    };
    context.reporter().event(Event::Note(note));
    if let Some(before) = before.filter(|_| !same) {
        let was = before.descriptor().digest;
        context.reporter().event(Event::Note(format!("{name} was {was} before")));
    }
    if !whole {
        let all = "of an index that lists more; --platform names others, --all-platforms takes all";
        context.reporter().event(Event::Note(format!("{name}: {platforms} {all}")));
    }
    drop(request);
    drop(context);
    if global.quiet {
        outln!("{digest}");
    } else if reference.digest.is_some() {
        outln!("{name}");
    } else {
        outln!("{name}@{digest}");
    }
    Ok(ExitCode::SUCCESS)
}

/// What a name stands for in a registry; without its layers.
struct Found {
    local: Local,
    /// An index was taken with all that it lists.
    whole: bool,
}

fn find(args: &Args, context: &Context, resolver: &Resolver<'_>, reference: &Reference) -> Result<Found, CommandError> {
    let (client, name) = (resolver.client(reference)?, reference.to_string());
    let (descriptor, _) = context.runtime.block_on(client.manifest(&reference.manifest()))?;
    let sent = |error: ImageError| error.sent::<CommandError>(&name);
    if !media_type::is_index(&descriptor.media_type) {
        let found = for_linux(fetched(context, &client, &name, reference, descriptor)?)?;
        let single = Index::new(vec![IndexEntry::of(&found)]);
        for platform in &args.platform {
            image::select(&name, &single, platform).map_err(sent)?;
        }
        let here = Platform::of_this_machine();
        if args.platform.is_empty() && image::select(&name, &single, &here).is_err() {
            let warning = format!(
                "{name} is for {} and for nothing else, and this machine is {here}; --platform asks for one of these alone",
                found.platform
            );
            context.reporter().event(Event::Warning(warning));
        }
        return Ok(Found { local: Local::Image(found), whole: true });
    }
    let index: Index = image::read_document(&context.store, &name, &descriptor.digest).map_err(sent)?;
    let is_image = |entry: &&IndexEntry| entry.platform.as_ref().is_none_or(|platform| platform.os != "unknown");
    let all: Vec<&IndexEntry> = index.manifests.iter().filter(is_image).collect();
    if all.len() > MOST {
        let message = format!("it lists {} images; alloy takes up to {MOST} of an index", all.len());
        return Err(sent(ImageError::invalid(&name, message)));
    }
    let mut wanted: Vec<IndexEntry> = Vec::new();
    match args.platform.as_slice() {
        [] if args.all_platforms => {
            let is_linux = |entry: &&&IndexEntry| entry.platform.as_ref().is_none_or(|platform| platform.os == LINUX);
            wanted.extend(all.iter().filter(is_linux).copied().cloned());
        }
        [] => wanted.push(image::select(&name, &index, &Platform::of_this_machine()).map_err(sent)?.clone()),
        platforms => {
            for platform in platforms {
                let entry = image::select(&name, &index, platform).map_err(sent)?;
                if !wanted.contains(entry) {
                    wanted.push(entry.clone());
                }
            }
        }
    }
    // What else an index has, such as attestations of images, is not here: then it is another index.
    let (complete, several) = (wanted.len() == index.manifests.len(), wanted.len() > 1);
    let whole = wanted.len() == all.len();
    let one = |entry: IndexEntry| {
        let found = fetched(context, &client, &name, reference, entry.descriptor.clone())?;
        entry.agrees(&name, &found.platform).map_err(sent)?;
        for_linux(found)
    };
    let mut images = wanted.into_iter().map(one).collect::<Result<Vec<_>, _>>()?;
    let local = match images.pop() {
        None => return Err(sent(ImageError::invalid(&name, "the index lists no image for Linux"))),
        Some(image) if !(several || complete && args.all_platforms) => Local::Image(image),
        Some(last) => {
            images.push(last);
            if complete {
                Local::Index(LocalIndex { name, index: descriptor, tagged_at: now(), named_at: None, images })
            } else {
                Local::Index(LocalIndex::store(&context.store, &name, images, now())?)
            }
        }
    };
    Ok(Found { local, whole })
}

/// The image of a registry that `descriptor` leads to: its manifest and its config are brought here, and where its layers
/// are is noted.
pub(super) fn fetched(
    context: &Context,
    client: &Client,
    name: &str,
    reference: &Reference,
    descriptor: Descriptor,
) -> Result<LocalImage, CommandError> {
    let digest = descriptor.digest;
    let sent = |error: ImageError| error.sent::<CommandError>(name);
    if !context.store.holds(&descriptor) {
        let (found, _) = context.runtime.block_on(client.manifest(&digest.to_string()))?;
        if media_type::is_index(&found.media_type) {
            return Err(
                sent(ImageError::nested(name, &digest)).hint(format!("alloy pull {}@{digest}", named(reference)))
            );
        }
        if found.size != descriptor.size {
            let message = format!("{digest} has {} bytes, and the index says {}", found.size, descriptor.size);
            return Err(sent(ImageError::invalid(name, message)));
        }
    }
    // What the store had may have come from anywhere.
    let bytes = context.store.read_blob(&digest, MANIFEST_LIMIT)?;
    let invalid = |why: String| sent(ImageError::invalid(name, format!("its manifest {digest}: {why}")));
    if document::is_index(&bytes, &descriptor.media_type).map_err(invalid)? {
        return Err(sent(ImageError::nested(name, &digest)));
    }
    let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|error| invalid(error.to_string()))?;
    if !media_type::is_config(&manifest.config.media_type) {
        let kind = layers::path::shown(manifest.config.media_type.as_bytes());
        let message = format!("{name} is no image: its config is {kind}");
        let hint = "`alloy clone` fetches blueprints, `alloy cache` has the caches of teams";
        return Err(CommandError::new(Kind::Network, message).hint(hint));
    }
    context.runtime.block_on(client.document(&manifest.config))?;
    let platform = image::platform_of(&context.store, name, &manifest).map_err(sent)?;
    for LayerEntry { descriptor, urls } in manifest.layers.iter().filter(|it| !context.store.holds(&it.descriptor)) {
        elsewhere::note(&context.store, &descriptor.digest, &Place::beside(reference))?;
        if image::is_foreign(&descriptor.media_type) {
            elsewhere::note_urls(&context.store, &descriptor.digest, urls)?;
        }
    }
    let (name, tagged_at) = (reference.to_string(), now());
    Ok(LocalImage { name, manifest: descriptor, platform, tagged_at, named_at: None, from: None, documents: None })
}

/// The name without tag and digest.
fn named(reference: &Reference) -> String {
    reference.bare().to_string()
}

/// An error for an image that nothing here can run.
fn for_linux(image: LocalImage) -> Result<LocalImage, CommandError> {
    if image.platform.os == LINUX {
        return Ok(image);
    }
    let (reference, available) = (image.name, layers::path::shown(image.platform.to_string().as_bytes()));
    let platform = Platform::of_this_machine().to_string();
    let hint = "alloy's images are for Linux, of whatever architecture";
    Err(CommandError::from(RegistryError::NoPlatform { reference, platform, available }).hint(hint))
}

/// What was brought here.
#[derive(Default)]
struct Got {
    count: usize,
    came: usize,
    bytes: u64,
}

/// Brings the layers of all images, and looks whether they are what the images' configs say.
fn layers(
    context: &Context,
    resolver: &Resolver<'_>,
    reference: &Reference,
    local: &Local,
) -> Result<Got, CommandError> {
    let (store, client) = (&context.store, resolver.client(reference)?);
    let mut images = Vec::new();
    let sent = |error: ImageError| error.sent::<CommandError>(local.name());
    for image in local.images() {
        let manifest: Manifest = image::read_document(store, &image.name, &image.manifest.digest).map_err(sent)?;
        let config = store.read_blob(&manifest.config.digest, image::JSON_LIMIT)?;
        images.push(Image::new(&image.name, image.manifest.digest, &manifest, &config).map_err(sent)?);
    }
    let mut all: Vec<Descriptor> =
        images.iter().flat_map(|image| image.layers.iter().map(|layer| layer.descriptor.clone())).collect();
    all.sort_by_key(|layer| layer.digest);
    all.dedup_by_key(|layer| layer.digest);
    let mut got = Got { count: all.len(), ..Got::default() };
    let mut tasks = Vec::new();
    let foreign: BTreeSet<Digest> = images
        .iter()
        .flat_map(|image| &image.layers)
        .filter(|layer| !layer.urls().is_empty())
        .map(|layer| layer.descriptor.digest)
        .collect();
    let (foreign, all): (Vec<_>, Vec<_>) =
        all.into_iter().filter(|layer| !store.holds(layer)).partition(|layer| foreign.contains(&layer.digest));
    for layer in all {
        (got.came, got.bytes) = (got.came + 1, got.bytes.saturating_add(layer.size));
        let client = client.clone();
        tasks.push(Task::start(resolver.runtime(), async move { client.blob(&layer).await }));
    }
    // All of them are waited for: none goes on behind the back of a command that has failed.
    let done: Vec<Result<(), RegistryError>> =
        tasks.into_iter().map(|task| task.wait().map_err(FetchError::from)?).collect();
    done.into_iter().collect::<Result<(), _>>().map_err(ResolveError::from)?;
    // The registry may have them, or not.
    ensure_blobs(resolver, &foreign)?;
    got.came += foreign.len();
    got.bytes = foreign.iter().fold(got.bytes, |sum, layer| sum.saturating_add(layer.size));
    for image in &images {
        image::verify_layers(store, local.name(), &image.layers).map_err(sent)?;
    }
    Ok(got)
}
