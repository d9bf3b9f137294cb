//! Packages of languages that a lockfile pins, on live hosts: the same files as in an image, lent for the time of the
//! commands.

use std::path::Path;

use crate::support::files::Files;
use crate::support::host::Host;
use crate::support::{blueprint, run, shared, text, with_tools};

const LOCK: &str = "alloy.lock.yml";

/// A program of `host` that notes in /srv/said what it is told.
fn program(host: &Host, name: &str, script: &str) {
    let path = host.at(&format!("usr/local/bin/{name}"));
    let note = format!("#!/bin/sh\n{script}\n{{ echo \"{name} $*\"; grep -c : /proc/net/dev; }} >> /srv/said\n");
    std::fs::write(&path, note).unwrap();
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
}

/// A package of each language, and what pins them.
fn pinned(files: &Files) -> tempfile::TempDir {
    files.script(
        "echo wheel > tiny-1.0-py3-none-any.whl
         mkdir -p package tool-1.0.0 dep-0.1.0; echo '{\"name\": \"cow\", \"version\": \"1.0.0\"}' > package/package.json
         tar -czf cow.tgz package; touch tool-1.0.0/Cargo.toml dep-0.1.0/Cargo.toml
         for name in tool-1.0.0 dep-0.1.0; do tar -czf $name.crate $name; done",
    );
    let file = |name: &str, version: &str, more: &str, file: &str| {
        let (url, sha256) = (files.url(file), files.sha256(file));
        format!("      - {{name: {name}, version: \"{version}\"{more}, url: \"{url}\", sha256: {sha256}, size: 1}}\n")
    };
    let task = |language: &str, asked: &str, files: &str| {
        let platforms = ["linux/amd64", "linux/arm64"].map(|platform| {
            format!("  {platform}:\n    \"tasks.yml: {language}\":\n      packages: [{asked}]\n      files:\n{files}")
        });
        format!("{language}:\n{}", platforms.concat())
    };
    let tool = file("tool", "1.0.0", "", "tool-1.0.0.crate") + &file("dep", "0.1.0", "", "dep-0.1.0.crate");
    let lock = [
        task("python", "tiny", &file("tiny", "1.0", "", "tiny-1.0-py3-none-any.whl")),
        task("npm", "cow", &file("cow", "1.0.0", ", path: cow", "cow.tgz")),
        task("rust", "tool@1.0.0", &tool),
    ];
    let manifest = "name: Languages\nversion: 1.0.0\nrun_order: [tasks.yml]\nimage: {base: 'rootfs:none'}\n";
    let tasks = "- {name: python, action: python_package, package: tiny}\n\
                 - {name: npm, action: npm_package, package: cow}\n\
                 - {name: rust, action: rust_package, package: tool, version: 1.0.0}\n";
    blueprint(&[("manifest.yml", manifest), ("tasks.yml", tasks), (LOCK, &lock.concat())])
}

#[test]
fn hosts_get_what_is_pinned() {
    let (host, files) = (Host::debian(), Files::serve());
    let blueprint = pinned(&files);
    program(&host, "pip3", "ls $ALLOY_PACKAGES >> /srv/said; stat -c '%a %U' $ALLOY_PACKAGES >> /srv/said");
    program(&host, "npm", "if [ \"$1\" = prefix ]; then echo /usr/local; exit; fi");
    program(
        &host,
        "cargo",
        "ls $CARGO_HOME/crates >> /srv/said; cat $CARGO_HOME/crates/dep-0.1.0/.cargo-* >> /srv/said",
    );
    host.install(shared(), blueprint.path(), &["--locked", "--strict"]).ok();
    let said = host.read("srv/said");
    let dep = format!("{{\"files\":{{}},\"package\":\"{}\"}}", files.sha256("dep-0.1.0.crate"));
    for part in [
        "tiny-1.0-py3-none-any.whl\n755 root\npip3 install --find-links /var/cache/alloy/packages-",
        " --no-index tiny==1.0\n1\n",
        "npm rebuild -g --ignore-scripts=false cow\n1\n",
        &format!("dep-0.1.0\ntool-1.0.0\n{dep}cargo install --locked --offline --config source.crates-io"),
        " --version 1.0.0 tool\n1\n",
    ] {
        assert!(said.contains(part), "no {part}: {said}");
    }
    assert!(!said.contains("--no-deps"), "pip says what of its dependencies the host lacks: {said}");
    assert!(host.read("usr/local/lib/node_modules/cow/package.json").contains("1.0.0"));
    let left = std::fs::read_dir(host.at("var/cache/alloy")).unwrap().count();
    assert_eq!(left, 0, "what is lent is gone when it was used");
    // What is done stays done, until something else is pinned.
    host.install(shared(), blueprint.path(), &["--locked"]).ok();
    assert_eq!(host.read("srv/said"), said);
    // What becomes of it is known, and put right.
    let package = "usr/local/lib/node_modules/cow/package.json";
    let state = text(blueprint.path());
    let whole = host.read(package);
    std::fs::write(host.at(package), "{}").unwrap();
    let drift = host.drift(shared(), &["--blueprint-dir", state]).fails(1).stdout;
    assert!(drift.contains(&format!("/{package}")), "{drift}");
    host.install(shared(), blueprint.path(), &["--locked", "--repair"]).ok();
    assert_eq!(host.read(package), whole);
    host.drift(shared(), &["--blueprint-dir", state]).ok();
    let said = host.read("srv/said");
    let lock = std::fs::read_to_string(blueprint.path().join(LOCK)).unwrap();
    files.script("touch dep-0.1.0/more; tar -czf more.crate dep-0.1.0");
    let other = lock.replace("dep-0.1.0.crate", "more.crate");
    let other = other.replace(&files.sha256("dep-0.1.0.crate"), &files.sha256("more.crate"));
    std::fs::write(blueprint.path().join(LOCK), other).unwrap();
    host.install(shared(), blueprint.path(), &["--locked"]).ok();
    let again = host.read("srv/said");
    assert!(again.starts_with(&said) && again.matches("cargo install").count() == 2, "{again}");
    assert_eq!(again.matches("pip3").count(), 1, "{again}");
    // What the host does not take, and what is pinned for nobody.
    program(&host, "pip3", "echo No matching distribution; exit 1");
    let other = lock.replace("version: \"1.0\"", "version: \"1.1\"");
    std::fs::write(blueprint.path().join(LOCK), other).unwrap();
    let failed = host.install(shared(), blueprint.path(), &[]).fails(1).stderr;
    assert!(failed.contains("alloy.lock.yml pins what this task installs, as it was found on the base"), "{failed}");
    std::fs::write(
        blueprint.path().join(LOCK),
        lock.replace("linux/amd64", "linux/s390x").replace("linux/arm64", "linux/riscv64"),
    )
    .unwrap();
    let refused = host.install(shared(), blueprint.path(), &["--locked"]).fails(3).stderr;
    assert_eq!(refused.matches("nothing pins what this task installs").count(), 3, "{refused}");
}

/// A wheel of `alloy-tiny` on the index of `files`, with a dependency.
fn wheel(files: &Files, name: &str, version: &str, needs: &str) {
    let normal = name.replace('_', "-");
    files.script(&format!(
        "mkdir -p work simple/{normal}; cd work; rm -rf *; echo \"version = '{version}'\" > {name}.py
         mkdir -p {name}-{version}.dist-info; cd {name}-{version}.dist-info
         printf 'Metadata-Version: 2.1\\nName: {normal}\\nVersion: {version}\\n{needs}' > METADATA
         printf 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n' > WHEEL; touch RECORD; cd ..
         zip -qr ../{name}-{version}-py3-none-any.whl *; cd ..
         echo '<a href=\"../../{name}-{version}-py3-none-any.whl\">w</a>' >> simple/{normal}/index.html"
    ));
}

#[test]
fn a_host_is_as_the_image_is() {
    let (host, files) = (Host::debian(), Files::serve());
    wheel(&files, "alloy_part", "1.0", "");
    wheel(&files, "alloy_whole", "1.0", "Requires-Dist: alloy-part\\n");
    let blueprint = with_tools("- {name: whole, action: python_package, package: alloy-whole, run_as: dev}\n");
    let index = files.url("simple");
    run(shared().alloy(&["lock", text(blueprint.path())]).env("PIP_INDEX_URL", &index)).ok();
    // Later there are newer ones, which nobody asks for.
    wheel(&files, "alloy_part", "2.0", "");
    wheel(&files, "alloy_whole", "2.0", "Requires-Dist: alloy-part\\n");
    let install = |host: &Host, blueprint: &Path| {
        run(host.command(shared(), blueprint, &["--locked"]).env("PIP_INDEX_URL", &index))
    };
    install(&host, blueprint.path()).ok();
    let script = "import alloy_whole, alloy_part; print(alloy_whole.version, alloy_part.version)";
    let chroot = ["--userspec=dev", text(host.path()), "env", "HOME=/home/dev", "python3", "-c", script];
    assert_eq!(crate::support::tool("chroot", &chroot).ok().stdout, "1.0 1.0\n");
    // One that lacks what the image had.
    let lock = std::fs::read_to_string(blueprint.path().join(LOCK)).unwrap();
    let part = lock.lines().find(|line| line.contains("{name: alloy-part")).unwrap();
    std::fs::write(blueprint.path().join(LOCK), lock.replace(&format!("{part}\n"), "")).unwrap();
    std::fs::remove_dir_all(host.at("home/dev/.local")).unwrap();
    let failed = install(&host, blueprint.path()).fails(1).stderr;
    assert!(failed.contains("alloy-part") && failed.contains("pin it anew: alloy lock"), "{failed}");
}
