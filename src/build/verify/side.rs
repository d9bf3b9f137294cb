//! An image, opened to be compared with another.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use layers::at_once;
use layers::compare::{self, Comparison, Source};
use layers::compress::decoder;
use layers::digest::Digest;
use layers::store::Store;
use layers::tree::Difference;
use serde_json::Value;

use crate::build::BuildError;
use crate::image::{Image, ImageError, Layer, Manifest};
use crate::plan::PlannedLayer;

/// Configs and manifests are small.
const JSON_LIMIT: u64 = 16 << 20;

/// An image of a store.
pub(super) struct Side<'a> {
    store: &'a Store,
    /// The manifest.
    pub(super) manifest: Value,
    /// The config.
    pub(super) config: Value,
    /// Every layer that the history tells of, with those that hold nothing.
    pub(super) layers: Vec<(String, Option<Layer>)>,
}

impl<'a> Side<'a> {
    /// Reads the image of that manifest.
    pub(super) fn read(store: &'a Store, digest: Digest) -> Result<Self, BuildError> {
        let what = digest.to_string();
        let bytes = store.read_blob(&digest, JSON_LIMIT)?;
        let invalid = |error: serde_json::Error| ImageError::invalid(what.clone(), error.to_string());
        let value: Value = serde_json::from_slice(&bytes).map_err(invalid)?;
        let manifest: Manifest = serde_json::from_slice(&bytes).map_err(invalid)?;
        let config = store.read_blob(&manifest.config.digest, JSON_LIMIT)?;
        let image = Image::new(&what, digest, &manifest, &config)?;
        let mut blobs = image.layers.into_iter();
        let mut layers = Vec::new();
        for entry in image.config["history"].as_array().into_iter().flatten() {
            let by = entry["created_by"].as_str().unwrap_or_default();
            let name = by.strip_prefix("alloy ").unwrap_or("base").to_owned();
            let blob = if entry["empty_layer"] == Value::Bool(true) { None } else { blobs.next() };
            layers.push((name, blob));
        }
        layers.extend(blobs.map(|blob| (String::new(), Some(blob))));
        // Nothing is said of bytes that nobody has looked at.
        let all = layers.iter().filter_map(|(_, layer)| Some(layer.as_ref()?.descriptor.digest));
        let here: Vec<Digest> = all.filter(|digest| store.contains(digest)).collect();
        at_once::each(&here, |digest| store.check_blob(digest)).into_iter().try_for_each(|done| done.map(drop))?;
        Ok(Self { store, manifest: value, config: image.config, layers })
    }

    /// How many of the layers are not the blueprint's.
    pub(super) fn base(&self, planned: &[PlannedLayer]) -> usize {
        self.layers.len().saturating_sub(planned.len())
    }
}

/// A layer of a store, or one that holds nothing.
struct Blob<'a> {
    store: &'a Store,
    layer: Option<&'a Layer>,
}

impl Source for Blob<'_> {
    fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        let Some(layer) = self.layer else { return Ok(Box::new(io::empty())) };
        let blob = self.store.open_blob(&layer.descriptor.digest).map_err(io::Error::other)?;
        Ok(decoder(blob)?.1)
    }
}

/// How a layer differs between two images; `limit` differences are listed.
pub(super) fn differences(
    sides: [&Side<'_>; 2],
    pair: [Option<&Layer>; 2],
    limit: usize,
    spill: &Path,
) -> Result<Comparison, BuildError> {
    let [left, right] = [0, 1].map(|side| Blob { store: sides[side].store, layer: pair[side] });
    if let [Some(one), Some(other)] = pair
        && one.diff_id == other.diff_id
    {
        let say = |layer: &Layer| {
            let blob = &layer.descriptor;
            format!("{} bytes of {}, {}", blob.size, blob.media_type, blob.digest)
        };
        let (field, path) = ("compression".to_owned(), PathBuf::new());
        let differences = vec![Difference { path, field, left: say(one), right: say(other) }];
        return Ok(Comparison { differences, unlisted: Vec::new() });
    }
    Ok(compare::compare(&left, &right, limit, spill).map_err(ImageError::from)?)
}
