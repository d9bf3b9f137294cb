//! `--progress json`: all that a build says is for programs, how it ended included.

use serde_json::Value;

use crate::support::{Ended, Store, tasks, text};

/// All lines of standard error.
fn events(ended: &Ended) -> Vec<Value> {
    let parsed = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    ended.stderr.lines().map(parsed).collect()
}

#[test]
fn how_a_build_ends_is_an_event() {
    let store = Store::with_base();
    let write = "- {name: write, action: write_env_file, file: /srv/x, content: x}\n";
    let good = tasks(write);
    let ended = store.run(&["build", text(good.path()), "-t", "a:1", "-t", "b:2", "--progress=json"]).ok();
    let last = events(&ended).pop().unwrap();
    assert_eq!((&last["event"], &last["names"]), (&"result".into(), &serde_json::json!(["a:1", "b:2"])), "{last}");
    assert!(last["seconds"].is_f64(), "{last}");
    assert!(ended.stdout.trim_end().ends_with(last["digest"].as_str().unwrap()), "{} {last}", ended.stdout);

    let failing = tasks(&format!("{write}- {{name: fail, action: run_command, reason: test, command: exit 7}}\n"));
    let ended = store.run(&["build", text(failing.path()), "--progress=json"]).fails(1);
    let all = events(&ended);
    let (last, before) = (&all[all.len() - 1], &all[all.len() - 2]);
    assert_eq!((&before["event"], &before["outcome"]), (&"layer-ended".into(), &"failed".into()), "{before}");
    let begun = all.iter().rfind(|event| event["event"] == "layer-started").unwrap();
    assert_eq!(before["id"], begun["id"]);
    assert_eq!((&last["event"], &last["code"]), (&"error".into(), &1.into()), "{last}");
    assert_eq!(last["place"], "tasks.yml:2:10");
    assert!(last["message"].as_str().unwrap().contains("fail: the command failed (exit status 7)"), "{last}");
    assert!(last["hints"].to_string().contains("alloy run alloy-failed"), "{last}");

    let wrong = tasks("- {name: x, action: frobnicate}\n- {name: y, action: run_command}\n");
    let ended = store.run(&["build", text(wrong.path()), "--progress=json"]).fails(3);
    let last = events(&ended).pop().unwrap();
    assert_eq!((&last["event"], &last["code"]), (&"error".into(), &3.into()), "{last}");
    let lines: Vec<&Value> = last["problems"].as_array().unwrap().iter().map(|problem| &problem["line"]).collect();
    assert_eq!(lines, [1, 2]);
}
