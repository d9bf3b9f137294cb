//! `index.yaml`: which versions of a tool there are, and which names they have beside their numbers.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Id;
use super::fields::{filled, id, required, spec_version, take, text, version};
use crate::yaml::{Diagnostic, Node, Span, entry_of};

/// A version of an index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// The version.
    pub version: String,
    /// Its file, beside the index.
    pub file: String,
    /// How far it can be relied on.
    pub status: Option<String>,
    /// The version to use in place of it.
    pub replaced_by: Option<String>,
    /// Where it is listed.
    #[serde(skip)]
    pub span: Span,
}

/// An index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// Which tool.
    pub id: Id,
    /// Alias to version.
    pub aliases: BTreeMap<String, String>,
    /// All versions, in the author's order.
    pub versions: Vec<Listed>,
}

impl Index {
    /// Reads the tree of the index of `expected`, as far as it can be read.
    pub(super) fn read(node: &Node, expected: &Id, errors: &mut Vec<Diagnostic>) -> Option<Self> {
        let fields = take(node.mapping(super::INDEX_FILE), errors)?;
        take(spec_version(fields, node), errors)?;
        let id = take(id(fields, node, Some(expected)), errors)?;
        if let Some(kind) = fields.get("type")
            && kind.text("type").is_ok_and(|text| text != "index")
        {
            errors.push(Diagnostic::error("type", kind.span, "`type` of an index must be `index`"));
        }
        let listed = take(required(fields, "versions", node).and_then(|node| node.sequence("versions")), errors)?;
        let versions: Vec<Listed> = listed.iter().filter_map(|node| take(Listed::read(node), errors)).collect();
        let mut index = Self { id, aliases: BTreeMap::new(), versions };
        let aliases = fields.get("aliases").and_then(|node| take(node.mapping("aliases"), errors));
        for (key, node) in aliases.iter().flat_map(|aliases| &aliases.entries) {
            let Some(target) = take(version(node, &key.text), errors) else { continue };
            if index.listed(&target).is_none() {
                let error = Diagnostic::error("alias", node.span, format!("`versions` has no `{target}`"));
                let known = index.versions.iter().map(|one| one.version.as_str());
                errors.push(error.label("not listed").suggest(&target, known));
                continue;
            }
            index.aliases.insert(key.text.clone(), target);
        }
        Some(index)
    }

    /// The version itself, or the one that an alias stands for.
    pub fn find(&self, asked: &str) -> Option<&Listed> {
        self.listed(asked).or_else(|| self.listed(self.aliases.get(asked)?))
    }

    fn listed(&self, version: &str) -> Option<&Listed> {
        self.versions.iter().find(|one| one.version == version)
    }

    /// Aliases of a version.
    pub fn aliases_of<'a>(&'a self, version: &'a str) -> impl Iterator<Item = &'a str> {
        self.aliases.iter().filter(move |(_, target)| *target == version).map(|(alias, _)| alias.as_str())
    }

    /// The version that says most about the tool: what a bare reference means, else the newest, else the first.
    pub fn representative(&self) -> Option<&Listed> {
        self.find(super::DEFAULT_ALIAS).or_else(|| self.find("latest")).or(self.versions.first())
    }
}

impl Listed {
    fn read(node: &Node) -> Result<Self, Diagnostic> {
        let fields = node.mapping(&entry_of("versions"))?;
        let version = version(required(fields, "version", node)?, "version")?;
        let file = filled(fields, "file", node)?;
        if file.contains('/') || file.starts_with('.') || !(file.ends_with(".yaml") || file.ends_with(".yml")) {
            let span = fields.get("file").map_or(node.span, |node| node.span);
            let error = Diagnostic::error("file", span, format!("`{file}` cannot be the file of a version"));
            return Err(error.help(format!("name a YAML file beside the index, such as `{version}.yaml`")));
        }
        let mut errors = Vec::new();
        let (status, replaced_by) = (text(fields, "status", &mut errors), text(fields, "replaced_by", &mut errors));
        match errors.pop() {
            Some(error) => Err(error),
            None => Ok(Self { version, file, status, replaced_by, span: node.span }),
        }
    }
}
