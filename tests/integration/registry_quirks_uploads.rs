//! Registries, and what stands in front of them, that answer uploads with pages for people; and mounts with whatever.

use crate::support::faults::try_all_named;
use crate::support::images::{images, quiet, tasks};
use crate::support::memory_registry::{Answer, MemoryRegistry, Request, State};
use crate::support::{Store, run, text};

type Gate = fn(&mut State, &Request<'_>) -> Option<Answer>;

fn page() -> Answer {
    let body = "<!DOCTYPE html><html><head><title>Sign in</title></head></html>";
    Answer::of("200 OK").with("Content-Type", "text/html; charset=utf-8").body(body)
}

/// A page to log in at, to which `method` of an upload is led.
fn led(request: &Request<'_>, method: &str, status: &'static str) -> Option<Answer> {
    if request.path.starts_with("/login") {
        return Some(page());
    }
    request.is(method, "/uploads/").then(|| Answer::of(status).with("Location", "/login"))
}

const PAGES: &[(&str, &str, Gate)] = &[
    ("POST is answered with a page", "small:1", |_, request| request.is("POST", "/uploads/").then(page)),
    ("POST leads to a page: 302", "small:1", |_, request| led(request, "POST", "302 Found")),
    ("POST leads to a page: 303", "small:1", |_, request| led(request, "POST", "303 See Other")),
    ("PATCH is answered with a page", "large:1", |_, request| request.is("PATCH", "/uploads/").then(page)),
    ("PATCH leads to a page", "large:1", |_, request| led(request, "PATCH", "302 Found")),
    ("PUT is answered with a page", "small:1", |_, request| request.is("PUT", "/uploads/").then(page)),
    ("PUT leads to a page", "small:1", |_, request| led(request, "PUT", "303 See Other")),
];

#[test]
fn pages_in_the_place_of_uploads_are_named() {
    try_all_named(PAGES.iter().map(|(name, image, gate)| (*name, (*image, *gate))).collect(), |(image, gate)| {
        let registry = MemoryRegistry::odd(*gate);
        let ended = images().push(image, &registry.image("team/x:1")).fails(4);
        let page = ["answered 200 with a web page, `Sign in`", "one to log in at", &registry.address];
        // What was sent as a stream is not sent once more to where an answer leads.
        let place = ["answered 302: it leads to /login", &registry.address];
        let says = if ended.stderr.contains("answered 302") { &place[..] } else { &page[..] };
        for part in says {
            assert!(ended.stderr.contains(part), "no `{part}`: {}", ended.stderr);
        }
        assert!(registry.manifest("1").is_none());
    });
}

type Mount = fn(&str) -> Answer;

const MOUNTS: &[(&str, Mount)] = &[
    ("202 without a place", |_| Answer::of("202 Accepted")),
    ("202 with a place", |_| Answer::of("202 Accepted").with("Location", "/v2/team/b/blobs/uploads/0")),
    ("200, and nothing is there", |_| Answer::of("200 OK")),
    ("a page", |_| page()),
    ("201 of another blob", |_| {
        let other = layers::digest::Digest::of("other").to_string();
        Answer::of("201 Created").with("Docker-Content-Digest", &other)
    }),
    ("201 at the place of another blob", |_| {
        let other = layers::digest::Digest::of("other");
        Answer::of("201 Created").with("Location", &format!("/v2/team/b/blobs/{other}"))
    }),
    ("400", |_| Answer::of("400 Bad Request")),
    ("403", |_| Answer::of("403 Forbidden")),
    ("404", |_| Answer::of("404 Not Found")),
    ("405", |_| Answer::of("405 Method Not Allowed")),
    ("501", |_| Answer::of("501 Not Implemented")),
];

#[test]
fn a_blob_that_is_not_taken_over_is_sent() {
    try_all_named(MOUNTS.to_vec(), |answer| {
        let answer = *answer;
        let registry = MemoryRegistry::odd(move |state, request| {
            if request.is("POST", "?mount=") {
                return Some(answer(request.path));
            }
            // Of another repository, nothing is there before it is sent.
            let digest = request.path.rsplit(':').next().unwrap_or_default();
            let sent = state.asked.iter().any(|line| line.starts_with("PUT /v2/team/b/") && line.contains(digest));
            (request.is("HEAD", "/v2/team/b/blobs/") && !sent).then(|| Answer::of("404 Not Found"))
        });
        images().push("small:1", &registry.image("team/a:1")).ok();
        let (store, blueprint, base) = (Store::new(), tasks(), registry.image("team/a:1"));
        let mut build = store.alloy(&["build", text(blueprint.path()), "--base", &base, "--no-attest", "--push"]);
        build.args(["--cache-from", "none", "--cache-to", "none", "-t", &registry.image("team/b:1")]);
        quiet(&mut build);
        let ended = run(&mut build).ok();
        assert!(!ended.stderr.contains("warning"), "{}", ended.stderr);
        let asked = registry.look(|state| state.asked.clone());
        assert!(asked.iter().any(|line| line.starts_with("POST") && line.contains("?mount=")), "{asked:?}");
        let layers = registry.manifest("1").unwrap()["layers"].as_array().unwrap().len();
        let sent = asked.iter().filter(|line| line.starts_with("PUT /v2/team/b/blobs/")).count();
        assert!(sent > layers, "{sent} of {layers} and a config: {asked:?}");
    });
}

#[test]
fn a_blob_that_is_taken_over_may_be_answered_200() {
    let registry = MemoryRegistry::odd(|state, request| {
        if request.is("POST", "?mount=") {
            return Some(Answer::of("200 OK"));
        }
        // Of another repository, nothing is there before it is taken over.
        let digest = request.path.rsplit(':').next().unwrap_or_default();
        let taken = state.asked.iter().any(|line| line.contains("?mount=") && line.contains(digest));
        (request.is("HEAD", "/v2/team/b/blobs/") && !taken).then(|| Answer::of("404 Not Found"))
    });
    images().push("small:1", &registry.image("team/a:1")).ok();
    registry.look(|state| state.asked.clear());
    // On that image, another one in another repository.
    let (store, blueprint, base) = (Store::new(), tasks(), registry.image("team/a:1"));
    let mut build = store.alloy(&["build", text(blueprint.path()), "--base", &base, "--no-attest", "--push"]);
    build.args(["--cache-from", "none", "--cache-to", "none", "-t", &registry.image("team/b:1")]);
    quiet(&mut build);
    run(&mut build).ok();
    let asked = registry.look(|state| state.asked.clone());
    let layers = registry.manifest(&images().digest("small:1")).or_else(|| registry.manifest("1")).unwrap();
    let first = layers["layers"][0]["digest"].as_str().unwrap().trim_start_matches("sha256:").to_owned();
    let of = |method: &str| asked.iter().filter(|line| line.starts_with(method) && line.contains(&first)).count();
    assert_eq!((of("POST"), of("PUT")), (1, 0), "{asked:?}");
}

/// What is said of a reason that is longer than anybody reads.
const LONG: &[(&str, Gate, &[&str])] = &[
    (
        "a text",
        |_, request| {
            let body = format!("the quota\u{1b}[2J of team x\r\nis used up: {}", "x".repeat(200 << 10));
            request.is("PUT", "/manifests/").then(|| Answer::of("400 Bad Request").body(body))
        },
        &["answered 400: the quota[2J of team x is used up: xxx", "xxx…"],
    ),
    (
        "JSON",
        |_, request| {
            let body = format!(
                r#"{{"errors":[{{"code":"DENIED","message":"no more","detail":"{}"}}]}}"#,
                "x".repeat(200 << 10)
            );
            request.is("PUT", "/manifests/").then(|| Answer::of("400 Bad Request").body(body))
        },
        &[r#""code":"DENIED","message":"no more""#, "xxx…"],
    ),
    (
        "a page",
        |_, request| {
            let body = format!("<html><title>Blocked by policy 7</title>{}</html>", "<p>".repeat(100 << 10));
            request.is("PUT", "/manifests/").then(|| Answer::of("403 Forbidden").body(body))
        },
        &["does not allow it: a web page, `Blocked by policy 7`"],
    ),
];

#[test]
fn of_a_long_reason_the_beginning_is_told() {
    try_all_named(LONG.iter().map(|(name, gate, says)| (*name, (*gate, *says))).collect(), |(gate, says)| {
        let registry = MemoryRegistry::odd(*gate);
        let ended = images().push("small:1", &registry.image("team/x:1")).fails(4);
        for part in *says {
            assert!(ended.stderr.contains(part), "no `{part}`: {}", ended.stderr);
        }
        assert!(ended.stderr.len() < 3000 && !ended.stderr.contains('\u{1b}'), "{}", ended.stderr);
    });
}
