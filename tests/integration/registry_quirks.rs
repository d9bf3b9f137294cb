//! A table of what registries answer that no specification has, and of what comes of it: who one is, uploads, limits.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::support::faults::{Then, try_all_named};
use crate::support::images::images;
use crate::support::memory_registry::{Answer, MemoryRegistry, Request, State};
use crate::support::{Ended, Store, run, text};

type Gate = fn(&mut State, &Request<'_>) -> Option<Answer>;

/// One answer, and what comes of a push.
struct Quirk {
    name: &'static str,
    image: &'static str,
    gate: Gate,
    then: Then,
    says: &'static [&'static str],
}

const fn works(name: &'static str, image: &'static str, gate: Gate) -> Quirk {
    Quirk { name, image, gate, then: Then::Works, says: &[] }
}

const fn fails(name: &'static str, image: &'static str, gate: Gate, says: &'static [&'static str]) -> Quirk {
    Quirk { name, image, gate, then: Then::Fails(""), says }
}

#[track_caller]
fn judge(quirk: &Quirk, registry: &MemoryRegistry, ended: Ended) {
    match quirk.then {
        Then::Works => {
            let ended = ended.ok();
            assert!(!ended.stderr.contains("warning"), "{}", ended.stderr);
            let manifest = registry.look(|state| state.manifests.get("1").cloned()).unwrap();
            assert_eq!(layers::digest::Digest::of(manifest).to_string(), images().digest(quirk.image));
        }
        Then::Fails(_) => {
            let ended = ended.fails(4);
            for part in quirk.says {
                assert!(ended.stderr.contains(part), "no `{part}`: {}", ended.stderr);
            }
        }
    }
}

/// The user ann, whose password is `s3cret`.
const ANN: &str = "YW5uOnMzY3JldA==";

/// Lets those in who have the token `t`, which ann gets with `answer`; asks with `headers`.
fn guarded(request: &Request<'_>, headers: &[&str], answer: &str) -> Option<Answer> {
    let authorization = request.header("authorization").unwrap_or_default();
    if request.path.starts_with("/token") {
        let known = authorization == format!("Basic {ANN}");
        return Some(if known { Answer::of("200 OK").body(answer) } else { Answer::of("401 Unauthorized") });
    }
    let host = request.header("host").unwrap_or_default();
    let asks = |asked: Answer, header: &&str| asked.with("WWW-Authenticate", &header.replace("HOST", host));
    (authorization != "Bearer t").then(|| headers.iter().fold(Answer::of("401 Unauthorized"), asks))
}

const BEARER: &[&str] = &[r#"Bearer realm="http://HOST/token",service="x""#];
const TOKEN: &str = r#"{"token":"t"}"#;

const WHO: &[Quirk] = &[
    works("Basic and Bearer in one header", "small:1", |_, request| {
        guarded(request, &[r#"Basic realm="x", Bearer realm="http://HOST/token",service="x""#], TOKEN)
    }),
    works("Negotiate and Bearer in one header", "small:1", |_, request| {
        guarded(request, &[r#"Negotiate, Bearer realm="http://HOST/token",service="x""#], TOKEN)
    }),
    works("Bearer and Basic in one header", "small:1", |_, request| {
        guarded(request, &[r#"Bearer realm="http://HOST/token",service="x", Basic realm="x""#], TOKEN)
    }),
    works("Basic and Bearer in two headers", "small:1", |_, request| {
        guarded(request, &[r#"Basic realm="x""#, BEARER[0]], TOKEN)
    }),
    works("two spaces, empty parameters and no quotes", "small:1", |_, request| {
        guarded(request, &["Bearer  realm=http://HOST/token,, service=x"], TOKEN)
    }),
    works("Negotiate goes on, and Bearer follows", "small:1", |_, request| {
        guarded(request, &[r#"Negotiate YII+/ab==, Bearer realm="http://HOST/token",service="x""#], TOKEN)
    }),
    works("an empty token, and one of another name", "small:1", |_, request| {
        guarded(request, BEARER, r#"{"token":"","access_token":"t"}"#)
    }),
    works("no token, and one of another name", "small:1", |_, request| {
        guarded(request, BEARER, r#"{"token":null,"access_token":"t","expires_in":null}"#)
    }),
    works("a token that lasts for a fraction", "small:1", |_, request| {
        guarded(request, BEARER, r#"{"token":"t","expires_in":300.0}"#)
    }),
    works("a token that lasts for a text", "small:1", |_, request| {
        guarded(request, BEARER, r#"{"token":"t","expires_in":"300"}"#)
    }),
    works("a token that ended before it began", "small:1", |_, request| {
        guarded(request, BEARER, r#"{"token":"t","expires_in":-1}"#)
    }),
];

/// A file with `auth` for `registry`.
fn auth_file(directory: &tempfile::TempDir, registry: &str, auth: &str) -> String {
    let path = directory.path().join("auth.json");
    let json = format!(r#"{{"auths": {{"{registry}": {{"auth": "{auth}"}}}}}}"#);
    std::fs::write(&path, json).unwrap();
    text(&path).to_owned()
}

#[test]
fn registries_that_ask_who_one_is() {
    try_all_named(WHO.iter().map(|quirk| (quirk.name, quirk)).collect(), |quirk| {
        let registry = MemoryRegistry::odd(quirk.gate);
        let directory = tempfile::tempdir().unwrap();
        let file = auth_file(&directory, &registry.address, ANN);
        let mut push = images().push_command(quirk.image, &registry.image("team/x:1"));
        judge(quirk, &registry, run(push.env("REGISTRY_AUTH_FILE", &file)));
    });
}

#[test]
fn a_file_that_knows_nobody_is_no_error() {
    let registry = MemoryRegistry::odd(|_, _| None);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("auth.json");
    for json in [
        "null",
        r#"{"auths": null}"#,
        r#"{"auths": {"x.example": null}, "credHelpers": null, "credsStore": null}"#,
        r#"{"auths": {"x.example": 7, "y.example": "x", "z.example": {"auth": []}}}"#,
    ] {
        std::fs::write(&file, json).unwrap();
        let mut push = images().push_command("small:1", &registry.image("team/x:1"));
        run(push.env("REGISTRY_AUTH_FILE", &file)).ok();
    }
}

/// A registry that has nothing for strangers, says so with `status`, and asks for a name at `/v2/` alone.
fn hiding(status: &'static str) -> MemoryRegistry {
    MemoryRegistry::odd(move |_, request| {
        if request.header("authorization") == Some(&format!("Basic {ANN}")) || request.method == "PUT" {
            return None;
        }
        let asks = Answer::of("401 Unauthorized").with("WWW-Authenticate", "Basic realm=\"x\"");
        let stranger = request.header("authorization").is_none();
        Some(if request.path == "/v2/" || !stranger { asks } else { Answer::of(status) })
    })
}

#[test]
fn registries_that_hide_what_is_not_for_strangers() {
    for status in ["404 Not Found", "403 Forbidden"] {
        let registry = hiding(status);
        let image = registry.image("team/x:1");
        let directory = tempfile::tempdir().unwrap();
        let file = auth_file(&directory, &registry.address, ANN);
        let mut push = images().push_command("small:1", &image);
        run(push.env("REGISTRY_AUTH_FILE", &file)).ok();
        let store = Store::new();
        run(images().build_command(&store, &image).env("REGISTRY_AUTH_FILE", &file)).ok();
        // A stranger, and somebody who is not known there, are told what the registry says, and nothing of credentials.
        for auth in ["", "eDp5"] {
            let file = auth_file(&directory, &registry.address, auth);
            let store = Store::new();
            let ended = run(images().build_command(&store, &image).env("REGISTRY_AUTH_FILE", &file)).fails(4);
            let said = if status.starts_with("404") { "was not found" } else { "does not allow it" };
            assert!(ended.stderr.contains(said), "{}", ended.stderr);
            assert!(!ended.stderr.contains("the credentials from"), "{}", ended.stderr);
        }
    }
}

#[test]
fn credentials_that_were_not_sent_were_not_refused() {
    // One that asks nowhere is offered none over a way that anybody can listen to; this one takes none anyway.
    let registry = MemoryRegistry::odd(|_, request| {
        Some(Answer::of(if request.path == "/v2/" { "404 Not Found" } else { "403 Forbidden" }))
    });
    let directory = tempfile::tempdir().unwrap();
    let file = auth_file(&directory, &registry.address, ANN);
    let store = Store::new();
    let mut build = images().build_command(&store, &registry.image("team/x:1"));
    let ended = run(build.env("REGISTRY_AUTH_FILE", &file)).fails(4);
    assert!(
        ended.stderr.contains("does not allow it") && !ended.stderr.contains("the credentials from"),
        "{}",
        ended.stderr
    );
}

/// What the registry itself answers, with another status.
fn instead(state: &mut State, request: &Request<'_>, method: &str, part: &str, status: &'static str) -> Option<Answer> {
    let own = |state: &mut State| state.respond(request.method, request.path, request.body.to_vec());
    request.is(method, part).then(|| own(state).status(status))
}

/// A blob that comes with the request that ends its upload.
fn is_whole(request: &Request<'_>) -> bool {
    request.is("PUT", "/blobs/uploads/") && !request.body.is_empty()
}

fn error(status: &'static str, code: &str) -> Answer {
    Answer::of(status).body(format!(r#"{{"errors":[{{"code":"{code}","message":"as it is"}}]}}"#))
}

/// As of ECR, where the answer to the first request for the tag is lost.
fn immutable(state: &mut State, request: &Request<'_>) -> Option<Answer> {
    if request.is("PUT", "/manifests/1") && state.manifests.contains_key("1") {
        return Some(error("400 Bad Request", "TAG_INVALID"));
    }
    instead(state, request, "PUT", "/manifests/1", "503 Service Unavailable")
}

const UPLOADS: &[Quirk] = &[
    works("POST is answered 200", "small:1", |state, request| instead(state, request, "POST", "/uploads/", "200 OK")),
    works("PUT is answered 200", "small:1", |state, request| instead(state, request, "PUT", "/uploads/", "200 OK")),
    works("PUT is answered 202", "small:1", |state, request| {
        instead(state, request, "PUT", "/uploads/", "202 Accepted")
    }),
    fails(
        "PUT is answered 202, and nothing is kept",
        "small:1",
        |_, request| request.is("PUT", "/uploads/").then(|| Answer::of("202 Accepted")),
        &["answered 202"],
    ),
    works("PATCH is answered 200", "large:1", |state, request| instead(state, request, "PATCH", "/uploads/", "200 OK")),
    fails(
        "PUT is answered 200, and nothing is kept",
        "small:1",
        |_, request| request.is("PUT", "/uploads/").then(|| Answer::of("200 OK").body("<html></html>")),
        &["answered 200"],
    ),
    works("PUT of the manifest is answered 200", "small:1", |state, request| {
        instead(state, request, "PUT", "/manifests/", "200 OK")
    }),
    works("PUT of the manifest is answered 202", "small:1", |state, request| {
        instead(state, request, "PUT", "/manifests/", "202 Accepted")
    }),
    fails(
        "PUT of the manifest is answered 200, and nothing is kept",
        "small:1",
        |_, request| request.is("PUT", "/manifests/").then(|| Answer::of("200 OK").body("<html></html>")),
        &["answered 200"],
    ),
    works("a tag that is never written over, and whose first answer is lost", "small:1", immutable),
    fails(
        "a tag that is never written over, and was written by somebody else",
        "small:1",
        |state, request| {
            let taken = request.is("PUT", "/manifests/1") && !state.manifests.contains_key("1");
            let answer = immutable(state, request);
            taken.then(|| state.manifests.insert("1".into(), br#"{"mediaType":"x/y"}"#.to_vec()));
            answer
        },
        &["answered 400: TAG_INVALID as it is"],
    ),
    works("a whole blob is refused: 405", "small:1", |_, request| {
        is_whole(request).then(|| Answer::of("405 Method Not Allowed"))
    }),
    works("a whole blob is refused: 411", "small:1", |_, request| {
        is_whole(request).then(|| Answer::of("411 Length Required"))
    }),
    works("a whole blob is refused: 415", "small:1", |_, request| {
        is_whole(request).then(|| Answer::of("415 Unsupported Media Type"))
    }),
    works("a whole blob is refused: 501", "small:1", |_, request| {
        is_whole(request).then(|| Answer::of("501 Not Implemented"))
    }),
    works("a whole blob is refused: 400", "small:1", |_, request| {
        is_whole(request).then(|| error("400 Bad Request", "BLOB_UPLOAD_INVALID"))
    }),
    works("a whole blob is refused: 404", "small:1", |_, request| {
        is_whole(request).then(|| Answer::of("404 Not Found"))
    }),
    works("parts of a blob are refused: 400", "large:1", |_, request| {
        request.is("PATCH", "/uploads/").then(|| error("400 Bad Request", "BLOB_UPLOAD_INVALID"))
    }),
    works("parts of a blob are refused: 405", "large:1", |_, request| {
        request.is("PATCH", "/uploads/").then(|| Answer::of("405 Method Not Allowed"))
    }),
    works("parts of a blob are refused: 415", "large:1", |_, request| {
        request.is("PATCH", "/uploads/").then(|| Answer::of("415 Unsupported Media Type"))
    }),
    works("parts of a blob are refused: 501", "large:1", |_, request| {
        request.is("PATCH", "/uploads/").then(|| Answer::of("501 Not Implemented"))
    }),
    works("parts of a blob are refused: 404", "large:1", |_, request| {
        request.is("PATCH", "/uploads/").then(|| Answer::of("404 Not Found"))
    }),
    fails(
        "a blob is refused whole and in parts",
        "small:1",
        |_, request| {
            let part = request.is("PATCH", "/uploads/");
            (part || is_whole(request)).then(|| {
                if part {
                    Answer::of("405 Method Not Allowed")
                } else {
                    error("400 Bad Request", "BLOB_UPLOAD_INVALID")
                }
            })
        },
        &["answered 400: BLOB_UPLOAD_INVALID as it is"],
    ),
    fails(
        "everything is too large",
        "small:1",
        |_, request| {
            (request.path.contains("/uploads/") && !request.body.is_empty())
                .then(|| Answer::of("413 Content Too Large"))
        },
        &["answered 413, even for ", " bytes at once", "raise its limit"],
    ),
    fails(
        "a blob is too large whole, and refused in parts",
        "small:1",
        |_, request| {
            let part = request.is("PATCH", "/uploads/");
            let status = if part { "405 Method Not Allowed" } else { "413 Content Too Large" };
            (request.path.contains("/uploads/") && request.body.len() > 1000).then(|| Answer::of(status))
        },
        &["answered 413, even for "],
    ),
];

#[test]
fn registries_that_answer_uploads_in_their_own_way() {
    try_all_named(UPLOADS.iter().map(|quirk| (quirk.name, quirk)).collect(), |quirk| {
        let registry = MemoryRegistry::odd(quirk.gate);
        judge(quirk, &registry, images().push(quirk.image, &registry.image("team/x:1")));
    });
}

/// The first request for the manifest's tag is one too many.
fn limited(pause: impl Fn() -> String + Send + Sync + 'static, times: usize) -> MemoryRegistry {
    let left = std::sync::atomic::AtomicUsize::new(times);
    MemoryRegistry::odd(move |_, request| {
        let one = std::sync::atomic::Ordering::Relaxed;
        let too_often =
            request.is("PUT", "/manifests/1") && left.fetch_update(one, one, |left| left.checked_sub(1)).is_ok();
        too_often.then(|| Answer::of("429 Too Many Requests").with("Retry-After", &pause()))
    })
}

#[test]
fn a_pause_that_a_registry_asks_for_is_told_and_made() {
    let registry = limited(|| "6".to_owned(), 1);
    let start = std::time::Instant::now();
    let ended = images().push("small:1", &registry.image("team/x:1")).ok();
    assert!(start.elapsed().as_secs() >= 6);
    let note = format!("{} asks to wait 6s (429); waiting, at most 4m more", registry.address);
    assert!(ended.stderr.contains(&note), "{}", ended.stderr);
}

#[test]
fn a_pause_that_is_too_long_is_not_begun() {
    // Docker Hub names the moment.
    let moment = || (SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 7260).to_string();
    let registry = limited(moment, usize::MAX);
    let start = std::time::Instant::now();
    let image = registry.image("team/x:1");
    let ended = images().push("small:1", &image).fails(4);
    assert!(start.elapsed().as_secs() < 30);
    for part in ["answered 429, and asks to wait 2h", "log in", &format!("alloy login {}", registry.address)] {
        assert!(ended.stderr.contains(part), "no `{part}`: {}", ended.stderr);
    }
    // Who has logged in is told that the limit is the account's.
    let registry = MemoryRegistry::odd(|_, request| {
        guarded(request, BEARER, TOKEN).or_else(|| {
            let too_often = request.is("PUT", "/manifests/");
            too_often.then(|| Answer::of("429 Too Many Requests").with("Retry-After", "3600"))
        })
    });
    let directory = tempfile::tempdir().unwrap();
    let file = auth_file(&directory, &registry.address, ANN);
    let mut push = images().push_command("small:1", &registry.image("team/x:1"));
    let ended = run(push.env("REGISTRY_AUTH_FILE", &file)).fails(4);
    for part in ["asks to wait 1h", "the limit is that of the account", "the credentials from"] {
        assert!(ended.stderr.contains(part), "no `{part}`: {}", ended.stderr);
    }
}
