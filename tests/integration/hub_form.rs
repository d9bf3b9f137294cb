//! Blueprints in the form of the existing hub: what others published is read, and tools that know no other form get it.

use layers::tar::Kind;
use serde_json::{Value, json};

use crate::support::hub::{BELONGS, INDEX, MANIFEST, archive, board, files, hub, raw};
use crate::support::registry::Registry;
use crate::support::{Store, run, text, tool};

const CONFIG: &str = "application/vnd.alloy.blueprint.config.v1+json";
const FILES: &str = "application/vnd.alloy.blueprint.layer.v1.tar+gzip";
// As the hub's documentation has them, and as earlier versions of alloy wrote them.
const LOCK: &str = "application/vnd.alloy.lockfile.v1+yaml";
const OWN: &str = "application/vnd.alloy.manifest.v1+yaml";
const EARLIER_LOCK: &str = "application/vnd.alloy.blueprint.lockfile.v1+yaml";
const EARLIER_OWN: &str = "application/vnd.alloy.blueprint.manifest.v1+yaml";

const TEXT: &str = "name: Board\nversion: 1.0.0\nrun_order: [tasks.yml]\n";
const TASKS: &str = "- {name: a, action: write_env_file, file: /etc/a, content: '{{.Vars.GCC_URL}}'}\n";
const PINS: &str =
    "toolchains:\n  x.gcc@stable: {url: 'https://a.example/x.tar', sha256: e3b0c44298fc1c149afbf4c8996fb924}\n";

/// The type of a layer, and its bytes.
type Layer<'a> = (&'a str, &'a [u8]);

/// A registry that somebody else's tool has published in.
struct Hub(Registry);

impl Hub {
    /// A manifest of layers with these types and contents.
    fn manifest(&self, name: &str, layers: &[Layer<'_>]) -> Value {
        let typed = |kind: &str, bytes: &[u8]| {
            let mut layer = self.0.put_blob(name, bytes);
            layer["mediaType"] = json!(kind);
            layer
        };
        let config = typed(CONFIG, br#"{"name":"Board","version":"1.0.0"}"#);
        let layers: Vec<Value> = layers.iter().map(|(kind, bytes)| typed(kind, bytes)).collect();
        json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers,
            "annotations": {"org.opencontainers.image.title": "Board", "org.opencontainers.image.version": "1.0.0",
                "org.opencontainers.image.description": "Of the hub."}})
    }

    /// An index of one manifest for each of these architectures.
    fn index(&self, name: &str, tag: &str, manifests: &[(&str, Value)]) {
        let entries = manifests.iter().map(|(architecture, manifest)| {
            let tag = format!("{tag}-{architecture}");
            self.0.put_manifest(name, &tag, manifest);
            let digest = self.0.tag(name, &tag).unwrap();
            let platform = json!({"os": "linux", "architecture": architecture});
            json!({"mediaType": MANIFEST, "digest": digest, "size": manifest.to_string().len(), "platform": platform})
        });
        let entries: Vec<Value> = entries.collect();
        self.0.put_manifest(name, tag, &json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}));
    }
}

#[test]
fn what_the_hub_has_is_cloned_listed_and_planned() {
    let (theirs, store, place) = (Hub(Registry::start()), Store::new(), tempfile::tempdir().unwrap());
    // As `tar czf - .` makes it.
    let packed = archive(&[
        (Kind::Directory, "./", ""),
        (Kind::File, "./manifest.yml", TEXT),
        (Kind::File, "./tasks.yml", TASKS),
        (Kind::File, "./alloy.lock.yml", "toolchains: {}\n"),
    ]);
    let made = |pins: &str| {
        let layers: [Layer<'_>; 4] = [
            (LOCK, pins.as_bytes()),
            (FILES, &packed),
            (OWN, TEXT.as_bytes()),
            ("application/vnd.alloy.blueprint.readme.v1+markdown", b"# Board\n"),
        ];
        theirs.manifest("community/arm/board", &layers)
    };
    theirs.index("community/arm/board", "1.0.0", &[("amd64", made(PINS)), ("arm64", made("host: linux/arm64\n"))]);
    let name = |tag: &str| theirs.0.image(&format!("community/arm/board:{tag}"));
    let clone = |tag: &str, more: &[&str]| hub(&store, place.path(), &[&["clone", &name(tag)], more].concat()).ok();

    let cloned = clone("1.0.0", &["--platform=linux/amd64"]);
    assert!(cloned.stderr.contains("Board 1.0.0 from"), "{}", cloned.stderr);
    let board = place.path().join("board");
    assert_eq!(files(&board), ["alloy.lock.yml", "manifest.yml", "tasks.yml"]);
    // The lockfile that was published beside the files counts, not the one that lay around when they were packed.
    let read = |name: &str| std::fs::read_to_string(place.path().join(name)).unwrap();
    assert_eq!(read("board/alloy.lock.yml"), PINS);
    assert_eq!(read("board/manifest.yml"), TEXT);
    clone("1.0.0", &["--platform=linux/arm64", "-o", "arm"]);
    assert_eq!(read("arm/alloy.lock.yml"), "host: linux/arm64\n");
    // A manifest without an index, and without texts of its own in the archive.
    clone("1.0.0-arm64", &["-o", "single"]);
    assert_eq!(read("single/alloy.lock.yml"), "host: linux/arm64\n");
    let bare = archive(&[(Kind::File, "tasks.yml", TASKS)]);
    theirs.0.put_manifest(
        "community/arm/bare",
        "1",
        &theirs.manifest("community/arm/bare", &[(FILES, &bare), (OWN, TEXT.as_bytes())]),
    );
    hub(&store, place.path(), &["clone", &theirs.0.image("community/arm/bare:1")]).ok();
    assert_eq!(files(&place.path().join("bare")), ["manifest.yml", "tasks.yml"]);

    for (name, lock, own) in [("documented", LOCK, OWN), ("earlier", EARLIER_LOCK, EARLIER_OWN)] {
        let layers: [Layer<'_>; 3] = [(FILES, &bare), (lock, PINS.as_bytes()), (own, TEXT.as_bytes())];
        theirs.0.put_manifest("community/arm/typed", name, &theirs.manifest("community/arm/typed", &layers));
        hub(&store, place.path(), &["clone", &theirs.0.image(&format!("community/arm/typed:{name}")), "-o", name]).ok();
        assert_eq!(read(&format!("{name}/alloy.lock.yml")), PINS);
        assert_eq!(read(&format!("{name}/manifest.yml")), TEXT);
    }

    let listed = hub(&store, place.path(), &["clone", "--list", &theirs.0.image("community")]).ok().stdout;
    let line = listed.lines().find(|line| line.contains("arm/board")).expect(&listed);
    assert!(line.contains("1.0.0") && line.ends_with("Of the hub."), "{listed}");
}

#[test]
fn what_is_hostile_is_refused_in_this_form_too() {
    let (theirs, store) = (Hub(Registry::start()), Store::new());
    let good = archive(&[(Kind::File, "manifest.yml", TEXT), (Kind::File, "tasks.yml", TASKS)]);
    let occupied = archive(&[(Kind::File, "manifest.yml", TEXT), (Kind::File, "alloy.lock.yml/x", "x")]);
    let outside = archive(&[(Kind::File, "manifest.yml", TEXT), (Kind::File, "../../x", "x")]);
    let linked = archive(&[(Kind::File, "manifest.yml", TEXT), (Kind::Symlink, "alloy.lock.yml", "/etc/passwd")]);
    let large = vec![b'#'; 5 << 20];
    let lock: Layer<'_> = (LOCK, PINS.as_bytes());
    let cases: [(&[Layer<'_>], &str); 9] = [
        (&[(FILES, &outside), lock], "`..`"),
        (&[(FILES, &occupied), lock], "is a directory"),
        (&[(FILES, &linked), lock], "is a link"),
        (&[(FILES, &good), (FILES, &good)], "does not have one layer of files"),
        (&[lock], "does not have one layer of files"),
        (&[(FILES, &good), lock, lock], "two layers for the same file"),
        (&[(FILES, &good), (LOCK, &large)], "more than a blueprint may have"),
        (&[(FILES, &archive(&[(Kind::File, "x.yml", "")])), lock], "no manifest.yml"),
        (&[(FILES, b"no archive"), lock], "not compressed"),
    ];
    for (number, (layers, part)) in cases.into_iter().enumerate() {
        let place = tempfile::tempdir().unwrap();
        let tag = format!("t{number}");
        theirs.0.put_manifest("a/bad", &tag, &theirs.manifest("a/bad", layers));
        let name = theirs.0.image(&format!("a/bad:{tag}"));
        let said = hub(&store, place.path(), &["clone", &name, "-o", "here"]).fails(4).stderr;
        assert!(said.contains(part), "{part}: {said}");
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0, "something is left: {part}");
    }
}

#[test]
fn a_blueprint_is_published_in_this_form_and_comes_back() {
    let (registry, board, store, place) = (Registry::start(), board(), Store::new(), tempfile::tempdir().unwrap());
    let name = registry.image("community/arm/board:1");
    let publish = || hub(&store, place.path(), &["publish", text(board.path()), &name, "--format=hub"]).ok().stdout;
    assert_eq!(publish(), publish());
    let index = raw(&name);
    let platforms: Vec<_> = index["manifests"].as_array().unwrap().iter().map(|one| &one["platform"]).collect();
    assert_eq!(platforms.len(), 2, "{index}");
    let digest = index["manifests"][0]["digest"].as_str().unwrap();
    let manifest = raw(&format!("{}@{digest}", registry.image("community/arm/board")));
    let types = |value: &Value| value.as_array().unwrap().iter().map(|layer| layer["mediaType"].clone()).collect();
    let layers: Vec<Value> = types(&manifest["layers"]);
    assert_eq!(layers, [FILES, LOCK, OWN]);
    assert_eq!(manifest["config"]["mediaType"], CONFIG);
    let repository = registry.image("community/arm/board");
    let config = format!("docker://{repository}@{digest}");
    let config = tool("skopeo", &["inspect", "--config", "--raw", "--tls-verify=false", &config]).ok().stdout;
    let config: Value = serde_json::from_str(&config).unwrap();
    assert_eq!(config["blueprint"], json!({"name": "Board", "version": "1.2.0"}));
    assert_eq!(config["task_files"], json!(["tasks/10-write.yml", "tasks/20-unpack.yml"]));
    assert!(config["host"].as_str().is_some_and(|host| host.starts_with("linux/")), "{config}");
    assert!(manifest.get("artifactType").is_none() && index.get("artifactType").is_none());
    // skopeo copies it whole; alloy reads the copy.
    let copy = registry.image("copied/board:1");
    let copied = ["copy", "--all", "--src-tls-verify=false", "--dest-tls-verify=false"];
    let names = [format!("docker://{name}"), format!("docker://{copy}")];
    run(std::process::Command::new("skopeo").args(copied).args(&names)).ok();
    hub(&store, place.path(), &["clone", &copy]).ok();
    assert_eq!(files(&place.path().join("board")), BELONGS);
    let same = tool("diff", &["-r", text(board.path()), text(&place.path().join("board"))]).stdout;
    assert!(same.lines().all(|line| line.starts_with("Only in")), "{same}");
}

/// The hub's own pipelines push versions, and no `latest`.
#[test]
fn without_a_tag_the_tags_that_there_are_are_told() {
    let (theirs, store, place) = (Hub(Registry::start()), Store::new(), tempfile::tempdir().unwrap());
    let packed = archive(&[(Kind::File, "manifest.yml", TEXT), (Kind::File, "tasks.yml", TASKS)]);
    for tag in ["1.0.0", "1.10.0"] {
        theirs.0.put_manifest("community/board", tag, &theirs.manifest("community/board", &[(FILES, &packed)]));
    }
    let name = theirs.0.image("community/board");
    let said = hub(&store, place.path(), &["clone", &name]).fails(4).stderr;
    assert!(said.contains("no tag means `latest`") && said.contains("board:1.10.0: there are 1.10.0, 1.0.0"), "{said}");
    // As users of the existing tools name a registry of this machine.
    let registry = format!("http://{}", theirs.0.address);
    hub(&store, place.path(), &["clone", "community/board:1.0.0", "--registry", &registry]).ok();
    let said = hub(&store, place.path(), &["clone", "a/b:1", "--registry", "http://r.example"]).fails(2).stderr;
    assert!(said.contains("--insecure-registry r.example"), "{said}");
}
