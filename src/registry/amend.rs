//! Manifests under tags that several people add to. Registries have no way to say "only if nobody else did": so what
//! was put is read again, and put once more where somebody else was quicker.

use layers::media_type::{self, Descriptor};
use serde_json::Value;

use super::{Client, RegistryError};
use crate::json;

/// How often others may be quicker.
const ROUNDS: u32 = 8;

/// A manifest as it is to be.
pub(super) struct Amended {
    /// The manifest.
    pub(super) manifest: Value,
    /// Blobs of the store that it needs.
    pub(super) blobs: Vec<Descriptor>,
}

impl Client {
    /// Puts what `change` makes of the manifest under `tag`, until `change` finds nothing to add. What others have
    /// there stays: `change` gets all of it, or `None` where there is nothing. True if something was put.
    pub(super) async fn amend(
        &self,
        tag: &str,
        media_type: &str,
        change: impl Fn(Option<Value>) -> Result<Option<Amended>, RegistryError>,
    ) -> Result<bool, RegistryError> {
        for round in 0..ROUNDS {
            let found = self.found(tag, media_type).await?;
            let Some(Amended { manifest, blobs }) = change(found)? else { return Ok(round > 0) };
            for blob in &blobs {
                self.push_blob(blob).await?;
            }
            let bytes = json::bytes(&manifest);
            self.put_manifest(tag, media_type, &bytes).await?;
        }
        Err(self.unusable(tag, "others write there all the time: try again later"))
    }

    async fn found(&self, tag: &str, media_type: &str) -> Result<Option<Value>, RegistryError> {
        // As it is where it is written: mirrors may be late.
        let Some(bytes) = self.any_manifest(tag).await? else { return Ok(None) };
        // What is not of that kind is somebody's image, and not ours to write over.
        let kind = |value: &Value| {
            value["mediaType"]
                .as_str()
                .is_none_or(|found| media_type::is_index(found) == media_type::is_index(media_type))
        };
        let value = serde_json::from_slice(&bytes).ok().filter(kind);
        value.map(Some).ok_or_else(|| self.unusable(tag, "the tag is taken by something else"))
    }

    /// The tag of a manifest cannot be used.
    pub(super) fn unusable(&self, tag: &str, message: &str) -> RegistryError {
        let reference = self.reference();
        let reference = format!("{}/{}:{tag}", reference.registry, reference.repository);
        RegistryError::Invalid { reference, message: message.to_owned() }
    }
}
