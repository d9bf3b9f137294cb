//! git by ssh: who clones is lent an agent, nobody else is, and nothing of it is kept.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::files::Files;
use crate::support::sshd::{Agent, Sshd};
use crate::support::user::User;
use crate::support::{ALLOY, Ended, Store, blueprint, kept_since, readable, run, shared, tasks, text, tool, waiting};

/// What clones by ssh; one layer for all tests that need it.
const TOOLS: &str = "- {name: tools, action: apt_install, packages: [git, openssh-client]}\n\
                     - {name: user, action: run_command, reason: test, command: useradd -m -s /bin/bash dev}\n";

fn with_ssh(text: &str) -> tempfile::TempDir {
    let manifest = "name: Test\nversion: 1.0.0\nrun_order: [tools.yml, tasks.yml]\n";
    blueprint(&[("manifest.yml", manifest), ("tools.yml", TOOLS), ("tasks.yml", text)])
}

/// Repositories behind a server: `sdk`, with the submodule `part`, both at v1.
struct Server {
    files: Files,
    sshd: Sshd,
}

impl Server {
    fn start() -> Self {
        let (files, sshd) = (Files::serve(), Sshd::start());
        files.repository("part", "echo part > file; commit v1");
        let module = format!(
            "printf '[submodule \"part\"]\\n\\tpath = part\\n\\turl = {}\\n' > .gitmodules; \
             git update-index --add --cacheinfo 160000,$(git -C ../part rev-parse HEAD),part; \
             git add .gitmodules; git commit -qm v1; git tag v1",
            sshd.url(&files.path().join("part.git"))
        );
        files.repository("sdk", &module);
        Self { files, sshd }
    }

    fn repository(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    fn sdk(&self) -> String {
        self.sshd.url(&self.repository("sdk.git"))
    }

    fn known(&self) -> String {
        format!("--ssh-known-hosts={}", text(&self.sshd.at("known_hosts")))
    }
}

/// alloy on `store`, for a user with no files and no agent of their own but `agent`.
fn alloy(store: &Path, agent: Option<&Agent>, arguments: &[&str]) -> Ended {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(ALLOY);
    command.arg("--progress=plain").args(arguments).env("ALLOY_HOME", store.join("store"));
    command.env("HOME", home.path()).env_remove("XDG_CONFIG_HOME").env_remove("SSH_AUTH_SOCK");
    command.env_remove("GIT_SSH_COMMAND").env_remove("GIT_SSH");
    command.envs(agent.iter().map(|agent| ("SSH_AUTH_SOCK", agent.socket())));
    run(&mut command)
}

#[test]
fn those_who_clone_log_in_and_nothing_of_it_is_kept() {
    let server = Server::start();
    let agent = Agent::with(&[&server.sshd.at("key")]);
    let (url, scp) = (server.sdk(), server.sshd.scp(&server.repository("sdk.git")));
    let blueprint = with_ssh(&format!(
        "- {{name: sdk, action: git_clone, url: '{url}', revision: v1, dest: /opt/sdk}}\n\
         - {{name: theirs, action: git_clone, url: '{scp}', revision: v1, dest: /opt/theirs, run_as: dev}}\n\
         - {{name: shallow, action: git_clone, url: '{scp}', revision: v1, dest: /opt/shallow, depth: 1, submodules: false}}\n\
         - {{name: tree, action: buildroot_config, url: '{url}', dest: /opt/tree, external_tree: '{scp}'}}\n\
         - {{name: sources, action: mcu_sdk, method: git, url: '{scp}', version: v1, dest: /opt/mcu}}\n\
         - {{name: beside, action: run_command, reason: test, command: 'test -z \"$SSH_AUTH_SOCK$GIT_SSH_COMMAND\" && test ! -e /run/alloy/ssh'}}\n\
         - name: own\n  action: run_command\n  reason: test\n  ssh: true\n  shell: strict\n  command: |\n\
         \x20   git ls-remote {scp} v1 | grep -q v1\n\
         \x20   printf 0000 | ssh -F \"${{SSH_AUTH_SOCK%/*}}/config\" root@{} \"git-upload-pack '{}'\" | grep -a v1 >/dev/null\n\
         \x20   (setsid sh -c 'sleep 1000' >/dev/null 2>&1 &)\n\
         - {{name: afterwards, action: run_command, reason: test, run_as: dev, command: 'test -z \"$SSH_AUTH_SOCK\" && test ! -e /run/alloy/ssh && ! grep -qa \"[s]leep.1000\" /proc/[0-9]*/cmdline'}}\n\
         - {{name: as dev, action: run_command, reason: test, run_as: dev, ssh: true, command: 'git ls-remote {url} v1 | grep -q v1'}}\n",
        server.sshd.address,
        text(&server.repository("sdk.git"))
    ));
    let (path, known) = (text(blueprint.path()), server.known());
    let (store, beside) = (shared().path(), tempfile::tempdir().unwrap());
    let metadata = beside.path().join("m.json");
    let build = |agent: Option<&Agent>, more: &[&str]| {
        let first = ["build", path, "-t", "ssh:1", "--metadata-file", text(&metadata)];
        alloy(store, agent, &[&first, more].concat()).ok();
        serde_json::from_slice::<Value>(&fs::read(&metadata).unwrap()).unwrap()
    };
    let built = build(Some(&agent), &["--ssh", "default", &known]);
    // What is built needs no agent, and is the same whoever lends one.
    let cached = build(None, &[]);
    assert_eq!(built["containerimage.digest"], cached["containerimage.digest"]);
    let layers = cached["layers"].as_array().unwrap();
    assert!(layers.iter().all(|layer| layer["cached"] == true), "{layers:?}");
    let socket = format!("default={}", text(&agent.socket()));
    let anew = build(None, &["--ssh", &socket, &known, "--no-cache=tasks.yml"]);
    assert_eq!(built["containerimage.digest"], anew["containerimage.digest"]);
    let look = "cat /opt/sdk/part/file /opt/theirs/part/file /opt/mcu/part/file /opt/tree/external/part/file; \
                test -d /opt/shallow/.git; stat -c %U /opt/theirs/part/file; \
                ! grep -rE 'sshCommand|known_hosts' /opt/*/.git/config";
    let looked = alloy(store, None, &["run", "ssh:1", "--", "sh", "-c", look]).ok().stdout;
    assert_eq!(looked, "part\npart\npart\npart\ndev\n");
    let documents = alloy(store, None, &["sbom", "ssh:1"]).ok().stdout
        + &alloy(store, None, &["provenance", "ssh:1"]).ok().stdout
        + &alloy(store, None, &["inspect", "ssh:1"]).ok().stdout;
    let secrets = [
        server.sshd.public("key"),
        server.sshd.public("host"),
        "comment-of-key".into(),
        "own-agent-of-the-test".into(),
        text(&agent.socket()).to_owned(),
        "SSH_AUTH_SOCK=/run/alloy".into(),
    ];
    for secret in &secrets {
        assert!(!documents.contains(secret.as_str()), "{secret}");
    }
    let secrets = secrets.each_ref().map(String::as_str);
    assert_eq!(kept_since(&blueprint.path().join("manifest.yml"), &secrets), "");
}

#[test]
fn an_agent_that_is_lent_only_logs_in() {
    let server = Server::start();
    let agent = Agent::with(&[&server.sshd.at("key")]);
    let private = fs::read_to_string(server.sshd.at("stranger")).unwrap();
    let before = agent.keys();
    let blueprint = with_ssh("");
    fs::write(blueprint.path().join("key"), private).unwrap();
    let tasks = format!(
        "- {{name: key, action: copy, source: key, dest: /srv/key, mode: '0600'}}\n\
         - name: refused\n  action: run_command\n  reason: test\n  ssh: true\n  command: |\n\
         \x20   set -e\n\
         \x20   ssh-add -l | grep -q ED25519\n\
         \x20   for refused in 'ssh-add /srv/key' 'ssh-add -D' 'ssh-add -d /srv/key.pub' 'ssh-add -s /usr/lib/x.so'; do\n\
         \x20       ! $refused </dev/null || exit 11\n\
         \x20   done\n\
         \x20   ssh-add -L > /tmp/own.pub; echo text > /tmp/text\n\
         \x20   ! ssh-keygen -Y sign -f /tmp/own.pub -n file /tmp/text || exit 12\n\
         \x20   git ls-remote {} v1 | grep -q v1\n",
        server.sdk()
    );
    fs::write(blueprint.path().join("tasks.yml"), tasks).unwrap();
    let arguments = ["build", text(blueprint.path()), "--no-attest", "--ssh", "default", &server.known()];
    alloy(shared().path(), Some(&agent), &arguments).ok();
    assert_eq!(agent.keys(), before);
}

#[test]
fn nobody_else_reaches_an_agent_that_is_lent() {
    let server = Server::start();
    let agent = Agent::with(&[&server.sshd.at("key")]);
    let store = Store::with_base();
    let late = server.sshd.url(&server.repository("late.git"));
    let waits = format!("echo waiting for\" it\"; until git ls-remote {late} 2>/dev/null; do sleep 0.2; done");
    let blueprint =
        with_ssh(&format!("- {{name: waits, action: run_command, reason: test, ssh: true, command: '{waits}'}}\n"));
    let mut command = store.alloy(&["build", text(blueprint.path()), "--no-attest", "--ssh=default", &server.known()]);
    let mut child = waiting(command.env("SSH_AUTH_SOCK", agent.socket()));
    let work = store.path().join("store/work");
    let sockets = || tool("find", &[text(&work), "-type", "s"]).stdout;
    let socket = PathBuf::from(sockets().trim());
    let mode = |path: &Path| std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions()) & 0o777;
    assert_eq!(mode(socket.parent().unwrap()), 0o700);
    // Whatever its owner makes of the directories above.
    for directory in [store.path(), &store.path().join("store"), &work] {
        tool("chmod", &["755", text(directory)]).ok();
    }
    let ids = ["--reuid=3211", "--regid=3211", "--clear-groups", "ssh-add", "-l"];
    let stranger = run(Command::new("setpriv").args(ids).env("SSH_AUTH_SOCK", &socket));
    assert_eq!(stranger.code, Some(2), "{}{}", stranger.stdout, stranger.stderr);
    run(Command::new("ssh-add").arg("-l").env("SSH_AUTH_SOCK", &socket)).ok();
    // A build at the same time, in the same store.
    let other = with_ssh(
        "- {name: other, action: run_command, reason: test, command: 'test -z \"$SSH_AUTH_SOCK\" && ! find /run /tmp -type s | grep . && ! SSH_AUTH_SOCK=/run/alloy/ssh/agent ssh-add -l'}\n",
    );
    alloy(store.path(), None, &["build", text(other.path()), "--no-attest"]).ok();
    server.files.repository("late", "echo late > file; commit v1");
    assert!(child.wait().unwrap().success());
    assert_eq!(sockets(), "");
}

#[test]
fn what_is_missing_is_told_before_anything_is_done() {
    let server = Server::start();
    let (store, nothing) = (Store::new(), tempfile::tempdir().unwrap());
    let blueprint = tasks(
        "- {name: first, action: run_command, reason: test, command: 'true'}\n\
         - {name: wants, action: run_command, reason: test, ssh: true, command: 'true'}\n",
    );
    let path = text(blueprint.path());
    let said = |agent: Option<&Agent>, more: &[&str]| {
        alloy(store.path(), agent, &[&["build", path][..], more].concat()).fails(2).stderr
    };
    let without = said(None, &["--base", "deb:bookworm"]);
    assert!(without.contains("tasks.yml:2:57") && without.contains("--ssh default"), "{without}");
    assert!(store.trees().is_empty(), "something was made");
    let offline = alloy(store.path(), None, &["build", path, "--network", "none"]).fails(3).stderr;
    assert!(offline.contains("wants to log in by ssh, and the build has no network"), "{offline}");
    let none = said(None, &["--ssh", "default"]);
    assert!(none.contains("$SSH_AUTH_SOCK is not set") && none.contains("ssh-add"), "{none}");
    let empty = said(Some(&Agent::with(&[])), &["--ssh", "default"]);
    assert!(empty.contains("has no keys") && empty.contains("ssh-add FILE"), "{empty}");
    let key = format!("--ssh=default={}", text(&server.sshd.at("key")));
    let key = said(None, &[&key]);
    assert!(key.contains("is a file, and no agent's socket") && key.contains("ssh-add /"), "{key}");
    let missing = said(None, &[&format!("--ssh=default={}/none", text(nothing.path()))]);
    assert!(missing.contains("cannot reach the agent"), "{missing}");
    let deaf = nothing.path().join("deaf");
    drop(std::os::unix::net::UnixListener::bind(&deaf).unwrap());
    let deaf = said(None, &[&format!("--ssh=default={}", text(&deaf))]);
    assert!(deaf.contains("Connection refused"), "{deaf}");
    let other = said(None, &["--ssh", "github"]);
    assert!(other.contains("default=SOCKET"), "{other}");
    let agent = Agent::with(&[&server.sshd.at("key")]);
    let unread = said(Some(&agent), &["--ssh=default", "--ssh-known-hosts=/nowhere/known_hosts"]);
    assert!(unread.contains("cannot read the known hosts in /nowhere/known_hosts"), "{unread}");
    let alone = said(None, &["--ssh-known-hosts=/dev/null"]);
    assert!(alone.contains("--ssh"), "{alone}");
}

#[test]
fn a_login_that_fails_says_what_helps() {
    let server = Server::start();
    let [key, stranger] = ["key", "stranger"].map(|name| Agent::with(&[&server.sshd.at(name)]));
    let clone = format!("- {{name: sdk, action: git_clone, url: '{}', revision: v1, dest: /opt/sdk}}\n", server.sdk());
    let blueprint = with_ssh(&clone);
    let build = |agent: Option<&Agent>, known: &str| {
        let known = format!("--ssh-known-hosts={}", text(&server.sshd.at(known)));
        let ssh = ["--ssh=default", known.as_str()];
        let more = if agent.is_some() { ssh.as_slice() } else { &[] };
        let first = ["build", text(blueprint.path()), "--no-attest"];
        alloy(shared().path(), agent, &[&first, more].concat()).fails(1).stderr
    };
    let address = &server.sshd.address;
    let without = build(None, "");
    assert!(without.contains("--ssh default"), "{without}");
    let unknown = build(Some(&key), "no_hosts");
    assert!(unknown.contains(&format!("ssh-keyscan -p 2222 {address} >> FILE")), "{unknown}");
    assert!(unknown.contains("--ssh-known-hosts FILE"), "{unknown}");
    let changed = build(Some(&key), "other_hosts");
    assert!(changed.contains(&format!("the key of [{address}]:2222 is not the one that is known")), "{changed}");
    let refused = build(Some(&stranger), "known_hosts");
    assert!(refused.contains(&format!("the agent holds 1 key, and {address} does not accept it")), "{refused}");
    // Where there is no ssh at all.
    let bare = tasks(&format!("- {{name: git, action: apt_install, packages: [git]}}\n{clone}"));
    let arguments = ["build", text(bare.path()), "--no-attest", "--ssh=default", &server.known()];
    let bare = alloy(shared().path(), Some(&key), &arguments).fails(1).stderr;
    assert!(bare.contains("install openssh-client by a task before"), "{bare}");
}

#[test]
fn commits_are_asked_for_by_ssh() {
    let server = Server::start();
    let agent = Agent::with(&[&server.sshd.at("key")]);
    let scp = server.sshd.scp(&server.repository("sdk.git"));
    let blueprint = with_ssh(&format!(
        "- {{name: sdk, action: git_clone, url: '{}', revision: v1, dest: /opt/sdk}}\n\
         - {{name: again, action: git_clone, url: '{scp}', revision: v1, dest: /opt/again}}\n\
         - {{name: own, action: run_command, reason: test, ssh: true, command: git ls-remote {scp}}}\n\
         - {{name: more, action: apt_install, packages: [tree]}}\n",
        server.sdk()
    ));
    let (path, store, known) = (text(blueprint.path()), shared().path(), server.known());
    let ssh = ["--ssh=default", known.as_str()];
    let unknown = alloy(store, Some(&agent), &["lock", path, "--ssh=default"]);
    assert!(unknown.code != Some(0) && unknown.stderr.contains("ssh-keyscan -p 2222"), "{}", unknown.stderr);
    let stranger = Agent::with(&[&server.sshd.at("stranger")]);
    let refused = alloy(store, Some(&stranger), &[&["lock", path], &ssh[..]].concat());
    assert!(refused.code != Some(0) && refused.stderr.contains("accepts none of your keys"), "{}", refused.stderr);
    alloy(store, Some(&agent), &[&["lock", path], &ssh[..]].concat()).ok();
    let lock = fs::read_to_string(blueprint.path().join("alloy.lock.yml")).unwrap();
    let commit = tool("git", &["-C", text(&server.repository("sdk")), "rev-parse", "v1"]).ok().stdout;
    assert_eq!(lock.matches(commit.trim()).count(), 2, "{lock}");
    alloy(store, Some(&agent), &[&["lock", path, "--check"], &ssh[..]].concat()).ok();
    let mut outdated = vec!["outdated", path, "--exit-code"];
    outdated.extend(ssh);
    let said = alloy(store, Some(&agent), &outdated).ok();
    assert!(!said.stderr.contains("not looked at"), "{}", said.stderr);
    alloy(store, Some(&agent), &[&["build", path, "--no-attest", "--locked"], &ssh[..]].concat()).ok();
    alloy(store, Some(&agent), &[&["verify", path], &ssh[..]].concat()).ok();
}

#[test]
fn tools_that_clone_by_themselves_log_in() {
    let server = Server::start();
    let agent = Agent::with(&[&server.sshd.at("key")]);
    let part = server.sshd.url(&server.repository("part.git"));
    server.files.repository(
        "manifest",
        &format!(
            "printf 'manifest:\\n  self: {{path: app}}\\n  projects: [{{name: part, url: \"{part}\", revision: v1, path: modules/part}}]\\n' > west.yml; commit v1"
        ),
    );
    let meta = "printf 'export BUILDDIR=$1\\n' > oe-init-build-env; mkdir conf; echo > conf/layer.conf; \
                echo meta > file; commit v1";
    server.files.repository("meta", meta);
    let meta = server.sshd.url(&server.repository("meta.git"));
    server.files.repository(
        "kas",
        &format!(
            "mkdir conf; printf 'header: {{version: 14}}\\nmachine: board\\ndistro: poky\\nrepos:\\n  self: {{layers: {{.: disabled}}}}\\n  meta: {{url: \"{meta}\", branch: main}}\\n' > conf/board.yml; commit v1"
        ),
    );
    let [west, kas] = ["manifest.git", "kas.git"].map(|name| server.sshd.url(&server.repository(name)));
    let tools = "- {name: west, action: python_package, package: west, version: 1.2.0}\n\
                 - {name: kas, action: python_package, package: kas, version: '4.7'}\n";
    let work = format!(
        "- {{name: ssh, action: apt_install, packages: [openssh-client]}}\n\
         - {{name: workspace, action: mcu_sdk, method: west, url: '{west}', version: v1, dest: /opt/ws, run_as: dev}}\n\
         - {{name: yocto, action: yocto_manifest, url: '{kas}', version: v1, dest: /opt/yocto, kas_file: conf/board.yml, run_as: dev}}\n"
    );
    let manifest = "name: Test\nversion: 1.0.0\nrun_order: [tools.yml, pip.yml, tasks.yml]\n";
    let files =
        [("manifest.yml", manifest), ("tools.yml", crate::support::TOOLS), ("pip.yml", tools), ("tasks.yml", &work)];
    let blueprint = blueprint(&files);
    let arguments =
        ["build", text(blueprint.path()), "-t", "ssh-tools:1", "--no-attest", "--ssh=default", &server.known()];
    let store = shared().path();
    alloy(store, Some(&agent), &arguments).ok();
    let look = "cat /opt/ws/modules/part/file /opt/yocto/meta/file";
    assert_eq!(alloy(store, None, &["run", "ssh-tools:1", "--", "sh", "-c", look]).ok().stdout, "part\nmeta\n");
}

#[test]
fn an_ordinary_user_lends_an_agent_too() {
    let server = Server::start();
    let (user, url) = (User::new().with_base(), server.sdk());
    let blueprint = with_ssh(&format!(
        "- {{name: sdk, action: git_clone, url: '{url}', revision: v1, dest: /opt/sdk}}\n\
         - {{name: theirs, action: git_clone, url: '{url}', revision: v1, dest: /opt/theirs, run_as: dev}}\n\
         - {{name: as dev, action: run_command, reason: test, run_as: dev, ssh: true, command: 'git ls-remote {url} v1 | grep -q v1'}}\n"
    ));
    let key = user.home().join("key");
    fs::copy(server.sshd.at("key"), &key).unwrap();
    fs::create_dir(user.home().join(".ssh")).unwrap();
    fs::copy(server.sshd.at("known_hosts"), user.home().join(".ssh/known_hosts")).unwrap();
    tool("chown", &["-R", &format!("--reference={}", text(&user.home())), text(&key), text(&user.home().join(".ssh"))])
        .ok();
    let script = format!(
        "chmod 600 ~/key; eval \"$(ssh-agent)\" && ssh-add -q ~/key && rm ~/key && \
         alloy build {} -t own --no-attest --progress plain --ssh default; ended=$?; ssh-agent -k; exit $ended",
        readable(&blueprint)
    );
    user.shell(&script).ok();
    let look =
        "alloy run own -- sh -c 'cat /opt/sdk/part/file /opt/theirs/part/file; stat -c %U /opt/theirs/part/file'";
    assert_eq!(user.shell(look).ok().stdout, "part\npart\ndev\n");
}
