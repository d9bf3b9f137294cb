//! Registries that send lists in pages, and name the next one in ways of their own.

use crate::support::faults::try_all_named;
use crate::support::images::quiet;
use crate::support::memory_registry::{Answer, MemoryRegistry};
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
