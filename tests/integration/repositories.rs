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
        "echo one > sdk.c; git submodule --quiet add {hal} hal; git add -A; git commit -qm one; git tag -a -m v1 v1; git tag light
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
    // What a checkout brings is in the SBOM with its own commit.
    let sbom: serde_json::Value = serde_json::from_str(&shared().run(&["sbom", "pinned"]).ok().stdout).unwrap();
    let hal = text(&files.path().join("hal")).to_owned();
    let hal = tool("git", &["-C", &hal, "rev-parse", "HEAD"]).ok().stdout.trim().to_owned();
    let packages = sbom["packages"].as_array().unwrap();
    let found = |info: &str| packages.iter().find(|package| package["sourceInfo"] == info).unwrap();
    let module = found("the git repository in /opt/whole/hal");
    assert_eq!((module["name"].as_str(), module["versionInfo"].as_str()), (Some("hal"), Some(hal.as_str())));
    assert!(!packages.iter().any(|package| package["sourceInfo"] == "the git repository in /opt/whole"));

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
    let script =
        "for at in exact loose; do cat /opt/$at/sdk.c; git -C /opt/$at rev-parse HEAD; ls -x /opt/$at/.git/refs; done";
    let main = commit(&files, "main");
    assert_eq!(root("named", script), format!("one\n{one}\nheads  tags\ntwo\n{main}\nheads  tags\n"));
    let sbom = shared().run(&["sbom", "named"]).ok().stdout;
    let sbom: serde_json::Value = serde_json::from_str(&sbom).unwrap();
    let packages = sbom["packages"].as_array().unwrap();
    let found: Vec<_> = packages.iter().filter(|package| package["name"] == "sdk").collect();
    let places: Vec<_> = found.iter().map(|package| package["downloadLocation"].as_str().unwrap()).collect();
    assert_eq!(places, [format!("git+{sdk}@{one}"), format!("git+{sdk}@{main}")]);
    assert_eq!(found[0]["versionInfo"].as_str(), Some(one.as_str()));
    assert_eq!(found[1]["sourceInfo"].as_str(), Some("`main` of the git repository, in /opt/loose"));
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

#[test]
fn what_describes_a_commit_is_pinned_and_leaves_no_name() {
    let (files, sdk) = served();
    let (one, two) = (commit(&files, "v1"), commit(&files, "main"));
    let work = format!(
        "- {{name: branch, action: git_clone, url: '{sdk}', revision: origin/main, dest: /opt/branch, submodules: false}}\n\
         - {{name: short, action: git_clone, url: '{sdk}', revision: '{}', dest: /opt/short, submodules: false}}\n\
         - {{name: before, action: git_clone, url: '{sdk}', revision: origin/main~1, dest: /opt/before, submodules: false}}\n",
        &one[..10]
    );
    let blueprint = with_tools(&work);
    let path = text(blueprint.path());
    let script = "for at in branch short before; do cd /opt/$at; git rev-parse HEAD; git for-each-ref; done";
    let expected = format!("{two}\n{one}\n{one}\n");
    shared().build(&[path, "-t", "described"]);
    assert_eq!(root("described", script), expected, "the names are the same with a pin and without");
    shared().run(&["lock", path]).ok();
    let written = lockfile(blueprint.path());
    for pin in [format!("origin/main: {two}\n"), format!("origin/main~1: {one}\n"), format!(": {one}\n")] {
        assert!(written.contains(&pin), "no {pin}: {written}");
    }
    assert!(!written.contains("tags:"), "{written}");
    shared().run(&["lock", path, "--check"]).ok();
    shared().build(&[path, "--locked", "-t", "described"]);
    assert_eq!(root("described", script), expected);
    let said = shared().run(&["outdated", path]).ok().stdout;
    assert!(!said.contains("git "), "{said}");
    let blueprint = with_tools(&work.replace("origin/main~1", "0123456789"));
    let said = shared().run(&["lock", text(blueprint.path())]).fails(1).stderr;
    assert!(said.contains(&format!("{sdk} has no tag, branch or commit `0123456789`")), "{said}");
    assert!(said.contains("tasks.yml:3:") && !said.contains("40 digits"), "{said}");
}

#[test]
fn a_tag_in_a_locked_image_is_the_servers_own() {
    let (files, sdk) = served();
    let one = commit(&files, "v1");
    let tag = tool("git", &["-C", text(&files.path().join("sdk")), "rev-parse", "v1"]).ok().stdout;
    let work = format!(
        "- {{name: tag, action: git_clone, url: '{sdk}', revision: v1, dest: /opt/tag}}\n\
         - {{name: light, action: git_clone, url: '{sdk}', revision: light, dest: /opt/light, submodules: false}}\n"
    );
    let blueprint = with_tools(&work);
    let path = text(blueprint.path());
    shared().run(&["lock", path]).ok();
    let written = lockfile(blueprint.path());
    let pins = format!("tags:\n  {sdk}:\n    light: lightweight\n    v1: \"object {one}\\ntype commit\\ntag v1\\n");
    assert!(written.contains(&pins), "{written}");
    let first = shared().build(&[path, "--locked", "-t", "tagged"]);
    let look = "git -C /opt/tag rev-parse v1; git -C /opt/light cat-file -t light; git -C /opt/tag fsck --full 2>&1
        for at in tag light; do git -C /opt/$at fetch --quiet --tags 2>&1; done";
    assert_eq!(root("tagged", look), format!("{tag}commit\n"));
    // The server's may be another one tomorrow, or none.
    files.script(
        "export GIT_COMMITTER_NAME=b GIT_COMMITTER_EMAIL=b; cd sdk; git tag -f -a -m again v1 v1^{}; git tag -d light
         git push -q -f ../sdk.git v1; git push -q ../sdk.git :light; git -C ../sdk.git gc -q --prune=now; git -C ../sdk.git update-server-info",
    );
    let again = shared().build(&[path, "--locked", "-t", "tagged", "--no-cache=tasks.yml"]);
    assert_eq!(digests(&first), digests(&again));
    shared().run(&["lock", path, "--check"]).ok();
    // A lockfile without them is what it was: the tag is then one of ours.
    let (pins, _) = written.split_once("tags:\n").unwrap();
    let rest = written.split_once("tags:\n").unwrap().1;
    let rest: String = rest.lines().skip_while(|line| line.starts_with(' ')).map(|line| format!("{line}\n")).collect();
    std::fs::write(blueprint.path().join(LOCK), format!("{pins}{rest}")).unwrap();
    shared().run(&["build", path, "--locked", "-t", "untagged"]).ok();
    let said = root("untagged", "git -C /opt/tag cat-file tag v1");
    assert!(said.contains("tagger alloy ") && said.starts_with(&format!("object {one}\n")), "{said}");
}

#[test]
fn what_is_no_commit_is_told_and_not_pinned() {
    let files = Files::serve();
    let url = files.repository("odd", "echo x > f; commit v1; git tag file HEAD:f; git tag -a -m t tree HEAD^{tree}");
    files.script("git init -q --bare empty.git; git -C empty.git update-server-info");
    let empty = files.url("empty.git");
    let clone = |url: &str, revision: &str| {
        with_tools(&format!(
            "- {{name: odd, action: git_clone, url: '{url}', revision: '{revision}', dest: /opt/odd}}\n"
        ))
    };
    for (name, kind) in [("file", "blob"), ("tree", "tree")] {
        let blueprint = clone(&url, name);
        let said = shared().run(&["build", text(blueprint.path())]).fails(1).stderr;
        assert!(said.contains(&format!("is a {kind}, and not a commit")) && said.contains("tasks.yml:1:"), "{said}");
        let said = shared().run(&["lock", text(blueprint.path())]).fails(1).stderr;
        assert!(said.contains(&format!("`{name}` of {url} is a {kind}, and not a commit")), "{said}");
        assert!(said.contains("tasks.yml:1:") && said.contains("hint: name another revision"), "{said}");
    }
    let blueprint = clone(&empty, "main");
    let said = shared().run(&["build", text(blueprint.path())]).fails(1).stderr;
    assert!(said.contains("the repository has no `main`") && said.contains("it is empty: push a commit"), "{said}");
    let said = shared().run(&["lock", text(blueprint.path())]).fails(1).stderr;
    assert!(said.contains(&format!("{empty} is empty: it has no commit")), "{said}");
    let blueprint = clone(&url, "v1^{}");
    for command in ["check", "build", "lock"] {
        let ended = shared().run(&[command, text(blueprint.path())]);
        let said = ended.stdout + &ended.stderr;
        assert!(ended.code != Some(0) && said.contains("`revision` cannot be `v1^{}`"), "{said}");
        assert!(said.contains("write `v1`"), "{said}");
    }
    let theirs = "- {name: make, action: run_command, reason: test, command: 'git init -q --bare -b main /srv/repo'}\n\
                  - {name: odd, action: git_clone, url: 'file:///srv/repo', revision: main, dest: /opt/odd, run_as: dev}\n";
    let said = shared().run(&["build", text(with_tools(theirs).path())]).fails(1).stderr;
    assert!(
        said.contains("/srv/repo belongs to another user than who clones it") && said.contains("tasks.yml:2:"),
        "{said}"
    );
}

#[test]
fn pointers_that_git_lfs_would_have_followed_are_told() {
    let pointer = "printf 'version https://git-lfs.github.com/spec/v1\\noid sha256:%064d\\nsize 12\\n' 0";
    let files = Files::serve();
    let url = files.repository(
        "models",
        &format!("echo '*.bin filter=lfs diff=lfs merge=lfs -text' > .gitattributes; {pointer} > a.bin; mkdir d; {pointer} > d/b.bin; echo whole > c.bin; commit v1"),
    );
    let blueprint =
        with_tools(&format!("- {{name: models, action: git_clone, url: '{url}', revision: v1, dest: /opt/models}}\n"));
    let said = shared().run(&["build", text(blueprint.path()), "-t", "pointers"]).ok().stderr;
    let warning = "warning: tasks.yml:1: models: 2 files are only a pointer of git-lfs in /opt/models";
    assert!(said.contains(warning) && said.contains("(a.bin)") && said.contains("install git-lfs before"), "{said}");
}
