//! Files that are made to break a reader: too large, too deep, too much when expanded. Each is refused, or taken, in
//! no time and within 200 MiB.

use std::process::Command;

use crate::support::{ALLOY, Ended, blueprint, run, text};

/// KiB of address space. What a process has in memory is less.
const MEMORY: u32 = 200 << 10;
/// Seconds of a processor, of a debug build: how busy the machine is does not count.
const TIME: u32 = 60;

const MANIFEST: &str = "name: Bad\nversion: 1.0.0\nrun_order: [tasks.yml]\n";
const WRITE: &str = "- name: One\n  action: write_env_file\n  file: /x\n  content: ";

fn check(files: &[(&str, &str)]) -> Ended {
    let mut all = vec![("manifest.yml", MANIFEST), ("tasks.yml", "[]\n")];
    all.extend(files);
    let blueprint = blueprint(&all);
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -v {MEMORY}; ulimit -t {TIME}; exec \"$0\" \"$@\""), ALLOY, "check"]);
    let ended = run(command.arg(text(blueprint.path())).env("NO_COLOR", "1"));
    assert!(ended.stdout.len() < 2 << 20, "{} bytes are said", ended.stdout.len());
    ended
}

#[track_caller]
fn refused(files: &[(&str, &str)], why: &str) {
    let ended = check(files).fails(1);
    assert!(ended.stdout.contains(why), "{}", ended.stdout);
}

#[test]
fn too_large() {
    refused(&[("tasks.yml", &"- name: x\n".repeat(5 << 20))], "larger than 4 MiB");
    refused(&[("tasks.yml", &"- name: x\n".repeat(400_000))], "too many values");
    let (big, list) =
        (format!("- {}\n", "x".repeat(3 << 20)), "name: x\nversion: 1\nrun_order: [a.yml, b.yml, c.yml]\n");
    refused(&[("manifest.yml", list), ("a.yml", &big), ("b.yml", &big), ("c.yml", &big)], "8 MiB together");
}

#[test]
fn too_deep() {
    for opening in ["[", "{a: ", "- ", "? ", "[{x: "] {
        check(&[("tasks.yml", &opening.repeat(100_000))]).fails(1);
    }
    let closed = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    check(&[("tasks.yml", &closed)]).fails(1);
}

#[test]
fn too_much_when_expanded() {
    let why = "the aliases of this file expand to too much";
    let ten = |level: usize| format!("*l{level}, ").repeat(10);
    let bomb: String = (1..30).map(|level| format!("- &l{level} [{}]\n", ten(level - 1))).collect();
    refused(&[("tasks.yml", &format!("- &l0 x\n{bomb}"))], why);
    let merged: String =
        (1..30).map(|level| format!("- &l{level} {{<<: [{}], k{level}: *l{}}}\n", ten(level - 1), level - 1)).collect();
    refused(&[("tasks.yml", &format!("- &l0 {{a: 1}}\n{merged}"))], why);
    let long = format!("- &a {}\n{}", "x".repeat(1 << 20), "- *a\n".repeat(100_000));
    refused(&[("tasks.yml", &long)], why);
    let anchors: String = (0..60).map(|level| format!("{:1$}- &a{level}\n", "", 2 * level)).collect();
    refused(&[("tasks.yml", &format!("{anchors}{:120}[{}]\n", "", "x,".repeat(80_000)))], "too many values");
    let variables = format!("A: {}\n", "x".repeat(1 << 20));
    let tasks = format!("{WRITE}'{}'\n", "{{.Vars.A}}".repeat(90_000));
    refused(
        &[("variables.yml", &variables), ("tasks.yml", &tasks)],
        "the variables of this blueprint expand to too much",
    );
    let targets = "a, ".repeat(90_000);
    let build = "- name: x\n  action: build_artifact\n  artifact_source: {url: https://example.com/x}\n";
    let tasks = format!("{build}  run_as: {}\n  make_targets: [{targets}]\n", "u".repeat(1 << 20));
    refused(&[("tasks.yml", &tasks)], "`run_as` is longer");
    let needed: String = (0..1000).map(|index| format!("  - name: V{index}\n")).collect();
    let manifest = format!("{MANIFEST}required_env:\n{needed}");
    let tasks = format!("{build}  make_targets: [{targets}]\n");
    refused(&[("manifest.yml", &manifest), ("tasks.yml", &tasks)], "carry too much environment along");
}

#[test]
fn long_lines_are_cut() {
    check(&[("tasks.yml", &format!("{WRITE}{}\n", "x".repeat(1 << 20)))]).ok();
    let half = "x".repeat(1 << 19);
    let ended = check(&[("tasks.yml", &format!("{WRITE}{half}{{{{.Vars.NOPE}}}}{half}\n"))]).fails(1);
    assert!(ended.stdout.contains("there is no variable `NOPE`") && ended.stdout.len() < 2000, "{}", ended.stdout);
    let ended = check(&[("tasks.yml", &format!("- name: One\n  action: {half}\n"))]).fails(1);
    assert!(ended.stdout.contains("there is no action") && ended.stdout.len() < 4000, "{}", ended.stdout);
}

#[test]
fn thousands_of_problems_are_not_all_told() {
    let unknown: String = (0..30_000).map(|index| format!("  elsewhere{index}: 1\n")).collect();
    check(&[("tasks.yml", &format!("- name: x\n  action: apt_install\n  packages: []\n{unknown}"))]).ok();
    let files: String = (0..40_000).map(|index| format!("  - file{index}.yml\n")).collect();
    refused(&[("manifest.yml", &format!("name: x\nversion: 1\nrun_order:\n{files}"))], "1000 errors");
    let pad = "x".repeat(50);
    let variables: String = (0..20_000).map(|index| format!("VARIABLE_{index:06}_{pad}: 1\n")).collect();
    let uses: String = (0..20_000).map(|index| format!("{{{{.Vars.VARIABEL_{index:06}_{pad}}}}}")).collect();
    refused(&[("variables.yml", &variables), ("tasks.yml", &format!("{WRITE}'{uses}'\n"))], "1000 errors");
    check(&[("tasks.yml", &format!("{WRITE}|\n{}", "    \tx\n".repeat(500_000)))]).ok();
    check(&[("tasks.yml", &format!("a: x\n{}", "\n".repeat(4_000_000)))]).fails(1);
}
