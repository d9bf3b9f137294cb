//! The recipes for CI: their scripts are run as GitLab, GitHub and Jenkins run them, with a registry that wants a password.

use std::fs;

use serde_json::Value;

use crate::support::follower::Shell;
use crate::support::{copy_of, repository, text, tool};

/// A file of YAML as it is.
fn recipe(name: &str) -> Value {
    let script = "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1])), default=str))";
    let path = repository("examples/ci").join(name);
    serde_json::from_str(&tool("python3", &["-c", script, text(&path)]).ok().stdout).unwrap()
}

/// The lines of a job, as one script.
fn script(job: &Value) -> String {
    let lines = job["script"].as_array().unwrap().iter().map(|line| line.as_str().unwrap());
    lines.collect::<Vec<_>>().join("\n")
}

/// A checkout with a blueprint in `environment/`.
fn checkout(shell: &Shell) -> std::path::PathBuf {
    let checkout = shell.place.path().join("checkout");
    fs::create_dir(&checkout).unwrap();
    let from = copy_of("examples/hello");
    tool("cp", &["-r", text(from.path()), text(&checkout.join("environment"))]).ok();
    checkout
}

#[test]
fn gitlab_s() {
    let shell = Shell::with(Some(("ci", "secret")));
    let (recipe, checkout) = (recipe("gitlab-ci.yml"), checkout(&shell));
    let given = "export CI_REGISTRY=registry.example CI_REGISTRY_IMAGE=registry.example/team CI_REGISTRY_USER=ci \
                 CI_REGISTRY_PASSWORD=secret CI_COMMIT_REF_SLUG=main CI_COMMIT_SHORT_SHA=0a1b2c3d \
                 IMAGE=registry.example/team/environment HOME=\"$PWD\"";
    assert_eq!(recipe["variables"]["IMAGE"], "$CI_REGISTRY_IMAGE/environment");
    // Alone, `changes` is true wherever GitLab does not know what was pushed.
    let rules = recipe.as_object().unwrap().values().flat_map(|job| job["rules"].as_array().into_iter().flatten());
    let changes: Vec<&Value> = rules.filter(|rule| rule["changes"].is_array()).collect();
    assert!(changes.len() >= 2 && changes.iter().all(|rule| rule["if"].is_string()), "{changes:#?}");
    let job = |name: &str| shell.run(&checkout, &format!("{given}\n{}", script(&recipe[name])));
    job("check").ok();
    job("build").ok();
    assert!(fs::read_to_string(checkout.join("sbom.spdx.json")).unwrap().contains("SPDX-2.3"));
    assert!(fs::read_to_string(checkout.join("metadata.json")).unwrap().contains("containerimage.digest"));
    let report = |checkout: &std::path::Path| -> Value {
        serde_json::from_slice(&fs::read(checkout.join("gl-code-quality-report.json")).unwrap()).unwrap()
    };
    assert_eq!(report(&checkout), serde_json::json!([]));
    // What is wrong is in the report and in the log, and ends the job.
    fs::write(checkout.join("environment/hello.yml"), "- {name: x, action: write_env_file, content: y}\n").unwrap();
    let wrong = job("check").fails(1);
    assert!(format!("{}{}", wrong.stdout, wrong.stderr).contains("environment/hello.yml:1"), "{}", wrong.stderr);
    let report = report(&checkout);
    assert_eq!(report[0]["location"]["path"], "environment/hello.yml", "{report:#}");
    assert_eq!((&report[0]["severity"], &report[0]["location"]["lines"]["begin"]), (&"major".into(), &1.into()));
    assert_eq!(report[0]["fingerprint"].as_str().unwrap().len(), 64);
}

#[test]
fn github_s() {
    let shell = Shell::with(Some(("ci", "secret")));
    let (recipe, checkout) = (recipe("github-actions.yml"), checkout(&shell));
    let steps = recipe["jobs"]["image"]["steps"].as_array().unwrap();
    // What installs alloy is another machine's affair.
    let steps = steps.iter().filter(|step| step["run"].as_str().is_some_and(|run| run.contains("alloy ")));
    let steps: Vec<&Value> = steps.filter(|step| step["name"] != "Install alloy").collect();
    assert_eq!(steps.len(), 4, "{steps:#?}");
    let image = recipe["env"]["IMAGE"].as_str().unwrap();
    let given =
        format!("export REGISTRY=registry.example IMAGE={image} TOKEN=secret GITHUB_SHA=0a1b2c3d HOME=\"$PWD\"");
    let run = |name: &str| {
        let step = steps.iter().find(|step| step["name"].as_str().unwrap().starts_with(name)).unwrap();
        shell.run(&checkout, &format!("{given}\n{}", step["run"].as_str().unwrap()))
    };
    run("Check").ok();
    // Nobody has logged in yet.
    run("Build it, without").ok();
    run("Log in").ok();
    run("Build and push").ok();
    run("Build it, without").ok();
    assert_eq!(recipe["jobs"]["firmware"]["container"]["options"], "--user root");
}

/// The words of each `sh` step of a Jenkinsfile, in their order.
fn steps(recipe: &str) -> Vec<String> {
    let words = recipe.lines().filter_map(|line| line.trim().strip_prefix("sh '")?.strip_suffix('\''));
    words.map(|words| words.replace("\\'", "'")).collect()
}

#[test]
fn jenkins_s() {
    let shell = Shell::with(Some(("ci", "secret")));
    let checkout = checkout(&shell);
    let recipe = fs::read_to_string(repository("examples/ci/Jenkinsfile")).unwrap();
    assert_eq!(recipe.matches(['{', '(', '[']).count(), recipe.matches(['}', ')', ']']).count());
    let image = recipe.lines().find_map(|line| line.trim().strip_prefix("IMAGE = '")).unwrap().trim_end_matches('\'');
    let given =
        format!("export IMAGE={image} GIT_COMMIT=0a1b2c3d REGISTRY_USER=ci REGISTRY_PASSWORD=secret HOME=\"$PWD\"");
    let steps = steps(&recipe);
    assert_eq!(steps.len(), 5, "{steps:#?}");
    let run = |step: &str| shell.run(&checkout, &format!("{given}\n{step}")).ok();
    // In their order: a change before anybody has logged in, then the main branch.
    steps.iter().for_each(|step| drop(run(step)));
    assert!(steps[1].contains("--cache-to none") && steps[2].contains("alloy login"), "{steps:#?}");
    run(&steps[1]);
    assert!(fs::read_to_string(checkout.join("alloy.sarif")).unwrap().contains("\"2.1.0\""));
    assert!(fs::read_to_string(checkout.join("sbom.spdx.json")).unwrap().contains("SPDX-2.3"));
    assert!(fs::read_to_string(checkout.join("metadata.json")).unwrap().contains("containerimage.digest"));
}
