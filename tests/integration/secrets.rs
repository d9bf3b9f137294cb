//! A secret is used, and never shown or kept: everything that a build prints and leaves is searched for it.

use std::io::Read;
use std::path::Path;
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;

use crate::support::http::{Server, send, whole};
use crate::support::{ALLOY, Ended, Store, blueprint, run, text, tool};

const SITE: &str = "site/id+with \"signs\" & ümlaut";
const TOKEN: &str = "t0ken/p@ss:word";
const PEM: &str = "-----BEGIN THING-----\nMIIBVgIBADANBgkq\nhkiG9w0BAQEFAASC\n-----END THING-----";

const MANIFEST: &str = "name: Secrets\nversion: 1.0.0\nrun_order: [tasks.yml]\nrequired_env:\n\
                        - {name: SITE_ID, secret: true}\n- {name: VENDOR_TOKEN}\n- {name: SIGNING_KEY}\n";

/// Uses every secret wherever it may be used, and prints it as often as it can.
fn tasks(server: &Server, end: &str) -> TempDir {
    let text = r#"
- name: print
  action: run_command
  reason: test
  command: |
    echo "env $SITE_ID $VENDOR_TOKEN"; echo "$SIGNING_KEY"
    cat <<'END'
    template {{.Vars.VENDOR_TOKEN}} {{.Vars.SITE_ID}}
    END
    printf 'split t0ken/p'; sleep 0.3; printf '@ss:word\n'
    printf '%s' "ann:$VENDOR_TOKEN" | base64 -w0; echo
    printf '%s' "$VENDOR_TOKEN" | base64 -w0; echo
    echo t0ken%2Fp%40ss%3Aword
    env >&2
    printf '%s' "$VENDOR_TOKEN" | wc -c > /srv/length
- name: skip
  action: write_env_file
  file: /srv/skipped
  content: x
  skip_if: 'echo "{{.Vars.VENDOR_TOKEN}}"; test "{{.Vars.VENDOR_TOKEN}}" = t0ken/p@ss:word'
- {name: fetch, action: get_file, url: 'http://ann:{{.Vars.VENDOR_TOKEN}}@ADDRESS/f?t={{.Vars.VENDOR_TOKEN}}', dest: /srv/f}
- {name: a pip, action: write_env_file, file: /usr/local/bin/pip3, content: "\#!/bin/sh\nenv\n", mode: "0755"}
- {name: pip, action: python_package, package: x}
"#;
    let text = text.replace("\\#", "#").replace("ADDRESS", &server.address) + end;
    blueprint(&[("manifest.yml", MANIFEST), ("tasks.yml", &text)])
}

fn with_secrets(command: &mut Command) -> &mut Command {
    command.env("SITE_ID", SITE).env("VENDOR_TOKEN", TOKEN).env("SIGNING_KEY", PEM)
}

/// The build as a command; on a terminal, if that is the way of progress.
fn build(store: &Store, directory: &TempDir, progress: &str) -> Ended {
    let metadata = store.path().join("metadata.json");
    let arguments = ["build", text(directory.path()), "-t", "secret", "--no-cache", "--metadata-file", text(&metadata)];
    let mut command = if progress == "tty" {
        let words = arguments.map(|word| format!("'{word}'")).join(" ");
        let mut script = Command::new("script");
        script.args(["-qefc", &format!("'{ALLOY}' {words} --progress=tty"), "/dev/null"]);
        script
    } else {
        let mut alloy = Command::new(ALLOY);
        alloy.args(arguments).arg(format!("--progress={progress}"));
        alloy
    };
    // The test's own server needs no proxy, where this machine has one.
    let without = std::env::var("no_proxy").unwrap_or_default() + ",127.0.0.1";
    command.env("ALLOY_HOME", store.path().join("store")).env("no_proxy", without);
    run(with_secrets(&mut command))
}

/// Every form in which a secret may turn up.
fn needles() -> Vec<String> {
    let mut needles = vec![SITE.to_owned(), TOKEN.to_owned()];
    needles.extend(PEM.lines().map(str::to_owned));
    for value in [SITE, TOKEN, PEM] {
        needles.push(STANDARD.encode(value).trim_end_matches('=').to_owned());
        needles.push(url::form_urlencoded::byte_serialize(value.as_bytes()).collect());
        needles.push(serde_json::Value::from(value).to_string().trim_matches('"').to_owned());
    }
    // Of `ann:` and the token as HTTP's `Basic` has them, what depends on the token alone.
    needles.push(STANDARD.encode(format!("ann:{TOKEN}"))[6..24].to_owned());
    needles.push("t0ken%2Fp%40ss%3Aword".to_owned());
    needles
}

#[track_caller]
fn clean(what: &str, bytes: &[u8]) {
    for needle in needles() {
        let found = bytes.windows(needle.len()).position(|window| window == needle.as_bytes());
        let around = found.map(|at| String::from_utf8_lossy(&bytes[at.saturating_sub(80)..at]).into_owned());
        assert!(found.is_none(), "{what} holds {needle}, after {around:?}");
    }
}

/// Searches all files of the store, compressed ones unpacked.
#[track_caller]
fn clean_store(store: &Path) {
    let mut grep = Command::new("grep");
    grep.arg("-rlaF").args(needles().iter().map(|needle| format!("-e{needle}"))).arg(store);
    let found = run(&mut grep).fails(1);
    assert_eq!(found.stdout, "");
    let mut layers = 0;
    for entry in std::fs::read_dir(store.join("blobs/sha256")).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = Vec::new();
        let file = std::io::BufReader::new(std::fs::File::open(&path).unwrap());
        layers::compress::decoder(file).unwrap().1.read_to_end(&mut bytes).unwrap();
        layers += usize::from(bytes.len() as u64 > path.metadata().unwrap().len());
        let mut grep = Command::new("grep");
        grep.arg("-caF").args(needles().iter().map(|needle| format!("-e{needle}")));
        let unpacked = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(unpacked.path(), &bytes).unwrap();
        let found = run(grep.arg(unpacked.path()));
        assert_eq!(found.stdout.trim(), "0", "{}", path.display());
    }
    assert!(layers >= 2, "the base and a layer were unpacked");
}

#[test]
fn nothing_that_is_printed_or_kept_holds_a_secret() {
    let server = Server::start(|_, asked, stream| match asked.line.contains("/missing") {
        true => send(stream, "404 Not Found", "Content-Length: 0\r\n", b""),
        false => whole(stream, b"content"),
    });
    let store = Store::with_base();
    let good = tasks(&server, "");
    let failing = tasks(
        &server,
        "- {name: fail, action: run_command, reason: test, command: 'echo \"{{.Vars.VENDOR_TOKEN}}\" >&2; \"/no/{{.Vars.VENDOR_TOKEN}}\"; exit 3'}\n",
    );
    let missing = tasks(
        &server,
        "- {name: missing, action: get_file, url: 'http://{{.Vars.VENDOR_TOKEN}}@ADDRESS/missing/{{.Vars.VENDOR_TOKEN}}', dest: /srv/m}\n",
    );
    let path = missing.path().join("tasks.yml");
    std::fs::write(&path, std::fs::read_to_string(&path).unwrap().replace("ADDRESS", &server.address)).unwrap();
    for progress in ["plain", "json", "tty"] {
        for (directory, code) in [(&good, 0), (&failing, 1), (&missing, 4)] {
            let ended = build(&store, directory, progress).fails(code);
            clean(progress, ended.stdout.as_bytes());
            clean(progress, ended.stderr.as_bytes());
            // It was printed, where output is shown, and is masked.
            let printed = format!("{}{}", ended.stdout, ended.stderr);
            let expected: &[&str] = match (progress, code) {
                ("json", 0) => &["env *** ***", "template *** ***", "split ***", "VENDOR_TOKEN=***"],
                (_, 1) => &["/no/***"],
                (_, 4) => &["/missing/***"],
                _ => &[],
            };
            expected.iter().for_each(|part| assert!(printed.contains(part), "no {part}: {printed}"));
        }
    }
    let asked = &server.asked()[0];
    let basic = format!("Basic {}", STANDARD.encode(format!("ann:{TOKEN}")));
    assert_eq!(asked.header("authorization"), Some(basic.as_str()));
    assert_eq!(asked.line, format!("GET /f?t={TOKEN} HTTP/1.1"));
    clean("the metadata file", &std::fs::read(store.path().join("metadata.json")).unwrap());
    // The task had the real value.
    let ended = store.run(&["run", "secret", "sh", "-c", "cat /srv/length; test ! -e /srv/skipped"]).ok();
    assert_eq!(ended.stdout.trim(), TOKEN.len().to_string());
    // What `run` is given stays with its command, and neither image has it.
    let mut lent = Command::new(ALLOY);
    lent.args(["run", "--rw", "-e", "VENDOR_TOKEN", "secret", "sh", "-c"]);
    lent.args([&format!("test \"$VENDOR_TOKEN\" = {TOKEN} && touch /srv/ran")]);
    run(with_secrets(&mut lent).env("ALLOY_HOME", store.path().join("store"))).ok();
    for image in ["secret", "alloy-failed"] {
        clean(image, store.run(&["inspect", image]).ok().stdout.as_bytes());
        clean(image, store.run(&["run", image, "sh", "-c", "env"]).ok().stdout.as_bytes());
    }
    clean_store(&store.path().join("store"));
}

#[test]
fn a_secret_where_a_layer_would_keep_it_is_an_error() {
    let store = Store::new();
    let value = "{{.Vars.VENDOR_TOKEN}}";
    for fields in [
        format!("action: write_env_file, file: /srv/x, content: 'a {value}'"),
        format!("action: write_env_file, file: '/srv/{value}', content: x"),
        format!("action: write_env_file, file: /srv/x, content: x, owner: '{value}'"),
        format!("action: write_env_file, file: /srv/x, content: x, mode: '{value}'"),
        format!("action: write_env_file, file: /srv/x, content: x, creates: '/{value}'"),
        format!("action: get_file, url: 'http://a.example/x', dest: /srv/x, sha256: '{value}'"),
        format!("action: get_file, url: '{value}', dest: /srv/x"),
        "action: get_file, url: 'http://a.example/x', dest: '$VENDOR_TOKEN'".to_owned(),
        format!("action: apt_install, packages: ['{value}']"),
        format!("action: python_package, package: x, version: '{value}'"),
        format!("action: mcu_sdk, method: git, url: 'http://{value}@a.example/x', version: v1, dest: /opt/x"),
        format!("action: run_command, command: x, reason: x, run_as: '{value}'"),
    ] {
        let manifest = "name: s\nversion: 1.0.0\nrun_order: [tasks.yml]\n";
        let directory = blueprint(&[("manifest.yml", manifest), ("tasks.yml", &format!("- {{name: x, {fields}}}\n"))]);
        let ended = run(store.alloy(&["build", text(directory.path())]).env("VENDOR_TOKEN", TOKEN)).fails(3);
        assert!(ended.stderr.contains("tasks.yml:1:"), "{fields}: {}", ended.stderr);
        assert!(!ended.stderr.contains('\0'), "{fields}: {}", ended.stderr);
        clean(&fields, ended.stderr.as_bytes());
    }
}

#[test]
fn a_secret_that_is_too_short_to_mask_is_told() {
    let directory = blueprint(&[
        (
            "manifest.yml",
            "name: s\nversion: 1.0.0\nrun_order: [tasks.yml]\nrequired_env: [{name: PIN, secret: true}]\n",
        ),
        ("tasks.yml", "- {name: x, action: run_command, reason: test, command: 'echo \"1 of 100: $PIN\"; false'}\n"),
    ]);
    let ended = run(crate::support::shared().alloy(&["build", text(directory.path())]).env("PIN", "1")).fails(1);
    let told = "PIN has fewer than 4 characters: output that holds it is not masked";
    assert_eq!(ended.stderr.matches(told).count(), 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("1 of 100: 1"), "{}", ended.stderr);
}

#[test]
fn a_proxy_s_password_is_not_shown_by_tasks() {
    let directory = crate::support::tasks("- {name: x, action: run_command, reason: test, command: 'env; false'}\n");
    let mut command = crate::support::shared().alloy(&["build", text(directory.path()), "--no-cache"]);
    // The base is there already: nothing of the build itself needs the proxy.
    crate::support::shared().build(&[text(&crate::support::repository("examples/hello"))]);
    let ended = run(command.env("http_proxy", "http://ann:hunter2-proxy@127.0.0.1:9")).fails(1);
    assert!(ended.stderr.contains("http_proxy=http://ann:***@127.0.0.1:9"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("hunter2-proxy"), "{}", ended.stderr);
    tool("grep", &["-rlaF", "hunter2-proxy", text(&crate::support::shared().path().join("store/records"))]).fails(1);
}
