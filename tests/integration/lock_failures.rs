//! What `alloy lock` says of what it cannot pin, and that the rest is pinned nevertheless.

use std::path::Path;

use crate::support::download::Downloads;
use crate::support::files::Files;
use crate::support::http::refused;
use crate::support::{run, shared, text, with_tools};

fn lockfile(blueprint: &Path) -> String {
    std::fs::read_to_string(blueprint.join("alloy.lock.yml")).unwrap()
}

#[test]
fn downloads_that_fail_are_all_told_and_the_others_are_pinned() {
    let files = Files::serve();
    files.script("echo one > one");
    let (one, gone, lost) = (files.url("one"), files.url("gone"), format!("http://{}/lost", refused()));
    let downloads = Downloads::new(&[(gone.clone(), None), (one.clone(), None), (lost.clone(), None)]);
    let said = run(&mut downloads.alloy("lock")).fails(4).stderr;
    for part in [
        "error: 2 downloads cannot be pinned\n",
        "tasks.yml:1:40: get 0: ",
        &format!("url: '{gone}'"),
        "404",
        "tasks.yml:3:40: get 2: ",
        &format!("url: '{lost}'"),
        "cannot connect",
        "what was found until then is in alloy.lock.yml",
    ] {
        assert!(said.contains(part), "no {part}: {said}");
    }
    let written = lockfile(downloads.path());
    assert!(written.contains(&format!("  {one}: {{sha256: ")) && !written.contains(&gone), "{written}");
    // One alone is told as it is.
    let downloads = Downloads::new(&[(gone, None), (one, None)]);
    let said = run(&mut downloads.alloy("lock")).fails(4).stderr;
    assert!(said.contains("error: tasks.yml:1:40: get 0: cannot fetch"), "{said}");
}

#[test]
fn what_fails_on_several_platforms_is_told_of_each() {
    let files = Files::serve();
    files.script("mkdir arm64; echo tool > arm64/same");
    let lock = |path: &str| {
        let downloads = Downloads::of_tasks(&format!(
            "- {{name: t, action: get_file, url: '{}', dest: /opt/t}}\n",
            files.url(path)
        ));
        downloads.write(
            "manifest.yml",
            "name: Test\nversion: 1.0.0\nrun_order: [tasks.yml]\nsupported_hosts: [linux/amd64, linux/arm64]\n",
        );
        let said = run(&mut downloads.alloy("lock")).fails(4).stderr;
        let written = std::fs::read_to_string(downloads.path().join("alloy.lock.yml")).unwrap_or_default();
        (said, written)
    };
    let (said, _) = lock("{{ arch }}/tool");
    for part in
        ["error: 2 problems\n", "linux/amd64: tasks.yml:1:", "/amd64/tool", "linux/arm64: tasks.yml:1:", "/arm64/tool"]
    {
        assert!(said.contains(part), "no {part}: {said}");
    }
    // The platform that failed is in nobody's way.
    let (said, written) = lock("{{ arch }}/same");
    assert!(said.contains("error: linux/amd64: tasks.yml:1:") && !said.contains("problems"), "{said}");
    assert!(written.contains(&files.url("arm64/same")), "{written}");
    let (said, _) = lock("none");
    assert!(said.contains("error: tasks.yml:1:") && !said.contains("problems"), "{said}");
}

#[test]
fn what_is_pinned_stays_where_the_registry_that_is_to_keep_it_is_gone() {
    let files = Files::serve();
    files.script("echo one > one");
    let (one, registry) = (files.url("one"), refused());
    let downloads = Downloads::new(&[(one.clone(), None)]);
    let image = format!("{registry}/team/debs:1");
    let said = run(downloads.alloy("lock").args(["--mirror-to", &image])).fails(4).stderr;
    assert!(said.contains(&format!("error: --mirror-to {image}: ")) && said.contains("cannot connect"), "{said}");
    assert!(said.contains("alloy.lock.yml is written nevertheless"), "{said}");
    let written = lockfile(downloads.path());
    assert!(written.contains(&one) && !written.contains("mirror:"), "{written}");
    // A name that nothing can be sent to is told before anybody is asked.
    let said = run(downloads.alloy("lock").args(["--mirror-to", "debs"])).fails(2).stderr;
    assert!(said.contains("--mirror-to debs:latest: name a registry"), "{said}");
}

/// `first` of Python, and a crate `tiny` with a lockfile of its own, in the `Files` that a user's settings lead to.
const REGISTRIES: &str = r#"
mkdir -p simple/first index tiny-1.0.0 first/first-1.0.dist-info; cd first; echo x = 1 > first.py
printf 'Metadata-Version: 2.1\nName: first\nVersion: 1.0\n' > first-1.0.dist-info/METADATA
printf 'Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n' > first-1.0.dist-info/WHEEL; touch first-1.0.dist-info/RECORD
zip -qr ../first-1.0-py3-none-any.whl .; cd ..
echo '<a href="../../first-1.0-py3-none-any.whl">w</a>' > simple/first/index.html
printf '[package]\nname = "tiny"\nversion = "1.0.0"\n' > tiny-1.0.0/Cargo.toml
printf 'version = 3\n\n[[package]]\nname = "tiny"\nversion = "1.0.0"\n' > tiny-1.0.0/Cargo.lock
tar -czf tiny-1.0.0.crate tiny-1.0.0; mkdir -p index/ti/ny
echo "{\"name\":\"tiny\",\"vers\":\"1.0.0\",\"deps\":[],\"cksum\":\"$(sha256sum tiny-1.0.0.crate | cut -d' ' -f1)\",\"features\":{}}" > index/ti/ny/tiny
"#;

#[test]
fn packages_that_fail_are_all_told_and_the_others_are_pinned() {
    let files = Files::serve();
    files.script(REGISTRIES);
    std::fs::write(
        files.path().join("index/config.json"),
        format!("{{\"dl\": \"{}\"}}", files.url("{crate}-{version}.crate")),
    )
    .unwrap();
    let site = format!(
        "[source.crates-io]\nreplace-with = 'site'\n[source.site]\nregistry = 'sparse+{}'\n",
        files.url("index/")
    );
    std::fs::write(files.path().join("config.toml"), site).unwrap();
    let python =
        |name: &str, package: &str| format!("- {{name: {name}, action: python_package, package: {package}}}\n");
    let command = |name: &str, module: &str| {
        format!(
            "- {{name: {name}, action: run_command, reason: test, network: none, command: 'python3 -c \"import {module}\"'}}\n"
        )
    };
    let tasks = [
        python("first", "first"),
        python("second", "gone-second"),
        command("works", "first"),
        python("third", "gone-third"),
    ];
    let more = [python("fourth", "gone-fourth"), command("needs", "gone_fourth"), python("fifth", "gone-fifth")];
    let crates = "- {name: lost, action: rust_package, package: lost, version: 1.0.0}\n\
                  - {name: tiny, action: rust_package, package: tiny, version: 1.0.0}\n";
    let blueprint = with_tools(&tasks.concat());
    std::fs::write(blueprint.path().join("more.yml"), more.concat()).unwrap();
    std::fs::write(blueprint.path().join("crates.yml"), crates).unwrap();
    let manifest = std::fs::read_to_string(blueprint.path().join("manifest.yml")).unwrap();
    let manifest = manifest.replace("tasks.yml]", "tasks.yml, more.yml, crates.yml]");
    std::fs::write(blueprint.path().join("manifest.yml"), manifest).unwrap();
    let mut lock = shared().alloy(&["lock", text(blueprint.path())]);
    lock.env("PIP_INDEX_URL", files.url("simple")).env("CARGO_HOME", files.path());
    let said = run(&mut lock).fails(1).stderr;
    let told: Vec<usize> = [
        "error: 4 tasks have packages that cannot be pinned\n\n",
        "tasks.yml:2:",
        "tasks.yml:4:",
        "more.yml:1:",
        "crates.yml:1:",
        "what was found until then is in alloy.lock.yml",
    ]
    .iter()
    .map(|part| said.rfind(part).unwrap_or_else(|| panic!("no {part}: {said}")))
    .collect();
    assert!(told.is_sorted(), "{told:?}: {said}");
    // What fails for want of another one is none of them, and what stands behind it was not asked.
    assert!(said.contains("more.yml:2: needs: it fails without the packages that are not found"), "{said}");
    assert!(!said.contains("gone-fifth"), "{said}");
    let written = lockfile(blueprint.path());
    assert!(written.contains("\"tasks.yml: first\"") && written.contains("\"crates.yml: tiny\""), "{written}");
    assert!(!written.contains("gone-") && !written.contains("lost"), "{written}");
}

#[test]
fn packages_that_apt_does_not_find_are_all_told() {
    let blueprint = with_tools(
        "- {name: one, action: apt_install, packages: [gone-one]}\n\
         - {name: py, action: python_package, package: gone-python}\n\
         - {name: two, action: apt_install, packages: [gone-two]}\n\
         - {name: late, action: python_package, package: gone-python}\n",
    );
    // Its author names the base: then nobody looks whether another one has them.
    let manifest = "name: Test\nversion: 1.0.0\nrun_order: [tools.yml, tasks.yml]\nimage: {base: 'deb:bookworm'}\n";
    std::fs::write(blueprint.path().join("manifest.yml"), manifest).unwrap();
    let said = shared().run(&["lock", "-q", text(blueprint.path())]).fails(1).stderr;
    for part in [
        "error: 2 tasks have packages that cannot be pinned\n\ntasks.yml:1:",
        "E: Unable to locate package gone-one",
        "\n\ntasks.yml:3:",
        "E: Unable to locate package gone-two",
    ] {
        assert!(said.contains(part), "no {part}: {said}");
    }
    // pip may be one of those that are missing.
    assert!(!["tasks.yml:2:", "tasks.yml:4:", "No matching"].iter().any(|part| said.contains(part)), "{said}");
}

#[test]
fn a_log_shows_what_pip_says_and_what_it_found_first_is_pinned() {
    let files = Files::serve();
    files.script(
        "mkdir -p simple/first; mkdir first; cd first; echo x = 1 > first.py; mkdir first-1.0.dist-info; cd first-1.0.dist-info
         printf 'Metadata-Version: 2.1\\nName: first\\nVersion: 1.0\\n' > METADATA
         printf 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n' > WHEEL; touch RECORD; cd ..
         zip -qr ../first-1.0-py3-none-any.whl first.py first-1.0.dist-info; cd ..
         echo '<a href=\"../../first-1.0-py3-none-any.whl\">w</a>' > simple/first/index.html",
    );
    let blueprint = with_tools(
        "- {name: first, action: python_package, package: first}\n\
         - {name: second, action: python_package, package: not-there-at-all}\n",
    );
    let path = text(blueprint.path());
    let lock = |more: &[&str]| {
        let mut command = shared().alloy(&["lock", path]);
        run(command.args(more).env("PIP_INDEX_URL", files.url("simple"))).fails(1)
    };
    let said = lock(&[]).stderr;
    assert!(said.contains("[2/2] what tasks.yml installs\n[2/2]   what tasks.yml: first installs\n"), "{said}");
    assert!(said.contains("[2/2]     ERROR: No matching distribution found for not-there-at-all"), "{said}");
    assert!(said.contains("tasks.yml:2:") && !said.contains("its last output"), "{said}");
    assert!(said.contains("what was found until then is in alloy.lock.yml"), "{said}");
    let written = lockfile(blueprint.path());
    assert!(written.contains("tasks.yml: first") && !written.contains("tasks.yml: second"), "{written}");
    // Once more nothing is asked for twice, and whoever sees no log sees the end of it.
    let said = lock(&["-q"]).stderr;
    assert!(said.contains("its last output") && said.contains("No matching distribution"), "{said}");
    assert!(!said.contains("first installs"), "{said}");
}
