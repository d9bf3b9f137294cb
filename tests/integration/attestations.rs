//! What is said of an image: true, the same whoever says it, found by whoever looks, and signed so that others can
//! check it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::files::Files;
use crate::support::memory_registry::MemoryRegistry;
use crate::support::registry::Registry;
use crate::support::{Store, blueprint, repository, run, shared, tasks, text, tool};

const ANNOTATION: &str = "dev.cosignproject.cosign/signature";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// What `curl` gets from the registry.
fn get(registry: &str, path: &str) -> Vec<u8> {
    let accept = "Accept: application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json";
    let url = format!("http://{registry}/v2/{path}");
    Command::new("curl").args(["-sf", "--noproxy", "*", "-H", accept, &url]).output().unwrap().stdout
}

fn manifest(registry: &str, path: &str) -> Value {
    serde_json::from_slice(&get(registry, path)).unwrap()
}

/// The tag under which clients keep what belongs to a manifest.
fn tag(digest: &Value) -> String {
    digest.as_str().unwrap().replace(':', "-")
}

/// Two keys, as openssl writes them: private and public.
fn keys() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let script = "cd \"$1\"; for key in one two; do \
                  openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out $key.pem && \
                  openssl pkey -in $key.pem -pubout -out $key.pub || exit 1; done";
    tool("sh", &["-c", script, "sh", text(directory.path())]).ok();
    directory
}

fn verifies(public: &Path, message: &[u8], signature: &str) -> bool {
    let directory = tempfile::tempdir().unwrap();
    let (message_path, signature_path) = (directory.path().join("message"), directory.path().join("signature"));
    std::fs::write(&message_path, message).unwrap();
    std::fs::write(&signature_path, STANDARD.decode(signature).unwrap()).unwrap();
    let arguments =
        ["dgst", "-sha256", "-verify", text(public), "-signature", text(&signature_path), text(&message_path)];
    tool("openssl", &arguments).code == Some(0)
}

/// Packages of Debian, Python and Cargo, a download, and a secret on the way to it.
fn everything(files: &Files) -> TempDir {
    let pin = files.sha256("tool.bin");
    let url = files.url("tool.bin?token={{.Vars.SITE_TOKEN}}");
    let python = "/opt/venv/lib/python3.11/site-packages/Foo_Bar-1.2.dist-info/METADATA";
    let record =
        "{\\\"installs\\\": {\\\"ripgrep 14.1.0 (registry+https://github.com/rust-lang/crates.io-index)\\\": {}}}";
    let tasks = format!(
        "- {{name: tool, action: get_file, url: '{url}', dest: /srv/tool.bin, sha256: {pin}}}\n\
         - {{name: python, action: write_env_file, file: {python}, content: \"Name: Foo_Bar\\nVersion: 1.2\\n\"}}\n\
         - {{name: cargo, action: write_env_file, file: /usr/local/cargo/.crates2.json, content: \"{record}\"}}\n"
    );
    let manifest = "name: Everything\nversion: 3.1.0\nrun_order: [tasks.yml]\n\
                    required_env: [{name: SITE_TOKEN, secret: true}]\n";
    blueprint(&[("manifest.yml", manifest), ("tasks.yml", &tasks)])
}

#[test]
fn documents_are_true_and_found_by_whoever_looks() {
    let (registry, files) = (Registry::start(), Files::serve());
    files.script("echo tool > tool.bin");
    let blueprint = everything(&files);
    let image = registry.image("team/everything:1");
    let secret = "--var=SITE_TOKEN=hunter2-hunter2";
    let metadata = shared().build(&[text(blueprint.path()), secret, "-t", &image, "--push"]);

    // Somebody else, who has nothing but the name.
    let other = Store::new();
    let sbom = other.run(&["sbom", &image]).ok().stdout;
    let provenance = other.run(&["provenance", &image]).ok().stdout;
    assert_eq!(shared().run(&["sbom", &image]).ok().stdout, sbom);
    assert_eq!(shared().run(&["provenance", &image]).ok().stdout, provenance);
    assert!(!sbom.contains("hunter2") && !provenance.contains("hunter2"));

    let (sbom_path, place) = (other.path().join("sbom.spdx.json"), blueprint.path().to_str().unwrap());
    assert!(!provenance.contains(place), "{provenance}");
    std::fs::write(&sbom_path, &sbom).unwrap();
    let validator = repository("target/python/bin/pyspdxtools");
    assert!(validator.exists(), "ci/test makes {}", validator.display());
    tool(text(&validator), &["-i", text(&sbom_path)]).ok();

    let sbom = parsed(&sbom);
    let packages = sbom["packages"].as_array().unwrap();
    let purls: BTreeSet<&str> =
        packages[1..].iter().map(|package| package["externalRefs"][0]["referenceLocator"].as_str().unwrap()).collect();
    let of = |kind: &str| purls.iter().filter(|purl| purl.starts_with(kind)).copied().collect::<Vec<_>>();
    assert_eq!(of("pkg:pypi/"), ["pkg:pypi/foo-bar@1.2"]);
    assert_eq!(of("pkg:cargo/"), ["pkg:cargo/ripgrep@14.1.0"]);
    // dpkg itself says the same.
    let format = "${Package} ${Version} ${Architecture}\\n";
    let listed = shared().run(&["run", &image, "dpkg-query", "-W", "-f", format]).ok().stdout;
    let known: BTreeSet<String> = packages
        .iter()
        .filter_map(|package| {
            let purl = package["externalRefs"][0]["referenceLocator"].as_str()?;
            let architecture = purl.split_once("arch=")?.1.split('&').next()?;
            let (name, version) = (package["name"].as_str()?, package["versionInfo"].as_str()?);
            purl.starts_with("pkg:deb/debian/").then(|| format!("{name} {version} {architecture}"))
        })
        .collect();
    assert_eq!(known, listed.lines().map(str::to_owned).collect());
    let tool = packages.iter().find(|package| package["name"] == "tool.bin").unwrap();
    assert_eq!(tool["checksums"][0]["checksumValue"], files.sha256("tool.bin"));

    let provenance = parsed(&provenance);
    let digest = metadata["containerimage.digest"].as_str().unwrap();
    assert_eq!(format!("sha256:{}", provenance["subject"][0]["digest"]["sha256"].as_str().unwrap()), digest);
    let definition = &provenance["predicate"]["buildDefinition"];
    let external = &definition["externalParameters"];
    assert_eq!(external["blueprint"], json!({"name": "Everything", "version": "3.1.0"}));
    assert_eq!(external["secrets"], json!(["SITE_TOKEN"]));
    assert_eq!(definition["internalParameters"]["layers"][0]["digest"], metadata["layers"][0]["digest"]);
    let materials = definition["resolvedDependencies"].as_array().unwrap();
    let named = |name: &str| materials.iter().find(|material| material["name"] == name).unwrap();
    assert_eq!(named("tool.bin")["uri"], json!(files.url("tool.bin?token=***")));
    assert_eq!(named("tool.bin")["digest"]["sha256"], files.sha256("tool.bin"));
    let bytes = std::fs::read(blueprint.path().join("tasks.yml")).unwrap();
    assert_eq!(named("tasks.yml")["digest"]["sha256"], layers::digest::Digest::of(bytes).hex());
    assert_eq!(named("dpkg")["annotations"]["kind"], "package");
}

#[test]
fn the_same_build_is_attached_once() {
    let registry = Registry::start();
    let hello = repository("examples/hello");
    let image = registry.image("team/hello:1");
    let metadata = shared().build(&[text(&hello), "-t", &image, "--push"]);
    let list = format!("team/hello/manifests/{}", tag(&metadata["containerimage.digest"]));
    let attached = manifest(&registry.address, &list);
    let kinds: BTreeSet<&str> =
        attached["manifests"].as_array().unwrap().iter().map(|entry| entry["artifactType"].as_str().unwrap()).collect();
    assert_eq!(kinds, BTreeSet::from(["application/spdx+json", "application/vnd.in-toto+json"]));
    // From another directory, and by `alloy push`, which finds out what is in the image itself.
    let copy = crate::support::copy_of("examples/hello");
    let again = registry.image("team/hello:2");
    shared().build(&[text(copy.path()), "-t", &again]);
    let pushed = shared().run(&["push", &again]).ok();
    assert!(!pushed.stderr.contains("attached"), "{}", pushed.stderr);
    assert_eq!(manifest(&registry.address, &list), attached);
    // What is not wanted is not there.
    let other = tasks("- {name: one, action: write_env_file, file: /srv/x, content: no documents}\n");
    let bare = registry.image("team/bare:1");
    let metadata = shared().build(&[text(other.path()), "-t", &bare, "--push", "--no-attest"]);
    let list = format!("team/bare/manifests/{}", tag(&metadata["containerimage.digest"]));
    assert_eq!(get(&registry.address, &list), b"");
    let missing = Store::new().run(&["sbom", &bare]).fails(1);
    assert!(missing.stderr.contains("no SBOM is attached"), "{}", missing.stderr);
}

#[test]
fn entries_of_others_stay() {
    let registry = Registry::start();
    let one = tasks("- {name: one, action: write_env_file, file: /srv/x, content: entries}\n");
    let image = registry.image("team/shared:1");
    let metadata = shared().build(&[text(one.path()), "-t", &image, "--push", "--no-attest"]);
    let descriptor = metadata["containerimage.descriptor"].clone();
    let mut theirs = descriptor.clone();
    theirs["artifactType"] = json!("application/vnd.example.theirs");
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [theirs]}).to_string();
    let list = format!("team/shared/manifests/{}", tag(&descriptor["digest"]));
    let url = format!("http://{}/v2/{list}", registry.address);
    tool("curl", &["-sfX", "PUT", "-H", &format!("Content-Type: {INDEX}"), "-d", &index, &url]).ok();
    shared().build(&[text(one.path()), "-t", &image, "--push"]);
    let entries = manifest(&registry.address, &list)["manifests"].clone();
    assert_eq!((entries[0].clone(), entries.as_array().unwrap().len()), (theirs, 3));
}

#[test]
fn what_somebody_else_overwrites_is_written_again() {
    let theirs = json!({"mediaType": "a/b", "digest": format!("sha256:{}", "0".repeat(64)), "size": 1});
    let rival = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [theirs]});
    let registry = MemoryRegistry::contested("sha256-", rival);
    let metadata = shared().build(&[text(&repository("examples/hello")), "-t", &registry.image("team/x:1"), "--push"]);
    let entries = registry.manifest(&tag(&metadata["containerimage.digest"])).unwrap()["manifests"].clone();
    assert_eq!((entries[0].clone(), entries.as_array().unwrap().len()), (theirs, 3));
}

#[test]
fn a_registry_that_lists_referrers_needs_no_tag() {
    let registry = MemoryRegistry::listing();
    let image = registry.image("team/x:1");
    let hello = repository("examples/hello");
    let push = || shared().build(&[text(&hello), "-t", &image, "--push", "--cache-to=none", "--cache-from=none"]);
    let metadata = push();
    assert!(registry.manifest(&tag(&metadata["containerimage.digest"])).is_none());
    // Whoever sees the name finds all that belongs to it.
    let asked = registry.look(|state| std::mem::take(&mut state.asked));
    let puts: Vec<&String> =
        asked.iter().filter(|line| line.starts_with("PUT") && line.contains("/manifests/")).collect();
    let first = format!("PUT /v2/team/x/manifests/{}", metadata["containerimage.digest"].as_str().unwrap());
    assert_eq!((puts.len(), puts[0], puts[3].as_str()), (4, &first, "PUT /v2/team/x/manifests/1"));
    push();
    let asked = registry.look(|state| std::mem::take(&mut state.asked));
    assert_eq!(asked.iter().filter(|line| line.contains("/referrers/")).count(), 1, "{asked:?}");
    assert_eq!(asked.iter().filter(|line| line.starts_with("PUT")).count(), 2, "{asked:?}");
    let sbom = Store::new().run(&["sbom", &image, "--platform", "linux/amd64"]).ok().stdout;
    assert_eq!(sbom, shared().run(&["sbom", &image]).ok().stdout);
    // What is not what its digest says is no document.
    registry.look(|state| {
        let damage =
            |bytes: &mut Vec<u8>| *bytes = String::from_utf8_lossy(bytes).replace("SPDX-2.3", "SPDX-9.9").into();
        state.blobs.values_mut().filter(|bytes| bytes.starts_with(b"{\"SPDXID\"")).for_each(damage);
    });
    let damaged = Store::new().run(&["sbom", &image, "--platform", "linux/amd64"]);
    assert!(damaged.code != Some(0) && damaged.stdout.is_empty(), "{damaged:?}");
}

#[test]
fn signatures_verify_and_add_up() {
    let (registry, keys) = (Registry::start(), keys());
    let key = |name: &str| keys.path().join(name);
    let image = registry.image("team/signed:1");
    let hello = repository("examples/hello");
    let signed = |file: &str| {
        let path = key(file);
        let arguments = [text(&hello), "-t", image.as_str(), "--push", "--sign-key", text(&path)];
        shared().build(&arguments)["containerimage.digest"].clone()
    };
    let digest = signed("one.pem");
    let list = format!("team/signed/manifests/{}.sig", tag(&digest));
    let first = manifest(&registry.address, &list);
    let payload =
        |layer: &Value| get(&registry.address, &format!("team/signed/blobs/{}", layer["digest"].as_str().unwrap()));
    let layer = &first["layers"][0];
    assert_eq!(layer["mediaType"], "application/vnd.dev.cosign.simplesigning.v1+json");
    let says: Value = serde_json::from_slice(&payload(layer)).unwrap();
    assert_eq!(says["critical"]["image"]["docker-manifest-digest"], digest);
    assert_eq!(says["critical"]["identity"]["docker-reference"], registry.image("team/signed"));
    let signature = layer["annotations"][ANNOTATION].as_str().unwrap();
    assert!(verifies(&key("one.pub"), &payload(layer), signature));
    assert!(!verifies(&key("two.pub"), &payload(layer), signature));

    // The statement is signed as well (DSSE).
    let attested = manifest(&registry.address, &format!("team/signed/manifests/{}.att", tag(&digest)));
    let envelope: Value = serde_json::from_slice(&payload(&attested["layers"][0])).unwrap();
    let statement = STANDARD.decode(envelope["payload"].as_str().unwrap()).unwrap();
    assert_eq!(String::from_utf8_lossy(&statement), Store::new().run(&["provenance", &image]).ok().stdout.trim_end());
    let kind = envelope["payloadType"].as_str().unwrap();
    let message = [format!("DSSEv1 {} {kind} {} ", kind.len(), statement.len()).as_bytes(), &statement].concat();
    assert!(verifies(&key("one.pub"), &message, envelope["signatures"][0]["sig"].as_str().unwrap()));

    // Once more: nothing to add. By somebody else: beside it.
    signed("one.pem");
    assert_eq!(manifest(&registry.address, &list), first);
    signed("two.pem");
    let both = manifest(&registry.address, &list);
    assert_eq!(both["layers"][0], first["layers"][0]);
    let second = both["layers"][1]["annotations"][ANNOTATION].as_str().unwrap();
    assert!(verifies(&key("two.pub"), &payload(&both["layers"][1]), second));
    // Foreign tools read what is there as an image.
    let signatures = format!("docker://{}:{}.sig", registry.image("team/signed"), tag(&digest));
    tool("skopeo", &["inspect", "--config", "--tls-verify=false", &signatures]).ok();
}

/// bookworm's skopeo verifies no such signatures; trixie's does.
const SKOPEO: &str = "- {name: skopeo, action: apt_install, packages: [skopeo]}\n";

#[test]
fn policies_of_foreign_tools_accept_the_right_key_alone() {
    let (registry, keys) = (Registry::start(), keys());
    let manifest = "name: Skopeo\nversion: 1.0.0\nrun_order: [tasks.yml]\n\
                    image: {base: \"deb:trixie\", env_from_profile: false}\n";
    let blueprint = blueprint(&[("manifest.yml", manifest), ("tasks.yml", SKOPEO)]);
    shared().build(&[text(blueprint.path()), "-t", "skopeo"]);
    let (signed, unsigned) = (registry.image("team/policy:signed"), registry.image("team/policy:unsigned"));
    let hello = repository("examples/hello");
    let key = keys.path().join("one.pem");
    shared().build(&[text(&hello), "-t", &signed, "--push", "--sign-key", text(&key)]);
    shared().build(&[text(&hello), "--var", "GREETING=unsigned", "-t", &unsigned, "--push"]);
    let address = &registry.address;
    let configuration = format!("docker:\n  {address}:\n    use-sigstore-attachments: true\n");
    std::fs::create_dir(keys.path().join("registries.d")).unwrap();
    std::fs::write(keys.path().join("registries.d/test.yaml"), configuration).unwrap();
    let copy = |key: &str, image: &str| {
        let path = format!("/keys/{key}.pub");
        let identity = json!({"type": "matchRepository"});
        let rule = json!([{"type": "sigstoreSigned", "keyPath": path, "signedIdentity": identity}]);
        let policy = json!({"default": [{"type": "reject"}], "transports": {"docker": {address: rule}}});
        std::fs::write(keys.path().join("policy.json"), policy.to_string()).unwrap();
        let (volume, source) = (format!("{}:/keys", text(keys.path())), format!("docker://{image}"));
        let skopeo = ["skopeo", "--policy=/keys/policy.json", "--registries.d=/keys/registries.d", "copy"];
        let ends = ["--src-tls-verify=false", &source, "dir:/tmp/copy"];
        shared().run(&[&["run", "-v", &volume, "skopeo"], &skopeo[..], &ends].concat())
    };
    copy("one", &signed).ok();
    let wrong = copy("two", &signed).fails(1);
    assert!(wrong.stderr.contains("invalid signature"), "{}", wrong.stderr);
    let none = copy("one", &unsigned).fails(1);
    assert!(none.stderr.contains("no signature exists"), "{}", none.stderr);
}

#[test]
fn a_key_that_is_of_no_use_is_said_before_the_build() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| -> PathBuf { directory.path().join(name) };
    let rsa = path("rsa.pem");
    tool("openssl", &["genpkey", "-algorithm", "RSA", "-out", text(&rsa)]).ok();
    for (key, message) in [(path("none.pem"), "cannot read the key"), (rsa, "ECDSA on P-256")] {
        let arguments = ["build", "/there/is/no/blueprint", "-t", "r.example/x", "--push"];
        let ended = run(shared().alloy(&arguments).env("ALLOY_SIGN_KEY", &key)).fails(2);
        assert!(ended.stderr.contains(message) && ended.stderr.contains("openssl genpkey"), "{}", ended.stderr);
    }
}

#[test]
fn documents_stay_with_the_image() {
    let store = Store::new();
    let bare = store.path().join("bare/etc");
    std::fs::create_dir_all(&bare).unwrap();
    let base = format!("rootfs:{}", bare.parent().unwrap().display());
    let manifest = "name: Bare\nversion: 1.0.0\nrun_order: [tasks.yml]\nimage: {env_from_profile: false}\n";
    let one = "- {name: one, action: write_env_file, file: /srv/a-1.egg-info, content: \"Name: a\\nVersion: 1\\n\"}\n";
    let blueprint = blueprint(&[("manifest.yml", manifest), ("tasks.yml", one)]);
    store.build(&[text(blueprint.path()), "--base", &base, "-t", "with"]);
    store.build(&[text(blueprint.path()), "--base", &base, "-t", "without", "--no-attest"]);
    let sbom = store.run(&["sbom", "with"]).ok().stdout;
    assert_eq!(parsed(&sbom)["packages"][1]["name"], "a");
    store.run(&["prune"]).ok();
    assert_eq!(store.run(&["sbom", "with"]).ok().stdout, sbom);
    let provenance = parsed(&store.run(&["provenance", "with"]).ok().stdout);
    let external = &provenance["predicate"]["buildDefinition"]["externalParameters"];
    assert_eq!(external["base"], "rootfs:bare", "where it was on this machine is nobody's business");
    let refused = store.run(&["sbom", "without"]).fails(1);
    assert!(refused.stderr.contains("without --no-attest"), "{}", refused.stderr);
    store.run(&["sbom", "nothing"]).fails(1);
    // Nothing changed: nobody has to look again, and nothing has to be unpacked.
    store.run(&["prune", "--all"]).ok();
    let metadata = store.build(&[text(blueprint.path()), "--base", &base, "-t", "with"]);
    assert_eq!(metadata["layers"][0]["cached"], false);
    assert_eq!(store.run(&["sbom", "with"]).ok().stdout, sbom);
}
