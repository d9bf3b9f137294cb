//! The keys of a lockfile and where they stand, to say which of them nothing uses.

use super::ToolchainPin;
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

/// True if the key of a lock may be that of `reference`: `@stable` and no version are the same, and upstream's own
/// lockfiles leave the version out of the key. Whether what stands there is what is asked for, [`pins`] says.
pub fn same(key: &str, reference: &str) -> bool {
    let bare = |text: &str| text.strip_suffix("@stable").unwrap_or(text).to_owned();
    bare(key) == bare(reference) || Some(key) == reference.split('@').next()
}

/// True if a key of a lock, with what stands there, pins `reference`. A key without a version is no pin of another version
/// than the one that stands there.
pub fn pins(key: &str, pin: &ToolchainPin, reference: &str) -> bool {
    let bare = Some(key) == reference.split('@').next();
    same(key, reference) && (!bare || reference.split_once('@').is_none_or(|(_, version)| fits(pin, version)))
}

/// True unless the version that is asked for is known to be another one than the pin's.
fn fits(pin: &ToolchainPin, version: &str) -> bool {
    let plain = |text: &str| text.trim().trim_start_matches(['v', 'V']).to_ascii_lowercase();
    let asked = plain(version);
    if !asked.starts_with(|c: char| c.is_ascii_digit()) {
        // An alias may stand for any version.
        return true;
    }
    match &pin.version {
        Some(pinned) => plain(pinned) == asked,
        None => pin.url().is_none_or(|url| told_by(url, &asked)),
    }
}

/// True unless a URL tells versions, and `version` is none of them.
fn told_by(url: &str, version: &str) -> bool {
    let path = url.split_once("://").map_or(url, |(_, rest)| rest).split_once('/').map_or("", |(_, path)| path);
    let path = path.to_ascii_lowercase();
    let digit = |at: Option<&u8>| at.is_some_and(u8::is_ascii_digit);
    let tells = path.as_bytes().windows(3).any(|three| three[1] == b'.' && digit(three.first()) && digit(three.last()));
    let stands = |(at, _): (usize, &str)| {
        let (before, after) = (&path[..at], &path[at + version.len()..]);
        let more = after.strip_prefix('.').unwrap_or(after).starts_with(|c: char| c.is_ascii_digit());
        !more && !before.ends_with(|c: char| c.is_ascii_digit() || c == '.')
    };
    !tells || path.match_indices(version).any(stands)
}

#[cfg(test)]
mod tests {
    use layers::digest::Digest;

    use super::*;
    use crate::lock::ToolchainSource;

    fn pin(url: &str, version: Option<&str>) -> ToolchainPin {
        let source = ToolchainSource::Archive { url: url.to_owned(), sha256: Digest::of("x") };
        ToolchainPin { source, method: None, version: version.map(str::to_owned) }
    }

    #[test]
    fn a_key_without_a_version_pins_the_version_that_stands_there() {
        let old = pin("https://a.example/gcc-13.2.tar", Some("v13.2"));
        for (reference, expected) in [
            ("t.x.gcc", true),
            ("t.x.gcc@stable", true),
            ("t.x.gcc@lts", true),
            ("t.x.gcc@13.2", true),
            ("t.x.gcc@v13.2", true),
            ("t.x.gcc@14.2", false),
            ("t.x.gcc@13", false),
            ("t.x.gcc2", false),
        ] {
            assert_eq!(pins("t.x.gcc", &old, reference), expected, "{reference}");
        }
        // A whole key is what somebody was asked for: catalogs and indexes may call one version differently.
        assert!(pins("t.x.gcc@14.2", &old, "t.x.gcc@14.2"));
    }

    #[test]
    fn without_a_version_its_url_may_tell_one() {
        let fits = |url: &str, version: &str| pins("t.x.gcc", &pin(url, None), &format!("t.x.gcc@{version}"));
        assert!(fits("https://10.0.0.1/gcc.tar.xz", "14.2"));
        assert!(fits("https://a.example/14.2.rel1/gcc-14.2.rel1-x86_64.tar.xz", "14.2.rel1"));
        assert!(!fits("https://a.example/13.3.rel1/gcc-13.3.rel1-x86_64.tar.xz", "14.2.rel1"));
        assert!(!fits("https://a.example/gcc-14.2.1.tar.xz", "14.2"));
        assert!(fits("https://a.example/gcc-14.2.tar.xz", "14.2"));
    }
}
