//! Registries that lead to other servers, which have troubles of their own: what is told is whose they are.

use crate::support::faults::try_all_named;
use crate::support::images::{images, quiet, tasks};
use crate::support::memory_registry::{Answer, MemoryRegistry, Request, State};
use crate::support::{Store, run, text};

/// The user ann, whose password is `s3cret`.
const ANN: &str = "Basic YW5uOnMzY3JldA==";

/// A file with ann's credentials for `registry`.
fn auth_file(directory: &tempfile::TempDir, registry: &str) -> String {
    let path = directory.path().join("auth.json");
    let auth = ANN.split_once(' ').unwrap().1;
    std::fs::write(&path, format!(r#"{{"auths": {{"{registry}": {{"auth": "{auth}"}}}}}}"#)).unwrap();
    text(&path).to_owned()
}

fn asks(request: &Request<'_>) -> Option<Answer> {
    let known = request.header("authorization") == Some(ANN);
    (!known).then(|| Answer::of("401 Unauthorized").with("WWW-Authenticate", "Basic realm=\"x\""))
}

/// A registry that asks who one is, and keeps blobs `elsewhere`.
fn leading(elsewhere: String) -> MemoryRegistry {
    MemoryRegistry::odd(move |_, request| {
        let away = || Answer::of("307 Temporary Redirect").with("Location", &format!("http://{elsewhere}/blob"));
        asks(request).or_else(|| request.is("GET", "/blobs/").then(away))
    })
}

/// What a store of blobs answers to everybody.
type Refusal = fn(&mut State, &Request<'_>) -> Option<Answer>;

const REFUSALS: &[(&str, Refusal, &str)] = &[
    ("a link that has expired", |_, _| Some(Answer::of("403 Forbidden")), "answered 403"),
    (
        "it wants a name",
        |_, _| Some(Answer::of("401 Unauthorized").with("WWW-Authenticate", "Basic realm=\"x\"")),
        "answered 401",
    ),
    ("it has nothing", |_, _| Some(Answer::of("404 Not Found")), "answered 404"),
    ("too often", |_, _| Some(Answer::of("429 Too Many Requests")), "answered 429"),
];

#[test]
fn what_a_store_of_blobs_refuses_the_registry_has_not_refused() {
    try_all_named(REFUSALS.iter().map(|(name, gate, says)| (*name, (*gate, *says))).collect(), |(gate, says)| {
        let blobs = MemoryRegistry::odd(*gate);
        let registry = leading(blobs.address.clone());
        let (image, directory) = (registry.image("team/x:1"), tempfile::tempdir().unwrap());
        let file = auth_file(&directory, &registry.address);
        run(images().push_command("small:1", &image).env("REGISTRY_AUTH_FILE", &file)).ok();
        let store = Store::new();
        let ended = run(images().build_command(&store, &image).env("REGISTRY_AUTH_FILE", &file)).fails(4);
        let said = format!("{} leads to {}, which {says}", registry.address, blobs.address);
        assert!(ended.stderr.contains(&said), "no `{said}`: {}", ended.stderr);
        for wrong in ["credentials from", "log in"] {
            assert!(!ended.stderr.contains(wrong), "{}", ended.stderr);
        }
        assert!(blobs.look(|state| state.asked.iter().all(|line| line == "GET /blob")));
    });
}

#[test]
fn a_server_that_cannot_be_reached_is_named() {
    // A registry behind a proxy that does not tell it how it is called.
    let registry = MemoryRegistry::odd(|_, request| {
        let place = "http://127.0.0.1:1/v2/team/x/blobs/uploads/7";
        request.is("POST", "/uploads/").then(|| Answer::of("202 Accepted").with("Location", place))
    });
    let ended = images().push("small:1", &registry.image("team/x:1")).fails(4);
    let said = format!("{} leads to 127.0.0.1:1: cannot connect", registry.address);
    for part in [&said, "X-Forwarded-Host"] {
        assert!(ended.stderr.contains(part), "no `{part}`: {}", ended.stderr);
    }
    let registry = leading("127.0.0.1:1".to_owned());
    let (image, directory) = (registry.image("team/x:1"), tempfile::tempdir().unwrap());
    let file = auth_file(&directory, &registry.address);
    run(images().push_command("small:1", &image).env("REGISTRY_AUTH_FILE", &file)).ok();
    let store = Store::new();
    let ended = run(images().build_command(&store, &image).env("REGISTRY_AUTH_FILE", &file)).fails(4);
    let said = format!("{} leads to 127.0.0.1:1: cannot connect", registry.address);
    assert!(ended.stderr.contains(&said), "no `{said}`: {}", ended.stderr);
}

#[test]
fn a_proxy_that_is_dead_is_named() {
    let mut pull = Store::new().alloy(&["pull", "registry.invalid/team/x:1"]);
    quiet(&mut pull);
    let ended = run(pull.env("https_proxy", "http://127.0.0.1:1")).fails(4);
    assert!(ended.stderr.contains("https_proxy is http://127.0.0.1:1"), "{}", ended.stderr);
}

type Refused = fn() -> Answer;

#[test]
fn a_blob_that_may_not_be_taken_over_is_sent() {
    let refusals: [(&str, Refused); 2] = [
        ("not for strangers", || Answer::of("401 Unauthorized").with("WWW-Authenticate", "Basic realm=\"x\"")),
        ("no answer", Answer::none),
    ];
    try_all_named(refusals.to_vec(), |answer| {
        let answer = *answer;
        let registry = MemoryRegistry::odd(move |state, request| {
            // Of another repository, nothing is there before it is sent.
            let sent = state.asked.iter().any(|line| line.starts_with("PUT /v2/team/b/blobs/"));
            let lacks = request.is("HEAD", "/v2/team/b/blobs/") && !sent;
            let refused = request.is("POST", "?mount=").then(answer);
            refused.or_else(|| lacks.then(|| Answer::of("404 Not Found")))
        });
        images().push("small:1", &registry.image("team/a:1")).ok();
        // On that image, another one in another repository.
        let (store, blueprint, base) = (Store::new(), tasks(), registry.image("team/a:1"));
        let mut build = store.alloy(&["build", text(blueprint.path()), "--base", &base, "--no-attest", "--push"]);
        build.args(["--cache-from", "none", "--cache-to", "none", "-t", &registry.image("team/b:1")]);
        quiet(&mut build);
        run(&mut build).ok();
        assert!(registry.look(|state| state.asked.iter().any(|line| line.contains("?mount="))));
    });
}
