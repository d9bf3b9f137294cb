//! What differs on a host is told as it is, and put right without the rest.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::support::host::Host;
use crate::support::{Store, blueprint, run, tasks, text};

const MANIFEST: &str = "name: Repair\nversion: 1.0.0\nrun_order: [a.yml, b.yml]\n";
const A: &str = "- {name: Once, action: run_command, reason: test, command: mkdir /srv/once}\n";
const B: &str = "- {name: Z, action: write_env_file, file: /etc/profile.d/z.sh, content: \"# z\\nexport Z=1\\n# end\\n\"}\n\
                 - {name: More, action: run_command, reason: test, command: 'echo export MORE=1 >> /etc/profile.d/z.sh'}\n\
                 - {name: Hidden, action: write_env_file, file: /etc/hidden, content: one, mode: '0600'}\n\
                 - {name: Other, action: write_env_file, file: /etc/other, content: other}\n";

#[test]
fn only_what_differs_is_done_again() {
    let (host, store) = (Host::debian(), Store::new());
    let steps = blueprint(&[("manifest.yml", MANIFEST), ("a.yml", A), ("b.yml", B)]);
    let install = |more: &[&str]| host.install(&store, steps.path(), more);
    let drift = |more: &[&str]| host.drift(&store, &[&["--blueprint-dir", text(steps.path())], more].concat());
    install(&[]).ok();
    let whole = host.read("etc/profile.d/z.sh");
    assert_eq!(drift(&[]).ok().stdout, "no drift: 3 paths and 0 packages of 4 tasks; what 1 task wrote is not known\n");

    fs::write(host.at("etc/profile.d/z.sh"), whole.replace("Z=1", "Z=2")).unwrap();
    let spoilt = drift(&[]).fails(1);
    let shown = "/etc/profile.d/z.sh: content   b.yml:2 (More)\n      # z\n    - export Z=1\n    + export Z=2\n      # end\n      export MORE=1\n1 difference\n";
    assert_eq!(spoilt.stdout, shown);
    assert!(spoilt.stderr.contains("`alloy install --repair` does the tasks again"), "{}", spoilt.stderr);

    // What lets somebody in is not shown.
    fs::write(host.at("etc/profile.d/z.sh"), whole.replace("Z=1", "Z_TOKEN=hidden-7")).unwrap();
    let said = drift(&[]).fails(1).stdout;
    assert!(said.contains("    + export Z_TOKEN=***\n") && !said.contains("hidden-7"), "{said}");
    fs::write(host.at("etc/profile.d/z.sh"), whole.replace("Z=1", "Z=hidden-8")).unwrap();
    let mut command = host.drift_command(&store, &["--blueprint-dir", text(steps.path())]);
    let said = run(command.env("SOME_TOKEN", "hidden-8")).fails(1).stdout;
    assert!(said.contains("    + export Z=***\n"), "{said}");
    fs::write(host.at("etc/profile.d/z.sh"), whole.replace("Z=1", "Z=2")).unwrap();

    // Beginning anew ends at once: what is known of the other tasks stays known.
    let ended = install(&["--forget"]).fails(1);
    assert!(ended.stdout.starts_with("0 done, 1 failed, 4 not reached in "), "{}", ended.stdout);
    let spoilt = drift(&[]).fails(1);
    assert!(
        spoilt.stdout.contains("    + export Z=2\n") && spoilt.stdout.contains("Once: failed: "),
        "{}",
        spoilt.stdout
    );
    assert!(spoilt.stdout.ends_with("1 difference; 1 task failed\n"), "{}", spoilt.stdout);
    fs::write(host.at("etc/profile.d/z.sh"), &whole).unwrap();
    let ended = drift(&[]).fails(1);
    assert!(
        ended.stdout.ends_with("nothing differs of 3 paths and 0 packages of 4 tasks; 1 task failed\n"),
        "{}",
        ended.stdout
    );
    assert!(ended.stderr.contains("`alloy install` does what was not done"), "{}", ended.stderr);
    let found: Value = serde_json::from_str(&drift(&["--format", "json"]).fails(1).stdout).unwrap();
    assert_eq!((&found["undone"][0]["outcome"], &found["looked_at"]["paths"]), (&"failed".into(), &3.into()));
    fs::remove_dir(host.at("srv/once")).unwrap();
    let ended = install(&["-q"]).ok();
    assert_eq!(ended.stdout, "", "told to be quiet");

    // The first task would fail; it is not asked.
    fs::write(host.at("etc/profile.d/z.sh"), "spoilt").unwrap();
    fs::write(host.at("etc/hidden"), "two").unwrap();
    let found: Value = serde_json::from_str(&drift(&["--format", "json"]).fails(1).stdout).unwrap();
    let human = drift(&[]).fails(1).stdout;
    let line = "/etc/hidden: content differs (1 line), not shown: the file's mode is 0600   b.yml:3 (Hidden)\n";
    assert!(human.contains(line), "{human}");
    let hidden = found["differences"].as_array().unwrap().iter().find(|one| one["path"] == "/etc/hidden").unwrap();
    assert!(hidden.get("lines").is_none() && hidden["was"].as_str().unwrap().starts_with("sha256:"), "{hidden}");
    let said = install(&["--repair", "--dry-run"]).ok().stdout;
    for line in
        ["run   Z: /etc/profile.d/z.sh differs (content)", "run   More: ", "skip  Once: what it wrote is not known"]
    {
        assert!(said.contains(line), "{line} is not in\n{said}");
    }
    assert!(said.ends_with("3 to run, 2 to skip\n"), "{said}");
    let ended = install(&["--repair"]).ok();
    assert!(ended.stdout.starts_with("3 done, 2 skipped (2 not touched) in "), "{}", ended.stdout);
    assert!(ended.stderr.contains("Hidden runs: /etc/hidden differs (content)"), "{}", ended.stderr);
    assert_eq!((host.read("etc/profile.d/z.sh"), host.read("etc/hidden").as_str()), (whole, "one"));
    drift(&[]).ok();
    let ended = install(&["--repair"]).ok();
    assert!(ended.stdout.starts_with("0 done, 5 skipped (5 not touched) in "), "{}", ended.stdout);
    // What the blueprint has no more, or has changed, is told, and is no success.
    fs::set_permissions(host.at("etc/other"), PermissionsExt::from_mode(0o666)).unwrap();
    fs::write(steps.path().join("b.yml"), B.lines().take(3).collect::<Vec<_>>().join("\n")).unwrap();
    let gone = "/etc/other (mode), of b.yml:4 (Other), which the blueprint no longer has";
    let ended = install(&["--repair"]).fails(1);
    assert!(ended.stderr.contains(&format!("no task puts right: {gone}")), "{}", ended.stderr);
    assert!(ended.stdout.starts_with("0 done, 4 skipped (4 not touched) in "), "{}", ended.stdout);
    let said = install(&["--repair", "--dry-run"]).ok().stdout;
    assert!(said.contains(&format!("stays {gone}\n")), "{said}");
    fs::write(steps.path().join("b.yml"), B.replace("content: other", "content: else")).unwrap();
    for _ in 0..2 {
        let ended = install(&["--repair"]).fails(1);
        assert!(
            ended.stderr.contains("which has changed since: `alloy install` does it as it is now"),
            "{}",
            ended.stderr
        );
        let counts = "0 done, 5 skipped (1 never done here, 4 not touched) in ";
        assert!(ended.stdout.starts_with(counts), "{}", ended.stdout);
    }
    fs::write(steps.path().join("b.yml"), B).unwrap();
    // A task that says nothing of a mode leaves it, and it stays wrong.
    let ended = install(&["--repair"]).fails(1);
    assert!(ended.stderr.contains("left as it is: /etc/other (mode)"), "{}", ended.stderr);
    assert!(drift(&[]).fails(1).stdout.contains("/etc/other: mode"));
    fs::set_permissions(host.at("etc/other"), PermissionsExt::from_mode(0o644)).unwrap();
    drift(&[]).ok();
    install(&["--repair", "--forget"]).fails(2);
}

#[test]
fn nothing_is_said_of_what_was_not_reached() {
    let (host, store) = (Host::debian(), Store::new());
    let broken = "- {name: First, action: write_env_file, file: /etc/first, content: x}\n\
                  - {name: Break, action: run_command, reason: test, command: test -e /srv/mended}\n\
                  - {name: After, action: write_env_file, file: /etc/after, content: x}\n";
    let blueprint = tasks(broken);
    let drift = || host.drift(&store, &["--blueprint-dir", text(blueprint.path())]);
    host.install(&store, blueprint.path(), &[]).fails(1);
    let said = drift().fails(1).stdout;
    assert!(said.contains("Break: failed: the command failed") && said.contains("After: it was not reached"), "{said}");
    let end = "nothing differs of 1 path and 0 packages of 1 task; 1 task failed, 1 task not reached\n";
    assert!(said.ends_with(end), "{said}");
    let said = host.install(&store, blueprint.path(), &["--dry-run"]).ok().stdout;
    assert!(said.contains("run   Break: it failed\n") && said.contains("run   After: it was not reached\n"), "{said}");
    // What failed, and was not reached, is no repaired host; and where nothing was installed, nothing is repaired.
    let bare = Host::debian();
    let said = bare.install(&store, blueprint.path(), &["--repair", "--state", "/nowhere/state.yml"]).fails(2).stderr;
    assert!(said.contains("`alloy install` first"), "{said}");
    let said = host.install(&store, blueprint.path(), &["--repair", "--dry-run"]).ok().stdout;
    assert!(said.contains("run   Break: it failed") && said.contains("run   After: it was not reached"), "{said}");
    host.install(&store, blueprint.path(), &["--repair"]).fails(1);
    // One that was changed before it was ever reached leaves nothing behind.
    fs::write(blueprint.path().join("tasks.yml"), broken.replace("/etc/after", "/etc/later")).unwrap();
    fs::write(host.at("srv/mended"), "").unwrap();
    host.install(&store, blueprint.path(), &[]).ok();
    assert_eq!(drift().ok().stdout, "no drift: 2 paths and 0 packages of 2 tasks; what 1 task wrote is not known\n");
    assert!(!host.at("etc/after").exists() && host.at("etc/later").exists());
}

#[test]
fn a_user_that_a_host_lacks_is_none_of_an_image() {
    let (host, store) = (Host::debian(), Store::new());
    let text = "- {name: Talk, action: run_command, reason: test, command: echo of dev}\n\
                - {name: Work, action: run_command, reason: test, run_as: dev, command: 'true'}\n";
    let manifest = "name: Users\nversion: 1.0.0\nrun_order: [a.yml]\nimage: {user: dev}\n";
    let blueprint = blueprint(&[("manifest.yml", manifest), ("a.yml", text)]);
    let said = host.install(&store, blueprint.path(), &[]).fails(1).stderr;
    assert!(said.contains("no user `dev`") && said.contains("--var DEV_USERNAME=NAME"), "{said}");
    assert!(!said.contains("in the manifest's `image`"), "{said}");
}

#[test]
fn what_stays_wrong_among_many_files_stays_known() {
    let (host, store) = (Host::bare(), Store::new());
    let blueprint = tasks("- {name: Many, action: copy, source: many, dest: /opt/many}\n");
    let many = blueprint.path().join("many/in");
    fs::create_dir_all(&many).unwrap();
    (0..300).for_each(|number| fs::write(many.join(number.to_string()), "x").unwrap());
    let drift = || host.drift(&store, &["--blueprint-dir", text(blueprint.path())]);
    host.install(&store, blueprint.path(), &[]).ok();
    drift().ok();
    fs::set_permissions(host.at("opt/many/in"), PermissionsExt::from_mode(0o777)).unwrap();
    for _ in 0..2 {
        let ended = host.install(&store, blueprint.path(), &["--repair"]).fails(1);
        assert!(ended.stderr.contains("left as it is: /opt/many/in (mode)"), "{}", ended.stderr);
        assert!(drift().fails(1).stdout.contains("/opt/many/in: mode"));
    }
    // Where a store does not have the list, the task makes it anew.
    let other = Store::new();
    fs::set_permissions(host.at("opt/many/in"), PermissionsExt::from_mode(0o755)).unwrap();
    let ended = host.install(&other, blueprint.path(), &["--repair"]).ok();
    assert!(ended.stderr.contains("Many runs: what it wrote is not known any more"), "{}", ended.stderr);
    host.drift(&other, &["--blueprint-dir", text(blueprint.path())]).ok();
}
