//! Registries that take an image and are odd about what goes with it: documents, signatures, lists of them.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::platforms::{BOTH, Several};
use crate::support::Store;
use crate::support::faults::try_all_named;
use crate::support::images::{images, quiet};
use crate::support::memory_registry::{Answer, MemoryRegistry, Request, State};
use crate::support::{run, text, tool};

const FORBIDDEN: &str = "403 Forbidden";
const BAD: &str = "400 Bad Request";
const INDEX: &str = "Content-Type: application/vnd.oci.image.index.v1+json\r\n";

/// One answer that some registry gives, and what comes of a push with documents.
struct Quirk {
    name: &'static str,
    gate: fn(&mut State, &Request<'_>) -> Option<Answer>,
    /// What is printed; without anything, no warning.
    says: &'static [&'static str],
    /// How many documents the list under a tag has.
    listed: usize,
}

const fn works(
    name: &'static str,
    gate: fn(&mut State, &Request<'_>) -> Option<Answer>,
    says: &'static [&'static str],
    listed: usize,
) -> Quirk {
    Quirk { name, gate, says, listed }
}

fn refusal(status: &'static str) -> Answer {
    Answer::of(status).body(r#"{"errors":[{"code":"MANIFEST_INVALID","message":"no artifacts here"}]}"#)
}

fn is_document(request: &Request<'_>) -> bool {
    request.is("PUT", "/manifests/") && request.json().get("subject").is_some()
}

/// The list of referrers answers this.
fn lists(request: &Request<'_>, answer: Answer) -> Option<Answer> {
    request.is("GET", "/referrers/").then_some(answer)
}

/// A list of nothing, of which each page leads to the one of that number behind it.
fn paged(request: &Request<'_>, number: fn(usize) -> usize) -> Option<Answer> {
    let (path, query) = request.path.split_once('?').unwrap_or((request.path, "page=0"));
    let page: usize = query.trim_start_matches("page=").parse().unwrap_or(0);
    let link = format!("<{path}?page={}>; rel=\"next\"", number(page + 1));
    let body = r#"{"schemaVersion":2,"manifests":[]}"#;
    lists(request, Answer("200 OK", INDEX.into(), body.into()).with("Link", &link))
}

fn wants_a_name() -> Answer {
    Answer::of("401 Unauthorized").with("WWW-Authenticate", "Basic realm=\"x\"")
}

const QUIRKS: &[Quirk] = &[
    works("the subject has to be there first, as at GitLab", subject_first, &[], 2),
    works(
        "artifacts are invalid",
        |_, request| is_document(request).then(|| refusal(BAD)),
        &["attach the SBOM to ", "attach the provenance to ", "answered 400", "no artifacts here", "--no-attest"],
        0,
    ),
    works(
        "artifacts are forbidden",
        |_, request| is_document(request).then(|| refusal(FORBIDDEN)),
        &["attach the SBOM to ", "does not allow it", "--no-attest"],
        0,
    ),
    works(
        "artifacts are of an unsupported type",
        |_, request| is_document(request).then(|| refusal("415 Unsupported Media Type")),
        &["attach the provenance to ", "answered 415", "--no-attest"],
        0,
    ),
    works(
        "one kind of artifact is forbidden",
        |_, request| {
            let provenance = request.json()["artifactType"] == "application/vnd.in-toto+json";
            (is_document(request) && provenance).then(|| refusal(FORBIDDEN))
        },
        &["attach the provenance to ", "--no-attest"],
        1,
    ),
    works(
        "the blobs of documents are forbidden",
        |_, request| {
            let spdx = request.body.starts_with(b"{\"SPDXID\"");
            (request.is("PUT", "/uploads/") && spdx).then(|| refusal(FORBIDDEN))
        },
        &["attach the SBOM to ", "--no-attest"],
        1,
    ),
    works(
        "tags of clients' lists are forbidden",
        |_, request| request.is("PUT", "/manifests/sha256-").then(|| refusal(FORBIDDEN)),
        &["list what is attached to ", "under the tag sha256-", "--no-attest"],
        0,
    ),
    works(
        "the list is a page for people",
        |_, request| lists(request, Answer::of("200 OK").with("Content-Type", "text/html").body("<html></html>")),
        &[],
        2,
    ),
    works("the list is an object", |_, request| lists(request, Answer::of("200 OK").body("{}")), &[], 2),
    works(
        "the list is null",
        |_, request| lists(request, Answer("200 OK", INDEX.into(), br#"{"schemaVersion":2,"manifests":null}"#.into())),
        &[],
        2,
    ),
    works("the list is forbidden", |_, request| lists(request, Answer::of(FORBIDDEN)), &[], 2),
    works("the list is not implemented", |_, request| lists(request, Answer::of("501 Not Implemented")), &[], 2),
    works("the list goes in a circle", |_, request| paged(request, |page| page % 3), &[], 2),
    works("the list has no end", |_, request| paged(request, |page| page), &[], 2),
    works("the list is not acceptable", |_, request| lists(request, Answer::of("406 Not Acceptable")), &[], 2),
    works("the list is in trouble", |_, request| lists(request, Answer::of("500 Internal Server Error")), &[], 2),
    works("the list is not there now", |_, request| lists(request, Answer::of("503 Service Unavailable")), &[], 2),
    works(
        "artifacts are not for strangers",
        |_, request| is_document(request).then(wants_a_name),
        &["attach the SBOM to ", "wants credentials", "--no-attest"],
        0,
    ),
    works("the list is not for strangers", |_, request| lists(request, wants_a_name()), &[], 2),
    works(
        "artifacts do not get through",
        |_, request| is_document(request).then(Answer::none),
        &["attach the SBOM to ", "attach the provenance to ", "the connection failed", "--no-attest"],
        0,
    ),
    works(
        "the blobs of documents do not get through",
        |_, request| (request.is("PUT", "/uploads/") && request.body.starts_with(b"{\"SPDXID\"")).then(Answer::none),
        &["attach the SBOM to ", "the connection failed", "--no-attest"],
        1,
    ),
    works("the question for the list does not get through", |_, request| lists(request, Answer::none()), &[], 2),
    works(
        "the list is asked for too often",
        |_, request| lists(request, Answer::of("429 Too Many Requests").with("Retry-After", "3600")),
        &[],
        2,
    ),
    works(
        "artifacts are too many",
        |_, request| is_document(request).then(|| Answer::of("429 Too Many Requests").with("Retry-After", "3600")),
        &["attach the SBOM to ", "answered 429", "--no-attest"],
        0,
    ),
    works(
        "the list is in trouble, and every subject is understood",
        |state, request| {
            if request.is("GET", "/referrers/") {
                return Some(Answer::of("500 Internal Server Error"));
            }
            let subject = request.json()["subject"]["digest"].as_str()?.to_owned();
            let answer = state.respond(request.method, request.path, request.body.to_vec());
            Some(answer.with("OCI-Subject", &subject))
        },
        &[],
        2,
    ),
];

fn list_tag() -> String {
    images().digest("documented:1").replace(':', "-")
}

#[test]
fn an_image_arrives_whatever_becomes_of_its_documents() {
    let names = QUIRKS.iter().map(|quirk| (quirk.name, quirk)).collect();
    try_all_named(names, |quirk| {
        let registry = MemoryRegistry::odd(quirk.gate);
        let image = registry.image("team/x:1");
        let ended = images().push("documented:1", &image).ok();
        for part in quirk.says {
            assert!(ended.stderr.contains(part), "no `{part}`: {}", ended.stderr);
        }
        assert_eq!(ended.stderr.contains("warning"), !quirk.says.is_empty(), "{}", ended.stderr);
        assert!(!ended.stderr.contains(": push "), "the image is not what was refused: {}", ended.stderr);
        assert!(registry.manifest("1").is_some());
        let list = registry.manifest(&list_tag());
        assert_eq!(list.map_or(0, |list| list["manifests"].as_array().unwrap().len()), quirk.listed);
        // By digest first, the tag last.
        let asked = registry.look(|state| state.asked.clone());
        let puts: Vec<&String> =
            asked.iter().filter(|line| line.starts_with("PUT") && line.contains("/manifests/")).collect();
        assert!(puts[0].ends_with(&images().digest("documented:1")), "{puts:?}");
        assert_eq!(puts.last().unwrap().as_str(), "PUT /v2/team/x/manifests/1");
        // Who wants to read what was attached finds it.
        if quirk.listed == 2 {
            let mut sbom = Store::new().alloy(&["sbom", &image]);
            quiet(&mut sbom);
            assert!(run(&mut sbom).ok().stdout.contains("SPDX-2.3"));
        }
    });
}

#[test]
fn a_list_that_does_not_work_is_told_where_nothing_is_under_its_tag() {
    for (status, message) in [(FORBIDDEN, "does not allow it"), ("500 Internal Server Error", "answered 500")] {
        let registry = MemoryRegistry::odd(move |_, request| lists(request, Answer::of(status)));
        let image = registry.image("team/x:1");
        images().push("small:1", &image).ok();
        let mut sbom = Store::new().alloy(&["sbom", &image]);
        quiet(&mut sbom);
        let ended = run(&mut sbom).fails(4);
        assert!(
            ended.stderr.contains("list what is attached to ") && ended.stderr.contains(message),
            "{}",
            ended.stderr
        );
    }
}

#[test]
fn a_list_without_an_end_is_told_where_nothing_is_under_its_tag() {
    let circle = MemoryRegistry::odd(|_, request| paged(request, |page| page % 3));
    let endless = MemoryRegistry::odd(|_, request| paged(request, |page| page));
    for (registry, said, most) in [(circle, "goes in a circle: ", 5), (endless, "more than 32 parts", 40)] {
        let image = registry.image("team/x:1");
        images().push("small:1", &image).ok();
        let mut sbom = Store::new().alloy(&["sbom", &image]);
        quiet(&mut sbom);
        let ended = run(&mut sbom).fails(4);
        for part in ["its list of what is attached", "does not come whole", said] {
            assert!(ended.stderr.contains(part), "no `{part}`: {}", ended.stderr);
        }
        let asked = registry.look(|state| state.asked.iter().filter(|line| line.contains("/referrers/")).count());
        assert!(asked <= most, "{asked}");
    }
}

/// A list of all that refers to an image, without annotations, where `said` says of each kind what it is listed as.
fn listed_as(state: &State, request: &Request<'_>, said: fn(&str) -> &'static str) -> Option<Answer> {
    let subject = request.path.rsplit('/').next().unwrap().to_owned();
    let all = state.manifests.iter().filter_map(|(name, bytes)| {
        let manifest: Value = serde_json::from_slice(bytes).unwrap();
        let about = name.contains(':') && manifest["subject"]["digest"] == subject.as_str();
        about.then(|| {
            json!({
                "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": name, "size": bytes.len(),
                "artifactType": said(manifest["artifactType"].as_str().unwrap()),
            })
        })
    });
    let index = json!({"schemaVersion": 2, "manifests": all.collect::<Vec<_>>()});
    lists(request, Answer("200 OK", INDEX.into(), index.to_string().into()))
}

#[test]
fn a_document_is_found_whatever_the_list_says_that_it_is() {
    // As go-containerregistry's: it lists the type of the config.
    let unknown =
        MemoryRegistry::odd(|state, request| listed_as(state, request, |_| "application/vnd.oci.empty.v1+json"));
    // Each is said to be what the other one is.
    let swapped = MemoryRegistry::odd(|state, request| {
        listed_as(state, request, |kind| match kind {
            "application/vnd.in-toto+json" => "application/spdx+json",
            _ => "application/vnd.in-toto+json",
        })
    });
    for registry in [unknown, swapped] {
        let image = registry.image("team/x:1");
        images().push("documented:1", &image).ok();
        for (command, part) in [("sbom", "SPDX-2.3"), ("provenance", "slsa.dev/provenance/v1")] {
            let mut show = Store::new().alloy(&[command, &image]);
            quiet(&mut show);
            let shown = run(&mut show).ok().stdout;
            assert!(shown.contains(part), "{command}: {shown}");
        }
    }
}

/// What GitLab's registry says of a manifest whose subject it does not have.
fn subject_first(state: &mut State, request: &Request<'_>) -> Option<Answer> {
    let subject = request.json()["subject"]["digest"].as_str().map(str::to_owned);
    let unknown = subject.filter(|subject| request.method == "PUT" && !state.manifests.contains_key(subject));
    let body = r#"{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown to registry"}]}"#;
    unknown.map(|_| Answer::of(BAD).body(body))
}

#[test]
fn an_index_says_itself_how_it_was_made() {
    let directory = tempfile::tempdir().unwrap();
    let key = key(&directory);
    let registry = MemoryRegistry::odd(subject_first);
    let (store, several, image) = (Store::new(), Several::new(), registry.image("team/x:1"));
    let push = || several.build(&store, BOTH, &["-t", &image, "--push", "--sign-key", text(&key)]);
    let digest = push()["containerimage.digest"].as_str().unwrap().to_owned();
    let tag = digest.replace(':', "-");
    let puts = registry.look(|state| {
        let puts = state.asked.iter().filter(|line| line.starts_with("PUT") && line.contains("/manifests/"));
        puts.map(|line| line.rsplit('/').next().unwrap().to_owned()).collect::<Vec<_>>()
    });
    let at = |name: &str| puts.iter().position(|put| put == name).unwrap_or_else(|| panic!("no {name}: {puts:?}"));
    for name in [&tag, &format!("{tag}.sig"), &format!("{tag}.att")] {
        assert!(at(&digest) < at(name) && at(name) < at("1"), "{name}: {puts:?}");
    }
    assert_eq!(registry.manifest(&tag).unwrap()["manifests"][0]["artifactType"], "application/vnd.in-toto+json");
    // What `cosign verify-attestation` reads.
    let signed = registry.manifest(&format!("{tag}.att")).unwrap();
    assert_eq!(signed["layers"][0]["annotations"]["predicateType"], "https://slsa.dev/provenance/v1");
    let envelope = signed["layers"][0]["digest"].as_str().unwrap().to_owned();
    let envelope: Value = registry.look(|state| serde_json::from_slice(&state.blobs[&envelope]).unwrap());
    let statement = STANDARD.decode(envelope["payload"].as_str().unwrap()).unwrap();
    let statement: Value = serde_json::from_slice(&statement).unwrap();
    assert_eq!(statement["subject"][0]["digest"]["sha256"], digest.trim_start_matches("sha256:"));
    let definition = &statement["predicate"]["buildDefinition"];
    assert_eq!(definition["externalParameters"]["platform"], BOTH);
    let index = registry.manifest("1").unwrap();
    for (number, entry) in index["manifests"].as_array().unwrap().iter().enumerate() {
        let image = &definition["resolvedDependencies"][number];
        assert_eq!(image["annotations"]["kind"], "image");
        assert_eq!(entry["digest"], format!("sha256:{}", image["digest"]["sha256"].as_str().unwrap()));
        assert!(registry.manifest(&format!("{}.att", entry["digest"].as_str().unwrap().replace(':', "-"))).is_some());
    }
    // Once more, nothing is added.
    push();
    assert_eq!(registry.manifest(&format!("{tag}.att")).unwrap(), signed);
    assert_eq!(registry.manifest(&tag).unwrap()["manifests"].as_array().unwrap().len(), 1);
}

#[test]
fn an_index_whose_signature_is_refused_has_no_tag() {
    let directory = tempfile::tempdir().unwrap();
    let key = key(&directory);
    // The images' signatures come first.
    let signatures = std::sync::atomic::AtomicUsize::new(0);
    let registry = MemoryRegistry::odd(move |_, request| {
        let signature = request.method == "PUT" && request.path.ends_with(".sig");
        let number = signatures.fetch_add(usize::from(signature), std::sync::atomic::Ordering::Relaxed);
        (signature && number >= 2).then(|| refusal(FORBIDDEN))
    });
    let (store, several, image) = (Store::new(), Several::new(), registry.image("team/x:1"));
    several.build(&store, BOTH, &["-t", &image]);
    let ended = store.run(&["push", &image, "--sign-key", text(&key)]).fails(4);
    let index = registry.look(|state| {
        let indexes = state.manifests.iter().filter(|(name, bytes)| {
            let value: Value = serde_json::from_slice(bytes).unwrap();
            name.contains(':') && value["manifests"][0]["platform"].is_object()
        });
        indexes.map(|(name, _)| name.clone()).collect::<Vec<_>>()
    });
    let there = format!("{}@{} is there, without its tag", registry.image("team/x"), index[0]);
    assert!(ended.stderr.contains("sign ") && ended.stderr.contains(&there), "{}", ended.stderr);
    assert!(registry.manifest("1").is_none());
}

/// A key to sign with.
fn key(directory: &tempfile::TempDir) -> PathBuf {
    let path = directory.path().join("key.pem");
    tool("openssl", &["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", text(&path)]).ok();
    path
}

#[test]
fn a_signature_that_is_refused_leaves_no_tag_and_says_what_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let key = key(&directory);
    let registry = MemoryRegistry::odd(|_, request| {
        (request.method == "PUT" && request.path.ends_with(".sig")).then(|| refusal(FORBIDDEN))
    });
    let mut push = images().push_command("documented:1", &registry.image("team/x:1"));
    let ended = run(push.args(["--sign-key", text(&key)])).fails(4);
    let there = format!("{}@{} is there, without its tag", registry.image("team/x"), images().digest("documented:1"));
    for part in ["sign ", "does not allow it", &there] {
        assert!(ended.stderr.contains(part), "no `{part}`: {}", ended.stderr);
    }
    assert!(registry.manifest("1").is_none() && registry.manifest(&images().digest("documented:1")).is_some());
    // Documents that are refused are no reason not to sign.
    let registry = MemoryRegistry::odd(|_, request| is_document(request).then(|| refusal(BAD)));
    let mut push = images().push_command("documented:1", &registry.image("team/x:1"));
    let ended = run(push.args(["--sign-key", text(&key)])).ok();
    assert!(ended.stderr.contains("--no-attest") && ended.stderr.contains("signed"), "{}", ended.stderr);
    assert!(registry.manifest("1").is_some() && registry.manifest(&format!("{}.sig", list_tag())).is_some());
}
