//! What goes with an image into a registry: documents about it, and signatures.

use std::collections::BTreeMap;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use layers::digest::Digest;
use layers::media_type::Descriptor;

use super::super::documents;
use super::super::error::{CommandError, Kind};
use crate::attest;
use crate::cache;
use crate::event::Event;
use crate::image::{Documents, LocalImage};
use crate::registry::{Artifact, Client, Reference, Signed};
use crate::resolve::{ResolveError, Resolver};
use crate::sign::SigningKey;

/// Images whose documents a registry is known to have.
const ATTACHED: &str = "attached";

/// Options of commands that push
#[derive(Debug, Default, Args)]
pub(in crate::cli) struct AttachArgs {
    /// Attach neither an SBOM nor a provenance statement
    #[arg(help_heading = "Documents and signatures", long)]
    pub(in crate::cli) no_attest: bool,
    /// Sign what is pushed, as cosign does: a key in PEM (ECDSA P-256), or cosign's own with COSIGN_PASSWORD
    #[arg(
        help_heading = "Documents and signatures",
        long,
        value_name = "FILE",
        env = "ALLOY_SIGN_KEY",
        hide_env_values = true
    )]
    sign_key: Option<PathBuf>,
}

/// What is attached.
#[derive(Debug)]
pub(in crate::cli) struct Attach {
    documents: bool,
    /// Who signs.
    pub(in crate::cli) key: Option<SigningKey>,
}

impl AttachArgs {
    /// Reads the key: what is wrong with it is better said before a build than behind it.
    pub(in crate::cli) fn read(&self) -> Result<Attach, CommandError> {
        let key = self.sign_key.as_deref().filter(|path| !path.as_os_str().is_empty()).map(SigningKey::read);
        let key = key.transpose().map_err(|error| CommandError::from_error(Kind::Usage, &error).hint(error.hint()))?;
        Ok(Attach { documents: !self.no_attest, key })
    }
}

/// Documents of `image` that the registry is known to have had.
pub(super) fn known(
    resolver: &Resolver<'_>,
    client: &Client,
    image: &LocalImage,
    wanted: &Attach,
) -> Result<Vec<Descriptor>, CommandError> {
    let attached =
        wanted.documents && cache::get(resolver.store, ATTACHED, &record(client, image))?.unwrap_or_default();
    let documents = image.documents.as_ref().filter(|_| attached);
    Ok(documents.into_iter().flat_map(Documents::blobs).cloned().collect())
}

fn record(client: &Client, image: &LocalImage) -> String {
    Digest::of(format!("{} {}", client.repository(), image.manifest.digest)).hex()
}

/// Attaches what is missing to `image`, which the registry has.
pub(super) fn complete(
    resolver: &Resolver<'_>,
    client: &Client,
    image: &LocalImage,
    destination: &Reference,
    wanted: &Attach,
) -> Result<(), CommandError> {
    if wanted.key.is_none() && (!wanted.documents || image.documents.is_none()) {
        return Ok(());
    }
    let record = record(client, image);
    let known = cache::get(resolver.store, ATTACHED, &record)?.unwrap_or_default();
    if wanted.key.is_none() && known {
        return Ok(());
    }
    if wanted.key.is_none() && documents::are_attached(resolver, client, &image.manifest.digest)? {
        return Ok(cache::put(resolver.store, ATTACHED, &record, &true)?);
    }
    attach(resolver, client, image, destination, wanted)
}

/// Signs the manifest or index `digest`, if somebody signs.
pub(in crate::cli) fn sign(
    resolver: &Resolver<'_>,
    client: &Client,
    digest: &Digest,
    destination: &Reference,
    attach: &Attach,
) -> Result<(), CommandError> {
    attach.key.as_ref().map_or(Ok(()), |key| signed(resolver, client, digest, destination, key).map(drop))
}

/// A signature of the manifest or index `digest`, as cosign has it. True if it is a new one.
fn signed(
    resolver: &Resolver<'_>,
    client: &Client,
    digest: &Digest,
    destination: &Reference,
    key: &SigningKey,
) -> Result<bool, CommandError> {
    let payload = attest::simple_signing(&attest::identity(destination), digest);
    let signature = ("dev.cosignproject.cosign/signature".to_owned(), STANDARD.encode(key.sign(&payload)));
    put(resolver, client, &attest::signature_tag(digest), attest::SIGNATURE, &payload, [signature])
}

/// Attaches to `image`, which is about to get the name `destination`: whoever sees the name finds all of it.
pub(super) fn attach(
    resolver: &Resolver<'_>,
    client: &Client,
    image: &LocalImage,
    destination: &Reference,
    attach: &Attach,
) -> Result<(), CommandError> {
    let mut done = Vec::new();
    // Whoever builds without documents has said so; of an image that came from elsewhere, nobody has.
    let foreign = image.documents.is_none() && image.from.is_none();
    if attach.documents && foreign && !documents::are_attached(resolver, client, &image.manifest.digest)? {
        resolver.reporter.event(Event::Warning(format!(
            "{destination} is without an SBOM and without provenance: it was not built here, and what is attached to an \
             image where it was pulled from does not come along; `oras cp -r` and `cosign copy` copy it with the image"
        )));
    }
    if let Some(documents) = image.documents.as_ref().filter(|_| attach.documents) {
        let sbom = documents::sbom(resolver, image, documents)
            .map_err(|error| error.hint("--no-attest pushes the image without an SBOM"))?;
        let sent = run(resolver, client.attach(&artifacts(image, documents, sbom.as_ref())))?;
        if sbom.is_none() {
            resolver.reporter.event(Event::Warning(format!(
                "{destination} is without an SBOM: its layers are not on this machine, and nobody who had them has left \
                 what is in them; `alloy sbom {}` pulls them and makes it, and the next push attaches it",
                image.name
            )));
        }
        let what = if sbom.is_some() { "SBOM and provenance attached" } else { "provenance attached" };
        done.extend(sent.then_some(what));
    }
    if let Some(key) = &attach.key {
        let manifest = &image.manifest.digest;
        let mut sent = signed(resolver, client, manifest, destination, key)?;
        if let Some(documents) = image.documents.as_ref().filter(|_| attach.documents) {
            let statement = documents::read(resolver.store, &documents.provenance)?;
            let envelope = attest::envelope(&statement, key);
            let annotations = [
                ("dev.cosignproject.cosign/signature".to_owned(), String::new()),
                ("predicateType".to_owned(), attest::PREDICATE_TYPE.to_owned()),
            ];
            let tag = attest::attestation_tag(manifest);
            sent |= put(resolver, client, &tag, attest::ATTESTATION, &envelope, annotations)?;
        }
        done.extend(sent.then_some("signed"));
    }
    if !done.is_empty() {
        resolver.reporter.event(Event::Note(format!("{destination}: {}", done.join(", "))));
    }
    Ok(())
}

fn artifacts<'a>(image: &'a LocalImage, documents: &'a Documents, sbom: Option<&'a Descriptor>) -> Vec<Artifact<'a>> {
    let subject = &image.manifest;
    let predicate = BTreeMap::from([(attest::PREDICATE.to_owned(), attest::PREDICATE_TYPE.to_owned())]);
    let sbom = sbom.map(|content| Artifact { kind: attest::SPDX, content, subject, annotations: BTreeMap::new() });
    let provenance =
        Artifact { kind: attest::IN_TOTO, content: &documents.provenance, subject, annotations: predicate };
    sbom.into_iter().chain([provenance]).collect()
}

fn put<const N: usize>(
    resolver: &Resolver<'_>,
    client: &Client,
    tag: &str,
    media_type: &str,
    payload: &[u8],
    annotations: [(String, String); N],
) -> Result<bool, CommandError> {
    let payload = documents::put(resolver.store, media_type, payload)?;
    run(resolver, client.add_signed(tag, &Signed { payload, annotations: annotations.into() }))
}

fn run<T>(
    resolver: &Resolver<'_>,
    sending: impl Future<Output = Result<T, crate::registry::RegistryError>>,
) -> Result<T, CommandError> {
    Ok(resolver.runtime.block_on(sending).map_err(ResolveError::from)?)
}
