//! Why a name of the catalog stands for nothing.

use std::io;
use std::path::PathBuf;

use super::Id;
use crate::blueprint::Problems;
use crate::yaml::{Diagnostic, Span};

/// Why the catalog has no answer.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// Nothing is there.
    #[error("there is no catalog in {directory}")]
    Nowhere {
        /// The directory.
        directory: PathBuf,
    },
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The text is no name at all.
    #[error("{}", .0.message)]
    Reference(Box<Diagnostic>),
    /// No such tool.
    #[error("the catalog has no {id}")]
    Unknown {
        /// What was asked for.
        id: Id,
        /// What may have been meant.
        near: Option<String>,
    },
    /// No such version or alias.
    #[error("{id} has no version `{version}`")]
    Version {
        /// The tool.
        id: Id,
        /// What was asked for.
        version: String,
        /// Versions and aliases that there are.
        known: Vec<String>,
        /// What may have been meant.
        near: Option<String>,
    },
    /// Nobody has it for the platform.
    #[error("{id}@{version} is not there for {platform}")]
    Platform {
        /// The tool.
        id: Id,
        /// Its version.
        version: String,
        /// What was asked for.
        platform: String,
        /// The platforms that there are.
        known: Vec<String>,
    },
    /// A file of the tool is wrong.
    #[error("the catalog's entry is broken: {}", first(.0))]
    Broken(Problems),
}

/// The first problem, with its place.
fn first(problems: &Problems) -> String {
    let first = problems.diagnostics.first();
    first.map_or(String::new(), |first| format!("{}: {}", problems.sources.place(first.span), first.message))
}

impl CatalogError {
    /// What to do.
    pub fn hint(&self) -> Option<String> {
        let meant = |near: &String| format!("did you mean `{near}`?");
        match self {
            Self::Nowhere { .. } => Some("`alloy catalog update --remote URL` gets one".into()),
            Self::Reference(error) => error.help.clone(),
            Self::Unknown { near: Some(near), .. } | Self::Version { near: Some(near), .. } => Some(meant(near)),
            Self::Unknown { .. } => {
                Some("`alloy catalog search WORD` finds tools; `alloy catalog update` gets new ones".into())
            }
            Self::Version { known, .. } if known.is_empty() => None,
            Self::Version { known, .. } => Some(format!("there are {}", known.join(", "))),
            Self::Platform { known, .. } => Some(format!("it is there for {}", known.join(", "))),
            Self::Broken(_) => Some("mend the file, or get a newer catalog with `alloy catalog update`".into()),
            Self::Read { .. } => None,
        }
    }

    /// The same as a problem of whatever asked at `span`.
    pub fn at(&self, span: Span) -> Diagnostic {
        let diagnostic = Diagnostic::error("catalog", span, self.to_string());
        self.hint().into_iter().fold(diagnostic, Diagnostic::help)
    }
}
