//! Pulls through a proxy that fails: outlasted or told, and nothing in the store that is not what it is called.

use crate::support::faults::{Case, Then, fails, try_all, works};
use crate::support::images::{images, is_sound};
use crate::support::proxy::{Fault, Proxy, Rule};
use crate::support::registry::Registry;
use crate::support::{Store, run};

const MANIFEST: &str = "/manifests/";
const BLOB: &str = "/blobs/";

fn get(part: &'static str, fault: Fault) -> Rule {
    Rule::on("GET", part, fault)
}

fn header(name: &'static str, value: &str) -> Fault {
    Fault::Header(name, Some(value.to_owned()))
}

fn manifests() -> Vec<Case> {
    let schema1 = br#"{"schemaVersion": 1, "mediaType": "application/vnd.docker.distribution.manifest.v1+prettyjws"}"#;
    vec![
        works("the manifest fails", [get(MANIFEST, Fault::status(503)).times(2)]),
        works("a gateway is down", [get(MANIFEST, Fault::status(504))]),
        works("the manifest takes too long", [get(MANIFEST, Fault::status(408))]),
        works("the manifest comes too often", [get(MANIFEST, Fault::with_header(429, "Retry-After", "1"))]),
        works("the manifest breaks off", [get(MANIFEST, Fault::Reset)]),
        works("the manifest breaks off in its middle", [get(MANIFEST, Fault::CutDownload(100))]),
        works("the manifest ends too early", [get(MANIFEST, Fault::Truncate(100))]),
        works("nobody answers", [get(MANIFEST, Fault::Silence)]),
        works("the manifest stalls", [get(MANIFEST, Fault::Stall(100))]),
        works("the manifest is slow", [get(MANIFEST, Fault::Slow)]),
        works("the manifest has no length", [get(MANIFEST, Fault::NoLength)]),
        works("a byte of the manifest changes", [get(MANIFEST, Fault::Flip(100))]),
        fails(
            "a byte of the manifest changes every time",
            [get(MANIFEST, Fault::Flip(100)).always()],
            "the registry sent sha256:",
        ),
        works("the manifest has the type of a text", [get(MANIFEST, header("Content-Type", "text/plain"))]),
        works(
            "the manifest has the type of an index",
            [get(MANIFEST, header("Content-Type", "application/vnd.oci.image.index.v1+json"))],
        ),
        works("the manifest has no type", [get(MANIFEST, Fault::Header("Content-Type", None))]),
        fails("the manifest is of schema 1", [get(MANIFEST, Fault::Body(schema1.to_vec()))], "schema 1"),
        fails(
            "the manifest is a page",
            [get(MANIFEST, Fault::Body(b"<html>log in</html>".to_vec()))],
            "answered 200 with a web page",
        ),
        fails("the manifest is too large", [get(MANIFEST, Fault::Body(vec![b' '; 9 << 20]))], "larger than"),
        fails(
            "the manifest is not there",
            [get(MANIFEST, Fault::error(404, "MANIFEST_UNKNOWN", "unknown"))],
            "was not found",
        ),
        fails(
            "the manifest is not for everybody",
            [get(MANIFEST, Fault::error(403, "DENIED", "no"))],
            "does not allow it: DENIED no",
        ),
        fails("the registry asks who one is, but not how", [get(MANIFEST, Fault::status(401))], "wants credentials"),
        fails(
            "the registry asks for what nobody knows",
            [get(MANIFEST, Fault::with_header(401, "WWW-Authenticate", "Negotiate"))],
            "wants credentials",
        ),
        fails(
            "the registry is gone",
            [get(MANIFEST, Fault::error(500, "UNKNOWN", "no disk")).always()],
            "answered 500: UNKNOWN no disk",
        ),
        fails(
            "the manifest is elsewhere for ever",
            [get(MANIFEST, Fault::with_header(307, "Location", "{target}")).always()],
            "redirects",
        ),
    ]
}

fn blobs() -> Vec<Case> {
    vec![
        works("a blob fails", [get(BLOB, Fault::status(500)).times(2)]),
        works("a blob comes too early", [get(BLOB, Fault::status(425))]),
        works("a blob breaks off before it begins", [get(BLOB, Fault::Reset)]),
        works("blobs break off in their middle", [get(BLOB, Fault::CutDownload(100)).times(4)]),
        works("a blob ends too early", [get(BLOB, Fault::Truncate(60))]),
        works(
            "a blob ends too early, and ranges are not known",
            [get(BLOB, Fault::Truncate(60)), get(BLOB, Fault::WithoutHeader("Range")).always()],
        ),
        works(
            "another part comes than was asked for",
            [get(BLOB, Fault::Truncate(60)).times(3), get(BLOB, header("Content-Range", "bytes 7-99/100")).times(1)],
        ),
        works(
            "the part that was asked for never comes",
            [get(BLOB, Fault::Truncate(60)).times(3), get(BLOB, header("Content-Range", "bytes 7-99/100")).always()],
        ),
        works(
            "there is no such part as was asked for",
            [get(BLOB, Fault::Truncate(60)), get(BLOB, Fault::status(416))],
        ),
        works("nobody sends the blob", [get(BLOB, Fault::Silence)]),
        works("a blob stalls", [get(BLOB, Fault::Stall(90))]),
        works("blobs are slow", [get(BLOB, Fault::Slow).always()]),
        works("blobs have no length", [get(BLOB, Fault::NoLength).always()]),
        works("a byte of each blob changes", [get(BLOB, Fault::Flip(50)).times(1)]),
        fails(
            "a byte of every blob changes every time",
            [get(BLOB, Fault::Flip(50)).always()],
            "the registry sent sha256:",
        ),
        fails("a blob is longer than it should be", [get(BLOB, Fault::Longer(10)).always()], "is longer than"),
        fails(
            "a blob is not there",
            [get(BLOB, Fault::error(404, "BLOB_UNKNOWN", "unknown")).always()],
            "answered 404: BLOB_UNKNOWN unknown",
        ),
        fails(
            "a blob is not for everybody",
            [get(BLOB, Fault::error(403, "DENIED", "no")).always()],
            "does not allow it: DENIED no",
        ),
        fails("ranges are never right", [get(BLOB, Fault::status(416)).always()], "answered 416"),
        fails("every blob ends at once", [get(BLOB, Fault::Truncate(0)).always()], "broke off after 0 of"),
        works(
            "everything goes wrong in turn",
            [
                get(MANIFEST, Fault::status(502)),
                get(BLOB, Fault::Truncate(80)),
                get(BLOB, Fault::Reset),
                get(BLOB, Fault::with_header(503, "Retry-After", "1")),
                get(BLOB, Fault::Flip(70)),
            ],
        ),
    ]
}

/// Reads a base whole. Whatever happens, the store is sound, and the same goes well when nothing is in the way.
fn pull(registry: &Registry, case: &Case) {
    let store = Store::new();
    let proxy = Proxy::with(&registry.address, case.rules.clone());
    let mut build = images().build_command(&store, &proxy.image("base:1"));
    let ended = run(&mut build);
    match case.then {
        Then::Works => assert_eq!(ended.code, Some(0), "{}: {}", case.name, ended.stderr),
        Then::Fails(message) => {
            assert_eq!(ended.code, Some(4), "{}: {}", case.name, ended.stderr);
            assert!(ended.stderr.contains(message), "{}: {}", case.name, ended.stderr);
        }
    }
    assert!(proxy.left().is_empty(), "{}: never happened: {:?}", case.name, proxy.left());
    is_sound(&store.path().join("store/blobs/sha256"));
    proxy.calm();
    run(&mut build).ok();
    is_sound(&store.path().join("store/blobs/sha256"));
}

fn with_a_base() -> Registry {
    let registry = Registry::start();
    images().push("small:1", &registry.image("base:1")).ok();
    registry
}

#[test]
fn manifests_of_bases() {
    let registry = with_a_base();
    try_all(manifests(), |_, case| pull(&registry, case));
}

#[test]
fn blobs_of_bases() {
    let registry = with_a_base();
    try_all(blobs(), |_, case| pull(&registry, case));
}

#[test]
fn a_blob_goes_on_where_it_broke_off() {
    let registry = with_a_base();
    let proxy = Proxy::with(&registry.address, vec![get(BLOB, Fault::CutDownload(200_000)).after(1).times(2)]);
    run(&mut images().build_command(&Store::new(), &proxy.image("base:1"))).ok();
    let ranges = proxy.requests().iter().filter_map(|one| one.header("range").map(str::to_owned)).count();
    assert!(ranges > 0, "{:?}", proxy.requests());
    assert!(proxy.bytes_out() < 600_000, "{}", proxy.bytes_out());
}

#[test]
fn blobs_elsewhere_are_fetched_without_credentials() {
    let registry = Registry::with_password("ann", "s3cret");
    let place = tempfile::tempdir().unwrap();
    let auth = place.path().join("auth.json");
    let basic = "YW5uOnMzY3JldA==";
    let elsewhere = Registry::start();
    images().push("small:1", &elsewhere.image("base:1")).ok();
    let other = Proxy::start(&elsewhere.address);
    let redirect = Fault::with_header(307, "Location", format!("http://{}{{target}}", other.address));
    let proxy = Proxy::with(&registry.address, vec![get(BLOB, redirect).always()]);
    let auths = format!(r#"{{"auths": {{"{}": {{"auth": "{basic}"}}}}}}"#, proxy.address);
    std::fs::write(&auth, auths).unwrap();
    run(images().push_command("small:1", &proxy.image("base:1")).env("REGISTRY_AUTH_FILE", &auth)).ok();
    run(images().build_command(&Store::new(), &proxy.image("base:1")).env("REGISTRY_AUTH_FILE", &auth)).ok();
    assert!(proxy.requests().iter().any(|one| one.header("authorization").is_some_and(|value| value.contains(basic))));
    assert_eq!(other.count("GET", BLOB), 3);
    assert!(other.requests().iter().all(|one| one.header("authorization").is_none()));
}
