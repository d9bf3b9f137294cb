//! What is said of an image: made when it is built or when somebody asks, kept in the store, found in registries.

mod attached;
mod error;

use layers::media_type::Descriptor;
use layers::store::{Store, StoreError};

pub use attached::{are_attached, attached};
pub use error::DocumentError;

use crate::attest::{self, Statement};
use crate::blueprint::Blueprint;
use crate::build::{self, Built};
use crate::image::{self, BuiltFrom, Documents, Image, Local, LocalImage, Manifest};
use crate::plan::Platform;
use crate::registry::Referrer;
use crate::resolve::Resolver;

/// Bytes of a document.
const LIMIT: u64 = 64 << 20;

/// Which of the documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// What is in the image, as SPDX.
    Sbom,
    /// What the image was made from, as an in-toto statement.
    Provenance,
}

impl Which {
    /// As messages call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sbom => "SBOM",
            Self::Provenance => "provenance",
        }
    }

    /// True if a registry lists `referrer` as such a document.
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
pub fn put(store: &Store, media_type: &str, bytes: &[u8]) -> Result<Descriptor, StoreError> {
    let digest = store.put_blob(bytes)?;
    Ok(Descriptor { media_type: media_type.to_owned(), digest, size: bytes.len() as u64 })
}

/// A document of the store.
pub fn read(store: &Store, document: &Descriptor) -> Result<Vec<u8>, StoreError> {
    store.read_blob(&document.digest, LIMIT)
}

/// The statement of the store about what `image` was made from.
pub(crate) fn statement(store: &Store, image: &LocalImage, documents: &Documents) -> Result<Statement, DocumentError> {
    serde_json::from_slice(&read(store, &documents.provenance)?).map_err(|source| damaged(image, source))
}

fn damaged(image: &LocalImage, source: serde_json::Error) -> DocumentError {
    DocumentError::Damaged { name: image.name.clone(), source }
}

/// Keeps what is said of an image that was just built from `blueprint` for `platform`. What is in it is looked at when
/// somebody wants to know.
pub fn of_build(
    store: &Store,
    built: &Built<'_>,
    blueprint: &Blueprint,
    platform: &Platform,
    from: &BuiltFrom,
) -> Result<Documents, StoreError> {
    let statement = attest::provenance(built, blueprint, platform, from);
    Ok(Documents { provenance: put(store, attest::IN_TOTO, &statement.bytes())?, sbom: None })
}

/// One of the `documents` of `image`, which is in the store. An SBOM is made if need be, of layers that are pulled if
/// need be.
pub fn of_image(
    resolver: &Resolver<'_>,
    which: Which,
    image: &LocalImage,
    documents: &Documents,
) -> Result<Vec<u8>, DocumentError> {
    let store = resolver.store;
    match (which, &documents.sbom) {
        (Which::Provenance, _) => Ok(read(store, &documents.provenance)?),
        (Which::Sbom, Some(sbom)) if store.contains(&sbom.digest) => Ok(read(store, sbom)?),
        (Which::Sbom, _) => {
            let made = make_sbom(resolver, image, documents, true)?.unwrap_or_default();
            // Where nothing can be kept, it is made each time.
            if store.is_writable() {
                keep_sbom(store, image, documents, &made)?;
            }
            Ok(made)
        }
    }
}

/// The SBOM of `image`, made if need be. `None` if nobody knows what is in layers that are not here: they are not pulled.
pub fn sbom(
    resolver: &Resolver<'_>,
    image: &LocalImage,
    documents: &Documents,
) -> Result<Option<Descriptor>, DocumentError> {
    let store = resolver.store;
    if let Some(sbom) = documents.sbom.as_ref().filter(|sbom| store.contains(&sbom.digest)) {
        return Ok(Some(sbom.clone()));
    }
    match make_sbom(resolver, image, documents, false)? {
        Some(bytes) => Ok(Some(keep_sbom(store, image, documents, &bytes)?)),
        None => Ok(None),
    }
}

/// What is in `image`, as a document. Layers that are not here are pulled for it, or it is `None`.
fn make_sbom(
    resolver: &Resolver<'_>,
    image: &LocalImage,
    documents: &Documents,
    pull: bool,
) -> Result<Option<Vec<u8>>, DocumentError> {
    let store = resolver.store;
    let statement = statement(store, image, documents)?;
    let manifest: Manifest =
        serde_json::from_slice(&read(store, &image.manifest)?).map_err(|source| damaged(image, source))?;
    let contents = Image::new(&image.name, image.manifest.digest, &manifest, &read(store, &manifest.config)?)?;
    Ok(build::inventory(resolver, &contents, pull)?.map(|inventory| attest::sbom(&statement, &inventory)))
}

/// Keeps the SBOM of `image` for who wants to know the next time.
fn keep_sbom(store: &Store, image: &LocalImage, documents: &Documents, bytes: &[u8]) -> Result<Descriptor, StoreError> {
    let sbom = put(store, attest::SPDX, bytes)?;
    // The name may stand for another image by now.
    let same = |named: &Local| named.images().iter().any(|named| named.manifest == image.manifest);
    if let Some(named) = image::local(store, &image.name)?.filter(same) {
        let documents = Documents { sbom: Some(sbom.clone()), ..documents.clone() };
        image::tag(store, &named.with(store, LocalImage { documents: Some(documents), ..image.clone() })?)?;
    }
    Ok(sbom)
}
