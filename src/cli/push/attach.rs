//! What goes with an image into a registry: documents about it, and signatures.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use layers::digest::Digest;
use layers::media_type::Descriptor;

use super::super::documents;
use super::super::error::{CommandError, Kind};
use crate::attest::{self, Statement};
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
    /// Sign what is pushed, as cosign does, with a private key: PEM (ECDSA P-256), or a key of cosign's with
    /// COSIGN_PASSWORD
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
    let record = record(client, &image.manifest.digest);
    let attached = wanted.documents && cache::get(resolver.store, ATTACHED, &record)?.unwrap_or_default();
    let documents = image.documents.as_ref().filter(|_| attached);
    Ok(documents.into_iter().flat_map(Documents::blobs).cloned().collect())
}

fn record(client: &Client, manifest: &Digest) -> String {
    Digest::of(format!("{} {manifest}", client.repository())).hex()
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
    let record = record(client, &image.manifest.digest);
    let known = cache::get(resolver.store, ATTACHED, &record)?.unwrap_or_default();
    if wanted.key.is_none() && known {
        return Ok(());
    }
    if wanted.key.is_none() {
        match documents::are_attached(resolver, client, &image.manifest.digest) {
            Ok(true) => return Ok(cache::put(resolver.store, ATTACHED, &record, &true)?),
            // It is told of when something is attached.
            Err(error) if !error.is_of_one_request() => return Err(error.into()),
            _ => {}
        }
    }
    let documents = with_sbom(resolver, image, wanted)?;
    attach(resolver, client, image, destination, wanted, documents)
}

/// True if anything goes with `image`, which then is put by its digest first: some registries take nothing about a
/// manifest that they do not have, and whoever sees the name is to find all of it.
pub(super) fn goes_along(image: &LocalImage, wanted: &Attach) -> bool {
    wanted.key.is_some() || wanted.documents && image.documents.is_some()
}

/// The documents of `image` that are wanted, with the SBOM if it can be made.
pub(super) fn with_sbom(
    resolver: &Resolver<'_>,
    image: &LocalImage,
    wanted: &Attach,
) -> Result<Option<Documents>, CommandError> {
    let Some(documents) = image.documents.as_ref().filter(|_| wanted.documents) else { return Ok(None) };
    let sbom = documents::sbom(resolver, image, documents)
        .map_err(|error| error.hint("--no-attest pushes the image without an SBOM"))?;
    Ok(Some(Documents { sbom, ..documents.clone() }))
}

/// `error`, which came when the manifest `digest` was there already, and the name was not yet given.
pub(super) fn untagged(mut error: CommandError, destination: &Reference, digest: &Digest) -> CommandError {
    if error.kind != Kind::Interrupted {
        let _ = write!(error.message, "; {}@{digest} is there, without its tag", destination.bare());
    }
    error
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

/// A signed statement about the manifest or index `digest`, as cosign has it. True if it is a new one.
fn attested(
    resolver: &Resolver<'_>,
    client: &Client,
    digest: &Digest,
    statement: &[u8],
    key: &SigningKey,
) -> Result<bool, CommandError> {
    let envelope = attest::envelope(statement, key);
    let annotations = [
        ("dev.cosignproject.cosign/signature".to_owned(), String::new()),
        ("predicateType".to_owned(), attest::PREDICATE_TYPE.to_owned()),
    ];
    put(resolver, client, &attest::attestation_tag(digest), attest::ATTESTATION, &envelope, annotations)
}

/// Attaches to `image`, which is about to get the name `destination`, the `documents` that are wanted, and signs it.
pub(super) fn attach(
    resolver: &Resolver<'_>,
    client: &Client,
    image: &LocalImage,
    destination: &Reference,
    attach: &Attach,
    documents: Option<Documents>,
) -> Result<(), CommandError> {
    let mut done = Vec::new();
    // Whoever builds without documents has said so; of an image that came from elsewhere, nobody has.
    let foreign = attach.documents && image.documents.is_none() && image.from.is_none();
    let bare = || match documents::are_attached(resolver, client, &image.manifest.digest) {
        // Of a registry that does not say, nothing is said.
        Err(error) if error.is_of_one_request() => Ok(false),
        done => done.map(|attached| !attached),
    };
    if foreign && bare()? {
        resolver.reporter().event(Event::Warning(format!(
            "{destination} is without an SBOM and without provenance: it was not built here, and what is attached to an \
             image where it was pulled from does not come along; `oras cp -r` and `cosign copy` copy it with the image"
        )));
    }
    if let Some(documents) = &documents {
        let sent = give(resolver, client, destination, &artifacts(&image.manifest, documents))?;
        if documents.sbom.is_none() {
            resolver.reporter().event(Event::Warning(format!(
                "{destination} is without an SBOM: its layers are not on this machine, and nobody who had them has left \
                 what is in them; `alloy sbom {}` pulls them and makes it, and the next push attaches it",
                image.name
            )));
        }
        let what = if documents.sbom.is_some() { "SBOM and provenance attached" } else { "provenance attached" };
        done.extend(sent.then_some(what));
    }
    if let Some(key) = &attach.key {
        let manifest = &image.manifest.digest;
        let mut sent = signed(resolver, client, manifest, destination, key)?;
        if let Some(documents) = &documents {
            let statement = documents::read(resolver.store, &documents.provenance)?;
            sent |= attested(resolver, client, manifest, &statement, key)?;
        }
        done.extend(sent.then_some("signed"));
    }
    if !done.is_empty() {
        resolver.reporter().event(Event::Note(format!("{destination}: {}", done.join(", "))));
    }
    Ok(())
}

/// Attaches documents; a registry may refuse them and have the image nevertheless. True if all are there, and some were
/// not before.
fn give(
    resolver: &Resolver<'_>,
    client: &Client,
    destination: &Reference,
    artifacts: &[Artifact<'_>],
) -> Result<bool, CommandError> {
    let attached = run(resolver, client.attach(artifacts))?;
    if attached.refused.is_empty() {
        return Ok(attached.sent);
    }
    let refused: Vec<String> = attached.refused.iter().map(ToString::to_string).collect();
    resolver.reporter().event(Event::Warning(format!(
        "the registry did not take all that goes with {destination}: {}; the image is there without that, and \
         --no-attest pushes it without trying",
        refused.join("; ")
    )));
    Ok(false)
}

/// Attaches to the index `index` of `images` what is known of how it was made, and signs it: policies look at what a
/// name stands for, and not at the images below it.
fn attach_to_index(
    resolver: &Resolver<'_>,
    client: &Client,
    index: &Descriptor,
    statement: Option<&[u8]>,
    destination: &Reference,
    attach: &Attach,
) -> Result<(), CommandError> {
    if let Some(statement) = statement {
        let provenance = documents::put(resolver.store, attest::IN_TOTO, statement)?;
        give(resolver, client, destination, &artifacts(index, &Documents { provenance, sbom: None }))?;
    }
    if let Some(key) = &attach.key {
        signed(resolver, client, &index.digest, destination, key)?;
        if let Some(statement) = statement {
            attested(resolver, client, &index.digest, statement, key)?;
        }
    }
    Ok(())
}

/// What is known of how the index was made; `None` unless all its images were built here, and together.
fn statement(
    resolver: &Resolver<'_>,
    index: &Descriptor,
    images: &[LocalImage],
    attach: &Attach,
) -> Result<Option<Vec<u8>>, CommandError> {
    let mut parts: Vec<Statement> = Vec::new();
    for image in images {
        let Some(documents) = image.documents.as_ref().filter(|_| attach.documents) else { return Ok(None) };
        let bytes = documents::read(resolver.store, &documents.provenance)?;
        parts.push(serde_json::from_slice(&bytes).map_err(|error| {
            CommandError::new(Kind::Failed, format!("what the store has of {} is damaged: {error}", image.name))
                .hint("build it again")
        })?);
    }
    Ok(attest::of_index(&index.digest, &parts).map(|statement| statement.bytes()))
}

/// Puts the index `index` of `images`, which the registry has, under `destination`: its tag last.
pub(in crate::cli) fn put_index(
    resolver: &Resolver<'_>,
    client: &Client,
    index: &Descriptor,
    images: &[LocalImage],
    destination: &Reference,
    attach: &Attach,
) -> Result<(), CommandError> {
    let bytes = resolver.store.read_blob(&index.digest, 16 << 20)?;
    let put = |name: &str| resolver.runtime().block_on(client.push_manifest(name, &index.media_type, &bytes));
    let statement = statement(resolver, index, images, attach)?;
    if attach.key.is_some() || statement.is_some() {
        put(&index.digest.to_string())?;
        attach_to_index(resolver, client, index, statement.as_deref(), destination, attach)
            .map_err(|error| untagged(error, destination, &index.digest))?;
        let error = |error: crate::registry::RegistryError| untagged(error.into(), destination, &index.digest);
        return put(&destination.manifest()).map_err(error);
    }
    Ok(put(&destination.manifest())?)
}

/// Attaches what is missing to the index `index`, which the registry has.
pub(super) fn complete_index(
    resolver: &Resolver<'_>,
    client: &Client,
    index: &Descriptor,
    images: &[LocalImage],
    destination: &Reference,
    attach: &Attach,
) -> Result<(), CommandError> {
    let statement = statement(resolver, index, images, attach)?;
    attach_to_index(resolver, client, index, statement.as_deref(), destination, attach)
}

fn artifacts<'a>(subject: &'a Descriptor, documents: &'a Documents) -> Vec<Artifact<'a>> {
    let predicate = BTreeMap::from([(attest::PREDICATE.to_owned(), attest::PREDICATE_TYPE.to_owned())]);
    let sbom = documents.sbom.as_ref().map(|content| Artifact {
        kind: attest::SPDX,
        name: "SBOM",
        content,
        subject,
        annotations: BTreeMap::new(),
    });
    let provenance = Artifact {
        kind: attest::IN_TOTO,
        name: "provenance",
        content: &documents.provenance,
        subject,
        annotations: predicate,
    };
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
    Ok(resolver.runtime().block_on(sending).map_err(ResolveError::from)?)
}
