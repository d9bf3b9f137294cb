use super::*;

fn root(files: &[(&str, &str)]) -> (tempfile::TempDir, Root) {
    let directory = tempfile::tempdir().unwrap();
    let root = Root::open(directory.path()).unwrap();
    for (path, text) in files {
        let path = Path::new(path);
        root.create_dir_all(path.parent().unwrap(), 0o755).unwrap();
        root.write_file(path, &mut text.as_bytes(), 0o644).unwrap();
    }
    (directory, root)
}

const STATUS: &str = "\
Package: zlib1g\nStatus: install ok installed\nMaintainer: Mark Brown <broonie@debian.example>\nArchitecture: amd64
Source: zlib\nVersion: 1:1.2.13.dfsg-1\nHomepage: http://zlib.example/\nDescription: compression\n more\n
Package: gone\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1\n
Package: gcc\nStatus: install ok half-configured\nArchitecture: amd64\nVersion: 4:12.2\nSource: gcc-defaults (1.203)\n
Package: bad name\nStatus: install ok installed\nVersion: 1\n
Package: no-version\nStatus: install ok installed\n";

#[test]
fn what_dpkg_has_installed() {
    let (_directory, root) = root(&[
        ("var/lib/dpkg/status", STATUS),
        ("var/lib/dpkg/status.d/base", "Package: base-files\nVersion: 12\nArchitecture: arm64\n"),
        ("var/lib/dpkg/status.d/base.md5sums", "Package: not-one\nVersion: 1\n"),
        ("etc/os-release", "NAME=\"Debian\"\nVERSION_ID=\"12\"\nID=debian\n"),
    ]);
    let inventory = look(&root);
    let distribution = inventory.distribution.unwrap();
    assert_eq!((distribution.id.as_str(), distribution.version.as_deref()), ("debian", Some("12")));
    let names: Vec<&str> = inventory.debian.iter().map(|package| package.name.as_str()).collect();
    assert_eq!(names, ["base-files", "gcc", "zlib1g"]);
    let zlib = inventory.debian.last().unwrap();
    assert_eq!(zlib.source, Some(("zlib".into(), "1:1.2.13.dfsg-1".into())));
    assert_eq!(zlib.maintainer.as_deref(), Some("Mark Brown <broonie@debian.example>"));
    assert_eq!(zlib.homepage.as_deref(), Some("http://zlib.example/"));
    assert_eq!(inventory.debian.iter().nth(1).unwrap().source, Some(("gcc-defaults".into(), "1.203".into())));
    assert!(inventory.complete);
}

#[test]
fn python_anywhere_but_what_dpkg_owns() {
    let own = "usr/lib/python3/dist-packages/six-1.16.0.egg-info";
    let (_directory, root) = root(&[
        ("opt/tool/venv/lib/python3.11/site-packages/PyYAML-6.0.dist-info/METADATA", "Name: PyYAML\nVersion: 6.0\n"),
        (
            "home/dev/.local/lib/python3.11/site-packages/a-1.egg-info",
            "name: a\nversion: 1\nHome-page: http://a.example\n",
        ),
        ("usr/local/lib/python3.11/dist-packages/b.egg-info/PKG-INFO", "Name: b\nVersion: 2\n\nName: c\n"),
        ("srv/broken-1.dist-info/METADATA", "Summary: nothing\n\nName: x\nVersion: 1\n"),
        ("srv/evil-1.dist-info/METADATA", "Name: \u{1b}[31m\nVersion: 1\n"),
        (&format!("{own}/PKG-INFO"), "Name: six\nVersion: 1.16.0\n"),
        ("var/lib/dpkg/info/python3-six.list", &format!("/.\n/usr\n/{own}\n/{own}/PKG-INFO\n")),
    ]);
    let found = look(&root).python;
    let found: Vec<(&str, &str)> = found.iter().map(|p| (p.name.as_str(), p.version.as_str())).collect();
    assert_eq!(found, [("PyYAML", "6.0"), ("a", "1"), ("b", "2")]);
}

#[test]
fn crates_of_every_cargo_home() {
    let record = r#"{"installs": {
        "ripgrep 14.1.0 (registry+https://github.com/rust-lang/crates.io-index)": {"bins": ["rg"]},
        "own 0.1.0 (path+file:///srv/own)": {}, "nonsense": {}}}"#;
    let (_directory, root) =
        root(&[("usr/local/cargo/.crates2.json", record), ("home/dev/.cargo/.crates2.json", "not JSON")]);
    let found = look(&root).cargo;
    let found: Vec<_> = found.iter().map(|c| (c.name.as_str(), c.version.as_str(), c.from_registry)).collect();
    assert_eq!(found, [("own", "0.1.0", false), ("ripgrep", "14.1.0", true)]);
}

#[test]
fn odd_files_are_passed_over() {
    let (directory, root) = root(&[("srv/x", ""), ("proc/p-1.egg-info", "Name: p\nVersion: 1\n")]);
    let site = root.directory(Path::new("srv")).unwrap();
    site.symlink(OsStr::new("loop-1.egg-info"), Path::new("loop-1.egg-info")).unwrap();
    site.symlink(OsStr::new("up"), Path::new("/")).unwrap();
    // Reading it would wait for ever.
    site.create_dir(OsStr::new("pipe-1.dist-info"), 0o755).unwrap();
    let pipe = root.directory(Path::new("srv/pipe-1.dist-info")).unwrap();
    pipe.node(OsStr::new("METADATA"), FileKind::Fifo, (0, 0)).unwrap();
    root.create_dir_all(Path::new("var/lib/dpkg/status"), 0o755).unwrap();
    std::fs::write(directory.path().join("srv/.crates2.json"), vec![b'['; 1 << 20]).unwrap();
    assert_eq!(look(&root), Inventory { complete: true, ..Inventory::default() });
}

#[test]
fn packages_of_npm_but_what_dpkg_owns_and_what_is_a_part_of_one() {
    let record =
        |name: &str| format!("{{\"name\": \"{name}\", \"version\": \"1.0.0\", \"homepage\": \"https://a.example\"}}");
    let own = "usr/share/nodejs/node_modules/own/package.json";
    let (_directory, root) = root(&[
        ("usr/local/lib/node_modules/@s/a/package.json", &record("@s/a")),
        ("usr/local/lib/node_modules/@s/a/node_modules/b/package.json", &record("b")),
        ("usr/local/lib/node_modules/@s/a/dist/package.json", &record("part")),
        ("home/dev/.local/lib/node_modules/c/package.json", "not JSON"),
        ("srv/package.json", &record("mine")),
        (own, &record("own")),
        ("var/lib/dpkg/info/node-own.list", &format!("/{own}\n")),
    ]);
    let found = look(&root).npm;
    assert_eq!(found.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["@s/a", "b"]);
}

#[test]
fn what_is_in_several_layers_is_together() {
    let record = |name: &str| format!("{{\"name\": \"{name}\", \"version\": \"1.0.0\"}}");
    let (_one, below) = root(&[("opt/x/node_modules/a/package.json", &record("a"))]);
    let (_two, above) = root(&[("opt/y/node_modules/b/package.json", &record("b"))]);
    let (mut all, above) = (look(&below), look(&above));
    assert!(above.adds());
    all.add(above);
    assert_eq!(all.npm.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn repositories_and_their_submodules() {
    let commit = |digits: &str| digits.repeat(20);
    let origin =
        "[core]\n\tbare = false\n[remote \"origin\"]\n\turl = https://ann:hunter2@a.example/sdk.git\n\tfetch = x\n";
    let module = "[core]\n\tworktree = ../../../hal\n[remote \"origin\"]\n\turl = https://a.example/hal.git\n";
    let packed = format!("# pack-refs with: peeled\n{} refs/heads/main\n^{}\n", commit("0c"), commit("0d"));
    let (_directory, root) = root(&[
        ("opt/sdk/.git/HEAD", &format!("{}\n", commit("0a"))),
        ("opt/sdk/.git/config", origin),
        ("opt/sdk/.git/logs/HEAD", "x"),
        ("opt/sdk/.git/modules/hal/HEAD", &format!("{}\n", commit("0b"))),
        ("opt/sdk/.git/modules/hal/config", module),
        ("opt/sdk/.git/modules/hal/refs/remotes/origin/HEAD", "ref: refs/remotes/origin/main\n"),
        ("opt/west/.git/HEAD", "ref: refs/heads/main\n"),
        ("opt/west/.git/packed-refs", &packed),
        ("opt/west/.git/config", "[remote \"up\"]\n\turl = git@a.example:west.git\n"),
        ("opt/odd/.git/HEAD", "ref: ../../../etc/passwd\n"),
        ("opt/odd/.git/config", origin),
        ("opt/empty/.git/HEAD", "ref: refs/heads/main\n"),
        ("opt/empty/.git/config", origin),
        ("opt/no/HEAD", &commit("0e")),
        ("srv/.repo/projects/layers/a.git/HEAD", &commit("0f")),
        ("srv/.repo/projects/layers/a.git/config", "[remote \"o\"]\n\turl = https://a.example/a.git\n"),
        ("srv/.repo/projects/layers/a.git/refs/remotes/o/HEAD", "ref: refs/remotes/o/main\n"),
        ("srv/.repo/projects/layers/a.git/modules/drivers/hal/HEAD", &commit("1b")),
        (
            "srv/.repo/projects/layers/a.git/modules/drivers/hal/config",
            "[remote \"o\"]\n\turl = https://a.example/b.git\n",
        ),
        ("srv/.repo/projects/layers/a.git/modules/drivers/hal/modules/deep/HEAD", &commit("1c")),
        ("srv/.repo/projects/layers/a.git/modules/drivers/hal/modules/deep/config", origin),
        ("srv/.repo/projects/layers/a.git/subprojects/old/b.git/HEAD", &commit("1d")),
        ("srv/.repo/projects/layers/a.git/subprojects/old/b.git/config", origin),
        ("srv/.repo/projects/layers/a.git/subproject-objects/b.git/HEAD", &commit("0e")),
        ("srv/.repo/projects/layers/a.git/subproject-objects/b.git/config", origin),
        ("srv/.repo/project-objects/a.git/HEAD", &commit("0e")),
        ("srv/.repo/manifests.git/HEAD", &commit("1a")),
        ("srv/.repo/manifests.git/config", origin),
    ]);
    let found = look(&root).git;
    let found: Vec<_> = found.iter().map(|one| (one.path.as_str(), one.url.as_str(), one.commit.clone())).collect();
    let expected = [
        ("/opt/sdk", "https://a.example/sdk.git", commit("0a")),
        ("/opt/sdk/hal", "https://a.example/hal.git", commit("0b")),
        ("/opt/west", "git@a.example:west.git", commit("0c")),
        ("/srv/.repo/manifests", "https://a.example/sdk.git", commit("1a")),
        ("/srv/layers/a", "https://a.example/a.git", commit("0f")),
        ("/srv/layers/a/drivers/hal", "https://a.example/b.git", commit("1b")),
        ("/srv/layers/a/drivers/hal/deep", "https://a.example/sdk.git", commit("1c")),
        ("/srv/layers/a/old/b", "https://a.example/sdk.git", commit("1d")),
    ];
    assert_eq!(found, expected);
}
