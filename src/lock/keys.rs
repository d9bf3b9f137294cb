//! The keys of a lockfile and where they stand, to say which of them nothing uses.

use crate::op::Language;
use crate::yaml::{Key, Mapping, Node};

/// Keys by what they name.
#[derive(Debug, Default)]
pub struct Keys<'a> {
    /// Toolchain references, of all platforms.
    pub toolchains: Vec<&'a Key>,
    /// URLs.
    pub downloads: Vec<&'a Key>,
    /// URLs of git repositories, and revisions.
    pub git: Vec<(&'a str, &'a Key)>,
    /// References of bases.
    pub bases: Vec<&'a Key>,
    /// Platforms and tasks.
    pub apt: Vec<(&'a str, &'a Key)>,
    /// Languages, platforms and tasks.
    pub packages: Vec<(Language, &'a str, &'a Key)>,
}

impl<'a> Keys<'a> {
    /// Those of a lockfile's tree, as far as it makes sense.
    pub fn of(node: &'a Node) -> Self {
        let Ok(mapping) = node.mapping("alloy.lock.yml") else { return Self::default() };
        let hosts = entries(mapping, "hosts").filter_map(|(_, node)| node.mapping("hosts").ok());
        let toolchains = [mapping].into_iter().chain(hosts).flat_map(|host| entries(host, "toolchains"));
        let nested = |field: &'static str| {
            let inner = entries(mapping, field).filter_map(move |(key, node)| Some((key, node.mapping(field).ok()?)));
            let of = |(outer, inner): (&'a Key, &'a Mapping)| {
                inner.entries.iter().map(|(key, _)| (outer.text.as_str(), key)).collect::<Vec<_>>()
            };
            inner.flat_map(of).collect::<Vec<_>>()
        };
        let of_language =
            |language: Language| nested(language.name()).into_iter().map(move |(of, key)| (language, of, key));
        Self {
            toolchains: toolchains.map(|(key, _)| key).collect(),
            downloads: entries(mapping, "downloads").map(|(key, _)| key).collect(),
            bases: entries(mapping, "base").map(|(key, _)| key).collect(),
            git: nested("git"),
            apt: nested("apt"),
            packages: Language::ALL.into_iter().flat_map(of_language).collect(),
        }
    }
}

fn entries<'a>(mapping: &'a Mapping, field: &str) -> impl Iterator<Item = &'a (Key, Node)> {
    mapping.get(field).and_then(|node| node.mapping(field).ok()).into_iter().flat_map(|inner| &inner.entries)
}

/// True if the key of a lock pins `reference`: `@stable` and no version are the same, and upstream's own lockfiles
/// leave the version out of the key.
pub fn same(key: &str, reference: &str) -> bool {
    let bare = |text: &str| text.strip_suffix("@stable").unwrap_or(text).to_owned();
    bare(key) == bare(reference) || Some(key) == reference.split('@').next()
}
