//! Manifests, indexes, and an image as what they lead to.

use std::collections::BTreeMap;

use layers::digest::{DiffId, Digest};
use layers::media_type::{self, Descriptor};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ImageError;
use crate::plan::Platform;

/// An image manifest.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// Of the manifest itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The config.
    pub config: Descriptor,
    /// The layers, lowest first.
    pub layers: Vec<Descriptor>,
    /// Free texts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

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
    /// An OCI index of `manifests`.
    pub fn of(manifests: Vec<IndexEntry>) -> Self {
        Self { schema_version: 2, media_type: Some(media_type::OCI_INDEX.to_owned()), manifests }
    }
}

/// One layer of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// The blob.
    pub descriptor: Descriptor,
    /// Of the uncompressed tar.
    pub diff_id: DiffId,
}

/// An image: its config with every field it came with, and its layers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// What identifies it: for what has a manifest, the manifest's digest.
    pub identity: Digest,
    /// The config.
    pub config: Value,
    /// The layers, lowest first.
    pub layers: Vec<Layer>,
}

impl Image {
    /// Puts manifest and config together, and checks that they fit.
    pub fn new(what: &str, identity: Digest, manifest: &Manifest, config: &[u8]) -> Result<Self, ImageError> {
        let config = read_config(what, config)?;
        let diff_ids: Vec<DiffId> = serde_json::from_value(config["rootfs"]["diff_ids"].clone()).map_err(|error| {
            ImageError::invalid(what, format!("its config has no usable `rootfs.diff_ids`: {error}"))
        })?;
        if diff_ids.len() != manifest.layers.len() {
            let message = format!("its manifest has {} layers, its config {}", manifest.layers.len(), diff_ids.len());
            return Err(ImageError::invalid(what, message));
        }
        let mut layers = Vec::new();
        for (descriptor, diff_id) in manifest.layers.iter().zip(diff_ids) {
            let media_type = media_type::oci_layer(&descriptor.media_type).ok_or_else(|| ImageError::MediaType {
                digest: descriptor.digest,
                media_type: descriptor.media_type.clone(),
            })?;
            let descriptor = Descriptor { media_type: media_type.to_owned(), ..descriptor.clone() };
            layers.push(Layer { descriptor, diff_id });
        }
        Ok(Self { identity, config, layers })
    }
}

/// Reads an image config.
pub fn read_config(what: &str, bytes: &[u8]) -> Result<Value, ImageError> {
    serde_json::from_slice(bytes).map_err(|error| ImageError::invalid(what, format!("its config is not JSON: {error}")))
}

/// The entry of `index` for `platform`. An index of one image without a platform has it.
pub fn select<'i>(what: &str, index: &'i Index, platform: &Platform) -> Result<&'i IndexEntry, ImageError> {
    let images = || {
        index.manifests.iter().filter(|entry| {
            // Attestations of BuildKit are listed as images of an unknown platform.
            entry.platform.as_ref().is_none_or(|platform| platform.os != "unknown")
        })
    };
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
        let available: Vec<String> = images().filter_map(|entry| Some(entry.platform.as_ref()?.to_string())).collect();
        let (what, platform) = (what.to_owned(), platform.to_string());
        ImageError::NoPlatform { what, platform, available: available.join(", ") }
    })
}

#[cfg(test)]
mod tests {
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
        let single = Index { manifests: vec![entry(None)], ..index };
        assert!(select("x", &single, &"linux/amd64".parse().unwrap()).is_ok());
    }
}
