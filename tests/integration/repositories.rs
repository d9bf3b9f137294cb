//! Git repositories that tasks clone, and the commits that a lockfile pins them to.

use std::path::Path;

use crate::support::files::Files;
use crate::support::{TOOLS, blueprint, digests, shared, text, tool, with_tools};

const MANIFEST: &str = "name: Cloned\nversion: 1.0.0\nrun_order: [tools.yml, tasks.yml]\n";
const LOCK: &str = "alloy.lock.yml";

/// A repository with a submodule, of which `v1`, an annotated tag, is not the newest commit.
fn served() -> (Files, String) {
    let files = Files::serve();
    let hal = files.repository("hal", "echo hal > hal.c; commit v1");
    let script = format!(
        "echo one > sdk.c; git submodule --quiet add {hal} hal; git add -A; git commit -qm one; git tag -a -m v1 v1
         echo two > sdk.c; git commit -qam two"
    );
    let sdk = files.repository("sdk", &script);
    (files, sdk)
}

fn commit(files: &Files, revision: &str) -> String {
    let place = files.path().join("sdk");
    tool("git", &["-C", text(&place), "rev-parse", &format!("{revision}^{{commit}}")]).ok().stdout.trim().to_owned()
}

fn lockfile(blueprint: &Path) -> String {
    std::fs::read_to_string(blueprint.join(LOCK)).unwrap()
}

fn root(image: &str, script: &str) -> String {
    shared().run(&["run", image, "--", "bash", "-euc", script]).ok().stdout
}

#[test]
fn what_a_lockfile_pins_stays_wherever_the_tag_goes() {
    let (files, sdk) = served();
    let (one, two) = (commit(&files, "v1"), commit(&files, "main"));
    let work = format!(
        "- {{name: whole, action: git_clone, url: '{sdk}', revision: v1, dest: /opt/whole, owner: dev}}\n\
         - {{name: alone, action: git_clone, url: '{sdk}', revision: main, dest: /opt/alone, submodules: false}}\n\
         - {{name: exact, action: git_clone, url: '{sdk}', revision: {one}, dest: /opt/exact}}\n\
         - {{name: sdk, action: mcu_sdk, method: git, url: '{sdk}', version: v1, dest: /opt/sdk}}\n\
         - {{name: board, action: buildroot_config, url: '{sdk}', dest: /opt/br}}\n"
    );
    let blueprint = blueprint(&[("manifest.yml", MANIFEST), ("tools.yml", TOOLS), ("tasks.yml", &work)]);
    let path = text(blueprint.path());
    let said = shared().run(&["build", path, "--locked"]).fails(3).stderr;
    for revision in ["v1", "main", "HEAD"] {
        assert!(said.contains(&format!("nothing pins `{revision}` of {sdk}")), "{said}");
    }
    assert!(!said.contains(&format!("nothing pins `{one}`")), "{said}");
    let said = shared().run(&["lock", path, "--check"]).fails(1).stderr;
    assert!(said.contains(&format!("v1 of {sdk} is not pinned")), "{said}");

    shared().run(&["lock", path]).ok();
    let written = lockfile(blueprint.path());
    let pins = format!("git:\n  {sdk}:\n    HEAD: {two}\n    main: {two}\n    v1: {one}\n");
    assert!(written.contains(&pins), "{written}");
    shared().build(&[path, "--locked", "-t", "pinned"]);
    let script = "git config --global --add safe.directory '*'
        for at in whole alone exact sdk br; do git -C /opt/$at rev-parse HEAD; git -C /opt/$at status --short; done
        cat /opt/whole/hal/hal.c; ls /opt/alone/hal; stat -c %U /opt/whole/sdk.c";
    assert_eq!(root("pinned", script), format!("{one}\n{two}\n{one}\n{one}\n{two}\nhal\ndev\n"));

    files.script("git -C sdk tag -f v1; git -C sdk push -q -f ../sdk.git v1; git -C sdk.git update-server-info");
    shared().run(&["lock", path, "--check"]).ok();
    let again = shared().build(&[path, "--locked", "-t", "pinned", "--no-cache=tasks.yml"]);
    let commits = "for at in whole sdk; do git -c safe.directory='*' -C /opt/$at rev-parse HEAD; done";
    assert_eq!(root("pinned", commits), format!("{one}\n{one}\n"));

    let said = shared().run(&["lock", path, "--update=commits"]).ok().stderr;
    assert!(said.contains(&format!("~ git {sdk} v1: {} -> {}", &one[..12], &two[..12])), "{said}");
    let said = shared().run(&["plan", path, "--locked"]).ok().stdout;
    assert!(said.contains(&format!("v1 of {sdk}` changed from")), "{said}");
    let moved = shared().build(&[path, "--locked", "-t", "pinned"]);
    assert_ne!(digests(&moved), digests(&again));
    assert_eq!(root("pinned", commits), format!("{two}\n{two}\n"));

    let gone = "d".repeat(40);
    std::fs::write(blueprint.path().join(LOCK), lockfile(blueprint.path()).replace(&two, &gone)).unwrap();
    let said = shared().run(&["build", path, "--locked"]).fails(1).stderr;
    assert!(said.contains(&format!("has no commit {gone}, which `v1` is pinned to")), "{said}");
    std::fs::write(blueprint.path().join("tasks.yml"), work.lines().nth(2).unwrap()).unwrap();
    let said = shared().run(&["build", path, "--locked"]).fails(3).stderr;
    assert!(said.contains("nothing uses this revision of the lockfile"), "{said}");
}

#[test]
fn a_pinned_commit_is_the_same_whatever_else_its_server_has() {
    let (files, sdk) = served();
    let one = commit(&files, "v1");
    let work = format!(
        "- {{name: tag, action: git_clone, url: '{sdk}', revision: v1, dest: /opt/tag}}\n\
         - {{name: branch, action: git_clone, url: '{sdk}', revision: main, dest: /opt/branch, submodules: false}}\n\
         - {{name: exact, action: git_clone, url: '{sdk}', revision: {one}, dest: /opt/exact, depth: 1}}\n\
         - {{name: board, action: buildroot_config, url: '{sdk}', dest: /opt/br, external_tree: '{sdk}'}}\n"
    );
    let blueprint = blueprint(&[
        ("manifest.yml", &MANIFEST.replace("Cloned", "Fixed")),
        ("tools.yml", TOOLS),
        ("tasks.yml", &work),
    ]);
    let path = text(blueprint.path());
    shared().run(&["lock", path]).ok();
    let build = || shared().build(&[path, "--locked", "-t", "fixed", "--no-cache=tasks.yml"]);
    let first = build();
    let look = "cd /opt; for at in tag branch exact br; do echo $at; git -C $at for-each-ref --format='%(refname) %(*objectname)'; done
        git -C tag describe; git -C tag remote -v | head -n 1; git -C tag fsck --full 2>&1; git -C exact rev-list --count HEAD
        find -name FETCH_HEAD -o -name logs -o -name alloy-keep";
    let look = format!("git config --global --add safe.directory '*'; {look}");
    let seen = format!(
        "tag\nrefs/tags/v1 {one}\nbranch\nrefs/remotes/origin/main \nexact\nbr\nv1\norigin\t{sdk} (fetch)\n1\n"
    );
    assert_eq!(root("fixed", &look), seen);
    files.script(
        "export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a
         cd sdk; git branch other; git tag foo; git tag -f -a -m again v1 v1^{}; echo three > three; git add three
         git commit -qm three; git push -q -f ../sdk.git --all; git push -q -f ../sdk.git --tags; cd ../hal.git; git tag foo
         git branch other; git update-server-info; cd ../sdk.git; git repack -q -a -d -f --window=0; git update-server-info",
    );
    assert_eq!(digests(&first), digests(&build()), "the server's other branches and tags count");
    assert_eq!(root("fixed", &look), seen);
}

#[test]
fn what_is_in_an_image_is_named_with_its_commit() {
    let (files, sdk) = served();
    let one = commit(&files, "v1");
    let sdk_with_login = sdk.replace("http://", "http://ann:hunter2@");
    let work = format!(
        "- {{name: exact, action: git_clone, url: '{sdk_with_login}', revision: {one}, dest: /opt/exact, submodules: false, depth: 1}}\n\
         - {{name: loose, action: git_clone, url: '{sdk}', revision: main, dest: /opt/loose, submodules: false, depth: 1}}\n"
    );
    let blueprint = with_tools(&work);
    shared().run(&["build", text(blueprint.path()), "-t", "named"]).ok();
    // A server of plain files cannot cut history, and is asked for all of it.
    let script = "for at in exact loose; do cat /opt/$at/sdk.c; git -C /opt/$at rev-parse HEAD; done";
    assert_eq!(root("named", script), format!("one\n{one}\ntwo\n{}\n", commit(&files, "main")));
    let sbom = shared().run(&["sbom", "named"]).ok().stdout;
    let sbom: serde_json::Value = serde_json::from_str(&sbom).unwrap();
    let packages = sbom["packages"].as_array().unwrap();
    let found: Vec<_> = packages.iter().filter(|package| package["name"] == "sdk").collect();
    let places: Vec<_> = found.iter().map(|package| package["downloadLocation"].as_str().unwrap()).collect();
    assert_eq!(places, [format!("git+{sdk}@{one}"), format!("git+{sdk}")]);
    assert_eq!(found[0]["versionInfo"].as_str(), Some(one.as_str()));
    assert!(!sbom.to_string().contains("hunter2"));
}

#[test]
fn as_much_history_as_is_asked_for() {
    let make = "git -C /srv init -q -b main repo; cd /srv/repo; export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a GIT_COMMITTER_NAME=a \
                GIT_COMMITTER_EMAIL=a; for n in 1 2 3; do echo $n > n; git add n; git commit -qm $n; git tag v$n; done";
    let work = format!(
        "- {{name: make, action: run_command, reason: test, command: '{make}'}}\n\
         - {{name: newest, action: git_clone, url: 'file:///srv/repo', revision: main, dest: /opt/newest, depth: 1}}\n\
         - {{name: older, action: git_clone, url: 'file:///srv/repo', revision: v2, dest: /opt/older, depth: 1}}\n\
         - {{name: whole, action: git_clone, url: 'file:///srv/repo', revision: v3, dest: /opt/whole}}\n"
    );
    let blueprint = with_tools(&work);
    shared().run(&["build", text(blueprint.path()), "-t", "shallow"]).ok();
    let script = "for at in newest older whole; do cd /opt/$at; cat n; git rev-list --count HEAD; done";
    assert_eq!(root("shallow", script), "3\n1\n2\n1\n3\n3\n");
    // Only the image has it: nobody here can say what a tag of it is.
    let said = shared().run(&["lock", text(blueprint.path())]).ok().stderr;
    assert!(said.contains("main of file:///srv/repo is not pinned: it is a repository of the image"), "{said}");
    let missing = work.replace("revision: v2", "revision: v9");
    let blueprint = with_tools(&missing);
    let said = shared().run(&["build", text(blueprint.path())]).fails(1).stderr;
    assert!(said.contains("the repository has no `v9`"), "{said}");
}
