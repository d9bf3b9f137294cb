//! All tools of a catalog at a glance, and everything that is wrong with it.

use serde::{Deserialize, Serialize};

use super::{Catalog, CatalogError, Id};
use crate::blueprint::Problems;
use crate::yaml::{Diagnostic, MAX_PROBLEMS, Sources};

/// What a search shows of a tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Its id.
    pub id: String,
    /// The version that a bare reference means, else the newest.
    pub version: Option<String>,
    /// What people call it.
    pub name: Option<String>,
    /// What it can do.
    pub capabilities: Vec<String>,
    /// How far that version can be relied on.
    pub status: Option<String>,
}

/// All tools, and what is wrong with the others.
#[derive(Debug)]
pub struct Survey {
    /// Tools, sorted by id.
    pub tools: Vec<Summary>,
    /// What is wrong.
    pub problems: Problems,
}

impl Catalog {
    /// Reads every index and the file that represents each tool.
    pub fn survey(&self) -> Survey {
        let (mut sources, mut diagnostics) = (Sources::default(), Vec::new());
        let mut tools = Vec::new();
        for id in self.ids() {
            let (mut texts, mut errors) = (Sources::default(), Vec::new());
            match self.summary(&id, &mut texts, &mut errors) {
                Ok(summary) => tools.extend(summary),
                Err(error) => {
                    let file = texts.add(self.directory.join(id.directory()).to_string_lossy(), "");
                    errors.push(Diagnostic::error("file", crate::yaml::Span::start_of(file), error.to_string()));
                }
            }
            // The text of what is in order is of no use any more.
            for error in errors.into_iter().take(MAX_PROBLEMS.saturating_sub(diagnostics.len())) {
                let file = sources.add(texts.name(error.span.file), texts.text(error.span.file));
                diagnostics.push(Diagnostic { span: crate::yaml::Span { file, ..error.span }, ..error });
            }
        }
        Survey { tools, problems: Problems { diagnostics, sources } }
    }

    /// A tool; `None` without errors if the directory holds none.
    fn summary(
        &self,
        id: &Id,
        sources: &mut Sources,
        errors: &mut Vec<Diagnostic>,
    ) -> Result<Option<Summary>, CatalogError> {
        let Some(index) = self.read_index(id, sources, errors)? else { return Ok(None) };
        let mut summary =
            Summary { id: id.to_string(), version: None, name: None, capabilities: Vec::new(), status: None };
        let Some(listed) = index.representative() else { return Ok(Some(summary)) };
        summary.version = Some(listed.version.clone());
        summary.status.clone_from(&listed.status);
        // A tool whose file is broken is found by its id all the same.
        if let Some(version) = self.read_version(id, listed, sources, errors)? {
            summary.name = version.name;
            summary.capabilities = version.capabilities;
            summary.status = summary.status.or(version.lifecycle.status);
        }
        Ok(Some(summary))
    }
}

impl Summary {
    /// True if all of `words`, in lower case, stand in its id, its name or what it can do.
    pub fn matches(&self, words: &[String]) -> bool {
        let texts = || [Some(&self.id), self.name.as_ref()].into_iter().flatten().chain(&self.capabilities);
        words.iter().all(|word| texts().any(|text| text.to_lowercase().contains(word)))
    }
}
