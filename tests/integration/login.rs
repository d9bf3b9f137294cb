//! `alloy login` and `alloy logout`, and whether other tools understand what they write.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::http::{Authority, Server, refused, send};
use crate::support::images::{images, quiet};
use crate::support::proxy::{Proxy, Tokens};
use crate::support::registry::Registry;
use crate::support::{ALLOY, Ended, run, text, tool};

/// alloy with a home of its own, and `input` for it to read.
fn alloy(home: &Path, arguments: &[&str], input: &str) -> Ended {
    let given = home.join("input");
    std::fs::write(&given, input).unwrap();
    let mut command = Command::new(ALLOY);
    quiet(&mut command);
    command.args(arguments).env("HOME", home).stdin(Stdio::from(std::fs::File::open(given).unwrap()));
    run(&mut command)
}

fn login(home: &Path, registry: &str, password: &str) -> Ended {
    alloy(home, &["login", registry, "-u", "ann", "--password-stdin"], password)
}

fn config(home: &TempDir) -> Value {
    serde_json::from_slice(&std::fs::read(home.path().join(".docker/config.json")).unwrap()).unwrap()
}

#[test]
fn what_login_writes_is_understood_and_logout_takes_it_out() {
    let registry = Registry::with_password("ann", "s3cret");
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join(".docker/config.json");
    std::fs::create_dir(home.path().join(".docker")).unwrap();
    std::fs::write(&file, r#"{"auths": {"o.example": {"auth": "eDp5"}}, "psFormat": "table"}"#).unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
    let done = login(home.path(), &registry.address, "s3cret\n").ok();
    assert_eq!(done.stdout, format!("logged in to {} as ann; kept in {}\n", registry.address, file.display()));
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let kept = config(&home);
    assert_eq!((&kept["psFormat"], &kept["auths"]["o.example"]["auth"]), (&"table".into(), &"eDp5".into()));

    let mut push = images().push_command("small:1", &registry.image("login:1"));
    run(push.env("HOME", home.path())).ok();
    let copy = format!("docker://{}", registry.image("login:1"));
    let inspect =
        |file: &Path| tool("skopeo", &["inspect", "--raw", "--tls-verify=false", "--authfile", text(file), &copy]);
    inspect(&file).ok();
    assert_eq!(login(home.path(), &registry.address, "wrong").code, Some(4));
    inspect(&file).ok();

    let out = alloy(home.path(), &["logout", &registry.address], "").ok();
    assert!(out.stdout.contains("taken out of"), "{}", out.stdout);
    assert!(inspect(&file).code != Some(0));
    assert_eq!(config(&home)["auths"], serde_json::json!({"o.example": {"auth": "eDp5"}}));
    let again = alloy(home.path(), &["logout", &registry.address], "").ok();
    assert_eq!(again.stdout, format!("not logged in to {}\n", registry.address));
}

#[test]
fn what_skopeo_writes_is_understood() {
    let registry = Registry::with_password("ann", "s3cret");
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("auth.json");
    let words = ["login", "--tls-verify=false", "--authfile", text(&file), "-u", "ann", "-p", "s3cret"];
    tool("skopeo", &[&words[..], &[&registry.address]].concat()).ok();
    let mut push = images().push_command("small:1", &registry.image("skopeo:1"));
    run(push.env("REGISTRY_AUTH_FILE", &file)).ok();
}

#[test]
fn a_password_that_is_wrong_is_not_kept() {
    let registry = Registry::with_password("ann", "s3cret");
    let home = tempfile::tempdir().unwrap();
    let wrong = login(home.path(), &registry.address, "hunter2").fails(4);
    assert!(wrong.stderr.contains("does not accept this password of ann"), "{}", wrong.stderr);
    assert!(!wrong.stderr.contains("hunter2"), "{}", wrong.stderr);
    assert!(!home.path().join(".docker").exists());
    login(home.path(), &refused(), "x").fails(4);
    let none = login(home.path(), &registry.address, "").fails(2);
    assert!(none.stderr.contains("nothing came"), "{}", none.stderr);
    for (arguments, part) in [
        (&["login", "r.example", "-u", "ann"][..], "--password-stdin"),
        (&["login", "r.example", "--password-stdin"], "--username"),
        (&["login", "r.example/team", "-u", "ann", "--password-stdin"], "is not a registry"),
        (&["login", "nowhere", "-u", "ann", "--password-stdin"], "is not a registry"),
        (&["login", "r.example", "-u", "a:b", "--password-stdin"], "no colon"),
        (&["logout", "nowhere"], "is not a registry"),
    ] {
        let ended = alloy(home.path(), arguments, "x").fails(2);
        assert!(ended.stderr.contains(part), "{arguments:?}: {}", ended.stderr);
    }
}

#[test]
fn a_page_to_log_in_at_is_no_registry() {
    let server = Server::start(|_, _, stream| {
        let page = b"<!DOCTYPE html><title>Sign in</title>";
        send(stream, "200 OK", &format!("Content-Type: text/html\r\nContent-Length: {}\r\n", page.len()), page);
    });
    let home = tempfile::tempdir().unwrap();
    let refused = login(home.path(), &server.address, "s3cret").fails(4);
    assert!(refused.stderr.contains("answered 200 with a web page, `Sign in`"), "{}", refused.stderr);
    assert!(!home.path().join(".docker").exists());
}

#[test]
fn token_servers_are_asked_too() {
    let registry = Registry::start();
    let proxy = Proxy::guarded(&registry.address, vec![], Tokens::default().for_user("ann", "s3cret"));
    let home = tempfile::tempdir().unwrap();
    login(home.path(), &proxy.address, "wrong").fails(4);
    login(home.path(), &proxy.address, "s3cret").ok();
    run(images().push_command("small:1", &proxy.image("x:1")).env("HOME", home.path())).ok();
    // Where nobody is asked, that is said.
    let open = login(home.path(), &registry.address, "x").ok();
    assert!(open.stderr.contains("asks for no password"), "{}", open.stderr);
}

#[test]
fn helpers_keep_what_they_are_named_for() {
    let registry = Registry::with_password("ann", "s3cret");
    let home = tempfile::tempdir().unwrap();
    let script = "#!/bin/sh\ncd \"$(dirname \"$0\")\"\ncase $1 in store) cat > kept;; erase) cat > /dev/null; rm kept;;
        get) cat > /dev/null; cat kept 2> /dev/null || { echo credentials not found; exit 1; };; esac\n";
    let helper = home.path().join("docker-credential-test");
    std::fs::write(&helper, script).unwrap();
    std::fs::set_permissions(&helper, PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::create_dir(home.path().join(".docker")).unwrap();
    std::fs::write(home.path().join(".docker/config.json"), r#"{"credsStore": "test"}"#).unwrap();
    let path = format!("{}:{}", text(home.path()), std::env::var("PATH").unwrap());
    let with_helper = |command: &mut Command| run(command.env("HOME", home.path()).env("PATH", &path));
    let mut command = Command::new(ALLOY);
    quiet(&mut command);
    let given = home.path().join("input");
    std::fs::write(&given, "s3cret").unwrap();
    command.args(["login", &registry.address, "-u", "ann", "--password-stdin"]);
    let done = with_helper(command.stdin(Stdio::from(std::fs::File::open(given).unwrap()))).ok();
    assert!(done.stdout.contains("kept in docker-credential-test"), "{}", done.stdout);
    assert!(std::fs::read_to_string(home.path().join("kept")).unwrap().contains("s3cret"));
    assert_eq!(config(&home)["auths"][&registry.address], serde_json::json!({}));
    with_helper(&mut images().push_command("small:1", &registry.image("kept:1"))).ok();
    with_helper(Command::new(ALLOY).args(["logout", &registry.address])).ok();
    assert!(!home.path().join("kept").exists());
    assert_eq!(config(&home)["auths"], serde_json::json!({}));
}

#[test]
fn a_file_that_comes_first_is_told_of() {
    let registry = Registry::with_password("ann", "s3cret");
    let home = tempfile::tempdir().unwrap();
    let first = home.path().join(".config/containers");
    std::fs::create_dir_all(&first).unwrap();
    let stale = format!(r#"{{"auths": {{"{}": {{"auth": "Ym9iOng="}}}}}}"#, registry.address);
    std::fs::write(first.join("auth.json"), stale).unwrap();
    let done = login(home.path(), &registry.address, "s3cret").ok();
    assert!(done.stderr.contains("containers/auth.json come first"), "{}", done.stderr);
    let out = alloy(home.path(), &["logout", &registry.address], "").ok();
    assert!(out.stdout.contains("still there: the credentials from"), "{}", out.stdout);
}

#[test]
fn a_password_is_typed_unseen() {
    let registry = Registry::with_password("ann", "s3cret");
    let home = tempfile::tempdir().unwrap();
    // `script` gives a terminal; what it shows is on standard output.
    let inner = format!("{ALLOY} login {}; stty -a | grep -o -- '-\\?echo\\b'", registry.address);
    let typed = format!("(sleep 1; echo ann; sleep 1; echo s3cret; sleep 1) | script -qec \"{inner}\" /dev/null");
    let mut command = Command::new("sh");
    quiet(&mut command);
    let shown = run(command.args(["-c", &typed]).env("HOME", home.path())).ok().stdout;
    assert!(shown.contains("Password: ") && shown.contains("logged in to") && shown.contains("\necho"), "{shown}");
    assert!(!shown.contains("s3cret"), "{shown}");
}

#[test]
fn an_authority_of_the_registry_s_own_is_for_login_too() {
    let authority = Authority::new();
    let registry = Registry::tls(&authority, "", Some(("ann", "s3cret")));
    let home = tempfile::tempdir().unwrap();
    let unknown = login(home.path(), &registry.address, "s3cret").fails(4);
    assert!(unknown.stderr.contains("certs.d") && unknown.stderr.contains("--cert-dir"), "{}", unknown.stderr);
    let certificates = authority.certs(home.path(), false);
    let words = ["login", &registry.address, "-u", "ann", "--password-stdin", "--cert-dir", text(&certificates)];
    alloy(home.path(), &words, "s3cret").ok();
    let mut words = words.to_vec();
    words.truncate(5);
    alloy(home.path(), &[&words[..], &["--insecure-registry", &registry.address]].concat(), "s3cret").ok();
}
