//! Files of variables on a live host: what a task uses is part of it, the rest is its commands' environment.

use std::fs;

use crate::support::host::Host;
use crate::support::{Store, blueprint, run, text};

const MANIFEST: &str = "name: Files\nversion: 1.0.0\nrun_order: [a.yml]\nrequired_env: [{name: NEEDED}]\n";
const TASKS: &str = "- {name: Sudoers, action: run_command, reason: test, command: 'echo x >> /srv/sudoers'}\n\
                     - {name: Script, action: run_command, reason: test, command: 'sh /srv/script >> /srv/out'}\n\
                     - {name: Site, action: run_command, reason: test, command: 'echo ${SITE:-none} >> /srv/site'}\n\
                     - {name: When, action: run_command, reason: test, command: touch /srv/when, skip_if: 'test \"$WHEN\" = never'}\n\
                     - {name: Place, action: write_env_file, file: $PLACE, content: x}\n";

#[test]
fn a_variable_that_no_task_uses_has_nothing_done_again() {
    let (host, store) = (Host::debian(), Store::new());
    let steps = blueprint(&[("manifest.yml", MANIFEST), ("a.yml", TASKS)]);
    let env_file = steps.path().join("site.env");
    fs::write(host.at("srv/script"), "echo $INSIDE $SITE_TOKEN $NEEDED\n").unwrap();
    let needed = "NEEDED=n\n";
    let base =
        format!("{needed}SITE=a\nINSIDE=in\nSITE_TOKEN=geheim12345\nWHEN=now\nPLACE=/srv/place\nDEV_USERNAME=root\n");
    let with = |content: &str, more: &[&str]| {
        fs::write(&env_file, content).unwrap();
        host.install(&store, steps.path(), &[&["--env-file", text(&env_file)], more].concat()).ok()
    };
    let first = with(&base, &[]);
    assert!(first.stdout.starts_with("5 done"), "{}{}", first.stdout, first.stderr);
    // Commands have the rest, too, and its secrets are nobody else's.
    assert_eq!(host.read("srv/out"), "in geheim12345 n\n");
    let state = || fs::read_to_string(steps.path().join("alloy.state.yml")).unwrap();
    assert!(!state().contains("geheim12345") && !state().contains("INSIDE"), "{}", state());

    let before = state();
    for content in [format!("{base}NEW=1\n"), base.replace("INSIDE=in\nSITE_TOKEN=geheim12345\n", "INSIDE=2\n")] {
        let said = with(&content, &["--dry-run"]).stdout;
        assert!(said.contains("0 to run, 5 to skip"), "{said}");
        let again = with(&content, &[]);
        assert!(again.stdout.starts_with("0 done, 5 skipped"), "{}{}", again.stdout, again.stderr);
        assert_eq!(state(), before);
    }
    // The same by the environment of whoever installs.
    fs::write(&env_file, needed).unwrap();
    let mut command = host.command(&store, steps.path(), &["--env-file", text(&env_file), "--var", "PLACE=/srv/place"]);
    let again = run(command.envs([("SITE", "a"), ("WHEN", "now"), ("OTHER", "1")])).ok();
    assert!(again.stdout.starts_with("0 done, 5 skipped"), "{}{}", again.stdout, again.stderr);

    // What a task uses counts: it alone is done again.
    for (from, to, task) in [
        ("SITE=a", "SITE=b", "Site runs: the variable SITE changed from a to b"),
        ("WHEN=now", "WHEN=then", "When runs: the variable WHEN changed from now to then"),
        ("PLACE=/srv/place", "PLACE=/srv/other", "Place runs: `file` changed from /srv/place to /srv/other"),
        ("SITE=a\n", "", "Site runs: the variable SITE is gone"),
    ] {
        with(&base, &[]);
        let ended = with(&base.replace(from, to), &[]);
        assert!(
            ended.stderr.contains(task) && ended.stdout.starts_with("1 done, 4 skipped"),
            "{task}: {}",
            ended.stderr
        );
    }
    with(&base, &[]);
    let ended = with(&base.replace("NEEDED=n", "NEEDED=m"), &[]);
    assert!(ended.stderr.contains("Sudoers runs: the variable NEEDED changed from n to m"), "{}", ended.stderr);
    assert_eq!(host.read("srv/sudoers"), "x\nx\n");
}

/// A `.env` beside the manifest is read by itself under the old names: one line more in it changes nothing, either.
#[test]
fn a_file_that_is_read_by_itself_counts_as_little() {
    let (host, store) = (Host::debian(), Store::new());
    let manifest = "name: Files\nversion: 1.0.0\nrun_order: [a.yml]\n";
    let tasks = "- {name: Sudoers, action: run_command, reason: test, command: 'echo $EXTRA >> /srv/sudoers'}\n\
                 - {name: Other, action: run_command, reason: test, command: 'echo x >> /srv/other', skip_if: 'false'}\n";
    let steps = blueprint(&[("manifest.yml", manifest), ("a.yml", tasks), (".env", "EXTRA=one\n")]);
    let names = tempfile::tempdir().unwrap();
    let old = names.path().join("alloy-provisioner");
    std::os::unix::fs::symlink(crate::support::ALLOY, &old).unwrap();
    let install = || {
        let mut command = std::process::Command::new(&old);
        command.args(["install", "-blueprint-dir", text(steps.path()), "-root", text(host.path())]);
        command.env("ALLOY_HOME", store.path().join("store")).env_remove("SUDO_USER").env("HOME", names.path());
        run(&mut command).ok()
    };
    assert!(install().stdout.starts_with("2 done"));
    // That it counts more than the environment is told of what the blueprint declares.
    let declares = steps.path().join("manifest.yml");
    fs::write(&declares, format!("{manifest}required_env: [{{name: EXTRA}}]\n")).unwrap();
    let mut command = std::process::Command::new(&old);
    command.args(["install", "-blueprint-dir", text(steps.path()), "-root", text(host.path()), "-dry-run"]);
    command.env("ALLOY_HOME", store.path().join("store")).env("HOME", names.path()).env("EXTRA", "ci");
    let said = run(&mut command).ok().stderr;
    assert!(said.contains("EXTRA is taken from the env file, not from the environment"), "{said}");
    fs::write(&declares, manifest).unwrap();
    fs::write(steps.path().join(".env"), "EXTRA=one\nGITLAB_TOKEN=geheim12345\n").unwrap();
    let again = install();
    assert!(again.stdout.starts_with("0 done, 2 skipped"), "{}{}", again.stdout, again.stderr);
    assert_eq!(host.read("srv/sudoers"), "one\n");
}

/// Commands of a build do not have the environment of whoever builds: where that matters, it is said in a line.
#[test]
fn what_a_build_does_not_hand_on_is_told() {
    let manifest = "name: Files\nversion: 1.0.0\nrun_order: [a.yml]\nrequired_env: [{name: NEEDED}]\nvariables: {WORD: x}\n\
                    image: {env: {OF_IMAGE: i}}\n";
    let tasks = "- {name: One, action: run_command, reason: test, command: 'echo \"$LICENSE_SERVER\" $HOME $USER $NEEDED $WORD $OF_IMAGE $OWN $COSIGN_PASSWORD > /srv/one', skip_if: '[ \"$ALLOY_BACKEND\" = wsl2 ]', env: {OWN: o}}\n\
                 - {name: Two, action: run_command, reason: test, command: 'for i in 1 2; do echo $i $LICENSE_SERVER; done; SET=1; echo $SET'}\n\
                 - {name: Profile, action: write_env_file, file: /etc/profile.d/site.sh, content: 'export SITE=1'}\n\
                 - {name: Three, action: run_command, reason: test, command: 'echo $SITE $FILE $http_proxy'}\n\
                 - {name: Host, action: run_command, reason: test, command: 'echo $OF_HOST', exclude: docker}\n";
    let steps = blueprint(&[("manifest.yml", manifest), ("a.yml", tasks), ("f.env", "FILE=f\n")]);
    let env_file = steps.path().join("f.env");
    let set = [
        "LICENSE_SERVER",
        "ALLOY_BACKEND",
        "NEEDED",
        "WORD",
        "OF_IMAGE",
        "OWN",
        "COSIGN_PASSWORD",
        "i",
        "SET",
        "SITE",
        "FILE",
        "OF_HOST",
    ];
    let store = Store::with_base();
    let types = |words: &[&str]| run(store.alloy(words).envs(set.map(|name| (name, "here"))).env_remove("USER")).ok();
    let place = text(steps.path());
    let built = types(&["build", place, "--env-file", text(&env_file), "--strict"]).stderr;
    let line = |name: &str| format!("`${name}` is set here, and a build does not hand it to its commands");
    for (name, at) in [("LICENSE_SERVER", "a.yml:1:"), ("ALLOY_BACKEND", "a.yml:1:")] {
        let told: Vec<&str> = built.lines().filter(|told| told.contains(&line(name))).collect();
        assert!(told.len() == 1 && told[0].contains(at), "{name}: {built}");
    }
    assert_eq!(built.matches("is set here").count(), 2, "{built}");
    let checked = types(&["check", place, "--strict"]).stdout;
    assert!(
        checked.contains(&format!("note: {place}/a.yml:1:")) && checked.contains(&line("LICENSE_SERVER")),
        "{checked}"
    );
    assert!(checked.contains(&line("FILE")) && checked.matches("is set here").count() == 3, "{checked}");
    // Whoever does not have it set hears nothing.
    assert!(!run(&mut store.alloy(&["check", place])).ok().stdout.contains("is set here"));
}
