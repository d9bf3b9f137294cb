//! What a build was asked for beside its blueprint: what an image remembers of it, what its provenance says, and what
//! builds it once more. Values of secrets are no part of it.
//!
//! How a setting is called on a command line is another matter: renaming an option changes nothing here.

use std::path::{Path, PathBuf};

use layers::compress::Compression;
use serde::{Deserialize, Serialize};

use super::{Layering, Platform};

mod text;
mod words;

pub use words::WordsError;

/// The version of these settings that is written; a later one says what it has changed.
pub const VERSION: u32 = 1;

/// The settings of one build.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct BuildSettings {
    /// Base in place of the manifest's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// What the image runs on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<Platform>,
    /// Files of variables, absolute; the later of two wins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env_files: Vec<PathBuf>,
    /// Variables as `NAME=VALUE`; the later of two wins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variables: Vec<String>,
    /// Names of variables that were given, too, and whose values are secrets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub withheld: Vec<String>,
    /// User of the image in place of the manifest's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Compression of layers.
    #[serde(default, with = "text", skip_serializing_if = "is_default")]
    pub compression: Compression,
    /// How task files become layers.
    #[serde(default, skip_serializing_if = "is_default")]
    pub layers: Layering,
    /// Commands of tasks have no network.
    #[serde(default, skip_serializing_if = "is_default")]
    pub offline: bool,
    /// Mirror of the archive that bases come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<String>,
    /// Keys that sign that archive, absolute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keyring: Option<PathBuf>,
    /// Registries that are spoken to without TLS.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub insecure_registries: Vec<String>,
    /// A registries.conf, absolute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry_config: Option<PathBuf>,
    /// Certificates of registries, absolute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificates: Option<PathBuf>,
    /// What nothing pins is refused.
    #[serde(default, skip_serializing_if = "is_default")]
    pub locked: bool,
    /// Warnings are errors.
    #[serde(default, skip_serializing_if = "is_default")]
    pub strict: bool,
    /// The platforms that the blueprint lists do not count.
    #[serde(default, skip_serializing_if = "is_default")]
    pub ignore_supported_hosts: bool,
    /// `file:` URLs are allowed.
    #[serde(default, skip_serializing_if = "is_default")]
    pub allow_file_urls: bool,
    /// The tag `docker` of `exclude` is on.
    #[serde(default, skip_serializing_if = "is_default")]
    pub docker: bool,
    /// The tag `wsl2` of `exclude` is on.
    #[serde(default, skip_serializing_if = "is_default")]
    pub wsl2: bool,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl BuildSettings {
    /// What others may know of them, wherever they build: not where something was on the building machine or how it was
    /// reached, and not what is said elsewhere.
    pub fn elsewhere(&self) -> Self {
        Self {
            base: None,
            platforms: Vec::new(),
            env_files: Vec::new(),
            mirror: None,
            keyring: None,
            insecure_registries: Vec::new(),
            ..self.clone()
        }
    }

    /// What can be given beside settings that are remembered: what is not remembered, which of several platforms is meant,
    /// and how to reach the network.
    pub fn besides(&self) -> Self {
        Self {
            offline: false,
            certificates: None,
            env_files: Vec::new(),
            insecure_registries: Vec::new(),
            mirror: None,
            platforms: Vec::new(),
            registry_config: None,
            variables: Vec::new(),
            withheld: Vec::new(),
            ..self.clone()
        }
    }

    /// True if `name` is that of a variable that they have a value for.
    pub fn has_variable(&self, name: &str) -> bool {
        self.variables.iter().any(|pair| pair.split_once('=').is_some_and(|(variable, _)| variable == name))
    }

    /// Files that they name and that are gone.
    pub fn missing_env_file(&self) -> Option<&Path> {
        self.env_files.iter().map(PathBuf::as_path).find(|path| !path.exists())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_was_asked_for_is_written() {
        let written = |settings: &BuildSettings| serde_json::to_value(settings).unwrap();
        assert_eq!(written(&BuildSettings::default()), json!({}));
        let settings = BuildSettings {
            base: Some("deb:trixie".into()),
            platforms: vec!["linux/arm/v7".parse().unwrap()],
            compression: "gzip:9".parse().unwrap(),
            layers: Layering::File,
            locked: true,
            ..BuildSettings::default()
        };
        let shown = json!({"base": "deb:trixie", "compression": "gzip:9", "layers": "file", "locked": true,
            "platforms": [{"os": "linux", "architecture": "arm", "variant": "v7"}]});
        assert_eq!(written(&settings), shown);
        assert_eq!(serde_json::from_value::<BuildSettings>(shown).unwrap(), settings);
        assert!(serde_json::from_value::<BuildSettings>(json!({"later": 1})).is_err());
        assert_eq!(settings.elsewhere().base, None);
    }
}
