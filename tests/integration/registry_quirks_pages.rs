//! Registries that send lists in pages, and name the next one in ways of their own.

use crate::support::faults::try_all_named;
use crate::support::images::quiet;
use crate::support::memory_registry::{Answer, MemoryRegistry, Request, State};
use crate::support::{Store, run, text};

/// Pages of two tags each, and how a registry names the next one.
fn paged(link: impl Fn(&str, &str) -> String + Send + Sync + 'static) -> MemoryRegistry {
    MemoryRegistry::odd(move |state, request| {
        let (path, query) = request.path.split_once('?').unwrap_or((request.path, ""));
        if !path.ends_with("/tags/list") {
            return None;
        }
        let last = query.split('&').find_map(|part| part.strip_prefix("last=")).unwrap_or_default();
        let mut tags: Vec<&str> =
            state.manifests.keys().map(String::as_str).filter(|name| !name.contains(':')).collect();
        tags.retain(|tag| *tag > last);
        let page: Vec<&str> = tags.iter().take(2).copied().collect();
        let answer = Answer::of("200 OK").body(serde_json::json!({"tags": page}).to_string());
        let next = page.last().filter(|_| tags.len() > 2).map(|last| format!("{path}?n=2&last={last}"));
        Some(match next {
            Some(next) => {
                link(&next, request.header("host").unwrap()).lines().fold(answer, |all, one| all.with("Link", one))
            }
            None => answer,
        })
    })
}

type Link = fn(&str, &str) -> String;

const FOLLOWED: &[(&str, Link)] = &[
    ("as the specification has it", |next, _| format!("<{next}>; rel=\"next\"")),
    ("another scheme", |next, host| format!("<https://{host}{next}>; rel=\"next\"")),
    ("another host", |next, _| format!("<http://inner.example:5000{next}>; rel=\"next\"")),
    ("several links", |next, _| format!("</v2/x/tags/list>; rel=\"first\", <{next}>; rel=\"next\"")),
    ("several headers", |next, _| format!("</v2/x/tags/list>; rel=\"first\"\n<{next}>; rel=\"next\"")),
    ("several relations", |next, _| format!("<{next}>; rel=\"last next\"")),
    ("no quotes", |next, _| format!("<{next}>; rel=next")),
];

const NOT_FOLLOWED: &[(&str, Link)] = &[
    ("no place of a registry", |_, _| "<http://elsewhere.example/page/2>; rel=\"next\"".to_owned()),
    ("no link", |next, _| format!("{next}; rel=\"next\"")),
    ("the same page again", |next, _| format!("<{}>; rel=\"next\"", next.split('?').next().unwrap())),
];

/// A team's cache of three layers that an image has.
fn cache(store: &Store, registry: &MemoryRegistry) -> String {
    let files = ["a", "b", "c"];
    let task = |name: &str| format!("- {{name: {name}, action: write_env_file, file: /srv/{name}, content: {name}}}\n");
    let tasks = files.map(|name| (format!("{name}.yml"), task(name)));
    let manifest = "name: Paged\nversion: 1.0.0\nrun_order: [a.yml, b.yml, c.yml]\nimage: {env_from_profile: false}\n";
    let mut all = vec![("manifest.yml", manifest)];
    all.extend(tasks.iter().map(|(name, text)| (name.as_str(), text.as_str())));
    let blueprint = crate::support::blueprint(&all);
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("srv")).unwrap();
    let base = format!("rootfs:{}", text(root.path()));
    let cache = registry.image("team/x");
    let mut build = store.alloy(&["build", text(blueprint.path()), "--base", &base]);
    build.args(["-t", &registry.image("team/x:z-image"), "--push", "--cache-to", &cache]);
    quiet(&mut build);
    run(&mut build).ok();
    cache
}

#[test]
fn a_list_in_pages_is_read_to_its_end_or_not_at_all() {
    let all = FOLLOWED.iter().map(|(name, link)| (*name, (*link, true)));
    let all = all.chain(NOT_FOLLOWED.iter().map(|(name, link)| (*name, (*link, false))));
    try_all_named(all.collect(), |(link, followed)| {
        let registry = paged(*link);
        let store = Store::new();
        let cache = cache(&store, &registry);
        let before = registry.look(|state| state.manifests.clone());
        let mut prune = store.alloy(&["cache", "prune", &cache, "--unreferenced", "--yes"]);
        quiet(&mut prune);
        let ended = run(&mut prune);
        if *followed {
            let ended = ended.ok();
            assert!(ended.stdout.contains("deleted 0 entries"), "{}", ended.stdout);
        } else {
            let ended = ended.fails(4);
            assert!(ended.stderr.contains("list of tags"), "{}", ended.stderr);
        }
        assert_eq!(registry.look(|state| state.manifests.clone()), before);
    });
}

/// What is listed: these tags, and nothing of others.
fn listing(request: &Request<'_>, tags: &[&str]) -> Option<Answer> {
    let body = serde_json::json!({ "tags": tags }).to_string();
    request.is("GET", "/tags/list").then(|| Answer::of("200 OK").body(body))
}

/// All tags at once, and for the image this manifest.
fn image(state: &State, request: &Request<'_>, answer: Answer) -> Option<Answer> {
    let own = request.is("GET", "/manifests/z-image") && state.asked.iter().any(|line| line.contains("/tags/list"));
    own.then_some(answer).or_else(|| listing(request, &["alloy-cache", "z-image"]))
}

type Gate = fn(&mut State, &Request<'_>) -> Option<Answer>;

const UNKNOWN: &[(&str, Gate, &str)] = &[
    ("a list without the cache's own tag", |_, request| listing(request, &["1"]), "it lacks alloy-cache"),
    ("a list with the cache's tag alone", |_, request| listing(request, &["alloy-cache"]), "has no image"),
    (
        "a first page that does not say so",
        |_, request| match request.path.contains("last=b") {
            true => listing(request, &["z-image"]),
            false => listing(request, &["alloy-cache", "b"]),
        },
        "there are more behind its end",
    ),
    (
        "a tag without a manifest",
        |state, request| image(state, request, Answer::of("404 Not Found")),
        "z-image is not there",
    ),
    (
        "a manifest that says nothing",
        |state, request| image(state, request, Answer::of("200 OK").body("{}")),
        "z-image is neither an image nor an index",
    ),
    (
        "Docker's schema 1",
        |state, request| image(state, request, Answer::of("200 OK").body(r#"{"schemaVersion":1,"fsLayers":[]}"#)),
        "z-image is neither an image nor an index",
    ),
    (
        "an index of a manifest that is not there",
        |state, request| {
            let digest = layers::digest::Digest::of("nothing");
            let index = format!(r#"{{"manifests":[{{"mediaType":"x/y","digest":"{digest}","size":7}}]}}"#);
            image(state, request, Answer::of("200 OK").body(index))
        },
        "is not there",
    ),
    (
        "an index of a manifest that is another one",
        |state, request| {
            let digest = layers::digest::Digest::of("nothing");
            if request.is("GET", &digest.to_string()) {
                return Some(Answer::of("200 OK").body(r#"{"layers":[]}"#));
            }
            let index = format!(r#"{{"manifests":[{{"mediaType":"x/y","digest":"{digest}","size":7}}]}}"#);
            image(state, request, Answer::of("200 OK").body(index))
        },
        "the registry sent sha256:",
    ),
    (
        "a manifest that its header does not name",
        |state, request| {
            let digest = layers::digest::Digest::of("nothing").to_string();
            let own = state.manifests.get("z-image").cloned().unwrap_or_default();
            image(state, request, Answer::of("200 OK").with("Docker-Content-Digest", &digest).body(own))
        },
        "the registry sent sha256:",
    ),
];

#[test]
fn nothing_is_deleted_where_it_is_not_known_what_images_need() {
    try_all_named(UNKNOWN.iter().map(|(name, gate, says)| (*name, (*gate, *says))).collect(), |(gate, says)| {
        let registry = MemoryRegistry::odd(*gate);
        let store = Store::new();
        let cache = cache(&store, &registry);
        let before = registry.look(|state| state.manifests.clone());
        let mut prune = store.alloy(&["cache", "prune", &cache, "--unreferenced", "--yes"]);
        quiet(&mut prune);
        let ended = run(&mut prune).fails(4);
        assert!(ended.stderr.contains(says), "no `{says}`: {}", ended.stderr);
        assert_eq!(registry.look(|state| state.manifests.clone()), before);
    });
}
