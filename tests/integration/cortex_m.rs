//! The main job: `examples/cortex-m`.

use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::agree::unexplained;
use crate::support::host::Host;
use crate::support::registry::Registry;
use crate::support::user::User;
use crate::support::{cached, copy_of, digests, run, shared, text, tool};

/// The example with the assembler in place of the compiler, which is most of its bytes, built once in the shared store:
/// what is looked at file by file, and packed anew by slow tools, need not be large. README's commands build it whole.
fn small() -> &'static (TempDir, Value) {
    static SMALL: OnceLock<(TempDir, Value)> = OnceLock::new();
    SMALL.get_or_init(|| {
        let copy = copy_of("examples/cortex-m");
        let replace = |file: &str, from: &str, to: &str| {
            let file = copy.path().join(file);
            let source = std::fs::read_to_string(&file).unwrap();
            let (before, rest) = source.split_once(from).unwrap();
            let after = rest.split_once('\n').unwrap().1;
            std::fs::write(&file, format!("{before}{to}\n{after}")).unwrap();
        };
        replace("00-system.yml", "cmake, git, make, ninja-build, ", "git, make, python3, python3-pip]");
        replace("10-toolchain.yml", "gcc-arm-none-eabi, ", "binutils-arm-none-eabi]");
        replace("30-firmware.yml", "cmake -G Ninja ", "mkdir build");
        replace("30-firmware.yml", "cmake --build build", "echo nop | arm-none-eabi-as -o build/firmware.elf -");
        let built = shared().build(&[text(copy.path()), "-t", "arm-env"]);
        (copy, built)
    })
}

#[test]
fn root_and_an_ordinary_user_get_the_same_image() {
    let (copy, ours) = small();
    let user = User::new().with_base();
    let wheels = std::env::var("PIP_FIND_LINKS").map_or(String::new(), |links| format!("PIP_FIND_LINKS={links} "));
    let command =
        format!("{wheels}alloy build {} -t arm-env --metadata-file ~/m.json --progress plain", text(copy.path()));
    user.shell(&command).ok();
    let theirs: Value = serde_json::from_slice(&std::fs::read(user.home().join("m.json")).unwrap()).unwrap();
    assert_eq!(digests(ours), digests(&theirs));
    // Two stores, two users: one image.
    assert_eq!(ours["containerimage.digest"], theirs["containerimage.digest"]);
    let version = user.shell("alloy run arm-env arm-none-eabi-as --version").ok().stdout;
    assert!(version.starts_with("GNU assembler"), "{version}");
    // Without a network, at once, and with the same result.
    let offline = format!("{wheels}unshare -rn alloy build {} -t arm-env --progress plain", text(copy.path()));
    let again = user.shell(&offline).ok().stdout;
    assert!(again.contains(ours["containerimage.digest"].as_str().unwrap()), "{again}");
}

#[test]
fn the_second_build_needs_no_network_and_makes_nothing() {
    let (copy, _) = small();
    let mut command = Command::new("unshare");
    command.arg("-n").arg(crate::support::ALLOY).args(["build", text(copy.path()), "-t", "arm-env"]);
    command.args(["--progress", "json"]).env("ALLOY_HOME", shared().path().join("store"));
    let ended = run(&mut command).ok();
    let outcomes: Vec<Value> = ended.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ends: Vec<&Value> = outcomes.iter().filter(|event| event["event"] == "layer-ended").collect();
    assert_eq!(ends.len(), 6, "{}", ended.stderr);
    assert!(ends.iter().all(|event| event["outcome"] == "cached"), "{}", ended.stderr);
}

#[test]
fn a_change_in_the_last_file_makes_that_layer_alone() {
    let copy = copy_of(text(small().0.path()));
    let file = copy.path().join("30-firmware.yml");
    let source = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, source.replace("alloy on Cortex-M", "alloy, once more")).unwrap();
    let metadata = shared().build(&[text(copy.path()), "-t", "arm-env-changed"]);
    let cached = cached(&metadata);
    let (last, before) = cached.split_last().unwrap();
    assert_eq!(*last, ("30-firmware.yml".to_owned(), false));
    assert!(before.iter().all(|(_, cached)| *cached), "{before:?}");
}

#[test]
fn a_host_gets_what_the_image_has() {
    let (example, _) = small();
    let (host, image) = (Host::debian(), tempfile::tempdir().unwrap());
    let tree = image.path().join("root");
    shared().build(&[text(example.path()), "-o", &format!("type=dir,dest={}", text(&tree))]);
    // The user that the image's config asks for is a host's own affair.
    tool("chroot", &[text(host.path()), "useradd", "--create-home", "--shell", "/bin/bash", "--uid", "1000", "dev"])
        .ok();
    let ended = host.install(shared(), example.path(), &["--var", "DEV_USERNAME=dev"]).ok();
    assert!(ended.stdout.contains(" done"), "{}", ended.stdout);
    let unexplained = unexplained(&tree, host.path());
    assert!(unexplained.is_empty(), "{unexplained:#?}");
    assert!(host.drift(shared(), &["--image", "arm-env"]).ok().stdout.starts_with("no drift: "));
}

#[test]
fn foreign_tools_read_what_was_pushed() {
    let (_, built) = small();
    let registry = Registry::start();
    let image = registry.image("team/arm-env:1");
    shared().run(&["push", "arm-env", &image]).ok();
    // Nothing is sent twice.
    let again = shared().run(&["push", "arm-env", &image]).ok();
    assert!(again.stderr.contains("is there already"), "{}", again.stderr);

    let remote = format!("docker://{image}");
    let inspected = tool("skopeo", &["inspect", "--tls-verify=false", &remote]).ok().stdout;
    let inspected: Value = serde_json::from_str(&inspected).unwrap();
    assert_eq!(inspected["Digest"], built["containerimage.digest"]);
    assert_eq!(inspected["Labels"]["org.opencontainers.image.version"], "1.0.0");
    let path = inspected["Env"].as_array().unwrap().iter().find(|v| v.as_str().unwrap().starts_with("PATH=")).unwrap();
    assert!(path.as_str().unwrap().split(':').any(|directory| directory == "/opt/cortex-m/bin"), "{path}");

    // Older tools know gzip alone: skopeo makes it of our zstd, and so reads every byte.
    let place = tempfile::tempdir().unwrap();
    let layout = format!("oci:{}/layout:arm-env", text(place.path()));
    let gzip = ["--dest-compress", "--dest-compress-format", "gzip", "--dest-compress-level", "1"];
    let mut copy = vec!["copy", "-q", "--src-tls-verify=false"];
    copy.extend(gzip);
    copy.extend([remote.as_str(), layout.as_str()]);
    tool("skopeo", &copy).ok();
    let layout = format!("{}/layout", text(place.path()));
    tool("oci-image-tool", &["validate", "--type", "image", "--ref", "name=arm-env", &layout]).ok();
    let bundle = format!("{}/bundle", text(place.path()));
    tool("umoci", &["unpack", "--image", &format!("{layout}:arm-env"), &bundle]).ok();

    // What a CI job has: no login shell, no `source`.
    let config_path = format!("{bundle}/config.json");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&config_path).unwrap()).unwrap();
    assert_eq!(config["process"]["user"]["uid"], 1000);
    config["process"]["terminal"] = false.into();
    config["process"]["args"] = serde_json::json!([
        "sh",
        "-c",
        "arm-none-eabi-as --version; fw-size --version; west --version; cat firmware/main.c"
    ]);
    config["process"].as_object_mut().unwrap().remove("rlimits");
    config["mounts"].as_array_mut().unwrap().retain(|mount| mount["destination"] != "/sys/fs/cgroup");
    std::fs::write(&config_path, config.to_string()).unwrap();
    // crun refuses some machines' control groups, and needs none here.
    let name = format!("alloy-test-{}", std::process::id());
    let script = format!(
        "umount -R /sys/fs/cgroup 2>/dev/null; mount -t tmpfs none /sys/fs/cgroup; \
         cd {bundle} && crun --cgroup-manager=disabled run {name}"
    );
    let printed = tool("unshare", &["-m", "sh", "-c", &script]).ok().stdout;
    for wanted in ["arm-none-eabi", "GNU size", "West version", "alloy on Cortex-M"] {
        assert!(printed.contains(wanted), "{wanted} is not in:\n{printed}");
    }
}
