//! Which blueprints a project has.

use std::cmp::Ordering;

use futures_util::{StreamExt, TryStreamExt, stream};
use layers::media_type::Descriptor;
use serde::Deserialize;

use super::artifact::Annotations;
use super::{Form, HubError, form};
use crate::cache::{LIST_TAG, TAG_PREFIX};
use crate::registry::{Client, Reference, RegistryError};
use crate::resolve::Resolver;

/// Repositories asked about at once.
const PARALLEL: usize = 8;
/// What all tags of a project may have together, in bytes; those of one repository have a limit of their own.
const TAGS: usize = 16 << 20;
/// Tags that clients keep for themselves: lists of referrers, signatures.
const REFERRERS: &str = "sha256-";

/// One blueprint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// What to call it, as the project was called.
    pub name: String,
    /// The repository, with its registry.
    pub repository: String,
    /// Its tags, newest version first.
    pub tags: Vec<String>,
    /// What the newest says of itself.
    pub description: Option<String>,
}

/// What tells blueprints from images.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Head {
    artifact_type: Option<String>,
    config: Option<Descriptor>,
    annotations: Annotations,
    manifests: Vec<Descriptor>,
}

/// The blueprints of `project`, which its user calls `name`: a repository, or the first part of the names of several.
pub fn list(resolver: &Resolver<'_>, project: &Reference, name: &str) -> Result<Vec<Listed>, HubError> {
    let own = resolver.client(project)?;
    let catalog = resolver.runtime().block_on(own.catalog())?;
    let listed = catalog.is_some();
    // Many registries do not say what they have; then the project may be a repository itself.
    let all = catalog.unwrap_or_else(|| vec![project.repository.clone()]);
    let mut clients = Vec::new();
    for repository in all {
        let Some(rest) = repository.strip_prefix(&project.repository) else { continue };
        let whole = format!("{}/{repository}", project.registry);
        // A catalog may hold what is no name.
        if let (true, Ok(reference)) = (rest.is_empty() || rest.starts_with('/'), whole.parse::<Reference>()) {
            clients.push((format!("{name}{rest}"), resolver.client(&reference)?));
        }
    }
    let asked = stream::iter(clients).map(|(name, client)| look(name, client)).buffered(PARALLEL);
    let mut bytes = 0_usize;
    let bounded = asked.map(|found| {
        let found = found?;
        let tags = found.iter().flat_map(|listed| &listed.tags);
        bytes = tags.fold(bytes, |sum, tag| sum.saturating_add(tag.len()));
        if bytes > TAGS {
            let message = format!("its blueprints have more than {TAGS} bytes of tags");
            return Err(RegistryError::Invalid { reference: name.to_owned(), message });
        }
        Ok(found)
    });
    let found: Vec<_> = resolver.runtime().block_on(bounded.try_collect())?;
    if !listed && found.iter().all(Option::is_none) {
        let (registry, name) = (project.registry.clone(), project.repository.clone());
        return Err(HubError::NotListed { registry, name });
    }
    let mut found: Vec<Listed> = found.into_iter().flatten().collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// What there is to say of one repository; `None` if it has no blueprint.
async fn look(name: String, client: Client) -> Result<Option<Listed>, RegistryError> {
    let tags = tags(&client).await?;
    let Some(newest) = tags.first() else { return Ok(None) };
    let Some(bytes) = client.any_manifest(newest).await? else { return Ok(None) };
    let mut head: Head = serde_json::from_slice(&bytes).unwrap_or_default();
    // Who copies an index may write it anew, without what image-spec 1.0 does not know.
    if let (None, Some(first)) = (form_of(&head), head.manifests.first())
        && let Some(bytes) = client.any_manifest(&first.digest.to_string()).await?
    {
        head = serde_json::from_slice(&bytes).unwrap_or_default();
    }
    if form_of(&head).is_none() {
        return Ok(None);
    }
    let description = head.annotations.get("org.opencontainers.image.description");
    // It goes to a terminal, on one line.
    let description = description.map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "));
    let description = description.map(|text| text.chars().filter(|c| !layers::path::steers(*c)).collect());
    Ok(Some(Listed { name, repository: client.repository(), tags, description }))
}

/// Its tags, the newest first.
pub(super) async fn tags(client: &Client) -> Result<Vec<String>, RegistryError> {
    let mut tags = client.tags().await?;
    tags.retain(|tag| tag != LIST_TAG && !tag.starts_with(TAG_PREFIX) && !tag.starts_with(REFERRERS));
    tags.sort_by(|a, b| newest_first(a, b));
    Ok(tags)
}

fn form_of(head: &Head) -> Option<Form> {
    form::of(head.artifact_type.as_deref(), head.config.as_ref().map(|config| config.media_type.as_str()))
}

/// Versions by their numbers, downwards; behind them what is none, such as `latest`.
fn newest_first(a: &str, b: &str) -> Ordering {
    let is_version = |tag: &str| tag.trim_start_matches('v').starts_with(|c: char| c.is_ascii_digit());
    is_version(b).cmp(&is_version(a)).then_with(|| version(b).cmp(&version(a)))
}

/// Runs of digits with how many they are, and of other characters with zero.
type Parts<'t> = Vec<(usize, &'t str)>;

/// Its numbers, and what makes it less than a release.
fn version(tag: &str) -> (Parts<'_>, bool, Parts<'_>) {
    let tag = tag.trim_start_matches('v');
    let (core, before) = tag.split_once('-').unwrap_or((tag, ""));
    (natural(core), before.is_empty(), natural(before))
}

/// Digits as numbers, as long as they are, and what stands between them.
fn natural(text: &str) -> Parts<'_> {
    let same = |a: char, b: char| a.is_ascii_digit() == b.is_ascii_digit();
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c| !same(first, c)).unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        let part = if first.is_ascii_digit() { part.trim_start_matches('0') } else { part };
        parts.push((if first.is_ascii_digit() { part.len() } else { 0 }, part));
        rest = after;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_in_their_order() {
        let mut tags = vec!["latest", "1.2.0", "1.10.0-rc2", "1.10.0", "v2", "1.9", "edge", "1.010.1", "1.10.0-rc10"];
        tags.sort_by(|a, b| newest_first(a, b));
        assert_eq!(tags, ["v2", "1.010.1", "1.10.0", "1.10.0-rc10", "1.10.0-rc2", "1.9", "1.2.0", "latest", "edge"]);
    }
}
