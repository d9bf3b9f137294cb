//! What is in an image, as SPDX 2.3 in JSON.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};
use url::Url;

use super::provenance::repository_name;
use super::purl::purl;
use super::statement::{Dependency, Statement};
use crate::json;
use crate::target::inventory::{
    CargoPackage, DebianPackage, Distribution, GitRepository, Inventory, NpmPackage, PythonPackage,
};

mod debs;
mod pinned;

const NOTHING_SAID: &str = "NOASSERTION";
const DOCUMENT: &str = "SPDXRef-DOCUMENT";
const IMAGE: &str = "SPDXRef-image";

/// The SBOM of the image that `provenance` is about and `inventory` was found in.
pub fn sbom(provenance: &Statement, inventory: &Inventory) -> Vec<u8> {
    let definition = &provenance.predicate.build_definition;
    let blueprint = &definition.external_parameters.blueprint;
    let seconds = i64::try_from(definition.internal_parameters.source_date_epoch).unwrap_or(i64::MAX);
    let created = Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH).to_string();
    let manifest = provenance.manifest();
    let mut document = Document::default();
    let mut image = package(IMAGE, &blueprint.name, &blueprint.version);
    image["primaryPackagePurpose"] = json!("CONTAINER");
    image["checksums"] = json!([{"algorithm": "SHA256", "checksumValue": manifest}]);
    document.packages.push(image);
    document.relate(DOCUMENT, "DESCRIBES", IMAGE);
    for debian in &inventory.debian {
        let DebianPackage { name, version, architecture, .. } = debian;
        document.know("deb", name, version);
        document.know("deb", &format!("{name}:{architecture}"), version);
        document.add("CONTAINS", |ids| of_debian(ids, debian, inventory.distribution.as_ref()));
    }
    for python in &inventory.python {
        document.know("pypi", &python.name, &python.version);
        document.add("CONTAINS", |ids| of_python(ids, python));
    }
    for npm in &inventory.npm {
        document.know("npm", &npm.name, &npm.version);
        document.add("CONTAINS", |ids| of_npm(ids, npm));
    }
    for cargo in &inventory.cargo {
        if cargo.from_registry {
            document.know("cargo", &cargo.name, &cargo.version);
        }
        document.add("CONTAINS", |ids| of_cargo(ids, cargo));
    }
    pinned::add(&mut document, &definition.resolved_dependencies);
    let downloads = definition.resolved_dependencies.iter().filter(|dependency| dependency.is("download"));
    let downloads: Vec<&Dependency> = downloads.collect();
    for download in debs::without(&mut document, downloads, &inventory.debian) {
        document.add("DEPENDS_ON", |ids| of_download(ids, download));
    }
    let (checkouts, others) = checkouts(&definition.resolved_dependencies, &inventory.git);
    for (checkout, places) in &checkouts {
        document.add("DEPENDS_ON", |ids| of_checkout(ids, checkout, places));
    }
    // What a checkout brings, by submodules or a manifest of its, is in the image alone.
    for found in others {
        document.add("CONTAINS", |ids| of_repository(ids, found));
    }
    let text = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": DOCUMENT,
        "name": blueprint.name,
        "documentNamespace": format!("https://spdx.org/spdxdocs/alloy-{manifest}"),
        "creationInfo": {
            "created": created,
            "creators": [format!("Tool: alloy-{}", env!("CARGO_PKG_VERSION"))],
        },
        "packages": document.packages,
        "relationships": document.relationships,
    });
    json::bytes(&text)
}

#[derive(Default)]
struct Document {
    packages: Vec<Value>,
    relationships: Vec<Value>,
    ids: Ids,
    /// Type, name and version of packages that the image has, and where in `packages` they stand.
    keys: Vec<((String, String, String), usize)>,
}

impl Document {
    fn relate(&mut self, from: &str, kind: &str, to: &str) {
        self.relationships.push(json!({"spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to}));
    }

    /// Notes what the package is that is added next.
    fn know(&mut self, kind: &str, name: &str, version: &str) {
        let key = (kind.to_owned(), pinned::compared(kind, name), version.to_owned());
        self.keys.push((key, self.packages.len()));
    }

    /// Adds a package that the image has to do with.
    fn add(&mut self, relation: &str, package: impl FnOnce(&mut Ids) -> Value) {
        let package = package(&mut self.ids);
        let id = package["SPDXID"].as_str().unwrap_or_default().to_owned();
        self.relate(IMAGE, relation, &id);
        self.packages.push(package);
    }
}

/// Ids that were given.
#[derive(Default)]
struct Ids(BTreeSet<String>);

impl Ids {
    /// An id of letters, digits, `.` and `-` alone (SPDX 2.3, 7.2), of which there is no other.
    fn give(&mut self, parts: &[&str]) -> String {
        let allowed = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
        let name: String = parts.join("-").chars().map(allowed).collect();
        let mut id = format!("SPDXRef-{name}");
        let mut number = 1;
        while !self.0.insert(id.clone()) {
            number += 1;
            id = format!("SPDXRef-{name}-{number}");
        }
        id
    }
}

fn package(id: &str, name: &str, version: &str) -> Value {
    json!({
        "SPDXID": id,
        "name": name,
        "versionInfo": version,
        "downloadLocation": NOTHING_SAID,
        "filesAnalyzed": false,
        "licenseConcluded": NOTHING_SAID,
        "licenseDeclared": NOTHING_SAID,
        "copyrightText": NOTHING_SAID,
    })
}

fn refer(package: &mut Value, purl: &str) {
    package["externalRefs"] =
        json!([{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl}]);
}

/// Whoever wrote the package wrote this as well: only what is a link for browsers counts.
fn homepage(package: &mut Value, text: Option<&str>) {
    let url = text.and_then(|text| Url::parse(text).ok());
    if let Some(url) = url.filter(|url| matches!(url.scheme(), "http" | "https")) {
        package["homepage"] = json!(url.as_str());
    }
}

fn of_debian(ids: &mut Ids, debian: &DebianPackage, distribution: Option<&Distribution>) -> Value {
    let DebianPackage { name, version, architecture, source, maintainer, homepage: page } = debian;
    let id = ids.give(&["deb", name, version, architecture]);
    let mut value = package(&id, name, version);
    let vendor = distribution.map_or("debian", |distribution| distribution.id.as_str());
    let distro = distribution.map(|distribution| match &distribution.version {
        Some(version) => format!("{}-{version}", distribution.id),
        None => distribution.id.clone(),
    });
    let mut qualifiers = vec![("arch", architecture.as_str())];
    qualifiers.extend(distro.as_ref().map(|distro| ("distro", distro.as_str())));
    // Names of both are the same in any case (purl-spec, `deb`).
    let (vendor, lower) = (vendor.to_lowercase(), name.to_lowercase());
    refer(&mut value, &purl("deb", Some(&vendor), &lower, version, &qualifiers));
    value["supplier"] = json!(maintainer.as_deref().map_or_else(|| NOTHING_SAID.to_owned(), maintained_by));
    if let Some((source, version)) = source {
        value["sourceInfo"] = json!(format!("built from the source package {source} {version}"));
    }
    homepage(&mut value, page.as_deref());
    value
}

/// Words in the names of those who are many.
const MANY: [&str; 8] =
    ["team", "maintainers", "developers", "group", "project", "packagers", "committee", "task force"];

/// `Name <address>` as SPDX has it (2.3, 7.5): a person, or, where the name or a list's address says so, an organization.
fn maintained_by(maintainer: &str) -> String {
    let (name, address) = maintainer.split_once('<').unwrap_or((maintainer, ""));
    let clean = |text: &str| text.replace(['(', ')', '<', '>'], "").trim().to_owned();
    let (name, address) = (clean(name), clean(address));
    let (says, at) = (name.to_lowercase(), address.to_lowercase());
    let many = MANY.iter().any(|word| says.contains(word))
        || ["@lists.", "@tracker.", "@packages."].iter().any(|list| at.contains(list));
    let kind = if many { "Organization" } else { "Person" };
    match (name.is_empty(), address.is_empty()) {
        (true, _) => NOTHING_SAID.to_owned(),
        (false, true) => format!("{kind}: {name}"),
        (false, false) => format!("{kind}: {name} ({address})"),
    }
}

/// The letters of names and versions are the same in any case (purl-spec, `pypi`), and so are `_` and `-` in names.
fn pypi_purl(name: &str, version: &str) -> String {
    purl("pypi", None, &name.to_lowercase().replace('_', "-"), &version.to_lowercase(), &[])
}

fn npm_purl(name: &str, version: &str) -> String {
    let (scope, name) = name.split_once('/').map_or((None, name), |(scope, name)| (Some(scope), name));
    purl("npm", scope, name, version, &[])
}

fn of_python(ids: &mut Ids, python: &PythonPackage) -> Value {
    let mut value = package(&ids.give(&["pypi", &python.name, &python.version]), &python.name, &python.version);
    refer(&mut value, &pypi_purl(&python.name, &python.version));
    homepage(&mut value, python.homepage.as_deref());
    value
}

fn of_npm(ids: &mut Ids, npm: &NpmPackage) -> Value {
    let mut value = package(&ids.give(&["npm", &npm.name, &npm.version]), &npm.name, &npm.version);
    refer(&mut value, &npm_purl(&npm.name, &npm.version));
    homepage(&mut value, npm.homepage.as_deref());
    value
}

fn of_cargo(ids: &mut Ids, cargo: &CargoPackage) -> Value {
    let mut value = package(&ids.give(&["cargo", &cargo.name, &cargo.version]), &cargo.name, &cargo.version);
    // One that was built from a directory has only its name in common with what the public registry of crates has.
    let kind = if cargo.from_registry { "cargo" } else { "generic" };
    refer(&mut value, &purl(kind, None, &cargo.name, &cargo.version, &[]));
    value
}

fn of_download(ids: &mut Ids, download: &Dependency) -> Value {
    let name = if download.name.is_empty() { "download" } else { &download.name };
    let mut value = package(&ids.give(&["download", name]), name, "");
    if let Some(fields) = value.as_object_mut() {
        fields.remove("versionInfo");
    }
    fetched(&mut value, download);
    value["primaryPackagePurpose"] = json!("ARCHIVE");
    let checksum = download.digest.get("sha256").map(|sha256| format!("sha256:{sha256}")).unwrap_or_default();
    let url = download.uri.as_deref().unwrap_or_default();
    refer(&mut value, &purl("generic", None, name, "", &[("checksum", &checksum), ("download_url", url)]));
    value
}

/// Says where a package was fetched from, and what came.
fn fetched(package: &mut Value, from: &Dependency) {
    let url = from.uri.as_deref().unwrap_or_default();
    // Where something was masked, nobody can fetch it.
    let location = Url::parse(url).ok().filter(|_| !url.contains("***"));
    package["downloadLocation"] = json!(location.as_ref().map_or(NOTHING_SAID, Url::as_str));
    if let Some(sha256) = from.digest.get("sha256") {
        package["checksums"] = json!([{"algorithm": "SHA256", "checksumValue": sha256}]);
    }
}

/// A git repository; of one that nothing pinned it is not known what was taken out of it.
fn of_checkout(ids: &mut Ids, checkout: &Dependency, places: &[&str]) -> Value {
    let name = if checkout.name.is_empty() { "repository" } else { &checkout.name };
    let commit = checkout.digest.get("gitCommit").map(String::as_str).unwrap_or_default();
    let mut value = package(&ids.give(&["git", name]), name, commit);
    if let Some(fields) = value.as_object_mut().filter(|_| commit.is_empty()) {
        fields.remove("versionInfo");
    }
    let url = checkout.uri.as_deref().unwrap_or_default();
    // As SPDX 2.3 has it (7.7). Where something was masked, nobody can fetch it.
    let place = host_and_path(url).filter(|_| !url.contains("***"));
    let at = if commit.is_empty() { String::new() } else { format!("@{commit}") };
    let location = place.as_ref().map(|_| format!("git+{url}{at}"));
    value["downloadLocation"] = json!(location.as_deref().unwrap_or(NOTHING_SAID));
    value["primaryPackagePurpose"] = json!("SOURCE");
    let revision = checkout.annotations.get("revision").map(String::as_str).unwrap_or_default();
    let places = if places.is_empty() { String::new() } else { format!(", in {}", places.join(" and ")) };
    value["sourceInfo"] = json!(format!("`{revision}` of the git repository{places}"));
    let on_github = place.filter(|(host, _)| host == "github.com").and_then(|(_, path)| owner_and_name(&path));
    let locator = match (on_github, &location) {
        // GitHub's names are the same in any case (purl-spec, `github`).
        (Some((owner, name)), _) => purl("github", Some(&owner), &name, commit, &[]),
        (None, Some(location)) => purl("generic", None, name, commit, &[("vcs_url", location)]),
        (None, None) => purl("generic", None, name, commit, &[]),
    };
    refer(&mut value, &locator);
    value
}

/// What tasks check out, each with its places in the image, and the other repositories that are `found` there. A commit that
/// nobody has pinned is told by the repository, where there is no doubt which one it is.
fn checkouts<'f>(
    dependencies: &[Dependency],
    found: &'f BTreeSet<GitRepository>,
) -> (Vec<(Dependency, Vec<&'f str>)>, Vec<&'f GitRepository>) {
    const COMMIT: &str = "gitCommit";
    let all = || dependencies.iter().filter(|dependency| dependency.is("git"));
    let unpinned = |url: Option<&str>| {
        all().filter(|other| other.uri.as_deref() == url && !other.digest.contains_key(COMMIT)).count()
    };
    let mut left: Vec<&GitRepository> = found.iter().collect();
    let mut told = Vec::new();
    for checkout in all() {
        let mut checkout = checkout.clone();
        let url = checkout.uri.clone();
        let same = |repository: &GitRepository| url.as_deref() == Some(&repository.url);
        if !checkout.digest.contains_key(COMMIT) && unpinned(url.as_deref()) == 1 {
            let pinned =
                |commit: &String| all().any(|other| other.uri == url && other.digest.get(COMMIT) == Some(commit));
            let commits = found.iter().filter(|it| same(it) && !pinned(&it.commit)).map(|it| &it.commit);
            let commits: BTreeSet<&String> = commits.collect();
            if let [commit] = commits.into_iter().collect::<Vec<_>>()[..] {
                checkout.digest.insert(COMMIT.to_owned(), commit.clone());
            }
        }
        let commit = checkout.digest.get(COMMIT).cloned();
        let own = |it: &&GitRepository| same(it) && commit.as_ref() == Some(&it.commit);
        let (own, others): (Vec<&GitRepository>, _) = left.into_iter().partition(own);
        left = others;
        told.push((checkout, own.into_iter().map(|it| it.path.as_str()).collect()));
    }
    (told, left)
}

/// A git repository that is in the image, and that no task names.
fn of_repository(ids: &mut Ids, found: &GitRepository) -> Value {
    let mut dependency = Dependency::new("git", repository_name(&found.url), Some(found.url.clone()), None);
    dependency.digest.insert("gitCommit".to_owned(), found.commit.clone());
    let mut value = of_checkout(ids, &dependency, &[]);
    value["sourceInfo"] = json!(format!("the git repository in {}", found.path));
    value
}

/// Where a repository is, in a URL or as `user@host:path` (git-clone(1)). `None` for one of the image's own files.
fn host_and_path(url: &str) -> Option<(String, String)> {
    if url.contains("://") {
        let url = Url::parse(url).ok()?;
        return Some((url.host_str()?.to_owned(), url.path().to_owned()));
    }
    let (host, path) = url.split_once('@')?.1.split_once(':')?;
    (!host.contains('/')).then(|| (host.to_owned(), path.to_owned()))
}

fn owner_and_name(path: &str) -> Option<(String, String)> {
    let (owner, name) = path.trim_matches('/').split_once('/')?;
    let name = name.strip_suffix(".git").unwrap_or(name);
    (!owner.is_empty() && !name.is_empty() && !name.contains('/')).then(|| (owner.to_lowercase(), name.to_lowercase()))
}

#[cfg(test)]
mod tests;
