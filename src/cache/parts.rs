//! What manifests lead to, read so that nothing that is needed is overlooked.

use layers::media_type::{self, Descriptor};
use serde::Deserialize;

/// What a manifest or index leads to.
#[derive(Debug)]
pub(super) enum Parts {
    Layers(Vec<Descriptor>),
    Manifests(Vec<Descriptor>),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Either {
    media_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
}

/// All that the manifest or index in `bytes` leads to; an error says why it is neither.
pub(super) fn parts(bytes: &[u8]) -> Result<Parts, String> {
    let read: Either = serde_json::from_slice(bytes).map_err(|error| format!("is damaged: {error}"))?;
    let said = |is: fn(&str) -> bool| read.media_type.as_deref().is_none_or(is);
    match (read.manifests, read.config, read.layers) {
        (Some(manifests), None, None) if said(media_type::is_index) => Ok(Parts::Manifests(manifests)),
        // So does Go write an image without layers.
        (None, Some(_), layers) if said(media_type::is_manifest) => Ok(Parts::Layers(layers.unwrap_or_default())),
        _ => Err("is neither an image nor an index: what it needs is not known".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOME: &str = r#"{"mediaType":"x/y","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0}"#;

    #[test]
    fn images_and_indexes_are_read_whole() {
        let layers = parts(format!(r#"{{"config":{SOME},"layers":[{SOME},{SOME}]}}"#).as_bytes());
        assert!(matches!(layers, Ok(Parts::Layers(all)) if all.len() == 2));
        let none = parts(format!(r#"{{"config":{SOME},"layers":null}}"#).as_bytes());
        assert!(matches!(none, Ok(Parts::Layers(all)) if all.is_empty()));
        let index = parts(format!(r#"{{"mediaType":"{}","manifests":[{SOME}]}}"#, media_type::OCI_INDEX).as_bytes());
        assert!(matches!(index, Ok(Parts::Manifests(all)) if all.len() == 1));
    }

    #[test]
    fn what_is_neither_needs_nobody_knows_what() {
        for text in [
            "{}",
            "null",
            "<html></html>",
            r#"{"schemaVersion":1,"fsLayers":[{"blobSum":"sha256:00"}]}"#,
            r#"{"layers":[]}"#,
            r#"{"manifests":[{"digest":"sha512:00"}]}"#,
            &format!(r#"{{"config":{SOME},"layers":[],"manifests":[]}}"#),
            &format!(r#"{{"mediaType":"application/x","config":{SOME},"layers":[]}}"#),
        ] {
            assert!(parts(text.as_bytes()).is_err(), "{text}");
        }
    }
}
