//! Toolchains that are no archives: pip, west and git have them, and the lockfile pins what can be pinned.

use std::process::Command;

use crate::support::{Store, blueprint, run, shared, text};

/// A catalog with a tool of pip, the same on every platform, and a repository of git.
fn catalog(repository: &str) -> tempfile::TempDir {
    let version = |id: &str, provider: &str| {
        format!("spec_version: 1\nid: {id}\nversion: 1.3.0\nproviders:\n  - {{id: own, {provider}}}\n")
    };
    let index = |id: &str| {
        format!(
            "spec_version: 1\nid: {id}\ntype: index\naliases: {{stable: 1.3.0}}\n\
             versions: [{{version: 1.3.0, file: 1.3.0.yaml, status: stable}}]\n"
        )
    };
    let git = format!("method: git, url: '{repository}', version: v1");
    let place = |name: &str| format!("catalog/{name}");
    let files = [
        (place("tools/python/west/index.yaml"), index("tool.python.west")),
        (
            place("tools/python/west/1.3.0.yaml"),
            version("tool.python.west", "method: pip, package: west, version: 1.3.0"),
        ),
        (place("sdks/vendor/sources/index.yaml"), index("sdk.vendor.sources")),
        (place("sdks/vendor/sources/1.3.0.yaml"), version("sdk.vendor.sources", &git)),
    ];
    let directory = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    directory
}

#[test]
fn what_pip_and_git_have_is_pinned_offline_and_gives_its_variables() {
    let sources = tempfile::tempdir().unwrap();
    let script =
        "git init -q -b main . && git -c user.name=a -c user.email=a@a commit -q --allow-empty -m x && git tag v1";
    run(Command::new("sh").args(["-c", script]).current_dir(sources.path())).ok();
    let repository = format!("https://git.example{}", text(sources.path()));
    let catalog = catalog(&repository);
    let manifest = "name: T\nversion: 1.0.0\nrun_order: [tasks.yml]\nsupported_hosts: [linux/amd64, linux/arm64]\nimage: {env_from_profile: false}\n\
                    toolchains: [{ref: tool.python.west, alias: WEST}, {ref: sdk.vendor.sources, alias: SDK}]\n";
    let tasks = "- {name: a, action: write_env_file, file: /etc/a, content: '{{.Vars.WEST_VERSION}} {{.Vars.SDK_URL}} {{.Vars.SDK_VERSION}}'}\n";
    let blueprint = blueprint(&[("manifest.yml", manifest), ("tasks.yml", tasks)]);
    let path = text(blueprint.path());
    // Before: a warning of check, an error where somebody insists.
    let said = shared().run(&["check", path]).ok().stdout;
    assert!(said.contains("does not pin `tool.python.west`") && said.contains("alloy lock"), "{said}");
    assert!(
        said.contains("not pinned for linux/amd64, linux/arm64") && said.contains("0 errors, 2 warnings"),
        "{said}"
    );
    // So is it said once that there is no catalog.
    let nowhere = tempfile::tempdir().unwrap();
    let said = shared().run(&["lock", path, "--toolchains-only", "--catalog", text(nowhere.path())]).fails(3).stderr;
    assert_eq!(said.matches("there is no catalog in").count(), 1, "{said}");
    shared().run(&["check", "--strict", path]).fails(1);
    // As the existing tool resolves: no network, no sandbox, an empty store.
    let store = Store::new();
    let mut resolve = store.alloy(&["compat", "alloy-host", "resolve", path, "--catalog", text(catalog.path())]);
    run(resolve.env("https_proxy", "http://127.0.0.1:9").env("http_proxy", "http://127.0.0.1:9")).ok();
    let lock = std::fs::read_to_string(blueprint.path().join("alloy.lock.yml")).unwrap();
    for line in [
        "tool.python.west@stable: {package: west, method: pip, version: \"1.3.0\"}".to_owned(),
        format!("sdk.vendor.sources@stable: {{url: {repository}, method: git, version: v1}}"),
    ] {
        assert_eq!(lock.matches(&line).count(), 2, "{line}\n{lock}");
    }
    let checked = shared().run(&["check", path]).ok().stdout;
    assert!(checked.contains("0 errors, 0 warnings"), "{checked}");
    // The same where `targets` says it.
    std::fs::remove_file(blueprint.path().join("alloy.lock.yml")).unwrap();
    let targets = manifest.replace("supported_hosts: [", "targets: [cortex-m33, ");
    std::fs::write(blueprint.path().join("manifest.yml"), &targets).unwrap();
    run(&mut resolve).ok();
    assert_eq!(std::fs::read_to_string(blueprint.path().join("alloy.lock.yml")).unwrap(), lock);
    let root = store.path().join("root");
    std::fs::create_dir_all(root.join("etc")).unwrap();
    let image = store.path().join("image");
    let (base, output) = (format!("rootfs:{}", text(&root)), format!("type=dir,dest={}", text(&image)));
    store.run(&["build", path, "--base", &base, "-o", &output]).ok();
    assert_eq!(std::fs::read_to_string(image.join("etc/a")).unwrap(), format!("1.3.0 {repository} v1"));
    // A server that does not say which commit it is is worth a warning, which names the toolchain.
    let whole = ["lock", path, "--base", &base, "--catalog", text(catalog.path()), "--platform"];
    let here = if cfg!(target_arch = "x86_64") { "linux/amd64" } else { "linux/arm64" };
    let mut command = store.alloy(&[&whole[..], &[here]].concat());
    let said =
        run(command.env("https_proxy", "http://127.0.0.1:9").env("HTTPS_PROXY", "http://127.0.0.1:9")).ok().stderr;
    assert!(said.contains("the commit of sdk.vendor.sources@stable is not recorded: git failed"), "{said}");
    // Nothing is twice: a second time, it is current.
    let again = store.run(&["lock", path, "--toolchains-only", "--catalog", text(catalog.path())]).ok().stderr;
    assert!(again.contains("is current"), "{again}");
    // One that only a task names is pinned by nobody.
    let unlisted = format!("{tasks}- {{name: b, action: unarchive_from_ref, ref: toolchain.x.gcc, dest: /opt/b}}\n");
    std::fs::write(blueprint.path().join("tasks.yml"), &unlisted).unwrap();
    let only = |more: &[&str]| {
        store.run(&[&["lock", path, "--toolchains-only", "--catalog", text(catalog.path())], more].concat())
    };
    let said = only(&[]).fails(3).stderr;
    assert!(said.contains("does not list `toolchain.x.gcc`") && said.contains("tasks.yml:2:"), "{said}");
    let said = only(&["--check"]).fails(1).stderr;
    assert!(said.contains("does not list `toolchain.x.gcc`"), "{said}");
    std::fs::write(blueprint.path().join("tasks.yml"), tasks).unwrap();
    only(&["--check"]).ok();
    // What there is none of is told with the reason, and what is no archive is not unpacked.
    std::fs::write(
        blueprint.path().join("tasks.yml"),
        "- {name: a, action: get_file, url: '{{.Vars.WEST_URL}}', dest: /a}\n\
         - {name: b, action: unarchive_from_ref, ref: tool.python.west, dest: /opt/b}\n\
         - {name: c, action: unarchive_from_ref, ref: sdk.vendor.sources, dest: /opt/c}\n",
    )
    .unwrap();
    let said = store.run(&["build", path, "--base", &base]).fails(3).stderr;
    for part in ["has no URL of `tool.python.west`", "the package `west` of pip", "the git repository https://git"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

/// An archive that is there for one platform alone.
const GCC: &str = "spec_version: 1\nid: toolchain.x.gcc\nversion: 1.3.0\nproviders:\n  - id: archive\n    method: archive\n    \
                   host_platforms:\n      linux/amd64: {url: 'https://a.example/x.tar', sha256: SHA}\n";

fn with_gcc(platform: &str) -> tempfile::TempDir {
    let catalog = catalog("https://git.example/x");
    let place = catalog.path().join("catalog/toolchains/x/gcc");
    std::fs::create_dir_all(&place).unwrap();
    let index = "spec_version: 1\nid: toolchain.x.gcc\ntype: index\naliases: {stable: 1.3.0}\nversions: [{version: 1.3.0, file: 1.3.0.yaml}]\n";
    std::fs::write(place.join("index.yaml"), index).unwrap();
    let version = GCC.replace("SHA", &"ab".repeat(32)).replace("linux/amd64", platform);
    std::fs::write(place.join("1.3.0.yaml"), version).unwrap();
    catalog
}

const HERE: &str = if cfg!(target_arch = "x86_64") { "linux/amd64" } else { "linux/arm64" };
const ELSEWHERE: &str = if cfg!(target_arch = "x86_64") { "linux/arm64" } else { "linux/amd64" };

#[test]
fn a_platform_that_the_catalog_lacks_keeps_no_other_from_being_pinned() {
    let manifest = "name: T\nversion: 1.0.0\nrun_order: [tasks.yml]\nsupported_hosts: [linux/amd64, linux/arm64]\n\
                    image: {env_from_profile: false, base: scratch}\ntoolchains: [{ref: toolchain.x.gcc, alias: GCC}]\n";
    let tasks = "- {name: a, action: write_env_file, file: /etc/a, content: '{{.Vars.GCC_VERSION}}'}\n";
    let lock = |catalog: &tempfile::TempDir, more: &[&str]| {
        let blueprint = blueprint(&[("manifest.yml", manifest), ("tasks.yml", tasks)]);
        let ended =
            shared().run(&[&["lock", text(blueprint.path()), "--catalog", text(catalog.path())], more].concat());
        let lock = std::fs::read_to_string(blueprint.path().join("alloy.lock.yml")).unwrap_or_default();
        (ended, lock)
    };
    for more in [&[][..], &["--toolchains-only"]] {
        let (ended, text) = lock(&with_gcc(HERE), more);
        let said = ended.ok().stderr;
        let told = format!("nothing is pinned for {ELSEWHERE}: toolchain.x.gcc is there for {HERE} alone");
        assert!(said.contains(&told) && text.matches("toolchain.x.gcc@stable").count() == 1, "{said}{text}");
        // What this machine lacks, or what was asked for by name, is an error.
        let said = lock(&with_gcc(ELSEWHERE), more).0.fails(3).stderr;
        assert!(said.contains(&format!("`--platform {ELSEWHERE}` pins it for that alone")), "{said}");
        lock(&with_gcc(HERE), &[more, &["--platform", ELSEWHERE]].concat()).0.fails(3);
    }
}

#[test]
fn a_lockfile_of_another_machine_is_completed_for_this_one() {
    let catalog = catalog("https://git.example/x");
    let manifest =
        "name: T\nversion: 1.0.0\nrun_order: [tasks.yml]\ntoolchains: [{ref: tool.python.west, alias: WEST}]\n";
    let tasks = "- {name: a, action: write_env_file, file: /etc/a, content: '{{.Vars.WEST_VERSION}}'}\n";
    let pin = "{package: west, method: pip, version: 1.3.0}";
    let lock =
        format!("host: {ELSEWHERE}\ntoolchains:\n  tool.python.gone@stable: {pin}\n  tool.python.west@stable: {pin}\n");
    let blueprint = blueprint(&[("manifest.yml", manifest), ("tasks.yml", tasks), ("alloy.lock.yml", &lock)]);
    let only = ["lock", text(blueprint.path()), "--toolchains-only", "--catalog", text(catalog.path())];
    shared().run(&[&only[..], &["--check"]].concat()).fails(1);
    shared().run(&only).ok();
    let now = std::fs::read_to_string(blueprint.path().join("alloy.lock.yml")).unwrap();
    assert!(now.matches("tool.python.west@stable").count() == 2 && now.contains(&format!("{HERE}:")), "{now}");
    assert!(now.contains(&format!("host: {ELSEWHERE}")) && !now.contains("gone"), "{now}");
    shared().run(&[&only[..], &["--check"]].concat()).ok();
}

#[test]
fn entries_of_other_tools_are_read() {
    let lock = |entry: &str| format!("host: linux/amd64\ntoolchains:\n  tool.python.west@stable: {{{entry}}}\n");
    let blueprint = blueprint(&[
        (
            "manifest.yml",
            "name: T\nversion: 1.0.0\nrun_order: [tasks.yml]\ntoolchains: [{ref: tool.python.west, alias: W}]\n",
        ),
        ("tasks.yml", "- {name: a, action: write_env_file, file: /etc/a, content: x}\n"),
        ("alloy.lock.yml", &lock("package: west, version: 1.3.0, method: pip")),
    ]);
    let path = text(blueprint.path());
    shared().run(&["check", path, "--strict"]).ok();
    for (entry, part) in [
        ("method: pip, version: '1'", "has no `package`"),
        ("method: git, url: 'https://a.example/x'", "has no `version`"),
        ("method: west, url: 'https://a.example/x', version: v1, commit: 12", "is not a commit"),
        ("method: archive, url: 'https://a.example/x'", "has no `sha256`"),
    ] {
        std::fs::write(blueprint.path().join("alloy.lock.yml"), lock(entry)).unwrap();
        let said = shared().run(&["check", path]).fails(1).stdout;
        assert!(said.contains(part), "{entry}: {said}");
    }
}

/// Lockfiles of other tools have keys without versions: such a key is no pin of another version than its own.
#[test]
fn a_key_without_a_version_pins_no_other_version() {
    let catalog = catalog("https://git.example/x");
    let lock = "host: linux/amd64\ntoolchains:\n  tool.python.west: {package: west, version: 1.2.0, method: pip}\n";
    let manifest = "name: T\nversion: 1.0.0\nrun_order: [tasks.yml]\nsupported_hosts: [linux/amd64]\n\
                    image: {env_from_profile: false}\ntoolchains: [{ref: tool.python.west@1.3.0, alias: WEST}]\n";
    let tasks = "- {name: a, action: write_env_file, file: /etc/a, content: '{{.Vars.WEST_VERSION}}'}\n";
    let blueprint = blueprint(&[("manifest.yml", manifest), ("tasks.yml", tasks), ("alloy.lock.yml", lock)]);
    let (path, place) = (text(blueprint.path()), blueprint.path().join("alloy.lock.yml"));
    let store = Store::new();
    let said = store.run(&["check", path]).ok().stdout;
    assert!(said.contains("does not pin `tool.python.west@1.3.0`") && said.contains("in version 1.2.0"), "{said}");
    store.run(&["check", "--strict", path]).fails(1);
    let root = store.path().join("root");
    std::fs::create_dir_all(root.join("etc")).unwrap();
    let (base, image) = (format!("rootfs:{}", text(&root)), store.path().join("image"));
    let output = format!("type=dir,dest={}", text(&image));
    let build = ["build", path, "--base", &base, "-o", &output, "--platform", "linux/amd64"];
    let said = store.run(&build).fails(3).stderr;
    assert!(said.contains("alloy lock"), "{said}");
    let said = store.run(&[&build[..], &["--locked"]].concat()).fails(3).stderr;
    assert!(said.contains("tool.python.west@1.3.0"), "{said}");
    let only = ["lock", path, "--toolchains-only", "--catalog", text(catalog.path())];
    store.run(&[&only[..], &["--check"]].concat()).fails(1);
    store.run(&only).ok();
    let now = std::fs::read_to_string(&place).unwrap();
    assert!(now.contains("tool.python.west@1.3.0: {package: west, method: pip, version: \"1.3.0\"}"), "{now}");
    assert!(!now.contains("tool.python.west:"), "{now}");
    store.run(&["check", "--strict", path]).ok();
    store.run(&build).ok();
    assert_eq!(std::fs::read_to_string(image.join("etc/a")).unwrap(), "1.3.0");
    // Of the version that stands there, it is the pin.
    let (asked, pinned) = (manifest.replace("@1.3.0", "@1.2.0"), lock);
    std::fs::write(blueprint.path().join("manifest.yml"), asked).unwrap();
    std::fs::write(&place, pinned).unwrap();
    store.run(&["check", "--strict", path]).ok();
}
