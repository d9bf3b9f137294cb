//! A second `install` runs nothing, whatever the blueprint is: of the fixtures, those that need nothing but their own files.
//! The one with every action of published blueprints is in `published_shapes`.

use crate::support::host::Host;
use crate::support::{Store, blueprint, copy_of, shared, text};

const MANIFEST: &str = "name: Again\nversion: 1.0.0\nrun_order: [a.yml]\n";

#[test]
fn a_second_install_of_a_fixture_runs_nothing() {
    for (name, tasks, debian) in [
        ("testdata/blueprints/ok/binfmt-in-an-image", 1, false),
        ("testdata/blueprints/ok/byte-order-mark", 1, false),
        ("testdata/blueprints/ok/in-folders", 0, false),
        ("testdata/blueprints/ok/modes", 14, false),
        ("testdata/blueprints/ok/nothing-to-do", 0, false),
        ("testdata/blueprints/ok/warnings", 1, true),
        ("testdata/blueprints/ok/windows", 1, false),
        ("examples/hello", 1, true),
    ] {
        let host = if debian { Host::debian() } else { Host::bare() };
        let copy = copy_of(name);
        let directory = copy.path();
        let first = host.install(shared(), directory, &[]).ok().stdout;
        let second = host.install(shared(), directory, &[]).ok().stdout;
        assert!(first.starts_with(&format!("{tasks} done")), "{name}: {first}");
        let skipped = if tasks == 0 { "0 done in".to_owned() } else { format!("0 done, {tasks} skipped") };
        assert!(second.starts_with(&skipped), "{name}: {second}");
        if tasks > 0 {
            let said = host.drift(shared(), &["--blueprint-dir", text(directory)]).ok().stdout;
            assert!(said.starts_with("no drift") || said.starts_with("nothing to look at"), "{name}: {said}");
        }
    }
}

/// A download is unpacked, and removed: below `/tmp`, and where what tasks write is remembered.
#[test]
fn what_a_later_task_removes_is_not_made_again() {
    for place in ["/tmp", "/srv"] {
        let (host, store) = (Host::debian(), Store::new());
        let download = "- {name: Download, action: copy, source: sdk, dest: P/sdk, creates: P/sdk}\n";
        let make = "- {name: Make, action: run_command, reason: test, command: 'mkdir -p P/b; cp P/sdk P/b/made; echo m >> /var/log/made', creates: P/b}\n";
        let extract =
            "- {name: Extract, action: run_command, reason: test, command: cp P/b/made /opt/f, creates: /opt/f}\n";
        let remove = "- {name: Tidy up, action: run_command, reason: test, command: 'rm -rf P/sdk P/b'}\n";
        let tasks = [download, make, extract, remove].concat().replace("P/", &format!("{place}/"));
        let steps = blueprint(&[("manifest.yml", MANIFEST), ("a.yml", &tasks), ("sdk", "one\n")]);
        let install = |more: &[&str]| host.install(&store, steps.path(), more).ok();
        let drift = || host.drift(&store, &["--blueprint-dir", text(steps.path())]).ok().stdout;
        let gone = || assert!(!host.at(&place[1..]).join("sdk").exists() && !host.at(&place[1..]).join("b").exists());
        assert!(install(&[]).stdout.starts_with("4 done"));
        gone();
        for _ in 0..2 {
            let said = install(&["--dry-run"]).stdout;
            assert!(said.ends_with("0 to run, 4 to skip\n"), "{place}: {said}");
            let again = install(&[]);
            assert!(again.stdout.starts_with("0 done, 4 skipped"), "{place}: {}{}", again.stdout, again.stderr);
            assert!(drift().starts_with("no drift"), "{place}: {}", drift());
            gone();
        }
        // A task that is still to be done, and names it, has what was there for it the first time.
        let other = tasks.replace("/opt/f", "/opt/g");
        std::fs::write(steps.path().join("a.yml"), &other).unwrap();
        let ended = install(&[]);
        let said = format!("Download runs: {place}/sdk is gone, and Make needs it");
        assert!(ended.stderr.contains(&said), "{}", ended.stderr);
        assert!(
            ended.stderr.contains(&format!("Make runs: {place}/b is gone, and Extract needs it")),
            "{}",
            ended.stderr
        );
        assert_eq!(host.read("opt/g"), "one\n");
        assert!(install(&[]).stdout.starts_with("0 done, 4 skipped"));
        assert!(drift().starts_with("no drift"));
        // Without the task that removes it, it is missed: outside of where nothing lasts.
        std::fs::remove_file(host.at(&place[1..]).join("sdk")).ok();
        std::fs::write(steps.path().join("a.yml"), other.lines().take(3).collect::<Vec<_>>().join("\n")).unwrap();
        let ended = install(&[]);
        assert_eq!(ended.stderr.contains("/srv/sdk is gone"), place == "/srv", "{}", ended.stderr);
        assert!(install(&[]).stdout.starts_with("0 done, 3 skipped"));
    }
}

#[test]
fn what_a_changed_or_an_always_run_task_needs_is_made_again() {
    let (host, store) = (Host::debian(), Store::new());
    let with = |to: &str| {
        format!(
            "- {{name: fetch, action: run_command, reason: r, command: 'mkdir -p /srv/src; echo src > /srv/src/configure', creates: /srv/src/configure}}\n\
             - {{name: always, action: run_command, reason: r, command: 'cp /srv/src/configure /etc/always', always_run: true}}\n\
             - {{name: build, action: run_command, reason: r, command: 'cd /srv/src && cp configure {to} && rm -rf /srv/src'}}\n"
        )
    };
    let steps = blueprint(&[("manifest.yml", MANIFEST), ("a.yml", &with("/etc/one"))]);
    host.install(&store, steps.path(), &[]).ok();
    host.install(&store, steps.path(), &[]).ok();
    std::fs::write(steps.path().join("a.yml"), with("/etc/two").replace("always_run: true", "creates: /etc/always"))
        .unwrap();
    host.install(&store, steps.path(), &[]).ok();
    assert_eq!(host.read("etc/two"), "src\n");
    assert!(host.install(&store, steps.path(), &[]).ok().stdout.starts_with("0 done"));
}

#[test]
fn what_was_there_and_is_removed_by_a_task_is_not_missed() {
    let (host, store) = (Host::debian(), Store::new());
    let tasks = "- {name: Make, action: run_command, reason: test, command: touch /srv/t, creates: /srv/t}\n\
                 - {name: Fail, action: run_command, reason: test, command: 'rm /srv/t; test -e /srv/go'}\n";
    let steps = blueprint(&[("manifest.yml", MANIFEST), ("a.yml", tasks)]);
    std::fs::write(host.at("srv/t"), "").unwrap();
    // Also where the one that removes it does not get through.
    host.install(&store, steps.path(), &[]).fails(1);
    std::fs::write(host.at("srv/go"), "").unwrap();
    std::fs::write(steps.path().join("a.yml"), tasks.replace("rm ", "rm -f ")).unwrap();
    let ended = host.install(&store, steps.path(), &[]).ok();
    // Whoever is still to be done, and comes before it is gone, may want it.
    assert!(ended.stdout.starts_with("2 done"), "{}{}", ended.stdout, ended.stderr);
    assert!(host.install(&store, steps.path(), &[]).ok().stdout.starts_with("0 done, 2 skipped"));
    host.drift(&store, &["--blueprint-dir", text(steps.path())]).ok();
}
