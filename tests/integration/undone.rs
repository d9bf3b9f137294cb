//! What an earlier task makes anew, later tasks do again that had made something else of it.

use std::fs;

use crate::support::host::Host;
use crate::support::{Store, blueprint, text};

const MANIFEST: &str = "name: Undone\nversion: 1.0.0\nrun_order: [a.yml]\n";
const TASKS: &str = "- {name: Conf, action: copy, source: conf, dest: /etc/conf}\n\
                     - {name: Z, action: write_env_file, file: /etc/z, content: z}\n\
                     - {name: Stop, action: run_command, reason: test, command: test ! -e /srv/stop, always_run: true}\n\
                     - {name: Patch, action: run_command, reason: test, shell: strict, command: 'test ! -e /srv/fail; echo patched >> /etc/conf/x; cp /etc/conf/x /etc/z; touch /srv/patched', creates: /srv/patched}\n\
                     - {name: Last, action: run_command, reason: test, command: echo last >> /etc/z}\n\
                     - {name: Other, action: run_command, reason: test, command: echo other >> /etc/conf/y}\n";

#[test]
fn what_is_undone_is_done_again() {
    let (host, store) = (Host::debian(), Store::new());
    let steps = blueprint(&[("manifest.yml", MANIFEST), ("a.yml", TASKS)]);
    fs::create_dir(steps.path().join("conf")).unwrap();
    fs::write(steps.path().join("conf/x"), "x1\n").unwrap();
    fs::write(steps.path().join("conf/y"), "y\n").unwrap();
    let install = |more: &[&str]| host.install(&store, steps.path(), more);
    let drift = || host.drift(&store, &["--blueprint-dir", text(steps.path())]);
    install(&[]).ok();
    assert_eq!(host.read("etc/z"), "x1\npatched\nlast\n");
    // A command that always runs, and changes nothing, has nothing done again.
    assert!(install(&[]).ok().stdout.starts_with("1 done, 5 skipped"));

    fs::write(steps.path().join("conf/x"), "x2\n").unwrap();
    let said = install(&["--dry-run"]).ok().stdout;
    for line in [
        "run   Conf: ",
        "run   Patch: Conf makes /etc/conf/x anew\n",
        "run   Last: Patch makes /etc/z anew\n",
        "run   Other: Conf makes /etc/conf/y anew\n",
        "skip  Z: done ",
    ] {
        assert!(said.contains(line), "{line} is not in\n{said}");
    }
    let ended = install(&[]).ok();
    assert!(ended.stdout.starts_with("5 done, 1 skipped (1 done before)"), "{}{}", ended.stdout, ended.stderr);
    for line in [
        "Patch runs: Conf has made /etc/conf/x anew",
        "Last runs: Patch has made /etc/z anew",
        "Other runs: Conf has made /etc/conf/y anew",
    ] {
        assert!(ended.stderr.contains(line), "{line} is not in\n{}", ended.stderr);
    }
    assert_eq!([host.read("etc/conf/x"), host.read("etc/conf/y")], ["x2\npatched\n", "y\nother\n"]);
    assert_eq!(host.read("etc/z"), "x2\npatched\nlast\n");
    assert!(drift().ok().stdout.starts_with("no drift: "));
    assert!(install(&[]).ok().stdout.starts_with("1 done, 5 skipped"));

    // A run that ends in between leaves that to the next one.
    fs::write(steps.path().join("conf/x"), "x3\n").unwrap();
    fs::write(host.at("srv/stop"), "").unwrap();
    install(&[]).fails(1);
    assert_eq!(host.read("etc/conf/x"), "x3\n");
    let said = drift().fails(1).stdout;
    assert!(said.contains("Patch: what it did was undone: Conf has made /etc/conf/x anew"), "{said}");
    assert!(said.ends_with("; 1 task failed, 2 tasks undone\n"), "{said}");
    fs::remove_file(host.at("srv/stop")).unwrap();
    // Neither does one in which the task itself fails: its `creates` was there before.
    fs::write(host.at("srv/fail"), "").unwrap();
    install(&[]).fails(1);
    fs::remove_file(host.at("srv/fail")).unwrap();
    let said = install(&["--dry-run"]).ok().stdout;
    assert!(said.contains("run   Patch: Conf has made /etc/conf/x anew; then: the command failed"), "{said}");
    let ended = install(&[]).ok();
    assert!(ended.stdout.starts_with("4 done, 2 skipped"), "{}{}", ended.stdout, ended.stderr);
    assert_eq!(host.read("etc/z"), "x3\npatched\nlast\n");
    assert!(drift().ok().stdout.starts_with("no drift: "));

    // The same where only what differs is done.
    fs::write(host.at("etc/conf/y"), "spoilt").unwrap();
    let ended = install(&["--repair"]).ok();
    assert!(ended.stdout.starts_with("4 done, 2 skipped (2 not touched)"), "{}{}", ended.stdout, ended.stderr);
    assert_eq!(host.read("etc/z"), "x3\npatched\nlast\n");
    assert_eq!([host.read("etc/conf/x"), host.read("etc/conf/y")], ["x3\npatched\n", "y\nother\n"]);
    assert!(drift().ok().stdout.starts_with("no drift: "));
}
