//! `copy`: files and directories of the blueprint, in images and on hosts.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use crate::support::host::Host;
use crate::support::hub::hub;
use crate::support::registry::Registry;
use crate::support::{Store, blueprint, shared, tasks, text, tool};

const TASKS: &str = "\
- {name: Tree, action: copy, source: conf, dest: /etc/app, excludes: ['**/*.orig'], owner: '7:8'}\n\
- {name: File, action: copy, source: conf/app.conf, dest: /etc/, mode: '0600'}\n\
- {name: Renamed, action: copy, source: conf/bin/tool, dest: /usr/local/bin/renamed}\n";

/// The base has no shell that could be asked for an environment.
fn of_tasks(tasks: &str) -> tempfile::TempDir {
    let manifest = "name: Test\nversion: 1.0.0\nrun_order: [tasks.yml]\nimage: {env_from_profile: false}\n";
    blueprint(&[("manifest.yml", manifest), ("tasks.yml", tasks)])
}

fn app() -> tempfile::TempDir {
    let blueprint = of_tasks(TASKS);
    let at = |name: &str| blueprint.path().join("conf").join(name);
    fs::create_dir_all(at("bin")).unwrap();
    fs::create_dir_all(at("empty")).unwrap();
    for name in ["app.conf", "app.conf.orig", "bin/tool", "bin/x.orig"] {
        fs::write(at(name), format!("{name}\n")).unwrap();
    }
    fs::set_permissions(at("bin/tool"), PermissionsExt::from_mode(0o700)).unwrap();
    blueprint
}

/// Mode and owner, and what it holds if it is a file.
#[track_caller]
fn seen(root: &Path, name: &str) -> (u32, u32, u32, String) {
    let path = root.join(name);
    let found = path.symlink_metadata().unwrap_or_else(|error| panic!("{name}: {error}"));
    let content = if found.is_file() { fs::read_to_string(&path).unwrap() } else { String::new() };
    (found.mode() & 0o7777, found.uid(), found.gid(), content)
}

/// A directory with no more than what a base has to have.
fn base(store: &Store) -> String {
    let root = store.path().join("root");
    fs::create_dir_all(root.join("etc")).unwrap();
    format!("rootfs:{}", text(&root))
}

#[track_caller]
fn as_told(root: &Path) {
    assert_eq!(seen(root, "etc/app"), (0o755, 7, 8, String::new()));
    assert_eq!(seen(root, "etc/app/app.conf"), (0o644, 7, 8, "app.conf\n".into()));
    assert_eq!(seen(root, "etc/app/bin/tool"), (0o755, 7, 8, "bin/tool\n".into()));
    assert_eq!(seen(root, "etc/app/empty"), (0o755, 7, 8, String::new()));
    assert!(!root.join("etc/app/app.conf.orig").exists() && !root.join("etc/app/bin/x.orig").exists());
    assert_eq!(seen(root, "etc/app.conf"), (0o600, 0, 0, "app.conf\n".into()));
    assert_eq!(seen(root, "usr/local/bin/renamed"), (0o755, 0, 0, "bin/tool\n".into()));
}

#[test]
fn an_image_has_what_the_blueprint_has_and_follows_it() {
    let (blueprint, store) = (app(), Store::new());
    let (base, out) = (base(&store), tempfile::tempdir().unwrap());
    let build = |name: &str| {
        let output = format!("type=dir,dest={}", text(&out.path().join(name)));
        store.build(&[text(blueprint.path()), "--base", &base, "-o", &output])["containerimage.digest"].clone()
    };
    let at = |name: &str| blueprint.path().join("conf").join(name);
    let first = build("first");
    as_told(&out.path().join("first"));
    // What a checkout may give another mode, and what is left out, changes nothing.
    fs::set_permissions(at("app.conf"), PermissionsExt::from_mode(0o600)).unwrap();
    fs::set_permissions(at("bin"), PermissionsExt::from_mode(0o700)).unwrap();
    fs::write(at("app.conf.orig"), "changed").unwrap();
    assert_eq!(build("same"), first);
    symlink("bin/tool", at("link")).unwrap();
    let linked = build("linked");
    assert_ne!(linked, first);
    assert_eq!(fs::read_link(out.path().join("linked/etc/app/link")).unwrap(), Path::new("bin/tool"));
    fs::remove_dir(at("empty")).unwrap();
    assert_ne!(build("removed"), linked);
    assert!(!out.path().join("removed/etc/app/empty").exists());
}

#[test]
fn no_directory_is_replaced_and_nothing_outside_is_copied() {
    let store = Store::new();
    let base = base(&store);
    let refused = |tasks_text: &str, code| {
        let blueprint = of_tasks(tasks_text);
        fs::create_dir_all(blueprint.path().join("conf")).unwrap();
        fs::write(blueprint.path().join("conf/x"), "x").unwrap();
        symlink("/etc/passwd", blueprint.path().join("out")).unwrap();
        store.run(&["build", text(blueprint.path()), "--base", &base]).fails(code).stderr
    };
    let copy = |source: &str, dest: &str| format!("- {{name: c, action: copy, source: {source}, dest: {dest}}}\n");
    let file = "- {name: w, action: write_env_file, file: /srv/x/y, content: z}\n";
    let said = refused(&format!("{file}{}", copy("conf/x", "/srv/x")), 1);
    assert!(said.contains("/srv/x is a directory"), "{said}");
    let said = refused(&format!("{file}{}", copy("conf", "/srv/x/y")), 1);
    assert!(said.contains("/srv/x/y is something that is no directory"), "{said}");
    let said = refused(&copy("out", "/srv/out"), 3);
    assert!(said.contains("leads out of the blueprint"), "{said}");
    let said = refused(&copy("missing", "/srv/missing"), 3);
    assert!(said.contains("tasks.yml:1:35: c: cannot read missing") && said.contains("╭"), "{said}");
}

#[test]
fn what_no_image_has_is_told() {
    let store = Store::new();
    let base = base(&store);
    let blueprint = of_tasks(
        "- {name: Names, action: copy, source: hosts, dest: /etc/hosts}\n\
         - {name: Passing, action: copy, source: hosts, dest: /tmp/x}\n\
         - {name: Kept, action: copy, source: hosts, dest: /etc/hosts.allow}\n\
         - {name: Tree, action: copy, source: tree, dest: /}\n\
         - {name: Archive, action: unpack, source: tree.tar, dest: /}\n\
         - {name: Through, action: copy, source: hosts, dest: /opt/e/hosts}\n\
         - {name: Below, action: copy, source: hosts, dest: /root/.cache/pip/below}\n\
         - {name: Id, action: copy, source: hosts, dest: /etc/machine-id}\n",
    );
    fs::create_dir(store.path().join("root/opt")).unwrap();
    symlink("/etc", store.path().join("root/opt/e")).unwrap();
    for path in ["tree/etc/resolv.conf", "tree/etc/motd", "tree/root/.cache/pip/x", "tree/dev/y"] {
        let path = blueprint.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
    let tar = ["-cf", "tree.tar", "-C", "tree", "etc", "root"];
    assert!(std::process::Command::new("tar").args(tar).current_dir(blueprint.path()).status().unwrap().success());
    fs::write(blueprint.path().join("hosts"), "127.0.0.1 x\n").unwrap();
    let said = store.run(&["build", text(blueprint.path()), "--base", &base]).ok().stderr;
    assert!(said.contains("Names (tasks.yml:1): what is written to /etc/hosts is in no image"), "{said}");
    for task in ["Tree (tasks.yml:4)", "Archive (tasks.yml:5)"] {
        let line = said.lines().find(|line| line.contains(task) && line.contains("is in no image")).unwrap_or_default();
        assert!(line.contains("/etc/resolv.conf") && line.contains("/root/.cache/pip"), "{task}: {said}");
        assert_eq!(line.contains("/dev/y"), task.starts_with("Tree"), "{line}");
        assert!(!line.contains("motd"), "{line}");
    }
    for told in [
        "Through (tasks.yml:6): what is written to /etc/hosts",
        "Below (tasks.yml:7): what is written to /root/.cache/pip",
        "Id (tasks.yml:8): what is written to /etc/machine-id",
    ] {
        assert!(said.contains(told), "{told}: {said}");
    }
    assert_eq!(said.matches("is in no image").count(), 6, "{said}");
}

#[test]
fn holes_take_no_room() {
    let (blueprint, store) = (of_tasks("- {name: c, action: copy, source: disk.img, dest: /srv/}\n"), Store::new());
    let base = base(&store);
    let disk = fs::File::create(blueprint.path().join("disk.img")).unwrap();
    disk.set_len(256 << 20).unwrap();
    disk.write_all_at(b"end", (256 << 20) - 3).unwrap();
    store.build(&[text(blueprint.path()), "--base", &base, "-t", "holes"]);
    let found = tool("find", &[text(store.path()), "-name", "disk.img", "-printf", "%s %b\\n"]).stdout;
    let sizes: Vec<u64> = found.split_whitespace().map(|number| number.parse().unwrap()).collect();
    let [size, blocks] = sizes.as_slice() else { panic!("{found}") };
    assert!(*size == 256 << 20 && blocks * 512 < 1 << 20, "{found}");
}

#[test]
fn a_published_blueprint_has_what_it_copies() {
    let (registry, blueprint, store) = (Registry::start(), app(), Store::new());
    let (place, base) = (tempfile::tempdir().unwrap(), base(&store));
    let name = registry.image("community/app:1");
    hub(&store, place.path(), &["publish", text(blueprint.path()), &name]).ok();
    hub(&store, place.path(), &["clone", &name, "-o", "app"]).ok();
    let clone = place.path().join("app");
    assert!(!clone.join("conf/app.conf.orig").exists());
    let build = |directory: &Path| {
        store.build(&[text(directory), "--base", &base, "--no-cache"])["containerimage.digest"].clone()
    };
    assert_eq!(build(&clone), build(blueprint.path()));
}

#[test]
fn a_host_gets_the_same_and_keeps_what_else_it_has() {
    let (blueprint, host, store) = (app(), Host::debian(), shared());
    fs::create_dir_all(host.at("etc/app/bin")).unwrap();
    fs::write(host.at("etc/app/own"), "own").unwrap();
    fs::set_permissions(host.at("etc/app"), PermissionsExt::from_mode(0o711)).unwrap();
    host.install(store, blueprint.path(), &[]).ok();
    // Directories that were there stay as they were, with what is in them.
    assert_eq!(seen(host.path(), "etc/app"), (0o711, 0, 0, String::new()));
    assert_eq!(seen(host.path(), "etc/app/own"), (0o644, 0, 0, "own".into()));
    assert_eq!(seen(host.path(), "etc/app/bin/tool"), (0o755, 7, 8, "bin/tool\n".into()));
    assert_eq!(seen(host.path(), "etc/app/empty"), (0o755, 7, 8, String::new()));
    let drift = || host.drift(store, &["--blueprint-dir", text(blueprint.path())]);
    drift().ok();
    fs::write(host.at("etc/app/app.conf"), "changed\n").unwrap();
    let said = drift().fails(1).stdout;
    assert!(said.contains("/etc/app/app.conf"), "{said}");
    fs::write(blueprint.path().join("conf/app.conf"), "new\n").unwrap();
    host.install(store, blueprint.path(), &[]).ok();
    assert_eq!(seen(host.path(), "etc/app/app.conf").3, "new\n");
    assert_eq!(seen(host.path(), "etc/app.conf"), (0o600, 0, 0, "new\n".into()));
}

#[test]
fn patterns_that_cannot_be_meant_are_told() {
    let task =
        "- {name: a, action: copy, source: src, dest: /opt/a, excludes: [src/a.c, '{a,b}.c', __pycache__, a.c]}\n";
    let blueprint = tasks(task);
    std::fs::create_dir(blueprint.path().join("src")).unwrap();
    std::fs::write(blueprint.path().join("src/a.c"), "").unwrap();
    let said = shared().run(&["check", text(blueprint.path())]).ok().stdout;
    for pattern in ["src/a.c", "{a,b}.c"] {
        assert!(said.contains(&format!("`{pattern}` in `excludes` leaves nothing out")), "{said}");
    }
    assert!(said.contains("0 errors, 2 warnings"), "what a build leaves behind may be missing: {said}");
}
