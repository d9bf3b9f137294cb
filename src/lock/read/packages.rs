//! Packages of languages. What a lockfile says of them becomes names of files and words of command lines.

use super::{Reader, missing};
use crate::lock::pin::{PackagePin, PackagesPin};
use crate::op::{Language, file_of, without_logins};
use crate::yaml::{Diagnostic, Mapping, Node};

/// Of a name or version.
const LONGEST: usize = 214;
/// Of a path.
const DEEPEST: usize = 1024;

pub(super) fn python(reader: &mut Reader, fields: &Mapping, node: &Node) -> Option<PackagesPin> {
    packages(reader, fields, node, Language::Python)
}

pub(super) fn npm(reader: &mut Reader, fields: &Mapping, node: &Node) -> Option<PackagesPin> {
    packages(reader, fields, node, Language::Npm)
}

pub(super) fn rust(reader: &mut Reader, fields: &Mapping, node: &Node) -> Option<PackagesPin> {
    packages(reader, fields, node, Language::Rust)
}

fn packages(reader: &mut Reader, fields: &Mapping, node: &Node, language: Language) -> Option<PackagesPin> {
    let mut packages = Vec::new();
    for item in fields.get("packages").and_then(|node| reader.take(node.sequence("packages"))).unwrap_or_default() {
        packages.extend(reader.take(item.text("packages").map(str::to_owned)));
    }
    let network = fields.get("network").map_or(Ok(false), |node| node.boolean("network"));
    let network = reader.take(network)?;
    let Some(list) = fields.get("files") else {
        reader.take::<()>(Err(missing(node, "files")));
        return None;
    };
    let mut files = Vec::new();
    for (fields, node) in reader.list(list, "files") {
        files.extend(file(reader, fields, node, language));
    }
    Some(PackagesPin { packages, network, files })
}

fn file(reader: &mut Reader, fields: &Mapping, node: &Node, language: Language) -> Option<PackagePin> {
    let name = word(reader, fields, node, "name", |text| is_name(text, language));
    let version = word(reader, fields, node, "version", |text| plain(text) && text.len() <= LONGEST);
    let url = word(reader, fields, node, "url", |text| is_url(text, language)).map(|url| without_logins(&url));
    let (sha256, size) = (reader.digest(fields, node, "sha256"), reader.required_size(fields, node));
    let mut said = |field: &str, fits: fn(&str) -> bool| {
        fields.get(field).map_or(Some(None), |_| word(reader, fields, node, field, fits).map(Some))
    };
    let integrity = said("integrity", |text| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=- ".contains(&b)));
    let path = said("path", is_path);
    let build = fields.get("build").map_or(Ok(false), |node| node.boolean("build"));
    let build = reader.take(build);
    Some(PackagePin {
        name: name?,
        version: version?,
        url: url?,
        sha256: sha256?,
        integrity: integrity?,
        size: size?,
        path: path?,
        build: build?,
    })
}

fn word(
    reader: &mut Reader,
    fields: &Mapping,
    node: &Node,
    field: &str,
    fits: impl Fn(&str) -> bool,
) -> Option<String> {
    let text = reader.text(fields, node, field)?;
    if fits(&text) {
        return Some(text);
    }
    let span = fields.get(field).map_or(node.span, |node| node.span);
    reader.take(Err(Diagnostic::error("lock", span, format!("`{text}` is not the {field} of a package"))))
}

/// The characters of versions of all three (PEP 440, semver), and those of names.
fn plain(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-+!~".contains(c))
}

/// Scopes are npm's.
fn is_name(text: &str, language: Language) -> bool {
    let bare = match (language, text.strip_prefix('@').and_then(|text| text.split_once('/'))) {
        (Language::Npm, Some((scope, name))) if plain(scope) => name,
        _ => text,
    };
    plain(bare) && text.len() <= LONGEST
}

/// A path of names of packages: it leads nowhere else.
fn is_path(text: &str) -> bool {
    text.len() <= DEEPEST && text.split("/node_modules/").all(|name| is_name(name, Language::Npm))
}

/// The file of a Python package is called as the last part of its URL.
fn is_url(text: &str, language: Language) -> bool {
    let known = ["https://", "http://", "file:///"].iter().any(|scheme| text.starts_with(scheme));
    known && !text.contains(char::is_whitespace) && (language != Language::Python || plain(&file_of(text)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::Lock;
    use crate::yaml::{FileId, parse};

    #[test]
    fn nothing_leads_out_of_where_it_is_lent() {
        for bad in ["..", "../x", "a/../b", "", "/a", "a/node_modules/..", "a/node_modules/", "-x", "@s/..", "a//b"] {
            assert!(!is_path(bad), "{bad}");
        }
        assert!(is_path("a") && is_path("@s/a/node_modules/b/node_modules/@t/c"));
        assert!(!is_url("https://a.example/..%2Fx.whl", Language::Python) && !is_url("x.whl", Language::Npm));
        assert!(is_url("https://a.example/x-1%2Blocal.whl#x", Language::Python));
        assert!(!is_name("@s/a", Language::Python) && !is_name("--index-url", Language::Python));
    }

    #[test]
    fn every_wrong_field_is_told() {
        let text = "python:\n  linux/amd64:\n    'a.yml: b':\n      packages: [x]\n      files:\n      \
                    - {name: -x, version: a b, url: 'ftp://a/x', sha256: 1, path: .., build: maybe}\n";
        let problems = Lock::read(&parse(FileId(0), text).unwrap()).unwrap_err();
        assert_eq!(problems.len(), 7, "{problems:#?}");
        let text = format!(
            "python:\n  linux/amd64:\n    'a.yml: b':\n      packages: [x]\n      files:\n      \
             - {{name: x, version: '1', url: 'https://ann:pw@a.example/x-1.whl', sha256: {}, size: 3}}\n",
            "a".repeat(64)
        );
        let lock = Lock::read(&parse(FileId(0), &text).unwrap()).unwrap();
        assert_eq!(lock.packages.files().next().unwrap().url, "https://a.example/x-1.whl");
    }
}
