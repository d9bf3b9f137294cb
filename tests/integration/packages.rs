//! Packages of Python and Rust, from their real registries and from a site's own.

use crate::support::files::Files;
use crate::support::{blueprint, digests, run, shared, text, with_tools};

#[track_caller]
fn shown(image: &str, script: &str) -> String {
    shared().run(&["run", image, "--", "bash", "-c", script]).ok().stdout
}

/// The oldest cargo that reads the registry without a clone of its index is that of trixie.
const MANIFEST: &str = "name: Test\nversion: 1.0.0\nrun_order: [tools.yml, tasks.yml]\nimage: {base: 'deb:trixie'}\n";

/// Cargo, in a layer that tests share.
const CARGO: &str = "- {name: tools, action: apt_install, packages: [ca-certificates, cargo]}\n\
                     - {name: user, action: run_command, reason: test, command: useradd -m -s /bin/bash dev}\n";

#[test]
fn packages_of_languages_come_from_their_registries() {
    let blueprint = with_tools(
        "- {name: root, action: python_package, package: six, version: 1.16.0}
- {name: extras, action: python_package, package: 'colorlog[development]', version: '6.8.2', skip_if: 'true'}
- {name: user, action: python_package, package: colorama, version: 0.4.6, run_as: dev, creates: /home/dev/.local/lib/python3.11/site-packages/colorama}
",
    );
    let build = || shared().build(&[text(blueprint.path()), "-t", "python", "--no-cache=tasks.yml"]);
    let (first, second) = (build(), build());
    assert_eq!(digests(&first), digests(&second), "bytecode, records and caches have to be the same twice");
    let script = "cd /; python3 -c 'import six; print(six.__version__, six.__file__)'; python3 -c 'import colorama' 2>/dev/null || echo not for root
        su dev -c \"python3 -c 'import colorama, os; print(colorama.__file__, os.stat(colorama.__file__).st_uid)'\"; find / -xdev -path '*/.cache/*' -name '*.whl'; pip3 list 2>/dev/null | grep -c colorlog";
    let said = shared().run(&["run", "python", "--", "bash", "-c", script]).fails(1).stdout;
    assert_eq!(
        said,
        "1.16.0 /usr/local/lib/python3.11/dist-packages/six.py\nnot for root\n\
         /home/dev/.local/lib/python3.11/site-packages/colorama/__init__.py 1000\n0\n"
    );
}

#[test]
fn crates_are_built_and_leave_nothing_but_themselves() {
    let task = |features: &str| {
        format!(
            "- {{name: root, action: rust_package, package: genpasswd, version: 1.0.0}}\n\
             - {{name: user, action: rust_package, package: genpasswd, version: 1.0.0, run_as: dev{features}}}\n"
        )
    };
    let of = |task: &str| blueprint(&[("manifest.yml", MANIFEST), ("tools.yml", CARGO), ("tasks.yml", task)]);
    let blueprint = of(&task(""));
    let build = || shared().build(&[text(blueprint.path()), "-t", "crates", "--no-cache=tasks.yml"]);
    let (first, second) = (build(), build());
    assert_eq!(digests(&first), digests(&second));
    let script = "genpasswd | wc -l; su dev -c '~/.cargo/bin/genpasswd | wc -l'; test -e /root/.cargo; echo $?; find /usr/local/.crates* /usr/local/bin /home/dev/.cargo -type f | sort; stat -c %U /home/dev/.cargo/bin";
    let expected = "1\n1\n1\n/home/dev/.cargo/.crates.toml\n/home/dev/.cargo/.crates2.json\n/home/dev/.cargo/bin/genpasswd\n\
                    /usr/local/.crates.toml\n/usr/local/.crates2.json\n/usr/local/bin/genpasswd\ndev\n";
    assert_eq!(shown("crates", script), expected);
    let blueprint = of(&task(", features: [one, two]"));
    let said = shared().run(&["build", text(blueprint.path())]).fails(1).stderr;
    assert!(said.contains("tasks.yml:2:") && said.contains("one, two") || said.contains("feature"), "{said}");
}

#[test]
fn mirrors_of_the_site_are_used_and_not_kept() {
    let files = Files::serve();
    // A package that no other index has.
    files.script(
        "mkdir -p simple/alloy-tiny tiny.dist-info home/.config/pip home/.cargo; echo 'place = 7' > alloy_tiny.py
        mv tiny.dist-info alloy_tiny-1.0.dist-info; cd alloy_tiny-1.0.dist-info
        printf 'Metadata-Version: 2.1\\nName: alloy-tiny\\nVersion: 1.0\\n' > METADATA
        printf 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n' > WHEEL; touch RECORD; cd ..
        zip -qr simple/alloy-tiny/alloy_tiny-1.0-py3-none-any.whl alloy_tiny.py alloy_tiny-1.0.dist-info
        echo '<a href=\"alloy_tiny-1.0-py3-none-any.whl\">x</a>' > simple/alloy-tiny/index.html",
    );
    let home = files.path().join("home");
    let mirror = files.url("simple");
    std::fs::write(home.join(".config/pip/pip.conf"), format!("[global]\nindex-url = {mirror}\n")).unwrap();
    let registry = files.url("crates/");
    let config = format!("[source.crates-io]\nreplace-with = 'site'\n[source.site]\nregistry = 'sparse+{registry}'\n");
    std::fs::write(home.join(".cargo/config.toml"), config).unwrap();
    let at_home = |blueprint: &tempfile::TempDir, image: &str| {
        let mut command = shared().alloy(&["build", text(blueprint.path()), "-t", image]);
        for name in ["XDG_CONFIG_HOME", "CARGO_HOME", "PIP_CONFIG_FILE", "PIP_INDEX_URL"] {
            command.env_remove(name);
        }
        run(command.env("HOME", &home))
    };
    let python = with_tools("- {name: tiny, action: python_package, package: alloy-tiny, run_as: dev}\n");
    at_home(&python, "mirrored").ok();
    assert_eq!(shown("mirrored", "su dev -c \"python3 -c 'import alloy_tiny; print(alloy_tiny.place)'\""), "7\n");
    let address = mirror.split('/').nth(2).unwrap();
    let inspected = shared().run(&["inspect", "mirrored"]).ok().stdout;
    assert!(!inspected.contains("PIP_") && !inspected.contains(address), "{inspected}");
    let kept = format!("! grep -rlF {address} /etc /home /root /usr/local /var/lib");
    shown("mirrored", &kept);
    let crates = blueprint(&[
        ("manifest.yml", MANIFEST),
        ("tools.yml", CARGO),
        ("tasks.yml", "- {name: crate, action: rust_package, package: genpasswd, version: 1.0.0}\n"),
    ]);
    let said = at_home(&crates, "crate").fails(1).stderr;
    assert!(said.contains("`site` index") && said.contains("config.json not found in registry"), "{said}");
}
