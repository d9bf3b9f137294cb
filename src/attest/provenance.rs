//! What an image was made from, by which layers. No times, no paths of the building machine, no values of secrets.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use layers::digest::Digest;
use url::Url;

use super::pinned::{PACKAGE, Pinned, TYPE, VERSION, pinned};
use super::statement::{
    Blueprint as Named, Builder, Definition, Dependency, External, Internal, Layer, PREDICATE_TYPE, Predicate,
    RunDetails, STATEMENT_TYPE, Statement, Subject,
};
use crate::blueprint::{Blueprint, LOCK_FILE};
use crate::build::Built;
use crate::fetch::shown;
use crate::image::{BaseRef, BuiltFrom};
use crate::op::{Secrets, Source, lets_in, percent_decoded};
use crate::plan::SCRATCH;
use crate::plan::{Plan, Platform};
use crate::resolve::Origin;

/// `buildType`: `docs/src/concepts/documents.md` says what the parameters mean.
pub const BUILD_TYPE: &str = "urn:alloy:build:blueprint:v1";
const BUILDER: &str = "urn:alloy:builder";

/// The provenance of `built`, which `blueprint` asked for and `from` was given for.
pub fn provenance(built: &Built<'_>, blueprint: &Blueprint, platform: &Platform, from: &BuiltFrom) -> Statement {
    let secrets = &built.lowered.secrets;
    let masked = |texts: &[String]| texts.iter().map(|text| secrets.mask(text)).collect::<Vec<_>>();
    let options = from.settings.elsewhere().words();
    let manifest = &blueprint.manifest;
    let keys = built.plan.layers.iter().map(|layer| layer.key.hex());
    let layers = built.layers.iter().zip(keys).map(|(layer, key)| Layer {
        name: layer.name.clone(),
        key,
        digest: layer.blob.as_ref().map(|blob| blob.descriptor.digest),
    });
    let mut dependencies = base(built);
    // One that cannot be read was told of when the blueprint was.
    let lock = blueprint.pins();
    let steps = || built.plan.layers.iter().flat_map(|layer| &layer.steps);
    let installs = |source: &Source| steps().any(|step| step.installs(source));
    dependencies.extend(sources(&built.inputs.sources, &pinned(lock, &platform.to_string()), installs, secrets));
    dependencies.extend(checkouts(&built.plan, secrets));
    dependencies.extend(blueprint.texts().map(|(path, text)| {
        let kind = if path == LOCK_FILE { "lockfile" } else { "blueprint" };
        Dependency::new(kind, path, None, Some(&Digest::of(text)))
    }));
    Statement {
        kind: STATEMENT_TYPE.to_owned(),
        subject: vec![Subject {
            name: manifest.name.clone(),
            digest: BTreeMap::from([("sha256".to_owned(), built.manifest.digest.hex())]),
        }],
        predicate_type: PREDICATE_TYPE.to_owned(),
        predicate: Predicate {
            build_definition: Definition {
                build_type: BUILD_TYPE.to_owned(),
                external_parameters: External {
                    blueprint: Named { name: manifest.name.clone(), version: manifest.version.clone() },
                    platform: platform.to_string(),
                    base: secrets.mask(&anywhere(&built.lowered.base)),
                    options: masked(&options),
                    secrets: from.settings.withheld.clone(),
                },
                internal_parameters: Internal {
                    source_date_epoch: built.inputs.epoch,
                    compression: built.inputs.compression.to_string(),
                    layers: layers.collect(),
                },
                resolved_dependencies: dependencies,
            },
            run_details: RunDetails {
                builder: Builder {
                    id: BUILDER.to_owned(),
                    version: BTreeMap::from([("alloy".to_owned(), env!("CARGO_PKG_VERSION").to_owned())]),
                },
            },
        },
    }
}

/// A base's name as it is the same on every machine.
fn anywhere(text: &str) -> String {
    // Names of images may have slashes, and stand behind a colon.
    let name = |path: &Path| {
        let text = path.to_string_lossy();
        let (place, image) = text.split_at(text.find(':').unwrap_or(text.len()));
        PathBuf::from(format!("{}{image}", Path::new(place).file_name().unwrap_or_default().to_string_lossy()))
    };
    match text.parse() {
        Ok(BaseRef::Oci(path)) => BaseRef::Oci(name(&path)).to_string(),
        Ok(BaseRef::OciArchive(path)) => BaseRef::OciArchive(name(&path)).to_string(),
        Ok(BaseRef::DockerArchive(path)) => BaseRef::DockerArchive(name(&path)).to_string(),
        Ok(BaseRef::Rootfs(path)) => BaseRef::Rootfs(name(&path)).to_string(),
        _ => text.to_owned(),
    }
}

fn base(built: &Built<'_>) -> Vec<Dependency> {
    match &built.base.origin {
        Origin::Registry(reference) => {
            vec![Dependency::new("base", "base", Some(format!("docker://{reference}")), Some(&built.base.identity))]
        }
        // Nothing is no dependency.
        Origin::Store if built.lowered.base == SCRATCH => Vec::new(),
        Origin::Store => vec![Dependency::new("base", "base", None, Some(&built.base.identity))],
        Origin::Archive(from) => {
            let plan = &from.plan;
            let suite = Dependency::new("base", "base", Some(format!("deb:{}", plan.suite)), None);
            let packages = plan.packages.iter().map(|package| {
                let url = shown(&package.url, &built.lowered.secrets);
                Dependency::new(PACKAGE, &package.name, Some(public(&url)), Some(&package.sha256))
                    .with(TYPE, "deb")
                    .with(VERSION, &package.version)
            });
            std::iter::once(suite).chain(packages).collect()
        }
    }
}

/// Files that tasks fetch or take from the blueprint; `pinned` says which of them are packages, and `installs` is true of
/// those that a task installs as packages of no archive: which ones these are, their files alone say, and not every
/// machine has them.
fn sources(
    sources: &BTreeMap<Source, Digest>,
    pinned: &BTreeMap<(String, Digest), Pinned>,
    installs: impl Fn(&Source) -> bool,
    secrets: &Secrets,
) -> Vec<Dependency> {
    let mut all: Vec<Dependency> = sources
        .iter()
        .map(|(source, digest)| match source {
            Source::Url { url, .. } => {
                let package = pinned.get(&(url.clone(), *digest));
                let url = public(&shown(url, secrets));
                match package {
                    Some(package) => package.dependency(url, digest),
                    None => {
                        let found = Dependency::new("download", file_name(&url), Some(url), Some(digest));
                        if installs(source) { found.with(TYPE, "deb") } else { found }
                    }
                }
            }
            Source::Local { path } | Source::Tree { path, .. } => {
                Dependency::new("file", secrets.mask(path), None, Some(digest))
            }
        })
        .collect();
    // Two pins of one download are one.
    all.dedup();
    all
}

/// What a URL leads to is called. A name is no part of a URL, and has nothing encoded.
fn file_name(url: &str) -> String {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let part = path.rsplit('/').find(|part| !part.is_empty()).unwrap_or_default();
    Some(percent_decoded(part)).filter(|name| !name.contains(char::is_control)).unwrap_or_else(|| part.to_owned())
}

/// Git repositories that tasks checked out. Of which commit, only a pin says.
fn checkouts(plan: &Plan, secrets: &Secrets) -> Vec<Dependency> {
    let mut all = Vec::new();
    for checkout in plan.layers.iter().flat_map(|layer| &layer.steps).flat_map(|step| &step.checkouts) {
        // `user@host:path` is no URL, and has no password.
        let url = match checkout.url.contains("://") {
            true => public(&shown(&checkout.url, secrets)),
            false => secrets.mask(&checkout.url),
        };
        let name = repository_name(&url);
        let mut found = Dependency::new("git", name, Some(url), None).with("revision", &checkout.revision);
        found.digest.extend(checkout.commit.clone().map(|commit| ("gitCommit".to_owned(), commit)));
        if !all.contains(&found) {
            all.push(found);
        }
    }
    all
}

/// What a repository is called, by its URL.
pub(super) fn repository_name(url: &str) -> String {
    let name = url.trim_end_matches('/').rsplit(['/', ':']).next().unwrap_or_default();
    name.strip_suffix(".git").unwrap_or(name).to_owned()
}

/// A URL that everybody may see: what signed it for its author is masked.
fn public(url: &str) -> String {
    let Ok(mut parsed) = Url::parse(url) else { return url.to_owned() };
    let pairs: Vec<(String, String)> = parsed.query_pairs().into_owned().collect();
    if !pairs.iter().any(|(name, _)| lets_in(name)) {
        return url.to_owned();
    }
    let masked = pairs.iter().map(|(name, value)| (name, if lets_in(name) { "***" } else { value.as_str() }));
    parsed.query_pairs_mut().clear().extend_pairs(masked);
    parsed.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::Lock;
    use crate::op::marker;

    #[test]
    fn urls_let_nobody_in() {
        let mut secrets = Secrets::default();
        secrets.insert("A_TOKEN", "hunter2-hunter2");
        let asked = format!("https://ann:pw@a.example/tool.tar.xz?v=1&t={}&X-Amz-Signature=abc", marker("A_TOKEN"));
        let digest = Digest::of("x");
        let source = |url: String, sha256| Source::Url { url, sha256 };
        let both = BTreeMap::from([(source(asked.clone(), None), digest), (source(asked, Some(digest)), digest)]);
        let all = super::sources(&both, &BTreeMap::new(), |_| false, &secrets);
        assert_eq!((all.len(), all[0].annotations.get(TYPE)), (1, None));
        let package = super::sources(&both, &BTreeMap::new(), |_| true, &secrets);
        assert_eq!(package[0].annotations.get(TYPE).map(String::as_str), Some("deb"));
        assert_eq!(all[0].uri.as_deref(), Some("https://a.example/tool.tar.xz?v=1&t=***&X-Amz-Signature=***"));
        assert_eq!(all[0].name, "tool.tar.xz");
        assert_eq!(public("https://a.example/x?a=b+c&d"), "https://a.example/x?a=b+c&d");
    }

    #[test]
    fn what_a_lockfile_names_is_a_package() {
        let (one, two) = (Digest::of("1"), Digest::of("2"));
        let lines = format!(
            "apt:\n  linux/amd64:\n    \"t.yml: a\":\n      packages: [jq]\n      closure:\n      \
             - {{package: jq, version: \"1:1.6~rc1\", arch: amd64, archive: https://d.example/debian, filename: pool/jq_1.6%7erc1.deb, sha256: {}, size: 1}}\n\
             rust:\n  linux/amd64:\n    \"t.yml: b\":\n      packages: [tool@1.0.0]\n      files:\n      \
             - {{name: tool, version: \"1.0.0\", url: https://c.example/tool, sha256: {}, size: 1}}\n      \
             - {{name: dep, version: \"0.1.0\", url: https://c.example/dep, sha256: {}, size: 1}}\n",
            one.hex(),
            two.hex(),
            one.hex()
        );
        let node = crate::yaml::parse(crate::yaml::FileId(0), &lines).unwrap();
        let lock = Lock::read(&node).unwrap();
        let source = |url: &str, digest: Digest| (Source::Url { url: url.to_owned(), sha256: Some(digest) }, digest);
        let all = BTreeMap::from([
            source("https://d.example/debian/pool/jq_1.6%7erc1.deb", one),
            source("https://c.example/tool", two),
            source("https://c.example/dep", one),
            source("https://c.example/other", one),
            source("https://c.example/a%20b%2Bc~1.tar", one),
        ]);
        let of = |platform: &str| sources(&all, &pinned(&lock, platform), |_| false, &Secrets::default());
        let said: BTreeMap<String, String> = of("linux/amd64")
            .into_iter()
            .map(|found| (found.name.clone(), serde_json::to_string(&found.annotations).unwrap()))
            .collect();
        assert_eq!(said["jq"], r#"{"architecture":"amd64","kind":"package","type":"deb","version":"1:1.6~rc1"}"#);
        assert_eq!(said["tool"], r#"{"kind":"package","type":"cargo","version":"1.0.0"}"#);
        assert_eq!(said.len(), 5, "{said:?}");
        assert!(said["a b+c~1.tar"].contains("download"), "a name has nothing encoded: {said:?}");
        let parts: Vec<_> =
            of("linux/amd64").iter().filter_map(|one| one.annotations.get("part-of").cloned()).collect();
        assert_eq!(parts, ["tool@1.0.0"]);
        assert!(of("linux/arm64").iter().all(|found| found.is("download")), "what is pinned for others says nothing");
    }

    #[test]
    fn a_base_is_called_the_same_everywhere() {
        for (text, expected) in [
            ("deb:bookworm", "deb:bookworm"),
            ("rootfs:/home/ann/root", "rootfs:root"),
            ("oci:/srv/layout:tag", "oci:layout:tag"),
            ("registry.example/base:12", "registry.example/base:12"),
        ] {
            assert_eq!(anywhere(text), expected);
        }
    }
}
