//! A table of what registries, and servers before and behind them, answer in words, and of what is told of it.

use serde_json::{Value, json};

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

#[test]
fn a_pause_that_a_registry_in_trouble_asks_for_is_told() {
    // Its dates are as old as the hills.
    let registry = MemoryRegistry::odd(|state, request| {
        let line = format!("{} {}", request.method, request.path);
        let first = state.asked.iter().filter(|asked| **asked == line).count() == 1;
        let then = jiff::Timestamp::now() + std::time::Duration::from_secs(7);
        let date = then.strftime("%A, %d-%b-%y %H:%M:%S GMT").to_string();
        let busy = request.is("PUT", "/manifests/1") && first;
        busy.then(|| Answer::of("503 Service Unavailable").with("Retry-After", &date))
    });
    let start = std::time::Instant::now();
    let ended = images().push("small:1", &registry.image("team/x:1")).ok();
    assert!(start.elapsed().as_secs() >= 5, "{:?}", start.elapsed());
    let note = format!("{} asks to wait ", registry.address);
    assert!(
        ended.stderr.contains(&note) && ended.stderr.contains("s (503); waiting, at most 4m more"),
        "{}",
        ended.stderr
    );
}

#[test]
fn an_absurd_pause_is_not_made_and_told_within_bounds() {
    let registry = MemoryRegistry::odd(|_, request| {
        let answer = Answer::of("429 Too Many Requests").with("Retry-After", "99999999999999999999");
        put_of_the_tag(request, answer)
    });
    let start = std::time::Instant::now();
    let ended = images().push("small:1", &registry.image("team/x:1")).fails(4);
    assert!(start.elapsed().as_secs() < 20);
    assert!(ended.stderr.contains("asks to wait for a day or longer"), "{}", ended.stderr);
}

/// A manifest without `mediaType`, as a server of files has it: `kind` is what it says of it, `more` what else is in it.
fn bare(kind: Option<&str>, more: &[(&str, Value)]) -> (MemoryRegistry, String) {
    let kind = kind.map(str::to_owned);
    let registry = MemoryRegistry::odd(move |state, request| {
        let manifest = request.path.strip_prefix("/v2/team/x/manifests/").filter(|_| request.method == "GET")?;
        let answer = Answer::of("200 OK").body(state.manifests.get(manifest)?.clone());
        Some(kind.iter().fold(answer, |answer, kind| answer.with("Content-Type", kind)))
    });
    let image = registry.image("team/x:1");
    images().push("small:1", &image).ok();
    let mut manifest = registry.manifest("1").unwrap();
    manifest.as_object_mut().unwrap().remove("mediaType");
    for (name, value) in more {
        manifest[*name] = value.clone();
    }
    registry.look(|state| state.manifests.insert("1".into(), manifest.to_string().into_bytes()));
    (registry, image)
}

#[test]
fn a_manifest_without_a_type_is_read_by_what_is_in_it() {
    let kinds = [None, Some("application/json"), Some("text/plain; charset=utf-8"), Some("application/octet-stream")];
    for kind in kinds {
        let (registry, image) = bare(kind, &[]);
        let store = Store::new();
        run(&mut images().build_command(&store, &image)).ok();
        // Its digest is looked at as ever.
        let digest = layers::digest::Digest::of(registry.look(|state| state.manifests["1"].clone())).to_string();
        registry.look(|state| state.manifests.insert(digest.clone(), b"{\"schemaVersion\":2}".to_vec()));
        let by_digest = registry.image(&format!("team/x@{digest}"));
        let ended = run(&mut images().build_command(&Store::new(), &by_digest)).fails(4);
        assert!(ended.stderr.contains("the registry sent sha256:"), "{kind:?}: {}", ended.stderr);
        // An index of it.
        let entry = json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": images().digest("small:1"),
            "size": registry.look(|state| state.manifests[&images().digest("small:1")].len()),
            "platform": {"os": "linux", "architecture": "amd64"},
        });
        let index = json!({"schemaVersion": 2, "manifests": [entry]});
        registry.look(|state| state.manifests.insert("2".into(), index.to_string().into_bytes()));
        run(&mut images().build_command(&Store::new(), &registry.image("team/x:2"))).ok();
    }
}

#[test]
fn a_manifest_that_could_be_anything_is_told_in_true_words() {
    for (kind, more, said) in [
        (Some("application/json"), vec![("manifests", json!([]))], "it has fields of an index (`manifests`)"),
        (None, vec![("layers", json!(7))], "the server says nothing of its type"),
        (Some("text/plain"), vec![("schemaVersion", json!(1))], "schema 1, which is not read"),
        (Some("application/x-other"), vec![], "`application/x-other` is not an image"),
    ] {
        let (_registry, image) = bare(kind, &more);
        let ended = run(&mut images().build_command(&Store::new(), &image)).fails(4);
        assert!(ended.stderr.contains(said), "no `{said}`: {}", ended.stderr);
    }
}
