//! What an image was made from, by which layers. No times, no paths of the building machine, no values of secrets.

use std::collections::BTreeMap;
use std::path::Path;

use layers::digest::Digest;
use url::Url;

use super::statement::{
    Blueprint as Named, Builder, Definition, Dependency, External, Internal, Layer, PREDICATE_TYPE, Predicate,
    RunDetails, STATEMENT_TYPE, Statement, Subject,
};
use crate::blueprint::{Blueprint, LOCK_FILE};
use crate::build::Built;
use crate::fetch::shown;
use crate::image::{BaseRef, BuiltFrom};
use crate::op::{Secrets, Source, lets_in};
use crate::plan::{Plan, Platform};
use crate::resolve::Origin;

/// `buildType`: what the parameters mean is said in the README.
pub const BUILD_TYPE: &str = "urn:alloy:build:blueprint:v1";
const BUILDER: &str = "urn:alloy:builder";

/// Options that say where something was on the building machine, or how it was reached; and what is said elsewhere.
const LEFT_OUT: [&str; 6] =
    ["--base=", "--env-file=", "--insecure-registry=", "--keyring=", "--mirror=", "--platform="];
/// The provenance of `built`, which `blueprint` asked for and `from` was given for.
pub fn provenance(built: &Built, blueprint: &Blueprint, platform: &Platform, from: &BuiltFrom) -> Statement {
    let secrets = &built.lowered.secrets;
    let masked = |texts: &[String]| texts.iter().map(|text| secrets.mask(text)).collect::<Vec<_>>();
    let given = |option: &String| !LEFT_OUT.iter().any(|left_out| option.starts_with(left_out));
    let options: Vec<String> = from.options.iter().filter(|option| given(option)).cloned().collect();
    let manifest = &blueprint.manifest;
    let keys = built.plan.layers.iter().map(|layer| layer.key.hex());
    let layers = built.layers.iter().zip(keys).map(|(layer, key)| Layer {
        name: layer.name.clone(),
        key,
        digest: layer.blob.as_ref().map(|blob| blob.descriptor.digest),
    });
    let mut dependencies = base(built);
    dependencies.extend(sources(&built.inputs.sources, secrets));
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
                    secrets: from.withheld.clone(),
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
    let name = |path: &Path| path.file_name().unwrap_or_default().into();
    match text.parse() {
        Ok(BaseRef::Oci { path, tag }) => BaseRef::Oci { path: name(&path), tag }.to_string(),
        Ok(BaseRef::OciArchive(path)) => BaseRef::OciArchive(name(&path)).to_string(),
        Ok(BaseRef::DockerArchive(path)) => BaseRef::DockerArchive(name(&path)).to_string(),
        Ok(BaseRef::Rootfs(path)) => BaseRef::Rootfs(name(&path)).to_string(),
        _ => text.to_owned(),
    }
}

fn base(built: &Built) -> Vec<Dependency> {
    match &built.base.origin {
        Origin::Registry(reference) => {
            vec![Dependency::new("base", "base", Some(format!("docker://{reference}")), Some(&built.base.identity))]
        }
        Origin::Store => vec![Dependency::new("base", "base", None, Some(&built.base.identity))],
        Origin::Archive(from) => {
            let plan = &from.plan;
            let suite = Dependency::new("base", "base", Some(format!("deb:{}", plan.suite)), None);
            let packages = plan.packages.iter().map(|package| {
                let url = shown(&package.url, &built.lowered.secrets);
                Dependency::new("package", &package.name, Some(public(&url)), Some(&package.sha256))
                    .with("version", &package.version)
            });
            std::iter::once(suite).chain(packages).collect()
        }
    }
}

fn sources(sources: &BTreeMap<Source, Digest>, secrets: &Secrets) -> Vec<Dependency> {
    let mut all: Vec<Dependency> = sources
        .iter()
        .map(|(source, digest)| match source {
            Source::Url { url, .. } => {
                let url = public(&shown(url, secrets));
                let path = url.split(['?', '#']).next().unwrap_or_default();
                let name = path.rsplit('/').find(|part| !part.is_empty()).unwrap_or_default().to_owned();
                Dependency::new("download", name, Some(url), Some(digest))
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

/// Git repositories that tasks checked out. Of which commit, only a pin says.
fn checkouts(plan: &Plan, secrets: &Secrets) -> Vec<Dependency> {
    let mut all = Vec::new();
    for checkout in plan.layers.iter().flat_map(|layer| &layer.steps).flat_map(|step| &step.checkouts) {
        // `user@host:path` is no URL, and has no password.
        let url = match checkout.url.contains("://") {
            true => public(&shown(&checkout.url, secrets)),
            false => secrets.mask(&checkout.url),
        };
        let name = url.trim_end_matches('/').rsplit(['/', ':']).next().unwrap_or_default();
        let name = name.strip_suffix(".git").unwrap_or(name).to_owned();
        let mut found = Dependency::new("git", name, Some(url), None).with("revision", &checkout.revision);
        found.digest.extend(checkout.commit.clone().map(|commit| ("gitCommit".to_owned(), commit)));
        if !all.contains(&found) {
            all.push(found);
        }
    }
    all
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
    use crate::op::marker;

    #[test]
    fn urls_let_nobody_in() {
        let mut secrets = Secrets::default();
        secrets.insert("A_TOKEN", "hunter2-hunter2");
        let asked = format!("https://ann:pw@a.example/tool.tar.xz?v=1&t={}&X-Amz-Signature=abc", marker("A_TOKEN"));
        let digest = Digest::of("x");
        let source = |url: String, sha256| Source::Url { url, sha256 };
        let both = BTreeMap::from([(source(asked.clone(), None), digest), (source(asked, Some(digest)), digest)]);
        let all = super::sources(&both, &secrets);
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].uri.as_deref(), Some("https://a.example/tool.tar.xz?v=1&t=***&X-Amz-Signature=***"));
        assert_eq!(all[0].name, "tool.tar.xz");
        assert_eq!(public("https://a.example/x?a=b+c&d"), "https://a.example/x?a=b+c&d");
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
