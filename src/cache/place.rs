//! Where a team keeps its cache: a repository of a registry, or a directory.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::registry::{Reference, ReferenceError};
use crate::sink::unexpanded_home;

/// A place for cache entries.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A repository; entries are tags of it.
    Registry(Reference),
    /// An OCI image layout; entries are named in its index.
    Directory(PathBuf),
}

/// Not a place.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// In none of the forms.
    #[error(
        "`{text}` is no place for a cache: {reason}; write REGISTRY/REPOSITORY, type=registry,ref=REF or \
         type=local,dest=DIR"
    )]
    Form {
        /// The text.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Not a repository.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
}

impl Place {
    /// The repository of an image.
    pub fn beside(image: &Reference) -> Self {
        Self::Registry(image.bare())
    }

    /// True for a repository of the same registry.
    pub fn shares_registry(&self, other: &Reference) -> bool {
        matches!(self, Self::Registry(reference) if reference.registry == other.registry)
    }

    /// The repository, if `other` is another one of the same registry.
    pub fn mounts_to(&self, other: &Reference) -> Option<&str> {
        match self {
            Self::Registry(reference) if self.shares_registry(other) && reference.repository != other.repository => {
                Some(&reference.repository)
            }
            _ => None,
        }
    }
}

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let error = |reason: String| PlaceError::Form { text: text.to_owned(), reason };
        if !text.contains('=') {
            return Self::repository(text);
        }
        let (mut kind, mut path, mut reference) = (None, None, None);
        for part in text.split(',') {
            let (key, _) = part.split_once('=').unwrap_or((part, ""));
            let twice = match key {
                "type" => kind.is_some(),
                "dest" | "src" => path.is_some(),
                "ref" => reference.is_some(),
                _ => false,
            };
            if twice {
                return Err(error(format!("`{key}` is given twice")));
            }
            match part.split_once('=') {
                Some(("type", value)) => kind = Some(value),
                Some(("dest" | "src", value)) if !value.is_empty() => {
                    if let Some(home) = unexpanded_home(value) {
                        return Err(error(format!("the shell does not expand `~` there: write {key}={home}")));
                    }
                    path = Some(value);
                }
                Some(("ref", value)) if !value.is_empty() => reference = Some(value),
                _ => return Err(error(format!("`{part}` makes no sense"))),
            }
        }
        match (kind, path, reference) {
            (Some("registry"), None, Some(reference)) => Self::repository(reference),
            (Some("local"), Some(path), None) => Ok(Self::Directory(path.into())),
            (Some("registry"), ..) => Err(error("type=registry needs ref=REF and nothing else".into())),
            (Some("local"), ..) => Err(error("type=local needs dest=DIR and nothing else".into())),
            (Some(other), ..) => Err(error(format!("no type `{other}`"))),
            (None, ..) => Err(error("`type` is missing".into())),
        }
    }
}

impl Place {
    fn repository(text: &str) -> Result<Self, PlaceError> {
        let reference: Reference = text.parse()?;
        if !reference.names_registry() {
            let reason = "it names no registry".to_owned();
            return Err(PlaceError::Form { text: text.to_owned(), reason });
        }
        Ok(Self::beside(&reference))
    }
}

/// The form that is parsed, too.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(reference) => write!(f, "{}/{}", reference.registry, reference.repository),
            Self::Directory(path) => write!(f, "type=local,dest={}", path.display()),
        }
    }
}

impl Serialize for Place {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form() {
        for (text, shown) in [
            ("r.example/team/cache", "r.example/team/cache"),
            ("r.example:5000/team/cache:x", "r.example:5000/team/cache"),
            ("type=registry,ref=r.example/c", "r.example/c"),
            ("type=local,dest=cache", "type=local,dest=cache"),
            ("src=/a/b,type=local", "type=local,dest=/a/b"),
        ] {
            assert_eq!(text.parse::<Place>().unwrap().to_string(), shown);
        }
        for bad in [
            "",
            "cache",
            "team/cache",
            "type=gha",
            "type=local",
            "dest=x",
            "type=registry,dest=x",
            "type=local,x",
            "type=local,dest=a,dest=b",
            "type=local,dest=~/a",
        ] {
            assert!(bad.parse::<Place>().is_err(), "{bad}");
        }
    }
}
