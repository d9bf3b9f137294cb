//! A table of what registries, and servers before and behind them, answer in words, and of what is told of it.

use crate::support::faults::try_all_named;
use crate::support::images::images;
use crate::support::memory_registry::{Answer, MemoryRegistry, Request, State};
use crate::support::{Ended, Store, run};

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
