//! The two forms that blueprints have in registries: alloy's own, and the one of the existing hub, where the type of
//! the config says what the artifact is, and the lockfile and the manifest are layers of their own beside the files.

use std::path::Path;

use layers::digest::Digest;
use layers::media_type::{Descriptor, EMPTY, empty};
use serde_json::json;

use super::artifact::Manifest;
use super::contents::Content;
use super::{BLUEPRINT, Contents};
use crate::blueprint::{self, LOCK_FILE, MANIFEST_FILE};
use crate::json;
use crate::lock::Lock;
use crate::plan::Platform;
use crate::yaml::{FileId, parse};

const HUB: &str = "application/vnd.alloy.blueprint.config.v1+json";
/// How the types of archives begin.
const HUB_PREFIX: &str = "application/vnd.alloy.blueprint.";
const HUB_FILES: &str = "application/vnd.alloy.blueprint.layer.v1.tar+gzip";
/// Files that are layers of their own, and their types: as the hub documents them, and as alloy wrote them before.
const HUB_TEXTS: [(&str, [&str; 2]); 2] = [
    (LOCK_FILE, ["application/vnd.alloy.lockfile.v1+yaml", "application/vnd.alloy.blueprint.lockfile.v1+yaml"]),
    (MANIFEST_FILE, ["application/vnd.alloy.manifest.v1+yaml", "application/vnd.alloy.blueprint.manifest.v1+yaml"]),
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
    for (name, types) in HUB_TEXTS {
        let mut found = layers.iter().filter(|layer| types.contains(&layer.media_type.as_str()));
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
    let blob = |media_type: &str, bytes: Vec<u8>| {
        let descriptor =
            Descriptor { media_type: media_type.to_owned(), digest: Digest::of(&bytes), size: bytes.len() as u64 };
        (descriptor, bytes)
    };
    let mut blobs = vec![blob(HUB, config(blueprint, contents, host))];
    for (name, [media_type, _]) in HUB_TEXTS {
        blobs.extend(text(contents, name).map(|text| blob(media_type, text.as_bytes().to_vec())));
    }
    let files = Descriptor { media_type: HUB_FILES.to_owned(), ..layer.clone() };
    let layers = std::iter::once(files).chain(blobs[1..].iter().map(|(descriptor, _)| descriptor.clone())).collect();
    (Manifest::new(None, blobs[0].0.clone(), layers), blobs)
}

/// What the hub documents of a config.
fn config(blueprint: &blueprint::Manifest, contents: &Contents, host: Option<&Platform>) -> Vec<u8> {
    let files: Vec<&str> = blueprint.run_order.iter().map(|(file, _)| file.as_str()).collect();
    let mut config = json!({
        "blueprint": { "name": blueprint.name, "version": blueprint.version },
        "task_files": files,
    });
    if let Some(host) = host {
        config["host"] = json!(host.to_string());
    }
    let lock = text(contents, LOCK_FILE).and_then(|text| Lock::read(&parse(FileId(0), text).ok()?).ok());
    if let Some(at) = lock.and_then(|lock| lock.resolved_at) {
        config["resolved_at"] = json!(at);
    }
    json::bytes(&config)
}

fn text<'a>(contents: &'a Contents, name: &str) -> Option<&'a str> {
    match contents.0.get(Path::new(name)) {
        Some(Content::Text(text)) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(media_type: &str) -> Descriptor {
        Descriptor { media_type: media_type.to_owned(), digest: Digest::of(media_type), size: 1 }
    }

    #[test]
    fn layers_of_the_hub_are_known_by_their_types() {
        for which in [0, 1] {
            layers_of_a_spelling(HUB_TEXTS.map(|(_, types)| layer(types[which])));
        }
        let [lock, other] = HUB_TEXTS[0].1.map(layer);
        assert!(parts(Form::Hub, &[layer(HUB_FILES), lock, other]).unwrap_err().contains("two layers"));
    }

    fn layers_of_a_spelling([lock, own]: [Descriptor; 2]) {
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
