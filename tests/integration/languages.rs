//! Packages of languages in a lockfile: what is pinned, and that a locked build needs nobody.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use layers::digest::Digest;
use serde_json::Value;

use crate::support::files::Files;
use crate::support::http::{Server, send, whole};
use crate::support::registry::Registry;
use crate::support::{Ended, blueprint, digests, run, shared, text, tool, with_tools};

const LOCK: &str = "alloy.lock.yml";
pub(crate) const MANIFEST: &str =
    "name: Languages\nversion: 1.0.0\nrun_order: [tasks.yml]\nimage: {env_from_profile: false}\n";

pub(crate) fn lockfile(blueprint: &Path) -> String {
    std::fs::read_to_string(blueprint.join(LOCK)).unwrap()
}

/// alloy on the shared store with no way out: whatever asks a server fails.
pub(crate) fn cut_off(arguments: &[&str]) -> Ended {
    let mut command = shared().alloy(arguments);
    for name in ["http_proxy", "https_proxy"] {
        command.env(name, "http://127.0.0.1:9").env(name.to_uppercase(), "http://127.0.0.1:9");
    }
    run(command.env_remove("no_proxy").env_remove("NO_PROXY"))
}

/// Builds what is locked twice, with the network and without. Both times it is the same.
pub(crate) fn built_twice(blueprint: &Path, image: &str) {
    let metadata = blueprint.join("metadata.json");
    let mut all = Vec::new();
    for _ in 0..2 {
        let build = [
            "build",
            text(blueprint),
            "--locked",
            "--no-cache=tasks.yml",
            "-t",
            image,
            "--metadata-file",
            text(&metadata),
        ];
        let ended = if all.is_empty() { shared().run(&build) } else { cut_off(&build) };
        ended.ok();
        let built: Value = serde_json::from_slice(&std::fs::read(&metadata).unwrap()).unwrap();
        all.push(digests(&built));
    }
    assert_eq!(all[0], all[1]);
}

#[test]
fn python_packages_are_pinned_with_all_that_they_need() {
    // One with dependencies, one that is built first and by a user; what one of them needs comes with the same file.
    let tasks = "- {name: pygments, action: apt_install, packages: [python3-pygments]}\n\
                 - {name: rich, action: python_package, package: rich, version: 13.7.0}\n\
                 - {name: docopt, action: python_package, package: docopt, run_as: dev}\n";
    let blueprint = with_tools(tasks);
    let path = text(blueprint.path());
    let said = shared().run(&["build", path, "--locked"]).fails(3).stderr;
    assert_eq!(said.matches("nothing pins what this task installs").count(), 2, "{said}");
    let said = shared().run(&["lock", path, "--check"]).fails(1).stderr;
    assert!(said.contains("the packages of tasks.yml: rich are not pinned for linux/"), "{said}");
    shared().run(&["lock", path]).ok();
    let written = lockfile(blueprint.path());
    for part in [
        "\npython:\n  linux/",
        "\"tasks.yml: rich\":\n      packages: [rich==13.7.0]\n      files:\n      - {name: markdown-it-py, version: ",
        "- {name: mdurl, version: ",
        "{name: rich, version: \"13.7.0\", url: https://",
        "packages: [docopt]\n      files:\n      - {name: docopt, version: ",
        "- {name: setuptools, version: ",
        ", build: true}",
    ] {
        assert!(written.contains(part), "no {part}: {written}");
    }
    let python = written.split("\npython:\n").nth(1).unwrap();
    assert!(!python.contains("name: pygments"), "apt's is there already: {python}");
    assert!(!python.contains("network: true"), "all that builds them is there: {python}");
    // Nothing has moved: nobody is asked, and not a byte changes.
    cut_off(&["lock", path, "--check"]).ok();
    cut_off(&["lock", path]).ok();
    assert_eq!(lockfile(blueprint.path()), written);
    built_twice(blueprint.path(), "python-locked");
    let script = "cd /; python3 -c 'import rich, mdurl; print(rich.__file__)'; ls /run/alloy /tmp
                  su dev -c \"python3 -c 'import docopt; print(docopt.__file__)'\"; find / -xdev -name '*.whl'; pip3 list | grep -c setuptools";
    let said = shared().run(&["run", "python-locked", "--", "bash", "-c", script]).stdout;
    let places = "/usr/local/lib/python3.11/dist-packages/rich/__init__.py\n";
    assert!(said.starts_with(places) && said.contains("/home/dev/.local/lib/python3.11/"), "{said}");
    // Another version is no longer what is pinned; the other task keeps its pin.
    let other = tasks.replace("13.7.0", "13.7.1");
    std::fs::write(blueprint.path().join("tasks.yml"), other).unwrap();
    let said = cut_off(&["build", path, "--locked"]).fails(3).stderr;
    assert!(said.contains("is not what alloy.lock.yml was made for") && said.contains("tasks.yml:2:"), "{said}");
    assert!(!said.contains("tasks.yml:3:"), "{said}");
    let said = shared().run(&["lock", path]).ok().stderr;
    assert!(said.contains("tasks.yml: rich: rich: 13.7.0 -> 13.7.1") && !said.contains("docopt"), "{said}");
    let said = cut_off(&["lock", path, "--update=colorama"]).fails(2).stderr;
    assert!(said.contains("nothing that is pinned is called `colorama`") && said.contains("`python`"), "{said}");
}

/// npm, in a layer that tests share.
const NPM: &str = "- {name: tools, action: apt_install, packages: [ca-certificates, npm]}\n\
                   - {name: user, action: run_command, reason: test, network: none, command: useradd -m -s /bin/bash dev}\n";

#[test]
fn packages_of_npm_are_laid_out_as_npm_does_it() {
    // A later version over an earlier one; one that needs another beside it, which is asked for in another version as
    // well; one with parts for every platform and a script, by a user.
    let tasks = "- {name: cow, action: npm_package, package: cowsay, version: 1.5.0}\n\
                 - {name: newer cow, action: npm_package, package: cowsay, version: 1.6.0}\n\
                 - {name: hook, action: npm_package, package: use-sync-external-store, version: 1.2.0}\n\
                 - {name: react, action: npm_package, package: react, version: 17.0.2}\n\
                 - {name: bundler, action: npm_package, package: esbuild, version: 0.21.5, run_as: dev}\n";
    let manifest = MANIFEST.replace("[tasks.yml]", "[tools.yml, tasks.yml]");
    let blueprint = blueprint(&[("manifest.yml", &manifest), ("tools.yml", NPM), ("tasks.yml", tasks)]);
    let path = text(blueprint.path());
    let script = "cowsay hi | head -n 2; readlink /usr/local/bin/cowsay; ls -a /root /tmp | grep -c npm
                  su dev -c '~/.local/bin/esbuild --version; stat -c %U ~/.local/lib/node_modules/esbuild'
                  cd /usr/local/lib/node_modules && ls && find . -name package.json -path '*/node_modules/*' -prune -o -type f -print | sort | sha256sum";
    let looked = |image: &str| shared().run(&["run", image, "--", "bash", "-c", script]).stdout;
    shared().run(&["build", path, "-t", "npm-free"]).ok();
    let free = looked("npm-free");
    let cow = " ____\n< hi >\n../lib/node_modules/cowsay/cli.js\n0\n0.21.5\ndev\n";
    assert!(free.starts_with(cow), "{free}");
    shared().run(&["lock", path]).ok();
    let written = lockfile(blueprint.path());
    for part in [
        "\nnpm:\n  linux/",
        "packages: [cowsay@1.5.0]\n",
        "- {name: cowsay, version: \"1.6.0\", path: cowsay, url: https://",
        "path: cowsay/node_modules/yargs, url: ",
        ", integrity: sha512-",
        "path: esbuild/node_modules/@esbuild/linux-",
        "- {name: react, version: \"17.0.2\", path: react, ",
        "path: use-sync-external-store/node_modules/react, ",
    ] {
        assert!(written.contains(part), "no {part}: {written}");
    }
    assert!(!written.contains("win32") && !written.contains("darwin"), "{written}");
    cut_off(&["lock", path, "--check"]).ok();
    built_twice(blueprint.path(), "npm-locked");
    assert_eq!(looked("npm-locked"), free, "what is pinned lies as npm would lay it");
    let sbom = shared().run(&["sbom", "npm-locked"]).ok().stdout;
    assert!(sbom.contains("pkg:npm/cowsay@1.6.0") && !sbom.contains("pkg:npm/npm@"), "{sbom}");
    assert!(!sbom.contains("pkg:generic/"), "what is pinned is no download beside its package: {sbom}");
}

#[test]
fn a_package_of_npm_brings_files_and_directories_alone() {
    let files = Files::serve();
    files.script(
        "mkdir -p linky/package evil/package; ln -s /etc linky/package/node_modules; ln -s /etc/passwd linky/package/read
        echo '{\"name\":\"linky\",\"version\":\"1.0.0\"}' > linky/package/package.json
        echo '{\"name\":\"evil\",\"version\":\"1.0.0\"}' > evil/package/package.json
        for name in linky evil; do tar -C $name -czf $name.tgz package; done",
    );
    let manifest = MANIFEST.replace("[tasks.yml]", "[tools.yml, tasks.yml]");
    let task = "- {name: it, action: npm_package, package: linky, version: 1.0.0, scripts: false}\n";
    let blueprint = blueprint(&[("manifest.yml", &manifest), ("tools.yml", NPM), ("tasks.yml", "[]\n")]);
    // Pins are for the base that they were found on.
    shared().run(&["lock", text(blueprint.path())]).ok();
    let pin = |name: &str, path: &str| {
        let bytes = std::fs::read(files.path().join(format!("{name}.tgz"))).unwrap();
        let (url, digest) = (files.url(&format!("{name}.tgz")), Digest::of(&bytes).hex());
        format!(
            "      - {{name: {name}, version: 1.0.0, path: {path}, url: '{url}', sha256: {digest}, size: {}}}\n",
            bytes.len()
        )
    };
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let lock = format!(
        "{}npm:\n  linux/{architecture}:\n    'tasks.yml: it':\n      packages: [linky@1.0.0]\n      files:\n{}{}",
        lockfile(blueprint.path()),
        pin("linky", "linky"),
        pin("evil", "linky/node_modules/evil")
    );
    std::fs::write(blueprint.path().join(LOCK), lock).unwrap();
    std::fs::write(blueprint.path().join("tasks.yml"), task).unwrap();
    shared().run(&["build", text(blueprint.path()), "--locked", "-t", "npm-linky", "--no-attest"]).ok();
    let script = "ls /etc/evil 2>/dev/null; cd /usr/local/lib/node_modules/linky; find . | sort";
    let said = shared().run(&["run", "npm-linky", "--", "sh", "-c", script]).ok().stdout;
    let inner = "./node_modules\n./node_modules/evil\n./node_modules/evil/package.json\n";
    assert!(said.starts_with(".\n") && said.contains(inner) && !said.contains("./read"), "{said}");
}

#[test]
fn a_registry_of_npm_that_wants_to_know_who_asks_is_told() {
    let place = tempfile::tempdir().unwrap();
    let script = "mkdir package; echo '{\"name\":\"alloy-tiny\",\"version\":\"1.0.0\"}' > package/package.json; tar -czf tiny.tgz package";
    tool("sh", &["-c", &format!("cd {}; {script}", text(place.path()))]).ok();
    let package = std::fs::read(place.path().join("tiny.tgz")).unwrap();
    let server = Server::start(move |_, asked, stream| {
        if asked.header("authorization") != Some("Bearer hunter22") {
            return send(stream, "401 Unauthorized", "Content-Length: 0\r\n", b"");
        }
        let url = format!("http://{}/npm/alloy-tiny/-/alloy-tiny-1.0.0.tgz", asked.header("host").unwrap());
        let version = format!("{{\"name\":\"alloy-tiny\",\"version\":\"1.0.0\",\"dist\":{{\"tarball\":\"{url}\"}}}}");
        let about = format!(
            "{{\"name\":\"alloy-tiny\",\"dist-tags\":{{\"latest\":\"1.0.0\"}},\"versions\":{{\"1.0.0\":{version}}}}}"
        );
        match asked.line.split(' ').nth(1).unwrap() {
            "/npm/alloy-tiny" => whole(stream, about.as_bytes()),
            "/npm/alloy-tiny/-/alloy-tiny-1.0.0.tgz" => whole(stream, &package),
            _ => send(stream, "404 Not Found", "Content-Length: 0\r\n", b""),
        }
    });
    let npmrc = place.path().join("npmrc");
    let (host, lines) = (&server.address, "_authToken=${NPM_TOKEN}");
    std::fs::write(&npmrc, format!("registry=http://{host}/npm/\n//{host}/npm/:{lines}\n")).unwrap();
    let manifest = MANIFEST.replace("[tasks.yml]", "[tools.yml, tasks.yml]");
    let task = "- {name: it, action: npm_package, package: alloy-tiny, version: 1.0.0}\n";
    let blueprint = blueprint(&[("manifest.yml", &manifest), ("tools.yml", NPM), ("tasks.yml", task)]);
    let mut lock = shared().alloy(&["lock", text(blueprint.path())]);
    let said = run(lock.env("npm_config_userconfig", &npmrc).env("NPM_TOKEN", "hunter22")).ok().stderr;
    let written = lockfile(blueprint.path());
    assert!(written.contains("/npm/alloy-tiny/-/alloy-tiny-1.0.0.tgz, sha256: "), "{written}");
    assert!(!said.contains("hunter22") && !written.contains("hunter22"), "{said}{written}");
}

#[test]
fn what_no_lockfile_covers_is_told() {
    let task = |more: &str| format!("- {{name: fetch, action: run_command, reason: test, command: 'true'{more}}}\n");
    let blueprint = blueprint(&[("manifest.yml", MANIFEST), ("tasks.yml", &task(""))]);
    let path = text(blueprint.path());
    let covers = "alloy.lock.yml does not cover what the commands of t";
    let said = shared().run(&["check", path]).ok().stdout;
    assert!(!said.contains(covers), "without a lockfile nothing is promised: {said}");
    let said = shared().run(&["lock", path]).ok().stderr;
    let note =
        format!("{covers}asks.yml:1 (fetch) download; of commands that download nothing, `network: none` says so");
    assert!(said.contains(&note), "{said}");
    let said = shared().run(&["check", path, "--strict"]).ok().stdout;
    assert!(said.contains(&note), "{said}");
    let said = shared().run(&["build", path, "--locked"]).ok().stderr;
    assert!(said.contains(&format!("{covers}his task download")) && said.contains("tasks.yml:1:"), "{said}");
    let said = shared().run(&["build", path, "--locked", "--strict"]).fails(3).stderr;
    assert!(said.contains(&format!("{covers}his task download")), "{said}");
    std::fs::write(blueprint.path().join("tasks.yml"), task(", network: none")).unwrap();
    for arguments in [&["check", path][..], &["lock", path], &["build", path, "--locked", "--strict"]] {
        let Ended { stdout, stderr, .. } = shared().run(arguments).ok();
        let said = stdout + &stderr;
        assert!(!said.contains("not cover"), "{said}");
    }
}

/// A wheel of `alloy-tiny`, made in `place`.
fn wheel(place: &Path, version: &str) -> Vec<u8> {
    let script = format!(
        "cd {}; echo place = 7 > alloy_tiny.py; mkdir -p alloy_tiny-{version}.dist-info; cd alloy_tiny-{version}.dist-info
         printf 'Metadata-Version: 2.1\\nName: alloy-tiny\\nVersion: {version}\\n' > METADATA
         printf 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n' > WHEEL
         printf 'alloy_tiny.py,,\\nalloy_tiny-{version}.dist-info/%s,,\\n' METADATA WHEEL RECORD | grep . > RECORD; cd ..
         zip -qr alloy_tiny-{version}-py3-none-any.whl alloy_tiny.py alloy_tiny-{version}.dist-info",
        text(place)
    );
    tool("bash", &["-ec", &script]).ok();
    std::fs::read(place.join(format!("alloy_tiny-{version}-py3-none-any.whl"))).unwrap()
}

#[test]
fn what_an_index_has_lost_is_where_lock_kept_it() {
    let (files, registry) = (Files::serve(), Registry::start());
    let sha256 = Digest::of(wheel(files.path(), "1.0")).hex();
    let name = "alloy_tiny-1.0-py3-none-any.whl";
    files.script(&format!(
        "mkdir -p simple/alloy-tiny; echo '<a href=\"../../{name}\">w</a>' > simple/alloy-tiny/index.html"
    ));
    let blueprint = with_tools("- {name: tiny, action: python_package, package: 'alloy-tiny[nosuch]'}\n");
    let path = text(blueprint.path());
    let index = files.url("simple");
    let with_index = |arguments: &[&str]| run(shared().alloy(arguments).env("PIP_INDEX_URL", &index));
    let image = registry.image("team/packages:1");
    let said = with_index(&["lock", path, "--mirror-to", &image]).ok().stderr;
    assert!(said.contains(" keeps ") && said.contains("1 Python package"), "{said}");
    let extra = "tasks.yml:1: what tasks.yml: tiny installs: alloy-tiny 1.0 does not provide the extra 'nosuch'";
    assert!(said.contains(extra), "{said}");
    assert!(registry.blobs().join(&sha256[..2]).join(&sha256).exists());
    std::fs::remove_file(files.path().join(name)).unwrap();
    let forget = || std::fs::remove_file(shared().path().join("store/downloads").join(&sha256)).unwrap();
    forget();
    let said = with_index(&["build", path, "--locked", "--no-cache=tasks.yml", "-t", "kept"]).ok().stderr;
    assert!(said.contains(name) && said.contains("it is taken from"), "{said}");
    let script = "import alloy_tiny; print(alloy_tiny.place)";
    assert_eq!(shared().run(&["run", "kept", "python3", "-c", script]).ok().stdout, "7\n");
    // Whoever keeps it once more, after it is lost.
    forget();
    with_index(&["lock", path, "--mirror-to", &image]).ok();
    // So is a server that is gone.
    forget();
    drop(files);
    let said = with_index(&["build", path, "--locked", "--no-cache=tasks.yml"]).ok().stderr;
    assert!(said.contains("cannot connect") && said.contains("it is taken from"), "{said}");
    // Without the registry it is the task that fails, at its line.
    let lock = lockfile(blueprint.path());
    let line = lock.lines().find(|line| line.starts_with("mirror: ")).unwrap();
    std::fs::write(blueprint.path().join(LOCK), lock.replace(&format!("{line}\n"), "")).unwrap();
    forget();
    let said = with_index(&["build", path, "--locked", "--no-cache=tasks.yml"]).fails(4).stderr;
    assert!(said.contains("tasks.yml:1") && said.contains("cannot connect"), "{said}");
}

#[test]
fn what_a_private_index_has_is_pinned_without_who_asks() {
    let place = tempfile::tempdir().unwrap();
    let (old, new) = (wheel(place.path(), "1.0"), wheel(place.path(), "1.1"));
    let newer = Arc::new(AtomicBool::new(false));
    let has = Arc::clone(&newer);
    let server = Server::start(move |_, asked, stream| {
        // corp:hunter22
        if asked.header("authorization") != Some("Basic Y29ycDpodW50ZXIyMg==") {
            return send(stream, "401 Unauthorized", "WWW-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n", b"");
        }
        let path = asked.line.split(' ').nth(1).unwrap();
        let link = |version: &str| format!("<a href=\"/files/alloy_tiny-{version}-py3-none-any.whl\">x</a>");
        let page =
            format!("<html>{}{}", link("1.0"), if has.load(Ordering::SeqCst) { link("1.1") } else { String::new() });
        match path {
            "/simple/alloy-tiny/" => {
                let head = format!("Content-Type: text/html\r\nContent-Length: {}\r\n", page.len());
                send(stream, "200 OK", &head, page.as_bytes());
            }
            "/files/alloy_tiny-1.0-py3-none-any.whl" => whole(stream, &old),
            "/files/alloy_tiny-1.1-py3-none-any.whl" => whole(stream, &new),
            _ => send(stream, "404 Not Found", "Content-Length: 0\r\n", b""),
        }
    });
    let blueprint = with_tools("- {name: tiny, action: python_package, package: Alloy.Tiny, run_as: dev}\n");
    let path = text(blueprint.path());
    let index = format!("http://corp:hunter22@{}/simple", server.address);
    let with_index = |arguments: &[&str]| run(shared().alloy(arguments).env("PIP_INDEX_URL", &index));
    let said = with_index(&["lock", path]).ok().stderr;
    let written = lockfile(blueprint.path());
    let pin =
        format!("- {{name: alloy-tiny, version: \"1.0\", url: http://{}/files/alloy_tiny-1.0-py3", server.address);
    assert!(written.contains(&pin), "{written}");
    assert!(
        !written.contains("hunter22") && !written.contains("corp") && !said.contains("hunter22"),
        "{written}{said}"
    );
    newer.store(true, Ordering::SeqCst);
    let said = with_index(&["outdated", path, "--exit-code"]).fails(1).stdout;
    let row = said.lines().find(|line| line.starts_with("python alloy-tiny")).unwrap_or_default();
    assert!(row.contains("1.0") && row.contains("1.1"), "{said}");
    with_index(&["build", path, "--locked", "-t", "tiny"]).ok();
    let script = "su dev -c \"python3 -c 'import alloy_tiny; print(alloy_tiny.place)'; pip3 list\"";
    let said = shared().run(&["run", "tiny", "--", "bash", "-c", script]).stdout;
    assert!(said.starts_with("7\n") && said.contains("alloy-tiny") && said.contains("1.0"), "{said}");
    with_index(&["lock", path, "--update=python"]).ok();
    assert!(lockfile(blueprint.path()).contains("alloy_tiny-1.1-py3"));
}

#[test]
fn what_is_there_already_is_not_pinned_and_is_looked_for() {
    let files = Files::serve();
    let link = |version: &str| format!("<a href=\"../../alloy_tiny-{version}-py3-none-any.whl\">w</a>");
    ["1.0", "1.1"].iter().for_each(|version| drop(wheel(files.path(), version)));
    let page = format!("'{}' > simple/alloy-tiny/index.html", link("1.0") + &link("1.1"));
    files.script(&format!("mkdir -p simple/alloy-tiny; echo {page}"));
    let first = "- {name: first, action: python_package, package: alloy-tiny, version: '1.0'}\n";
    let others = "- {name: again, action: python_package, package: alloy-tiny, version: '1.0'}\n\
                  - {name: theirs, action: python_package, package: alloy-tiny, version: '1.1', run_as: dev}\n\
                  - {name: own, action: python_package, package: alloy-tiny, version: '1.1', run_as: dev}\n";
    let blueprint = with_tools(&format!("{first}{others}"));
    let (path, index) = (text(blueprint.path()), files.url("simple"));
    let with_index = |arguments: &[&str]| run(shared().alloy(arguments).env("PIP_INDEX_URL", &index));
    let said = with_index(&["lock", path]).ok().stderr;
    let written = lockfile(blueprint.path());
    for (task, version) in [("again", "1.0"), ("own", "1.1")] {
        let note = format!("tasks.yml: {task}: what it asks for is there already: nothing of it is pinned");
        assert!(said.contains(&note), "{said}");
        let pin = format!("\"tasks.yml: {task}\":\n      packages: [alloy-tiny=={version}]\n      files: []\n");
        assert!(written.contains(&pin), "{written}");
    }
    assert!(
        written.contains("\"tasks.yml: theirs\":\n      packages: [alloy-tiny==1.1]\n      files:\n      - {"),
        "{written}"
    );
    with_index(&["lock", path, "--check"]).ok();
    built_twice(blueprint.path(), "there");
    let script = "python3 -c 'from importlib.metadata import version as v; print(v(\"alloy-tiny\"))'; ls /tmp";
    let both = format!("{script}; su dev -c \"{}\"", script.replace('"', "\\\""));
    assert_eq!(shared().run(&["run", "there", "--", "bash", "-c", &both]).ok().stdout, "1.0\n1.1\n");
    // What is no longer there is missed, and not fetched by the way.
    std::fs::write(blueprint.path().join("tasks.yml"), others).unwrap();
    let said = with_index(&["build", path]).fails(1).stderr;
    assert!(said.contains("tasks.yml:1:") && said.contains("alloy lock --update=python"), "{said}");
    with_index(&["lock", path, "--update=python"]).ok();
    with_index(&["build", path, "--locked"]).ok();
}
