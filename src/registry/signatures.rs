//! What cosign keeps beside an image: a manifest under a tag that is made from the image's digest, in which every layer
//! is a payload that somebody has signed.

use std::collections::BTreeMap;

use layers::digest::Digest;
use layers::media_type::{self, Descriptor};
use serde_json::{Value, json};

use super::amend::Amended;
use super::{Client, RegistryError};
use crate::json;

/// A payload of the store that was signed.
#[derive(Clone, Debug)]
pub struct Signed {
    /// The payload.
    pub payload: Descriptor,
    /// The signature among them, where the payload does not hold it.
    pub annotations: BTreeMap<String, String>,
}

impl Client {
    /// Adds `signed` to what is signed under `tag`, unless it is there. True if anything was sent.
    pub async fn add_signed(&self, tag: &str, signed: &Signed) -> Result<bool, RegistryError> {
        let change = |found| {
            let Some(manifest) = with(found, signed).map_err(|text| self.unusable(tag, text))? else {
                return Ok(None);
            };
            let config = config(&manifest);
            self.inner.store.put_blob(&config)?;
            let config = Descriptor {
                media_type: media_type::OCI_CONFIG.to_owned(),
                digest: Digest::of(&config),
                size: config.len() as u64,
            };
            let mut manifest = manifest;
            manifest["config"] = json!(config);
            Ok(Some(Amended { manifest, blobs: vec![signed.payload.clone(), config] }))
        };
        let doing = format!("sign {}", self.reference());
        self.amend(tag, media_type::OCI_MANIFEST, change).await.map_err(|error| error.while_doing(&doing))
    }
}

/// The manifest with one more layer; `None` where it has it.
fn with(found: Option<Value>, signed: &Signed) -> Result<Option<Value>, &'static str> {
    let mut manifest =
        found.unwrap_or_else(|| json!({"schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "layers": []}));
    let layers = manifest.get_mut("layers").and_then(Value::as_array_mut);
    let layers = layers.ok_or("the tag is taken by something without layers")?;
    let same = |layer: &Value| {
        let annotated = |(name, value): (&String, &String)| layer["annotations"][name] == json!(value);
        layer["digest"] == json!(signed.payload.digest) && signed.annotations.iter().all(annotated)
    };
    if layers.iter().any(same) {
        return Ok(None);
    }
    let mut layer = json!(signed.payload);
    layer["annotations"] = json!(signed.annotations);
    layers.push(layer);
    Ok(Some(manifest))
}

/// The config that cosign writes: payloads are not compressed, so that their digests are diff ids.
fn config(manifest: &Value) -> Vec<u8> {
    let layers = manifest["layers"].as_array().map(Vec::as_slice).unwrap_or_default();
    let diff_ids: Vec<&Value> = layers.iter().map(|layer| &layer["digest"]).collect();
    let config = json!({
        "architecture": "", "os": "", "created": "0001-01-01T00:00:00Z", "config": {},
        "history": vec![json!({"created": "0001-01-01T00:00:00Z"}); diff_ids.len()],
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    json::bytes(&config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_of_others_stay() {
        let payload = Descriptor { media_type: "a/b".into(), digest: Digest::of("x"), size: 1 };
        let signed = |by: &str| Signed {
            payload: payload.clone(),
            annotations: BTreeMap::from([("signature".to_owned(), by.to_owned())]),
        };
        let one = with(None, &signed("ann")).unwrap().unwrap();
        let two = with(Some(one.clone()), &signed("bob")).unwrap().unwrap();
        assert_eq!(two["layers"][0], one["layers"][0]);
        assert_eq!(two["layers"].as_array().unwrap().len(), 2);
        assert!(with(Some(two.clone()), &signed("ann")).unwrap().is_none());
        let config: Value = serde_json::from_slice(&config(&two)).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"], json!([payload.digest, payload.digest]));
        for other in [json!({}), json!([]), json!("text"), json!(7), Value::Null] {
            assert!(with(Some(other), &signed("ann")).is_err());
        }
    }
}
