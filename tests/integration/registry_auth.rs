//! Who one is to a registry: tokens, passwords, helpers.

use std::path::Path;
use std::process::Command;

use crate::support::images::{images, is_sound};
use crate::support::proxy::{Fault, Proxy, Rule, Tokens};
use crate::support::registry::Registry;
use crate::support::{Store, run, text};

const ANN: &str = "YW5uOnMzY3JldA==";

/// A file with an entry for `registry`.
fn auth_file(directory: &Path, registry: &str, auth: &str) -> String {
    let path = directory.join("auth.json");
    std::fs::write(&path, format!(r#"{{"auths": {{"{registry}": {{"auth": "{auth}"}}}}}}"#)).unwrap();
    text(&path).to_owned()
}

/// A credential helper; `PATH` with it.
fn helper(directory: &Path, script: &str) -> String {
    let path = directory.join("docker-credential-test");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    format!("{}:{}", text(directory), std::env::var("PATH").unwrap())
}

#[test]
fn one_token_serves_all_requests() {
    let registry = Registry::start();
    let proxy = Proxy::guarded(&registry.address, vec![], Tokens::default());
    images().push("small:1", &proxy.image("team/tokens:1")).ok();
    assert_eq!(proxy.count("GET", "/token?"), 1, "{:?}", proxy.requests());
    assert_eq!(proxy.tokens().scopes(), [["repository:team/tokens:pull,push"]]);
    let store = Store::new();
    proxy.reset();
    run(&mut images().build_command(&store, &proxy.image("team/tokens:1"))).ok();
    assert_eq!(proxy.count("GET", "/token?"), 1, "{:?}", proxy.requests());
    assert_eq!(proxy.tokens().scopes()[1..], [["repository:team/tokens:pull"]]);
}

#[test]
fn tokens_that_expire_on_the_way_are_renewed() {
    let registry = Registry::start();
    // Each is good for few requests: it ends in the middle of pushes and pulls.
    let proxy = Proxy::guarded(&registry.address, vec![], Tokens::for_uses(4));
    images().push("small:1", &proxy.image("expiring:1")).ok();
    assert!(proxy.count("GET", "/token?") > 2);
    let chunks = Rule::on("POST", "/uploads/", Fault::Header("OCI-Chunk-Min-Length", Some("1000".into()))).always();
    let chunked = Proxy::guarded(&registry.address, vec![chunks], Tokens::for_uses(3));
    images().push("large:1", &chunked.image("expiring:2")).ok();
    assert!(chunked.requests().iter().any(|one| one.method == "PATCH" && one.status == 401), "one ended in mid-upload");
    assert_eq!(registry.tag("expiring", "2"), Some(images().digest("large:1")));
    let reading = Proxy::guarded(&registry.address, vec![], Tokens::for_uses(2));
    let store = Store::new();
    run(&mut images().build_command(&store, &reading.image("expiring:1"))).ok();
    assert!(reading.requests().iter().any(|one| one.status == 401 && one.header("authorization").is_some()));
    is_sound(&registry.blobs());
}

#[test]
fn tokens_are_renewed_before_they_end() {
    let registry = Registry::start();
    let proxy = Proxy::guarded(&registry.address, vec![], Tokens::default().expiring(3600));
    images().push("small:1", &proxy.image("long:1")).ok();
    assert_eq!(proxy.requests().iter().filter(|one| one.status == 401).count(), 1, "only the first comes without one");
}

#[test]
fn a_token_server_in_trouble_is_asked_again() {
    let registry = Registry::start();
    let rules = vec![Rule::on("GET", "/token?", Fault::status(503)), Rule::on("GET", "/token?", Fault::Reset)];
    let proxy = Proxy::guarded(&registry.address, rules, Tokens::default());
    images().push("small:1", &proxy.image("busy:1")).ok();
    assert!(proxy.left().is_empty());
}

#[test]
fn passwords_go_to_the_token_server_and_not_further() {
    let registry = Registry::start();
    let place = tempfile::tempdir().unwrap();
    let proxy = Proxy::guarded(&registry.address, vec![], Tokens::default().for_user("ann", "s3cret"));
    let push = |auth: Option<&str>| {
        let mut command = images().push_command("small:1", &proxy.image("private:1"));
        if let Some(auth) = auth {
            command.env("REGISTRY_AUTH_FILE", auth_file(place.path(), &proxy.address, auth));
        }
        run(&mut command)
    };
    let nobody = push(None).fails(4);
    assert!(
        nobody.stderr.contains("wants credentials for push") && nobody.stderr.contains("alloy login"),
        "{}",
        nobody.stderr
    );
    let wrong = push(Some("YW5uOndyb25n")).fails(4);
    let said = format!(
        "does not accept the credentials from `{}` in {}",
        proxy.address,
        place.path().join("auth.json").display()
    );
    assert!(wrong.stderr.contains(&said) && wrong.stderr.contains("wrong password"), "{}", wrong.stderr);
    assert!(wrong.stderr.contains(&format!("alloy login {}", proxy.address)), "{}", wrong.stderr);
    assert!(!wrong.stderr.contains("YW5u"), "{}", wrong.stderr);
    assert_eq!(registry.tag("private", "1"), None);
    push(Some(ANN)).ok();
    let basic =
        |one: &&crate::support::proxy::Exchange| one.header("authorization").is_some_and(|it| it.starts_with("Basic"));
    assert!(proxy.requests().iter().filter(basic).all(|one| one.target.starts_with("/token?")));
}

#[test]
fn a_token_that_does_not_help_is_told() {
    let registry = Registry::start();
    let denied = Rule::on("POST", "/uploads/", Fault::error(401, "UNAUTHORIZED", "read only"));
    let proxy = Proxy::guarded(&registry.address, vec![denied.always()], Tokens::default());
    let ended = images().push("small:1", &proxy.image("ro:1")).fails(4);
    assert!(ended.stderr.contains("UNAUTHORIZED read only"), "{}", ended.stderr);
    assert_eq!(registry.tag("ro", "1"), None);
}

#[test]
fn helpers_are_asked_and_named_when_they_fail() {
    let registry = Registry::with_password("ann", "s3cret");
    let place = tempfile::tempdir().unwrap();
    let config = place.path().join("config.json");
    let push = |setting: &str, script: &str| {
        std::fs::write(&config, format!("{{{setting}}}")).unwrap();
        let path = helper(place.path(), script);
        let mut command: Command = images().push_command("small:1", &registry.image("helped:1"));
        run(command.env("DOCKER_CONFIG", place.path()).env("PATH", path))
    };
    let own = format!(r#""credHelpers": {{"{}": "test"}}"#, registry.address);
    let all = r#""credsStore": "test""#;
    let good = r#"read -r server; echo "{\"ServerURL\": \"$server\", \"Username\": \"ann\", \"Secret\": \"s3cret\"}""#;
    push(&own, good).ok();
    push(all, good).ok();
    for (setting, script, parts) in [
        (own.as_str(), "sleep 1000", ["`credHelpers` in", "does not answer within 3 s"]),
        (own.as_str(), "echo the keyring is locked; exit 1", ["docker-credential-test", "the keyring is locked"]),
        (all, "echo nonsense", ["`credsStore` in", "not what a helper should"]),
        (all, "echo credentials not found in native keychain; exit 1", ["wants credentials", "alloy login"]),
        (r#""credsStore": "missing""#, "", ["docker-credential-missing", "no such program on PATH"]),
    ] {
        // Whose helper works, and who has no credentials, is refused by the registry.
        let ended = push(setting, script).fails(if script.contains("native keychain") { 4 } else { 1 });
        assert!(parts.iter().all(|part| ended.stderr.contains(part)), "{script}: {}", ended.stderr);
    }
}

#[test]
fn a_mount_that_is_refused_costs_a_transfer() {
    let registry = Registry::start();
    images().push("small:1", &registry.image("source:1")).ok();
    let tried = |target: &str, rules: Vec<Rule>, tokens: Option<Tokens>| {
        let proxy = match tokens {
            Some(tokens) => Proxy::guarded(&registry.address, rules, tokens),
            None => Proxy::with(&registry.address, rules),
        };
        // The base is never pulled: its layers are mounted, or pulled because that is refused.
        let store = Store::new();
        let mut build = images().build_command(&store, &proxy.image("source:1"));
        run(build.args(["-t", &proxy.image(target)])).ok();
        std::process::Command::new("sh")
            .args(["-c", "find \"$0\" -size +100k -delete", text(&store.path().join("store/blobs"))])
            .status()
            .unwrap();
        let mut push = store.alloy(&["push", &proxy.image(target)]);
        crate::support::images::quiet(&mut push);
        run(&mut push).ok();
        let mounts = proxy.requests().into_iter().filter(|one| one.target.contains("mount=")).map(|one| one.status);
        let mounts: Vec<u16> = mounts.collect();
        assert!(proxy.left().is_empty());
        (mounts, proxy)
    };
    let mount = |fault| Rule::on("POST", "mount=", fault);
    let (mounts, proxy) = tried("target:1", vec![], Some(Tokens::default()));
    assert_eq!(mounts.last(), Some(&201), "{mounts:?}");
    let both: Vec<String> = ["repository:source:pull", "repository:target:pull,push"].map(str::to_owned).to_vec();
    assert!(proxy.tokens().scopes().contains(&both), "{:?}", proxy.tokens().scopes());
    for (target, status) in [("a:1", 202), ("b:1", 403), ("c:1", 404), ("d:1", 405)] {
        let (mounts, _) = tried(target, vec![mount(Fault::status(status)).always()], None);
        assert!(!mounts.is_empty() && mounts.iter().all(|mount| *mount == status), "{mounts:?}");
        assert!(registry.tag(&target[..1], "1").is_some());
    }
    let (mounts, _) = tried("e:1", vec![mount(Fault::status(503)).times(2)], None);
    assert_eq!(mounts.iter().filter(|mount| **mount == 503).count(), 2, "{mounts:?}");
    assert_eq!(mounts.last(), Some(&201), "{mounts:?}");
    is_sound(&registry.blobs());
}
