//! `os/arch[/variant]` (OCI image-spec 1.1, "Image Index", `platform`).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What an image runs on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// Go's name of the operating system.
    pub os: String,
    /// Go's name of the architecture.
    pub architecture: String,
    /// Of the architecture, where it needs one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// Not a platform alloy builds for.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a platform that alloy builds for: give linux/amd64, linux/arm64 or another `linux/ARCH`")]
pub struct PlatformError(String);

impl Platform {
    /// This machine's.
    pub fn of_this_machine() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            "powerpc64" => "ppc64le",
            other => other,
        };
        Self { os: "linux".into(), architecture: architecture.into(), variant: None }
    }

    /// Debian's name of the architecture.
    pub fn debian_arch(&self) -> &str {
        match (self.architecture.as_str(), self.variant.as_deref()) {
            ("arm", Some("v5" | "v6")) => "armel",
            ("arm", _) => "armhf",
            ("386", _) => "i386",
            ("ppc64le", _) => "ppc64el",
            (other, _) => other,
        }
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let parts: Vec<&str> = text.split('/').collect();
        let (architecture, variant) = match parts.as_slice() {
            ["linux", architecture] => (*architecture, None),
            ["linux", architecture, variant] => (*architecture, Some(*variant)),
            _ => return Err(PlatformError(text.to_owned())),
        };
        let (architecture, variant) = match (architecture, variant) {
            ("x86_64", None) => ("amd64", None),
            ("aarch64", None) | ("arm64", Some("v8")) => ("arm64", None),
            other => other,
        };
        let fits = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric());
        if !fits(architecture) || !variant.is_none_or(fits) {
            return Err(PlatformError(text.to_owned()));
        }
        Ok(Self { os: "linux".into(), architecture: architecture.into(), variant: variant.map(str::to_owned) })
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.iter().try_for_each(|variant| write!(f, "/{variant}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_normal() {
        let normal = |text: &str| text.parse::<Platform>().map(|platform| platform.to_string()).ok();
        assert_eq!(normal("linux/x86_64").unwrap(), "linux/amd64");
        assert_eq!(normal("linux/arm64/v8").unwrap(), "linux/arm64");
        assert_eq!(normal("linux/arm/v7").unwrap(), "linux/arm/v7");
        for bad in ["windows/amd64", "linux", "", "linux/", "linux/a b"] {
            assert_eq!(normal(bad), None, "{bad}");
        }
        assert_eq!("linux/arm/v7".parse::<Platform>().unwrap().debian_arch(), "armhf");
    }
}
