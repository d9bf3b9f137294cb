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
        git: BTreeSet::new(),
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

/// A dependency that a lockfile pins, with the digest of its URL.
fn pinned(kind: &str, name: &str, version: &str, more: &Value) -> Value {
    let url = format!("https://a.example/{name}-{version}");
    let mut annotations = json!({"kind": "package", "type": kind, "version": version});
    for (name, value) in more.as_object().into_iter().flatten() {
        annotations[name] = value.clone();
    }
    let sha256 = layers::digest::Digest::of(&url).hex();
    json!({"name": name, "uri": url, "digest": {"sha256": sha256}, "annotations": annotations})
}

#[test]
fn what_was_fetched_is_said_of_the_package_itself() {
    let cargo = |name: &str| CargoPackage { name: name.into(), version: "1.0.0".into(), from_registry: true };
    let inventory = Inventory {
        distribution: Some(Distribution { id: "debian".into(), version: Some("12".into()) }),
        debian: [debian("jq", "2:1.6~rc1-2.1+b1", None)].into(),
        python: [
            PythonPackage { name: "Foo.Bar".into(), version: "1.0".into(), homepage: None },
            PythonPackage { name: "idna".into(), version: "3.7".into(), homepage: None },
        ]
        .into(),
        npm: [NpmPackage { name: "@s/cow".into(), version: "2.0.0".into(), homepage: None }].into(),
        cargo: [cargo("tool"), cargo("other")].into(),
        git: BTreeSet::new(),
        complete: true,
    };
    let part_of = |crates: &str| json!({"part-of": crates});
    let dependencies = json!([
        pinned("deb", "jq", "2:1.6~rc1-2.1+b1", &json!({"architecture": "amd64"})),
        pinned("deb", "gone", "1", &json!({})),
        pinned("pypi", "foo-bar", "1", &json!({})),
        // A later task installed another version in its place.
        pinned("pypi", "idna", "3.20", &json!({})),
        pinned("pypi", "idna", "3.7", &json!({})),
        pinned("pypi", "setuptools", "70", &json!({"build": "true"})),
        pinned("npm", "@s/cow", "2.0.0", &json!({})),
        pinned("cargo", "tool", "1.0.0", &json!({})),
        pinned("cargo", "other", "1.0.0", &json!({})),
        pinned("cargo", "serde", "1.0.200", &part_of("other@1.0.0 tool@1.0.0")),
        pinned("cargo", "itoa", "1.0.1+x", &part_of("tool@1.0.0")),
    ]);
    let document = made(&dependencies, &inventory);
    let packages = document["packages"].as_array().unwrap();
    let one = |name: &str| {
        let mut all = packages.iter().filter(|package| package["name"] == name);
        let found = all.next().unwrap_or_else(|| panic!("no {name}: {packages:#?}"));
        assert!(all.next().is_none(), "{name} stands there twice");
        found
    };
    for (name, file, purl) in [
        ("jq", "jq-2:1.6~rc1-2.1+b1", "pkg:deb/debian/jq@2:1.6~rc1-2.1%2Bb1?arch=amd64&distro=debian-12"),
        ("Foo.Bar", "foo-bar-1", "pkg:pypi/foo.bar@1.0"),
        ("idna", "idna-3.7", "pkg:pypi/idna@3.7"),
        ("setuptools", "setuptools-70", "pkg:pypi/setuptools@70"),
        ("@s/cow", "@s/cow-2.0.0", "pkg:npm/%40s/cow@2.0.0"),
        ("tool", "tool-1.0.0", "pkg:cargo/tool@1.0.0"),
        ("other", "other-1.0.0", "pkg:cargo/other@1.0.0"),
        ("serde", "serde-1.0.200", "pkg:cargo/serde@1.0.200"),
        ("itoa", "itoa-1.0.1+x", "pkg:cargo/itoa@1.0.1%2Bx"),
    ] {
        let (found, url) = (one(name), format!("https://a.example/{file}"));
        assert_eq!(found["externalRefs"][0]["referenceLocator"], purl);
        assert_eq!(found["downloadLocation"], url);
        assert_eq!(found["checksums"][0]["checksumValue"], layers::digest::Digest::of(&url).hex());
    }
    assert_eq!(packages.len(), 1 + 9, "what dpkg does not know is not in the image");
    let related = |from: &str, to: &str| {
        let relations = document["relationships"].as_array().unwrap().iter();
        let mut found = relations.filter(|one| one["spdxElementId"] == from && one["relatedSpdxElement"] == to);
        found.next().map(|one| one["relationshipType"].as_str().unwrap().to_owned())
    };
    let id = |name: &str| one(name)["SPDXID"].as_str().unwrap();
    for (from, to) in [("tool", "serde"), ("other", "serde"), ("tool", "itoa")] {
        assert_eq!(related(id(from), id(to)).as_deref(), Some("DEPENDS_ON"), "{from} {to}");
    }
    assert_eq!((related(id("other"), id("itoa")), related(IMAGE, id("serde"))), (None, None));
    assert_eq!(related(id("setuptools"), IMAGE).as_deref(), Some("BUILD_DEPENDENCY_OF"));
    assert_eq!(related(IMAGE, id("@s/cow")).as_deref(), Some("CONTAINS"));
}

#[test]
fn repositories_that_no_task_names_stand_beside_those_of_tasks() {
    let (one, two) = ("c".repeat(40), "d".repeat(40));
    let found = |path: &str, url: &str, commit: &String| GitRepository {
        path: path.into(),
        url: url.into(),
        commit: commit.clone(),
    };
    let git = [
        found("/opt/sdk", "https://a.example/sdk.git", &one),
        found("/opt/sdk/hal", "https://a.example/hal.git", &two),
        found("/opt/loose", "https://a.example/loose", &two),
    ];
    let inventory = Inventory { git: git.into(), complete: true, ..Inventory::default() };
    let checkouts = json!([
        {"name": "sdk", "uri": "https://a.example/sdk.git", "digest": {"gitCommit": one}, "annotations": {"kind": "git", "revision": "v1"}},
        {"name": "loose", "uri": "https://a.example/loose", "annotations": {"kind": "git", "revision": "main"}},
    ]);
    let document = made(&checkouts, &inventory);
    let packages = document["packages"].as_array().unwrap();
    let of = |name: &str| packages.iter().filter(|package| package["name"] == name).collect::<Vec<_>>();
    assert_eq!((of("sdk").len(), of("loose").len(), of("hal").len()), (1, 1, 1));
    assert_eq!(of("sdk")[0]["sourceInfo"], "`v1` of the git repository, in /opt/sdk");
    // What nobody has pinned is known where it is.
    assert_eq!(of("loose")[0]["versionInfo"], json!(two));
    assert_eq!(of("loose")[0]["sourceInfo"], "`main` of the git repository, in /opt/loose");
    let hal = of("hal")[0];
    assert_eq!(hal["versionInfo"], json!(two));
    assert_eq!(hal["downloadLocation"], json!(format!("git+https://a.example/hal.git@{two}")));
    assert_eq!(hal["sourceInfo"], "the git repository in /opt/sdk/hal");
    let contains = json!({"spdxElementId": IMAGE, "relationshipType": "CONTAINS", "relatedSpdxElement": hal["SPDXID"]});
    assert!(document["relationships"].as_array().unwrap().contains(&contains));
}

#[test]
fn no_commit_is_said_of_a_checkout_that_may_be_another_one() {
    let (one, two) = ("c".repeat(40), "d".repeat(40));
    let url = "https://a.example/sdk.git";
    let found =
        |path: &str, commit: &String| GitRepository { path: path.into(), url: url.into(), commit: commit.clone() };
    let inventory = Inventory {
        git: [found("/opt/a", &one), found("/opt/b", &two)].into(),
        complete: true,
        ..Inventory::default()
    };
    let checkout =
        |revision: &str| json!({"name": "sdk", "uri": url, "annotations": {"kind": "git", "revision": revision}});
    for checkouts in [json!([checkout("v1")]), json!([checkout("v1"), checkout("v2")])] {
        let document = made(&checkouts, &inventory);
        let packages = document["packages"].as_array().unwrap().iter().filter(|package| package["name"] == "sdk");
        let versions: Vec<_> = packages.map(|package| package["versionInfo"].as_str().map(str::to_owned)).collect();
        let said: Vec<&String> = versions.iter().flatten().collect();
        assert_eq!(said, [&one, &two], "each is there by itself, and no task's revision is said to be it");
        assert_eq!(versions.len(), checkouts.as_array().unwrap().len() + 2);
    }
}

#[test]
fn a_package_of_no_archive_stands_there_once_whatever_its_file_is_called() {
    let inventory =
        Inventory { debian: [debian("acme-tool", "1.0", None)].into(), complete: true, ..Inventory::default() };
    let names = |annotations: Value| {
        let file = json!([{
            "name": "latest.deb", "uri": "https://a.example/latest.deb", "digest": {"sha256": "b".repeat(64)},
            "annotations": annotations,
        }]);
        let document = made(&file, &inventory);
        let packages = document["packages"].as_array().unwrap().iter().skip(1);
        packages.map(|package| package["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(json!({"kind": "download", "type": "deb"})), ["acme-tool"]);
    assert_eq!(names(json!({"kind": "download"})), ["acme-tool", "latest.deb"], "one that a task only fetches");
}

#[test]
fn people_are_no_organizations() {
    for (maintainer, supplier) in [
        ("Santiago Vila <sanvila@a.example>", "Person: Santiago Vila (sanvila@a.example)"),
        ("Debian GCC Maintainers <gcc@lists.a.example>", "Organization: Debian GCC Maintainers (gcc@lists.a.example)"),
        ("dpkg <dpkg@lists.a.example>", "Organization: dpkg (dpkg@lists.a.example)"),
        ("Somebody", "Person: Somebody"),
        ("", "NOASSERTION"),
    ] {
        assert_eq!(super::maintained_by(maintainer), supplier);
    }
}
