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

pub(crate) fn clone(url: &str, revision: &str) -> String {
    format!(
        "- {{name: clone, action: git_clone, url: '{url}', revision: {revision}, dest: /opt/r}}\n\
         - {{name: after, action: write_env_file, file: /etc/after, content: {revision}}}\n"
    )
}

pub(crate) struct Install {
    pub(crate) host: Host,
    store: Store,
    pub(crate) blueprint: tempfile::TempDir,
    files: Files,
    pub(crate) url: String,
}

impl Install {
    pub(crate) fn new() -> Self {
        let files = Files::serve();
        let url = sdk(&files);
        Self { host: with_git(), store: Store::new(), blueprint: tasks(&clone(&url, "v1")), files, url }
    }

    pub(crate) fn install(&self, more: &[&str]) -> Ended {
        self.host.install(&self.store, self.blueprint.path(), more)
    }

    pub(crate) fn drift(&self) -> Ended {
        self.host.drift(&self.store, &["--blueprint-dir", text(self.blueprint.path())])
    }

    pub(crate) fn ask_for(&self, revision: &str) {
        fs::write(self.blueprint.path().join("tasks.yml"), clone(&self.url, revision)).unwrap();
    }

    /// Names beside the clone, but for those of earlier ones.
    fn names(&self) -> Vec<String> {
        self.all().into_iter().filter(|name| !name.starts_with(".r.before-")).collect()
    }

    pub(crate) fn all(&self) -> Vec<String> {
        let names = fs::read_dir(self.host.at("opt")).unwrap().map(|entry| entry.unwrap().file_name());
        names.map(|name| name.into_string().unwrap()).collect()
    }

    /// The only earlier clone that was kept; it is taken away, so that the next one is the only one as well.
    #[track_caller]
    pub(crate) fn earlier(&self) -> tempfile::TempDir {
        let all = self.all();
        let kept: Vec<&String> = all.iter().filter(|name| name.starts_with(".r.before-")).collect();
        let [kept] = kept.as_slice() else { panic!("{all:?}") };
        let place = tempfile::tempdir_in(self.host.path()).unwrap();
        fs::rename(self.host.at("opt").join(kept), place.path().join("r")).unwrap();
        place
    }

    /// The clone is the one that a fresh host has.
    #[track_caller]
    pub(crate) fn is_as_if_fresh(&self, revision: &str) {
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
    // Files can be put right beside that, and nothing else; what is mounted in it stays.
    fs::write(path("src/f"), "spoilt").unwrap();
    at.install(&["--repair"]).ok();
    assert_eq!(host.read("opt/r/src/f"), "one\n");
    assert!(tool("git", &["-C", text(&path("")), "rev-parse", "mine"]).ok().stdout.len() > 30);
    // Nor is one that is what is wanted made anew; of another revision, it stays beside.
    at.install(&["--forget"]).ok();
    assert_eq!(at.all(), ["r"]);
    at.ask_for("v2");
    let said = at.install(&[]).ok().stderr;
    assert!(said.contains("warning: /opt/r is a new clone; the earlier one is /opt/.r.before-"), "{said}");
    at.is_as_if_fresh("v2");
    let earlier = at.earlier();
    assert!(tool("git", &["-C", text(&earlier.path().join("r")), "rev-parse", "mine"]).ok().stdout.len() > 30);
}

/// Digests of all files.
fn digests(place: &Path) -> String {
    tool("sh", &["-c", "cd \"$0\" && find . -type f | sort | xargs -d '\\n' sha256sum", text(place)]).ok().stdout
}

#[test]
fn what_somebody_keeps_in_a_clone_is_never_thrown_away() {
    let at = Install::new();
    at.install(&[]).ok();
    let (place, state) = (at.host.at("opt/r"), at.blueprint.path().join("alloy.state.yml"));
    // As it was, to begin anew each time.
    let (whole, recorded) = (tempfile::tempdir().unwrap(), fs::read(&state).unwrap());
    let copy = |from: &Path, to: &Path| drop(tool("cp", &["-a", text(from), text(to)]).ok());
    copy(&place, &whole.path().join("r"));
    at.ask_for("v2");
    let git = "git -c user.email=a -c user.name=a";
    for work in [
        format!("echo x > src/f; {git} stash -q; git gc -q; test -z \"$(git status --porcelain)\""),
        format!("{git} commit -q --allow-empty -m x; {git} tag -a -m x mine; git checkout -q v1"),
        format!("{git} branch index; {git} branch objects/x; {git} commit -q --allow-empty -m x; git checkout -q v1"),
        "git -C part checkout -q -b mine".into(),
        "echo '#!/bin/sh' > .git/hooks/pre-commit; git config user.name a".into(),
        "git init -q src; git init -q my; mkdir build; echo x > build/out; chown 7:7 src; chmod 2770 src".into(),
    ] {
        tool("sh", &["-ec", &format!("cd \"$0\"; {work}"), text(&place)]).ok();
        let before = digests(&place);
        let said = at.install(&[]).ok().stderr;
        assert!(said.contains("the earlier one is /opt/.r.before-"), "{said}");
        at.is_as_if_fresh("v2");
        let earlier = at.earlier();
        assert_eq!(digests(&earlier.path().join("r")), before, "{work}");
        fs::remove_dir_all(&place).unwrap();
        copy(&whole.path().join("r"), &place);
        fs::write(&state, &recorded).unwrap();
    }
    // Of what git cannot read, nothing is known.
    tool("sh", &["-ec", "cd \"$0\"; rm -r .git/refs; echo x > .git/HEAD", text(&place)]).ok();
    let said = at.install(&[]).fails(1).stderr;
    assert!(said.contains("/opt/r is this task's clone of v1, and was changed since: its commit."), "{said}");
    fs::remove_dir_all(&place).unwrap();
    copy(&whole.path().join("r"), &place);
    // Who else may look into it is not told anew.
    fs::set_permissions(&place, fs::Permissions::from_mode(0o700)).unwrap();
    at.install(&[]).ok();
    assert_eq!(fs::metadata(&place).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn what_other_tasks_have_put_into_a_clone_is_done_again() {
    let at = Install::new();
    let with = |revision: &str| {
        format!(
            "{}- {{name: inner, action: git_clone, url: '{}', revision: v1, dest: /opt/r/vendor/s}}\n\
             - {{name: setting, action: write_env_file, file: /opt/r/.config, content: A=1}}\n\
             - {{name: patch, action: run_command, reason: r, command: 'echo patched >> /opt/r/tools/run'}}\n",
            clone(&at.url, revision),
            at.url
        )
    };
    fs::write(at.blueprint.path().join("tasks.yml"), with("v1")).unwrap();
    at.install(&[]).ok();
    // An edit in a clone of another task within it is refused as one in its own files.
    let inner = at.host.at("opt/r/vendor/s/src/f");
    fs::write(&inner, "mine").unwrap();
    fs::write(at.blueprint.path().join("tasks.yml"), with("v2")).unwrap();
    let said = at.install(&[]).fails(1).stderr;
    let told = "what another task has cloned in it was changed since: /opt/r/vendor/s/src/f. Move it away";
    assert!(said.contains(told), "{said}");
    fs::write(&inner, "one\n").unwrap();
    fs::write(at.host.at("opt/r/vendor/s/note"), "mine").unwrap();
    let said = at.install(&[]).ok();
    assert!(said.stdout.starts_with("5 done"), "{}{}", said.stdout, said.stderr);
    assert_eq!(at.host.read("opt/r/vendor/s/src/f"), "one\n");
    assert_eq!(at.host.read("opt/r/.config"), "A=1");
    assert_eq!(at.host.read("opt/r/tools/run").matches("patched").count(), 1);
    let earlier = at.earlier();
    assert_eq!(fs::read_to_string(earlier.path().join("r/vendor/s/note")).unwrap(), "mine");
    assert!(at.drift().ok().stdout.starts_with("no drift: "));
}

#[test]
fn a_newer_revision_takes_the_place_of_the_tasks_own_clone() {
    let at = Install::new();
    let (host, path) = (&at.host, |path: &str| at.host.at("opt/r").join(path));
    at.install(&[]).ok();
    at.ask_for("v2");
    let said = at.install(&[]).ok().stderr;
    assert!(said.contains("what is there now will stay as /opt/.r.before-"), "{said}");
    at.is_as_if_fresh("v2");
    assert!(at.drift().ok().stdout.starts_with("no drift: "));
    at.ask_for("v1");
    at.install(&[]).ok();
    at.is_as_if_fresh("v1");
    assert_eq!(at.all().len(), 3, "{:?}", at.all());

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
    let said = at.install(&["--dry-run"]).ok().stdout;
    assert!(
        said.contains("run   clone: `revision` changed from v1 to v2; it will be refused: /opt/r is this task"),
        "{said}"
    );
    let said = at.drift().fails(1).stdout;
    assert!(said.contains("clone: what it is to clone now is not installed: ") && !said.contains("failed"), "{said}");
    let said = at.install(&["--forget"]).fails(1).stderr;
    assert!(said.contains("was changed since: src/f"), "{said}");
    fs::write(path("src/f"), "one\n").unwrap();
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
    // What one that was cut off has left goes; what is not marked as that, or where others may give names, is told.
    let left = host.at("opt/.r.alloy-new");
    fs::create_dir_all(left.join("clone/x")).unwrap();
    at.ask_for("v2");
    let said = at.install(&[]).fails(1).stderr;
    assert!(said.contains("/opt/.r.alloy-new is there already: ") && left.join("clone/x").exists(), "{said}");
    fs::write(left.join("alloy-is-cloning"), "").unwrap();
    at.install(&[]).ok();
    at.is_as_if_fresh("v2");
    fs::create_dir_all(host.at("opt/.r.alloy-new/x")).unwrap();
    fs::write(left.join("alloy-is-cloning"), "").unwrap();
    fs::set_permissions(host.at("opt"), fs::Permissions::from_mode(0o777)).unwrap();
    at.ask_for("v1");
    let said = at.install(&[]).fails(1).stderr;
    assert!(
        said.contains("/opt/.r.alloy-new is there already: an installation that was cut off has left it"),
        "{said}"
    );
    assert!(host.at("opt/.r.alloy-new/x").exists() && path("src/new").exists());
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
