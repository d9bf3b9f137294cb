//! `supported_bases` of the manifest: what the blueprint was made for.

use crate::support::host::Host;
use crate::support::{Store, blueprint, shared, text};

fn made_for(bases: &str, more: &str) -> tempfile::TempDir {
    let manifest = format!("name: Made\nversion: 1.0.0\nsupported_bases: {bases}\nrun_order: [a.yml]\n{more}");
    let task = "- {name: A, action: write_env_file, file: /etc/made, content: a}\n";
    blueprint(&[("manifest.yml", &manifest), ("a.yml", task)])
}

#[test]
fn the_first_base_is_meant_and_another_one_is_told() {
    let steps = made_for("['deb:bookworm?variant=apt', 'deb:trixie']", "");
    let place = text(steps.path());
    let said = shared().run(&["plan", place]).ok();
    assert!(said.stdout.contains("deb:bookworm?variant=apt") && !said.stderr.contains("made for"), "{}", said.stdout);
    shared().run(&["check", place]).ok();
    let said = shared().run(&["check", place, "--base", "deb:bookworm"]);
    assert!(!said.stderr.contains("made for"), "{}", said.stderr);
    let said = shared().run(&["plan", place, "--base", "scratch"]).ok().stderr;
    let warning =
        "manifest.yml:3:19: the blueprint was made for deb:bookworm?variant=apt, deb:trixie, and this is scratch";
    assert!(said.contains(warning), "{said}");
    shared().run(&["plan", place, "--base", "scratch", "--strict"]).fails(3);
    // What the image names goes before, and is another one as well.
    let steps = made_for("[deb:trixie]", "image: {base: scratch}\n");
    let said = shared().run(&["plan", text(steps.path())]).ok().stderr;
    assert!(said.contains("made for deb:trixie, and this is scratch"), "{said}");
    let steps = made_for("[]", "");
    let said = shared().run(&["check", text(steps.path())]).fails(1).stdout;
    assert!(said.contains("`supported_bases` is empty"), "{said}");
}

#[test]
fn a_host_of_another_suite_is_told() {
    let (host, store) = (Host::debian(), Store::new());
    let steps = made_for("[deb:jammy]", "");
    for more in [&["--dry-run"][..], &[]] {
        let said = host.install(&store, steps.path(), more).ok().stderr;
        assert!(said.contains("this host is bookworm, and the blueprint was made for jammy"), "{said}");
    }
    let steps = made_for("[deb:jammy, deb:bookworm]", "");
    let said = host.install(&store, steps.path(), &["--dry-run"]).ok().stderr;
    assert!(!said.contains("made for"), "{said}");
}

#[test]
fn a_user_that_a_host_lacks_is_told_where_skip_if_may_hold() {
    let (host, store) = (Host::debian(), Store::new());
    let steps = |condition: &str| {
        crate::support::tasks(&format!(
            "- {{name: first, action: run_command, reason: test, command: 'true', always_run: true}}\n\
             - {{name: Own, action: run_command, reason: test, command: 'true', run_as: eve, skip_if: '{condition}'}}\n"
        ))
    };
    let warning = "tasks.yml:2: Own: unless its `skip_if` holds, it will fail: there is no user `eve`";
    let said = host.install(&store, steps("test -e /home/eve/.done").path(), &[]).fails(1).stderr;
    assert!(said.contains(warning) && said.find(warning) < said.find("first"), "{said}");
    // One that waits for the user says nothing.
    let said = host.install(&store, steps("! id eve").path(), &[]).ok().stderr;
    assert!(!said.contains("unless its"), "{said}");
}
