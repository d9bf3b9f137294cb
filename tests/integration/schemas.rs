//! `alloy schema`, judged by a validator that is not alloy's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::diagnostics::directories;
use crate::support::{Store, repository, run, shared, text, tool};

const KINDS: [&str; 7] = ["manifest", "tasks", "variables", "lock", "catalog-index", "catalog-version", "config"];

/// The schemas, each in a file of its own.
fn schemas() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for kind in KINDS {
        let schema = shared().run(&["schema", kind]).ok().stdout;
        std::fs::write(directory.path().join(kind), schema).unwrap();
    }
    directory
}

/// What is wrong with each file by the schema of its kind.
fn validate(files: &[(&str, PathBuf)]) -> BTreeMap<PathBuf, Vec<String>> {
    let schemas = schemas();
    let script = repository("tests/integration/support/validate.py");
    let paths = files.iter().flat_map(|(kind, file)| [schemas.path().join(kind), file.clone()]);
    let arguments: Vec<String> = std::iter::once(script).chain(paths).map(|path| text(&path).to_owned()).collect();
    let ended = tool("python3", &arguments.iter().map(String::as_str).collect::<Vec<_>>()).ok();
    serde_json::from_str(&ended.stdout).unwrap()
}

fn kind(file: &Path) -> Option<&'static str> {
    match file.file_name()?.to_str()? {
        "manifest.yml" => Some("manifest"),
        "variables.yml" => Some("variables"),
        "alloy.lock.yml" => Some("lock"),
        name => name.ends_with(".yml").then_some("tasks"),
    }
}

fn files_of(directory: &Path) -> Vec<(&'static str, PathBuf)> {
    let paths = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    paths.filter_map(|path| Some((kind(&path)?, path))).collect()
}

#[test]
fn every_good_blueprint_and_example_fits() {
    let all = [directories("testdata/blueprints/ok"), directories("examples")].concat();
    let files: Vec<_> = all.iter().flat_map(|directory| files_of(directory)).collect();
    assert!(files.len() > 30);
    for (file, errors) in validate(&files) {
        assert!(errors.is_empty(), "{}: {errors:?}", file.display());
    }
}

#[test]
fn bad_ones_do_not() {
    let bad = [
        "a-mapping-of-tasks",
        "always-run-in-quotes",
        "build-artifact-source",
        "command-is-a-list",
        "empty-run-order",
        "file-above-the-blueprint",
        "file-by-absolute-path",
        "git-clone-option",
        "image-base",
        "image-cmd-is-a-text",
        "image-env-is-a-list",
        "image-field",
        "image-is-a-text",
        "image-user",
        "image-workdir",
        "lock-commit",
        "lock-digest",
        "lock-without-url",
        "manifest-is-a-list",
        "mcu-sdk-method",
        "missing-in-apt-install",
        "missing-in-write-env-file",
        "mode-is-a-list",
        "name-is-a-list",
        "no-action",
        "no-run-order",
        "no-task-name",
        "packages-is-a-mapping",
        "path-relative",
        "per-arch-field",
        "per-arch-unknown",
        "required-env-name",
        "required-env-of-texts",
        "run-order-is-a-text",
        "sha256-characters",
        "sha256-length",
        "strip-components-is-a-word",
        "strip-components-negative",
        "supported-host-without-architecture",
        "toolchain-kind",
        "toolchain-without-ref",
        "unknown-action",
        "unknown-manifest-field",
        "url-is-a-list",
        "variable-is-a-mapping",
        "variable-name",
        "yocto-tool",
    ];
    let directories: Vec<_> = bad.iter().map(|name| repository("testdata/blueprints/bad").join(name)).collect();
    let files: Vec<_> = directories.iter().flat_map(|directory| files_of(directory)).collect();
    let errors = validate(&files);
    for directory in directories {
        let refused = errors.iter().any(|(file, errors)| file.starts_with(&directory) && !errors.is_empty());
        assert!(refused, "{} fits", directory.display());
    }
}

/// What the schema takes alloy takes, and what alloy refuses it refuses.
#[test]
fn a_configuration_is_judged_alike() {
    let store = Store::new();
    for (directory, good) in [("ok", true), ("bad", false)] {
        let directory = repository("testdata/config").join(directory);
        let files: Vec<PathBuf> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(files.len() > 3);
        let errors = validate(&files.iter().map(|file| ("config", file.clone())).collect::<Vec<_>>());
        for file in files {
            assert_eq!(errors[&file].is_empty(), good, "{}: {:?}", file.display(), errors[&file]);
            let home = tempfile::tempdir().unwrap();
            std::fs::create_dir(home.path().join("alloy")).unwrap();
            std::fs::copy(&file, home.path().join("alloy/config.yml")).unwrap();
            let mut pull = store.alloy(&["pull", "127.0.0.1:1/none:1"]);
            let ended =
                run(pull.env("XDG_CONFIG_HOME", home.path()).env("CI_JOB_TOKEN", "x").env("ARTIFACTS_TOKEN", "x"));
            let refused = ended.stderr.contains("the configuration has an error");
            assert_eq!(refused, !good, "{}: {}", file.display(), ended.stderr);
        }
    }
}

const INDEX: &str = "\
spec_version: 1
id: toolchain.arm-gnu.arm-none-eabi
type: index
aliases: {latest: 14.2.rel1, stable: 13.3.rel1}
versions:
  - {version: 14.2.rel1, file: 14.2.rel1.yaml, status: active}
  - {version: 13.3.rel1, file: 13.3.rel1.yaml, status: active}
";

const VERSION: &str = "\
spec_version: 1
id: tool.zephyr.west
version: 1.3.0
name: west
homepage: https://example.com/west
license: Apache-2.0
capabilities: [zephyr, build]
providers:
  - id: archive
    method: archive
    host_platforms:
      linux/amd64: {url: https://example.com/x.tar.xz, sha256: 2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90}
  - id: pip
    method: pip
    host_platforms:
      linux/amd64: {package: west, version: 1.3.0}
  - id: git
    method: git
    host_platforms:
      linux/arm64: {url: https://example.com/west.git, version: v1.3.0}
install_hints: {creates: /usr/local/bin/west, env_vars: {ZEPHYR_BASE: /opt/zephyr}, note: wants Python, requires_tool: pip}
lifecycle: {status: active, released_at: 2024-09-02}
";

#[test]
fn so_with_the_files_of_a_catalog() {
    let directory = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    let mut file = |kind, name: &str, content: String| {
        std::fs::write(directory.path().join(name), content).unwrap();
        files.push((kind, directory.path().join(name)));
    };
    file("catalog-index", "good-index", INDEX.into());
    file("catalog-version", "good-version", VERSION.into());
    for (number, (from, to)) in
        [("type: index", "type: list"), ("id: toolchain.", "id: compiler."), ("file: 14.2.rel1.yaml, ", "")]
            .iter()
            .enumerate()
    {
        file("catalog-index", &format!("bad-index-{number}"), INDEX.replace(from, to));
    }
    for (number, (from, to)) in [
        ("method: pip", "method: npm"),
        ("package: west, ", ""),
        ("linux/arm64", "arm64"),
        (", sha256: 2bd8", ", sha256: 2bdx"),
        ("spec_version: 1", "spec_version: 2"),
        ("providers:", "sources:"),
    ]
    .iter()
    .enumerate()
    {
        file("catalog-version", &format!("bad-version-{number}"), VERSION.replace(from, to));
    }
    for (file, errors) in validate(&files) {
        let good = text(Path::new(file.file_name().unwrap())).starts_with("good");
        assert_eq!(errors.is_empty(), good, "{}: {errors:?}", file.display());
    }
}

/// Every field that an editor completes says what it is for.
#[test]
fn every_field_is_described() {
    fn look(value: &serde_json::Value, path: &str) {
        if let Some(properties) = value["properties"].as_object() {
            for (name, schema) in properties {
                // Conditions repeat a field without its words.
                let words = schema["description"].is_string() || path.contains("if") || path.contains("then");
                assert!(words, "{path}.{name} has no description");
            }
        }
        if let Some(object) = value.as_object() {
            object.iter().for_each(|(name, value)| look(value, &format!("{path}.{name}")));
        }
        value.as_array().into_iter().flatten().for_each(|value| look(value, path));
    }
    for kind in KINDS {
        let schema = shared().run(&["schema", kind]).ok().stdout;
        look(&serde_json::from_str(&schema).unwrap(), kind);
    }
}
