//! What a manifest or an index says of itself. One digest is one thing, whoever reads it: what could be read as an image's
//! manifest and as an index is neither (CVE-2021-41190).

use serde::Deserialize;
use serde_json::Value;

use crate::media_type::{self, OCI_INDEX, OCI_MANIFEST};
use crate::path::shown;

/// What decides what a document is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Own {
    media_type: Option<String>,
    schema_version: Option<Value>,
    config: Option<Value>,
    layers: Option<Value>,
    manifests: Option<Value>,
}

/// Types that say nothing: of servers that have files, and know of no manifests.
const PLAIN: [&str; 5] = ["", "application/json", "text/plain", "application/octet-stream", "binary/octet-stream"];

/// The media type of the document in `bytes`, of which `who` (such as "the server") says `said`. What stands in the
/// document is part of its digest, and decides. Where it has no type, what `who` says does; where that is nothing, what
/// is in it (image-spec: `mediaType` may be left out). An error says why it is nothing that can be read.
pub fn own_type(bytes: &[u8], who: &str, said: &str) -> Result<String, String> {
    let own: Own = serde_json::from_slice(bytes).map_err(|error| format!("not a manifest: {error}"))?;
    let (list, image) = (own.manifests.is_some(), own.config.is_some() || own.layers.is_some());
    let said_or_own = own.media_type.as_deref().unwrap_or(said);
    let (index, manifest) = (media_type::is_index(said_or_own), media_type::is_manifest(said_or_own));
    if image && (list || index) || manifest && list {
        return Err(format!(
            "it has fields of an index (`manifests`) and of an image's manifest (`config`, `layers`){}: whoever reads it may \
             take it for either",
            if list && image { "" } else { ", by what it says that it is" }
        ));
    }
    if let Some(own) = own.media_type {
        return Ok(own);
    }
    if !PLAIN.contains(&said) {
        return Ok(said.to_owned());
    }
    let whole = own.config.is_some_and(|it| it.is_object()) && own.layers.is_some_and(|it| it.is_array());
    match own.schema_version.as_ref().and_then(Value::as_u64) {
        Some(1) => Err("it is a manifest of Docker's schema 1, which is not read".into()),
        Some(2) if list && !image && own.manifests.is_some_and(|it| it.is_array()) => Ok(OCI_INDEX.into()),
        Some(2) if whole && !list => Ok(OCI_MANIFEST.into()),
        _ => Err(format!(
            "it has no `mediaType`, {who} says {}, and what is in it is neither an image's manifest (`config` and \
             `layers`) nor an index (`manifests`)",
            if said.is_empty() { "nothing of its type".to_owned() } else { format!("`{}`", shown(said.as_bytes())) }
        )),
    }
}

/// True if the document in `bytes` is an index, false for an image's manifest; an index lists it as `listed`. What the
/// index says and what the document is have to be the same: whoever reads only one of the two would take it for something
/// else. A type that is of neither says nothing.
pub fn is_index(bytes: &[u8], listed: &str) -> Result<bool, String> {
    let (said_index, said_manifest) = (media_type::is_index(listed), media_type::is_manifest(listed));
    let own = own_type(bytes, "its index", if said_index || said_manifest { listed } else { "" })?;
    let (index, manifest) = (media_type::is_index(&own), media_type::is_manifest(&own));
    let named = |index| if index { "an index" } else { "an image's manifest" };
    match () {
        () if !index && !manifest => {
            Err(format!("`{}` is neither an image's manifest nor an index", shown(own.as_bytes())))
        }
        () if index && said_manifest || manifest && said_index => {
            Err(format!("its index lists it as {}, and it is {} itself", named(said_index), named(index)))
        }
        () => Ok(index),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = r#""config":{},"layers":[]"#;

    fn judged(fields: &str, listed: &str) -> Result<bool, String> {
        is_index(format!(r#"{{"schemaVersion":2,{fields}}}"#).as_bytes(), listed)
    }

    #[test]
    fn a_document_decides_what_it_is() {
        let own = |media_type: &str, fields: &str| format!(r#""mediaType":"{media_type}",{fields}"#);
        let list = r#""manifests":[]"#;
        for (listed, index) in [(OCI_INDEX, true), (OCI_MANIFEST, false)] {
            let fields = if index { list } else { MANIFEST };
            // Listed as what it is, as Docker calls it, or as something that says nothing.
            for said in [listed, "", "application/json", "application/x"] {
                assert_eq!(judged(fields, said), Ok(index), "{fields}, {said}");
                assert_eq!(judged(&own(listed, fields), said), Ok(index), "{fields}, {said}");
            }
        }
        assert_eq!(judged(&own(media_type::DOCKER_MANIFEST, MANIFEST), OCI_MANIFEST), Ok(false));
        assert_eq!(judged(&own(media_type::DOCKER_LIST, list), OCI_INDEX), Ok(true));
    }

    #[test]
    fn what_contradicts_itself_is_nothing() {
        let (list, both) = (r#""manifests":[]"#, format!(r#""manifests":[],{MANIFEST}"#));
        for (fields, listed, said) in [
            (format!(r#""mediaType":"{OCI_INDEX}",{list}"#), OCI_MANIFEST, "lists it as an image's manifest"),
            (format!(r#""mediaType":"{OCI_MANIFEST}",{MANIFEST}"#), OCI_INDEX, "lists it as an index"),
            (list.to_owned(), OCI_MANIFEST, "take it for either"),
            (MANIFEST.to_owned(), OCI_INDEX, "take it for either"),
            (both.clone(), "", "take it for either"),
            (format!(r#""mediaType":"{OCI_MANIFEST}",{list}"#), OCI_MANIFEST, "take it for either"),
            (format!(r#""mediaType":"application/x",{MANIFEST}"#), OCI_MANIFEST, "`application/x` is neither"),
            (r#""fsLayers":[]"#.to_owned(), "", "neither an image's manifest"),
        ] {
            let error = judged(&fields, listed).unwrap_err();
            assert!(error.contains(said), "{fields}, {listed}: {error}");
        }
        assert!(is_index(b"[]", OCI_INDEX).is_err() && is_index(b"<html>", "").is_err());
    }
}
