//! Images for other architectures than this machine's: what runs, by whom, and what needs nobody to run it.

use std::path::Path;

use crate::platforms::{MANIFEST, Several, WORDS, parsed, platforms};
use crate::support::{ALLOY, Ended, Store, blueprint, shared, text};

/// alloy where `/proc/sys/fs/binfmt_misc` is a directory of these files; `None` where the kernel has no such thing.
fn with_binfmt(store: &Store, files: &[(&str, &str)], arguments: &[&str]) -> Option<Ended> {
    let place = "/proc/sys/fs/binfmt_misc";
    if !Path::new(place).exists() {
        return None;
    }
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    let script = format!("mount --bind {} {place} && exec \"$@\"", text(directory.path()));
    let mut command = std::process::Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script, "sh", ALLOY, "--progress=plain"]).args(arguments);
    Some(crate::support::run(command.env("ALLOY_HOME", store.path().join("store"))))
}

#[test]
fn only_commands_need_an_emulator() {
    let (several, store) = (Several::new(), Store::new());
    let on = ("status", "enabled\n");
    let commands = blueprint(&[
        ("manifest.yml", MANIFEST),
        ("words.yml", WORDS),
        ("tools.yml", "- {name: Command, action: run_command, reason: test, command: 'true'}\n"),
    ]);
    let base = several.base();
    // Whether programs of MIPS are started cannot be tried out: what the list says counts.
    let arguments = |directory| ["build", directory, base.as_str(), "--platform", "linux/amd64,linux/mips"];
    let refused = |files: &[(&str, &str)], reasons: &[&str]| {
        let Some(ended) = with_binfmt(&store, files, &arguments(text(commands.path()))) else { return };
        let ended = ended.fails(5);
        let always = ["cannot run linux/mips programs", "tools.yml:1 needs it (Command)", "hint: as root: "];
        for reason in reasons.iter().chain(&always) {
            assert!(ended.stderr.contains(reason), "no {reason}: {}", ended.stderr);
        }
        assert!(!ended.stderr.contains("1/2]"), "a layer was begun: {}", ended.stderr);
    };
    refused(&[], &["binfmt_misc, which starts emulators, is not mounted", "mount -t binfmt_misc"]);
    refused(&[on], &["no emulator is registered"]);
    let entry = "enabled\ninterpreter /usr/bin/qemu-mips\nflags: OC\noffset 0\n\
                 magic 7f454c4601020100000000000000000000020008\nmask ffffffffffffff00fffffffffffffffffffeffff\n";
    refused(&[on, ("any-name", entry)], &["`any-name` is registered without flag F"]);
    refused(&[on, ("off", &entry.replace("enabled", "disabled"))], &["`off` is switched off", "echo 1 >"]);
    // The login environment takes a shell.
    let manifest = "name: x\nversion: 1.0.0\nrun_order: [words.yml]\n";
    let profile = blueprint(&[("manifest.yml", manifest), ("words.yml", WORDS)]);
    if let Some(ended) = with_binfmt(&store, &[on], &arguments(text(profile.path()))) {
        assert!(ended.fails(5).stderr.contains("`env_from_profile: false`"));
    }
    // Files are files.
    let files = blueprint(&[("manifest.yml", &MANIFEST.replace(", tools.yml", "")), ("words.yml", WORDS)]);
    if let Some(ended) = with_binfmt(&store, &[on], &arguments(text(files.path()))) {
        ended.ok();
    }
}

#[test]
fn a_foreign_image_is_built_where_an_emulator_is() {
    let foreign = blueprint(&[
        ("manifest.yml", "name: Foreign\nversion: 1.0.0\nrun_order: [words.yml, tools.yml]\n"),
        ("words.yml", WORDS),
        (
            "tools.yml",
            "- {name: Package, action: apt_install, packages: [libcap2-bin]}\n\
             - {name: Machine, action: run_command, reason: test, command: uname -m > /srv/machine}\n",
        ),
    ]);
    let arguments = ["build", text(foreign.path()), "--platform", "linux/arm64", "-t", "foreign"];
    if !Path::new("/proc/sys/fs/binfmt_misc/qemu-aarch64").exists() && !cfg!(target_arch = "aarch64") {
        let refused = shared().run(&arguments).fails(5);
        assert!(refused.stderr.contains("cannot run linux/arm64 programs"), "{}", refused.stderr);
        return;
    }
    shared().run(&arguments).ok();
    let look = "cat /srv/machine; dpkg-query -W -f '${Architecture} ${Status}' libcap2-bin";
    let run = ["run", "foreign", "--", "sh", "-c", look];
    let seen = "aarch64\narm64 install ok installed";
    assert_eq!(shared().run(&run).ok().stdout, seen);
    // What is there needs no emulator; and one that only the list does not show is one.
    if let Some(ended) = with_binfmt(shared(), &[("status", "disabled\n")], &arguments) {
        ended.ok();
    }
    if let Some(ended) = with_binfmt(shared(), &[], &run) {
        assert_eq!(ended.ok().stdout, seen);
    }
}

/// The kernel runs 32-bit programs by itself; what is refused to 64-bit ones is refused to them.
#[cfg(target_arch = "x86_64")]
#[test]
fn a_forerunner_is_as_confined_as_the_machine_itself() {
    let commands = "uname -m; dpkg --print-architecture; dmesg 2>&1; date -s 2001-01-01 2>&1";
    let task = format!(
        "- {{name: Look, action: run_command, reason: test, command: '{{ {commands}; }} > /srv/seen || true'}}\n"
    );
    let directory = crate::support::tasks(&task);
    let store = shared();
    let build = ["build", text(directory.path()), "--platform", "linux/amd64,linux/386", "-t", "forerunner"];
    let built = store.run(&build);
    if built.code == Some(4) && built.stderr.contains("/binary-i386/") {
        // Mirrors have days on which the index of this architecture is not the one that its release names.
        eprintln!("not tried: {}", built.stderr);
        return;
    }
    built.ok();
    let run = |platform: &str, command: &[&str]| {
        let arguments = [&["run", "--platform", platform, "forerunner", "--"], command].concat();
        store.run(&arguments).ok().stdout
    };
    for (platform, machine) in [("linux/amd64", "x86_64\namd64\n"), ("linux/386", "i686\ni386\n")] {
        let seen = run(platform, &["cat", "/srv/seen"]);
        assert!(seen.starts_with(machine), "{seen}");
        assert_eq!(seen.matches("Operation not permitted").count(), 2, "{seen}");
    }
    // Without a word about it, it is this machine's; and what is kept is kept of that one.
    assert_eq!(store.run(&["run", "forerunner", "uname", "-m"]).ok().stdout, "x86_64\n");
    store.run(&["run", "--rw", "--platform", "linux/386", "forerunner", "touch", "/srv/kept"]).ok();
    assert_eq!(run("linux/386", &["ls", "/srv"]), "kept\nseen\n");
    assert_eq!(run("linux/amd64", &["ls", "/srv"]), "seen\n");
    let inspected = parsed(&store.run(&["inspect", "forerunner"]).ok().stdout);
    assert_eq!(platforms(&inspected["index"]), ["linux/amd64", "linux/386"]);
    assert_eq!(inspected["images"][1]["digest"], inspected["index"]["manifests"][1]["digest"]);
}
