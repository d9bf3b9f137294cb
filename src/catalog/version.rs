//! `<version>.yaml`: where one version of a tool comes from, and what to know about it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::fields::{filled, id, required, spec_version, take, text, version};
use super::{Artifact, Id, Method};
use crate::yaml::{Diagnostic, Mapping, Node, Value, entry_of};

/// One version of a tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the fields are those of the format")]
pub struct Version {
    pub id: Id,
    pub version: String,
    pub name: Option<String>,
    pub homepage: Option<String>,
    pub license: Option<String>,
    pub capabilities: Vec<String>,
    pub providers: Vec<Provider>,
    pub install_hints: Hints,
    pub lifecycle: Lifecycle,
}

/// One source of a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Provider {
    /// Its name.
    pub id: String,
    /// How it installs.
    pub method: Method,
    /// What it has, by `os/arch`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub host_platforms: BTreeMap<String, Artifact>,
    /// What it has for every other platform: packages and repositories are often the same everywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub any_platform: Option<Artifact>,
}

/// For whoever writes the task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Hints {
    /// A path that exists when it is installed.
    pub creates: Option<String>,
    /// Variables that it wants.
    pub env_vars: BTreeMap<String, String>,
    /// What must be installed before.
    pub requires_tool: Vec<String>,
    /// Packages that a build needs.
    pub build_deps: Vec<String>,
    /// What else to know.
    pub note: Option<String>,
}

/// Where a version stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Lifecycle {
    /// How far it can be relied on.
    pub status: Option<String>,
    /// A date.
    pub released_at: Option<String>,
}

impl Version {
    /// Reads the tree of a version's file. Anything wrong makes it unusable: it is what gets installed.
    pub fn read(node: &Node, expected: Option<&Id>, errors: &mut Vec<Diagnostic>) -> Option<Self> {
        let before = errors.len();
        let fields = take(node.mapping("the file of a version"), errors)?;
        take(spec_version(fields, node), errors)?;
        let id = take(id(fields, node, expected), errors);
        let number = take(required(fields, "version", node).and_then(|node| version(node, "version")), errors);
        let name = text(fields, "name", errors);
        let (homepage, license) = (text(fields, "homepage", errors), text(fields, "license", errors));
        let capabilities = texts(fields, "capabilities", errors);
        let items = take(required(fields, "providers", node).and_then(|node| node.sequence("providers")), errors);
        if items.is_some_and(<[Node]>::is_empty) {
            let span = fields.get("providers").map_or(node.span, |node| node.span);
            errors.push(Diagnostic::error("empty", span, "`providers` is empty").help("name at least one"));
        }
        let items = items.unwrap_or_default();
        let providers = items.iter().filter_map(|node| Provider::read(node, errors)).collect();
        let part = |field: &str, errors: &mut Vec<Diagnostic>| {
            fields.get(field).and_then(|node| take(node.mapping(field), errors)).cloned().unwrap_or_default()
        };
        let install_hints = Hints::read(&part("install_hints", errors), errors);
        let lifecycle = part("lifecycle", errors);
        let lifecycle = Lifecycle {
            status: text(&lifecycle, "status", errors),
            released_at: text(&lifecycle, "released_at", errors),
        };
        let (Some(id), Some(version), true) = (id, number, errors.len() == before) else { return None };
        Some(Self { id, version, name, homepage, license, capabilities, providers, install_hints, lifecycle })
    }
}

impl Provider {
    fn read(node: &Node, errors: &mut Vec<Diagnostic>) -> Option<Self> {
        let fields = take(node.mapping(&entry_of("providers")), errors)?;
        let id = take(filled(fields, "id", node), errors);
        let method = take(required(fields, "method", node).and_then(Method::read), errors)?;
        if fields.get("host_platforms").is_none() && !method.is_download() {
            let any_platform = Some(take(Artifact::read(method, fields, node), errors)?);
            return Some(Self { id: id?, method, host_platforms: BTreeMap::new(), any_platform });
        }
        let platforms = required(fields, "host_platforms", node).and_then(|node| node.mapping("host_platforms"));
        let mut host_platforms = BTreeMap::new();
        for (key, node) in &take(platforms, errors)?.entries {
            if !is_platform(&key.text) {
                let error = Diagnostic::error("platform", key.span, format!("`{}` is not a platform", key.text));
                errors.push(error.help("write `os/arch`, such as `linux/amd64`"));
                continue;
            }
            let artifact = node.mapping(&key.text).and_then(|fields| Artifact::read(method, fields, node));
            if let Some(artifact) = take(artifact, errors) {
                host_platforms.insert(key.text.clone(), artifact);
            }
        }
        Some(Self { id: id?, method, host_platforms, any_platform: None })
    }

    /// What it has for a platform.
    pub fn on(&self, platform: &str) -> Option<&Artifact> {
        self.host_platforms.get(platform).or(self.any_platform.as_ref())
    }
}

impl Hints {
    fn read(fields: &Mapping, errors: &mut Vec<Diagnostic>) -> Self {
        let variables = fields.get("env_vars").and_then(|node| take(variables(node), errors));
        Self {
            creates: text(fields, "creates", errors),
            env_vars: variables.unwrap_or_default(),
            requires_tool: texts(fields, "requires_tool", errors),
            build_deps: texts(fields, "build_deps", errors),
            note: text(fields, "note", errors).map(|note| note.trim_end().to_owned()),
        }
    }
}

/// A map, or a list of names alone.
fn variables(node: &Node) -> Result<BTreeMap<String, String>, Diagnostic> {
    if let Value::Sequence(items) = &node.value {
        return items.iter().map(|item| Ok((item.text(&entry_of("env_vars"))?.to_owned(), String::new()))).collect();
    }
    let value = |node: &Node| if node.is_null() { Ok(String::new()) } else { node.text("env_vars").map(str::to_owned) };
    node.mapping("env_vars")?.entries.iter().map(|(key, node)| Ok((key.text.clone(), value(node)?))).collect()
}

/// A list of texts, or one text.
fn texts(fields: &Mapping, field: &str, errors: &mut Vec<Diagnostic>) -> Vec<String> {
    let Some(node) = fields.get(field) else { return Vec::new() };
    if let Value::Scalar { text, .. } = &node.value {
        return vec![text.clone()];
    }
    let items = take(node.sequence(field), errors).unwrap_or_default();
    items.iter().filter_map(|item| take(item.text(&entry_of(field)), errors)).map(str::to_owned).collect()
}

fn is_platform(text: &str) -> bool {
    let word = |word: &str| {
        !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    (2..=3).contains(&text.split('/').count()) && text.split('/').all(word)
}
