//! Bases that are files of this machine: only those that may be read, only regular ones, and no more than there should be.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::support::{Ended, Store, blueprint, run, text, tool};

const TASKS: &str = "- {name: write, action: write_env_file, file: /srv/0, content: x}\n";
const LEADS_OUT: &str = "leads out of the blueprint's directory";

fn with_base(base: &str) -> TempDir {
    let manifest = format!(
        "name: Test\nversion: 1.0.0\nrun_order: [tasks.yml]\nimage: {{base: \"{base}\", env_from_profile: false}}\n"
    );
    blueprint(&[("manifest.yml", &manifest), ("tasks.yml", TASKS)])
}

/// A build with the manifest's base, or another; one that takes longer than any of these may ends with 124.
fn build(store: &Store, directory: &Path, base: Option<&str>) -> Ended {
    let mut command = Command::new("timeout");
    let alloy = store.alloy(&["build", text(directory), "-o", &format!("type=dir,dest={}/out", text(store.path()))]);
    command.arg("60").arg(alloy.get_program()).args(alloy.get_args());
    command.envs(alloy.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.args(base.map(|base| format!("--base={base}")));
    let _ = std::fs::remove_dir_all(store.path().join("out"));
    run(&mut command)
}

/// A layout of an image with `/etc/key`, of somebody else.
fn private() -> TempDir {
    let (place, store) = (tempfile::tempdir().unwrap(), Store::new());
    let root = place.path().join("root");
    std::fs::create_dir_all(root.join("etc")).unwrap();
    std::fs::write(root.join("etc/key"), "private").unwrap();
    let directory = with_base("deb:bookworm");
    let output = format!("type=oci,dest={}/oci", text(place.path()));
    let base = format!("rootfs:{}", text(&root));
    store.run(&["build", text(directory.path()), "--base", &base, "-o", &output]).ok();
    place
}

#[test]
fn a_plan_tells_of_a_base_for_another_platform_as_a_build_does() {
    let (private, store) = (private(), Store::new());
    let other = if cfg!(target_arch = "x86_64") { "linux/arm64" } else { "linux/amd64" };
    let directory = with_base("deb:bookworm");
    let docker = format!("type=docker-archive,dest={}/image.tar", text(private.path()));
    let rootfs = format!("rootfs:{}/root", text(private.path()));
    Store::new().run(&["build", text(directory.path()), "--base", &rootfs, "-o", &docker]).ok();
    let layout = format!("oci:{}/oci", text(private.path()));
    let archive = format!("docker-archive:{}/image.tar", text(private.path()));
    let command = |command: &str, base: &str, platform: &[&str]| {
        store.run(&[&[command, text(directory.path()), "--base", base], platform].concat())
    };
    let said = format!("has no image for {other}; it has linux/");
    let code = command("build", &layout, &["--platform", other]).code.unwrap();
    // A layout says it before anything was read of it, and an archive once it was read.
    for base in [&layout, &archive] {
        if base == &archive {
            command("plan", base, &["--platform", other]).ok();
            command("build", base, &["--platform", other]).fails(code);
        }
        let told = command("plan", base, &["--platform", other]).fails(code).stderr;
        assert!(told.contains(&said), "{base}: {told}");
        command("plan", base, &[]).ok();
    }
    let fresh = Store::new();
    let told = fresh.run(&["plan", text(directory.path()), "--base", &layout, "--platform", other]).fails(code).stderr;
    assert!(told.contains(&said), "{told}");
    // A directory says nothing of a platform.
    command("plan", &rootfs, &["--platform", other]).ok();
}

#[test]
fn links_of_a_layout_lead_no_further_than_the_blueprint() {
    let (private, store) = (private(), Store::new());
    let layout = private.path().join("oci");
    let directory = with_base("oci:o");
    let own = directory.path().join("o");
    std::fs::create_dir(&own).unwrap();
    symlink(layout.join("index.json"), own.join("index.json")).unwrap();
    symlink(layout.join("blobs"), own.join("blobs")).unwrap();
    let checked = store.run(&["check", text(directory.path())]).fails(1);
    assert!(checked.stdout.contains(LEADS_OUT), "{}", checked.stdout);
    let ended = build(&store, directory.path(), None).fails(3);
    assert!(ended.stderr.contains(LEADS_OUT) && ended.stderr.contains("manifest.yml:4:"), "{}", ended.stderr);
    // Whoever runs alloy may read it, and that is not remembered for the blueprint.
    build(&store, directory.path(), Some(&format!("oci:{}", text(&own)))).ok();
    assert!(store.path().join("out/etc/key").exists());
    build(&store, directory.path(), None).fails(3);
}

#[test]
fn the_name_of_a_suite_is_no_image() {
    let (directory, store) = (crate::support::tasks("[]\n"), Store::new());
    let config = directory.path().join("registries.conf");
    std::fs::write(&config, "[[registry]]\nprefix = \"docker.io\"\nlocation = \"127.0.0.1:1\"\n").unwrap();
    let build = |base: &str| {
        let arguments = ["build", text(directory.path()), "--base", base, "--registry-config", text(&config)];
        store.run(&arguments).fails(4).stderr
    };
    for (base, suite, image) in
        [("bookworm", "bookworm", "library/bookworm"), ("ubuntu:22.04", "jammy", "library/ubuntu")]
    {
        let said = build(base);
        assert!(said.contains(&format!("did you mean `deb:{suite}`, from the distribution's archive?")), "{said}");
        assert!(said.contains(&format!("docker.io/{image}")), "{said}");
    }
    assert!(!build("alpine").contains("did you mean"));
}

#[test]
fn blobs_of_a_layout_lead_no_further_than_the_blueprint() {
    let (private, store) = (private(), Store::new());
    let blobs = private.path().join("oci/blobs/sha256");
    let directory = with_base("oci:o");
    let own = directory.path().join("o/blobs/sha256");
    std::fs::create_dir_all(&own).unwrap();
    std::fs::copy(private.path().join("oci/index.json"), directory.path().join("o/index.json")).unwrap();
    for entry in std::fs::read_dir(&blobs).unwrap() {
        let name = entry.unwrap().file_name();
        symlink(blobs.join(&name), own.join(&name)).unwrap();
    }
    let ended = build(&store, directory.path(), None).fails(1);
    assert!(ended.stderr.contains("a link that is absolute or leads out leaves the blueprint's"), "{}", ended.stderr);
    // What was read through those links for somebody who may is nothing to the blueprint.
    build(&store, directory.path(), Some(&format!("oci:{}", text(&directory.path().join("o"))))).ok();
    let other = Store::new();
    build(&other, directory.path(), None).fails(1);
    // Links inside are as good as files.
    std::fs::remove_dir_all(directory.path().join("o/blobs")).unwrap();
    tool("cp", &["-r", text(&private.path().join("oci/blobs")), text(&directory.path().join("files"))]).ok();
    symlink("../files", directory.path().join("o/blobs")).unwrap();
    build(&other, directory.path(), None).ok();
    assert_eq!(std::fs::read_to_string(other.path().join("out/etc/key")).unwrap(), "private");
}

#[test]
fn links_in_a_root_file_system_are_its_content() {
    let (private, store) = (private(), Store::new());
    let directory = with_base("rootfs:root");
    let root = directory.path().join("root");
    std::fs::create_dir(&root).unwrap();
    symlink(private.path().join("root/etc"), root.join("etc")).unwrap();
    build(&store, directory.path(), None).ok();
    let out = store.path().join("out/etc");
    assert_eq!(std::fs::read_link(out).unwrap(), private.path().join("root/etc"));
    // The directory itself is not.
    std::fs::rename(&root, directory.path().join("real")).unwrap();
    symlink("real", &root).unwrap();
    build(&store, directory.path(), None).ok();
    std::fs::remove_file(&root).unwrap();
    symlink(private.path().join("root"), &root).unwrap();
    let ended = build(&store, directory.path(), None).fails(3);
    assert!(ended.stderr.contains(LEADS_OUT), "{}", ended.stderr);
}

#[test]
fn a_base_without_a_path_is_none() {
    let store = Store::new();
    for base in ["rootfs:", "oci:", "oci::v1", "oci-archive:", "docker-archive:"] {
        let directory = with_base(base);
        let ended = build(&store, directory.path(), None).fails(3);
        assert!(ended.stderr.contains("needs a path behind the colon"), "{base}: {}", ended.stderr);
        let checked = store.run(&["check", text(directory.path())]).fails(1);
        assert_eq!(checked.stdout.matches("needs a path behind the colon").count(), 1, "{base}: {}", checked.stdout);
    }
}

#[test]
fn nobody_waits_for_a_pipe_that_stands_for_a_base() {
    let store = Store::new();
    for (scheme, path) in [
        ("oci-archive", "f.tar"),
        ("docker-archive", "f.tar"),
        ("rootfs", "f.tar"),
        ("rootfs", "to-pipe"),
        ("oci", "layout"),
    ] {
        let directory = with_base(&format!("{scheme}:./{path}"));
        std::fs::create_dir(directory.path().join("layout")).unwrap();
        let at = |name: &str| directory.path().join(name);
        tool("mkfifo", &[text(&at("f.tar")), text(&at("layout/index.json"))]).ok();
        symlink("f.tar", at("to-pipe")).unwrap();
        for base in [None, Some(format!("{scheme}:{}", text(&at(path))))] {
            let ended = build(&store, directory.path(), base.as_deref()).fails(1);
            assert!(ended.stderr.contains("it is not a regular file"), "{scheme} {base:?}: {}", ended.stderr);
        }
    }
}
