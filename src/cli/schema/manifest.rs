//! Schemas of what surrounds the tasks: the manifest and the variables.

use serde_json::{Value, json};

use super::{described, environment, text};

/// A name that templates and shells know.
const NAME: &str = "^[A-Za-z_][A-Za-z0-9_]*$";

/// `variables.yml`, and `variables` of a manifest.
pub(super) fn variables() -> Value {
    json!({
        "title": "alloy variables",
        "description": "Variables, for `{{.Vars.NAME}}` in tasks",
        "type": ["object", "null"],
        "propertyNames": {"pattern": NAME},
        "additionalProperties": {"type": ["string", "number", "boolean", "null"]},
    })
}

/// `manifest.yml`.
pub(super) fn manifest() -> Value {
    let texts = json!({"type": "array", "items": text()});
    let file = json!({"type": "string", "pattern": "^(?!/)(?!(.*/)?\\.\\.(/|$)).+$"});
    let hosts = json!({"type": "array", "minItems": 1, "items": {"type": "string", "pattern": "^[a-z]+/[a-z0-9_]+(/v[0-9]+)?$"}});
    json!({
        "title": "alloy manifest",
        "type": "object",
        "required": ["name", "version", "run_order"],
        "additionalProperties": false,
        "properties": {
            "name": {"description": "Name of the environment", "type": ["string", "number"], "minLength": 1},
            "version": {"description": "Its version, such as 1.0.0", "type": ["string", "number"], "minLength": 1},
            "description": described(text(), "What the environment is for"),
            "authors": {"description": "Who wrote it", "anyOf": [text(), texts.clone()]},
            "vendor": described(text(), "Who offers it"),
            "licenses": {"description": "SPDX expression, such as Apache-2.0 OR MIT", "type": "string"},
            "variables": variables(),
            "toolchains": {"description": "Entries of the catalog, pinned in alloy.lock.yml", "type": "array", "items": toolchain()},
            "required_env": {"description": "Variables that the environment must have", "type": "array", "items": required_env()},
            "supported_hosts": described(hosts, "Platforms, as os/arch; without it, all"),
            "supported_bases": {"description": "Bases that it was made for, such as deb:jammy; the first is the base where image.base names none", "type": "array", "items": {"type": "string", "minLength": 1}},
            "targets": {"description": "Platforms, as os/arch, that it is pinned and published for where there is no supported_hosts; boards and chips that it is for, as people look for them", "anyOf": [text(), texts]},
            "image": image(),
            "shell": {"description": "How tasks run scripts that say nothing of it: strict ends at the first command that fails", "enum": ["plain", "strict"]},
            "run_order": {
                "description": "Task files, in the order they run",
                "type": "array",
                "minItems": 1,
                "items": file,
                "uniqueItems": true,
            },
        },
    })
}

fn toolchain() -> Value {
    let reference = "^(toolchain|sdk|tool)\\.[^.@\\s]+\\.[^@\\s]+(@[^@\\s]+)?$";
    json!({
        "type": "object",
        "required": ["ref"],
        "properties": {
            "ref": {"description": "<kind>.<vendor>.<tool>[@version]", "type": "string", "pattern": reference},
            "alias": {"description": "Gives the variables ALIAS_URL, ALIAS_SHA and ALIAS_VERSION", "type": "string", "pattern": NAME},
        },
    })
}

fn required_env() -> Value {
    json!({
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": {"description": "Name of the variable", "type": "string", "pattern": NAME},
            "description": described(text(), "What it is for: shown where it is missing"),
            "secret": {"description": "Its value is masked in logs and never kept", "type": "boolean"},
        },
    })
}

fn image() -> Value {
    let words = |what: &str| json!({"description": what, "type": "array", "items": text()});
    let map = |what: &str| {
        json!({
            "description": what,
            "type": "object",
            "additionalProperties": {"type": ["string", "number", "boolean", "null"]},
        })
    };
    json!({
        "description": "The image that a build makes",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "base": {
                "description": "deb:SUITE[?variant=essential|apt|minbase&components=main,contrib], scratch (nothing), an image of a registry, one of the store (local:NAME), or oci:, oci-archive:, docker-archive:, rootfs: and a path",
                "type": "string",
                "pattern": "^[^\\s]+$",
            },
            "env": described(environment(), "Environment of the image and of its tasks; `$NAME` in a value is another variable's value"),
            "env_from_profile": {"description": "Take over what a login shell sets; true if missing", "type": "boolean"},
            "user": {"description": "Who the image runs as; made if missing", "type": ["string", "number"], "pattern": "^[a-z0-9_][a-z0-9_-]*(:[a-z0-9_][a-z0-9_-]*)?$"},
            "workdir": {"description": "Where it starts; made if missing", "type": "string", "pattern": "^/"},
            "entrypoint": words("Program that always runs, and its arguments"),
            "cmd": words("Program that runs by default, and its arguments"),
            "labels": map("Labels of the image"),
        },
    })
}
