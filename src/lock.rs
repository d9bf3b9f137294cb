//! `alloy.lock.yml`: what names stand for, pinned.

use std::collections::BTreeMap;

use layers::digest::Digest;

use crate::op::Secrets;
use crate::yaml::{Diagnostic, Key, Mapping, Node};

/// The archive a toolchain reference was resolved to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolchainPin {
    /// Where it is.
    pub url: String,
    /// What it is.
    pub sha256: Digest,
    /// Its version, if the lock says it.
    pub version: Option<String>,
}

/// A lockfile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lock {
    /// Platform to reference to pin. The platform of the lock's `host` has the pins of its top level.
    toolchains: BTreeMap<String, BTreeMap<String, ToolchainPin>>,
    /// URL to digest, for tasks without `sha256`.
    downloads: BTreeMap<String, Digest>,
    /// URL to bytes, where the lock says them.
    pub sizes: BTreeMap<String, u64>,
}

/// Bytes of a URL: every task that uses a pin has its own copy.
const MAX_URL: usize = 8192;

type Result<T> = std::result::Result<T, Diagnostic>;

impl Lock {
    /// Reads the tree of a lockfile.
    pub fn read(node: &Node) -> Result<Self> {
        Self::of(node).map_err(|error| error.help("`alloy.lock.yml` is generated; make it anew"))
    }

    fn of(node: &Node) -> Result<Self> {
        let mut lock = Self::default();
        if node.is_null() {
            return Ok(lock);
        }
        let mapping = node.mapping("alloy.lock.yml")?;
        let host = mapping.get("host").map_or(Ok("linux/amd64"), |node| node.text("host"))?;
        lock.toolchains.insert(host.to_owned(), toolchains(mapping)?);
        if let Some(hosts) = mapping.get("hosts") {
            for (key, node) in &hosts.mapping("hosts")?.entries {
                lock.toolchains.insert(key.text.clone(), toolchains(node.mapping(&key.text)?)?);
            }
        }
        if let Some(downloads) = mapping.get("downloads") {
            for (key, node) in &downloads.mapping("downloads")?.entries {
                let fields = node.mapping(&key.text)?;
                lock.downloads.insert(key.text.clone(), digest(fields, node)?);
                if let Some(size) = fields.get("size") {
                    let text = size.text("size")?;
                    let error = || Diagnostic::error("lock", size.span, "`size` must be a number of bytes");
                    lock.sizes.insert(key.text.clone(), text.parse().map_err(|_| error())?);
                }
            }
        }
        Ok(lock)
    }

    /// The pin of a URL, which may hold markers of secrets: the lock has the templates that its author wrote.
    pub fn download(&self, url: &str) -> Option<Digest> {
        self.downloads.get(&Secrets::as_written(url)).copied()
    }

    /// The pin of a reference on a platform; `@stable` and no version are the same.
    pub fn toolchain(&self, platform: &str, reference: &str) -> Option<&ToolchainPin> {
        let pins = self.toolchains.get(platform)?;
        let exact = pins.get(reference);
        exact.or_else(|| pins.iter().find(|(key, _)| same(key, reference)).map(|(_, pin)| pin))
    }
}

/// True if the key of a lock pins `reference`: `@stable` and no version are the same, and upstream's own lockfiles
/// leave the version out of the key.
pub fn same(key: &str, reference: &str) -> bool {
    let bare = |text: &str| text.strip_suffix("@stable").unwrap_or(text).to_owned();
    bare(key) == bare(reference) || Some(key) == reference.split('@').next()
}

/// The keys of a lockfile's tree: toolchain references of all platforms, and URLs.
pub fn keys(node: &Node) -> (Vec<&Key>, Vec<&Key>) {
    fn of<'a>(mapping: &'a Mapping, field: &str) -> impl Iterator<Item = &'a Key> {
        let inner = mapping.get(field).and_then(|node| node.mapping(field).ok());
        inner.into_iter().flat_map(|inner| &inner.entries).map(|(key, _)| key)
    }
    let Ok(mapping) = node.mapping("alloy.lock.yml") else { return Default::default() };
    let hosts = mapping.get("hosts").and_then(|node| node.mapping("hosts").ok());
    let hosts = hosts.into_iter().flat_map(|hosts| &hosts.entries).filter_map(|(_, node)| node.mapping("hosts").ok());
    let toolchains = [mapping].into_iter().chain(hosts).flat_map(|host| of(host, "toolchains"));
    (toolchains.collect(), of(mapping, "downloads").collect())
}

fn toolchains(mapping: &Mapping) -> Result<BTreeMap<String, ToolchainPin>> {
    let Some(node) = mapping.get("toolchains") else { return Ok(BTreeMap::new()) };
    let entry = |(key, node): &(Key, Node)| {
        let fields = node.mapping(&key.text)?;
        let url = fields.get("url").ok_or_else(|| missing(node, "url"))?;
        let url = match url.text("url")? {
            text if text.len() > MAX_URL => {
                return Err(Diagnostic::error("lock", url.span, format!("`url` is longer than {MAX_URL} bytes")));
            }
            text => text.to_owned(),
        };
        let version = fields.get("version").map(|node| node.text("version").map(str::to_owned)).transpose()?;
        Ok((key.text.clone(), ToolchainPin { url, sha256: digest(fields, node)?, version }))
    };
    node.mapping("toolchains")?.entries.iter().map(entry).collect()
}

fn digest(fields: &Mapping, node: &Node) -> Result<Digest> {
    let node = fields.get("sha256").ok_or_else(|| missing(node, "sha256"))?;
    let text = node.text("sha256")?;
    Digest::from_hex(text.strip_prefix("sha256:").unwrap_or(text)).map_err(|_| {
        Diagnostic::error("sha256", node.span, "`sha256` must be 64 hexadecimal digits")
            .label(format!("{} characters", text.chars().count()))
    })
}

fn missing(node: &Node, field: &str) -> Diagnostic {
    Diagnostic::error("lock", node.span, format!("this entry of the lockfile has no `{field}`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::{FileId, parse};

    #[test]
    fn both_spellings_of_a_key() {
        let digits = "a".repeat(64);
        for key in ["toolchain.arm-gnu.arm-none-eabi@stable", "toolchain.arm-gnu.arm-none-eabi"] {
            let text = format!(
                "host: linux/amd64\ntoolchains:\n  {key}: {{url: https://a.example/x, sha256: {digits}}}\n\
                 downloads:\n  https://a.example/y: {{sha256: {digits}, size: 1}}\n"
            );
            let lock = Lock::read(&parse(FileId(0), &text).unwrap()).unwrap();
            for asked in ["toolchain.arm-gnu.arm-none-eabi", "toolchain.arm-gnu.arm-none-eabi@stable"] {
                assert_eq!(lock.toolchain("linux/amd64", asked).unwrap().url, "https://a.example/x");
            }
            assert!(lock.toolchain("linux/arm64", key).is_none());
            assert_eq!(lock.download("https://a.example/y").unwrap().hex(), digits);
        }
    }

    #[test]
    fn a_secret_in_a_url_is_pinned_as_it_is_written() {
        let digits = "a".repeat(64);
        let text = format!("downloads:\n  'https://a.example/x?t={{{{.Vars.A_TOKEN}}}}': {{sha256: {digits}}}\n");
        let node = parse(FileId(0), &text).unwrap();
        let url = format!("https://a.example/x?t={}", crate::op::marker("A_TOKEN"));
        assert_eq!(Lock::read(&node).unwrap().download(&url).unwrap().hex(), digits);
        assert_eq!(keys(&node).1.len(), 1);
    }
}
