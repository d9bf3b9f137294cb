//! From a lockfile's tree to its pins. Everything that is wrong is told at once.

use std::collections::BTreeMap;

use layers::digest::Digest;

use super::pin::{ArchivePin, BasePin, ClosurePin, DebPin, DownloadPin, PocketPin, ToolchainPin, ToolchainSource};
use super::{DEFAULT_HOST, Lock, Packages};
use crate::op::{LIGHTWEIGHT, Language, MOST_OF_A_TAG, is_commit, without_logins};
use crate::yaml::{Diagnostic, Key, MAX_PROBLEMS, Mapping, Node};

mod packages;

/// Bytes of a URL: every task that uses a pin has its own copy.
const MAX_URL: usize = 8192;
const HELP: &str = "`alloy.lock.yml` is generated: delete it and make it anew with `alloy lock`, or mend it";

type Result<T> = std::result::Result<T, Diagnostic>;

impl Lock {
    /// Reads the tree of a lockfile.
    pub fn read(node: &Node) -> std::result::Result<Self, Vec<Diagnostic>> {
        let mut reader = Reader { problems: Vec::new() };
        let lock = if node.is_null() { Self::default() } else { reader.lock(node).unwrap_or_default() };
        if reader.problems.is_empty() {
            return Ok(lock);
        }
        Err(reader.problems.into_iter().map(|error| error.help(HELP)).collect())
    }
}

/// `alloy.lock.yml` as it was read, once.
#[derive(Clone, Debug)]
pub struct Lockfile {
    /// Its tree, for whoever tells where something stands.
    pub node: Node,
    /// What it pins, or all that is wrong with it.
    pub read: std::result::Result<Lock, Vec<Diagnostic>>,
}

impl Lockfile {
    /// Reads the tree of a lockfile.
    pub fn new(node: Node) -> Self {
        Self { read: Lock::read(&node), node }
    }
}

/// A warning for each key of a download that has a password: an older alloy wrote who asked into the lockfile.
pub fn logins(node: &Node) -> Vec<Diagnostic> {
    let downloads = node.mapping("alloy.lock.yml").ok().and_then(|mapping| mapping.get("downloads"));
    let keys = downloads.and_then(|node| node.mapping("downloads").ok()).into_iter().flat_map(|inner| &inner.entries);
    let with_login = keys.filter(|(key, _)| without_logins(&key.text) != key.text);
    let warning = |(key, _): &(Key, Node)| {
        let message = "the lockfile holds the user and password of a URL, which an older alloy wrote there";
        Diagnostic::warning("lock", key.span, message)
            .help("`alloy lock` takes them out; where the file was shared, change the password")
    };
    with_login.map(warning).take(MAX_PROBLEMS).collect()
}

/// Collects what is wrong.
struct Reader {
    problems: Vec<Diagnostic>,
}

impl Reader {
    fn take<T>(&mut self, result: Result<T>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.problems.extend((self.problems.len() < MAX_PROBLEMS).then_some(error));
                None
            }
        }
    }

    fn lock(&mut self, node: &Node) -> Option<Lock> {
        let mapping = self.take(node.mapping("alloy.lock.yml"))?;
        let text = |reader: &mut Self, field: &str| {
            reader.take(mapping.get(field).map(|node| node.text(field).map(str::to_owned)).transpose()).flatten()
        };
        let host = text(self, "host").unwrap_or_else(|| DEFAULT_HOST.to_owned());
        let mut toolchains = BTreeMap::from([(host.clone(), self.entries(mapping, "toolchains", toolchain))]);
        let hosts: Vec<_> = self.mapping(mapping, "hosts").into_iter().flat_map(|hosts| &hosts.entries).collect();
        for (key, node) in hosts {
            let Some(inner) = self.take(node.mapping(&key.text)) else { continue };
            toolchains.insert(key.text.clone(), self.entries(inner, "toolchains", toolchain));
        }
        let apt = self.platforms(mapping, "apt", closure);
        let mut packages = Packages::default();
        for language in Language::ALL {
            let read = match language {
                Language::Python => packages::python,
                Language::Npm => packages::npm,
                Language::Rust => packages::rust,
            };
            for (platform, tasks) in self.platforms(mapping, language.name(), read) {
                tasks.into_iter().for_each(|(task, pin)| packages.insert(language, &platform, task, pin));
            }
        }
        Some(Lock {
            resolved_at: text(self, "resolved_at"),
            host,
            toolchains,
            base: self.entries(mapping, "base", base),
            // Older versions kept who asked.
            downloads: self
                .entries(mapping, "downloads", download)
                .into_iter()
                .map(|(url, pin)| (without_logins(&url), pin))
                .collect(),
            git: self
                .entries(mapping, "git", repository)
                .into_iter()
                .map(|(url, commits)| (without_logins(&url), commits))
                .collect(),
            tags: self
                .entries(mapping, "tags", tags)
                .into_iter()
                .map(|(url, tags)| (without_logins(&url), tags))
                .collect(),
            mirror: text(self, "mirror"),
            apt,
            packages,
        })
    }

    fn mapping<'a>(&mut self, mapping: &'a Mapping, field: &str) -> Option<&'a Mapping> {
        let node = mapping.get(field)?;
        self.take(node.mapping(field))
    }

    /// The entries of each platform of a field.
    fn platforms<T>(
        &mut self,
        mapping: &Mapping,
        field: &str,
        read: fn(&mut Self, &Mapping, &Node) -> Option<T>,
    ) -> BTreeMap<String, BTreeMap<String, T>> {
        let mut found = BTreeMap::new();
        let platforms: Vec<_> = self.mapping(mapping, field).into_iter().flat_map(|inner| &inner.entries).collect();
        for (key, node) in platforms {
            let Some(tasks) = self.take(node.mapping(&key.text)) else { continue };
            found.insert(key.text.clone(), self.each(tasks, read));
        }
        found
    }

    /// The entries of a field, each read by `read`.
    fn entries<T>(
        &mut self,
        mapping: &Mapping,
        field: &str,
        read: fn(&mut Self, &Mapping, &Node) -> Option<T>,
    ) -> BTreeMap<String, T> {
        self.mapping(mapping, field).map(|inner| self.each(inner, read)).unwrap_or_default()
    }

    fn each<T>(&mut self, mapping: &Mapping, read: fn(&mut Self, &Mapping, &Node) -> Option<T>) -> BTreeMap<String, T> {
        let mut found = BTreeMap::new();
        for (key, node) in &mapping.entries {
            let fields = self.take(node.mapping(&key.text));
            found.extend(fields.and_then(|fields| read(self, fields, node)).map(|pin| (key.text.clone(), pin)));
        }
        found
    }

    /// A field that has to be there.
    fn text(&mut self, fields: &Mapping, node: &Node, field: &str) -> Option<String> {
        let text = fields.get(field).ok_or_else(|| missing(node, field)).and_then(|node| {
            let text = node.text(field)?;
            if text.len() > MAX_URL {
                let message = format!("`{field}` is longer than {MAX_URL} bytes");
                return Err(Diagnostic::error("lock", node.span, message));
            }
            Ok(text.to_owned())
        });
        self.take(text)
    }

    /// A part of a package's file name (Debian policy 5.6: names, versions, architectures). It becomes the name of a file,
    /// and a word of apt's command line.
    fn package_word(&mut self, fields: &Mapping, node: &Node, field: &str) -> Option<String> {
        let text = self.text(fields, node, field)?;
        let known = text.chars().all(|c| c.is_ascii_alphanumeric() || "+-.:~".contains(c));
        if known && text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.len() <= 128 {
            return Some(text);
        }
        let what = if field == "package" { "name" } else { field };
        let span = fields.get(field).map_or(node.span, |node| node.span);
        let message = format!("`{text}` is not the {what} of a package");
        self.take(Err(Diagnostic::error("lock", span, message)))
    }

    fn optional(&mut self, fields: &Mapping, field: &str) -> Option<String> {
        fields.get(field).and_then(|node| self.take(node.text(field).map(str::to_owned)))
    }

    fn commit(&mut self, fields: &Mapping, field: &str) -> Option<String> {
        fields.get(field).and_then(|node| self.take(commit(field, node)))
    }

    fn digest(&mut self, fields: &Mapping, node: &Node, field: &'static str) -> Option<Digest> {
        let found = fields.get(field).ok_or_else(|| missing(node, field)).and_then(|node| {
            let text = node.text(field)?;
            Digest::from_hex(text.strip_prefix("sha256:").unwrap_or(text)).map_err(|_| {
                let message = format!("`{field}` must be 64 hexadecimal digits");
                Diagnostic::error(field, node.span, message).label(format!("{} characters", text.chars().count()))
            })
        });
        self.take(found)
    }

    fn size(&mut self, fields: &Mapping) -> Option<u64> {
        let node = fields.get("size")?;
        let error = || Diagnostic::error("lock", node.span, "`size` must be a number of bytes");
        let size = node.text("size").and_then(|text| text.parse().map_err(|_| error()));
        self.take(size)
    }

    fn required_size(&mut self, fields: &Mapping, node: &Node) -> Option<u64> {
        if fields.get("size").is_none() {
            self.take::<()>(Err(missing(node, "size")));
        }
        self.size(fields)
    }

    /// The elements of a list, each a mapping.
    fn list<'a>(&mut self, node: &'a Node, what: &str) -> Vec<(&'a Mapping, &'a Node)> {
        let items = self.take(node.sequence(what)).unwrap_or_default();
        items.iter().filter_map(|item| Some((self.take(item.mapping(what))?, item))).collect()
    }
}

fn toolchain(reader: &mut Reader, fields: &Mapping, node: &Node) -> Option<ToolchainPin> {
    let (method, version) = (reader.optional(fields, "method"), reader.optional(fields, "version"));
    let source = match method.as_deref() {
        Some("pip") => {
            let package = reader.text(fields, node, "package");
            reader.text(fields, node, "version")?;
            ToolchainSource::Package { package: package? }
        }
        Some("git" | "west") => {
            let (url, commit) = (reader.text(fields, node, "url"), reader.commit(fields, "commit"));
            reader.text(fields, node, "version")?;
            ToolchainSource::Repository { url: url?, commit }
        }
        _ => {
            let (url, sha256) = (reader.text(fields, node, "url"), reader.digest(fields, node, "sha256"));
            ToolchainSource::Archive { url: url?, sha256: sha256? }
        }
    };
    Some(ToolchainPin { source, method, version })
}

fn download(reader: &mut Reader, fields: &Mapping, node: &Node) -> Option<DownloadPin> {
    let (sha256, size) = (reader.digest(fields, node, "sha256"), reader.size(fields));
    Some(DownloadPin { sha256: sha256?, size })
}

fn commit(name: &str, node: &Node) -> Result<String> {
    let text = node.text(name)?;
    if is_commit(text) {
        return Ok(text.to_ascii_lowercase());
    }
    let message = format!("`{text}` is not a commit");
    Err(Diagnostic::error("lock", node.span, message).label("not 40 hexadecimal digits"))
}

/// The commits of a repository's revisions.
fn repository(reader: &mut Reader, fields: &Mapping, _: &Node) -> Option<BTreeMap<String, String>> {
    let mut commits = BTreeMap::new();
    for (key, node) in &fields.entries {
        commits.extend(reader.take(commit(&key.text, node)).map(|commit| (key.text.clone(), commit)));
    }
    Some(commits)
}

/// The tags of a repository. Each becomes an object of it.
fn tags(reader: &mut Reader, fields: &Mapping, _: &Node) -> Option<BTreeMap<String, String>> {
    let one = |name: &str, node: &Node| {
        let text = node.text(name)?;
        let object = text.strip_prefix("object ").and_then(|rest| rest.split_once("\ntype commit\ntag "));
        if text == LIGHTWEIGHT || text.len() <= MOST_OF_A_TAG && object.is_some_and(|(commit, _)| is_commit(commit)) {
            return Ok(text.to_owned());
        }
        Err(Diagnostic::error("lock", node.span, format!("this is not what the tag `{name}` can be")))
    };
    let mut tags = BTreeMap::new();
    for (key, node) in &fields.entries {
        tags.extend(reader.take(one(&key.text, node)).map(|tag| (key.text.clone(), tag)));
    }
    Some(tags)
}

fn base(reader: &mut Reader, fields: &Mapping, node: &Node) -> Option<BasePin> {
    if fields.get("digest").is_some() {
        return reader.digest(fields, node, "digest").map(BasePin::Image);
    }
    if fields.entries.is_empty() {
        reader.take::<()>(Err(missing(node, "digest")));
    }
    Some(BasePin::Archive(reader.each(fields, archive)))
}

fn archive(reader: &mut Reader, fields: &Mapping, node: &Node) -> Option<ArchivePin> {
    let distribution = reader.text(fields, node, "distribution");
    let components = reader.text(fields, node, "components");
    let Some(list) = fields.get("pockets") else {
        reader.take::<()>(Err(missing(node, "pockets")));
        return None;
    };
    let mut pockets = Vec::new();
    for (fields, node) in reader.list(list, "pockets") {
        let [uri, suite, date, index] = ["uri", "suite", "date", "index"].map(|field| reader.text(fields, node, field));
        let (sha256, size) = (reader.digest(fields, node, "sha256"), reader.required_size(fields, node));
        let pocket =
            || Some(PocketPin { uri: uri?, suite: suite?, date: date?, index: index?, sha256: sha256?, size: size? });
        pockets.extend(pocket());
    }
    Some(ArchivePin { distribution: distribution?, components: components?, pockets })
}

fn closure(reader: &mut Reader, fields: &Mapping, node: &Node) -> Option<ClosurePin> {
    let mut packages = Vec::new();
    for item in fields.get("packages").and_then(|node| reader.take(node.sequence("packages"))).unwrap_or_default() {
        packages.extend(reader.take(item.text("packages").map(str::to_owned)));
    }
    let recommends = fields.get("recommends").map_or(Ok(false), |node| node.boolean("recommends"));
    let recommends = reader.take(recommends)?;
    let suite = reader.optional(fields, "suite");
    let Some(list) = fields.get("closure") else {
        reader.take::<()>(Err(missing(node, "closure")));
        return None;
    };
    let mut debs = Vec::new();
    for (fields, node) in reader.list(list, "closure") {
        let [package, version, arch] =
            ["package", "version", "arch"].map(|field| reader.package_word(fields, node, field));
        let [archive, filename] = ["archive", "filename"].map(|field| reader.text(fields, node, field));
        let (sha256, size) = (reader.digest(fields, node, "sha256"), reader.required_size(fields, node));
        let deb = || {
            let (package, version, arch) = (package?, version?, arch?);
            Some(DebPin {
                package,
                version,
                arch,
                archive: archive?,
                filename: filename?,
                sha256: sha256?,
                size: size?,
            })
        };
        debs.extend(deb());
    }
    Some(ClosurePin { packages, recommends, suite, debs })
}

fn missing(node: &Node, field: &str) -> Diagnostic {
    Diagnostic::error("lock", node.span, format!("this entry of the lockfile has no `{field}`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::{FileId, parse};

    #[test]
    fn everything_wrong_is_told_at_once() {
        let text = "host: [x]\n\
                    toolchains:\n  a.b.c: {url: https://a.example/x, sha256: abc}\n  a.b.d: {sha256: abc}\n\
                    downloads:\n  https://a.example/y: {size: many}\n\
                    git:\n  https://a.example/z.git: {v1: v2}\n\
                    base:\n  deb:bookworm: {linux/amd64: {pockets: [{uri: x}]}}\n  debian:12: {digest: sha256:12}\n\
                    apt:\n  linux/amd64:\n    'a.yml: b': {closure: [{package: x}, y]}\n    c: {}\n";
        let problems = Lock::read(&parse(FileId(0), text).unwrap()).unwrap_err();
        let lines: Vec<usize> = problems.iter().map(|problem| problem.span.line).collect();
        let of = |line| lines.iter().filter(|other| **other == line).count();
        assert_eq!(
            (1..=15).map(of).collect::<Vec<_>>(),
            [1, 0, 1, 2, 0, 2, 0, 1, 0, 7, 1, 0, 0, 7, 1],
            "{problems:#?}"
        );
    }
}
