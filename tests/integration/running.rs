//! `alloy run`.

use crate::support::{repository, shared, text};

#[test]
fn a_command_runs_as_asked() {
    let store = shared();
    store.build(&[text(&repository("examples/hello")), "-t", "running"]);
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("in"), "from outside").unwrap();
    let volume = format!("{}:/work", text(place.path()));
    let script = "cat in; echo $A; id -un; pwd; echo out > out; exit 3";
    let arguments =
        ["run", "-v", &volume, "-e", "A=b", "-w", "/work", "-u", "root", "running", "--", "sh", "-c", script];
    assert_eq!(store.run(&arguments).fails(3).stdout, "from outsideb\nroot\n/work\n");
    assert_eq!(std::fs::read_to_string(place.path().join("out")).unwrap(), "out\n");
    let read_only = format!("{volume}:ro");
    store.run(&["run", "-v", &read_only, "running", "touch", "/work/x"]).fails(1);
    store.run(&["run", "-v", "/does/not/exist:/x", "running", "true"]).fails(2);
    store.run(&["run", "running", "no-such-program"]).fails(127);
    store.run(&["run", "-u", "nobody-knows", "running", "true"]).fails(1);
    let near = store.run(&["run", "runnign", "true"]).fails(1);
    assert!(near.stderr.contains("did you mean `running:latest`?"), "{}", near.stderr);
}

#[test]
fn changes_are_forgotten_or_kept() {
    let store = shared();
    store.build(&[text(&repository("examples/hello")), "-t", "changing"]);
    store.run(&["run", "changing", "touch", "/srv/x"]).ok();
    store.run(&["run", "changing", "test", "-e", "/srv/x"]).fails(1);
    store.run(&["run", "--rw", "changing", "touch", "/srv/x"]).ok();
    store.run(&["run", "changing", "test", "-e", "/srv/x"]).ok();
    let listed = store.run(&["images"]).ok().stdout;
    assert!(listed.contains("changing:latest"), "{listed}");
}
