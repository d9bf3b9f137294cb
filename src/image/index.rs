//! Indexes: several images under one digest (OCI image-spec 1.1, "Image Index").

use std::collections::BTreeMap;

use layers::media_type::{self, Descriptor};
use layers::path::shown;
use layers::store::{Store, StoreError};
use serde::{Deserialize, Serialize};

use super::{ImageError, LocalImage};
use crate::json;
use crate::plan::Platform;

/// An image index.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// Of the index itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// What it lists.
    pub manifests: Vec<IndexEntry>,
}

/// One manifest of an index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexEntry {
    /// The manifest.
    #[serde(flatten)]
    pub descriptor: Descriptor,
    /// What it runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Free texts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Index {
    /// An index of `manifests`, in their order. Equal entries are equal bytes.
    pub fn new(manifests: Vec<IndexEntry>) -> Self {
        Self { schema_version: 2, media_type: Some(media_type::OCI_INDEX.to_owned()), manifests }
    }

    /// As it is stored and sent.
    pub fn bytes(&self) -> Vec<u8> {
        json::bytes(self)
    }

    /// Stores it.
    pub fn put(&self, store: &Store) -> Result<Descriptor, StoreError> {
        let bytes = self.bytes();
        let digest = store.put_blob(&bytes)?;
        Ok(Descriptor { media_type: media_type::OCI_INDEX.to_owned(), digest, size: bytes.len() as u64 })
    }
}

/// What BuildKit says of what it lists beside an image.
const BESIDE: &str = "vnd.docker.reference.type";

impl IndexEntry {
    /// True for what is listed beside images, and is about one of them: of an unknown platform, or said to be that.
    pub(super) fn is_attestation(&self) -> bool {
        let unknown = self.platform.as_ref().is_some_and(|platform| platform.os == "unknown");
        unknown || self.annotations.contains_key(BESIDE)
    }

    /// The entry of an image of the store.
    pub fn of(image: &LocalImage) -> Self {
        let (descriptor, platform) = (image.manifest.clone(), Some(image.platform.clone()));
        Self { descriptor, platform, annotations: BTreeMap::new() }
    }

    /// An error if the image's own config says that it is for another platform than this entry of the index of `what` does.
    pub fn agrees(&self, what: &str, config: &Platform) -> Result<(), ImageError> {
        let is_other = |listed: &&Platform| (&listed.os, &listed.architecture) != (&config.os, &config.architecture);
        let Some(listed) = self.platform.as_ref().filter(is_other) else { return Ok(()) };
        let digest = self.descriptor.digest;
        let message = format!(
            "its index lists {digest} for {listed}, and the config of that image says that it is for {config}; whoever \
             made the index has to make it again"
        );
        Err(ImageError::invalid(what, message))
    }
}

/// Platforms that a message names.
const TOLD: usize = 30;

/// The entry of `index` for `platform`. An index of one image without a platform has it.
pub fn select<'i>(what: &str, index: &'i Index, platform: &Platform) -> Result<&'i IndexEntry, ImageError> {
    let images = || index.manifests.iter().filter(|entry| !entry.is_attestation());
    let exact = images().find(|entry| entry.platform.as_ref() == Some(platform));
    let fits = |entry: &&IndexEntry| {
        entry.platform.as_ref().is_some_and(|other| {
            // arm64 is the same with its only variant written out, and an unspecified variant takes any.
            let variant = platform.variant.is_none() || other.variant.is_none();
            other.os == platform.os && other.architecture == platform.architecture && variant
        })
    };
    let only = || {
        let mut all = images();
        all.next().filter(|entry| entry.platform.is_none() && images().count() == 1)
    };
    exact.or_else(|| images().find(fits)).or_else(only).ok_or_else(|| {
        let mut available: Vec<String> = images()
            .filter_map(|entry| Some(shown(entry.platform.as_ref()?.to_string().as_bytes())))
            .take(TOLD + 1)
            .collect();
        if available.len() > TOLD {
            available[TOLD] = "others".to_owned();
        }
        let unsaid = images().filter(|entry| entry.platform.is_none()).count();
        match unsaid {
            0 => {}
            1 => available.push("one that says no platform".to_owned()),
            _ => available.push(format!("{unsaid} that say no platform")),
        }
        let available = if available.is_empty() { "none at all".to_owned() } else { available.join(", ") };
        let (what, platform) = (what.to_owned(), platform.to_string());
        ImageError::NoPlatform { what, platform, available }
    })
}

#[cfg(test)]
mod tests {
    use layers::digest::Digest;

    use super::*;

    fn entry(platform: Option<&str>) -> IndexEntry {
        let media_type = media_type::OCI_MANIFEST.to_owned();
        let descriptor = Descriptor { media_type, digest: Digest::of(platform.unwrap_or_default()), size: 1 };
        IndexEntry { descriptor, platform: platform.map(|p| p.parse().unwrap()), annotations: BTreeMap::new() }
    }

    #[test]
    fn the_platform_is_picked() {
        let manifests = vec![entry(Some("linux/amd64")), entry(Some("linux/arm/v7")), entry(Some("linux/arm64"))];
        let index = Index { schema_version: 2, media_type: None, manifests };
        for wanted in ["linux/amd64", "linux/arm/v7", "linux/arm64/v8"] {
            let wanted: Platform = wanted.parse().unwrap();
            assert_eq!(select("x", &index, &wanted).unwrap().platform.as_ref(), Some(&wanted));
        }
        let error = select("x", &index, &"linux/s390x".parse().unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "x has no image for linux/s390x; it has linux/amd64, linux/arm/v7, linux/arm64");
        let many = Index { manifests: vec![entry(Some("linux/arm64")); 1000], ..index.clone() };
        let error = select("x", &many, &"linux/s390x".parse().unwrap()).unwrap_err().to_string();
        assert!(error.ends_with("linux/arm64, others") && error.len() < 1000, "{error}");
        let empty = Index { manifests: Vec::new(), ..index.clone() };
        let two = Index { manifests: vec![entry(None), entry(None), entry(Some("linux/arm64"))], ..index.clone() };
        for (index, told) in [(empty, "none at all"), (two, "linux/arm64, 2 that say no platform")] {
            let error = select("x", &index, &"linux/s390x".parse().unwrap()).unwrap_err();
            assert_eq!(error.to_string(), format!("x has no image for linux/s390x; it has {told}"));
        }
        let single = Index { manifests: vec![entry(None)], ..index };
        assert!(select("x", &single, &"linux/amd64".parse().unwrap()).is_ok());
    }
}
