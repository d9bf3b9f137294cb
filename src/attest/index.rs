//! What an index was made from: that of its images, and the images themselves.

use std::collections::BTreeSet;

use layers::digest::Digest;

use super::statement::{Dependency, Layer, Statement, Subject};

/// The kind of a dependency that is an image of the index.
const IMAGE: &str = "image";

/// The provenance of the index `digest`, of whose images `parts` is the provenance. `None` if they are not of one build:
/// of one blueprint, by one version of alloy, with the same settings.
pub fn of_index(digest: &Digest, parts: &[Statement]) -> Option<Statement> {
    let first = parts.first()?;
    let one_build = parts.iter().all(|part| settings(part) == settings(first));
    let mut index = first.clone();
    index.subject = vec![Subject { name: first.subject.first()?.name.clone(), digest: sha256(digest.hex()) }];
    let definition = &mut index.predicate.build_definition;
    let external = |part: &Statement| part.predicate.build_definition.external_parameters.clone();
    let platforms: Vec<String> = parts.iter().map(|part| external(part).platform).collect();
    definition.external_parameters.platform = platforms.join(",");
    definition.external_parameters.base = distinct(parts.iter().map(|part| external(part).base)).join(",");
    definition.external_parameters.options = distinct(parts.iter().flat_map(|part| external(part).options));
    definition.external_parameters.secrets = distinct(parts.iter().flat_map(|part| external(part).secrets));
    definition.internal_parameters.layers.clear();
    definition.resolved_dependencies.clear();
    for (part, platform) in parts.iter().zip(&platforms) {
        let theirs = &part.predicate.build_definition;
        definition.internal_parameters.layers.extend(
            theirs
                .internal_parameters
                .layers
                .iter()
                .map(|layer| Layer { name: format!("{platform}: {}", layer.name), ..layer.clone() }),
        );
        let mut image = Dependency::new(IMAGE, platform.as_str(), None, None);
        image.digest = sha256(part.manifest().to_owned());
        definition.resolved_dependencies.push(image);
    }
    let all = parts.iter().flat_map(|part| &part.predicate.build_definition.resolved_dependencies);
    for dependency in all {
        if !definition.resolved_dependencies.contains(dependency) {
            definition.resolved_dependencies.push(dependency.clone());
        }
    }
    one_build.then_some(index)
}

/// What the images of one build have in common.
fn settings(part: &Statement) -> impl PartialEq + use<> {
    let definition = &part.predicate.build_definition;
    let internal = &definition.internal_parameters;
    (
        definition.build_type.clone(),
        definition.external_parameters.blueprint.clone(),
        internal.source_date_epoch,
        internal.compression.clone(),
        part.predicate.run_details.clone(),
    )
}

fn sha256(hex: String) -> super::statement::DigestSet {
    std::iter::once(("sha256".to_owned(), hex)).collect()
}

/// Each once, in the order in which they come.
fn distinct(all: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    all.filter(|one| seen.insert(one.clone())).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn part(platform: &str, blueprint: &str) -> Statement {
        let definition = json!({
            "buildType": "urn:alloy:build:blueprint:v1",
            "externalParameters": {
                "blueprint": {"name": blueprint, "version": "1.0.0"}, "platform": platform, "base": "deb:bookworm",
                "options": ["--var=A=1"], "secrets": ["token"],
            },
            "internalParameters": {
                "sourceDateEpoch": 0, "compression": "zstd",
                "layers": [{"name": "tasks.yml", "key": "k", "digest": null}],
            },
            "resolvedDependencies": [{"name": "shared"}, {"name": platform, "uri": "u"}],
        });
        let run = json!({"builder": {"id": "urn:alloy:builder", "version": {"alloy": "0.1.0"}}});
        let statement = json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": blueprint, "digest": {"sha256": Digest::of(platform).hex()}}],
            "predicateType": "https://slsa.dev/provenance/v1",
            "predicate": {"buildDefinition": definition, "runDetails": run},
        });
        serde_json::from_value(statement).unwrap()
    }

    #[test]
    fn an_index_is_made_from_its_images_and_what_they_are_made_from() {
        let parts = [part("linux/amd64", "A"), part("linux/arm64", "A")];
        let index = of_index(&Digest::of("index"), &parts).unwrap();
        let value: Value = serde_json::from_slice(&index.bytes()).unwrap();
        assert_eq!(value["subject"], json!([{"name": "A", "digest": {"sha256": Digest::of("index").hex()}}]));
        let definition = &value["predicate"]["buildDefinition"];
        assert_eq!(definition["externalParameters"]["platform"], "linux/amd64,linux/arm64");
        assert_eq!(definition["externalParameters"]["options"], json!(["--var=A=1"]));
        let layers = definition["internalParameters"]["layers"].as_array().unwrap();
        assert_eq!((layers.len(), &layers[1]["name"]), (2, &json!("linux/arm64: tasks.yml")));
        let dependencies = definition["resolvedDependencies"].as_array().unwrap();
        let names: Vec<&str> = dependencies.iter().map(|one| one["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["linux/amd64", "linux/arm64", "shared", "linux/amd64", "linux/arm64"]);
        assert_eq!(dependencies[1]["digest"]["sha256"], Digest::of("linux/arm64").hex());
    }

    #[test]
    fn of_images_that_were_not_built_together_nothing_is_said() {
        assert!(of_index(&Digest::of("x"), &[part("linux/amd64", "A"), part("linux/arm64", "B")]).is_none());
        assert!(of_index(&Digest::of("x"), &[]).is_none());
    }
}
