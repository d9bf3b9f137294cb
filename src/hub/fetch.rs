//! A blueprint on its way out of a registry.

use std::path::{Path, PathBuf};

use layers::digest::Digest;
use layers::media_type::{self, Descriptor};
use layers::verified::VerifiedReader;
use serde::de::DeserializeOwned;

use super::artifact::Manifest;
use super::land::land;
use super::unpack::unpack;
use super::{BLUEPRINT, ContentError, HubError, MOST_PACKED};
use crate::image::{self, ImageError, Index};
use crate::registry::{Client, Reference, RegistryError};
use crate::resolve::Resolver;

/// Where pulled blueprints are kept, below a directory of the user's.
const BLUEPRINTS: &str = "blueprints";

/// A blueprint that was found: nothing but its manifest was read.
pub struct Found {
    client: Client,
    reference: Reference,
    /// Of the manifest for the host.
    pub digest: Digest,
    layer: Descriptor,
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
    let (mut descriptor, mut bytes) = resolver.runtime.block_on(client.manifest(&reference.manifest()))?;
    if media_type::is_index(&descriptor.media_type) {
        let index: Index = read(reference, &bytes)?;
        let entry = image::select(&reference.to_string(), &index, resolver.platform).map_err(|error| match error {
            ImageError::NoPlatform { what: reference, platform, available } => {
                HubError::NoHost { reference, platform, available }
            }
            error => invalid(reference, &error),
        })?;
        (descriptor, bytes) = resolver.runtime.block_on(client.manifest(&entry.descriptor.digest.to_string()))?;
    }
    if media_type::is_index(&descriptor.media_type) {
        return Err(invalid(reference, &"its index lists another one"));
    }
    let manifest: Manifest = read(reference, &bytes)?;
    let no_blueprint = |found: String| Err(HubError::NotABlueprint { reference: reference.to_string(), found });
    match manifest.kind() {
        BLUEPRINT => {}
        media_type::OCI_CONFIG | media_type::DOCKER_CONFIG => return no_blueprint("an image".into()),
        other => return no_blueprint(format!("{other:?}")),
    }
    let [layer] = manifest.layers.as_slice() else {
        return Err(invalid(reference, &"it does not have one layer"));
    };
    if layer.size > MOST_PACKED {
        return Err(refused(reference, ContentError::Large(layer.size)));
    }
    let said = |key: &str| {
        let text = manifest.annotations.get(&format!("org.opencontainers.image.{key}"))?;
        Some(text.chars().filter(|c| !c.is_control()).collect())
    };
    Ok(Found {
        client,
        reference: reference.clone(),
        digest: descriptor.digest,
        layer: layer.clone(),
        title: said("title"),
        version: said("version"),
    })
}

impl Found {
    /// Puts its files at `dest`, which is not there, or an empty directory.
    pub fn unpack(&self, resolver: &Resolver<'_>, dest: &Path) -> Result<(), HubError> {
        let Self { client, reference, layer, .. } = self;
        resolver.runtime.block_on(client.blob(layer))?;
        land(dest, |tree| {
            resolver.store.read_whole(&layer.digest, |blob| {
                let reader = VerifiedReader::new(blob, layer.digest, layer.size);
                unpack(reader, layer.size, tree).map_err(|error| match error {
                    ContentError::File { what, path, source } => HubError::File { what, path: dest.join(path), source },
                    error => refused(reference, error),
                })
            })
        })
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

fn read<T: DeserializeOwned>(reference: &Reference, bytes: &[u8]) -> Result<T, HubError> {
    serde_json::from_slice(bytes).map_err(|error| invalid(reference, &error))
}

fn invalid(reference: &Reference, message: &dyn std::fmt::Display) -> HubError {
    RegistryError::Invalid { reference: reference.to_string(), message: message.to_string() }.into()
}

fn refused(reference: &Reference, error: ContentError) -> HubError {
    HubError::Refused { reference: reference.to_string(), error }
}
