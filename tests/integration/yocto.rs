//! `yocto_manifest`: a workspace of repo's manifest, with repo itself as PyPI has it; where kas builds, and whom it trusts.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::git_login::{Backend, TOKEN};
use crate::support::files::Files;
use crate::support::http::{Authority, Server, send, whole};
use crate::support::{TOOLS, blueprint, digests, repository, run, shared, text, tool};

/// Repositories of a manifest and its layers, and repo's own.
pub(crate) struct Served {
    manifest: String,
    tool: String,
}

/// What stands in place of repo's own `main.py`, which the packager of the wheel moved into a package.
const MAIN: &str = "import os, sys\n\
                    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), 'lib'))\n\
                    sys.argv = ['repo'] + sys.argv[sys.argv.index('--') + 1:]\n\
                    from repo.main import main\n\
                    sys.exit(main())\n";

/// Makes the repositories in `files`, for whoever asks the server at `url` for them.
fn served(files: &Files, url: impl Fn(&str) -> String) -> Served {
    served_as(files, "manifest", url)
}

/// The same, with another name for the repository of the manifest.
pub(crate) fn served_as(files: &Files, manifest: &str, url: impl Fn(&str) -> String) -> Served {
    let pip = repository("target/python/bin/pip");
    let wheels = text(files.path());
    tool(text(&pip), &["download", "--quiet", "--no-deps", "--dest", wheels, "gitrepo==2.32.2"]).ok();
    files.repository(
        "git-repo",
        &format!(
            "mkdir lib; python3 -m zipfile -e ../gitrepo-*.whl lib; cp lib/repo/wrapper.py repo; chmod 755 repo
            printf '%s' \"{MAIN}\" > main.py; git add -A; git commit -qm v2.32; git tag -a -m v2.32 v2.32; git branch stable"
        ),
    );
    files.repository("meta-a", "echo old > a; commit v1; echo new > a; commit v2");
    files.repository(
        "meta-b",
        "mkdir scripts; echo main > scripts/setup; commit v1; git checkout -q -b release; echo release > scripts/setup; commit r1",
    );
    // A submodule by a name that is not its path.
    files.repository(
        "meta-c",
        "printf '[submodule \"hal\"]\\n\\tpath = drivers/hal\\n\\turl = ../meta-b.git\\n' > .gitmodules
        mkdir -p drivers/hal; git update-index --add --cacheinfo 160000,$(git -C ../meta-b.git rev-parse release),drivers/hal; commit v1",
    );
    let at = url("");
    files.repository(
        manifest,
        &format!(
            r#"cat > board.xml <<'END'
<?xml version="1.0" encoding="UTF-8"?>
<manifest>
  <remote name="origin" fetch="{at}"/>
  <default remote="origin" revision="main"/>
  <project name="meta-a.git" path="sources/a"/>
  <project name="meta-a.git" path="sources/a-old" revision="refs/tags/v1"/>
  <project name="meta-b.git" path="sources/b" revision="release"><copyfile src="scripts/setup" dest="setup"/><linkfile src="scripts/setup" dest="linked"/></project>
  <project name="meta-b.git" path="sources/docs" groups="notdefault,docs"/>
  <project name="meta-c.git" path="sources/deep" groups="notdefault,deep" sync-s="true"/>
</manifest>
END
            commit m1; git checkout -q -b board-6.6; echo > more; commit m2; sed -i 's/revision="release"/revision="nosuch"/' board.xml; commit m3; git checkout -q main"#
        ),
    );
    Served { manifest: url(&format!("{manifest}.git")), tool: url("git-repo.git") }
}

const MANIFEST: &str = "name: Test\nversion: 1.0.0\nrun_order: [tools.yml, ssh.yml, tasks.yml]\n";

/// This version of repo wants to know which ssh there is.
const SSH: &str = "- {name: ssh, action: apt_install, packages: [openssh-client]}\n";

#[test]
fn a_workspace_of_a_manifest_is_the_same_twice() {
    let files = Files::serve();
    let Served { manifest, tool: own } = served(&files, |name| files.url(name));
    let task = |more: &str| {
        format!(
            "- {{name: layers, action: yocto_manifest, tool: repo, url: '{manifest}', repo_url: '{own}', file: board.xml, dest: /opt/bsp, run_as: dev{more}}}\n"
        )
    };
    let files_of = |tasks: &str| {
        blueprint(&[("manifest.yml", MANIFEST), ("tools.yml", TOOLS), ("ssh.yml", SSH), ("tasks.yml", tasks)])
    };
    let place = files_of(&task(", version: m2, groups: 'default,docs,deep'"));
    let build = || shared().build(&[text(place.path()), "-t", "bsp", "--no-cache=tasks.yml"]);
    let first = build();
    // What nobody asked for, and objects that are packed another way.
    files.script(
        "export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a
        for at in git-repo meta-a meta-b meta-c manifest; do cd $at.git; git branch other; git tag foo
            git branch new $(git commit-tree -m new main^{tree})
            git repack -q -a -d -f --window=0; git update-server-info; cd ..; done",
    );
    assert_eq!(digests(&first), digests(&build()), "nothing of a workspace may depend on when it was made");
    let dev = |script: &str| shared().run(&["run", "-u", "dev", "bsp", "--", "bash", "-euc", script]).ok().stdout;
    assert_eq!(
        dev(
            "cd /opt/bsp; cat sources/a/a sources/a-old/a sources/b/scripts/setup sources/docs/scripts/setup setup linked
            cat sources/deep/drivers/hal/scripts/setup"
        ),
        "new\nold\nrelease\nmain\nrelease\nrelease\nrelease\n"
    );
    // Both git and repo take it for what it is, without a network.
    let clean = "ls -A ~ /tmp | grep -c repo || true; cd /opt/bsp; for at in sources/*; do git -C $at status --short; git -C $at fsck --strict --no-dangling 2>&1; done
                 python3 .repo/repo/repo status; python3 .repo/repo/repo sync -l -q; python3 .repo/repo/repo list";
    let said = dev(clean);
    assert!(said.starts_with("0\nnothing to commit (working directory clean)\n"), "{said}");
    assert!(
        said.ends_with(
            "sources/a : meta-a.git\nsources/a-old : meta-a.git\nsources/b : meta-b.git\nsources/deep : meta-c.git\n\
             sources/deep/drivers/hal : meta-c.git/drivers/hal\nsources/docs : meta-b.git\n"
        ),
        "{said}"
    );

    let sbom = shared().run(&["sbom", "bsp"]).ok().stdout;
    for name in ["sources/deep", "sources/deep/drivers/hal"] {
        assert!(sbom.contains(&format!("the git repository in /opt/bsp/{name}\"")), "no {name}: {sbom}");
    }

    // A branch, pinned: what it becomes later is for `alloy lock --update`.
    std::fs::write(place.path().join("tasks.yml"), task(", version: main")).unwrap();
    shared().run(&["lock", text(place.path())]).ok();
    let lock = std::fs::read_to_string(place.path().join("alloy.lock.yml")).unwrap();
    let commit = |url: &str, name: &str| {
        let said = tool("git", &["ls-remote", url, name]).ok().stdout;
        said.split_whitespace().next().unwrap().to_owned()
    };
    for (url, name) in [(&manifest, "refs/heads/main"), (&own, "refs/heads/stable")] {
        assert!(lock.contains(&commit(url, name)), "{lock}");
    }
    let pinned = build();
    files.script("cd manifest; git rm -q board.xml; git -c user.name=a -c user.email=a commit -qm gone; git push -q ../manifest.git main; git -C ../manifest.git update-server-info");
    assert_eq!(digests(&pinned), digests(&build()), "nor of a pinned one");
    assert_eq!(dev("ls /opt/bsp/sources"), "a\na-old\nb\n");
    let locked = shared().run(&["build", text(place.path()), "--locked"]).ok().stderr;
    assert!(locked.contains("does not cover what the commands of this task download"), "{locked}");
    let sbom = shared().run(&["sbom", "bsp"]).ok().stdout;
    for name in ["meta-a", "meta-b", "git-repo"] {
        assert!(sbom.contains(&files.url(&format!("{name}.git"))), "no {name}: {sbom}");
    }
}

#[test]
fn repo_is_pinned_where_a_task_does_not_say_which() {
    let manifest = "name: Test\nversion: 1.0.0\nrun_order: [tasks.yml]\nimage: {base: 'rootfs:base'}\n";
    let task = "- {name: layers, action: yocto_manifest, tool: repo, url: https://git.example/m.git, version: main, dest: /opt/bsp}\n";
    let place = blueprint(&[("manifest.yml", manifest), ("tasks.yml", task)]);
    std::fs::create_dir_all(place.path().join("base/etc")).unwrap();
    let path = text(place.path());
    let said = shared().run(&["plan", path, "--locked"]).fails(3).stderr;
    let url = said.split_once("git-repo").and_then(|(before, _)| before.split(['`', ' ', '\'']).next_back());
    let own = format!("{}git-repo", url.expect("repo's repository is not pinned"));
    let commit = "0123456789012345678901234567890123456789";
    let lock = format!("git:\n  {own}: {{stable: {commit}}}\n  https://git.example/m.git: {{main: {commit}}}\n");
    std::fs::write(place.path().join("alloy.lock.yml"), lock).unwrap();
    shared().run(&["plan", path, "--locked"]).ok();
    std::fs::write(place.path().join("tasks.yml"), task.replace(", tool: repo", "")).unwrap();
    let said = shared().run(&["plan", path, "--locked"]).fails(3).stderr;
    assert!(said.contains("nothing uses this revision of the lockfile"), "{said}");
}

#[test]
fn a_depth_and_a_login_reach_all_that_repo_clones() {
    let files = Files::serve();
    let server = Backend::serve(&files);
    let Served { manifest, tool: own } = served(&files, |name| server.url(name));
    let tasks = format!(
        "- {{name: layers, action: yocto_manifest, tool: repo, url: '{manifest}', repo_url: '{own}', repo_rev: v2.32, file: board.xml, version: board-6.6, commit_hash: {}, depth: 1, dest: /opt/bsp}}\n",
        tool("git", &["-C", text(&files.path().join("manifest.git")), "rev-parse", "m2"]).ok().stdout.trim()
    );
    let place = blueprint(&[("manifest.yml", MANIFEST), ("tools.yml", TOOLS), ("ssh.yml", SSH), ("tasks.yml", &tasks)]);
    let encoded = STANDARD.encode(format!("ann:{TOKEN}"));
    let header = format!("--header=127.0.0.1:{}: Authorization: Basic {encoded}", server.port);
    let build =
        || shared().build(&[text(place.path()), "-t", "shallow", "--no-attest", "--no-cache=tasks.yml", &header]);
    assert_eq!(digests(&build()), digests(&build()));
    let look = "cd /opt/bsp; for at in sources/*; do git -C $at rev-list --count HEAD; git -C $at fsck --no-dangling 2>&1; done; cat setup";
    assert_eq!(shared().run(&["run", "shallow", "--", "sh", "-c", look]).ok().stdout, "1\n1\n1\nrelease\n");
    for secret in [TOKEN, &encoded] {
        assert_eq!(tool("grep", &["-rlaF", secret, text(&shared().path().join("store"))]).stdout, "");
    }
}

#[test]
fn what_repo_cannot_do_is_told() {
    let files = Files::serve();
    let Served { manifest, tool: own } = served(&files, |name| files.url(name));
    for (fields, code, wanted) in [
        (
            format!("repo_url: '{own}', url: '{manifest}', file: none.xml, dest: /opt/bsp"),
            1,
            "ERROR: repo cannot use none.xml of http",
        ),
        (
            format!("repo_url: '{own}', url: '{manifest}', file: board.xml, version: m3, dest: /opt/bsp"),
            1,
            "ERROR: repo cannot get what board.xml of http",
        ),
        (
            format!("repo_url: '{own}', url: '{manifest}', dest: /etc"),
            1,
            "/etc already exists and is not an empty directory",
        ),
        (
            format!("repo_url: '{own}', repo_rev: v9, url: '{manifest}', dest: /opt/bsp"),
            1,
            "the repository has no `v9`",
        ),
        (format!("url: '{manifest}', kas_file: a.yml, dest: /opt/bsp"), 3, "repo has no `kas_file`"),
        (format!("url: '{manifest}', groups: '-x', dest: /opt/bsp"), 3, "one word that does not begin with `-`"),
    ] {
        let task = format!("- {{name: layers, action: yocto_manifest, tool: repo, {fields}}}\n");
        let place =
            blueprint(&[("manifest.yml", MANIFEST), ("tools.yml", TOOLS), ("ssh.yml", SSH), ("tasks.yml", &task)]);
        let said = shared().run(&["build", text(place.path())]).fails(code).stderr;
        assert!(said.contains(wanted) && said.contains("tasks.yml:1:"), "{wanted}: {said}");
    }
}

#[test]
fn kas_builds_where_a_task_says_and_trusts_whom_this_machine_trusts() {
    let (files, authority) = (Files::serve(), Authority::new());
    let root = files.path().to_owned();
    let server = Server::tls(&authority, move |_, asked, stream| {
        let path = asked.line.split(' ').nth(1).unwrap_or_default().split('?').next().unwrap_or_default();
        match std::fs::read(root.join(path.trim_start_matches('/'))) {
            Ok(content) => whole(stream, &content),
            Err(_) => send(stream, "404 Not Found", "Content-Length: 0\r\n", b""),
        }
    });
    let url = |name: &str| server.path(&format!("{name}.git"));
    files.repository(
        "meta",
        "printf 'export BUILDDIR=$1\n' > oe-init-build-env; mkdir conf; echo > conf/layer.conf; commit v1",
    );
    let config = format!(
        "header: {{version: 14}}\nmachine: board\ndistro: poky\nrepos:\n  self: {{layers: {{.: disabled}}}}\n  meta: {{url: \"{}\", branch: main}}\n",
        url("meta")
    );
    files.repository("kas", &format!("printf '{config}' > board.yml; commit v1"));
    let kas = "- {name: kas, action: python_package, package: kas, version: '4.7'}\n";
    let manifest = "name: Test\nversion: 1.0.0\nrun_order: [tools.yml, pip.yml, tasks.yml]\n";
    let task = |more: &str| {
        format!(
            "- {{name: layers, action: yocto_manifest, url: '{}', version: v1, kas_file: board.yml, dest: /opt/bsp{more}}}\n",
            url("kas")
        )
    };
    // While the machine still trusts those who have kas.
    let first = manifest.replace(", tasks.yml", "");
    let tools = blueprint(&[("manifest.yml", &first), ("tools.yml", TOOLS), ("pip.yml", kas)]);
    shared().run(&["build", text(tools.path()), "--no-attest"]).ok();
    for (more, place) in [
        (", creates: /opt/bsp/conf/local.conf", "/opt/bsp/conf/local.conf"),
        (", build_dir: /opt/bsp/out", "/opt/bsp/out/conf/local.conf"),
        (", creates: /opt/bsp/a/b/conf/local.conf", "/opt/bsp/build/conf/local.conf"),
    ] {
        let files = [("manifest.yml", manifest), ("tools.yml", TOOLS), ("pip.yml", kas), ("tasks.yml", &task(more))];
        let blueprint = blueprint(&files);
        let mut command = shared().command(&["build", text(blueprint.path()), "-t", "kas", "--no-attest"]);
        run(command.env("SSL_CERT_FILE", authority.bundle()).env_remove("SSL_CERT_DIR")).ok();
        let look = format!("grep -c board {place}; ls /opt/bsp/meta; ls -A /tmp");
        let said = shared().run(&["run", "kas", "--", "sh", "-c", &look]).ok().stdout;
        assert!(said.ends_with("\nconf\noe-init-build-env\n") && !said.starts_with('0'), "{place}: {said}");
    }
    let blueprint = crate::support::tasks(&task(", build_dir: /opt/out"));
    let said = shared().run(&["check", text(blueprint.path())]).fails(1).stdout;
    assert!(said.contains("`build_dir` cannot be /opt/out"), "{said}");
}
