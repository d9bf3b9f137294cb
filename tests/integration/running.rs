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
    for nowhere in ["/", "/work/../x"] {
        let said = store.run(&["run", "-v", &format!("{}:{nowhere}", text(place.path())), "running", "true"]);
        assert!(said.fails(2).stderr.contains("PATH "));
    }
    // Who names a group is in no other, as elsewhere.
    let id = |user: &str| store.run(&["run", "-u", user, "running", "--", "id", "-G"]).ok().stdout;
    assert_eq!((id("1234:55").as_str(), id("1234").as_str(), id("root:7").as_str()), ("55\n", "0\n", "7\n"));
    // A working directory that no layer has is made, as other tools do.
    let there = store.run(&["run", "-w", "/made/here", "running", "--", "sh", "-c", "pwd; stat -c %U%a ."]).ok();
    assert_eq!(there.stdout, "/made/here\nroot755\n");
    let there = store.run(&["run", "-w", "../made/../other/./here", "running", "--", "pwd"]).ok();
    assert_eq!(there.stdout, "/other/here\n");
    let said = store.run(&["run", "-w", "/etc/passwd/x", "running", "true"]).fails(125).stderr;
    assert!(said.contains("/etc/passwd"), "{said}");
    // In what is lent, it is its owner's.
    let there = store.run(&["run", "-v", &volume, "-w", "/work/deep/er", "running", "--", "sh", "-c", "pwd; echo > x"]);
    assert_eq!(there.ok().stdout, "/work/deep/er\n");
    assert!(place.path().join("deep/er/x").exists());
    let said = store.run(&["run", "-v", &read_only, "-w", "/work/none", "running", "true"]).fails(125).stderr;
    assert!(said.contains("/work/none") && !place.path().join("none").exists(), "{said}");
    store.run(&["run", "running", "no-such-program"]).fails(127);
    store.run(&["run", "-u", "nobody-knows", "running", "true"]).fails(125);
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

#[test]
fn output_that_could_not_be_written_is_an_error() {
    let store = shared();
    store.build(&[text(&repository("examples/hello")), "-t", "running"]);
    for script in ["echo x", "echo x; exit 3", "head -c 70000 /dev/zero; exit 0"] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let arguments = ["run", "running", "--", "sh", "-c", script];
        let ended = store.alloy(&arguments).stdout(full).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(!ended.status.success(), "{script}");
        assert!(said.contains("cannot write what the command printed: No space left on device"), "{script}: {said}");
    }
    // A reader that is gone is no fault of anybody's.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ended = store.alloy(&["run", "running", "--", "sh", "-c", "yes; exit 7"]).stdout(writer).output().unwrap();
    assert!(!String::from_utf8_lossy(&ended.stderr).contains("cannot write"), "{ended:?}");
}
