//! Who this user is to git servers: told to the commands that clone, and to nobody else.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::support::files::Files;
use crate::support::host::Host;
use crate::support::http::{Server, send};
use crate::support::{ALLOY, Ended, Store, TOOLS, blueprint, kept_since, run, shared, tasks, text, tool};

const BACKEND: &str = include_str!("git_backend.py");
pub const TOKEN: &str = "gitt0ken-gitt0ken";

/// git's own backend, which lets `ann` in.
pub struct Backend {
    child: Child,
    pub port: String,
}

impl Backend {
    pub fn serve(files: &Files) -> Self {
        let words = format!("Basic {}", STANDARD.encode(format!("ann:{TOKEN}")));
        let mut command = Command::new("python3");
        command.args(["-c", BACKEND, text(files.path()), &words]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        Self { child, port: port.trim().to_owned() }
    }

    pub fn url(&self, name: &str) -> String {
        format!("http://127.0.0.1:{}/{name}", self.port)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_login_reaches_those_who_clone_and_is_kept_nowhere() {
    let files = Files::serve();
    files.repository("part", "echo part > file; commit v1");
    let server = Backend::serve(&files);
    let module = format!(
        "printf '[submodule \"part\"]\\n\\tpath = part\\n\\turl = {}\\n' > .gitmodules; \
         git update-index --add --cacheinfo 160000,$(git -C ../part rev-parse HEAD),part; \
         git add .gitmodules; git commit -qm v1; git tag v1",
        server.url("part.git")
    );
    files.repository("sdk", &module);
    let url = server.url("sdk.git");
    let blueprint = tasks(&format!(
        "- {{name: tools, action: apt_install, packages: [ca-certificates, git]}}\n\
         - {{name: sdk, action: git_clone, url: '{url}', revision: v1, dest: /opt/sdk}}\n\
         - {{name: others, action: run_command, reason: test, command: 'env | grep -c ^GIT_CONFIG_VALUE_ > /srv/others || true'}}\n"
    ));
    let home = tempfile::tempdir().unwrap();
    let alloy = |arguments: &[&str]| -> Ended {
        let mut command = Command::new(ALLOY);
        command.arg("--progress=plain").args(arguments).env("ALLOY_HOME", shared().path().join("store"));
        command.env("HOME", home.path()).env_remove("XDG_CONFIG_HOME").env_remove("NETRC");
        let ended = run(&mut command);
        assert!(!(ended.stdout.clone() + &ended.stderr).contains(TOKEN));
        ended
    };
    let path = text(blueprint.path());
    // Who says nothing learns how to say it.
    let said = alloy(&["build", path, "--no-attest"]).fails(1).stderr;
    assert!(said.contains("the git server wants to know who asks") && said.contains("netrc"), "{said}");
    let said = alloy(&["lock", path]);
    assert!(said.code != Some(0) && said.stderr.contains("the git server wants to know who asks"), "{}", said.stderr);

    let host = format!("127.0.0.1:{}", server.port);
    let header = format!("--header={host}: Authorization: Basic {}", STANDARD.encode(format!("ann:{TOKEN}")));
    alloy(&["build", path, "--no-attest", "-t", "git-login:1", &header]).ok();
    let netrc = home.path().join(".netrc");
    fs::write(&netrc, format!("machine 127.0.0.1 login ann password {TOKEN}\n")).unwrap();
    fs::set_permissions(&netrc, Permissions::from_mode(0o600)).unwrap();
    alloy(&["build", path, "--no-attest", "-t", "git-login:2", "--no-cache"]).ok();
    alloy(&["lock", path]).ok();
    let lock = fs::read_to_string(blueprint.path().join("alloy.lock.yml")).unwrap();
    assert!(lock.contains("v1") && !lock.contains(TOKEN), "{lock}");
    alloy(&["build", path, "--no-attest", "-t", "git-login:3", "--locked"]).ok();
    let look = "cat /opt/sdk/part/file /srv/others; ! grep -rE 'extraHeader|Basic|ann' /opt/sdk/.git/config";
    for image in ["git-login:1", "git-login:2", "git-login:3"] {
        assert_eq!(alloy(&["run", image, "--", "sh", "-c", look]).ok().stdout, "part\n0\n", "{image}");
    }
    let encoded = STANDARD.encode(format!("ann:{TOKEN}"));
    assert_eq!(kept_since(&blueprint.path().join("manifest.yml"), &[TOKEN, &encoded]), "");
}

#[test]
fn what_is_installed_is_cloned_with_the_same_login() {
    let (files, host, store) = (Files::serve(), Host::debian(), Store::new());
    files.repository("sdk", "echo sdk > file; commit v1");
    let server = Backend::serve(&files);
    let blueprint = tasks(&format!(
        "- {{name: tools, action: apt_install, packages: [ca-certificates, git]}}\n\
         - {{name: sdk, action: git_clone, url: '{}', revision: v1, dest: /opt/sdk}}\n",
        server.url("sdk.git")
    ));
    let install = |more: &[&str]| run(host.command(&store, blueprint.path(), more).env_remove("NETRC"));
    let encoded = STANDARD.encode(format!("ann:{TOKEN}"));
    let said = install(&[]).fails(1).stderr;
    assert!(said.contains("the git server wants to know who asks"), "{said}");
    let header = format!("--header=127.0.0.1:{}: Authorization: Basic {encoded}", server.port);
    let said = install(&[&header]).ok();
    assert_eq!(host.read("opt/sdk/file"), "sdk\n");
    let state = fs::read_to_string(blueprint.path().join("alloy.state.yml")).unwrap();
    for secret in [TOKEN, &encoded] {
        assert!(!(said.stdout.clone() + &said.stderr + &state).contains(secret));
        for place in [host.path(), store.path()] {
            assert_eq!(tool("grep", &["-rlaF", secret, text(place)]).stdout, "");
        }
    }
}

/// kas keeps the environment from git.
#[test]
fn what_kas_gets_is_cloned_with_the_same_login() {
    let files = Files::serve();
    let server = Backend::serve(&files);
    files.repository(
        "meta",
        "printf 'export BUILDDIR=$1\\n' > oe-init-build-env; mkdir conf; echo > conf/layer.conf; echo meta > file; commit v1",
    );
    files.repository(
        "kas",
        &format!(
            "mkdir conf; printf 'header: {{version: 14}}\\nmachine: board\\ndistro: poky\\nrepos:\\n  self: {{layers: {{.: disabled}}}}\\n  meta: {{url: \"{}\", branch: main}}\\n' > conf/board.yml; commit v1",
            server.url("meta.git")
        ),
    );
    let work = format!(
        "- {{name: yocto, action: yocto_manifest, url: '{}', version: v1, dest: /opt/yocto, kas_file: conf/board.yml, run_as: dev}}\n",
        server.url("kas.git")
    );
    let manifest = "name: Test\nversion: 1.0.0\nrun_order: [tools.yml, pip.yml, tasks.yml]\n";
    let kas = "- {name: kas, action: python_package, package: kas, version: '4.7'}\n";
    let blueprint =
        blueprint(&[("manifest.yml", manifest), ("tools.yml", TOOLS), ("pip.yml", kas), ("tasks.yml", &work)]);
    let encoded = STANDARD.encode(format!("ann:{TOKEN}"));
    let header = format!("--header=127.0.0.1:{}: Authorization: Basic {encoded}", server.port);
    let store = shared();
    store.run(&["build", text(blueprint.path()), "--no-attest", "-t", "git-kas:1", &header]).ok();
    let look = "cat /opt/yocto/meta/file; ls -A /tmp; ls -d /opt/yocto/.gitconfig ~/.gitconfig 2>/dev/null || true";
    assert_eq!(store.run(&["run", "git-kas:1", "--", "sh", "-c", look]).ok().stdout, "meta\n");
    for secret in [TOKEN, &encoded] {
        assert_eq!(tool("grep", &["-rlaF", secret, text(&store.path().join("store"))]).stdout, "");
    }
}

#[test]
fn what_a_blueprints_own_repository_says_of_git_counts_for_nothing() {
    let files = Files::serve();
    files.repository("sdk", "echo sdk > file; commit v1");
    let server = Backend::serve(&files);
    let urls =
        [server.url("sdk.git"), "ssh://git@127.0.0.1:9/x.git".to_owned(), "http://elsewhere.invalid/x.git".to_owned()];
    for url in urls {
        let blueprint =
            tasks(&format!("- {{name: sdk, action: git_clone, url: '{url}', revision: v1, dest: /opt/sdk}}\n"));
        let path = text(blueprint.path());
        tool("git", &["-C", path, "init", "-q"]).ok();
        let ran = blueprint.path().join("ran");
        let program = format!("touch {}; false", text(&ran));
        let redirected = format!("url.{}.insteadOf", files.url("sdk.git"));
        for (name, value) in [
            ("core.sshCommand", program.as_str()),
            ("credential.helper", &format!("!{program}")),
            ("core.askPass", &program),
            (&redirected, "http://elsewhere.invalid/x.git"),
        ] {
            tool("git", &["-C", path, "config", name, value]).ok();
        }
        let mut command = shared().alloy(&["lock", path]);
        let ended = run(command.current_dir(blueprint.path()).env_remove("NETRC").env("HOME", path));
        assert!(ended.code != Some(0) && !ran.exists(), "{}", ended.stderr);
    }
}

#[test]
fn where_a_server_is_not_is_told_with_the_task_that_names_it() {
    let server = Server::start(|_, _, stream| {
        let head = "Location: http://moved.example/team/sdk.git/info/refs?service=git-upload-pack&token=hunter2\r\n\
                    Content-Length: 0\r\n";
        send(stream, "302 Found", head, b"");
    });
    let (url, header) = (server.path("sdk.git"), format!("--header={}: PRIVATE-TOKEN: {TOKEN}", server.address));
    let work = format!("- {{name: sdk, action: git_clone, revision: v1, dest: /opt/sdk, url: '{url}'}}\n");
    let blueprint = blueprint(&[
        ("manifest.yml", "name: Test\nversion: 1.0.0\nrun_order: [tools.yml, tasks.yml]\n"),
        ("tools.yml", TOOLS),
        ("tasks.yml", &work),
    ]);
    let path = text(blueprint.path());
    for command in ["lock", "build"] {
        let said = shared().run(&[command, path, &header]);
        let said = format!("{}{}", said.stderr, said.code.unwrap());
        let place = format!("tasks.yml:1:{}: sdk: ", work.find("'http").unwrap() + 1);
        for part in [&place, &format!("{url} to http://moved.example/team/sdk.git: write that URL")] {
            assert!(said.contains(part.as_str()), "{command}: no {part}: {said}");
        }
        assert!(!said.contains("hunter2") && !said.contains(TOKEN), "{said}");
    }
    // What ssh's own form has no place for. Nothing listens there.
    let scp =
        tasks("- {name: sdk, action: git_clone, revision: v1, dest: /opt/sdk, url: 'git@127.0.0.2:2222/x.git'}\n");
    let said = shared().run(&["lock", text(scp.path())]);
    assert!(said.code != Some(0) && said.stderr.contains("tasks.yml:1:"), "{}", said.stderr);
    assert!(said.stderr.contains("write ssh://git@127.0.0.2:2222/x.git"), "{}", said.stderr);
}

#[test]
fn a_clone_that_failed_on_a_host_is_done_again() {
    let files = Files::serve();
    let url = files.repository("sdk", "echo sdk > file; commit v1");
    let (host, store) = (Host::debian(), shared());
    let task = |revision: &str, dest: &str| {
        format!("- {{name: sdk, action: git_clone, url: '{url}', revision: {revision}, dest: {dest}}}\n")
    };
    let manifest = "name: Test\nversion: 1.0.0\nrun_order: [tools.yml, tasks.yml]\n";
    let tools = "- {name: tools, action: apt_install, packages: [ca-certificates, git]}\n";
    let blueprint =
        blueprint(&[("manifest.yml", manifest), ("tools.yml", tools), ("tasks.yml", &task("nosuch", "/opt/sdk"))]);
    host.install(store, blueprint.path(), &[]).fails(1);
    assert!(!host.at("opt/sdk").exists(), "what the task made is gone with it");
    // Nor is anything taken away that was there before.
    fs::create_dir_all(host.at("opt/full")).unwrap();
    fs::write(host.at("opt/full/mine"), "mine").unwrap();
    fs::create_dir(host.at("opt/empty")).unwrap();
    for dest in ["/opt/full", "/opt/empty"] {
        fs::write(blueprint.path().join("tasks.yml"), task("nosuch", dest)).unwrap();
        let said = host.install(store, blueprint.path(), &[]).fails(1).stderr;
        assert_eq!(said.contains("hint: a task clones into a directory of its own"), dest == "/opt/full", "{said}");
    }
    assert_eq!(host.read("opt/full/mine"), "mine");
    assert_eq!(fs::read_dir(host.at("opt/empty")).unwrap().count(), 0);
    fs::write(blueprint.path().join("tasks.yml"), task("v1", "/opt/sdk")).unwrap();
    host.install(store, blueprint.path(), &[]).ok();
    assert_eq!(host.read("opt/sdk/file"), "sdk\n");
}
