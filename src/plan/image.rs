//! What the blueprint says of the image beside its layers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::blueprint::Manifest;

/// The image's config, as far as the blueprint has a say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageSpec {
    /// Added to `Env`.
    pub env: BTreeMap<String, String>,
    /// Take over what a login shell sets.
    pub env_from_profile: bool,
    /// `User`.
    pub user: Option<String>,
    /// `WorkingDir`.
    pub workdir: Option<String>,
    /// `Entrypoint`.
    pub entrypoint: Option<Vec<String>>,
    /// `Cmd`.
    pub cmd: Option<Vec<String>>,
    /// `Labels`, with those that come from the manifest's metadata.
    pub labels: BTreeMap<String, String>,
    /// `author` of the config.
    pub author: Option<String>,
}

impl ImageSpec {
    pub(super) fn of(manifest: &Manifest) -> Self {
        let image = &manifest.image;
        let authors = manifest.authors.join(", ");
        // OCI image-spec 1.1, "Annotations".
        let metadata = [
            ("title", Some(manifest.name.as_str())),
            ("version", Some(manifest.version.as_str())),
            ("description", manifest.description.as_deref()),
            ("authors", Some(authors.as_str())),
            ("vendor", manifest.vendor.as_deref()),
            ("licenses", manifest.licenses.as_deref()),
        ];
        let mut labels: BTreeMap<String, String> = metadata
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.filter(|value| !value.is_empty())?)))
            .map(|(name, value)| (format!("org.opencontainers.image.{name}"), value.to_owned()))
            .collect();
        labels.extend(image.labels.clone());
        Self {
            env: image.env.clone(),
            env_from_profile: image.env_from_profile.unwrap_or(true),
            user: image.user.clone(),
            workdir: image.workdir.clone(),
            entrypoint: image.entrypoint.clone(),
            cmd: image.cmd.clone(),
            labels,
            author: (!authors.is_empty()).then_some(authors),
        }
    }
}
