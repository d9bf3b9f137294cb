//! What tasks print is there to be read: in plain lines, and in the log that each build leaves.

use crate::support::{Store, blueprint, text};

const TASKS: &str = "- {name: chatty, action: run_command, reason: test, command: 'echo one; echo $TOKEN; echo two >&2', env: {TOKEN: '{{.Vars.A_TOKEN}}'}}
- {name: fails, action: run_command, reason: test, command: 'echo three; exit 7'}
";

#[test]
fn what_tasks_print_is_shown_and_kept() {
    let store = Store::with_base();
    let manifest = "name: x\nversion: 1.0.0\nrequired_env: [{name: A_TOKEN}]\nrun_order: [a.yml]\n";
    let directory = blueprint(&[("manifest.yml", manifest), ("a.yml", TASKS)]);
    let build = |more: &[&str]| {
        let all = [&["build", text(directory.path()), "--no-attest", "--var", "A_TOKEN=hidden-word"], more].concat();
        store.run(&all).fails(1).stderr
    };
    let said = build(&[]);
    assert!(said.contains("[1/1]     one\n[1/1]     ***\n[1/1]     two\n"), "{said}");
    // What was shown as it came is not said again.
    assert!(said.contains("[1/1]     three\n") && said.matches("three\n").count() == 1, "{said}");
    assert!(!said.contains("its last output"), "{said}");
    let quieter = build(&["--task-output", "failures"]);
    assert!(!quieter.contains("     one") && quieter.contains("its last output:\n  three\n"), "{quieter}");
    let all = build(&["--task-output", "failures", "-v"]);
    assert!(all.contains("[1/1]     one"), "{all}");
    // The log has it all the same, and how the build ended.
    for number in ["1", "2", "3"] {
        let log = store.run(&["log", number]).ok().stdout;
        for part in ["build ", "[1/1]     one", "***", "[1/1]     three", "error: a.yml:2:10: fails"] {
            assert!(log.contains(part), "no `{part}` in {log}");
        }
        assert!(!log.contains("hidden-word"), "{log}");
    }
    assert_eq!(store.run(&["log", "--list"]).ok().stdout.lines().count(), 3);
    let said = store.run(&["log", "4"]).fails(1).stderr;
    assert!(said.contains("the store has 3 logs"), "{said}");
    for _ in 0..25 {
        store.run(&["build", "/nonexistent"]);
    }
    store.run(&["log"]).ok();
}
