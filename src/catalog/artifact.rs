//! What a provider has for one platform.

use layers::digest::Digest;
use serde::Serialize;

use super::fields::{required, sha256, url};
use crate::yaml::{Diagnostic, Mapping, Node};

/// How a tool is installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// An archive is unpacked.
    Archive,
    /// An archive of sources is unpacked and built.
    Source,
    /// pip installs a package.
    Pip,
    /// west makes a workspace of a repository.
    West,
    /// A repository is cloned.
    Git,
}

/// Where the bytes are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Artifact {
    /// A download: of [`Method::Archive`] and [`Method::Source`].
    Download {
        /// Where it is.
        url: String,
        /// What it is.
        sha256: Digest,
    },
    /// A package of an index: of [`Method::Pip`].
    Package {
        /// Its name.
        package: String,
        /// Its version there.
        version: String,
    },
    /// A repository: of [`Method::West`] and [`Method::Git`].
    Repository {
        /// Where it is.
        url: String,
        /// A tag, branch or commit.
        version: String,
    },
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Archive, Self::Source, Self::Pip, Self::West, Self::Git];

    /// Its name, as catalogs and lockfiles have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Archive => "archive",
            Self::Source => "source",
            Self::Pip => "pip",
            Self::West => "west",
            Self::Git => "git",
        }
    }

    /// True where a digest says what is had.
    pub(super) fn is_download(self) -> bool {
        matches!(self, Self::Archive | Self::Source)
    }

    pub(super) fn read(node: &Node) -> Result<Self, Diagnostic> {
        let text = node.text("method")?;
        let known = Self::ALL.map(Self::name);
        Self::ALL.into_iter().find(|method| method.name() == text).ok_or_else(|| {
            let error = Diagnostic::error("method", node.span, format!("there is no method `{text}`"));
            error.help(format!("the methods are {}", known.join(", "))).suggest(text, known)
        })
    }
}

impl Artifact {
    /// Reads what `method` has for a platform.
    pub(super) fn read(method: Method, fields: &Mapping, node: &Node) -> Result<Self, Diagnostic> {
        let text = |field: &str| Ok::<_, Diagnostic>(required(fields, field, node)?.text(field)?.to_owned());
        Ok(match method {
            Method::Archive | Method::Source => Self::Download {
                url: url(required(fields, "url", node)?)?,
                sha256: sha256(required(fields, "sha256", node)?)?,
            },
            Method::Pip => Self::Package { package: text("package")?, version: text("version")? },
            Method::West | Method::Git => {
                Self::Repository { url: url(required(fields, "url", node)?)?, version: text("version")? }
            }
        })
    }
}
