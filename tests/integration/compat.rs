//! The names of the existing tools; what the package holds; the recipes for CI.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use alloy::yaml::{FileId, Node, Value, parse};

use crate::book::{code_in, texts_to_read};
use crate::support::{ALLOY, Ended, Store, repository, run, text, tool};

/// alloy, called by another name.
fn called(name: &str, arguments: &[&str]) -> Ended {
    let directory = tempfile::tempdir().unwrap();
    let link = directory.path().join(name);
    symlink(ALLOY, &link).unwrap();
    run(Command::new(link).args(arguments).env("ALLOY_HOME", directory.path().join("store")))
}

#[test]
fn links_answer_to_the_names_of_the_tools() {
    let hello = repository("examples/hello");
    for arguments in [&["validate", text(&hello)][..], &["validate", "-blueprint-dir", text(&hello)]] {
        let ended = called("alloy-host", arguments).ok();
        assert!(ended.stdout.starts_with("1 blueprint checked: 0 errors"), "{}", ended.stdout);
    }
    let ended = called("alloy-provisioner", &["catalog", "search", "-format=json", "arm"]).fails(1);
    assert!(ended.stderr.contains("there is no catalog"), "{}", ended.stderr);
    assert!(called("alloy-provisioner", &["-version"]).ok().stdout.starts_with("alloy-provisioner "));
    assert!(called("alloy-host", &[]).ok().stdout.contains("alloy-host validate [DIR]"));
    let ended = called("alloy-host", &["up", "arm-dev"]).fails(2);
    assert!(ended.stderr.contains("virtual machines") && ended.stderr.contains("hint:"), "{}", ended.stderr);
    let store = Store::new();
    run(Command::new(ALLOY).args(["compat", "alloy-host", "validate", text(&hello)])).ok();
    store.run(&["compat", "alloy-host", "validate"]).fails(2);
    store.run(&["compat", "alloy-hots"]).fails(2);
}

/// Commands of alloy, `cache ls` and its like included, and the help of each.
#[test]
fn help_and_reference_answer_to_what_is_asked() {
    let alloy = |arguments: &[&str]| crate::support::shared().run(arguments);
    let help = alloy(&["compat", "--help"]).ok().stdout;
    assert!(help.contains("alloy-provisioner") && help.contains("Examples:"), "{help}");
    let said = alloy(&["actions", "pip_install"]).fails(2).stderr;
    assert!(said.contains("did you mean `python_package`?"), "{said}");
    let all: serde_json::Value = serde_json::from_str(&alloy(&["actions", "--format", "json"]).ok().stdout).unwrap();
    let copy = all["actions"].as_array().unwrap().iter().find(|action| action["name"] == "copy").unwrap();
    let source = copy["fields"].as_array().unwrap().iter().find(|field| field["name"] == "source").unwrap();
    assert_eq!(source["required"], true);
    let one = alloy(&["actions", "copy", "--format=json"]).ok().stdout;
    assert_eq!(serde_json::from_str::<serde_json::Value>(&one).unwrap(), *copy);
    assert_eq!(alloy(&["check", "/nowhere"]).fails(2).stdout, "");
}

fn commands() -> Vec<(String, String)> {
    let below = |words: &[&str]| -> Vec<String> {
        let help = tool(ALLOY, &[words, &["--help"]].concat()).ok().stdout;
        // In groups at the top, in one list below it.
        let lines = help.lines().skip_while(|line| *line != "Commands:" && *line != "Build:").skip(1);
        let lines = lines.take_while(|line| *line != "Options:" && !line.starts_with("`alloy COMMAND"));
        let names = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
        names.map(|line| line.split_whitespace().next().unwrap().to_owned()).filter(|name| name != "help").collect()
    };
    let mut found = Vec::new();
    for command in below(&[]) {
        if command == "compat" {
            continue;
        }
        for inner in below(&[&command]) {
            found.push(format!("{command} {inner}"));
        }
        found.push(command);
    }
    let help = |command: &str| {
        let words: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        tool(ALLOY, &words).ok().stdout
    };
    found.into_iter().map(|command| (command.clone(), help(&command))).collect()
}

#[test]
fn completions_and_man_pages_know_every_command() {
    let commands = commands();
    assert!(commands.len() > 20 && commands.iter().any(|(name, _)| name == "catalog search"));
    for shell in ["bash", "zsh", "fish"] {
        let script = tool(ALLOY, &["completions", shell]).ok().stdout;
        for (command, _) in &commands {
            let word = command.split(' ').next_back().unwrap();
            assert!(script.contains(word), "{shell} does not complete {command}");
        }
    }
    let bash = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(bash.path(), tool(ALLOY, &["completions", "bash"]).ok().stdout).unwrap();
    let script = format!(
        ". {}; COMP_WORDS=(alloy cat); COMP_CWORD=1; _alloy alloy cat alloy; echo \"${{COMPREPLY[@]}}\"",
        text(bash.path())
    );
    assert_eq!(tool("bash", &["-c", &script]).ok().stdout.trim(), "catalog");
    let pages = tempfile::tempdir().unwrap();
    tool(ALLOY, &["man", text(pages.path())]).ok();
    for (command, _) in &commands {
        let page = pages.path().join(format!("alloy-{}.1", command.replace(' ', "-")));
        assert!(std::fs::read_to_string(&page).is_ok_and(|page| page.contains(".TH")), "{}", page.display());
    }
    assert!(std::fs::read_to_string(pages.path().join("alloy.1")).unwrap().contains("daemonless"));
}

/// All texts of a tree.
fn texts(node: &Node, found: &mut Vec<String>) {
    match &node.value {
        Value::Scalar { text, .. } => found.push(text.clone()),
        Value::Sequence(items) => items.iter().for_each(|item| texts(item, found)),
        Value::Mapping(mapping) => mapping.entries.iter().for_each(|(_, node)| texts(node, found)),
    }
}

#[test]
fn recipes_use_only_what_there_is() {
    let commands = commands();
    let mut used = 0;
    for entry in std::fs::read_dir(repository("examples/ci")).unwrap() {
        let path = entry.unwrap().path();
        let recipe = std::fs::read_to_string(&path).unwrap();
        let mut found = Vec::new();
        if path.extension().is_some_and(|extension| extension == "yml") {
            texts(
                &parse(FileId(0), &recipe).unwrap_or_else(|error| panic!("{}: {error:?}", path.display())),
                &mut found,
            );
        } else {
            // Steps of a Jenkinsfile.
            let step = |line: &str| Some(line.trim().strip_prefix("sh '")?.strip_suffix('\'')?.to_owned());
            found.extend(recipe.lines().filter_map(step));
        }
        let joined: Vec<String> = found.iter().map(|text| text.replace("\\\n", " ")).collect();
        for line in joined.iter().flat_map(|text| text.lines()) {
            for command in line.split('|').filter_map(|part| part.trim().strip_prefix("alloy ")) {
                check(&path, command, &commands);
                used += 1;
            }
        }
    }
    assert!(used >= 9, "{used} commands were looked at");
}

#[test]
fn the_texts_name_only_commands_that_there_are() {
    let (commands, mut used) = (commands(), 0);
    // The reference is made from the definitions of the commands.
    for file in texts_to_read().into_iter().filter(|file| !file.starts_with("docs/src/reference/")) {
        for code in code_in(&file) {
            // `compat` is tested by itself; what begins otherwise is no command.
            let line = code.strip_prefix("alloy ").filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()));
            if let Some(line) = line.filter(|line| !line.starts_with("compat")) {
                check(Path::new(&file), line, &commands);
                used += 1;
            }
        }
    }
    assert!(used >= 120, "{used} commands were looked at");
}

fn check(path: &Path, line: &str, commands: &[(String, String)]) {
    let place = path.display();
    let fits = |name: &str| line == name || line.starts_with(&format!("{name} "));
    let longest = commands.iter().filter(|(name, _)| fits(name)).max_by_key(|(name, _)| name.len());
    let (_, help) = longest.unwrap_or_else(|| panic!("{place}: there is no `alloy {line}`"));
    let flags: Vec<&str> = help.split(|c: char| c.is_whitespace() || "[],=".contains(c)).collect();
    for word in line.split_whitespace().map(|word| word.trim_start_matches('[')).filter(|word| word.starts_with('-')) {
        let flag = word.split(['=', '[', ']']).next().unwrap();
        assert!(flags.contains(&flag), "{place}: `alloy {line}`: there is no {flag}");
    }
}
