//! The two forms that blueprints have in registries: alloy's own, and the one of the existing hub, where the type of
//! the config says what the artifact is, and the lockfile and the manifest are layers of their own beside the files.

use layers::digest::Digest;
use layers::media_type::{Descriptor, EMPTY, empty};
use serde_json::json;

use super::artifact::Manifest;
use super::contents::Content;
use super::{BLUEPRINT, Contents};
use crate::blueprint::{self, LOCK_FILE, MANIFEST_FILE};
use crate::plan::Platform;

const HUB: &str = "application/vnd.alloy.blueprint.config.v1+json";
/// How the types of all of its layers begin.
const HUB_PREFIX: &str = "application/vnd.alloy.blueprint.";
const HUB_FILES: &str = "application/vnd.alloy.blueprint.layer.v1.tar+gzip";
/// Files that are layers of their own.
const HUB_TEXTS: [(&str, &str); 2] = [
    (LOCK_FILE, "application/vnd.alloy.blueprint.lockfile.v1+yaml"),
    (MANIFEST_FILE, "application/vnd.alloy.blueprint.manifest.v1+yaml"),
];

/// How a blueprint stands in a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As one layer.
    Alloy,
    /// As the existing hub has them.
    Hub,
}

/// What is what of a manifest's layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parts {
    /// The archive.
    pub(super) files: Descriptor,
    /// Files that do not have to be in it, and their names.
    pub(super) texts: Vec<(&'static str, Descriptor)>,
}

/// The form that a manifest's types say; `None` if it is of no blueprint.
pub(super) fn of(artifact_type: Option<&str>, config: Option<&str>) -> Option<Form> {
    match (artifact_type, config) {
        // Whatever the artifact is called: nothing else has such a config.
        (_, Some(HUB)) => Some(Form::Hub),
        // Of tools before image-spec 1.1, the config's type says what it is.
        (Some(HUB), _) => Some(Form::Hub),
        (Some(BLUEPRINT), _) | (None, Some(BLUEPRINT)) => Some(Form::Alloy),
        _ => None,
    }
}

/// The parts of a manifest of that form, or what is wrong with it.
pub(super) fn parts(form: Form, layers: &[Descriptor]) -> Result<Parts, &'static str> {
    if form == Form::Alloy {
        let [files] = layers else { return Err("it does not have one layer") };
        return Ok(Parts { files: files.clone(), texts: Vec::new() });
    }
    let is_archive = |layer: &&Descriptor| {
        let rest = layer.media_type.strip_prefix(HUB_PREFIX);
        rest.is_some_and(|rest| rest.ends_with(".tar+gzip") || rest.ends_with(".tar+zstd"))
    };
    let archives: Vec<_> = layers.iter().filter(is_archive).collect();
    let [files] = archives.as_slice() else { return Err("it does not have one layer of files") };
    let mut texts = Vec::new();
    for (name, media_type) in HUB_TEXTS {
        let mut found = layers.iter().filter(|layer| layer.media_type == media_type);
        texts.extend(found.next().map(|layer| (name, layer.clone())));
        if found.next().is_some() {
            return Err("it has two layers for the same file");
        }
    }
    Ok(Parts { files: (*files).clone(), texts })
}

/// A manifest for `host`, and what it lists beside the layer of files: small blobs, the config first.
pub(super) fn manifest(
    form: Form,
    blueprint: &blueprint::Manifest,
    contents: &Contents,
    layer: &Descriptor,
    host: Option<&Platform>,
) -> (Manifest, Vec<(Descriptor, Vec<u8>)>) {
    if form == Form::Alloy {
        return (Manifest::new(Some(BLUEPRINT), empty(), vec![layer.clone()]), vec![(empty(), EMPTY.to_vec())]);
    }
    let mut config = json!({ "name": blueprint.name, "version": blueprint.version });
    if let Some(description) = &blueprint.description {
        config["description"] = json!(description);
    }
    if let Some(host) = host {
        config["platform"] = json!(host);
    }
    let blob = |media_type: &str, bytes: Vec<u8>| {
        let descriptor =
            Descriptor { media_type: media_type.to_owned(), digest: Digest::of(&bytes), size: bytes.len() as u64 };
        (descriptor, bytes)
    };
    let mut blobs = vec![blob(HUB, serde_json::to_vec(&config).unwrap_or_default())];
    for (name, media_type) in HUB_TEXTS {
        if let Some(Content::Text(text)) = contents.0.get(std::path::Path::new(name)) {
            blobs.push(blob(media_type, text.clone().into_bytes()));
        }
    }
    let files = Descriptor { media_type: HUB_FILES.to_owned(), ..layer.clone() };
    let layers = std::iter::once(files).chain(blobs[1..].iter().map(|(descriptor, _)| descriptor.clone())).collect();
    (Manifest::new(None, blobs[0].0.clone(), layers), blobs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(media_type: &str) -> Descriptor {
        Descriptor { media_type: media_type.to_owned(), digest: Digest::of(media_type), size: 1 }
    }

    #[test]
    fn layers_of_the_hub_are_known_by_their_types() {
        let [lock, own] = HUB_TEXTS.map(|(_, media_type)| layer(media_type));
        let (files, readme) = (layer(HUB_FILES), layer("text/markdown"));
        let found = parts(Form::Hub, &[own.clone(), readme.clone(), files.clone(), lock.clone()]).unwrap();
        assert_eq!(found, Parts { files: files.clone(), texts: vec![(LOCK_FILE, lock.clone()), (MANIFEST_FILE, own)] });
        assert!(parts(Form::Hub, std::slice::from_ref(&files)).unwrap().texts.is_empty());
        assert!(parts(Form::Hub, &[lock.clone(), readme]).unwrap_err().contains("one layer of files"));
        assert!(parts(Form::Hub, &[files.clone(), files.clone()]).is_err());
        assert!(parts(Form::Hub, &[files, lock.clone(), lock]).unwrap_err().contains("two layers"));
    }

    #[test]
    fn types_say_which_form_it_is() {
        assert_eq!(of(None, Some(HUB)), Some(Form::Hub));
        assert_eq!(of(Some(HUB), Some("application/vnd.oci.empty.v1+json")), Some(Form::Hub));
        assert_eq!(of(Some(BLUEPRINT), Some("application/vnd.oci.empty.v1+json")), Some(Form::Alloy));
        assert_eq!(of(Some("x/y"), Some(BLUEPRINT)), None);
        assert_eq!(of(None, None), None);
    }
}
