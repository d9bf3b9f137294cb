//! Bad blueprints and what is said about them: `testdata/blueprints/bad/NAME` and the text in its `expected.txt`, as
//! `alloy check` prints it; `testdata/blueprints/unbuildable/NAME` for what only a build finds wrong.
//! With `ALLOY_UPDATE=1` the texts are written anew, to be read in review.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use alloy::action::{ACTIONS, COMMON};
use serde_json::Value;

use crate::support::{ALLOY, Ended, repository, run, shared, text};

/// The directories in a directory of the repository, by name.
pub fn directories(path: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(repository(path)).unwrap().map(|entry| entry.unwrap().path());
    // `examples/ci` has recipes of CI services, and no blueprint.
    let mut directories: Vec<_> = entries.filter(|path| path.is_dir() && !path.ends_with("examples/ci")).collect();
    directories.sort();
    directories
}

fn name(directory: &Path) -> &str {
    text(Path::new(directory.file_name().unwrap()))
}

/// Runs alloy on the blueprints of `directories` by their bare names.
fn alloy(arguments: &[&str], directories: &[PathBuf]) -> Ended {
    let names: Vec<&str> = directories.iter().map(|directory| name(directory)).collect();
    let mut command = shared().alloy(&[arguments, &names].concat());
    let parent = directories[0].parent().unwrap();
    run(command.current_dir(parent).env_remove("GITLAB_TOKEN").env("NO_COLOR", "1"))
}

fn compare(path: &str, said: impl Fn(PathBuf) -> String) {
    let mut wrong = Vec::new();
    for directory in directories(path) {
        let (expected, name) = (directory.join("expected.txt"), name(&directory).to_owned());
        let said = said(directory);
        if std::env::var_os("ALLOY_UPDATE").is_some() {
            std::fs::write(&expected, &said).unwrap();
        }
        if std::fs::read_to_string(&expected).unwrap_or_default() != said {
            wrong.push(format!("{name}:\n{said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn bad_blueprints_are_explained() {
    assert!(directories("testdata/blueprints/bad").len() >= 150);
    compare("testdata/blueprints/bad", |directory| {
        let ended = alloy(&["check"], &[directory]).fails(1);
        assert_eq!(ended.stderr, "");
        ended.stdout
    });
}

#[test]
fn so_is_what_only_a_build_finds() {
    compare("testdata/blueprints/unbuildable", |directory| {
        alloy(&["check"], std::slice::from_ref(&directory)).ok();
        let ended = alloy(&["build"], &[directory]).fails(3);
        assert_eq!(ended.stdout, "");
        ended.stderr
    });
}

#[test]
fn a_build_says_what_a_check_says() {
    let directory = repository("testdata/blueprints/bad/wrong-values");
    let ended = alloy(&["build"], std::slice::from_ref(&directory)).fails(3);
    let said = ended.stderr.strip_prefix("error: the blueprint has 7 errors\n\n").unwrap();
    let checked = std::fs::read_to_string(directory.join("expected.txt")).unwrap();
    assert!(checked.starts_with(said), "{said}");
}

/// The problems of all bad blueprints: file, line, column and severity of each.
fn problems(format: &str) -> Vec<(String, u64, u64, String)> {
    let ended = alloy(&["check", "--format", format], &directories("testdata/blueprints/bad")).fails(1);
    let json: Value = serde_json::from_str(&ended.stdout).unwrap();
    let (all, place): (&Value, fn(&Value) -> [&Value; 4]) = match format {
        "json" => (&json, |p| [&p["file"], &p["line"], &p["column"], &p["severity"]]),
        _ => (&json["runs"][0]["results"], |p| {
            let place = &p["locations"][0]["physicalLocation"];
            let region = &place["region"];
            [&place["artifactLocation"]["uri"], &region["startLine"], &region["startColumn"], &p["level"]]
        }),
    };
    let texts = |p| {
        let [file, line, column, severity] = place(p);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(file), line.as_u64().unwrap(), column.as_u64().unwrap(), text(severity))
    };
    all.as_array().unwrap().iter().map(texts).collect()
}

#[test]
fn one_run_reports_all_of_them_in_every_form() {
    let all = directories("testdata/blueprints/bad");
    let human = alloy(&["check"], &all).fails(1).stdout;
    assert!(human.contains(&format!("\n{} blueprints checked: ", all.len())), "{human}");
    let json = problems("json");
    for directory in &all {
        let prefix = format!("{}/", name(directory));
        let of_this: Vec<_> = json.iter().filter(|(file, ..)| file.starts_with(&prefix)).collect();
        assert!(of_this.iter().any(|(.., severity)| severity == "error"), "nothing is said of {prefix}");
        for (file, line, column, _) in of_this {
            assert!(*line > 0 && *column > 0);
            assert!(human.contains(&format!("[{file}:{line}:{column}]")) || human.contains(&format!("{file}: ")));
        }
    }
    assert_eq!(json, problems("sarif"));
}

#[test]
fn good_blueprints_and_examples_are_found_good() {
    for path in ["testdata/blueprints/ok", "examples"] {
        let all = directories(path);
        let ended = alloy(&["check"], &all).ok();
        assert!(ended.stdout.contains(&format!("{} blueprints checked: 0 errors", all.len())), "{}", ended.stdout);
    }
}

#[test]
fn the_good_ones_show_every_action_with_every_field() {
    let mut used = BTreeSet::new();
    for directory in directories("testdata/blueprints/ok") {
        let (blueprint, _) = alloy::blueprint::read(&directory).unwrap();
        for task in blueprint.unwrap().files.into_iter().flat_map(|file| file.tasks) {
            let action = task.fields.get("action").unwrap().text("action").unwrap().to_owned();
            used.extend(task.fields.entries.into_iter().map(|(key, _)| (action.clone(), key.text)));
        }
    }
    for action in ACTIONS {
        for field in action.fields {
            assert!(used.contains(&(action.name.to_owned(), field.name.to_owned())), "{}: {}", action.name, field.name);
        }
    }
    for field in &COMMON {
        assert!(used.iter().any(|(_, used)| used == field.name), "{}", field.name);
    }
}

#[test]
fn a_directory_without_a_manifest_is_named() {
    let empty = tempfile::tempdir().unwrap();
    let ended = shared().run(&["build", text(empty.path())]).fails(2);
    assert!(ended.stderr.contains("is not a blueprint: it has no manifest.yml"), "{}", ended.stderr);
    shared().run(&["build", "/does/not/exist"]).fails(2);
    // The others are looked at all the same.
    let (good, bad) = (repository("examples/hello"), repository("testdata/blueprints/bad/tab"));
    let ended = shared().run(&["check", text(empty.path()), text(&good), "/does/not/exist", text(&bad)]).fails(2);
    assert!(ended.stderr.contains("it has no manifest.yml") && ended.stderr.contains("/does/not/exist"));
    assert!(ended.stdout.contains("2 blueprints checked: 1 error"), "{}", ended.stdout);
}

#[test]
fn what_was_meant_by_a_place_without_a_manifest_is_told() {
    let blueprint = crate::support::tasks("[]\n");
    let place = text(blueprint.path());
    let ended = shared().run(&["check", &format!("{place}/manifest.yml")]).fails(2);
    for part in ["manifest.yml is a file: a blueprint is a directory", &format!("name its directory: {place}")] {
        assert!(ended.stderr.contains(part), "{}", ended.stderr);
    }
    std::fs::rename(blueprint.path().join("manifest.yml"), blueprint.path().join("manifest.yaml")).unwrap();
    let ended = shared().run(&["build", place]).fails(2);
    assert!(ended.stderr.contains("rename manifest.yaml to manifest.yml"), "{}", ended.stderr);
}

#[test]
fn warnings_are_errors_when_asked() {
    let good = repository("testdata/blueprints/ok/warnings");
    let ended = shared().run(&["build", text(&good)]).ok();
    assert!(ended.stderr.contains("`colour` is not a field of `run_command`"), "{}", ended.stderr);
    shared().run(&["build", text(&good), "--strict"]).fails(3);
    shared().run(&["check", text(&good), "--strict"]).fails(1);
}

#[test]
fn what_cannot_be_read_is_named() {
    let blueprint = crate::support::tasks("[]\n");
    let at = |name: &str| blueprint.path().join(name);
    // A pipe that nobody writes to would never end.
    crate::support::tool("mkfifo", &[text(&at("variables.yml"))]).ok();
    let ended = shared().run(&["check", text(blueprint.path())]).fails(1);
    assert!(ended.stdout.contains("`variables.yml` is not a file"), "{}", ended.stdout);
    std::fs::remove_file(at("variables.yml")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", at("alloy.lock.yml")).unwrap();
    let ended = shared().run(&["check", text(blueprint.path())]).fails(1);
    assert!(ended.stdout.contains("leads out of the blueprint"), "{}", ended.stdout);
}

#[test]
fn a_blueprint_that_is_named_twice_is_checked_once_and_has_its_path_in_the_repository() {
    let place = tempfile::tempdir().unwrap();
    fs::create_dir_all(place.path().join(".git")).unwrap();
    let directory = place.path().join("boards/bad");
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("manifest.yml"), "name: x\nversion: 1.0.0\nrun_order: []\nnonsense: 1\n").unwrap();
    let check = |here: &Path, arguments: &[&str]| -> serde_json::Value {
        let mut command = Command::new(ALLOY);
        command.current_dir(here).args(["check", "--strict", "--format", "gitlab"]).args(arguments);
        serde_json::from_slice(&command.output().unwrap().stdout).unwrap()
    };
    let (absolute, above) = (text(&directory), directory.parent().unwrap());
    let report = check(&directory, &[]);
    assert_eq!(report[0]["location"]["path"], "boards/bad/manifest.yml", "{report:#}");
    for (here, arguments) in [
        (directory.as_path(), &["."][..]),
        (&directory, &["../bad/"]),
        (above, &["bad"]),
        (above, &["./bad"]),
        (above, &["bad", "bad", "./bad/../bad", absolute]),
        (place.path(), &["boards/bad"]),
        (Path::new("/"), &[absolute]),
    ] {
        assert_eq!(check(here, arguments), report, "{arguments:?} in {}", here.display());
    }
}
