//! Packages of languages.

use super::{Reader, missing};
use crate::lock::pin::{PackagePin, PackagesPin};
use crate::lock::words::{is_name, is_path, is_url, is_version};
use crate::op::{Language, without_logins};
use crate::yaml::{Diagnostic, Mapping, Node};

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
    let version = word(reader, fields, node, "version", is_version);
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

#[cfg(test)]
mod tests {
    use crate::lock::Lock;
    use crate::yaml::{FileId, parse};

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
