//! From a reference to the bytes it stands for.

use std::path::Path;

use super::{Artifact, Catalog, CatalogError, Id, KINDS, Method, Provider, Reference};
use crate::yaml::{FileId, Span, nearest};

/// What a reference stands for on a platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The tool.
    pub id: Id,
    /// Its version, aliases resolved.
    pub version: String,
    /// Who provides it.
    pub provider: String,
    /// How it is installed.
    pub method: Method,
    /// Where the bytes are.
    pub artifact: Artifact,
    /// How far the version can be relied on, such as `stable` or `deprecated`.
    pub status: Option<String>,
    /// The version to use in place of it.
    pub replaced_by: Option<String>,
}

impl Catalog {
    /// What `reference` (`<kind>.<vendor>.<tool>[@version]`) stands for on `platform` (`os/arch`). An archive comes
    /// before what other methods have: a digest pins all of it.
    pub fn resolve(&self, reference: &str, platform: &str) -> Result<Resolved, CatalogError> {
        let reference = Reference::parse(reference, Span::start_of(FileId(0)))
            .map_err(|error| CatalogError::Reference(Box::new(error)))?;
        let id = reference.id.clone();
        let index = self.index(&id)?;
        let listed = index.get(reference.version())?;
        let version = self.version(&id, listed)?;
        let of = |provider: &Provider| Some((provider.method, provider.on(platform)?.clone()));
        let found = version.providers.iter().filter_map(|provider| Some((provider, of(provider)?)));
        let Some((provider, (method, artifact))) = found.min_by_key(|(_, (method, _))| *method != Method::Archive)
        else {
            let platforms = version.providers.iter().flat_map(|provider| provider.host_platforms.keys().cloned());
            let mut known: Vec<String> = platforms.collect();
            known.sort();
            known.dedup();
            return Err(CatalogError::Platform { id, version: version.version, platform: platform.to_owned(), known });
        };
        Ok(Resolved {
            provider: provider.id.clone(),
            method,
            artifact,
            status: listed.status.clone().or(version.lifecycle.status),
            replaced_by: listed.replaced_by.clone(),
            version: version.version,
            id,
        })
    }

    /// The tool that was meant by a wrong id: the same tool elsewhere, or one of nearly that name.
    pub(super) fn near(&self, id: &Id) -> Option<String> {
        let all = self.ids();
        if let Some(same) = all.iter().find(|other| other.tool == id.tool) {
            return Some(same.to_string());
        }
        let names: Vec<String> = all.iter().map(ToString::to_string).collect();
        // Only so many names are looked at in one go.
        let wrong = id.to_string();
        let best = names.chunks(200).filter_map(|some| nearest(&wrong, some.iter().map(String::as_str)));
        let best: Vec<&str> = best.collect();
        nearest(&wrong, best).map(str::to_owned)
    }

    /// All tools that have a directory, sorted.
    pub(super) fn ids(&self) -> Vec<Id> {
        let mut ids = Vec::new();
        for kind in KINDS {
            let place = self.directory.join(format!("{kind}s"));
            for vendor in names(&place) {
                let tools = names(&place.join(&vendor)).into_iter();
                ids.extend(tools.map(|tool| Id { kind: kind.to_owned(), vendor: vendor.clone(), tool }));
            }
        }
        ids.sort();
        ids
    }
}

/// Names of the directories in a directory, but for hidden ones.
fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let directories = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    directories.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| !name.starts_with('.')).collect()
}

impl Resolved {
    /// Where it is, if it is not a package.
    pub fn url(&self) -> Option<&str> {
        match &self.artifact {
            Artifact::Download { url, .. } | Artifact::Repository { url, .. } => Some(url),
            Artifact::Package { .. } => None,
        }
    }

    /// What it is, if it is a download.
    pub fn sha256(&self) -> Option<layers::digest::Digest> {
        match &self.artifact {
            Artifact::Download { sha256, .. } => Some(*sha256),
            _ => None,
        }
    }

    /// What its index or repository calls the version, where that is not the catalog.
    pub fn pinned_version(&self) -> &str {
        match &self.artifact {
            Artifact::Download { .. } => &self.version,
            Artifact::Package { version, .. } | Artifact::Repository { version, .. } => version,
        }
    }

    /// Its name at the package index, if it is a package.
    pub fn package(&self) -> Option<&str> {
        match &self.artifact {
            Artifact::Package { package, .. } => Some(package),
            _ => None,
        }
    }
}
