//! Names of the catalog: `<kind>.<vendor>.<tool>`, and `@version` or `@alias` behind it.

use std::fmt;
use std::path::PathBuf;

use serde::{Serialize, Serializer};

use crate::action::check_reference;
use crate::yaml::{Diagnostic, Span};

/// Kinds of tools. The directory of a kind has an `s` behind its name.
pub const KINDS: [&str; 3] = ["toolchain", "sdk", "tool"];

/// What a reference without a version means.
pub const DEFAULT_ALIAS: &str = "stable";

/// The name of a tool.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    /// One of [`KINDS`].
    pub kind: String,
    /// Who makes it.
    pub vendor: String,
    /// What it is.
    pub tool: String,
}

/// A tool, and which of its versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Which tool.
    pub id: Id,
    /// A version or an alias; `None` where nothing is said.
    pub version: Option<String>,
}

impl Reference {
    /// Parses a reference that stands at `span`.
    pub fn parse(text: &str, span: Span) -> Result<Self, Diagnostic> {
        check_reference(text, span)?;
        let wrong = || Diagnostic::error("ref", span, format!("`{text}` is not a reference of the catalog"));
        let text = text.trim();
        let (id, version) = text.split_once('@').map_or((text, None), |(id, version)| (id, Some(version)));
        let mut parts = id.splitn(3, '.').map(str::to_owned);
        let (Some(kind), Some(vendor), Some(tool)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(wrong());
        };
        // The parts are names of directories.
        if vendor.starts_with('.') || tool.starts_with('.') {
            return Err(wrong().help("no part begins with a dot"));
        }
        Ok(Self { id: Id { kind, vendor, tool }, version: version.map(str::to_owned) })
    }

    /// The version or alias it asks for.
    pub fn version(&self) -> &str {
        self.version.as_deref().unwrap_or(DEFAULT_ALIAS)
    }
}

impl Id {
    /// Parses a name without a version, which stands at `span`.
    pub fn parse(text: &str, span: Span) -> Result<Self, Diagnostic> {
        match Reference::parse(text, span)? {
            Reference { id, version: None } => Ok(id),
            _ => Err(Diagnostic::error("id", span, format!("`{text}` is not an id: it names a version"))
                .help("write `<kind>.<vendor>.<tool>`")),
        }
    }

    /// Its directory in a catalog.
    pub fn directory(&self) -> PathBuf {
        [&format!("{}s", self.kind), &self.vendor, &self.tool].iter().collect()
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.kind, self.vendor, self.tool)
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::FileId;

    #[test]
    fn a_reference_is_an_id_and_a_version() {
        let parse = |text: &str| Reference::parse(text, Span::start_of(FileId(0)));
        let reference = parse("sdk.zephyr.zephyr-sdk@0.17.4").unwrap();
        assert_eq!(reference.id.directory(), PathBuf::from("sdks/zephyr/zephyr-sdk"));
        assert_eq!((reference.id.to_string().as_str(), reference.version()), ("sdk.zephyr.zephyr-sdk", "0.17.4"));
        assert_eq!(parse("tool.python.west").unwrap().version(), "stable");
        for bad in ["tool.python", "tool.python...", "tool.a/b.c", "tool.python..hidden", "Tool.python.west", "west"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(Id::parse("tool.python.west@1", Span::start_of(FileId(0))).is_err());
    }
}
