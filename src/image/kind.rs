//! What layers may be called: by OCI, by Docker, and what neither of them lets registries hand out.

use layers::media_type::{self, Descriptor};
use layers::path::shown;
use serde::{Deserialize, Serialize};

/// Docker's name of what BuildKit compresses with zstd for a manifest of Docker's.
const DOCKER_ZSTD: &str = "application/vnd.docker.image.rootfs.diff.tar.zstd";
/// What the names of Docker's layers begin with that registries do not have.
const DOCKER_FOREIGN: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar";
/// The same of OCI (image-spec 1.1, "Non-Distributable Layers").
const OCI_FOREIGN: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar";

/// What is said of a layer that its author does not want in registries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Foreign {
    /// OCI's name of its type.
    pub media_type: String,
    /// Where it is to be had.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
}

/// A layer as a manifest names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerEntry {
    /// The blob.
    #[serde(flatten)]
    pub descriptor: Descriptor,
    /// Where else it is to be had.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
}

impl LayerEntry {
    /// True for a layer that a registry need not have: its author does not want it there, and says where it is.
    pub fn stays_away(&self) -> bool {
        !self.urls.is_empty() && is_foreign(&self.descriptor.media_type)
    }
}

impl From<Descriptor> for LayerEntry {
    fn from(descriptor: Descriptor) -> Self {
        Self { descriptor, urls: Vec::new() }
    }
}

/// Names of a config's type that say nothing: old tools wrote them.
const PLAIN: [&str; 3] = ["", "application/json", "application/octet-stream"];

/// What is wrong with a manifest whose config is of this type, if it cannot be an image's.
pub fn no_image(config: &str) -> Option<String> {
    let of_image = media_type::is_config(config) || PLAIN.contains(&config);
    (!of_image).then(|| format!("it is no image: its config is {}", shown(config.as_bytes())))
}

/// What a layer of this type is compressed as, in OCI's words; `None` for what is no layer that alloy can read.
pub fn layer_type(media_type: &str) -> Option<&'static str> {
    if media_type == DOCKER_ZSTD {
        return Some(media_type::OCI_LAYER_ZSTD);
    }
    match foreign_suffix(media_type) {
        None => media_type::oci_layer(media_type),
        Some("") => Some(media_type::OCI_LAYER),
        Some("gzip") => Some(media_type::OCI_LAYER_GZIP),
        Some("zstd") => Some(media_type::OCI_LAYER_ZSTD),
        Some(_) => None,
    }
}

/// True for the type of a layer that is not for registries.
pub fn is_foreign(media_type: &str) -> bool {
    foreign_suffix(media_type).is_some()
}

/// OCI's name of the type of a foreign layer: manifests that alloy writes are OCI's.
pub(super) fn oci_foreign(media_type: &str) -> Option<String> {
    foreign_suffix(media_type).map(|suffix| match suffix {
        "" => OCI_FOREIGN.to_owned(),
        suffix => format!("{OCI_FOREIGN}+{suffix}"),
    })
}

/// How a foreign layer is compressed: nothing, or what stands behind the name.
fn foreign_suffix(media_type: &str) -> Option<&str> {
    let behind = |start: &str, mark: char| match media_type.strip_prefix(start)? {
        "" => Some(""),
        rest => rest.strip_prefix(mark),
    };
    behind(DOCKER_FOREIGN, '.').or_else(|| behind(OCI_FOREIGN, '+'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_a_layer_is_read_and_foreign_ones_stay_so() {
        for (written, read, kept) in [
            (media_type::DOCKER_LAYER_GZIP.to_owned(), media_type::OCI_LAYER_GZIP, None),
            (DOCKER_ZSTD.to_owned(), media_type::OCI_LAYER_ZSTD, None),
            (DOCKER_FOREIGN.to_owned(), media_type::OCI_LAYER, Some(OCI_FOREIGN.to_owned())),
            (format!("{DOCKER_FOREIGN}.gzip"), media_type::OCI_LAYER_GZIP, Some(format!("{OCI_FOREIGN}+gzip"))),
            (OCI_FOREIGN.to_owned(), media_type::OCI_LAYER, Some(OCI_FOREIGN.to_owned())),
            (format!("{OCI_FOREIGN}+zstd"), media_type::OCI_LAYER_ZSTD, Some(format!("{OCI_FOREIGN}+zstd"))),
        ] {
            assert_eq!(layer_type(&written), Some(read), "{written}");
            assert_eq!(oci_foreign(&written), kept, "{written}");
        }
        for other in [format!("{OCI_FOREIGN}+xz"), format!("{OCI_FOREIGN}x"), "text/plain".to_owned()] {
            assert_eq!(layer_type(&other), None, "{other}");
        }
    }

    #[test]
    fn entries_are_written_as_they_were_read() {
        let plain = r#"{"mediaType":"a","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":1}"#;
        let urls = plain.replace('}', r#","urls":["https://a.example/l"]}"#);
        for text in [plain, &urls] {
            let entry: LayerEntry = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&entry).unwrap(), text);
            assert!(!entry.stays_away());
        }
    }
}
