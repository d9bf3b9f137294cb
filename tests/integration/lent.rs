//! What alloy lends to commands, and what commands can make of it: nothing that reaches past them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::user::User;
use crate::support::{Ended, blueprint, readable, repository, run, shared, tasks, text, tool};

/// Puts `target` in place of the package that a task lends to apt next, in every way that a command has.
fn trap(target: &Path) -> String {
    format!(
        "- name: trap\n  action: run_command\n  reason: test\n  command: |\n\
         \x20   mkdir -p /run/alloy/debs; ln -s {0} /run/alloy/debs/hello_2.10-3_amd64.deb\n\
         \x20   ln -s {0} /run/alloy/debs; mv /run/alloy /run/moved; rm -rf /run/alloy; rmdir /run/alloy\n\
         \x20   mkdir -p /run/alloy/debs; ln -s {0} /run/alloy/debs/hello_2.10-3_amd64.deb; touch /run/alloy/made\n\
         \x20   mount -o remount,rw /run/alloy; test ! -e /run/moved -a ! -e /run/alloy/made &&\n\
         \x20   grep ' /run/alloy ro,nosuid,nodev' /proc/self/mountinfo\n",
        text(target)
    )
}

const HELLO: &str = "- {name: hello, action: apt_install, packages: [hello]}\n";

/// A pinned package is installed after a trap was set for it.
fn trapped(target: &Path, alloy: impl Fn(&str) -> Ended) {
    let blueprint = tasks(HELLO);
    let path = readable(&blueprint).to_owned();
    tool("chmod", &["a+rwx", &path]).ok();
    alloy(&format!("lock {path}")).ok();
    fs::write(blueprint.path().join("tasks.yml"), trap(target) + HELLO).unwrap();
    readable(&blueprint);
    let ended = alloy(&format!("build {path} --locked --no-cache -t trapped")).ok();
    assert!(ended.stderr.contains("trap"), "{}", ended.stderr);
    alloy("run trapped hello --version").ok();
}

#[test]
fn what_is_lent_is_written_nowhere_else() {
    let alloy = |mode: &'static str| {
        move |arguments: &str| {
            let arguments: Vec<&str> = arguments.split(' ').collect();
            run(shared().alloy(&arguments).env("ALLOY_SANDBOX", mode))
        }
    };
    let place = tempfile::tempdir().unwrap();
    for (mode, victim, seen) in [
        // As root's worker sees the store.
        ("userns", shared().path().join("store/victim"), PathBuf::from("/mnt/store/victim")),
        ("privileged", place.path().join("victim"), place.path().join("victim")),
    ] {
        fs::write(&victim, "mine").unwrap();
        trapped(&seen, alloy(mode));
        assert_eq!(fs::read(&victim).unwrap(), b"mine", "{mode}");
        fs::remove_file(victim).unwrap();
    }
}

#[test]
fn what_is_lent_to_a_user_s_build_is_written_nowhere_else() {
    let user = User::new().with_base();
    let victim = user.home().join(".bashrc");
    let before = fs::read(&victim).unwrap();
    trapped(&victim, |arguments| user.shell(&format!("alloy {arguments}")));
    assert_eq!(fs::read(&victim).unwrap(), before);
}

#[test]
fn a_lockfile_names_packages_and_no_paths() {
    let blueprint = tasks(HELLO);
    let path = text(blueprint.path());
    shared().run(&["lock", path]).ok();
    let lock = blueprint.path().join("alloy.lock.yml");
    let pins = fs::read_to_string(&lock).unwrap();
    let outside = tempfile::tempdir().unwrap();
    for wrong in [format!("../../../../../../../..{}/hello", text(outside.path())), "a/../b".into(), "-o".into()] {
        fs::write(&lock, pins.replace("{package: hello,", &format!("{{package: {wrong},"))).unwrap();
        let ended = shared().run(&["build", path, "--locked", "--no-cache"]).fails(3);
        assert!(ended.stderr.contains("is not the name of a package"), "{}", ended.stderr);
    }
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

const SECRET: &str = "hunter2-of-the-site";

#[test]
fn an_image_that_is_run_is_lent_no_settings() {
    shared().build(&[text(&repository("examples/hello")), "-t", "lent"]);
    let script = "test -e /etc/hosts -a -d /run/alloy && ! grep -rs hunter2 /run/alloy && ! env | grep hunter2";
    let mut command = shared().alloy(&["run", "lent", "--", "sh", "-c", script]);
    command.env("PIP_INDEX_URL", format!("https://ann:{SECRET}@pip.example/simple"));
    run(command.env("ftp_proxy", format!("http://ann:{SECRET}@proxy.example"))).ok();
}

#[test]
fn a_profile_puts_nothing_of_the_machine_into_the_image() {
    let profile = "export SPELT=x$ftp_proxy OPTIONS=x$(cat /run/alloy/pip.conf | tr -d ' \\n') TOOLS=/opt/tools";
    let manifest = "name: Profile\nversion: 1.0.0\nrun_order: [tasks.yml]\n";
    let task = format!(
        "- {{name: profile, action: write_env_file, file: /etc/profile.d/site.sh, content: \"{}\"}}\n\
         - {{name: lent, action: run_command, reason: test, command: 'grep -q {SECRET} /run/alloy/pip.conf && test -n \"$ftp_proxy\"'}}\n",
        profile.replace('\\', "\\\\")
    );
    let blueprint = blueprint(&[("manifest.yml", manifest), ("tasks.yml", &task)]);
    let mut command = shared().alloy(&["build", text(blueprint.path()), "-t", "profile", "--no-cache"]);
    command.env("PIP_INDEX_URL", format!("https://ann:{SECRET}@pip.example/simple"));
    run(command.env("ftp_proxy", format!("http://ann:{SECRET}@proxy.example"))).ok();
    let inspected = shared().run(&["inspect", "profile"]).ok().stdout;
    assert!(inspected.contains("TOOLS=/opt/tools") && inspected.contains("\"SPELT=x\""), "{inspected}");
    assert!(!inspected.contains(SECRET), "{inspected}");
}
