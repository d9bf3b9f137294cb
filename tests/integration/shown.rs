//! What is shown of a secret that turns up where nobody looked for it, and of names that would be lines of alloy's own.

use std::process::Command;

use serde_json::Value;

use crate::support::{ALLOY, Store, blueprint, run, shared, text};

const TOKEN: &str = "hunter2-in-a-name";

/// A blueprint of one command, which has the token.
fn command(command: &str) -> tempfile::TempDir {
    let manifest = "name: Shown\nversion: 1.0.0\nrun_order: [tasks.yml]\nrequired_env: [{name: MY_TOKEN}]\n";
    let tasks = format!("- {{name: x, action: run_command, reason: test, command: '{command}'}}\n");
    blueprint(&[("manifest.yml", manifest), ("tasks.yml", &tasks)])
}

#[test]
fn a_secret_in_the_name_of_a_file_is_not_shown() {
    let alloy = |arguments: &[&str]| {
        let mut command = shared().alloy(arguments);
        command.env("MY_TOKEN", TOKEN);
        command
    };
    let marked = command("touch \"/srv/.wh.$MY_TOKEN\"");
    let ended = run(&mut alloy(&["build", text(marked.path())])).fails(1);
    assert!(ended.stderr.contains("`/srv/.wh.***` cannot be in a layer"), "{}", ended.stderr);
    let named = command("date +%N > \"/srv/$MY_TOKEN\"");
    run(&mut alloy(&["build", text(named.path()), "-t", "shown"])).ok();
    for format in ["human", "json"] {
        let ended = run(&mut alloy(&["verify", "shown", "--format", format])).fails(1);
        let shown = ended.stdout + &ended.stderr;
        assert!(shown.contains("srv/***") && !shown.contains(TOKEN), "{shown}");
    }
}

#[test]
fn what_became_a_secret_is_not_shown_as_what_it_was() {
    let store = Store::with_base();
    let manifest = |secret: &str| {
        format!("name: Shown\nversion: 1.0.0\nrun_order: [tasks.yml]\nrequired_env: [{{name: PLACE{secret}}}]\n")
    };
    let tasks = "- {name: x, action: run_command, reason: test, command: 'echo {{.Vars.PLACE}}'}\n";
    let directory = blueprint(&[("manifest.yml", &manifest("")), ("tasks.yml", tasks)]);
    let alloy = |arguments: &[&str]| run(store.alloy(arguments).env("PLACE", TOKEN));
    alloy(&["build", text(directory.path())]).ok();
    std::fs::write(directory.path().join("manifest.yml"), manifest(", secret: true")).unwrap();
    for format in ["human", "json"] {
        let ended = alloy(&["plan", text(directory.path()), "--format", format]).ok();
        let shown = ended.stdout + &ended.stderr;
        assert!(shown.contains("changed from `echo ***`") && !shown.contains(TOKEN), "{shown}");
    }
}

#[test]
fn a_name_is_no_line_of_its_own() {
    let task = "- {name: \"x\\nerror: forged\\u2028\", action: run_command, reason: test, command: 'false'}\n";
    let directory = crate::support::tasks(task);
    for command in ["plan", "build"] {
        let ended = shared().run(&[command, text(directory.path())]);
        let shown = ended.stdout + &ended.stderr;
        assert!(shown.contains("x\\u{a}error: forged\\u{2028}"), "{shown}");
        assert!(!shown.lines().any(|line| line.starts_with("error: forged")), "{shown}");
    }
}

#[test]
fn json_steers_no_terminal() {
    let steering = "\u{9b}2J\u{9d}0;x\u{202e}\u{7f}";
    let manifest = "name: Shown\nversion: 1.0.0\nrun_order: [tasks.yml]\n\
                    image: {labels: {a: \"\\x9b2J\\x9d0;x\\u202e\\x7f\"}}\n";
    let tasks = "- {name: x, action: run_command, reason: test, command: 'printf \"\\302\\2332J\\302\\2350;x\\342\\200\\256\\177\\n\"'}\n";
    let directory = blueprint(&[("manifest.yml", manifest), ("tasks.yml", tasks)]);
    let mut build = Command::new(ALLOY);
    build.args(["build", text(directory.path()), "-t", "steering", "--no-cache", "--progress=json"]);
    let output = run(build.env("ALLOY_HOME", shared().path().join("store"))).ok().stderr;
    let inspected = shared().run(&["inspect", "steering"]).ok().stdout;
    for shown in [&output, &inspected] {
        assert!(!shown.contains(|c: char| steering.contains(c) && !"2J0;x".contains(c)), "{shown:?}");
    }
    let value: Value = serde_json::from_str(&inspected).unwrap();
    assert_eq!(value["config"]["config"]["Labels"]["a"], steering);
    let events = output.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    assert!(events.into_iter().any(|event| event["text"] == format!("{steering}\n")), "{output}");
}

#[test]
fn an_error_that_quotes_a_place_does_not_show_its_password() {
    let directory = crate::support::tasks("- {name: x, action: write_env_file, file: /srv/x, content: x}\n");
    let build = |option: &str, place: &str| {
        let words = ["build", text(directory.path()), "--base=deb:bookworm", option, place];
        words.map(str::to_owned).to_vec()
    };
    let login = ["login", "http://u:Given-pw-1@127.0.0.1:1"].map(str::to_owned).to_vec();
    let mut commands = vec![login];
    for place in
        ["corp:Given-pw-1@127.0.0.1:1", "http://corp:a/Given-pw-1@127.0.0.1:1", "http://c:Given-pw-1@127.0.0.1:1"]
    {
        commands.extend([build("--mirror", place), build("--cache-from", place), build("--compression", place)]);
    }
    for words in commands {
        let store = Store::new();
        let mut command = store.alloy(&words.iter().map(String::as_str).collect::<Vec<_>>());
        let ended = run(command.stdin(std::process::Stdio::null()));
        let shown = ended.stdout + &ended.stderr;
        assert!(ended.code != Some(0) && !shown.contains("Given-pw-1"), "{words:?}: {shown}");
    }
}
