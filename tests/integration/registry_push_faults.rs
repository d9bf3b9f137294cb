//! Pushes through a proxy that fails: outlasted or told, and never half a thing under a tag.

use std::time::{Duration, SystemTime};

use crate::support::Ended;
use crate::support::faults::{Case, Then, fails, try_all, works};
use crate::support::images::{images, is_sound};
use crate::support::proxy::{Fault, Proxy, Rule};
use crate::support::registry::Registry;

const UPLOADS: &str = "/blobs/uploads/";
const MANIFESTS: &str = "/manifests/";
const OTHER: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

fn on(method: &'static str, part: &'static str, fault: Fault) -> Rule {
    Rule::on(method, part, fault)
}

fn header(name: &'static str, value: &str) -> Fault {
    Fault::Header(name, Some(value.to_owned()))
}

/// As HTTP writes dates.
fn in_a_second() -> String {
    let then = jiff::Timestamp::try_from(SystemTime::now() + Duration::from_secs(1)).unwrap();
    jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&then).unwrap()
}

fn small(elsewhere: &str) -> Vec<Case> {
    vec![
        works("HEAD of a blob fails", [on("HEAD", "/blobs/", Fault::status(503)).times(2)]),
        works("HEAD of blobs is not supported", [on("HEAD", "/blobs/", Fault::status(405)).always()]),
        works("HEAD of a manifest is not supported", [on("HEAD", MANIFESTS, Fault::status(405))]),
        works("HEAD of a manifest fails", [on("HEAD", MANIFESTS, Fault::status(500))]),
        works("HEAD of a manifest breaks off", [on("HEAD", MANIFESTS, Fault::Reset)]),
        works("POST fails", [on("POST", UPLOADS, Fault::status(503))]),
        works("POST comes too early", [on("POST", UPLOADS, Fault::status(425))]),
        works("POST comes too often: seconds", [on("POST", UPLOADS, Fault::with_header(429, "Retry-After", "1"))]),
        works(
            "POST comes too often: a date",
            [on("POST", UPLOADS, Fault::with_header(429, "Retry-After", in_a_second()))],
        ),
        works("POST comes too often: nonsense", [on("POST", UPLOADS, Fault::with_header(429, "Retry-After", "soon"))]),
        works("POST breaks off", [on("POST", UPLOADS, Fault::Reset)]),
        works("the answer of POST is lost", [on("POST", UPLOADS, Fault::LoseAnswer)]),
        works("nobody answers POST", [on("POST", UPLOADS, Fault::Silence)]),
        works("Location is relative", [on("POST", UPLOADS, header("Location", "{location}")).always()]),
        works(
            "Location is another host",
            [on("POST", UPLOADS, header("Location", &format!("http://{elsewhere}{{location}}")))],
        ),
        fails("Location is missing", [on("POST", UPLOADS, Fault::Header("Location", None))], "where to upload to"),
        fails(
            "POST is not allowed",
            [on("POST", UPLOADS, Fault::error(403, "DENIED", "read only")).always()],
            "does not allow it: DENIED read only",
        ),
        fails(
            "POST finds no repository",
            [on("POST", UPLOADS, Fault::error(404, "NAME_UNKNOWN", "no such project")).always()],
            "answered 404: NAME_UNKNOWN no such project",
        ),
        works("PUT of a blob fails", [on("PUT", UPLOADS, Fault::status(502)).times(2)]),
        works("PUT of a blob breaks off before it begins", [on("PUT", UPLOADS, Fault::Reset)]),
        works(
            "PUT of a blob breaks off in its middle",
            [on("PUT", UPLOADS, Fault::CutUpload(100_000)).of_size(100_001).times(2)],
        ),
        works("the answer of PUT is lost", [on("PUT", UPLOADS, Fault::LoseAnswer)]),
        works("nobody answers PUT", [on("PUT", UPLOADS, Fault::Silence)]),
        works("the session is gone", [on("PUT", UPLOADS, Fault::error(404, "BLOB_UPLOAD_UNKNOWN", "unknown"))]),
        works("a byte changes on the way", [on("PUT", UPLOADS, Fault::FlipUpload(100))]),
        fails("a byte changes every time", [on("PUT", UPLOADS, Fault::FlipUpload(100)).always()], "it arrived damaged"),
        works("PUT is too large", [on("PUT", UPLOADS, Fault::status(413)).of_size(100_000)]),
        fails(
            "everything is too large",
            [on("PUT", UPLOADS, Fault::status(413)).always(), on("PATCH", UPLOADS, Fault::status(413)).always()],
            "answered 413",
        ),
        fails(
            "a blob is kept under another digest",
            [on("PUT", UPLOADS, header("Docker-Content-Digest", OTHER)).always()],
            "the registry keeps sha256:0000",
        ),
        fails(
            "a blob is kept in another place",
            [on("PUT", UPLOADS, header("Location", &format!("/v2/x/blobs/{OTHER}"))).always()],
            "the registry keeps sha256:0000",
        ),
        fails(
            "PUT is wrong",
            [on("PUT", UPLOADS, Fault::error(400, "SIZE_INVALID", "no")).always()],
            "answered 400: SIZE_INVALID no",
        ),
        fails(
            "there is no room",
            [on("PUT", UPLOADS, Fault::error(507, "UNKNOWN", "disk full")).always()],
            "answered 507: UNKNOWN disk full",
        ),
        works("PUT of the manifest fails", [on("PUT", MANIFESTS, Fault::status(500))]),
        works(
            "PUT of the manifest comes too often",
            [on("PUT", MANIFESTS, Fault::with_header(429, "Retry-After", "0"))],
        ),
        works("PUT of the manifest breaks off", [on("PUT", MANIFESTS, Fault::Reset)]),
        works("PUT of the manifest breaks off in its middle", [on("PUT", MANIFESTS, Fault::CutUpload(10))]),
        works("the answer of the manifest's PUT is lost", [on("PUT", MANIFESTS, Fault::LoseAnswer)]),
        fails(
            "the manifest is refused",
            [on("PUT", MANIFESTS, Fault::error(400, "MANIFEST_INVALID", "no")).always()],
            "MANIFEST_INVALID no",
        ),
        fails(
            "the tag may not be moved",
            [on("PUT", MANIFESTS, Fault::error(403, "DENIED", "immutable")).always()],
            "DENIED immutable",
        ),
        fails(
            "who one is matters for the manifest alone",
            [on("PUT", MANIFESTS, Fault::status(401)).always()],
            "wants credentials",
        ),
        fails(
            "the manifest is kept under another digest",
            [on("PUT", MANIFESTS, Fault::with_header(201, "Docker-Content-Digest", OTHER)).always()],
            "the registry keeps sha256:0000",
        ),
    ]
}

fn large() -> Vec<Case> {
    vec![
        works("PATCH fails", [on("PATCH", UPLOADS, Fault::status(500))]),
        works("PATCH breaks off, and the registry forgets it", [on("PATCH", UPLOADS, Fault::CutUpload(20 << 20))]),
        works("the answer of PATCH is lost", [on("PATCH", UPLOADS, Fault::LoseAnswer)]),
        works("PATCH finds no session", [on("PATCH", UPLOADS, Fault::status(404))]),
        works("PATCH is at a wrong place", [on("PATCH", UPLOADS, Fault::status(416))]),
        works("PATCH is too large", [on("PATCH", UPLOADS, Fault::status(413))]),
        works("the registry wants chunks", [on("POST", UPLOADS, header("OCI-Chunk-Min-Length", "1000000")).always()]),
        works("a chunk changes on the way", [on("PATCH", UPLOADS, Fault::FlipUpload(30 << 20))]),
        works("nobody answers PATCH", [on("PATCH", UPLOADS, Fault::Silence)]),
    ]
}

/// Pushes over an old tag; whatever happens, the tag is the old image or the new one.
fn push(registry: &Registry, image: &str, number: usize, case: &Case) {
    let images = images();
    let name = format!("{}/push{number}", image.split(':').next().unwrap());
    images.push("old:1", &registry.image(&format!("{name}:1"))).ok();
    let proxy = Proxy::with(&registry.address, case.rules.clone());
    let ended = images.push(image, &proxy.image(&format!("{name}:1")));
    judge(case, ended);
    assert!(proxy.left().is_empty(), "{}: never happened: {:?}", case.name, proxy.left());
    let expected = if matches!(case.then, Then::Works) { image } else { "old:1" };
    assert_eq!(registry.tag(&name, "1"), Some(images.digest(expected)), "{}", case.name);
    images.push(image, &registry.image(&format!("{name}:1"))).ok();
    assert_eq!(registry.tag(&name, "1"), Some(images.digest(image)), "{}", case.name);
}

#[track_caller]
fn judge(case: &Case, ended: Ended) {
    match case.then {
        Then::Works => assert_eq!(ended.code, Some(0), "{}: {}", case.name, ended.stderr),
        Then::Fails(message) => {
            assert_eq!(ended.code, Some(4), "{}: {}", case.name, ended.stderr);
            assert!(ended.stderr.contains(message), "{}: {}", case.name, ended.stderr);
        }
    }
}

#[test]
fn small_blobs() {
    let registry = Registry::start();
    let elsewhere = Proxy::start(&registry.address);
    try_all(small(&elsewhere.address), |number, case| push(&registry, "small:1", number, case));
    assert!(elsewhere.count("PUT", UPLOADS) > 0, "an upload went to the other host");
    is_sound(&registry.blobs());
}

#[test]
fn large_blobs() {
    let registry = Registry::start();
    try_all(large(), |number, case| push(&registry, "large:1", number, case));
    is_sound(&registry.blobs());
}

#[test]
fn a_large_blob_goes_on_where_it_broke_off() {
    let registry = Registry::start();
    let keep = |length| on("PATCH", UPLOADS, Fault::KeepUpload(length));
    let proxy = Proxy::with(&registry.address, vec![keep(20 << 20), keep(15 << 20)]);
    images().push("large:1", &proxy.image("resumed:1")).ok();
    let sent: Vec<u64> = proxy.requests().iter().filter(|one| one.method == "PATCH").map(|one| one.sent).collect();
    assert_eq!(sent.len(), 3, "{sent:?}");
    assert_eq!(sent[..2], [20 << 20, 15 << 20]);
    assert!(sent[2] < 10 << 20, "{sent:?}");
    assert_eq!(registry.tag("resumed", "1"), Some(images().digest("large:1")));
    is_sound(&registry.blobs());
}

#[test]
fn what_was_sent_is_not_sent_again_when_the_end_of_an_upload_fails() {
    let registry = Registry::start();
    let proxy = Proxy::with(&registry.address, vec![on("PUT", "digest=", Fault::status(503)).times(3)]);
    images().push("large:1", &proxy.image("closed:1")).ok();
    assert_eq!(proxy.count("PATCH", UPLOADS), 1);
    assert_eq!(registry.tag("closed", "1"), Some(images().digest("large:1")));
}

#[test]
fn a_lost_answer_is_not_a_lost_blob() {
    let registry = Registry::start();
    let proxy = Proxy::with(&registry.address, vec![on("PUT", UPLOADS, Fault::LoseAnswer).times(3)]);
    images().push("small:1", &proxy.image("there:1")).ok();
    // Two layers and a config.
    assert_eq!(proxy.count("PUT", UPLOADS), 3);
}

#[test]
fn of_an_unchanged_image_everything_is_asked_for_at_once() {
    let registry = Registry::start();
    let proxy = Proxy::start(&registry.address);
    let image = proxy.image("same:1");
    images().push("small:1", &image).ok();
    // Two layers and a config: looked for, begun, sent; the tag looked for and moved.
    assert_eq!(proxy.requests().len(), 3 * 3 + 2);
    proxy.reset();
    images().push("small:1", &image).ok();
    assert_eq!(proxy.requests().iter().map(|one| one.method.as_str()).collect::<Vec<_>>(), ["HEAD"; 4]);
    assert!(proxy.bytes_in() < 3000 && proxy.bytes_out() < 3000);
    // Another tag of the same: every blob is looked for, and none is sent.
    proxy.reset();
    images().push("small:1", &proxy.image("same:2")).ok();
    assert_eq!((proxy.count("HEAD", "/blobs/"), proxy.requests().len()), (3, 5));
}
