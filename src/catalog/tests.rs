//! Catalogs of a few files, right and wrong.

use std::path::Path;

use tempfile::TempDir;

use super::*;

const INDEX: &str = "\
spec_version: 1
id: toolchain.arm-gnu.arm-none-eabi
type: index
aliases: {latest: 14.2.rel1, stable: 13.3.rel1}
versions:
  - {version: 14.2.rel1, file: 14.2.rel1.yaml, status: preview}
  - {version: 13.3.rel1, file: 13.3.rel1.yaml, status: stable}
";

const VERSION: &str = "\
spec_version: 1
id: toolchain.arm-gnu.arm-none-eabi
version: 13.3.rel1
name: Arm GNU Toolchain
capabilities: [toolchain.gcc, target.cortex-m]
providers:
  - id: git
    method: git
    host_platforms:
      linux/amd64: {url: 'https://a.example/gcc.git', version: v13.3}
      linux/riscv64: {url: 'https://a.example/gcc.git', version: v13.3}
  - id: archive
    method: archive
    host_platforms:
      linux/amd64:
        url: https://a.example/gcc.tar.xz
        sha256: 2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90
install_hints: {creates: bin/gcc, env_vars: {CROSS_COMPILE: arm-none-eabi-}, requires_tool: west}
lifecycle: {status: stable, released_at: 2024-06-01}
";

fn write(root: &Path, path: &str, text: &str) {
    std::fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
    std::fs::write(root.join(path), text).unwrap();
}

fn catalog() -> (TempDir, Catalog) {
    let directory = tempfile::tempdir().unwrap();
    // As published: beside other things of the repository.
    let place = directory.path().join("catalog/toolchains/arm-gnu/arm-none-eabi");
    write(&place, "index.yaml", INDEX);
    write(&place, "13.3.rel1.yaml", VERSION);
    write(
        &place,
        "14.2.rel1.yaml",
        &VERSION.replace("version: 13.3.rel1", "version: 14.2.rel1").replace("method: git", "method: gti"),
    );
    let catalog = Catalog::open(directory.path()).unwrap();
    (directory, catalog)
}

#[test]
fn a_package_may_be_the_same_on_every_platform() {
    let (_directory, catalog) = catalog();
    let place = catalog.directory.join("tools/python/kas");
    write(&place, "index.yaml", &INDEX.replace("toolchain.arm-gnu.arm-none-eabi", "tool.python.kas"));
    let text = "spec_version: 1\nid: tool.python.kas\nversion: 13.3.rel1\nproviders:\n";
    write(&place, "13.3.rel1.yaml", &format!("{text}  - {{id: pip, method: pip, package: kas, version: 4.3.2}}\n"));
    for platform in ["linux/amd64", "linux/riscv64"] {
        let resolved = catalog.resolve("tool.python.kas", platform).unwrap();
        assert_eq!((resolved.package(), resolved.pinned_version()), (Some("kas"), "4.3.2"));
    }
    // Of an archive, nobody knows for what it would be.
    write(&place, "13.3.rel1.yaml", &format!("{text}  - {{id: x, method: archive, url: 'https://a.example/x'}}\n"));
    let error = catalog.resolve("tool.python.kas", "linux/amd64").unwrap_err();
    assert!(format!("{error:?}").contains("host_platforms"), "{error:?}");
}

#[test]
fn a_reference_becomes_an_artifact() {
    let (_directory, catalog) = catalog();
    for reference in ["toolchain.arm-gnu.arm-none-eabi", "toolchain.arm-gnu.arm-none-eabi@13.3.rel1"] {
        let resolved = catalog.resolve(reference, "linux/amd64").unwrap();
        assert_eq!((resolved.version.as_str(), resolved.method), ("13.3.rel1", Method::Archive));
        assert_eq!(resolved.url(), Some("https://a.example/gcc.tar.xz"));
        assert!(resolved.sha256().unwrap().hex().starts_with("2bd806c9"));
        assert_eq!(resolved.status.as_deref(), Some("stable"));
    }
    let elsewhere = catalog.resolve("toolchain.arm-gnu.arm-none-eabi@stable", "linux/riscv64").unwrap();
    assert_eq!((elsewhere.method, elsewhere.sha256()), (Method::Git, None));
}

#[test]
fn what_is_not_there_is_said_with_what_may_be_meant() {
    let (_directory, catalog) = catalog();
    let fails = |reference: &str, platform: &str| {
        let error = catalog.resolve(reference, platform).unwrap_err();
        (error.to_string(), error.hint().unwrap_or_default())
    };
    let (message, hint) = fails("toolchain.arm-gnu.arm-none-eabj", "linux/amd64");
    assert_eq!(message, "the catalog has no toolchain.arm-gnu.arm-none-eabj");
    assert_eq!(hint, "did you mean `toolchain.arm-gnu.arm-none-eabi`?");
    let (_, hint) = fails("sdk.arm.arm-none-eabi", "linux/amd64");
    assert_eq!(hint, "did you mean `toolchain.arm-gnu.arm-none-eabi`?");
    let (message, hint) = fails("toolchain.arm-gnu.arm-none-eabi@13.3.rel2", "linux/amd64");
    assert!(message.contains("has no version `13.3.rel2`") && hint.contains("13.3.rel1"), "{message} {hint}");
    let (_, hint) = fails("toolchain.arm-gnu.arm-none-eabi@lts", "linux/amd64");
    assert_eq!(hint, "there are latest, stable, 14.2.rel1, 13.3.rel1");
    let (message, hint) = fails("toolchain.arm-gnu.arm-none-eabi", "linux/arm64");
    assert!(message.ends_with("is not there for linux/arm64"), "{message}");
    assert_eq!(hint, "it is there for linux/amd64, linux/riscv64");
    assert!(fails("gcc", "linux/amd64").1.contains("<kind>.<vendor>.<tool>"));
}

#[test]
fn a_broken_version_is_named_and_hides_nothing_else() {
    let (_directory, catalog) = catalog();
    let error = catalog.resolve("toolchain.arm-gnu.arm-none-eabi@latest", "linux/amd64").unwrap_err();
    let message = error.to_string();
    assert!(message.contains("14.2.rel1.yaml:8:13: there is no method `gti`"), "{message}");
    assert!(catalog.resolve("toolchain.arm-gnu.arm-none-eabi", "linux/amd64").is_ok());
}

#[test]
fn a_survey_tells_tools_and_problems() {
    let (_directory, catalog) = catalog();
    let root = catalog.directory();
    let west = INDEX.replace("toolchain.arm-gnu.arm-none-eabi", "tool.python.west");
    write(root, "tools/python/west/index.yaml", &west.replace("stable: 13.3.rel1", "stable: 9"));
    write(root, "sdks/zephyr/zephyr-sdk/index.yaml", "spec_version: 1\nid: sdk.zephyr.sdk\nversions: []\n");
    write(root, "sdks/zephyr/tabs/index.yaml", "spec_version: 1\n\tid: x\n");
    std::fs::create_dir_all(root.join("sdks/zephyr/empty")).unwrap();
    let survey = catalog.survey();
    let ids: Vec<&str> = survey.tools.iter().map(|tool| tool.id.as_str()).collect();
    assert_eq!(ids, ["tool.python.west", "toolchain.arm-gnu.arm-none-eabi"]);
    let places: Vec<String> =
        survey.problems.diagnostics.iter().map(|error| survey.problems.sources.place(error.span)).collect();
    let ends = ["tabs/index.yaml:2:1", "zephyr-sdk/index.yaml:2:5", "west/index.yaml:4:38", "west/14.2.rel1.yaml:1:1"];
    assert_eq!(places.len(), ends.len(), "{places:?}");
    assert!(places.iter().zip(ends).all(|(place, end)| place.ends_with(end)), "{places:?}");
    let finds = |words: &[&str]| {
        let words: Vec<String> = words.iter().map(|word| word.to_lowercase()).collect();
        survey.tools.iter().filter(|tool| tool.matches(&words)).count()
    };
    assert_eq!((finds(&["CORTEX"]), finds(&["arm", "gcc"]), finds(&["gnu toolchain"]), finds(&["avr"])), (1, 1, 1, 0));
}

#[test]
fn no_link_leads_out() {
    let (directory, catalog) = catalog();
    let secret = directory.path().join("secret.yaml");
    std::fs::write(&secret, "password: hunter2\n").unwrap();
    let place = catalog.directory().join("toolchains/arm-gnu/arm-none-eabi/13.3.rel1.yaml");
    std::fs::remove_file(&place).unwrap();
    std::os::unix::fs::symlink(&secret, &place).unwrap();
    let error = catalog.resolve("toolchain.arm-gnu.arm-none-eabi", "linux/amd64").unwrap_err();
    assert!(error.to_string().contains("leads out of the catalog"), "{error}");
}
