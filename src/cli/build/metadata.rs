//! `--metadata-file`: what was built, for scripts.

use serde_json::{Value, json};

use super::super::error::CommandError;
use super::platforms::Part;
use crate::build::{Built, Hit};
use crate::image::Local;
use crate::registry::Reference;
use crate::sink::Sink;

/// Keys as BuildKit names them, where it has them. Of several platforms: the index, and each image below `platforms`.
pub(super) fn of(image: &Local, parts: &[Part<'_>], names: &[Reference]) -> Value {
    let names: Vec<String> = names.iter().map(Reference::to_string).collect();
    let mut value = match parts {
        [part] => of_part(&part.built),
        parts => {
            let each = parts.iter().map(|part| (part.platform.to_string(), of_part(&part.built)));
            json!({
                "containerimage.digest": image.descriptor().digest,
                "containerimage.descriptor": image.descriptor(),
                "platforms": each.collect::<serde_json::Map<_, _>>(),
            })
        }
    };
    value["image.name"] = json!(names.join(","));
    value
}

fn of_part(built: &Built<'_>) -> Value {
    let layers: Vec<Value> = built
        .layers
        .iter()
        .map(|layer| {
            let blob = layer.blob.as_ref();
            json!({
                "name": layer.name,
                "key": layer.key.map(|key| key.hex()),
                "cached": layer.hit != Hit::Built,
                "hit": match &layer.hit {
                    Hit::Local => Some("local".to_owned()),
                    Hit::Team(place) => Some(place.to_string()),
                    Hit::Built => None,
                },
                "seconds": layer.elapsed.as_secs_f64(),
                "digest": blob.map(|blob| blob.descriptor.digest),
                "diff_id": blob.map(|blob| blob.diff_id),
                "size": blob.map(|blob| blob.descriptor.size),
            })
        })
        .collect();
    json!({
        "containerimage.digest": built.manifest.digest,
        "containerimage.config.digest": built.config,
        "containerimage.descriptor": built.manifest,
        "base": {"identity": built.base.identity, "layers": built.base.image.layers},
        "layers": layers,
    })
}

/// Writes it as text.
pub(super) fn write(sink: &Sink, value: &Value) -> Result<(), CommandError> {
    Ok(sink.write_all(format!("{value:#}\n").as_bytes())?)
}
