//! What an image of the store was built from.

use std::collections::BTreeMap;
use std::path::PathBuf;

use layers::digest::Digest;
use serde::{Deserialize, Serialize};

use crate::plan::{BUILD_SETTINGS_VERSION, BuildSettings, LayerKey, WordsError};

/// What an image was built from, to build it once more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct BuiltFrom {
    /// The blueprint's directory, absolute.
    pub directory: PathBuf,
    /// What the build was asked for beside it.
    pub settings: BuildSettings,
    /// `SOURCE_DATE_EPOCH`, in seconds since 1970.
    pub epoch: u64,
    /// What the base was.
    pub base: Digest,
    /// Keys of the blueprint's layers, by their names.
    pub layers: BTreeMap<String, LayerKey>,
}

/// As it stands in a record. An older alloy has written its command line.
#[derive(Serialize, Deserialize)]
struct Stored {
    directory: PathBuf,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<u32>,
    #[serde(default)]
    settings: BuildSettings,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    options: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    withheld: Vec<String>,
    epoch: u64,
    base: Digest,
    layers: BTreeMap<String, LayerKey>,
}

/// What an image was built from is not to be understood.
#[derive(Debug, thiserror::Error)]
enum StoredError {
    #[error("its settings are of version {0}, which a newer alloy has written")]
    Version(u32),
    #[error(transparent)]
    Words(#[from] WordsError),
}

impl TryFrom<Stored> for BuiltFrom {
    type Error = StoredError;

    fn try_from(stored: Stored) -> Result<Self, StoredError> {
        let Stored { directory, version, settings, options, withheld, epoch, base, layers } = stored;
        let settings = match version {
            Some(BUILD_SETTINGS_VERSION) => settings,
            Some(other) => return Err(StoredError::Version(other)),
            None => BuildSettings { withheld, ..BuildSettings::of_words(&options)? },
        };
        Ok(Self { directory, settings, epoch, base, layers })
    }
}

impl From<BuiltFrom> for Stored {
    fn from(BuiltFrom { directory, settings, epoch, base, layers }: BuiltFrom) -> Self {
        let (options, withheld) = (Vec::new(), Vec::new());
        Self { directory, version: Some(BUILD_SETTINGS_VERSION), settings, options, withheld, epoch, base, layers }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_an_older_alloy_has_written_is_understood() {
        let digest = Digest::of("base");
        let old = json!({"directory": "/b", "options": ["--base=deb:trixie", "--locked"], "withheld": ["TOKEN"],
            "epoch": 7, "base": digest, "layers": {"a.yml": digest}});
        let Ok(from) = serde_json::from_value::<BuiltFrom>(old.clone()) else { panic!("{old}") };
        let settings = BuildSettings {
            base: Some("deb:trixie".into()),
            locked: true,
            withheld: vec!["TOKEN".into()],
            ..BuildSettings::default()
        };
        assert_eq!((&from.settings, from.epoch), (&settings, 7));
        let written = serde_json::to_value(&from).unwrap();
        assert_eq!(written["version"], 1);
        assert_eq!(written["settings"], json!({"base": "deb:trixie", "locked": true, "withheld": ["TOKEN"]}));
        assert_eq!(serde_json::from_value::<BuiltFrom>(written.clone()).unwrap(), from);
        for (field, value) in [("version", json!(2)), ("settings", json!({"later": true}))] {
            let mut strange = written.clone();
            strange[field] = value;
            assert!(serde_json::from_value::<BuiltFrom>(strange).is_err(), "{field}");
        }
    }
}
