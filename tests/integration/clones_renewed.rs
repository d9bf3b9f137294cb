//! Clones on a host that take the place of earlier ones: what was cut off, what stays, and whose is what.

use std::fs;

use crate::clones::{Install, clone};
use crate::support::{text, tool};

/// The state of an exchange for `now` that was cut off before it was recorded; `before` is what there was of it then.
fn cut_off(before: &str, now: &str) -> String {
    let blocks = |state: &str| state.split_inclusive("\n  - name: ").map(str::to_owned).collect::<Vec<_>>();
    let (before, now) = (blocks(before), blocks(now));
    let begun: Vec<&str> = now[1].lines().collect();
    let wrote = begun.iter().position(|line| line.starts_with("    wrote:")).unwrap();
    let rest = begun.iter().position(|line| line.starts_with("    fields:")).unwrap();
    let begun = [&begun[..wrote], &begun[rest..]].concat().join("\n");
    let was = before[1].lines().find(|line| line.contains(" fingerprint: ")).unwrap();
    let was = was.replace("fingerprint", "instead_of");
    let begun = begun.replace("outcome: done", &format!("outcome: failed\n    why: it was cut off\n{was}"));
    [before[0].as_str(), &before[1], &begun, &now[2]].concat()
}

#[test]
fn an_exchange_that_was_cut_off_is_gone_on_with() {
    let at = Install::new();
    let state = at.blueprint.path().join("alloy.state.yml");
    let read = || fs::read_to_string(&state).unwrap();
    at.install(&[]).ok();
    let first = read();
    at.ask_for("v2");
    at.install(&[]).ok();
    let cut = cut_off(&first, &read());
    // The new clone is there: it is what is wanted.
    fs::write(&state, &cut).unwrap();
    at.install(&[]).ok();
    at.is_as_if_fresh("v2");
    assert!(at.drift().ok().stdout.starts_with("no drift: "));
    assert_eq!(at.all().len(), 2, "{:?}", at.all());
    // What somebody has done to it since is theirs.
    fs::write(&state, &cut).unwrap();
    fs::write(at.host.at("opt/r/src/f"), "mine").unwrap();
    let said = at.install(&[]).fails(1).stderr;
    assert!(said.contains("/opt/r is what this task clones, and was changed since: src/f"), "{said}");
    fs::write(at.host.at("opt/r/src/f"), "two\n").unwrap();
    // A blueprint that asks for the earlier one again is not done.
    fs::write(&state, &cut).unwrap();
    at.ask_for("v1");
    let said = at.install(&[]).ok().stderr;
    assert!(said.contains("clone runs: it failed when it was another one, and was put back since"), "{said}");
    at.is_as_if_fresh("v1");
    assert!(at.drift().ok().stdout.starts_with("no drift: "));
    // The same where nothing was exchanged: an edit in the clone is refused.
    let place = at.host.at("opt/r");
    fs::remove_dir_all(&place).unwrap();
    let first = |name: &String| name.starts_with(".r.before-") && at.host.read(&format!("opt/{name}/src/f")) == "one\n";
    let kept = at.all().into_iter().find(first).unwrap();
    fs::rename(at.host.at("opt").join(kept), &place).unwrap();
    fs::write(&state, &cut).unwrap();
    at.ask_for("v2");
    fs::write(at.host.at("opt/r/src/f"), "mine").unwrap();
    let said = at.install(&[]).fails(1).stderr;
    assert!(said.contains("was changed since: src/f"), "{said}");
}

#[test]
fn what_is_in_a_clone_that_stays_is_not_recorded() {
    let at = Install::new();
    at.install(&[]).ok();
    let nested = "git init -q \"$0/nested\" && cd \"$0/nested\" && echo x > f && git add f";
    tool("sh", &["-c", nested, text(&at.host.at("opt/r"))]).ok();
    at.install(&["--forget"]).ok();
    let state = fs::read_to_string(at.blueprint.path().join("alloy.state.yml")).unwrap();
    assert!(state.contains("/opt/r/src/f") && !state.contains("nested"), "{state}");
    fs::remove_dir_all(at.host.at("opt/r/nested")).unwrap();
    assert!(at.drift().ok().stdout.starts_with("no drift: "));
    assert_eq!(at.all(), ["r"]);
}

#[test]
fn more_than_the_commit_may_be_another() {
    let at = Install::new();
    let ask = |more: &str| {
        let task = clone(&at.url, "v1").replacen("dest: /opt/r", &format!("dest: /opt/r{more}"), 1);
        fs::write(at.blueprint.path().join("tasks.yml"), task).unwrap();
    };
    ask(", submodules: false");
    at.install(&[]).ok();
    assert!(!at.host.at("opt/r/part/part.c").exists());
    ask("");
    at.install(&[]).ok();
    at.is_as_if_fresh("v1");
    ask(", owner: nobody, mode: '0700'");
    at.install(&[]).ok();
    assert_eq!(at.host.attributes("opt/r").2, 0o700);
    assert_eq!(at.host.attributes("opt/r/src/f").0, 65_534);
    assert!(at.drift().ok().stdout.starts_with("no drift: "));
}

#[test]
fn a_first_clone_that_was_cut_off_is_made_anew() {
    let at = Install::new();
    let state = at.blueprint.path().join("alloy.state.yml");
    at.install(&[]).ok();
    let whole = fs::read_to_string(&state).unwrap();
    let (head, rest) = whole.split_once("  - name: ").unwrap();
    let none = format!("{head}  - name: {rest}");
    let cut = cut_off(&none, &none);
    // Without what was there before.
    let second = cut.match_indices("  - name: ").nth(1).unwrap().0;
    fs::write(&state, format!("{head}{}", &cut[second..])).unwrap();
    fs::remove_dir_all(at.host.at("opt/r/src")).unwrap();
    fs::remove_file(at.host.at("opt/r/.git/index")).unwrap();
    let said = at.install(&[]).ok().stderr;
    assert!(said.contains("the earlier one is /opt/.r.before-"), "{said}");
    at.is_as_if_fresh("v1");
}

#[test]
fn tasks_of_one_name_have_a_clone_each() {
    let at = Install::new();
    let two = |one: &str, other: &str, revision: &str| {
        let task = |dest: &str| {
            format!("- {{name: clone, action: git_clone, url: '{}', revision: {revision}, dest: {dest}}}\n", at.url)
        };
        fs::write(at.blueprint.path().join("tasks.yml"), task(one) + &task(other)).unwrap();
    };
    two("/opt/a", "/opt/b", "v1");
    at.install(&[]).ok();
    two("/opt/a", "/opt/b", "v2");
    at.install(&[]).ok();
    let read = |path: &str| at.host.read(path);
    assert_eq!((read("opt/a/src/f"), read("opt/b/src/f")), ("two\n".to_owned(), "two\n".to_owned()));
    two("/opt/b", "/opt/a", "v1");
    at.install(&[]).ok();
    assert_eq!((read("opt/a/src/f"), read("opt/b/src/f")), ("one\n".to_owned(), "one\n".to_owned()));
    assert!(at.drift().ok().stdout.starts_with("no drift: "));
    // Tasks of other names that change places.
    let named = |first: &str, second: &str, revision: &str| {
        let text = format!(
            "- {{name: x, action: git_clone, url: '{0}', revision: {revision}, dest: {first}}}\n\
             - {{name: y, action: git_clone, url: '{0}', revision: {revision}, dest: {second}}}\n",
            at.url
        );
        fs::write(at.blueprint.path().join("tasks.yml"), text).unwrap();
    };
    named("/opt/c", "/opt/d", "v1");
    at.install(&[]).ok();
    named("/opt/d", "/opt/c", "v2");
    at.install(&[]).ok();
    assert_eq!((read("opt/c/src/f"), read("opt/d/src/f")), ("two\n".to_owned(), "two\n".to_owned()));
}

#[test]
fn a_clone_that_creates_holds_back_is_known_as_what_it_is() {
    let at = Install::new();
    let ask = |revision: &str| {
        let task = clone(&at.url, revision).replacen("dest: /opt/r", "dest: /opt/r, creates: /opt/r/link", 1);
        fs::write(at.blueprint.path().join("tasks.yml"), task).unwrap();
    };
    ask("v1");
    at.install(&[]).ok();
    ask("v2");
    let said = at.install(&[]).ok().stderr;
    assert!(said.contains("/opt/r/link exists") && !said.contains("no longer has"), "{said}");
    assert!(at.drift().ok().stdout.starts_with("no drift: "));
    fs::write(at.host.at("opt/r/src/f"), "mine").unwrap();
    assert!(at.drift().fails(1).stdout.contains("/opt/r/src/f: content"));
    fs::remove_file(at.host.at("opt/r/link")).unwrap();
    let said = at.install(&[]).fails(1).stderr;
    assert!(said.contains("/opt/r is this task's clone of v1, and was changed since: link, src/f"), "{said}");
}

#[test]
fn commits_of_later_tasks_and_of_submodules_are_known() {
    let at = Install::new();
    let git = "git -C /opt/r -c user.email=a -c user.name=a";
    let with = |revision: &str| {
        let command =
            format!("echo more > /opt/r/own && {git} add own && {git} commit -qm own && make -C /opt/r -n x || true");
        let later = format!("- {{name: commit, action: run_command, reason: r, command: '{command}'}}\n");
        fs::write(at.blueprint.path().join("tasks.yml"), clone(&at.url, revision) + &later).unwrap();
    };
    with("v1");
    at.install(&[]).ok();
    assert!(at.drift().ok().stdout.starts_with("no drift: "));
    fs::write(at.host.at("opt/r/src/f"), "spoilt").unwrap();
    at.install(&["--repair"]).ok();
    assert_eq!(at.host.read("opt/r/src/f"), "one\n");
    assert!(at.drift().ok().stdout.starts_with("no drift: "));

    let at = Install::new();
    at.install(&[]).ok();
    let commit = "cd \"$0/part\" && git -c user.email=a -c user.name=a commit -q --allow-empty -m mine";
    tool("sh", &["-c", commit, text(&at.host.at("opt/r"))]).ok();
    let said = at.drift().fails(1).stdout;
    assert!(said.contains("/opt/r/part/.git: commit"), "{said}");
    let said = at.install(&["--repair"]).fails(1).stderr;
    assert!(said.contains("somebody has worked in it since: the commit "), "{said}");
    at.ask_for("v2");
    let said = at.install(&[]).fails(1).stderr;
    assert!(said.contains("was changed since: part/.git"), "{said}");
}

#[test]
fn what_later_commands_have_made_in_an_earlier_clone_is_told() {
    let at = Install::new();
    let with = |revision: &str| {
        let later = "- {name: build, action: run_command, reason: r, command: 'echo built > /opt/r/out.o'}\n\
                     - {name: other, action: run_command, reason: r, command: 'echo x > /opt/rest'}\n";
        fs::write(at.blueprint.path().join("tasks.yml"), clone(&at.url, revision) + later).unwrap();
    };
    with("v1");
    at.install(&[]).ok();
    with("v2");
    let said = at.install(&[]).ok().stderr;
    assert!(
        said.contains("what commands of build (tasks.yml:3) have made in /opt/r is in the earlier clone alone"),
        "{said}"
    );
}
