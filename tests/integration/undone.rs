//! What an earlier task makes anew, later tasks do again that had made something else of it.

use std::fs;

use crate::support::host::Host;
use crate::support::{Store, blueprint, tasks, text, tool};

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

/// How many tasks a dry run says that would run.
fn foreseen(said: &str) -> &str {
    said.lines().last().unwrap().split(' ').next().unwrap()
}

#[test]
fn what_a_task_wrote_before_it_failed_is_its_work() {
    let line = "- {name: Line, action: write_env_file, file: /etc/conf/x, content: \"x1\\nline\\n\"}\n";
    let copy = "- {name: Conf, action: copy, source: conf, dest: /etc/conf}\n";
    let elsewhere = "- {name: Conf, action: copy, source: conf, dest: /etc/other}\n";
    // The file is no longer copied, the task copies elsewhere, it is called otherwise as well, and it is gone.
    for (changed, again) in [(copy, "2"), (elsewhere, "2"), (&elsewhere.replace("Conf", "Else"), "2"), ("", "1")] {
        let (host, store) = (Host::debian(), Store::new());
        let steps = blueprint(&[("manifest.yml", MANIFEST), ("a.yml", &(copy.to_owned() + line))]);
        let at = |path: &str| steps.path().join(path);
        fs::create_dir(at("conf")).unwrap();
        fs::write(at("conf/x"), "x1\n").unwrap();
        fs::write(at("conf/y"), "y\n").unwrap();
        let install = |more: &[&str]| host.install(&store, steps.path(), more);
        install(&[]).ok();
        // It does not get through, when it has written the first file.
        fs::write(at("conf/x"), "x2\n").unwrap();
        fs::remove_file(host.at("etc/conf/y")).unwrap();
        fs::create_dir(host.at("etc/conf/y")).unwrap();
        install(&[]).fails(1);
        assert_eq!(host.read("etc/conf/x"), "x2\n");
        fs::remove_dir(host.at("etc/conf/y")).unwrap();
        fs::remove_file(at("conf/x")).unwrap();
        fs::write(at("a.yml"), changed.to_owned() + line).unwrap();
        let said = install(&["--dry-run"]).ok().stdout;
        assert_eq!(foreseen(&said), again, "{changed}: {said}");
        let ended = install(&[]).ok();
        assert!(ended.stdout.starts_with(&format!("{again} done")), "{changed}: {}{}", ended.stdout, ended.stderr);
        assert_eq!(host.read("etc/conf/x"), "x1\nline\n", "{changed}: {}", ended.stderr);
        host.drift(&store, &["--blueprint-dir", text(steps.path())]).ok();
        assert!(install(&[]).ok().stdout.starts_with("0 done"));
    }
}

#[test]
fn what_is_no_longer_copied_is_not_foreseen_to_be() {
    let (host, store) = (Host::debian(), Store::new());
    let tasks = "- {name: Conf, action: copy, source: conf, dest: /etc/conf}\n\
                 - {name: Line, action: write_env_file, file: /etc/conf/x, content: \"line\\n\"}\n";
    let steps = blueprint(&[("manifest.yml", MANIFEST), ("a.yml", tasks)]);
    let at = |path: &str| steps.path().join(path);
    fs::create_dir(at("conf")).unwrap();
    fs::write(at("conf/x"), "x\n").unwrap();
    fs::write(at("conf/y"), "y\n").unwrap();
    let install = |more: &[&str]| host.install(&store, steps.path(), more);
    install(&[]).ok();
    fs::remove_file(at("conf/x")).unwrap();
    assert_eq!(foreseen(&install(&["--dry-run"]).ok().stdout), "1");
    assert!(install(&[]).ok().stdout.starts_with("1 done, 1 skipped"));
    assert_eq!(host.read("etc/conf/x"), "line\n");
}

#[test]
fn what_was_not_reached_is_not_new() {
    let (host, store) = (Host::debian(), Store::new());
    let tasks = "- {name: First, action: write_env_file, file: /etc/first/x, content: x}\n\
                 - {name: Second, action: write_env_file, file: /etc/second, content: x}\n";
    let steps = blueprint(&[("manifest.yml", MANIFEST), ("a.yml", tasks)]);
    let install = |more: &[&str]| host.install(&store, steps.path(), more);
    fs::write(host.at("etc/first"), "in the way").unwrap();
    install(&[]).fails(1);
    fs::remove_file(host.at("etc/first")).unwrap();
    let said = install(&["--dry-run"]).ok().stdout;
    assert!(said.contains("run   Second: it was not reached\n"), "{said}");
    let ended = install(&[]).ok();
    assert!(ended.stderr.contains("Second runs: it was not reached"), "{}", ended.stderr);
}

#[test]
fn an_edit_of_a_packages_file_is_made_again_after_the_package() {
    let (host, store) = (Host::debian(), Store::new());
    let tasks = "- {name: Packages, action: apt_install, packages: [tree]}\n\
                 - {name: Edit, action: run_command, reason: test, command: echo mine >> /usr/bin/tree}\n\
                 - {name: Other, action: run_command, reason: test, command: echo other > /srv/other}\n";
    let steps = blueprint(&[("manifest.yml", MANIFEST), ("a.yml", tasks)]);
    let install = |more: &[&str]| host.install(&store, steps.path(), more);
    let drift = || host.drift(&store, &["--blueprint-dir", text(steps.path())]);
    let is_edited = || fs::read(host.at("usr/bin/tree")).unwrap().ends_with(b"mine\n");
    install(&[]).ok();
    assert!(is_edited());
    assert!(drift().ok().stdout.starts_with("no drift: "));
    tool("chroot", &[text(host.path()), "dpkg", "--remove", "tree"]).ok();
    let said = install(&["--repair", "--dry-run"]).ok().stdout;
    assert_eq!(foreseen(&said), "2", "{said}");
    let ended = install(&["--repair"]).ok();
    assert!(ended.stdout.starts_with("2 done, 1 skipped"), "{}{}", ended.stdout, ended.stderr);
    assert!(is_edited());
    assert!(drift().ok().stdout.starts_with("no drift: "));
    // Who edits it by hand is told, too.
    fs::write(host.at("usr/bin/tree"), "by hand").unwrap();
    let said = drift().fails(1).stdout;
    assert!(said.contains("/usr/bin/tree: content   a.yml:2 (Edit)"), "{said}");
}

#[test]
fn what_somebody_does_until_a_task_is_tried_again_is_not_its_work() {
    let (host, store) = (Host::debian(), Store::new());
    let tasks = "- {name: Mine, action: write_env_file, file: /etc/mine, content: a}\n\
                 - {name: Shared, action: write_env_file, file: /etc/shared, content: a}\n\
                 - {name: Once, action: run_command, reason: r, shell: strict, command: 'test -e /srv/begun || echo b >> /etc/shared; touch /srv/begun; test -e /srv/ready'}\n";
    let steps = blueprint(&[("manifest.yml", MANIFEST), ("a.yml", tasks)]);
    host.install(&store, steps.path(), &[]).fails(1);
    fs::write(host.at("etc/mine"), "somebody's\n").unwrap();
    fs::write(host.at("srv/ready"), "").unwrap();
    host.install(&store, steps.path(), &[]).ok();
    let said = host.drift(&store, &["--blueprint-dir", text(steps.path())]).fails(1).stdout;
    assert!(said.contains("/etc/mine: content") && !said.contains("/etc/shared"), "{said}");
    host.install(&store, steps.path(), &["--repair"]).ok();
    assert_eq!([host.read("etc/mine"), host.read("etc/shared")], ["a", "ab\n"]);
    let said = host.drift(&store, &["--blueprint-dir", text(steps.path())]).ok().stdout;
    assert!(said.starts_with("no drift"), "{said}");
}

#[test]
fn a_record_of_a_task_that_is_gone_says_nothing_of_what_came_later() {
    let (host, store) = (Host::debian(), Store::new());
    let write = "- {name: write, action: write_env_file, file: /etc/two, content: \"one\\n\"}\n";
    let append = "- {name: append, action: run_command, reason: r, command: 'echo two >> /etc/two'}\n";
    let fail = "- {name: fail, action: run_command, reason: r, command: 'test -e /srv/ok'}\n";
    let blueprint = tasks(&format!("{write}{append}"));
    let place = blueprint.path().join("tasks.yml");
    host.install(&store, blueprint.path(), &[]).ok();
    fs::write(&place, format!("{append}{fail}")).unwrap();
    host.install(&store, blueprint.path(), &[]).fails(1);
    let said = host.drift(&store, &["--blueprint-dir", text(blueprint.path())]).fails(1).stdout;
    assert!(!said.contains("/etc/two"), "{said}");
    fs::write(host.at("srv/ok"), "").unwrap();
    host.install(&store, blueprint.path(), &["--repair"]).ok();
    assert_eq!(host.read("etc/two"), "one\ntwo\n");
}

#[test]
fn a_task_that_failed_and_was_mended_is_done_whatever_it_creates() {
    let (host, store) = (Host::debian(), Store::new());
    let with = |command: &str| {
        format!("- {{name: build, action: run_command, reason: r, command: '{command}', creates: /opt/tool}}\n")
    };
    let blueprint = tasks(&with("mkdir /opt/tool; exit 1"));
    host.install(&store, blueprint.path(), &[]).fails(1);
    fs::write(blueprint.path().join("tasks.yml"), with("mkdir -p /opt/tool; echo done > /opt/tool/bin")).unwrap();
    host.install(&store, blueprint.path(), &[]).ok();
    assert_eq!(host.read("opt/tool/bin"), "done\n");
    assert!(host.install(&store, blueprint.path(), &[]).ok().stdout.starts_with("0 done"));
}

#[test]
fn a_task_that_failed_and_was_taken_out_is_done_again_when_it_is_put_back() {
    let (host, store) = (Host::debian(), Store::new());
    let write = |command: &str| format!("- {{name: write, action: run_command, reason: r, command: '{command}'}}\n");
    let fail = "- {name: fail, action: run_command, reason: r, command: 'exit 1'}\n";
    let blueprint = tasks(&write("echo one > /etc/out"));
    let place = blueprint.path().join("tasks.yml");
    host.install(&store, blueprint.path(), &[]).ok();
    fs::write(&place, write("echo two > /etc/out; exit 1")).unwrap();
    host.install(&store, blueprint.path(), &[]).fails(1);
    for _ in 0..2 {
        fs::write(&place, fail).unwrap();
        host.install(&store, blueprint.path(), &[]).fails(1);
    }
    fs::write(&place, write("echo one > /etc/out")).unwrap();
    host.install(&store, blueprint.path(), &[]).ok();
    assert_eq!(host.read("etc/out"), "one\n");
}

#[test]
fn a_task_that_was_done_under_another_name_is_done_again_when_it_is_put_back() {
    let (host, store) = (Host::debian(), Store::new());
    let with = |name: &str, content: &str, last: &str| {
        format!(
            "- {{name: {name}, action: write_env_file, file: /etc/named, content: {content}}}\n\
             - {{name: last, action: run_command, reason: r, command: '{last}'}}\n"
        )
    };
    let blueprint = tasks(&with("a", "one", "true"));
    let place = blueprint.path().join("tasks.yml");
    host.install(&store, blueprint.path(), &[]).ok();
    fs::write(&place, with("b", "two", "exit 3")).unwrap();
    host.install(&store, blueprint.path(), &[]).fails(1);
    assert_eq!(host.read("etc/named"), "two");
    fs::write(&place, with("a", "one", "true")).unwrap();
    host.install(&store, blueprint.path(), &[]).ok();
    assert_eq!(host.read("etc/named"), "one");
    host.drift(&store, &["--blueprint-dir", text(blueprint.path())]).ok();
}

#[test]
fn the_failure_of_one_task_is_not_that_of_another_of_its_name() {
    let (host, store) = (Host::debian(), Store::new());
    let first = "- {name: x, action: run_command, reason: r, command: 'echo one >> /etc/names'}\n";
    let blueprint = tasks(&format!("{first}- {{name: x, action: run_command, reason: r, command: 'exit 1'}}\n"));
    host.install(&store, blueprint.path(), &[]).fails(1);
    fs::write(blueprint.path().join("tasks.yml"), first).unwrap();
    host.install(&store, blueprint.path(), &[]).ok();
    assert_eq!(host.read("etc/names"), "one\n");
    // The same where lines move between two runs that fail.
    let (before, fail) = (
        "- {name: p, action: run_command, reason: r, command: 'true'}\n",
        "- {name: x, action: run_command, reason: r, command: 'exit 1'}\n",
    );
    let again = first.replace("/etc/names", "/etc/moved");
    let place = blueprint.path().join("tasks.yml");
    fs::write(&place, format!("{before}{again}{fail}")).unwrap();
    host.install(&store, blueprint.path(), &[]).fails(1);
    fs::write(&place, format!("{again}{fail}")).unwrap();
    host.install(&store, blueprint.path(), &[]).fails(1);
    fs::write(&place, &again).unwrap();
    host.install(&store, blueprint.path(), &[]).ok();
    assert_eq!(host.read("etc/moved"), "one\n");
}

#[test]
fn a_task_that_failed_in_another_form_is_done_again_when_it_is_put_back() {
    let (host, store) = (Host::debian(), Store::new());
    let with = |command: &str| format!("- {{name: write, action: run_command, reason: r, command: '{command}'}}\n");
    let blueprint = tasks(&with("echo one > /etc/form"));
    let place = blueprint.path().join("tasks.yml");
    host.install(&store, blueprint.path(), &[]).ok();
    // Lines may move meanwhile.
    fs::write(&place, format!("# another form\n{}", with("echo two > /etc/form; exit 1"))).unwrap();
    host.install(&store, blueprint.path(), &[]).fails(1);
    assert_eq!(host.read("etc/form"), "two\n");
    fs::write(&place, with("echo one > /etc/form")).unwrap();
    let said = host.install(&store, blueprint.path(), &["--dry-run"]).ok().stdout;
    assert!(said.contains("run   write: it failed when it was another one, and was put back since"), "{said}");
    host.install(&store, blueprint.path(), &["--repair"]).ok();
    assert_eq!(host.read("etc/form"), "one\n");
    host.drift(&store, &["--blueprint-dir", text(blueprint.path())]).ok();
    assert!(host.install(&store, blueprint.path(), &[]).ok().stdout.starts_with("0 done"));
}
