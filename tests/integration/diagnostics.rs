//! Bad blueprints and what is said about them: `testdata/blueprints/bad/NAME` and the text in its `expected.txt`.
//! With `ALLOY_UPDATE=1` the texts are written anew, to be read in review.

use std::path::Path;

use crate::support::{repository, run, shared, text};

#[test]
fn bad_blueprints_are_explained() {
    let bad = repository("testdata/blueprints/bad");
    let mut names: Vec<_> = std::fs::read_dir(&bad).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert!(names.len() >= 10);
    let mut wrong = Vec::new();
    for name in names {
        let expected = bad.join(&name).join("expected.txt");
        let mut command = shared().alloy(&["build", text(Path::new(&name))]);
        let ended = run(command.current_dir(&bad).env_remove("GITLAB_TOKEN").env("NO_COLOR", "1")).fails(3);
        assert_eq!(ended.stdout, "");
        if std::env::var_os("ALLOY_UPDATE").is_some() {
            std::fs::write(&expected, &ended.stderr).unwrap();
        }
        if std::fs::read_to_string(&expected).unwrap_or_default() != ended.stderr {
            wrong.push(format!("{}:\n{}", name.display(), ended.stderr));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_directory_without_a_manifest_is_named() {
    let empty = tempfile::tempdir().unwrap();
    let ended = shared().run(&["build", text(empty.path())]).fails(2);
    assert!(ended.stderr.contains("is not a blueprint: it has no manifest.yml"), "{}", ended.stderr);
    shared().run(&["build", "/does/not/exist"]).fails(2);
}

#[test]
fn warnings_are_errors_when_asked() {
    let good = repository("testdata/blueprints/ok/warnings");
    let ended = shared().run(&["build", text(&good)]).ok();
    assert!(ended.stderr.contains("`colour` is not a field of `run_command`"), "{}", ended.stderr);
    shared().run(&["build", text(&good), "--strict"]).fails(3);
}
