//! Manifests, indexes, and an image as what they lead to.

use std::collections::BTreeMap;

use layers::digest::{DiffId, Digest};
use layers::media_type::{self, Descriptor};
use layers::path::shown;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ImageError;
use crate::plan::Platform;

/// What is wrong with an image that says of no platform that it is for it.
pub const NO_PLATFORM: &str = "its config does not say what it runs on";

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

/// One layer of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// The blob.
    pub descriptor: Descriptor,
    /// Of the uncompressed tar.
    pub diff_id: DiffId,
}

/// Linux puts no more directories on top of each other in one overlay (`OVL_MAX_STACK`), and what is remembered for each
/// layer grows with those below it.
const MAX_LAYERS: usize = 500;

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
        if manifest.layers.len() > MAX_LAYERS {
            let message = format!("it has {} layers; alloy works with up to {MAX_LAYERS}", manifest.layers.len());
            return Err(ImageError::invalid(what, message));
        }
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

    /// What its config says that it is for, as far as it says that.
    pub fn platform(&self) -> Option<Platform> {
        let field = |name: &str| self.config[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let os = field("os").unwrap_or_else(|| "linux".to_owned());
        Some(Platform { os, architecture: field("architecture")?, variant: field("variant") })
    }

    /// An error if it is for another platform.
    pub fn is_for(&self, what: &str, platform: &Platform) -> Result<(), ImageError> {
        let is_other = |own: &Platform| (&own.os, &own.architecture) != (&platform.os, &platform.architecture);
        let Some(own) = self.platform().filter(is_other) else { return Ok(()) };
        let available = shown(own.to_string().as_bytes());
        Err(ImageError::NoPlatform { what: what.to_owned(), platform: platform.to_string(), available })
    }
}

/// Reads an image config.
pub fn read_config(what: &str, bytes: &[u8]) -> Result<Value, ImageError> {
    serde_json::from_slice(bytes).map_err(|error| ImageError::invalid(what, format!("its config is not JSON: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_has_no_more_layers_than_linux_can_put_together() {
        let layer = |digest: Digest| Descriptor { media_type: media_type::OCI_LAYER.to_owned(), digest, size: 1 };
        let made = |count: usize| {
            let digest = Digest::of("same");
            let manifest = Manifest {
                schema_version: 2,
                media_type: None,
                config: layer(digest),
                layers: vec![layer(digest); count],
                annotations: std::collections::BTreeMap::new(),
            };
            let config = serde_json::json!({"rootfs": {"type": "layers", "diff_ids": vec![digest; count]}});
            Image::new("example/image:1", digest, &manifest, config.to_string().as_bytes())
        };
        assert_eq!(made(500).unwrap().layers.len(), 500);
        let error = made(10_000).unwrap_err().to_string();
        assert!(error.contains("example/image:1") && error.contains("10000 layers"), "{error}");
    }
}
