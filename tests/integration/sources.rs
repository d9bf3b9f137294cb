//! What is built, cloned or installed by a vendor's own tools.

use crate::support::files::Files;
use crate::support::{TOOLS, blueprint, digests, shared, tasks, text, with_tools};

/// Repositories as vendors have them, served without any program of git's.
pub(crate) struct Repositories {
    pub(crate) files: Files,
    sdk: String,
    west: String,
    buildroot: String,
    kas: String,
}

pub(crate) fn repositories() -> Repositories {
    let files = Files::serve();
    let hal = files.repository("hal", "echo hal > hal.c; commit v1");
    let sdk = files.repository(
        "sdk",
        &format!(
            "echo one > sdk.c; printf '#!/bin/sh\\necho $# $1 > installed\\n' > install.sh; chmod 755 install.sh
            git submodule --quiet add {hal} hal; commit v1; echo two > sdk.c; commit v2"
        ),
    );
    let west = files.repository(
        "manifest",
        &format!(
            "printf 'manifest:\\n  self: {{path: app}}\\n  projects: [{{name: hal, url: \"{hal}\", revision: v1, path: modules/hal}}]\\n' > west.yml
            commit v1; echo broken > west.yml; commit v2"
        ),
    );
    let buildroot = files.repository(
        "buildroot",
        "mkdir configs; echo BR2_arm=y > configs/board_defconfig
        printf '%%_defconfig:\\n\\tcp configs/$@ .config && echo EXTERNAL=$(BR2_EXTERNAL) >> .config\\n' > Makefile
        commit 2024.02; git rm -q Makefile; commit 2024.05",
    );
    let meta = files.repository(
        "meta",
        "printf 'export BUILDDIR=$1\\n' > oe-init-build-env; mkdir conf; echo > conf/layer.conf; commit v1",
    );
    let kas = files.repository(
        "kas",
        &format!(
            "mkdir conf; printf 'header: {{version: 14}}\\nmachine: board\\ndistro: poky\\nrepos:\\n  self: {{layers: {{.: disabled}}}}\\n  meta: {{url: \"{meta}\", branch: main}}\\n' > conf/board.yml
            commit v1; git rm -q conf/board.yml; commit v2"
        ),
    );
    Repositories { files, sdk, west, buildroot, kas }
}

#[test]
fn repositories_are_the_same_twice() {
    let served = repositories();
    let Repositories { sdk, west, buildroot, kas, .. } = &served;
    let pinned = crate::support::tool("git", &["ls-remote", kas, "refs/tags/v1"]).ok().stdout;
    let pinned = pinned.split_whitespace().next().unwrap();
    let tools = "- {name: west, action: python_package, package: west, version: 1.2.0}\n\
                 - {name: kas, action: python_package, package: kas, version: '4.7'}\n";
    let work = format!(
        "- {{name: git, action: mcu_sdk, method: git, url: '{sdk}', version: v1, dest: /opt/sdk, file: install.sh, install_args: [a b], packages: [patch]}}
- {{name: workspace, action: mcu_sdk, method: west, url: '{west}', version: v1, dest: /opt/ws, run_as: dev}}
- {{name: buildroot, action: buildroot_config, url: '{buildroot}', version: '2024.02', dest: /opt/br, defconfig: board_defconfig, external_tree: '{sdk}', owner: dev}}
- {{name: yocto, action: yocto_manifest, tool: kas, url: '{kas}', commit_hash: {pinned}, version: v2, dest: /opt/yocto, kas_file: conf/board.yml, run_as: dev}}
"
    );
    let manifest = "name: Test\nversion: 1.0.0\nrun_order: [tools.yml, pip.yml, tasks.yml]\n";
    let files = [("manifest.yml", manifest), ("tools.yml", TOOLS), ("pip.yml", tools), ("tasks.yml", &work)];
    let blueprint = blueprint(&files);
    let build = || shared().build(&[text(blueprint.path()), "-t", "cloned", "--no-cache=tasks.yml"]);
    let first = build();
    // What nobody asked for, and objects that are packed another way.
    served.files.script(
        "export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a
        for at in hal sdk manifest buildroot meta kas; do cd $at.git; git branch other; git tag foo; git tag -a -m foo annotated
            git branch new $(git commit-tree -m new main^{tree})
            git repack -q -a -d -f --window=0; git update-server-info; cd ..; done",
    );
    let second = build();
    assert_eq!(digests(&first), digests(&second), "nothing of a clone may depend on when it was made");

    let root = |script: &str| shared().run(&["run", "cloned", "--", "bash", "-euc", script]).ok().stdout;
    assert_eq!(root("cd /opt/sdk; cat sdk.c hal/hal.c installed"), "one\nhal\n1 a b\n");
    assert_eq!(
        root(
            "cd /opt/sdk; git status --short; git -C hal status --short; git describe --tags; patch --version | head -c 9"
        ),
        "?? installed\nv1\nGNU patch"
    );
    assert_eq!(
        root("cd /opt/br; cat .config external/sdk.c; stat -c %U .config"),
        "BR2_arm=y\nEXTERNAL=/opt/br/external\ntwo\ndev\n"
    );
    let dev = |script: &str| shared().run(&["run", "-u", "dev", "cloned", "--", "bash", "-euc", script]).ok().stdout;
    assert_eq!(
        dev(
            "cd /opt/ws; west list -f '{name} {path}'; cat modules/hal/hal.c; west forall -c 'git status --short' | { ! grep -v ===; }"
        ),
        "manifest app\nhal modules/hal\nhal\n"
    );
    assert_eq!(
        dev(
            "cd /opt/yocto; git status --short; grep MACHINE build/conf/local.conf; git -C meta status --short; stat -c %U:%G meta"
        ),
        "?? build/\n?? meta/\nMACHINE ??= \"board\"\ndev:dev\n"
    );

    // What `v2` is in the repositories could not be used; the lockfile has another commit for it.
    let commit = |url: &str| {
        let said = crate::support::tool("git", &["ls-remote", url, "refs/tags/v1"]).ok().stdout;
        said.split_whitespace().next().unwrap().to_owned()
    };
    let pins = [west, kas].map(|url| format!("  {url}: {{v2: {}}}\n", commit(url)));
    let work = format!(
        "- {{name: workspace, action: mcu_sdk, method: west, url: '{west}', version: v2, dest: /opt/ws, run_as: dev}}
- {{name: exact, action: mcu_sdk, method: west, url: '{west}', version: {}, dest: /opt/exact, run_as: dev}}
- {{name: yocto, action: yocto_manifest, url: '{kas}', version: v2, dest: /opt/yocto, kas_file: conf/board.yml, run_as: dev}}
",
        commit(west)
    );
    std::fs::write(blueprint.path().join("tasks.yml"), work).unwrap();
    std::fs::write(blueprint.path().join("alloy.lock.yml"), format!("git:\n{}", pins.concat())).unwrap();
    let (first, second) = (build(), build());
    assert_eq!(digests(&first), digests(&second), "nor of a pinned one");
    let script = "cat /opt/ws/modules/hal/hal.c; git -C /opt/exact/app rev-parse HEAD; git -C /opt/ws/app rev-parse HEAD; git -C /opt/yocto rev-parse HEAD";
    assert_eq!(dev(script), format!("hal\n{0}\n{0}\n{1}\n", commit(west), commit(kas)));
}

#[test]
fn what_cannot_be_cloned_is_explained() {
    let served = repositories();
    let Repositories { sdk, .. } = &served;
    // The field that is meant is underlined.
    for (about, fields, wanted) in [
        ("'http", format!("version: v1, dest: /opt/sdk, url: '{sdk}x'"), "sdk.gitx/' not found"),
        (
            "v9",
            format!("url: '{sdk}', dest: /opt/sdk, version: v9"),
            "the repository has no `v9`; its newest tags: v1 v2",
        ),
        ("/etc", format!("url: '{sdk}', version: v1, dest: /etc"), "already exists and is not an empty directory"),
    ] {
        let task = format!("- {{name: task, action: mcu_sdk, method: git, {fields}}}\n");
        let blueprint = with_tools(&task);
        let said = shared().run(&["build", text(blueprint.path())]).fails(1).stderr;
        let place = format!("tasks.yml:1:{}: task", task.find(about).unwrap() + 1);
        assert!(said.contains(wanted) && said.contains(&place), "{place} {wanted}: {said}");
    }
    for (fields, code, wanted) in [
        (
            format!("action: mcu_sdk, method: svn, url: '{sdk}', version: v1, dest: /opt/sdk"),
            3,
            "it is one of west, git",
        ),
        (
            format!("action: mcu_sdk, method: west, url: '{sdk}', version: v1, dest: /opt/sdk"),
            1,
            "`west` is not on the PATH of root",
        ),
        (format!("action: yocto_manifest, url: '{sdk}', tool: west, dest: /opt/sdk"), 3, "it is one of kas, repo"),
        (
            "action: mcu_sdk, method: git, url: '--upload-pack=x', version: v1, dest: /opt/sdk".into(),
            3,
            "one word that does not begin with `-`",
        ),
        ("action: rust_package, package: genpasswd, version: 1.0.0".into(), 1, "`cargo` is not on the PATH of root"),
        (
            "action: python_package, package: west, version: 0.0.0.1".into(),
            1,
            "No matching distribution found for west==0.0.0.1",
        ),
        ("action: python_package, package: './west'".into(), 3, "write `name` or `name[extra]`"),
    ] {
        let blueprint = with_tools(&format!("- {{name: task, {fields}}}\n"));
        let ended = shared().run(&["build", text(blueprint.path())]).fails(code);
        assert!(ended.stderr.contains(wanted) && ended.stderr.contains("tasks.yml:1"), "{wanted}: {}", ended.stderr);
    }
}

/// A source with what autotools make: arguments of `configure` and targets of `make` leave their marks.
fn sources() -> Files {
    let files = Files::serve();
    files.script(
        r#"mkdir -p tiny-1.0 && cd tiny-1.0
        printf '#!/bin/sh\nprefix=/usr/local\nfor word; do case $word in --prefix=*) prefix=${word#*=};; --fail) echo "no such option" >&2; exit 3;; esac; done\nprintf "PREFIX = $prefix\\nARGUMENTS = $*\\n" > config.mk\n' > configure
        chmod 755 configure; echo 'int main(void) { return 7; }' > tiny.c
        printf 'include config.mk\nall: tiny\ntiny: tiny.c\n\tcc -o $@ $<\ninstall:\n\tmkdir -p $(PREFIX)/bin && cp tiny $(PREFIX)/bin/ && echo "$(ARGUMENTS)" > $(PREFIX)/arguments && id -un > $(PREFIX)/user\n' > Makefile
        cd ..; tar cjf tiny.tar.bz2 tiny-1.0; rm -r tiny-1.0
        printf '#!/bin/bash\nset -e\ntest "$1 $2" = "-y -d"\nmkdir -p $3/bin\necho "export SDK=$3" > $3/environment-setup\nid -un > $3/user\n' > installer.sh
        printf '#!/bin/sh\necho no space for an SDK; exit 9\n' > broken.sh"#,
    );
    files
}

#[test]
fn sources_are_built_and_installers_run() {
    let files = sources();
    let of = |name: &str| format!("url: '{}', sha256: {}", files.url(name), files.sha256(name));
    let (tiny, installer) = (of("tiny.tar.bz2"), of("installer.sh"));
    let blueprint = with_tools(&format!(
        "- {{name: plain, action: build_artifact, artifact_source: {{{tiny}}}, make_targets: [all, install]}}
- {{name: all, action: build_artifact, artifact_source: {{{tiny}}}, dependencies: [patch, make], configure_flags: [--with-x=a b, --quiet], make_targets: [all, install], destination: /opt/tiny, owner: 'games:games', mode: go-w}}
- {{name: words, action: build_artifact, artifact_source: {{{tiny}}}, configure_flags: --prefix=/home/dev/tiny --quiet, make_targets: [all, install], run_as: dev}}
- {{name: source, action: build_from_source, {tiny}, dest: /opt/source, strip_components: 1, command: './configure --prefix=$PWD/out && make all install && ! make clean 2>/dev/null', run_as: dev}}
- {{name: sdk, action: sdk_install, {installer}, dest: /opt/sdk}}
- {{name: sdk of a user, action: sdk_install, {installer}, dest: /opt/sdks/own, run_as: dev, creates: /opt/sdks/own/environment-setup}}
- {{name: by other words, action: sdk_install, {installer}, dest: /opt/sdks/words, args: [-y, -d, /opt/sdks/words/inside], env: {{LICENSE: accepted}}}}
- {{name: once, action: sdk_install, {installer}, dest: /opt/sdks/own, creates: /opt/sdks/own/environment-setup}}
"
    ));
    let build = || shared().build(&[text(blueprint.path()), "-t", "made", "--no-cache=tasks.yml"]);
    let (first, second) = (build(), build());
    assert_eq!(digests(&first), digests(&second));
    let script = "for prefix in /usr/local /opt/tiny /home/dev/tiny /opt/source/out; do \
                      $prefix/bin/tiny; echo $? $(stat -c %U:%G $prefix/bin/tiny) $(cat $prefix/user): $(cat $prefix/arguments); done; \
                  cat /opt/sdk/environment-setup /opt/sdks/words/inside/environment-setup /opt/sdks/own/user; stat -c %U:%G /opt/sdk/bin /opt/sdks /opt/sdks/own /opt/source/tiny.c; \
                  patch --version >/dev/null && ls -A /tmp";
    let shown = shared().run(&["run", "made", "--", "bash", "-c", script]).ok().stdout;
    assert_eq!(
        shown,
        "7 root:root root:\n7 games:games root: --prefix=/opt/tiny --with-x=a b --quiet\n\
         7 dev:dev dev: --prefix=/home/dev/tiny --quiet\n7 dev:dev dev: --prefix=/opt/source/out\n\
         export SDK=/opt/sdk\nexport SDK=/opt/sdks/words/inside\ndev\nroot:root\nroot:root\ndev:dev\ndev:dev\n"
    );
    let (broken, page) = (of("broken.sh"), of("installer.sh"));
    for (fields, wanted) in [
        (
            format!(
                "action: build_artifact, artifact_source: {{{tiny}}}, configure_flags: --fail, make_targets: [all]"
            ),
            "no such option",
        ),
        (
            format!("action: build_artifact, artifact_source: {{{tiny}}}, make_targets: [nothing]"),
            "No rule to make target 'nothing'",
        ),
        (
            format!("action: build_artifact, artifact_source: {{{page}}}, make_targets: [all]"),
            "gave no archive: 119 bytes, which look like a script",
        ),
        (format!("action: sdk_install, {broken}, dest: /opt/sdk"), "no space for an SDK"),
    ] {
        let blueprint = with_tools(&format!("- {{name: task, {fields}}}\n"));
        // What a server gave is the server's fault.
        let code = if wanted.contains("no archive") { 4 } else { 1 };
        let ended = shared().run(&["build", text(blueprint.path())]).fails(code);
        assert!(ended.stderr.contains(wanted) && ended.stderr.contains("tasks.yml:1"), "{wanted}: {}", ended.stderr);
    }
    let unpinned =
        tasks(&format!("- {{name: a, action: sdk_install, url: '{}', dest: /opt}}\n", files.url("installer.sh")));
    let ended = shared().run(&["build", text(unpinned.path())]).fails(3);
    assert!(ended.stderr.contains("`sdk_install` needs `sha256`"), "{}", ended.stderr);
}
