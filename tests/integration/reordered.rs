//! What a task leaves is what the blueprint has as the last word, also when another task was the last one before.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::host::Host;
use crate::support::{Store, blueprint, text};

const MANIFEST: &str = "name: Reordered\nversion: 1.0.0\nrun_order: [a.yml]\n";
const A: &str = "- {name: A, action: write_env_file, file: /etc/f, content: a}\n";
const B: &str = "- {name: B, action: write_env_file, file: /etc/f, content: b}\n";
const APPEND: &str = "- {name: Append, action: run_command, reason: test, command: echo + >> /etc/f}\n";
const SHELL: &str =
    "- {name: Shell, action: run_command, reason: test, command: echo shell > /etc/f, creates: /etc/f}\n";

#[test]
fn a_later_writer_that_is_taken_out_or_moved_has_the_last_word_no_more() {
    let (host, store) = (Host::debian(), Store::new());
    let steps = blueprint(&[("manifest.yml", MANIFEST), ("a.yml", "")]);
    let install = |tasks: &[&str], more: &[&str]| {
        fs::write(steps.path().join("a.yml"), tasks.concat()).unwrap();
        host.install(&store, steps.path(), more).ok()
    };
    let no_drift = || {
        let said = host.drift(&store, &["--blueprint-dir", text(steps.path())]).ok().stdout;
        assert!(said.starts_with("no drift: "), "{said}");
    };
    let is_done = |tasks: &[&str], count: &str, content: &str| {
        let said = install(tasks, &[]);
        assert!(said.stdout.starts_with(count), "{}{}", said.stdout, said.stderr);
        assert_eq!(host.read("etc/f"), content);
        no_drift();
        assert!(install(tasks, &[]).stdout.starts_with("0 done"));
        said.stderr
    };
    is_done(&[A, B], "2 done", "b");
    let said = install(&[A], &["--dry-run"]).stdout;
    assert!(said.contains("run   A: B made something else of /etc/f, and no longer comes after it"), "{said}");
    let said = is_done(&[A], "1 done", "a");
    assert!(said.contains("A runs: B made something else of /etc/f"), "{said}");
    is_done(&[A, B], "1 done, 1 skipped", "b");
    is_done(&[B, A], "1 done, 1 skipped", "a");
    is_done(&[B, A, APPEND], "1 done, 2 skipped", "a+\n");
    is_done(&[B, A], "1 done, 1 skipped", "a");
    // What somebody has made of it since is theirs: it is drift.
    is_done(&[A, B], "1 done, 1 skipped", "b");
    fs::write(host.at("etc/f"), "own\n").unwrap();
    assert!(install(&[A], &[]).stdout.starts_with("0 done"));
    assert_eq!(host.read("etc/f"), "own\n");
    host.drift(&store, &["--blueprint-dir", text(steps.path())]).fails(1);
    install(&[A], &["--repair"]);
    assert_eq!(host.read("etc/f"), "a");
}

#[test]
fn what_a_command_made_before_is_not_made_again_unasked() {
    let (host, store) = (Host::debian(), Store::new());
    let steps = blueprint(&[("manifest.yml", MANIFEST), ("a.yml", &[SHELL, A].concat())]);
    host.install(&store, steps.path(), &[]).ok();
    fs::write(steps.path().join("a.yml"), SHELL).unwrap();
    let said = host.install(&store, steps.path(), &[]).ok();
    assert!(said.stdout.starts_with("0 done"), "{}", said.stdout);
    assert!(
        said.stderr.contains("/etc/f stays as A has left it, which no longer comes after Shell"),
        "{}",
        said.stderr
    );
    host.install(&store, steps.path(), &["--repair"]).ok();
    assert_eq!(host.read("etc/f"), "shell\n");
}

#[test]
fn each_field_that_a_repair_leaves_wrong_is_told() {
    let (host, store) = (Host::debian(), Store::new());
    let steps = blueprint(&[("manifest.yml", MANIFEST), ("a.yml", SHELL)]);
    let repair = || host.install(&store, steps.path(), &["--repair"]);
    host.install(&store, steps.path(), &[]).ok();
    let path = host.at("etc/f");
    fs::write(&path, "evil\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let said = repair().fails(1);
    assert_eq!(host.read("etc/f"), "shell\n");
    assert!(said.stderr.contains("/etc/f (mode)"), "{}", said.stderr);
    let said = host.drift(&store, &["--blueprint-dir", text(steps.path())]).fails(1).stdout;
    assert!(said.starts_with("/etc/f: mode ") && said.ends_with("1 difference\n"), "{said}");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    host.drift(&store, &["--blueprint-dir", text(steps.path())]).ok();
}

#[test]
fn a_task_that_is_left_out_once_keeps_its_record() {
    let (host, store) = (Host::debian(), Store::new());
    let steps = blueprint(&[
        ("manifest.yml", "name: Left\nversion: 1.0.0\nvariables: {WHO: me}\nrun_order: [a.yml]\n"),
        (
            "a.yml",
            "- {name: A, action: write_env_file, file: /etc/f, content: a}\n\
         - {name: 'Of {{.Vars.WHO}}', action: write_env_file, file: /etc/f, content: b, exclude: [docker]}\n\
         - {name: Count, action: run_command, reason: test, command: echo x >> /srv/count, exclude: docker}\n",
        ),
    ]);
    let install = |more: &[&str]| host.install(&store, steps.path(), more).ok();
    let drift = || host.drift(&store, &["--blueprint-dir", text(steps.path())]).ok().stdout;
    assert!(install(&[]).stdout.starts_with("3 done"));
    let before = drift();
    for _ in 0..2 {
        let said = install(&["--docker"]);
        assert!(said.stdout.starts_with("0 done, 1 skipped") && !said.stderr.contains("no longer"), "{}", said.stderr);
        assert_eq!((host.read("etc/f").as_str(), drift()), ("b", before.clone()));
    }
    let said = install(&[]);
    assert!(said.stdout.starts_with("0 done, 3 skipped"), "{}{}", said.stdout, said.stderr);
    assert_eq!(host.read("srv/count"), "x\n");
    // One that is gone is gone.
    let tasks = fs::read_to_string(steps.path().join("a.yml")).unwrap();
    let first = tasks.lines().next().unwrap();
    fs::write(steps.path().join("a.yml"), first).unwrap();
    let said = install(&["--docker"]);
    assert!(said.stderr.contains("the blueprint no longer has Of me"), "{}", said.stderr);
    assert_eq!(host.read("etc/f"), "a");
}
