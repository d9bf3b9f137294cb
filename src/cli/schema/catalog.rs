//! Schemas of a catalog: `<kind>s/<vendor>/<tool>/index.yaml` and the `<version>.yaml` beside it.

use serde_json::{Value, json};

use super::{described, sha256, text};

/// Kinds, as they stand in an id.
const ID: &str = "^(toolchain|sdk|tool)\\.[^.@\\s]+\\.[^@\\s]+$";

fn id() -> Value {
    json!({"description": "<kind>.<vendor>.<tool>", "type": "string", "pattern": ID})
}

fn spec_version() -> Value {
    json!({"description": "Version of this format", "const": 1})
}

fn status() -> Value {
    described(json!({"type": "string"}), "How far it can be relied on, such as active or deprecated")
}

/// `index.yaml`: which versions there are.
pub(super) fn index() -> Value {
    let version = json!({
        "type": "object",
        "required": ["version", "file"],
        "properties": {
            "version": described(text(), "The version"),
            "file": {"description": "Its file, beside this one", "type": "string", "pattern": "^[^/]+\\.ya?ml$"},
            "status": status(),
            "replaced_by": described(text(), "The version to use in place of it"),
        },
    });
    json!({
        "title": "alloy catalog index",
        "type": "object",
        "required": ["spec_version", "id", "type", "versions"],
        "properties": {
            "spec_version": spec_version(),
            "id": id(),
            "type": {"description": "Always index", "const": "index"},
            "aliases": {
                "description": "Names of versions; a reference without one means stable",
                "type": "object",
                "properties": {
                    "latest": described(text(), "The newest"),
                    "stable": described(text(), "What a reference without a version means"),
                    "lts": described(text(), "The one that is supported longest"),
                },
                "additionalProperties": text(),
            },
            "versions": {"description": "All of them", "type": "array", "items": version},
        },
    })
}

/// The file of one version: where it comes from on each platform.
pub(super) fn version() -> Value {
    let texts = json!({"type": "array", "items": text()});
    json!({
        "title": "alloy catalog version",
        "type": "object",
        "required": ["spec_version", "id", "version", "providers"],
        "properties": {
            "spec_version": spec_version(),
            "id": id(),
            "version": described(text(), "The version"),
            "name": described(text(), "What people call it"),
            "homepage": {"description": "Where to read about it", "type": "string", "pattern": "^https?://"},
            "license": {"description": "SPDX expression", "type": "string"},
            "capabilities": described(texts.clone(), "What it can do: words that a search finds"),
            "providers": {"description": "Where it comes from", "type": "array", "minItems": 1, "items": provider()},
            "install_hints": {
                "description": "For whoever writes the task",
                "type": "object",
                "properties": {
                    "creates": described(text(), "A path that exists when it is installed"),
                    "env_vars": {"description": "Variables that it wants", "type": ["object", "array"]},
                    "note": described(text(), "What else to know"),
                    "requires_tool": {"description": "What must be installed before", "anyOf": [text(), texts.clone()]},
                    "build_deps": described(texts, "Packages that a build needs"),
                },
            },
            "lifecycle": {
                "description": "Where it stands",
                "type": "object",
                "properties": {"status": status(), "released_at": {"description": "A date", "type": "string"}},
            },
        },
    })
}

/// One source; the method decides what is known of each platform.
fn provider() -> Value {
    let url = json!({"description": "Where it is", "type": "string", "pattern": "^[a-z+]+://"});
    let of = |methods: &[&str], required: &[&str], properties: Value| {
        let platform = json!({"type": "object", "required": required, "properties": properties});
        let listed = json!({
            "required": ["host_platforms"],
            "properties": {"host_platforms": {"additionalProperties": platform}},
        });
        // A digest is of one platform's bytes; packages and repositories may be the same everywhere.
        let everywhere =
            json!({"not": {"required": ["host_platforms"]}, "required": required, "properties": properties});
        let then = if methods.contains(&"archive") { listed } else { json!({"anyOf": [listed, everywhere]}) };
        json!({"if": {"properties": {"method": {"enum": methods}}, "required": ["method"]}, "then": then})
    };
    json!({
        "type": "object",
        "required": ["id", "method"],
        "properties": {
            "id": described(text(), "Name of the provider"),
            "method": {"description": "How it is installed", "enum": ["archive", "source", "pip", "west", "git"]},
            "host_platforms": {
                "description": "By platform, as os/arch",
                "type": "object",
                "propertyNames": {"pattern": "^[a-z]+/[a-z0-9_]+(/v[0-9]+)?$"},
            },
        },
        "allOf": [
            of(&["archive", "source"], &["url", "sha256"], json!({"url": url, "sha256": sha256()})),
            of(&["pip"], &["package", "version"], json!({"package": text(), "version": text()})),
            of(&["west", "git"], &["url", "version"], json!({"url": url, "version": text()})),
        ],
    })
}
