//! The schema of the lockfile.

use serde_json::{Value, json};

use super::{described, sha256, text};

/// `alloy.lock.yml`.
pub(super) fn lock() -> Value {
    let of = |methods: &[&str], required: &[&str]| {
        json!({
            "if": {"properties": {"method": {"enum": methods}}, "required": ["method"]},
            "then": {"required": required},
        })
    };
    let pin = json!({
        "type": "object",
        "properties": {
            "url": described(text(), "The URL"),
            "sha256": sha256(),
            "package": described(text(), "The name of the package, where pip installs it"),
            "commit": {
                "description": "The commit that the version stood for, if the server was asked",
                "type": "string",
                "pattern": "^([0-9A-Fa-f]{40}|[0-9A-Fa-f]{64})$",
            },
            "method": {"description": "How it is installed", "type": "string"},
            "version": described(text(), "The version that the reference stood for"),
        },
        "allOf": [
            of(&["pip"], &["package", "version"]),
            of(&["git", "west"], &["url", "version"]),
            {
                "if": {"not": {"properties": {"method": {"enum": ["pip", "git", "west"]}}, "required": ["method"]}},
                "then": {"required": ["url", "sha256"]},
            },
        ],
    });
    let toolchains = json!({"description": "What toolchains are, by reference, with or without @version", "type": "object", "additionalProperties": pin});
    let download = json!({
        "type": "object",
        "required": ["sha256"],
        "properties": {
            "sha256": sha256(),
            "size": {"description": "The size in bytes", "type": "integer", "minimum": 0},
        },
    });
    let commit = json!({"type": "string", "pattern": "^([0-9A-Fa-f]{40}|[0-9A-Fa-f]{64})$"});
    let repository = json!({"type": "object", "additionalProperties": commit});
    let tags = json!({"type": "object", "additionalProperties": {"type": "string", "pattern": "^(object [0-9a-f]+\ntype commit\ntag |lightweight$)"}});
    let host = json!({"type": "object", "properties": {"toolchains": toolchains}});
    json!({
        "title": "alloy lockfile",
        "description": "Generated, and committed: what names stand for",
        "type": ["object", "null"],
        "properties": {
            "resolved_at": {"description": "When it was written", "type": "string"},
            "host": {"description": "The platform of `toolchains`", "type": "string"},
            "toolchains": toolchains,
            "hosts": {"description": "Toolchains of further platforms", "type": "object", "additionalProperties": host},
            "git": {"description": "Commits, by the URL of the repository and by tag or branch", "type": "object", "additionalProperties": repository},
            "tags": {"description": "The objects of revisions that are tags, or `lightweight`, likewise", "type": "object", "additionalProperties": tags},
            "downloads": {"description": "What downloads hold, by URL, for tasks without sha256", "type": "object", "additionalProperties": download},
            "base": bases(),
            "mirror": {"description": "The registry and repository where `alloy lock --mirror-to` keeps packages", "type": "string"},
            "apt": closures(),
            "python": packages("pip"),
            "npm": packages("npm"),
            "rust": packages("cargo"),
        },
    })
}

/// What `program` installs for tasks, by platform and task.
fn packages(program: &str) -> Value {
    let file = json!({
        "type": "object",
        "required": ["name", "version", "url", "sha256", "size"],
        "properties": {
            "name": {"description": "What the package is called", "type": "string"},
            "version": described(text(), "Its version"),
            "url": {"description": "Where it is, without a login", "type": "string"},
            "sha256": sha256(),
            "integrity": {"description": "The digest as the registry has it (Subresource Integrity)", "type": "string"},
            "size": {"description": "The size in bytes", "type": "integer", "minimum": 0},
            "path": {"description": "Its place in the tree of packages of npm", "type": "string"},
            "build": {"description": "True if another package is only built with it", "type": "boolean"},
        },
    });
    let task = json!({
        "type": "object",
        "required": ["packages", "files"],
        "properties": {
            "packages": {"description": "What the task asks for", "type": "array", "items": {"type": "string"}},
            "network": {"description": "True if what builds a package is not all pinned: the task then has the network", "type": "boolean"},
            "files": {"description": "All files that are installed", "type": "array", "items": file},
        },
    });
    let tasks = json!({"type": "object", "additionalProperties": task});
    json!({"description": format!("What {program} installs, by platform and task"), "type": "object", "additionalProperties": tasks})
}

/// What bases were, by reference.
fn bases() -> Value {
    let pocket = json!({
        "type": "object",
        "required": ["suite", "date", "uri", "index", "sha256", "size"],
        "properties": {
            "suite": {"description": "Its name in the archive", "type": "string"},
            "date": {"description": "`Date` of its release", "type": "string"},
            "uri": {"description": "The archive, without a slash at its end", "type": "string"},
            "index": {"description": "The path of the package index, below the archive", "type": "string"},
            "sha256": described(sha256(), "The digest of the index"),
            "size": {"description": "The size of the index in bytes", "type": "integer", "minimum": 0},
        },
    });
    let archive = json!({
        "type": "object",
        "required": ["distribution", "components", "pockets"],
        "properties": {
            "distribution": {"description": "`debian` or `ubuntu`", "type": "string"},
            "components": {"description": "Components of the base's own apt sources", "type": "string"},
            "pockets": {"description": "The suite itself, its updates and its security updates", "type": "array", "items": pocket},
        },
    });
    let base = json!({
        "description": "`digest`, or for a `deb:` base what the archive was, by platform",
        "type": "object",
        "properties": {"digest": {"description": "The digest of the image", "type": "string", "pattern": "^sha256:[0-9a-f]{64}$"}},
        "additionalProperties": archive,
    });
    json!({"description": "What bases were, by reference", "type": "object", "additionalProperties": base})
}

/// What apt installs for a task, by platform and task.
fn closures() -> Value {
    let word = |what: &str| json!({"description": what, "type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9+.:~-]*$"});
    let deb = json!({
        "type": "object",
        "required": ["package", "version", "arch", "archive", "filename", "sha256", "size"],
        "properties": {
            "package": word("What the package is called"),
            "version": word("Its version"),
            "arch": word("Debian's name of its architecture, or `all`"),
            "archive": {"description": "The archive that it is in, without a slash at its end", "type": "string"},
            "filename": {"description": "Its path below the archive", "type": "string"},
            "sha256": sha256(),
            "size": {"description": "The size in bytes", "type": "integer", "minimum": 0},
        },
    });
    let task = json!({
        "type": "object",
        "required": ["closure"],
        "properties": {
            "packages": {"description": "What the task asks for", "type": "array", "items": text()},
            "recommends": {"description": "Whether recommended packages were wanted as well", "type": "boolean"},
            "suite": {"description": "The suite of the base, where its reference does not say it", "type": "string"},
            "closure": {"description": "All that apt installs, in its order", "type": "array", "items": deb},
        },
    });
    let tasks = json!({"type": "object", "additionalProperties": task});
    json!({"description": "What apt installs, by platform and task", "type": "object", "additionalProperties": tasks})
}
