//! A table of what registries, and servers before and behind them, answer in words, and of what is told of it.

use crate::support::faults::try_all_named;
use crate::support::images::{images, quiet, tasks};
use crate::support::memory_registry::{Answer, MemoryRegistry, Request, State};
use crate::support::{Ended, Store, run, text};

/// One answer, and what is told.
struct Told {
    name: &'static str,
    gate: fn(&mut State, &Request<'_>) -> Option<Answer>,
    says: &'static [&'static str],
    /// What may not be said.
    never: &'static [&'static str],
}

const fn told(
    name: &'static str,
    gate: fn(&mut State, &Request<'_>) -> Option<Answer>,
    says: &'static [&'static str],
) -> Told {
    Told { name, gate, says, never: &["log in:", "the credentials from"] }
}

#[track_caller]
fn judge(case: &Told, ended: Ended) {
    let ended = ended.fails(4);
    for part in case.says {
        assert!(ended.stderr.contains(part), "no `{part}`: {}", ended.stderr);
    }
    for part in case.never {
        assert!(!ended.stderr.contains(part), "`{part}`: {}", ended.stderr);
    }
    assert!(!ended.stderr.chars().any(|c| c != '\n' && layers::path::steers(c)), "{:?}", ended.stderr);
}

fn put_of_the_tag(request: &Request<'_>, answer: Answer) -> Option<Answer> {
    request.is("PUT", "/manifests/1").then_some(answer)
}

const PAGE: &str = "<!DOCTYPE html>\n<html><head><title>Sign in &amp; out</title></head>";
const LOGIN: &[&str] =
    &["answered 200 with a web page, `Sign in & out`", "hint: such a page is often one to log in at"];

const PUSHES: &[Told] = &[
    told(
        "a reason in plain text",
        |_, request| put_of_the_tag(request, Answer::of("400 Bad Request").body("quota of ann\r\n  is used up\n")),
        &["answered 400: quota of ann is used up\n"],
    ),
    told(
        "a reason in the XML of a store",
        |_, request| {
            let xml =
                "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code><Message>it has expired</Message></Error>";
            put_of_the_tag(request, Answer::of("400 Bad Request").body(xml))
        },
        &["answered 400: AccessDenied it has expired\n"],
    ),
    told(
        "errors that are no list",
        |_, request| {
            let json = r#"{"errors":{"code":"TAG_ODD","message":"as it is"}}"#;
            put_of_the_tag(request, Answer::of("400 Bad Request").body(json))
        },
        &["answered 400: TAG_ODD as it is\n"],
    ),
    told(
        "a code that is a number, and odd fields",
        |_, request| {
            let json = r#"{"errors":[{"code":1017,"message":"as it is","detail":7,"more":[null]}],"x":1}"#;
            put_of_the_tag(request, Answer::of("400 Bad Request").body(json))
        },
        &["answered 400: 1017 as it is\n"],
    ),
    told(
        "a reason that steers a terminal",
        |_, request| {
            let json = "{\"errors\":[{\"code\":\"X\",\"message\":\"a\\u001b[2J\u{202e}b\u{2066}c\\u2069\"}]}";
            put_of_the_tag(request, Answer::of("400 Bad Request").body(json))
        },
        &["answered 400: X a[2Jbc\n"],
    ),
    told(
        "the page of a gateway",
        |_, request| {
            put_of_the_tag(request, Answer::of("400 Bad Request").body("<html><title>Blocked by rule 7</title></html>"))
        },
        &["answered 400: a web page, `Blocked by rule 7`"],
    ),
    told("a page to log in at", |_, request| put_of_the_tag(request, Answer::of("200 OK").body(PAGE)), LOGIN),
];

fn refusal(status: &'static str, code: &str, message: &str) -> Answer {
    Answer::of(status).body(format!(r#"{{"errors":[{{"code":"{code}","message":"{message}"}}]}}"#))
}

const IMMUTABLE: &str = "hint: as it seems, the tag is there, and the registry does not let tags be written over";

/// As registries word that a tag is not written over.
const KEPT: &[Told] = &[
    told(
        "a tag that stays: 400",
        |_, request| put_of_the_tag(request, refusal("400 Bad Request", "TAG_INVALID", "the tag is immutable")),
        &["answered 400: TAG_INVALID the tag is immutable; ", "@sha256:", " is there, without its tag", IMMUTABLE],
    ),
    told(
        "a tag that stays: 403",
        |_, request| put_of_the_tag(request, refusal("403 Forbidden", "DENIED", "tag 1 cannot be overwritten")),
        &["answered 403: DENIED tag 1 cannot be overwritten; ", " is there, without its tag", IMMUTABLE],
    ),
    told(
        "a tag that stays: 409, without a word",
        |_, request| put_of_the_tag(request, Answer::of("409 Conflict")),
        &["answered 409; ", " is there, without its tag", IMMUTABLE],
    ),
    told(
        "a tag that stays: 412",
        |_, request| {
            put_of_the_tag(request, refusal("412 Precondition Failed", "PRECONDITION", "x:1 configured as immutable"))
        },
        &["answered 412: PRECONDITION x:1", " is there, without its tag", IMMUTABLE],
    ),
    told(
        "manifests are taken under tags alone",
        |_, request| {
            request.is("PUT", "/manifests/sha256:").then(|| refusal("400 Bad Request", "DIGEST_INVALID", "no"))
        },
        &["answered 400: DIGEST_INVALID no", "hint: ", "--no-attest pushes it by its tag"],
    ),
];

#[test]
fn a_tag_that_stays_as_it_is_is_told_as_that() {
    try_all_named(KEPT.iter().map(|case| (case.name, case)).collect(), |case| {
        let registry = MemoryRegistry::odd(case.gate);
        judge(case, images().push("documented:1", &registry.image("team/x:1")));
    });
    // Who pushes what is there already has what was wanted, though nobody was told before that it is there.
    let registry = MemoryRegistry::odd(|state, request| match request.method {
        "HEAD" if request.path.contains("/manifests/") => Some(Answer::of("405 Method Not Allowed")),
        "PUT" if request.path.ends_with("/manifests/1") && state.manifests.contains_key("1") => {
            Some(refusal("400 Bad Request", "TAG_INVALID", "immutable"))
        }
        _ => None,
    });
    let image = registry.image("team/x:1");
    images().push("small:1", &image).ok();
    images().push("small:1", &image).ok();
    let other = images().push("old:1", &image).fails(4);
    assert!(other.stderr.contains(IMMUTABLE), "{}", other.stderr);
}

#[test]
fn a_cache_whose_list_cannot_be_written_names_tag_and_way_out() {
    let registry = MemoryRegistry::odd(|_, request| {
        let list = request.is("PUT", "/manifests/alloy-cache");
        list.then(|| refusal("400 Bad Request", "TAG_INVALID", "the tag is immutable"))
    });
    let (store, blueprint) = (Store::new(), tasks());
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("etc")).unwrap();
    let base = format!("rootfs:{}", text(root.path()));
    let mut build = store.alloy(&["build", text(blueprint.path()), "--base", &base, "-t", "x:1", "--no-attest"]);
    build.args(["--cache-from", "none", "--cache-to", &registry.image("team/cache")]);
    quiet(&mut build);
    let ended = run(&mut build).ok();
    for part in ["does not have everything", "team/cache:alloy-cache", "is immutable", "--cache-to none"] {
        assert!(ended.stderr.contains(part), "no `{part}`: {}", ended.stderr);
    }
}

#[test]
fn what_a_registry_says_of_a_push_is_told() {
    try_all_named(PUSHES.iter().map(|case| (case.name, case)).collect(), |case| {
        let registry = MemoryRegistry::odd(case.gate);
        judge(case, images().push("small:1", &registry.image("team/x:1")));
    });
}

fn page(request: &Request<'_>, part: &str) -> Option<Answer> {
    if request.path == "/login" {
        return Some(Answer::of("200 OK").with("Content-Type", "text/html").body(PAGE));
    }
    request.is("GET", part).then(|| Answer::of("302 Found").with("Location", "/login"))
}

const PULLS: &[Told] = &[
    told(
        "a page in the place of a manifest",
        |_, request| {
            let asked = request.is("GET", "/manifests/");
            asked.then(|| Answer::of("200 OK").with("Content-Type", "text/html").body(PAGE))
        },
        LOGIN,
    ),
    told("a page behind a redirect", |_, request| page(request, "/manifests/"), LOGIN),
    told("a page in the place of a blob", |_, request| page(request, "/blobs/"), LOGIN),
];

#[test]
fn what_a_registry_says_of_a_pull_is_told() {
    try_all_named(PULLS.iter().map(|case| (case.name, case)).collect(), |case| {
        let registry = MemoryRegistry::odd(case.gate);
        let image = registry.image("team/x:1");
        images().push("small:1", &image).ok();
        let store = Store::new();
        judge(case, run(&mut images().build_command(&store, &image)));
    });
}

/// Somebody's password goes along: what is wrong with the token server is not said of it.
const TOKENS: &[Told] = &[
    told(
        "a page to log in at",
        |_, request| tokens(request, "http://HOST/token", Answer::of("200 OK").body(PAGE)),
        &["which sent a web page, `Sign in & out` and no token", "hint: that is no fault of any credentials"],
    ),
    told(
        "no token",
        |_, request| tokens(request, "http://HOST/token", Answer::of("200 OK").body("{}")),
        &["for its tokens, which sent no token", "hint: that is no fault of any credentials"],
    ),
    told(
        "a token that cannot be sent",
        |_, request| tokens(request, "http://HOST/token", Answer::of("200 OK").body(r#"{"token":"a\nb"}"#)),
        &["sent a token that cannot stand in a header"],
    ),
    told(
        "there is no token server",
        |_, request| tokens(request, "http://HOST/token", Answer::of("404 Not Found").body("no such page")),
        &["for its tokens, which answered 404: no such page"],
    ),
    told(
        "a realm of this machine's files",
        |_, request| tokens(request, "file:///etc/token", Answer::of("200 OK")),
        &["names `file:///etc/token` for its tokens, which is no URL of http or https"],
    ),
    told(
        "a realm that is no URL",
        |_, request| tokens(request, "http://[", Answer::of("200 OK")),
        &["names `http://[` for its tokens, which is no URL of http or https"],
    ),
];

fn tokens(request: &Request<'_>, realm: &str, answer: Answer) -> Option<Answer> {
    if request.path.starts_with("/token") {
        return Some(answer);
    }
    let realm = realm.replace("HOST", request.header("host").unwrap_or_default());
    let asked = || Answer::of("401 Unauthorized").with("WWW-Authenticate", &format!("Bearer realm=\"{realm}\""));
    (request.header("authorization") != Some("Bearer t")).then(asked)
}

/// A push of somebody who has credentials for the registry.
fn push_of_ann(registry: &MemoryRegistry) -> Ended {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("auth.json");
    let json = format!(r#"{{"auths": {{"{}": {{"auth": "YW5uOnMzY3JldA=="}}}}}}"#, registry.address);
    std::fs::write(&file, json).unwrap();
    run(images().push_command("small:1", &registry.image("team/x:1")).env("REGISTRY_AUTH_FILE", &file))
}

#[test]
fn what_is_wrong_with_a_token_server_is_no_fault_of_credentials() {
    try_all_named(TOKENS.iter().map(|case| (case.name, case)).collect(), |case| {
        let (registry, start) = (MemoryRegistry::odd(case.gate), std::time::Instant::now());
        judge(case, push_of_ann(&registry));
        let asked = registry.look(|state| state.asked.len());
        // Three blobs are looked for side by side, and nothing is tried again.
        assert!(start.elapsed().as_secs() < 20 && asked < 12, "{asked} requests");
    });
}

#[test]
fn a_realm_may_be_a_path_of_the_registry() {
    let registry =
        MemoryRegistry::odd(|_, request| tokens(request, "/token", Answer::of("200 OK").body(r#"{"token":"t"}"#)));
    push_of_ann(&registry).ok();
}
