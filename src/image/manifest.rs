//! Manifests, indexes, and an image as what they lead to.

use std::collections::BTreeMap;

use layers::digest::{DiffId, Digest};
use layers::media_type::Descriptor;
use layers::path::shown;
use layers::store::Store;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ImageError;
use super::kind::{Foreign, LayerEntry, layer_type, oci_foreign};
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
    pub layers: Vec<LayerEntry>,
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
    /// What is said of one that is not for registries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreign: Option<Foreign>,
}

impl Layer {
    /// One that anybody may hand on.
    pub fn new(descriptor: Descriptor, diff_id: DiffId) -> Self {
        Self { descriptor, diff_id, foreign: None }
    }

    /// As a manifest names it.
    pub fn entry(&self) -> LayerEntry {
        let (descriptor, foreign) = (self.descriptor.clone(), self.foreign.clone());
        match foreign {
            None => descriptor.into(),
            Some(Foreign { media_type, urls }) => {
                LayerEntry { descriptor: Descriptor { media_type, ..descriptor }, urls }
            }
        }
    }

    /// Where a foreign layer is to be had.
    pub fn urls(&self) -> &[String] {
        self.foreign.as_ref().map_or(&[], |foreign| &foreign.urls)
    }
}

/// Linux puts 500 directories on top of each other in one overlay (`OVL_MAX_STACK`), and the lowest is alloy's own. What
/// is remembered for each layer grows with those below it, too.
pub const MAX_LAYERS: usize = 499;

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
            let (count, what) = (manifest.layers.len(), what.to_owned());
            return Err(ImageError::TooManyLayers { what, count, most: MAX_LAYERS });
        }
        let config = read_config(what, config)?;
        let named = &config["rootfs"]["diff_ids"];
        let none = named.is_null() || named.as_array().is_some_and(Vec::is_empty);
        if none && !manifest.layers.is_empty() {
            let (count, what) = (manifest.layers.len(), what.to_owned());
            return Err(ImageError::NoDiffIds { what, count });
        }
        let named = if none { Value::Array(Vec::new()) } else { named.clone() };
        let diff_ids: Vec<DiffId> = serde_json::from_value(named).map_err(|error| {
            ImageError::invalid(what, format!("its config has no usable `rootfs.diff_ids`: {error}"))
        })?;
        if diff_ids.len() != manifest.layers.len() {
            let message = format!("its manifest has {} layers, its config {}", manifest.layers.len(), diff_ids.len());
            return Err(ImageError::invalid(what, message));
        }
        let mut layers = Vec::new();
        for (LayerEntry { descriptor, urls }, diff_id) in manifest.layers.iter().zip(diff_ids) {
            let media_type = layer_type(&descriptor.media_type).ok_or_else(|| ImageError::MediaType {
                digest: descriptor.digest,
                media_type: descriptor.media_type.clone(),
            })?;
            let foreign = oci_foreign(&descriptor.media_type);
            let foreign = foreign.map(|media_type| Foreign { media_type, urls: urls.clone() });
            let descriptor = Descriptor { media_type: media_type.to_owned(), ..descriptor.clone() };
            layers.push(Layer { descriptor, diff_id, foreign });
        }
        Ok(Self { identity, config, layers })
    }

    /// What its config says that it is for, as far as it says that.
    pub fn platform(&self) -> Option<Platform> {
        let field = |name: &str| self.config[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let os = field("os").unwrap_or_else(|| "linux".to_owned());
        Some(Platform { os, architecture: field("architecture")?, variant: field("variant") })
    }

    /// What its author wants done in builds on it (`ONBUILD` of a Dockerfile).
    pub fn triggers(&self) -> Vec<&str> {
        let list = self.config["config"]["OnBuild"].as_array().map(Vec::as_slice).unwrap_or_default();
        list.iter().filter_map(Value::as_str).collect()
    }

    /// The same without that: what is built on it is not asked to do it.
    #[must_use]
    pub fn without_triggers(mut self) -> Self {
        if let Some(config) = self.config["config"].as_object_mut() {
            config.remove("OnBuild");
        }
        self
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

/// Bytes of a manifest, an index or a config of the store.
const LIMIT: u64 = 16 << 20;

/// The manifest, index or config of that digest, which the store has. `what` is what errors call it.
pub fn read_document<T: DeserializeOwned>(store: &Store, what: &str, digest: &Digest) -> Result<T, ImageError> {
    let bytes = store.read_blob(digest, LIMIT)?;
    serde_json::from_slice(&bytes)
        .map_err(|error| ImageError::invalid(what, format!("its manifest cannot be read: {error}")))
}

/// What the config of an image of the store says that it runs on.
pub fn platform_of(store: &Store, what: &str, manifest: &Manifest) -> Result<Platform, ImageError> {
    let config = read_config(what, &store.read_blob(&manifest.config.digest, LIMIT)?)?;
    let field = |name: &str| config[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    // As Go names them: what else stands there would be shown, and handed on.
    let is_name = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    match (field("os"), field("architecture")) {
        (Some(os), Some(architecture))
            if [Some(&os), Some(&architecture), field("variant").as_ref()]
                .into_iter()
                .flatten()
                .all(|text| is_name(text)) =>
        {
            Ok(Platform { os, architecture, variant: field("variant") })
        }
        _ => Err(ImageError::invalid(what, NO_PLATFORM)),
    }
}

#[cfg(test)]
mod tests {
    use layers::media_type;

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
                layers: vec![layer(digest).into(); count],
                annotations: std::collections::BTreeMap::new(),
            };
            let config = serde_json::json!({"rootfs": {"type": "layers", "diff_ids": vec![digest; count]}});
            Image::new("example/image:1", digest, &manifest, config.to_string().as_bytes())
        };
        assert_eq!(made(499).unwrap().layers.len(), 499);
        let error = made(10_000).unwrap_err().to_string();
        assert!(error.contains("example/image:1") && error.contains("10000 layers"), "{error}");
    }

    #[test]
    fn diff_ids_that_are_not_there_are_told_of() {
        let digest = Digest::of("same");
        let blob = Descriptor { media_type: media_type::OCI_LAYER.to_owned(), digest, size: 1 };
        let made = |config: &str, layers: usize| {
            let manifest = Manifest {
                schema_version: 2,
                media_type: None,
                config: blob.clone(),
                layers: vec![blob.clone().into(); layers],
                annotations: BTreeMap::new(),
            };
            Image::new("example/image:1", digest, &manifest, config.as_bytes())
        };
        for config in [r#"{"rootfs":{"diff_ids":null}}"#, r#"{"rootfs":{"diff_ids":[]}}"#, "{}"] {
            let error = made(config, 2).unwrap_err();
            assert!(error.to_string().contains("no diff IDs") && error.hint().is_some(), "{error}");
            assert_eq!(made(config, 0).unwrap().layers, []);
        }
    }
}
