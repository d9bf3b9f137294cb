//! Artifacts that nobody should publish, and what is fetched to be installed.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use alloy::context::{Context, Reach};
use alloy::event::{Reporter, Silent};
use alloy::hub::fetch;
use alloy::registry::{CertificateFiles, ConfigFiles, Keychain, Registries, Settings};
use alloy::resolve::Request;
use layers::tar::Kind;
use serde_json::{Value, json};

use crate::support::hub::{BELONGS, INDEX, MANIFEST, archive, board, files, hub};
use crate::support::proxy::{Fault, Proxy, Rule};
use crate::support::registry::Registry;
use crate::support::{Store, text};

const OWN: (Kind, &str, &str) = (Kind::File, "manifest.yml", "name: x\nversion: 1.0.0\nrun_order: []\n");

/// Tries to clone, which must fail and leave nothing; gives what was said.
#[track_caller]
fn refused(name: &str) -> String {
    let place = tempfile::tempdir().unwrap();
    let said = hub(&Store::new(), place.path(), &["clone", name, "-o", "here"]).fails(4).stderr;
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0, "something is left");
    assert!(!said.contains('\x1b'), "{said:?}");
    said
}

#[test]
fn archives_that_reach_outside_are_refused() {
    let registry = Registry::start();
    let publish = |layer: &[u8]| {
        let layer = registry.put_blob("a/bad", layer);
        registry.put_manifest("a/bad", "1", &registry.artifact("a/bad", &[layer]));
        registry.image("a/bad:1")
    };
    let place = tempfile::tempdir().unwrap();
    let good = publish(&archive(&[OWN]));
    hub(&Store::new(), place.path(), &["clone", &good]).ok();
    let zeros = "\0".repeat(32 << 20);
    for (member, part) in [
        ((Kind::File, "../../escaped", "x"), "`..`"),
        ((Kind::File, "/etc/escaped", "x"), "absolute"),
        ((Kind::File, "a\x1b[31m", "x"), "control character"),
        ((Kind::Symlink, "tasks", "/etc"), "is a link"),
        ((Kind::HardLink, "passwd", "manifest.yml"), "is a link"),
        ((Kind::CharDevice, "null", ""), "device"),
        (OWN, "is there twice"),
        ((Kind::File, "zeros", &zeros), "it unpacks to more than"),
    ] {
        let said = refused(&publish(&archive(&[OWN, member])));
        assert!(said.contains(part) && said.contains("a/bad:1 is not used"), "{part}: {said}");
    }
    assert!(refused(&publish(&archive(&[(Kind::File, "x.yml", "")]))).contains("no manifest.yml"));
    assert!(refused(&publish(b"no archive at all")).contains("not compressed"));
}

#[test]
fn manifests_that_are_something_else_are_refused() {
    let registry = Registry::start();
    let layer = registry.put_blob("a/bad", &archive(&[OWN]));
    let good = registry.artifact("a/bad", std::slice::from_ref(&layer));
    let with = |change: &dyn Fn(&mut Value)| {
        let mut manifest = good.clone();
        change(&mut manifest);
        registry.put_manifest("a/bad", "1", &manifest);
        refused(&registry.image("a/bad:1"))
    };
    let image = "application/vnd.oci.image.config.v1+json";
    let is_image = with(&|it| {
        it.as_object_mut().unwrap().remove("artifactType");
        it["config"]["mediaType"] = json!(image);
    });
    assert!(is_image.contains("is no blueprint: it is an image"), "{is_image}");
    assert!(with(&|it| it["artifactType"] = json!("a/b\u{1b}[2J")).contains("is no blueprint"));
    assert!(with(&|it| it["layers"] = json!([layer, layer])).contains("does not have one layer"));
    let size = layer["size"].as_u64().unwrap();
    assert!(with(&|it| it["layers"][0]["size"] = json!(size - 1)).contains("is longer than"));
    assert!(with(&|it| it["layers"][0]["size"] = json!(5_u64 << 40)).contains("more than a blueprint may have"));
    // An index in an index: nobody knows where that ends.
    let index = |digest: &str, size: usize, kind: &str| {
        let entry = json!({"mediaType": kind, "digest": digest, "size": size});
        json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]})
    };
    registry.put_manifest("a/bad", "2", &good);
    let digest = registry.tag("a/bad", "2").unwrap();
    let inner = index(&digest, good.to_string().len(), MANIFEST);
    registry.put_manifest("a/bad", "3", &inner);
    let inner = inner.to_string();
    let outer = index(&layers::digest::Digest::of(&inner).to_string(), inner.len(), INDEX);
    registry.put_manifest("a/bad", "4", &outer);
    assert!(refused(&registry.image("a/bad:4")).contains("lists another one"));
    let place = tempfile::tempdir().unwrap();
    hub(&Store::new(), place.path(), &["clone", &registry.image("a/bad:3")]).ok();
}

#[test]
fn bytes_that_are_changed_on_the_way_are_noticed() {
    let (registry, board, place) = (Registry::start(), board(), tempfile::tempdir().unwrap());
    let name = registry.image("a/board:1");
    let published = hub(&Store::new(), place.path(), &["publish", text(board.path()), &name]).ok().stdout;
    let digest = published.trim().rsplit_once('@').unwrap().1;
    for (part, name) in [("/blobs/", "a/board:1".to_owned()), ("/manifests/sha256", format!("a/board@{digest}"))] {
        let proxy = Proxy::with(&registry.address, vec![Rule::on("GET", part, Fault::Flip(100)).always()]);
        let said = refused(&proxy.image(&name));
        assert!(said.contains("the registry sent"), "{part}: {said}");
    }
}

/// A blueprint as `install` gets it: kept below the user's directory, and fetched once.
#[test]
fn a_blueprint_to_be_installed_is_kept_by_its_digest() {
    let (registry, board, store, place) = (Registry::start(), board(), Store::new(), tempfile::tempdir().unwrap());
    let proxy = Proxy::start(&registry.address);
    let name = proxy.image("community/arm/board:1");
    hub(&store, place.path(), &["publish", text(board.path()), &name]).ok();
    let fetched = fetched(&name, &place.path().join("store"), &place.path().join("home"));
    let digest = fetched.digest.hex();
    let expected = place.path().join("home/blueprints").join(&proxy.address).join("community/arm/board").join(&digest);
    assert_eq!(fetched.directory, expected);
    assert_eq!(
        (files(&expected).as_slice(), fetched.version.as_deref()),
        (&BELONGS.map(str::to_owned)[..], Some("1.2.0"))
    );
    // What is recorded beside it stays; nothing is fetched twice, not even by another store.
    std::fs::write(expected.join("alloy.state.yml"), "state").unwrap();
    proxy.reset();
    let again = self::fetched(&name, &place.path().join("other"), &place.path().join("home"));
    assert_eq!(again, fetched);
    assert_eq!(std::fs::read_to_string(expected.join("alloy.state.yml")).unwrap(), "state");
    assert_eq!(proxy.count("GET", "/blobs/"), 0);
}

fn fetched(name: &str, store: &Path, home: &Path) -> alloy::hub::Fetched {
    let (stall, reporter): (_, Reporter) = (Duration::from_secs(3), Arc::new(Silent));
    let store = layers::store::Store::open(store).unwrap();
    let runtime = alloy::tasks::Runtime::start().unwrap();
    let registries = Registries::new(Settings {
        keychain: Keychain::of_this_user(|_| None),
        insecure: Vec::new(),
        config: ConfigFiles::default(),
        certificates: CertificateFiles::default(),
        stall,
        vars: Default::default(),
    });
    let context = Context::new(
        store,
        reporter,
        runtime,
        Reach { registries, credentials: Default::default(), stall, vars: Default::default() },
    );
    let request = Request::new(&context, "linux/amd64".parse().unwrap());
    let resolver = request.resolver(&context);
    fetch(&resolver, &name.parse().unwrap(), home).unwrap()
}
