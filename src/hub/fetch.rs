//! A blueprint on its way out of a registry.

use std::path::{Path, PathBuf};

use layers::digest::Digest;
use layers::media_type;
use layers::verified::VerifiedReader;
use serde::de::DeserializeOwned;

use super::artifact::Manifest;
use super::contents::failed;
use super::form::{self, Parts};
use super::land::land;
use super::list::tags;
use super::unpack::{add, complete, unpack};
use super::{ContentError, HubError, MOST_PACKED, MOST_TEXT};
use crate::image::{self, ImageError, Index};
use crate::registry::{Client, Reference, RegistryError};
use crate::resolve::Resolver;
use crate::sink::Theirs;

/// Where pulled blueprints are kept, below a directory of the user's.
const BLUEPRINTS: &str = "blueprints";

/// A blueprint that was found: nothing but its manifest was read.
pub struct Found {
    client: Client,
    reference: Reference,
    /// Of the manifest for the host.
    pub digest: Digest,
    parts: Parts,
    /// The blueprint's name, if the registry has it.
    pub title: Option<String>,
    /// Its version.
    pub version: Option<String>,
}

/// A blueprint on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Its directory.
    pub directory: PathBuf,
    /// Of the manifest that it came with.
    pub digest: Digest,
    /// Its version, if the registry has it.
    pub version: Option<String>,
}

/// Finds the blueprint that `reference` stands for on the resolver's platform.
pub fn find(resolver: &Resolver<'_>, reference: &Reference) -> Result<Found, HubError> {
    let client = resolver.client(reference)?;
    let asked = resolver.runtime().block_on(client.manifest(&reference.manifest()));
    let (mut descriptor, mut bytes) = asked.map_err(|error| not_found(resolver, reference, &client, error))?;
    if media_type::is_index(&descriptor.media_type) {
        let index: Index = read(reference, &bytes)?;
        let entry = image::select(&reference.to_string(), &index, resolver.platform).map_err(|error| match error {
            ImageError::NoPlatform { what: reference, platform, available } => {
                HubError::NoHost { reference, platform, available }
            }
            error => invalid(reference, &error),
        })?;
        (descriptor, bytes) = resolver.runtime().block_on(client.manifest(&entry.descriptor.digest.to_string()))?;
    }
    if media_type::is_index(&descriptor.media_type) {
        return Err(invalid(reference, &"its index lists another one"));
    }
    let manifest: Manifest = read(reference, &bytes)?;
    let no_blueprint = |found: String| Err(HubError::NotABlueprint { reference: reference.to_string(), found });
    let Some(form) = form::of(manifest.artifact_type.as_deref(), Some(&manifest.config.media_type)) else {
        return match manifest.kind() {
            media_type::OCI_CONFIG | media_type::DOCKER_CONFIG => no_blueprint("an image".into()),
            other => no_blueprint(format!("{other:?}")),
        };
    };
    let parts = form::parts(form, &manifest.layers).map_err(|problem| invalid(reference, &problem))?;
    let sizes = parts.texts.iter().map(|(_, text)| (text.size, MOST_TEXT));
    for (size, most) in sizes.chain([(parts.files.size, MOST_PACKED)]) {
        if size > most {
            return Err(refused(reference, ContentError::Large(size)));
        }
    }
    let said = |key: &str| {
        let text = manifest.annotations.get(&format!("org.opencontainers.image.{key}"))?;
        Some(text.chars().filter(|c| !layers::path::steers(*c)).collect())
    };
    Ok(Found {
        client,
        reference: reference.clone(),
        digest: descriptor.digest,
        parts,
        title: said("title"),
        version: said("version"),
    })
}

impl Found {
    /// Puts its files at `dest`, which is not there, or an empty directory.
    pub fn unpack(&self, resolver: &Resolver<'_>, dest: &Path) -> Result<(), HubError> {
        let theirs = Theirs::of(dest);
        land(dest, |tree| self.fill(resolver, dest, tree))?;
        theirs.map_or(Ok(()), |theirs| theirs.hand_over()).map_err(failed("hand over", dest))
    }

    /// What it is, by its digest.
    pub(super) fn name(&self) -> String {
        format!("{}@{}", self.reference, self.digest)
    }

    /// Puts its files into the empty directory `tree`, which will be at `dest`.
    pub(super) fn fill(&self, resolver: &Resolver<'_>, dest: &Path, tree: &Path) -> Result<(), HubError> {
        let Self { client, reference, parts: Parts { files, texts }, .. } = self;
        for blob in std::iter::once(files).chain(texts.iter().map(|(_, text)| text)) {
            resolver.runtime().block_on(client.blob(blob))?;
        }
        let told = |error| match error {
            ContentError::File { what, path, source } => failed(what, &dest.join(path))(source),
            error => refused(reference, error),
        };
        resolver.store.read_whole(&files.digest, |blob| {
            let reader = VerifiedReader::new(blob, files.digest, files.size);
            unpack(reader, files.size, tree).map_err(told)
        })?;
        for (name, text) in texts {
            resolver.store.read_whole(&text.digest, |blob| {
                add(tree, name, VerifiedReader::new(blob, text.digest, text.size)).map_err(told)
            })?;
        }
        complete(tree).map_err(told)
    }
}

/// Where all versions of a blueprint are kept below `home`: `blueprints/REGISTRY/NAME`.
pub fn place(reference: &Reference, home: &Path) -> PathBuf {
    home.join(BLUEPRINTS).join(&reference.registry).join(&reference.repository)
}

/// Fetches a blueprint to be used where it is: in its [`place`], by its digest. What is there already is not fetched
/// again, nor changed.
pub fn fetch(resolver: &Resolver<'_>, reference: &Reference, home: &Path) -> Result<Fetched, HubError> {
    let found = find(resolver, reference)?;
    let directory = place(reference, home).join(found.digest.hex());
    if !directory.is_dir() {
        match found.unpack(resolver, &directory) {
            // Somebody else has fetched the same one meanwhile.
            Err(HubError::Occupied { .. }) if directory.is_dir() => {}
            done => done?,
        }
    }
    Ok(Fetched { directory, digest: found.digest, version: found.version })
}

/// Of a name without a tag, it is worth knowing which tags there are.
fn not_found(resolver: &Resolver<'_>, reference: &Reference, client: &Client, error: RegistryError) -> HubError {
    let latest = reference.digest.is_none() && reference.tag.as_deref() == Some("latest");
    if !latest || !matches!(error, RegistryError::NotFound { .. }) {
        return error.into();
    }
    match resolver.runtime().block_on(tags(client)) {
        Ok(tags) if !tags.is_empty() => HubError::NoLatest { reference: reference.to_string(), tags },
        _ => error.into(),
    }
}

fn read<T: DeserializeOwned>(reference: &Reference, bytes: &[u8]) -> Result<T, HubError> {
    serde_json::from_slice(bytes).map_err(|error| invalid(reference, &error))
}

fn invalid(reference: &Reference, message: &dyn std::fmt::Display) -> HubError {
    RegistryError::Invalid { reference: reference.to_string(), message: message.to_string() }.into()
}

fn refused(reference: &Reference, error: ContentError) -> HubError {
    HubError::Refused { reference: reference.to_string(), error }
}
