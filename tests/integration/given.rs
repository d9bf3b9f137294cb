//! A blueprint has what it was given, and nothing else; what it was given goes no further than it has to.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::download::Downloads;
use crate::support::{ALLOY, Ended, Store, blueprint, run, shared, text, tool};

const NAMES: [&str; 5] =
    ["AWS_SECRET_ACCESS_KEY", "DATABASE_URL", "ALLOY_REGISTRY_PASSWORD", "COSIGN_PASSWORD", "DOCKER_AUTH_CONFIG"];

fn write(content: &str) -> String {
    format!("- {{name: write, action: write_env_file, file: /srv/0, content: '{content}'}}\n")
}

#[test]
fn the_environment_is_not_the_blueprints() {
    for name in NAMES {
        for how in [format!("{{{{.Vars.{name}}}}}"), format!("${name}"), format!("${{{name}}}")] {
            let task = format!("- {{name: get, action: get_file, url: 'http://127.0.0.1:1/{how}', dest: /srv/0}}\n");
            let downloads = Downloads::of_tasks(&task);
            for command in ["build", "plan"] {
                let ended = run(downloads.alloy(command).env(name, "hunter2-hunter2")).fails(3);
                let said = "is set in the environment, but the blueprint does not declare it";
                let own = "is a credential of alloy's own, which no blueprint can have";
                assert!(ended.stderr.contains(if NAMES[..2].contains(&name) { said } else { own }), "{}", ended.stderr);
                assert!(ended.stderr.contains("tasks.yml:1:"), "{}", ended.stderr);
                assert!(!ended.stderr.contains("hunter2"), "{}", ended.stderr);
            }
        }
    }
}

#[test]
fn what_is_declared_or_given_is_there() {
    let downloads = Downloads::of_tasks(&write("{{.Vars.DATABASE_URL}} {{.Vars.PLAIN}}"));
    let image = downloads.store.path().join("image").display().to_string();
    let output = format!("type=dir,dest={image}");
    let got = || std::fs::read_to_string(format!("{image}/srv/0")).unwrap();
    downloads.build(&["--var", "DATABASE_URL=a", "--var", "PLAIN=b", "-o", &output]).ok();
    assert_eq!(got(), "a b");
    downloads.write(
        "manifest.yml",
        "name: Test\nversion: 1.0.0\nrun_order: [tasks.yml]\nimage: {env_from_profile: false}\n\
         variables: {PLAIN: none}\nrequired_env: [{name: DATABASE_URL}]\n",
    );
    std::fs::remove_dir_all(&image).unwrap();
    let mut command = downloads.command(&["-o", &output]);
    run(command.env("DATABASE_URL", "c").env("PLAIN", "d")).ok();
    assert_eq!(got(), "c d");
}

#[test]
fn credentials_of_alloys_own_cannot_be_declared() {
    for declared in [
        "variables: {COSIGN_PASSWORD: x}",
        "required_env: [{name: COSIGN_PASSWORD}]",
        "required_env: [{name: ALLOY_CATALOG_REMOTE}]",
        "required_env: [{name: GIT_CONFIG_VALUE_0}]",
    ] {
        let downloads = Downloads::of_tasks(&write("x"));
        let manifest = format!("name: Test\nversion: 1.0.0\nrun_order: [tasks.yml]\n{declared}\n");
        downloads.write("manifest.yml", &manifest);
        let ended = run(downloads.command(&[]).env("COSIGN_PASSWORD", "hunter2")).fails(3);
        assert!(ended.stderr.contains(" is a credential of alloy's own"), "{}", ended.stderr);
        assert!(ended.stderr.contains("manifest.yml:4:"), "{}", ended.stderr);
        let checked = Store::new().run(&["check", text(downloads.path())]).fails(1);
        assert!(checked.stdout.contains("credential of alloy's own"), "{}", checked.stdout);
    }
}

fn with_base(base: &str) -> TempDir {
    let manifest = format!(
        "name: Test\nversion: 1.0.0\nrun_order: [tasks.yml]\nimage: {{base: \"{base}\", env_from_profile: false}}\n"
    );
    blueprint(&[("manifest.yml", &manifest), ("tasks.yml", &write("x"))])
}

#[test]
fn a_base_of_the_manifest_lies_in_the_blueprint() {
    let (store, private) = (Store::new(), tempfile::tempdir().unwrap());
    std::fs::create_dir_all(private.path().join("etc")).unwrap();
    std::fs::write(private.path().join("etc/id_rsa"), "private").unwrap();
    let private = text(private.path());
    for scheme in ["rootfs", "oci", "oci-archive", "docker-archive"] {
        for path in [private, "../priv", "a/../../priv", "linked", "linked/etc"] {
            let base = format!("{scheme}:{path}");
            let directory = with_base(&base);
            std::os::unix::fs::symlink(private, directory.path().join("linked")).unwrap();
            let ended = store.run(&["build", text(directory.path()), "-t", "x"]).fails(3);
            assert!(ended.stderr.contains("leads out of the blueprint's directory"), "{base}: {}", ended.stderr);
            assert!(ended.stderr.contains("manifest.yml:4:") && ended.stderr.contains("--base"), "{}", ended.stderr);
            let checked = store.run(&["check", text(directory.path())]).fails(1);
            assert!(checked.stdout.contains("leads out"), "{base}: {}", checked.stdout);
            assert!(
                checked.stdout.contains("1 blueprint checked: 1 error, 0 warnings"),
                "told twice: {}",
                checked.stdout
            );
        }
    }
    // On the command line, any is.
    let directory = with_base("rootfs:/nowhere");
    store.run(&["build", text(directory.path()), "-t", "x", "--base", &format!("rootfs:{private}")]).ok();
    // One that lies in the blueprint is found there, wherever alloy is started.
    let directory = with_base("rootfs:root");
    std::fs::create_dir_all(directory.path().join("root/etc")).unwrap();
    store.run(&["build", text(directory.path()), "-t", "x"]).ok();
}

/// Command lines of all processes, as everybody on the machine can read them.
fn command_lines() -> String {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " ") + "\n").collect()
}

/// Runs `command`, and looks at all command lines while it waits for the file `go`, which it asks for in `up`.
#[track_caller]
fn nobody_reads(command: &mut Command, secret: &str, mark: &str) {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let started = Instant::now();
    let mut marks = 0;
    while child.try_wait().unwrap().is_none() {
        assert!(started.elapsed() < Duration::from_secs(240), "it does not end");
        let lines = command_lines();
        assert!(!lines.contains(secret), "{}", lines.lines().find(|line| line.contains(secret)).unwrap());
        marks += usize::from(lines.contains(mark));
        std::thread::sleep(Duration::from_millis(20));
    }
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(marks > 0, "the command was never seen: {}", String::from_utf8_lossy(&output.stderr));
}

const SLEEPERS: &str = r#"
- name: command
  action: run_command
  reason: test
  skip_if: 'sleep 1.2377; test "{{.Vars.MY_TOKEN}}" = other'
  command: |
    : "{{.Vars.MY_TOKEN}}"; sleep 1.2377
    printf '%s %s %s' "$0" "$LINENO" "$(env | grep -c ALLOY_SCRIPT)" > /tmp/alloy-given
    test "$(cat /tmp/alloy-given)" = "bash 2 0" || exit 7
    set -e; test "{{.Vars.MY_TOKEN}}" = S3cr3t-Value-12345
    cat > /dev/null
- name: as a user
  action: run_command
  reason: test
  run_as: daemon
  command: "sleep 1.2377; test '{{.Vars.MY_TOKEN}}' = S3cr3t-Value-12345"
"#;

#[test]
fn secrets_are_on_no_command_line() {
    let manifest = "name: Test\nversion: 1.0.0\nrun_order: [tasks.yml]\nrequired_env: [{name: MY_TOKEN}]\n";
    let directory = blueprint(&[("manifest.yml", manifest), ("tasks.yml", SLEEPERS)]);
    let mut command = Command::new(ALLOY);
    command.args(["build", text(directory.path()), "-t", "x", "--no-cache", "--progress=plain"]);
    command.env("ALLOY_HOME", shared().path().join("store")).env("MY_TOKEN", "S3cr3t-Value-12345");
    nobody_reads(&mut command, "S3cr3t-Value-12345", "1.2377");
}

#[test]
fn a_script_with_a_secret_fails_as_others_do() {
    let manifest = "name: Test\nversion: 1.0.0\nrun_order: [tasks.yml]\nrequired_env: [{name: MY_TOKEN}]\n";
    for (script, exit) in [(": {{.Vars.MY_TOKEN}}; exit 7", 7), ("set -e; : {{.Vars.MY_TOKEN}}\n(exit 9)\ntrue", 9)] {
        let task = format!("- name: fail\n  action: run_command\n  reason: test\n  command: {:?}\n", script);
        let directory = blueprint(&[("manifest.yml", manifest), ("tasks.yml", &task)]);
        let mut command = Command::new(ALLOY);
        command.args(["build", text(directory.path()), "-t", "x", "--progress=plain"]);
        command.env("ALLOY_HOME", shared().path().join("store")).env("MY_TOKEN", "S3cr3t-Value-12345");
        let ended = run(&mut command).fails(1);
        assert!(ended.stderr.contains(&format!("{exit}")), "{}", ended.stderr);
        assert!(!ended.stderr.contains("S3cr3t") && !ended.stderr.contains("ALLOY_SCRIPT"), "{}", ended.stderr);
    }
}

#[test]
fn what_a_blueprint_says_steers_no_terminal() {
    let steering = "x\\e]0;title\\a\\rgone\\u202e\\x9b2J";
    let task = format!("- {{name: \"{steering}\", action: write_env_file, file: /srv/0, content: x}}\n");
    let downloads = Downloads::of_tasks(&task);
    for command in ["plan", "build"] {
        let mut command = downloads.alloy(command);
        if command.get_args().any(|argument| argument == "build") {
            command.args(["-t", "x"]);
        }
        let ended = run(&mut command).ok();
        let said = ended.stdout + &ended.stderr;
        assert!(said.contains("\\u{1b}]0;title\\u{7}\\u{d}gone\\u{202e}\\u{9b}2J"), "{said}");
        assert!(!said.contains(['\u{1b}', '\r', '\u{7}', '\u{202e}', '\u{9b}']), "{said:?}");
    }
}

#[test]
fn a_clone_that_names_programs_is_not_asked() {
    let (store, remote, place) = (Store::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let tools = remote.path().join("toolchains/arm/gcc");
    std::fs::create_dir_all(&tools).unwrap();
    std::fs::write(tools.join("README"), "x").unwrap();
    let git = |directory: &Path, arguments: &[&str]| {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=a", "-c", "user.email=a@a.example", "-C", text(directory)]).args(arguments);
        run(&mut command).ok()
    };
    git(remote.path(), &["init", "-q"]);
    git(remote.path(), &["add", "."]);
    git(remote.path(), &["commit", "-qm", "x"]);
    let catalog = place.path().join("catalog");
    let update = ["catalog", "update", "--catalog", text(&catalog), "--remote", text(remote.path())];
    store.run(&update).ok();
    store.run(&update).ok();
    let ran = place.path().join("ran");
    let program = place.path().join("program");
    std::fs::write(&program, format!("#!/bin/sh\ntouch {}\n", text(&ran))).unwrap();
    tool("chmod", &["755", text(&program)]).ok();
    for key in ["core.fsmonitor", "filter.x.clean", "gpg.program", "core.sshCommand", "diff.external"] {
        git(&catalog, &["config", key, text(&program)]);
        std::fs::write(catalog.join(".git/info/attributes"), "* filter=x\n").unwrap();
        std::fs::write(tools.join("README"), key).unwrap();
        git(remote.path(), &["commit", "-qam", "y"]);
        let ended = store.run(&update).fails(2);
        assert!(ended.stderr.contains(&key.to_ascii_lowercase().replace(".x.", ".")), "{}", ended.stderr);
        git(&catalog, &["config", "--unset", key]);
    }
    assert!(!ran.exists());
    store.run(&[&update[..], &["--discard"]].concat()).ok();
}

#[test]
fn apt_is_asked_to_remove_nothing() {
    let sdk = "mcu_sdk, method: git, url: 'https://a.example/x.git', version: v1, dest: /opt/x";
    for action in ["apt_install", sdk] {
        let task = format!("- {{name: x, action: {action}, packages: [vim-, 'vim:amd64-', 'vim=1-', g++]}}\n");
        let downloads = Downloads::of_tasks(&task);
        let ended = Store::new().run(&["check", text(downloads.path())]).fails(1);
        for name in ["`vim-`", "`vim:amd64-`", "`vim=1-`"] {
            assert!(ended.stdout.contains(&format!("{name} is not the name of a package")), "{}", ended.stdout);
        }
        assert!(!ended.stdout.contains("`g++`"), "{}", ended.stdout);
    }
}

/// A server that ends with the test, however the test ends.
struct Ending(Child);

impl Drop for Ending {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// This machine's mirror, for who knows the password.
const MIRROR: &str = r#"
import base64, http.server, os, sys, threading, urllib.error, urllib.request
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        code, body = 401, b''
        known = [base64.b64encode(who).decode() for who in (b'corp:MIRRORPW99', b'corp:p#MIRRORPW88', b'TOKEN4mirror:', b'corp:p q')]
        if self.headers.get('Authorization', '').removeprefix('Basic ') in known:
            try:
                code, body = 200, urllib.request.urlopen(sys.argv[1] + self.path).read()
            except urllib.error.HTTPError as error:
                code = error.code
        self.send_response(code)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(*_):
        pass
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
print(server.server_address[1], flush=True)
threading.Timer(300, os._exit, [1]).start()
server.serve_forever()
"#;

/// The mirror, and its port.
fn mirror() -> (Ending, String) {
    use std::io::BufRead;
    let find = "grep -rhoE 'https?://[^ ]+/debian/?( |$)' /etc/apt | head -n1 | tr -d ' ' | sed 's,/debian/*$,,'";
    let upstream = tool("sh", &["-c", find]).ok().stdout;
    let mut server = Command::new("python3");
    server.args(["-c", MIRROR, upstream.trim()]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut server = Ending(server.spawn().unwrap());
    let mut port = String::new();
    std::io::BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut port).unwrap();
    (server, port.trim().to_owned())
}

/// What alloy says with that mirror, whose user and password are `login`.
fn with_mirror(store: &Store, arguments: &[&str], login: &str, port: &str) -> Ended {
    let without = std::env::var("no_proxy").unwrap_or_default() + ",127.0.0.1";
    let mut command = store.alloy(arguments);
    command.env("ALLOY_MIRROR", format!("http://{login}@127.0.0.1:{port}/debian"));
    run(command.env("no_proxy", &without).env("NO_PROXY", &without))
}

#[test]
fn apt_in_tasks_is_told_who_to_be() {
    let (_server, port) = mirror();
    let store = Store::with_base();
    for (login, package) in [("corp:p%23MIRRORPW88", "hello"), ("TOKEN4mirror", "bc")] {
        // What a task is lent, it may show.
        let show = "- {name: y, action: run_command, reason: test, command: 'cat /run/alloy/auth.conf; false'}\n";
        let tasks = format!("- {{name: x, action: apt_install, packages: [{package}]}}\n{show}");
        let blueprint = crate::support::tasks(&tasks);
        let ended = with_mirror(&store, &["build", text(blueprint.path()), "--no-attest"], login, &port).fails(1);
        assert!(ended.stderr.contains("login ***") || ended.stderr.contains("password ***"), "{}", ended.stderr);
        let said = ended.stdout + &ended.stderr;
        assert!(!said.contains("MIRRORPW88") && !said.contains("TOKEN4mirror"), "{said}");
    }
    // What apt cannot be told is said, and what it fails for.
    let blueprint = crate::support::tasks("- {name: x, action: apt_install, packages: [dc]}\n");
    let ended = with_mirror(&store, &["build", text(blueprint.path())], "corp:p%20q", &port).fails(1);
    assert!(ended.stderr.contains("user or password have white space or begin with `#`"), "{}", ended.stderr);
}

#[test]
fn passwords_of_mirrors_are_not_written_down() {
    let (_server, port) = mirror();
    let (store, directory) = (Store::new(), with_base("deb:bookworm"));
    let ended = with_mirror(&store, &["lock", text(directory.path())], "corp:MIRRORPW99", &port).ok();
    assert!(!(ended.stdout + &ended.stderr).contains("MIRRORPW99"));
    let lock = std::fs::read_to_string(directory.path().join("alloy.lock.yml")).unwrap();
    assert!(lock.contains(&format!("http://127.0.0.1:{port}/debian")), "{lock}");
    let places = [text(directory.path()), text(store.path())];
    let found = tool("grep", &["-rlaF", "MIRRORPW99", places[0], places[1]]).fails(1);
    assert_eq!(found.stdout, "");
}
