//! What a task has cloned on a host: looked at, put right, and exchanged for a newer revision.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::support::files::Files;
use crate::support::host::Host;
use crate::support::{Ended, Store, TOOLS, blueprint, tasks, text, tool};

/// A host with git.
fn with_git() -> Host {
    let manifest = "name: Base\nversion: 1.0.0\nrun_order: [tools.yml]\n";
    Host::of(blueprint(&[("manifest.yml", manifest), ("tools.yml", TOOLS)]).path())
}

/// A repository with a submodule and two revisions: the second lacks a file, and has another one more.
fn sdk(files: &Files) -> String {
    let part = files.repository("part", "echo part > part.c; commit p1");
    files.repository(
        "sdk",
        &format!(
            "mkdir src tools; echo one > src/f; echo old > src/old; echo '#!/bin/sh' > tools/run; chmod 755 tools/run; ln -s src/f link\n\
             git submodule --quiet add {part} part; commit v1\n\
             git rm -q src/old; echo two > src/f; echo new > src/new; commit v2"
        ),
    )
}

fn clone(url: &str, revision: &str) -> String {
    format!(
        "- {{name: clone, action: git_clone, url: '{url}', revision: {revision}, dest: /opt/r}}\n\
         - {{name: after, action: write_env_file, file: /etc/after, content: {revision}}}\n"
    )
}

struct Install {
    host: Host,
    store: Store,
    blueprint: tempfile::TempDir,
    files: Files,
    url: String,
}

impl Install {
    fn new() -> Self {
        let files = Files::serve();
        let url = sdk(&files);
        Self { host: with_git(), store: Store::new(), blueprint: tasks(&clone(&url, "v1")), files, url }
    }

    fn install(&self, more: &[&str]) -> Ended {
        self.host.install(&self.store, self.blueprint.path(), more)
    }

    fn drift(&self) -> Ended {
        self.host.drift(&self.store, &["--blueprint-dir", text(self.blueprint.path())])
    }

    fn ask_for(&self, revision: &str) {
        fs::write(self.blueprint.path().join("tasks.yml"), clone(&self.url, revision)).unwrap();
    }

    /// Names beside the clone.
    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(self.host.at("opt")).unwrap().map(|entry| entry.unwrap().file_name());
        names.map(|name| name.into_string().unwrap()).collect()
    }

    /// The clone is the one that a fresh host has.
    #[track_caller]
    fn is_as_if_fresh(&self, revision: &str) {
        let fresh = with_git();
        fresh.install(&Store::new(), tasks(&clone(&self.url, revision)).path(), &[]).ok();
        let differ = tool("diff", &["-r", "--no-dereference", text(&fresh.at("opt/r")), text(&self.host.at("opt/r"))]);
        assert_eq!(differ.stdout, "", "{}", differ.stderr);
        assert_eq!(self.names(), ["r"]);
    }
}

#[test]
fn what_was_cloned_is_looked_at_and_put_right() {
    let at = Install::new();
    let (host, path) = (&at.host, |path: &str| at.host.at("opt/r").join(path));
    at.install(&[]).ok();
    let said = at.drift().ok().stdout;
    assert!(said.starts_with("no drift: ") && !said.contains("not looked at"), "{said}");
    at.is_as_if_fresh("v1");

    // What builds add is no drift; what somebody changed is.
    fs::create_dir(path("build")).unwrap();
    fs::write(path("build/out.o"), "mine").unwrap();
    fs::write(path("src/out.o"), "mine").unwrap();
    at.drift().ok();
    type Spoil<'a> = (&'a str, &'a dyn Fn());
    let spoils: [Spoil<'_>; 5] = [
        ("/opt/r/src/f: content", &|| fs::write(path("src/f"), "spoilt").unwrap()),
        ("/opt/r/src/f: existence", &|| fs::remove_file(path("src/f")).unwrap()),
        ("/opt/r/part/part.c: content", &|| fs::write(path("part/part.c"), "spoilt").unwrap()),
        ("/opt/r/.git and", &|| fs::remove_dir_all(path(".git")).unwrap()),
        ("/opt/r/link: kind", &|| {
            fs::remove_file(path("link")).unwrap();
            fs::write(path("link"), "x").unwrap();
        }),
    ];
    for (told, spoil) in spoils {
        spoil();
        let said = at.drift().fails(1).stdout;
        assert!(said.contains(told.trim_end_matches(" and")), "{told}: {said}");
        let said = at.install(&["--repair"]).ok();
        assert!(said.stdout.starts_with("1 done, "), "{}{}", said.stdout, said.stderr);
        assert_eq!((host.read("opt/r/build/out.o").as_str(), host.read("opt/r/src/out.o").as_str()), ("mine", "mine"));
        at.drift().ok();
    }
    fs::remove_dir_all(path("build")).unwrap();
    fs::remove_file(path("src/out.o")).unwrap();
    at.is_as_if_fresh("v1");

    // Commits of somebody's own are nobody's to throw away.
    let git =
        "cd \"$0\" && git config user.email a && git config user.name a && echo x > src/f && git commit -qam mine";
    tool("sh", &["-c", git, text(&host.at("opt/r"))]).ok();
    assert!(at.drift().fails(1).stdout.contains("/opt/r/.git: commit"));
    let said = at.install(&["--repair"]).fails(1).stderr;
    assert!(
        said.contains("/opt/r is this task's clone of v1, and somebody has worked in it since: the commit "),
        "{said}"
    );
    assert_eq!(host.read("opt/r/src/f"), "x\n");
    let git = "cd \"$0\" && git branch mine && git checkout -q v1";
    tool("sh", &["-c", git, text(&host.at("opt/r"))]).ok();
    assert!(at.drift().ok().stdout.starts_with("no drift: "));
    // Files can be put right beside that, and nothing else.
    fs::write(path("src/f"), "spoilt").unwrap();
    at.install(&["--repair"]).ok();
    assert_eq!(host.read("opt/r/src/f"), "one\n");
    let said = at.install(&["--forget"]).fails(1).stderr;
    assert!(said.contains("somebody has worked in it since: .git has branches, commits, "), "{said}");
}

#[test]
fn what_somebody_keeps_in_a_clone_is_never_thrown_away() {
    let at = Install::new();
    at.install(&[]).ok();
    let place = at.host.at("opt/r");
    // As it was, to begin anew each time.
    let whole = tempfile::tempdir().unwrap();
    let copy = |from: &Path, to: &Path| drop(tool("cp", &["-a", text(from), text(to)]).ok());
    copy(&place, &whole.path().join("r"));
    at.ask_for("v2");
    let git = "git -c user.email=a -c user.name=a";
    let worked = "somebody has worked in it since";
    for (work, told) in [
        (format!("echo x > src/f; {git} stash -q; git gc -q; test -z \"$(git status --porcelain)\""), worked),
        (format!("{git} commit -q --allow-empty -m x; {git} tag -a -m x mine; git checkout -q v1"), worked),
        (format!("{git} commit -q --allow-empty -m x; git checkout -q v1"), worked),
        ("git worktree add -q ../other".into(), worked),
        ("git -C part checkout -q -b mine".into(), worked),
        ("echo '#!/bin/sh' > .git/hooks/pre-commit".into(), worked),
        ("git config user.name a".into(), worked),
        ("git init -q src".into(), "it holds what this task has not cloned: src/.git"),
        ("git init -q my".into(), "it holds what this task has not cloned: my"),
        ("mkdir build; echo x > build/out".into(), "it holds what this task has not cloned: build"),
        ("rm -r .git/refs; echo x > .git/HEAD".into(), worked),
    ] {
        tool("sh", &["-ec", &format!("cd \"$0\"; {work}"), text(&place)]).ok();
        let before =
            tool("sh", &["-c", "cd \"$0\" && find . -type f | sort | xargs -d '\\n' sha256sum", text(&place)]).ok();
        let said = at.install(&[]).fails(1).stderr;
        assert!(said.contains(told), "{work}: {said}");
        let after =
            tool("sh", &["-c", "cd \"$0\" && find . -type f | sort | xargs -d '\\n' sha256sum", text(&place)]).ok();
        assert_eq!(before.stdout, after.stdout, "{work}");
        fs::remove_dir_all(&place).unwrap();
        let _ = fs::remove_dir_all(at.host.at("opt/other"));
        copy(&whole.path().join("r"), &place);
    }
    // What git does by itself is nobody's work; who may look into it stays.
    fs::set_permissions(&place, fs::Permissions::from_mode(0o700)).unwrap();
    tool("sh", &["-ec", "cd \"$0\"; git gc -q; git status -s", text(&place)]).ok();
    at.install(&[]).ok();
    at.is_as_if_fresh("v2");
    assert_eq!(fs::metadata(&place).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_clone_in_a_clone_is_no_part_of_it() {
    let at = Install::new();
    let inner = |revision: &str| {
        format!(
            "{}- {{name: inner, action: git_clone, url: '{}', revision: v1, dest: /opt/r/vendor/s}}\n",
            clone(&at.url, revision),
            at.url
        )
    };
    fs::write(at.blueprint.path().join("tasks.yml"), inner("v1")).unwrap();
    at.install(&[]).ok();
    fs::write(at.host.at("opt/r/vendor/s/src/f"), "mine").unwrap();
    fs::write(at.blueprint.path().join("tasks.yml"), inner("v2")).unwrap();
    let said = at.install(&[]).fails(1).stderr;
    assert!(said.contains("it holds what this task has not cloned: vendor"), "{said}");
    assert_eq!(at.host.read("opt/r/vendor/s/src/f"), "mine");
}

#[test]
fn a_newer_revision_takes_the_place_of_the_tasks_own_clone() {
    let at = Install::new();
    let (host, path) = (&at.host, |path: &str| at.host.at("opt/r").join(path));
    at.install(&[]).ok();
    at.install(&["--forget"]).ok();
    at.is_as_if_fresh("v1");
    at.ask_for("v2");
    at.install(&[]).ok();
    at.is_as_if_fresh("v2");
    assert!(at.drift().ok().stdout.starts_with("no drift: "));
    at.ask_for("v1");
    at.install(&[]).ok();
    at.is_as_if_fresh("v1");

    // What was changed by hand is refused by name, and what is there counts as what it is.
    fs::write(path("src/f"), "changed\n").unwrap();
    at.ask_for("v2");
    for _ in 0..2 {
        let said = at.install(&[]).fails(1).stderr;
        assert!(
            said.contains("/opt/r is this task's clone of v1, and was changed since: src/f. Move it away"),
            "{said}"
        );
        assert!(said.contains("clone runs: `revision` changed from v1 to v2"), "{said}");
        assert_eq!((host.read("opt/r/src/f").as_str(), host.read("etc/after").as_str()), ("changed\n", "v1"));
    }
    let said = at.drift().fails(1).stdout;
    assert!(said.contains("clone: what it is to clone now is not installed: ") && !said.contains("failed"), "{said}");
    let said = at.install(&["--forget"]).fails(1).stderr;
    assert!(said.contains("was changed since: src/f"), "{said}");
    // What was added where the new revision has a file.
    fs::write(path("src/f"), "one\n").unwrap();
    fs::write(path("src/new"), "mine").unwrap();
    let said = at.install(&[]).fails(1).stderr;
    assert!(said.contains("it holds what this task has not cloned: src/new"), "{said}");
    assert_eq!((host.read("opt/r/src/new").as_str(), at.names()), ("mine", vec!["r".to_owned()]));
    fs::remove_file(path("src/new")).unwrap();
    // A server that is gone takes nothing away.
    let away = at.files.path().join("away");
    fs::rename(at.files.path().join("sdk.git"), &away).unwrap();
    at.install(&[]).fails(1);
    assert_eq!((host.read("opt/r/src/f").as_str(), at.names()), ("one\n", vec!["r".to_owned()]));
    let said = at.drift().fails(1).stdout;
    assert!(said.contains("is not installed: ") && !said.contains("failed:"), "{said}");
    at.ask_for("v1");
    at.install(&[]).ok();
    assert!(at.drift().ok().stdout.starts_with("no drift: "));
    at.install(&["--forget"]).fails(1);
    assert!(at.drift().ok().stdout.starts_with("no drift: "));
    fs::rename(&away, at.files.path().join("sdk.git")).unwrap();
    // One that was cut off while the two were exchanged.
    fs::rename(host.at("opt/r"), host.at("opt/.r.alloy-before")).unwrap();
    fs::create_dir(host.at("opt/.r.alloy-new")).unwrap();
    at.ask_for("v2");
    at.install(&[]).ok();
    at.is_as_if_fresh("v2");
    fs::create_dir(host.at("opt/.r.alloy-before")).unwrap();
    let said = at.install(&["--forget"]).fails(1).stderr;
    assert!(
        said.contains("/opt/.r.alloy-before is this task's clone from before an installation that was cut"),
        "{said}"
    );
    assert!(said.contains("clone") && path("src/new").exists());
    // And after it was recorded.
    fs::rename(host.at("opt/.r.alloy-before"), host.at("opt/.r.alloy-old")).unwrap();
    at.install(&[]).ok();
    at.is_as_if_fresh("v2");
}

#[test]
fn of_a_clone_that_was_not_recorded_nobody_says_that_it_is_as_it_was() {
    let at = Install::new();
    at.install(&[]).ok();
    forget_files(&at.blueprint.path().join("alloy.state.yml"));
    let said = at.drift().ok().stdout;
    assert!(said.ends_with("; what is in /opt/r was not looked at\n"), "{said}");
    at.ask_for("v2");
    let said = at.install(&[]).fails(1).stderr;
    let message =
        "/opt/r is this task's clone of v1, and what was in it was not recorded: move it away, and install again";
    assert!(said.contains(message), "{said}");
    let said = at.drift().fails(1).stdout;
    assert!(said.contains("is not installed: ") && said.contains("what is in /opt/r was not looked at"), "{said}");
    fs::rename(at.host.at("opt/r"), at.host.at("srv/away")).unwrap();
    at.install(&[]).ok();
    at.is_as_if_fresh("v2");
}

/// Takes out of a state file what earlier versions of alloy did not have there.
fn forget_files(path: &Path) {
    let state = fs::read_to_string(path).unwrap();
    let kept: Vec<&str> = state.lines().filter(|line| !line.trim_start().starts_with("/opt/r/")).collect();
    assert!(kept.len() < state.lines().count());
    fs::write(path, format!("{}\n", kept.join("\n"))).unwrap();
}
