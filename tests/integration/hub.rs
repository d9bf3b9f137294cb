//! Blueprints in registries: published, found, fetched, and still the same.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::hub::{BELONGS, BLUEPRINT, INDEX, MANIFEST, alloy, board, files, hub, raw};
use crate::support::proxy::{Fault, Proxy, Rule};
use crate::support::registry::Registry;
use crate::support::{Store, blueprint, run, text, tool};

/// The digest behind a name that alloy printed.
fn printed(line: &str) -> &str {
    line.rsplit_once('@').unwrap().1
}

#[test]
fn a_blueprint_travels_whole_and_alone() {
    let (registry, board, store, place) = (Registry::start(), board(), Store::new(), tempfile::tempdir().unwrap());
    let name = registry.image("community/arm/board");
    let published = hub(&store, place.path(), &["publish", text(board.path()), &name]).ok();
    let lines: Vec<&str> = published.stdout.lines().collect();
    assert!(lines[0].starts_with(&format!("{name}:1.2.0@sha256:")), "{lines:?}");
    assert_eq!(lines[1..], [format!("{name}:latest@{}", printed(lines[0]))]);
    assert!(published.stderr.contains("for linux/amd64, linux/arm64: 8 files"), "{}", published.stderr);

    let cloned = hub(&store, place.path(), &["clone", &name]).ok();
    assert_eq!(cloned.stdout, "board\n");
    assert!(cloned.stderr.contains("Board 1.2.0 from"), "{}", cloned.stderr);
    let clone = place.path().join("board");
    assert_eq!(files(&clone), BELONGS);
    for file in BELONGS {
        let read = |directory: &Path| std::fs::read(directory.join(file)).unwrap();
        assert_eq!(read(&clone), read(board.path()), "{file}");
    }
    // Nothing else was left there.
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1);
    let occupied = hub(&store, place.path(), &["clone", &name]).fails(2);
    assert!(occupied.stderr.contains("board is there already"), "{}", occupied.stderr);

    // Into the directory where somebody stands; by digest; for another host.
    let empty = tempfile::tempdir().unwrap();
    let pinned = format!("{name}@{}", printed(lines[0]));
    hub(&store, empty.path(), &["clone", &pinned, "-o", ".", "--platform", "linux/arm64"]).ok();
    assert_eq!(files(empty.path()), BELONGS);
    let riscv = hub(&store, place.path(), &["clone", &name, "-o", "x", "--platform", "linux/riscv64"]).fails(4);
    assert!(riscv.stderr.contains("it is for linux/amd64, linux/arm64"), "{}", riscv.stderr);
    assert!(riscv.stderr.contains("--platform") && !place.path().join("x").exists());
    let missing = hub(&store, place.path(), &["clone", &format!("{name}:9"), "-o", "x"]).fails(4);
    assert!(missing.stderr.contains("was not found"), "{}", missing.stderr);

    // What it builds is what the original builds.
    let root = store.path().join("root");
    std::fs::create_dir_all(root.join("etc")).unwrap();
    let base = format!("rootfs:{}", text(&root));
    let build = |directory: &Path| {
        let metadata = store.build(&[text(directory), "--base", &base, "--platform=linux/amd64", "--no-cache"]);
        metadata["containerimage.digest"].clone()
    };
    assert_eq!(build(&clone), build(board.path()));
}

#[test]
fn the_same_blueprint_is_the_same_bytes() {
    let (registry, one) = (Registry::start(), board());
    let publish = |directory: &Path, epoch: Option<&str>, umask: &str| {
        let (store, name) = (Store::new(), registry.image("a/board:1"));
        let mut command = alloy(&store, directory, &["publish", ".", &name]);
        command.envs(epoch.map(|epoch| ("SOURCE_DATE_EPOCH", epoch)));
        let script = format!("umask {umask}; exec \"$@\"");
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &script, "sh"]).arg(command.get_program()).args(command.get_args()).current_dir(directory);
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        printed(run(&mut shell).ok().stdout.trim()).to_owned()
    };
    let first = publish(one.path(), None, "022");
    let other = tempfile::tempdir().unwrap();
    let copy = other.path().join("copy");
    tool("cp", &["-r", text(one.path()), text(&copy)]).ok();
    tool("chmod", &["-R", "go-rwx", text(&copy)]).ok();
    assert_eq!(publish(&copy, None, "077"), first);
    let later = publish(one.path(), Some("1700000000"), "022");
    assert_ne!(later, first);
    let created = &raw(&registry.image("a/board:1"))["annotations"]["org.opencontainers.image.created"];
    assert_eq!(*created, json!("2023-11-14T22:13:20Z"));
}

#[test]
fn others_see_an_artifact_for_each_host_and_can_copy_it() {
    let (registry, board, store, place) = (Registry::start(), board(), Store::new(), tempfile::tempdir().unwrap());
    let name = registry.image("a/board:1");
    hub(&store, place.path(), &["publish", text(board.path()), &name]).ok();
    let index = raw(&name);
    assert_eq!((&index["mediaType"], &index["artifactType"]), (&json!(INDEX), &json!(BLUEPRINT)));
    let said = json!({
        "org.opencontainers.image.authors": "Ann, Bob",
        "org.opencontainers.image.created": "2020-01-01T00:00:00Z",
        "org.opencontainers.image.description": "What a board needs.",
        "org.opencontainers.image.licenses": "Apache-2.0",
        "org.opencontainers.image.title": "Board",
        "org.opencontainers.image.vendor": "Example",
        "org.opencontainers.image.version": "1.2.0",
    });
    assert_eq!(index["annotations"], said);
    let manifests = index["manifests"].as_array().unwrap();
    let hosts: Vec<&Value> = manifests.iter().map(|entry| &entry["platform"]["architecture"]).collect();
    assert_eq!(hosts, ["amd64", "arm64"]);
    let mut layers = Vec::new();
    for entry in manifests {
        let manifest = raw(&format!("{}@{}", registry.image("a/board"), entry["digest"].as_str().unwrap()));
        let kinds = (&manifest["mediaType"], &manifest["artifactType"], &manifest["config"]["mediaType"]);
        let empty = "application/vnd.oci.empty.v1+json";
        assert_eq!(kinds, (&json!(MANIFEST), &json!(BLUEPRINT), &json!(empty)));
        let host = format!("linux/{}", entry["platform"]["architecture"].as_str().unwrap());
        assert_eq!(manifest["annotations"]["vnd.alloy.blueprint.host"], json!(host));
        assert_eq!(manifest["layers"].as_array().unwrap().len(), 1);
        layers.push(manifest["layers"][0].clone());
    }
    assert_eq!(layers[0], layers[1]);
    // Any tar reads it.
    let hex = layers[0]["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
    let blob = registry.blobs().join(&hex[..2]).join(hex).join("data");
    let listed = tool("tar", &["-tzf", text(&blob)]).ok().stdout;
    let listed: Vec<&str> = listed.lines().filter(|line| !line.ends_with('/')).collect();
    assert_eq!(listed, BELONGS);

    let (to, tls) = (registry.image("b/copy:1"), ["--src-tls-verify=false", "--dest-tls-verify=false"]);
    let copy = [format!("docker://{name}"), format!("docker://{to}")];
    tool("skopeo", &["copy", "-q", "--all", tls[0], tls[1], &copy[0], &copy[1]]).ok();
    hub(&Store::new(), place.path(), &["clone", &to]).ok();
    assert_eq!(files(&place.path().join("copy")), BELONGS);
    // An old skopeo writes the index anew; it is a blueprint all the same.
    let listed = hub(&store, place.path(), &["clone", "--list", &registry.image("b")]).ok().stdout;
    let row = format!("{}  1     What a board needs.", registry.image("b/copy"));
    assert!(listed.lines().any(|line| line == row), "{listed}");
}

#[test]
fn passwords_come_from_the_environment_or_the_usual_files() {
    let (registry, board, store, place) =
        (Registry::with_password("ann", "s3cret"), board(), Store::new(), tempfile::tempdir().unwrap());
    let (directory, name) = (text(board.path()), registry.image("team/board:1"));
    let refused = hub(&store, place.path(), &["publish", directory, &name]).fails(4);
    assert!(refused.stderr.contains("wants credentials") && refused.stderr.contains("alloy login"));
    let with = |arguments: &[&str], vars: &[(&str, &str)]| {
        let mut command = alloy(&store, place.path(), arguments);
        command.envs(vars.iter().copied());
        run(&mut command)
    };
    let user = [("ALLOY_REGISTRY_USERNAME", "ann"), ("ALLOY_REGISTRY_PASSWORD", "s3cret")];
    let own = [("ALLOY_REGISTRY", registry.address.as_str()), user[0], user[1]];
    with(&["publish", directory, "team/board:1"], &own).ok();
    // A file that knows somebody else does not count for that registry.
    let wrong = place.path().join("wrong.json");
    let entry = json!({"auths": {&registry.address: {"auth": "Ym9iOndyb25n"}}});
    std::fs::write(&wrong, entry.to_string()).unwrap();
    let file = ("REGISTRY_AUTH_FILE", text(&wrong));
    with(&["clone", &name, "-o", "first"], &[file]).fails(4);
    with(&["clone", &name, "-o", "first"], &[file, user[0], user[1]]).ok();
    // The password is of the registry that is set, and of no other.
    let other = [("ALLOY_REGISTRY", "other.example"), user[0], user[1]];
    let kept = with(&["clone", &name, "-o", "second"], &other).fails(4);
    assert!(kept.stderr.contains("wants credentials"), "{}", kept.stderr);
    let half = with(&["clone", &name, "-o", "second"], &user[..1]).fails(2);
    assert!(half.stderr.contains("ALLOY_REGISTRY_PASSWORD is not"), "{}", half.stderr);
    let wrong = with(&["clone", &name, "-o", "second"], &[user[0], ("ALLOY_REGISTRY_PASSWORD", "no")]).fails(4);
    assert!(wrong.stderr.contains("the credentials from ALLOY_REGISTRY_USERNAME"), "{}", wrong.stderr);

    let logged_in = place.path().join("auth.json");
    let entry = json!({"auths": {&registry.address: {"auth": "YW5uOnMzY3JldA=="}}});
    std::fs::write(&logged_in, entry.to_string()).unwrap();
    let file = ("REGISTRY_AUTH_FILE", text(&logged_in));
    with(&["clone", "team/board:1", "--registry", &registry.address], &[file]).ok();
    let listed = with(&["clone", "--list", "team"], &own).ok().stdout;
    assert_eq!(listed, "NAME        TAGS  DESCRIPTION\nteam/board  1     What a board needs.\n");
}

#[test]
fn what_is_not_fit_for_others_is_not_published() {
    let (registry, store, place) = (Registry::start(), Store::new(), tempfile::tempdir().unwrap());
    let name = registry.image("a/board:1");
    let publish = |directory: &Path, more: &[&str]| {
        hub(&store, place.path(), &[&["publish", text(directory), &name], more].concat())
    };
    let board = board();
    let write = |file: &str, text: &str| std::fs::write(board.path().join(file), text).unwrap();
    let read = |file: &str| std::fs::read_to_string(board.path().join(file)).unwrap();

    let (tasks, lock) = (read("tasks/10-write.yml"), read("alloy.lock.yml"));
    write("tasks/10-write.yml", &tasks.replace("write_env_file", "write_env_fil"));
    let broken = publish(board.path(), &["--allow-unpinned"]).fails(3);
    assert!(broken.stderr.contains("did you mean `write_env_file`?"), "{}", broken.stderr);
    write("tasks/10-write.yml", &tasks);

    // Pinned for one host only; and for none.
    write("alloy.lock.yml", lock.split("hosts:").next().unwrap());
    let unpinned = publish(board.path(), &[]).fails(3);
    assert!(unpinned.stderr.contains("for linux/arm64") && !unpinned.stderr.contains("for linux/amd64"));
    assert!(unpinned.stderr.contains("`alloy lock` pins"), "{}", unpinned.stderr);
    let allowed = publish(board.path(), &["--allow-unpinned"]).ok();
    assert!(allowed.stderr.contains("does not pin `toolchain.x.gcc`"), "{}", allowed.stderr);
    let cloned = hub(&store, place.path(), &["clone", &name, "-o", "unpinned"]).ok();
    assert_eq!(files(&place.path().join(cloned.stdout.trim())), BELONGS);
    // A lockfile that cannot be read is no lockfile that lacks something.
    write("alloy.lock.yml", "toolchains:\n  toolchain.x.gcc: {url: 'https://a.example/x'}\n");
    publish(board.path(), &["--allow-unpinned"]).fails(3);
    write("alloy.lock.yml", &lock);

    let unpack = read("tasks/20-unpack.yml");
    write("tasks/20-unpack.yml", &unpack.replace("files/{{.Vars.TOOL}}.tar", ".env"));
    let private = publish(board.path(), &[]).fails(3);
    assert!(private.stderr.contains("`.env` is of one machine or person"), "{}", private.stderr);
    let download = "- {name: d, action: get_file, url: 'https://ann:hunter2@a.example/x', dest: /x}\n";
    write("tasks/20-unpack.yml", &format!("{unpack}\n{download}"));
    let told = publish(board.path(), &["--allow-unpinned"]).fails(3).stderr;
    assert!(told.contains("tasks/20-unpack.yml:") && told.contains("the URL of a.example has a password"), "{told}");
    assert!(told.contains("{{.Vars.X_PASSWORD}}@a.example") && !told.contains("hunter2"), "{told}");
    write("tasks/20-unpack.yml", &unpack);

    let nowhere = hub(&store, place.path(), &["publish", text(board.path()), "a/board:1"]).fails(2);
    assert!(nowhere.stderr.contains("names no registry") && nowhere.stderr.contains("ALLOY_REGISTRY"));
    hub(&store, place.path(), &["publish", text(place.path()), &name]).fails(2);
    let windows = blueprint(&[
        ("manifest.yml", "name: x\nversion: 1.0.0\nsupported_hosts: [windows/amd64]\nrun_order: [a.yml]\n"),
        ("a.yml", "- {name: a, action: write_env_file, file: /etc/a, content: a}\n"),
    ]);
    assert!(publish(windows.path(), &[]).fails(3).stderr.contains("no host that alloy knows"));
    // Platforms among the targets are hosts where no other is named.
    let targets = |hosts: &str| {
        let manifest = format!(
            "name: x\nversion: 1.0.0\n{hosts}targets: [linux/arm64, cortex-m33, linux/amd64]\nrun_order: [a.yml]\n"
        );
        std::fs::write(windows.path().join("manifest.yml"), manifest).unwrap();
        publish(windows.path(), &[])
    };
    assert!(targets("").ok().stderr.contains("for linux/amd64, linux/arm64: "));
    assert!(targets("supported_hosts: [linux/arm64]\n").ok().stderr.contains("for linux/arm64: "));
}

#[test]
fn a_project_is_listed_page_by_page() {
    let (registry, board, store, place) = (Registry::start(), board(), Store::new(), tempfile::tempdir().unwrap());
    for tag in ["1.9.0", "1.10.0", "latest"] {
        let name = registry.image(&format!("community/arm/board:{tag}"));
        hub(&store, place.path(), &["publish", text(board.path()), &name]).ok();
    }
    // More than a page of the registry's own, which is 100; and neighbours that do not count.
    let repositories = registry.blobs().join("../../repositories");
    let script = "cd \"$0\" && for n in $(seq 100 220); do cp -r community/arm/board community/arm/b$n; done && \
                  mkdir communityx && cp -r community/arm/board communityx/board";
    tool("sh", &["-c", script, text(&repositories)]).ok();
    let image = registry.artifact("community/image", &[]);
    let image = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": image["config"], "layers": []});
    registry.put_manifest("community/image", "1", &image);
    let list = |registry: &str, project: &str| {
        let arguments = ["clone", "--list", project, "--registry", registry, "--format", "json"];
        let listed: Vec<Value> = serde_json::from_str(&hub(&store, place.path(), &arguments).ok().stdout).unwrap();
        listed
    };
    let listed = list(&registry.address, "community");
    assert_eq!(listed.len(), 122);
    let expected = json!({
        "name": "community/arm/b100",
        "repository": registry.image("community/arm/b100"),
        "tags": ["1.10.0", "1.9.0", "latest"],
        "description": "What a board needs.",
    });
    assert_eq!(listed[0], expected);
    assert_eq!(listed[121]["name"], json!("community/arm/board"));
    assert_eq!(list(&registry.address, "community/arm/b22").len(), 0);
    // A registry with a path in front of all names.
    assert_eq!(list(&registry.image("community"), "arm/b220")[0]["name"], json!("arm/b220"));

    // A registry that does not say what it has still knows the tags of a name.
    let proxy = Proxy::with(&registry.address, vec![Rule::on("GET", "_catalog", Fault::status(404)).always()]);
    assert_eq!(list(&proxy.address, "community/arm/board")[0]["tags"], expected["tags"]);
    let unknown = hub(&store, place.path(), &["clone", "--list", &proxy.image("community")]).fails(4);
    assert!(unknown.stderr.contains("does not say what it has"), "{}", unknown.stderr);
}

#[test]
fn what_depends_on_a_variable_is_not_said_to_be_unpinned() {
    let (registry, store, place) = (Registry::start(), Store::new(), tempfile::tempdir().unwrap());
    let manifest = "name: Test\nversion: 1.0.0\nrun_order: [tasks.yml]\nrequired_env: [{name: WHICH}]\n";
    let work = |which: &str| {
        format!(
            "- {{name: tool, action: get_file, url: 'https://a.example/{which}.tar', dest: /opt/tool.tar}}\n\
             - {{name: sdk, action: git_clone, url: 'https://a.example/sdk.git', revision: '{which}', dest: /opt/sdk}}\n"
        )
    };
    let name = registry.image("a/board:1");
    let publish = |which: &str| {
        let blueprint = blueprint(&[("manifest.yml", manifest), ("tasks.yml", &work(which))]);
        hub(&store, place.path(), &["publish", text(blueprint.path()), &name])
    };
    let said = publish("v1").fails(3).stderr;
    assert!(said.contains("nothing pins the download of https://a.example/v1.tar"), "{said}");
    assert!(said.contains("nothing pins `v1` of https://a.example/sdk.git"), "{said}");
    publish("{{.Vars.WHICH}}").ok();
    // What is refused there is told before, by whoever checks.
    let check = |which: &str, more: &[&str]| {
        let blueprint = blueprint(&[("manifest.yml", manifest), ("tasks.yml", &work(which))]);
        store.run(&[&["check", text(blueprint.path())], more].concat())
    };
    let told = check("v1", &[]).ok().stdout;
    assert!(told.contains("nothing pins the download of https://a.example/v1.tar"), "{told}");
    assert!(told.contains("nothing pins `v1` of https://a.example/sdk.git") && told.contains("2 warnings"), "{told}");
    assert!(check("v1", &["--strict"]).fails(1).stdout.contains("2 errors, 0 warnings"));
    assert!(check("{{.Vars.WHICH}}", &["--strict"]).ok().stdout.contains("0 errors, 0 warnings"));
}

#[test]
fn a_full_disk_is_named_where_a_blueprint_is_cloned_to() {
    let (registry, store, place) = (Registry::start(), Store::new(), tempfile::tempdir().unwrap());
    let name = registry.image("a/board:1");
    let board = board();
    hub(&store, place.path(), &["publish", text(board.path()), &name, "--allow-unpinned"]).ok();
    let script =
        "mount -t tmpfs -o size=64k,mode=755 none /mnt && mkdir /mnt/here && { cat /dev/zero > /mnt/fill; \"$@\"; }";
    for directory in ["/mnt/new", "/mnt/here"] {
        let mut command = std::process::Command::new("unshare");
        command.args(["--mount", "sh", "-c", script, "sh", crate::support::ALLOY]);
        command.args(["clone", name.as_str(), "-o", directory]).env("ALLOY_HOME", store.path().join("store"));
        let said = crate::support::run(&mut command).fails(1).stderr;
        assert!(said.contains("the disk at /mnt has 0 KiB free of 64 KiB"), "{directory}: {said}");
        assert!(said.contains("hint: make room on that disk"), "{directory}: {said}");
    }
}
