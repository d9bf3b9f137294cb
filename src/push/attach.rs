//! What goes with an image into a registry: documents about it, and signatures.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use layers::digest::Digest;
use layers::media_type::Descriptor;

use super::{Attach, MANIFEST_LIMIT, Push, PushError};
use crate::attest::{self, Statement};
use crate::cache;
use crate::documents;
use crate::image::{Documents, Local, LocalImage};
use crate::registry::{Artifact, RegistryError, Signed};
use crate::sign::SigningKey;

/// Images whose documents a registry is known to have.
const ATTACHED: &str = "attached";

impl Push<'_> {
    /// Documents of `image` that the registry is known to have had.
    pub(super) fn known_documents(&self, image: &LocalImage) -> Result<Vec<Descriptor>, PushError> {
        let record = self.record(&image.manifest.digest);
        let attached = self.attach.documents && cache::get(self.resolver.store, ATTACHED, &record)?.unwrap_or_default();
        let documents = image.documents.as_ref().filter(|_| attached);
        Ok(documents.into_iter().flat_map(Documents::blobs).cloned().collect())
    }

    fn record(&self, manifest: &Digest) -> String {
        Digest::of(format!("{} {manifest}", self.client.repository())).hex()
    }

    /// Attaches what is missing to `image`, which the registry has.
    pub(super) fn complete(&self, image: &Local) -> Result<(), PushError> {
        for image in image.images() {
            self.complete_image(image)?;
        }
        match image {
            Local::Index(index) => {
                let statement = self.statement(&index.index, &index.images)?;
                self.attach_to_index(&index.index, statement.as_deref())
            }
            Local::Image(_) => Ok(()),
        }
    }

    fn complete_image(&self, image: &LocalImage) -> Result<(), PushError> {
        let Attach { documents: wanted, key } = self.attach;
        if key.is_none() && (!wanted || image.documents.is_none()) {
            return Ok(());
        }
        let record = self.record(&image.manifest.digest);
        let known = cache::get(self.resolver.store, ATTACHED, &record)?.unwrap_or_default();
        if key.is_none() && known {
            return Ok(());
        }
        if key.is_none() {
            match documents::are_attached(self.resolver, &self.client, &image.manifest.digest) {
                Ok(true) => return Ok(cache::put(self.resolver.store, ATTACHED, &record, &true)?),
                // It is told of when something is attached.
                Err(error) if !error.is_of_one_request() => return Err(error.into()),
                _ => {}
            }
        }
        let documents = self.with_sbom(image)?;
        self.attach(image, documents)
    }

    /// True if anything goes with `image`, which then is put by its digest first: some registries take nothing about a
    /// manifest that they do not have, and whoever sees the name is to find all of it.
    pub(super) fn goes_along(&self, image: &LocalImage) -> bool {
        self.attach.key.is_some() || self.attach.documents && image.documents.is_some()
    }

    /// The documents of `image` that are wanted, with the SBOM if it can be made.
    pub(super) fn with_sbom(&self, image: &LocalImage) -> Result<Option<Documents>, PushError> {
        let Some(documents) = image.documents.as_ref().filter(|_| self.attach.documents) else { return Ok(None) };
        let sbom = documents::sbom(self.resolver, image, documents).map_err(PushError::Sbom)?;
        Ok(Some(Documents { sbom, ..documents.clone() }))
    }

    /// `error`, which came when the manifest `digest` was there already, and the name was not yet given.
    pub(super) fn untagged(&self, error: PushError, digest: &Digest) -> PushError {
        let repository = self.destination.bare().to_string();
        PushError::Untagged { error: Box::new(error), repository, digest: *digest }
    }

    /// Signs the manifest or index `digest`, as cosign does. True if the signature is a new one.
    fn sign(&self, digest: &Digest, key: &SigningKey) -> Result<bool, PushError> {
        let payload = attest::simple_signing(&attest::identity(self.destination), digest);
        let signature = ("dev.cosignproject.cosign/signature".to_owned(), STANDARD.encode(key.sign(&payload)));
        self.add_signed(&attest::signature_tag(digest), attest::SIGNATURE, &payload, [signature])
    }

    /// Signs a statement about the manifest or index `digest`, as cosign does. True if it is a new one.
    fn sign_statement(&self, digest: &Digest, statement: &[u8], key: &SigningKey) -> Result<bool, PushError> {
        let envelope = attest::envelope(statement, key);
        let annotations = [
            ("dev.cosignproject.cosign/signature".to_owned(), String::new()),
            ("predicateType".to_owned(), attest::PREDICATE_TYPE.to_owned()),
        ];
        self.add_signed(&attest::attestation_tag(digest), attest::ATTESTATION, &envelope, annotations)
    }

    fn add_signed<const N: usize>(
        &self,
        tag: &str,
        media_type: &str,
        payload: &[u8],
        annotations: [(String, String); N],
    ) -> Result<bool, PushError> {
        let payload = documents::put(self.resolver.store, media_type, payload)?;
        let signed = Signed { payload, annotations: annotations.into() };
        Ok(self.resolver.runtime().block_on(self.client.add_signed(tag, &signed))?)
    }

    /// Attaches to `image`, which is about to get its name, the `documents` that are wanted, and signs it.
    pub(super) fn attach(&self, image: &LocalImage, documents: Option<Documents>) -> Result<(), PushError> {
        let (mut done, manifest) = (Vec::new(), &image.manifest.digest);
        self.warn_of_foreign(image)?;
        if let Some(documents) = &documents {
            let sent = self.give(&artifacts(&image.manifest, documents))?;
            if documents.sbom.is_none() {
                self.warn(format!(
                    "{} is without an SBOM: its layers are not on this machine, and nobody who had them has left what is \
                     in them; `alloy sbom {}` pulls them and makes it, and the next push attaches it",
                    self.destination, image.name
                ));
            }
            let what = if documents.sbom.is_some() { "SBOM and provenance attached" } else { "provenance attached" };
            done.extend(sent.then_some(what));
        }
        if let Some(key) = &self.attach.key {
            let mut sent = self.sign(manifest, key)?;
            if let Some(documents) = &documents {
                let statement = documents::read(self.resolver.store, &documents.provenance)?;
                sent |= self.sign_statement(manifest, &statement, key)?;
            }
            done.extend(sent.then_some("signed"));
        }
        if !done.is_empty() {
            self.note(format!("{}: {}", self.destination, done.join(", ")));
        }
        Ok(())
    }

    /// Says that an image has no documents, if it came from elsewhere. Whoever builds without documents has said so; of
    /// an image that came from elsewhere, nobody has.
    fn warn_of_foreign(&self, image: &LocalImage) -> Result<(), RegistryError> {
        if !self.attach.documents || image.documents.is_some() || image.from.is_some() {
            return Ok(());
        }
        match documents::are_attached(self.resolver, &self.client, &image.manifest.digest) {
            Ok(true) => {}
            Ok(false) => self.warn(format!(
                "{} is without an SBOM and without provenance: it was not built here, and what is attached to an image \
                 where it was pulled from does not come along; `oras cp -r` and `cosign copy` copy it with the image",
                self.destination
            )),
            // Of a registry that does not say, nothing is said.
            Err(error) if error.is_of_one_request() => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Attaches documents; a registry may refuse them and have the image nevertheless. True if all are there, and some
    /// were not before.
    fn give(&self, artifacts: &[Artifact<'_>]) -> Result<bool, PushError> {
        let attached = self.resolver.runtime().block_on(self.client.attach(artifacts))?;
        if attached.refused.is_empty() {
            return Ok(attached.sent);
        }
        let refused: Vec<String> = attached.refused.iter().map(ToString::to_string).collect();
        self.warn(format!(
            "the registry did not take all that goes with {}: {}; the image is there without that, and --no-attest \
             pushes it without trying",
            self.destination,
            refused.join("; ")
        ));
        Ok(false)
    }

    /// Attaches to an index what is known of how it was made, and signs it: policies look at what a name stands for, and
    /// not at the images below it.
    fn attach_to_index(&self, index: &Descriptor, statement: Option<&[u8]>) -> Result<(), PushError> {
        if let Some(statement) = statement {
            let provenance = documents::put(self.resolver.store, attest::IN_TOTO, statement)?;
            self.give(&artifacts(index, &Documents { provenance, sbom: None }))?;
        }
        if let Some(key) = &self.attach.key {
            self.sign(&index.digest, key)?;
            if let Some(statement) = statement {
                self.sign_statement(&index.digest, statement, key)?;
            }
        }
        Ok(())
    }

    /// What is known of how an index was made; `None` unless all its images were built here, and together.
    fn statement(&self, index: &Descriptor, images: &[LocalImage]) -> Result<Option<Vec<u8>>, PushError> {
        let mut parts: Vec<Statement> = Vec::new();
        for image in images {
            let Some(documents) = image.documents.as_ref().filter(|_| self.attach.documents) else { return Ok(None) };
            parts.push(documents::statement(self.resolver.store, image, documents)?);
        }
        Ok(attest::of_index(&index.digest, &parts).map(|statement| statement.bytes()))
    }

    /// Puts the index of `images`, which the registry has, under the destination: its tag last.
    pub fn put_index(&self, index: &Descriptor, images: &[LocalImage]) -> Result<(), PushError> {
        let bytes = self.resolver.store.read_blob(&index.digest, MANIFEST_LIMIT)?;
        let put =
            |name: &str| self.resolver.runtime().block_on(self.client.push_manifest(name, &index.media_type, &bytes));
        let statement = self.statement(index, images)?;
        if self.attach.key.is_some() || statement.is_some() {
            put(&index.digest.to_string())?;
            self.attach_to_index(index, statement.as_deref()).map_err(|error| self.untagged(error, &index.digest))?;
            return put(&self.destination.manifest()).map_err(|error| self.untagged(error.into(), &index.digest));
        }
        Ok(put(&self.destination.manifest())?)
    }
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
