use std::collections::BTreeMap;

use super::*;

fn statement(dependencies: &Value) -> Statement {
    let value = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "Tools", "digest": {"sha256": "a".repeat(64)}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "urn:x", "resolvedDependencies": dependencies,
                "externalParameters": {
                    "blueprint": {"name": "Tools", "version": "1.2.0"}, "platform": "linux/amd64",
                    "base": "deb:bookworm", "options": [], "secrets": [],
                },
                "internalParameters": {"sourceDateEpoch": 1_577_836_800, "compression": "zstd:2", "layers": []},
            },
            "runDetails": {"builder": {"id": "urn:y", "version": {}}},
        },
    });
    serde_json::from_value(value).unwrap()
}

fn debian(name: &str, version: &str, maintainer: Option<&str>) -> DebianPackage {
    DebianPackage {
        name: name.into(),
        version: version.into(),
        architecture: "amd64".into(),
        source: None,
        maintainer: maintainer.map(str::to_owned),
        homepage: Some("javascript:alert(1)".into()),
    }
}

fn made(dependencies: &Value, inventory: &Inventory) -> Value {
    serde_json::from_slice(&sbom(&statement(dependencies), inventory)).unwrap()
}

#[test]
fn packages_of_every_kind() {
    let inventory = Inventory {
        distribution: Some(Distribution { id: "debian".into(), version: Some("12".into()) }),
        debian: [debian("libstdc++6", "12.2.0-14", Some("Debian GCC (team) <gcc@x.example>"))].into(),
        python: [PythonPackage { name: "Foo_Bar".into(), version: "1".into(), homepage: None }].into(),
        npm: [NpmPackage { name: "@angular/cli".into(), version: "17.0.0".into(), homepage: None }].into(),
        cargo: [CargoPackage { name: "ripgrep".into(), version: "14.1.0".into(), from_registry: true }].into(),
        complete: true,
    };
    let sha256 = "b".repeat(64);
    let archive = json!([
        {"name": "t.tar.xz", "uri": "https://a.example/t.tar.xz", "digest": {"sha256": sha256}, "annotations": {"kind": "download"}},
        {"name": "sdk", "uri": "https://github.com/Some/SDK.git", "digest": {"gitCommit": "c".repeat(40)}, "annotations": {"kind": "git", "revision": "v1"}},
        {"name": "tool", "uri": "https://a.example/tool.git", "digest": {"gitCommit": "d".repeat(40)}, "annotations": {"kind": "git", "revision": "main"}},
        {"name": "ssh", "uri": "git@github.com:some/ssh.git", "digest": {"gitCommit": "d".repeat(40)}, "annotations": {"kind": "git", "revision": "main"}},
        {"name": "own", "uri": "file:///srv/own", "annotations": {"kind": "git", "revision": "main"}},
        {"name": "loose", "uri": "https://a.example/loose", "annotations": {"kind": "git", "revision": "main"}},
        {"name": "manifest.yml", "digest": {"sha256": sha256}, "annotations": {"kind": "blueprint"}},
    ]);
    let document = made(&archive, &inventory);
    let packages = document["packages"].as_array().unwrap();
    let purls: BTreeMap<&str, &str> = packages[1..]
        .iter()
        .map(|p| (p["name"].as_str().unwrap(), p["externalRefs"][0]["referenceLocator"].as_str().unwrap()))
        .collect();
    let (sdk, tool) = ("c".repeat(40), "d".repeat(40));
    let checksum = format!("checksum=sha256:{sha256}&download_url=https:%2F%2Fa.example%2Ft.tar.xz");
    let expected = BTreeMap::from([
        ("libstdc++6", "pkg:deb/debian/libstdc%2B%2B6@12.2.0-14?arch=amd64&distro=debian-12".to_owned()),
        ("Foo_Bar", "pkg:pypi/foo-bar@1".to_owned()),
        ("@angular/cli", "pkg:npm/%40angular/cli@17.0.0".to_owned()),
        ("ripgrep", "pkg:cargo/ripgrep@14.1.0".to_owned()),
        ("t.tar.xz", format!("pkg:generic/t.tar.xz?{checksum}")),
        ("sdk", format!("pkg:github/some/sdk@{sdk}")),
        ("tool", format!("pkg:generic/tool@{tool}?vcs_url=git%2Bhttps:%2F%2Fa.example%2Ftool.git%40{tool}")),
        ("ssh", format!("pkg:github/some/ssh@{tool}")),
        ("own", "pkg:generic/own".to_owned()),
        ("loose", "pkg:generic/loose?vcs_url=git%2Bhttps:%2F%2Fa.example%2Floose".to_owned()),
    ]);
    assert_eq!(purls, expected.iter().map(|(name, purl)| (*name, purl.as_str())).collect());
    assert_eq!(packages[1]["supplier"], "Organization: Debian GCC team (gcc@x.example)");
    assert_eq!(packages[1].get("homepage"), None);
    assert_eq!(packages[5]["downloadLocation"], "https://a.example/t.tar.xz");
    assert_eq!(packages[6]["downloadLocation"], format!("git+https://github.com/Some/SDK.git@{sdk}"));
    assert_eq!((&packages[7]["versionInfo"], packages[10].get("versionInfo")), (&json!(tool), None));
    assert_eq!(packages[8]["downloadLocation"], format!("git+git@github.com:some/ssh.git@{tool}"));
    assert_eq!(packages[9]["downloadLocation"], NOTHING_SAID);
    assert_eq!(document["creationInfo"]["created"], "2020-01-01T00:00:00Z");
    assert_eq!(packages[0]["checksums"][0]["checksumValue"], "a".repeat(64));
}

#[test]
fn ids_are_valid_and_of_one_package_each() {
    let inventory = Inventory {
        debian: [debian("a+b", "1", None), debian("a-b", "1", None), debian("a~b", "1", None)].into(),
        ..Inventory::default()
    };
    let document = made(&json!([]), &inventory);
    let packages = document["packages"].as_array().unwrap();
    let ids: BTreeSet<&str> = packages.iter().map(|package| package["SPDXID"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 4);
    let valid = |id: &&str| id["SPDXRef-".len()..].chars().all(|c| c.is_ascii_alphanumeric() || ".-".contains(c));
    assert!(ids.iter().all(valid), "{ids:?}");
    let related: BTreeSet<&str> = document["relationships"]
        .as_array()
        .unwrap()
        .iter()
        .map(|relation| relation["relatedSpdxElement"].as_str().unwrap())
        .collect();
    assert_eq!(related, ids);
}
