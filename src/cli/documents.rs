//! What is said of an image: made when it is built or when somebody asks, kept in the store, found in registries.

use clap::Args;
use layers::digest::Digest;
use layers::media_type::{self, Descriptor};
use layers::store::Store;
use serde::Deserialize;

use super::context::{self, Global, RegistryArgs};
use super::error::{CommandError, Kind};
use super::inputs::Prepared;
use super::interrupt::{self, CtrlC};
use super::ui;
use crate::attest::{self, Statement};
use crate::build::{self, Built};
use crate::event::Event;
use crate::image::{self, BuiltFrom, Documents, Image, ImageError, Index, Local, LocalImage, Manifest};
use crate::plan::Platform;
use crate::registry::{Client, Reference, Referrer, RegistryError};
use crate::resolve::{Request, ResolveError, Resolver};

/// Bytes of a document.
const LIMIT: u64 = 64 << 20;
/// Manifests of a registry's list that are looked at, of those that it lists as what is wanted, and of the others.
const LOOKED_AT: usize = 32;

/// Which of the documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Sbom,
    Provenance,
}

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

impl Which {
    fn name(self) -> &'static str {
        match self {
            Self::Sbom => "SBOM",
            Self::Provenance => "provenance",
        }
    }

    fn is(self, referrer: &Referrer) -> bool {
        let kind = referrer.artifact_type.as_deref();
        match self {
            Self::Sbom => kind == Some(attest::SPDX),
            Self::Provenance => {
                let predicate = referrer.annotations.get(attest::PREDICATE);
                kind == Some(attest::IN_TOTO) && predicate.is_none_or(|predicate| predicate == attest::PREDICATE_TYPE)
            }
        }
    }
}

/// Stores a document.
pub(super) fn put(store: &Store, media_type: &str, bytes: &[u8]) -> Result<Descriptor, CommandError> {
    let digest = store.put_blob(bytes)?;
    Ok(Descriptor { media_type: media_type.to_owned(), digest, size: bytes.len() as u64 })
}

/// A document of the store.
pub(super) fn read(store: &Store, document: &Descriptor) -> Result<Vec<u8>, CommandError> {
    Ok(store.read_blob(&document.digest, LIMIT)?)
}

/// True if the registry has an SBOM and a provenance statement of `subject`.
pub(super) fn are_attached(resolver: &Resolver<'_>, client: &Client, subject: &Digest) -> Result<bool, RegistryError> {
    let referrers = resolver.runtime().block_on(client.referrers(subject))?;
    for which in [Which::Sbom, Which::Provenance] {
        if fitting(resolver, client, &referrers, which)?.is_empty() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Those of `referrers` that are of that kind, by what their manifests say. Those that the registry lists as such are
/// looked at first, and the others only where these are something else.
fn fitting(
    resolver: &Resolver<'_>,
    client: &Client,
    referrers: &[Referrer],
    which: Which,
) -> Result<Vec<Referrer>, RegistryError> {
    let (listed, others): (Vec<_>, Vec<_>) = referrers.iter().partition(|referrer| which.is(referrer));
    for some in [listed, others] {
        let mut found = Vec::new();
        for referrer in some.into_iter().take(LOOKED_AT) {
            let described = resolver.runtime().block_on(client.described(referrer.clone()))?;
            found.extend(which.is(&described).then_some(described));
        }
        if !found.is_empty() {
            return Ok(found);
        }
    }
    Ok(Vec::new())
}

/// What is said of an image that was just built. What is in it is looked at when somebody wants to know.
pub(super) fn of_build(
    store: &Store,
    built: &Built<'_>,
    prepared: &Prepared,
    from: &BuiltFrom,
) -> Result<Documents, CommandError> {
    let statement = attest::provenance(built, &prepared.blueprint, &prepared.platform, from);
    Ok(Documents { provenance: put(store, attest::IN_TOTO, &statement.bytes())?, sbom: None })
}

/// The SBOM of `image`, made if need be. `None` if nobody knows what is in layers that are not here: they are not pulled.
pub(super) fn sbom(
    resolver: &Resolver<'_>,
    image: &LocalImage,
    documents: &Documents,
) -> Result<Option<Descriptor>, CommandError> {
    let store = resolver.store;
    if let Some(sbom) = documents.sbom.as_ref().filter(|sbom| store.contains(&sbom.digest)) {
        return Ok(Some(sbom.clone()));
    }
    match make_sbom(resolver, image, documents, false)? {
        Some(bytes) => keep_sbom(store, image, documents, &bytes).map(Some),
        None => Ok(None),
    }
}

/// What is in `image`, as a document. Layers that are not here are pulled for it, or it is `None`.
fn make_sbom(
    resolver: &Resolver<'_>,
    image: &LocalImage,
    documents: &Documents,
    pull: bool,
) -> Result<Option<Vec<u8>>, CommandError> {
    let store = resolver.store;
    let damaged = |error: serde_json::Error| {
        let message = format!("what the store has of {} is damaged: {error}", image.name);
        CommandError::new(Kind::Failed, message).hint("build it again")
    };
    let statement: Statement = serde_json::from_slice(&read(store, &documents.provenance)?).map_err(damaged)?;
    let manifest: Manifest = serde_json::from_slice(&read(store, &image.manifest)?).map_err(damaged)?;
    let contents = Image::new(&image.name, image.manifest.digest, &manifest, &read(store, &manifest.config)?)?;
    Ok(build::inventory(resolver, &contents, pull)?.map(|inventory| attest::sbom(&statement, &inventory)))
}

/// Keeps the SBOM of `image` for who wants to know the next time.
fn keep_sbom(
    store: &Store,
    image: &LocalImage,
    documents: &Documents,
    bytes: &[u8],
) -> Result<Descriptor, CommandError> {
    let sbom = put(store, attest::SPDX, bytes)?;
    // The name may stand for another image by now.
    let same = |named: &Local| named.images().iter().any(|named| named.manifest == image.manifest);
    if let Some(named) = image::local(store, &image.name)?.filter(same) {
        let documents = Documents { sbom: Some(sbom.clone()), ..documents.clone() };
        image::tag(store, &named.with(store, LocalImage { documents: Some(documents), ..image.clone() })?)?;
    }
    Ok(sbom)
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
    let store = &context.store;
    let mut bytes = match local.and_then(|local| Some((local, local.documents.as_ref()?))) {
        Some((local, documents)) => match (which, &documents.sbom) {
            (Which::Provenance, _) => read(store, &documents.provenance)?,
            (Which::Sbom, Some(sbom)) if store.contains(&sbom.digest) => read(store, sbom)?,
            (Which::Sbom, _) => {
                let made = make_sbom(&resolver, local, documents, true)?.unwrap_or_default();
                // Where nothing can be kept, it is made each time.
                if store.is_writable() {
                    keep_sbom(store, local, documents, &made)?;
                }
                made
            }
        },
        None if name.names_registry() => read(store, &attached(&resolver, &name, which)?)?,
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

/// The document that is attached to the image `name` of a registry, brought into the store.
fn attached(resolver: &Resolver<'_>, name: &Reference, which: Which) -> Result<Descriptor, CommandError> {
    let client = resolver.client(name)?;
    let subject = manifest(resolver, &client, name)?;
    let referrers = resolver.runtime().block_on(client.referrers(&subject)).map_err(ResolveError::from)?;
    let mut fitting = fitting(resolver, &client, &referrers, which).map_err(ResolveError::from)?;
    let count = fitting.len();
    let Some(referrer) = fitting.pop() else {
        let message = format!("no {} is attached to {name} ({subject})", which.name());
        return Err(CommandError::new(Kind::Failed, message).hint("`alloy build --push` and `alloy push` attach it"));
    };
    if count > 1 {
        let note =
            format!("{count} documents of that kind are attached to {name}; this is {}", referrer.descriptor.digest);
        resolver.reporter().event(Event::Note(note));
    }
    let document = content(resolver, &client, &referrer.descriptor.digest, &subject)?;
    if document.size > LIMIT {
        let message = format!("the {} of {name} is larger than {LIMIT} bytes", which.name());
        return Err(CommandError::new(Kind::Network, message));
    }
    resolver.runtime().block_on(client.blob(&document)).map_err(ResolveError::from)?;
    Ok(document)
}

/// The digest of the image that `name` stands for on the resolver's platform.
fn manifest(resolver: &Resolver<'_>, client: &Client, name: &Reference) -> Result<Digest, CommandError> {
    let found = resolver.runtime().block_on(client.manifest(&name.manifest())).map_err(ResolveError::from)?;
    let (descriptor, bytes) = found;
    if !media_type::is_index(&descriptor.media_type) {
        return Ok(descriptor.digest);
    }
    let what = name.to_string();
    let index: Index = serde_json::from_slice(&bytes).map_err(|error| ImageError::invalid(&what, error.to_string()))?;
    Ok(image::select(&what, &index, resolver.platform)?.descriptor.digest)
}

#[derive(Deserialize)]
struct Attached {
    subject: Option<Descriptor>,
    layers: Vec<Descriptor>,
}

/// The document of the artifact `digest`, which says itself that it is about `subject`.
fn content(
    resolver: &Resolver<'_>,
    client: &Client,
    digest: &Digest,
    subject: &Digest,
) -> Result<Descriptor, CommandError> {
    let (_, bytes) = resolver.runtime().block_on(client.manifest(&digest.to_string())).map_err(ResolveError::from)?;
    let attached = serde_json::from_slice(&bytes).ok().filter(|attached: &Attached| {
        attached.subject.as_ref().is_some_and(|about| about.digest == *subject) && attached.layers.len() == 1
    });
    let document = attached.and_then(|attached| attached.layers.into_iter().next());
    document.ok_or_else(|| {
        let message = format!("{digest} is listed as attached to {subject}, and is nothing of the kind");
        CommandError::new(Kind::Network, message)
    })
}
