//! What the blueprint says of the image beside its layers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::blueprint::Manifest;
use crate::op::{Assignment, DEFAULT_PATH, EnvValue};

/// The image's config, as far as the blueprint has a say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageSpec {
    /// Added to `Env`.
    pub env: Vec<Assignment>,
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
    /// `Env` of a config that had `env`. `Err` names a variable and what it refers to without that being set.
    pub fn environment(&self, mut env: Vec<(String, String)>) -> Result<Vec<(String, String)>, (String, String)> {
        for (name, value) in &self.env {
            let lookup = |wanted: &str| {
                let found = env.iter().rev().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
                found.or_else(|| (wanted == "PATH").then_some(DEFAULT_PATH))
            };
            // Values were read when the manifest was.
            let read = EnvValue::read(value).map_err(|_| (name.clone(), value.clone()))?;
            let value = read.expand(&lookup).map_err(|unknown| (name.clone(), unknown))?;
            match env.iter_mut().find(|(other, _)| other == name) {
                Some((_, old)) => *old = value,
                None => env.push((name.clone(), value)),
            }
        }
        Ok(env)
    }

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
