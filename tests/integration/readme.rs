//! What README and the book show is run as it is printed.

use std::fs;

use crate::book::chapters;
use crate::support::follower::Shell;
use crate::support::{Store, copy_of, repository, text};

/// A block between fences.
struct Block {
    file: String,
    language: String,
    text: String,
}

/// All blocks of README and of the chapters, in their order.
fn blocks() -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for file in std::iter::once("README.md".to_owned()).chain(chapters()) {
        let mut open: Option<Block> = None;
        for line in fs::read_to_string(repository(&file)).unwrap().lines() {
            match (line.strip_prefix("```"), open.take()) {
                (Some(_), Some(block)) => blocks.push(block),
                (Some(language), None) => {
                    open = Some(Block { file: file.clone(), language: language.to_owned(), text: String::new() });
                }
                (None, block) => {
                    open = block.map(|block| Block { text: format!("{}{line}\n", block.text), ..block });
                }
            }
        }
        assert!(open.is_none(), "a block of {file} is not closed");
    }
    blocks
}

/// The block of that language that holds `part`.
fn block(language: &str, part: &str) -> String {
    let found: Vec<Block> =
        blocks().into_iter().filter(|block| block.language == language && block.text.contains(part)).collect();
    let [block] = found.as_slice() else { panic!("{} blocks of {language} hold {part}", found.len()) };
    block.text.clone()
}

/// Each block is run by the test that names a part of it.
const RUN: [(&str, &str); 22] = [
    ("sh", "ci/test"),
    ("console", "arm-none-eabi-gcc --version"),
    ("yaml", "# manifest.yml"),
    ("yaml", "# hello.yml"),
    ("yaml", "source: config/            #"),
    ("yaml", "tool-1.2.tar.xz"),
    ("yaml", "west-1.3.0-py3"),
    ("sh", "alloy cache ls"),
    ("yaml", "CI_JOB_TOKEN"),
    ("sh", "alloy publish"),
    ("console", "alloy verify noisy"),
    ("sh", "mkdir greeter"),
    ("sh", "alloy run greeter printenv"),
    ("sh", "cat > greeter/10-tools.yml"),
    ("sh", "alloy build greeter -t greeter:you"),
    ("sh", "alloy lock greeter"),
    ("sh", "team/greeter:1.0.0 --push"),
    ("sh", "mkdir -p work"),
    ("dockerfile", "COPY config/"),
    ("yaml", "# The manifest of the migrated environment."),
    ("yaml", "# 00-packages.yml"),
    ("yaml", "# 10-configuration.yml"),
];

/// Pages about CI, and the recipe that each shows parts of: what `ci_recipes` runs.
const RECIPES: [(&str, &str); 3] = [
    ("docs/src/ci/github.md", "github-actions.yml"),
    ("docs/src/ci/gitlab.md", "gitlab-ci.yml"),
    ("docs/src/ci/jenkins.md", "Jenkinsfile"),
];

/// Pages that are made from the code, with what it says about itself.
const GENERATED: &str = "docs/src/reference/";

/// Commands of a console, each with what it prints.
fn console(text: &str) -> Vec<(String, Vec<String>)> {
    let mut commands: Vec<(String, Vec<String>)> = Vec::new();
    for line in text.lines() {
        match (line.strip_prefix("$ "), commands.last_mut()) {
            (Some(command), _) => commands.push((command.to_owned(), Vec::new())),
            (None, Some((_, printed))) => printed.push(line.to_owned()),
            (None, None) => panic!("{line} is printed by nothing"),
        }
    }
    commands
}

/// True if `printed` is what is shown: digits differ, and `…` stands for anything.
fn shows(shown: &str, printed: &str) -> bool {
    let digits = |text: &str| text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect::<String>();
    let (mut rest, mut parts) = (digits(printed), digits(shown).split('…').map(str::to_owned).collect::<Vec<_>>());
    let last = parts.pop().unwrap_or_default();
    for (at, part) in parts.iter().enumerate() {
        match rest.find(part.as_str()) {
            Some(found) if at > 0 || found == 0 => rest = rest[found + part.len()..].to_owned(),
            _ => return false,
        }
    }
    if parts.is_empty() { rest == last } else { rest.ends_with(&last) }
}

#[test]
fn no_block_is_left_out() {
    let recipe = |block: &Block| RECIPES.iter().find(|(page, _)| *page == block.file);
    for block in blocks().iter().filter(|block| !block.language.is_empty() && recipe(block).is_none()) {
        let runs = RUN.iter().filter(|(language, part)| block.language == *language && block.text.contains(part));
        assert_eq!(runs.count(), 1, "no test runs this block of {}, or several do:\n{}", block.file, block.text);
    }
    for (language, part) in RUN {
        block(language, part);
    }
}

#[test]
fn blocks_without_a_language_are_pictures() {
    for block in blocks().iter().filter(|block| block.language.is_empty() && !block.file.starts_with(GENERATED)) {
        let runs = |line: &str| line.starts_with("$ ") || line.starts_with("alloy ") && !line.contains("──");
        assert!(!block.text.lines().any(runs), "nobody runs this block of {}:\n{}", block.file, block.text);
    }
}

#[test]
fn pages_about_ci_show_parts_of_the_recipes() {
    for (page, recipe) in RECIPES {
        let whole = fs::read_to_string(repository("examples/ci").join(recipe)).unwrap();
        let shown: Vec<Block> = blocks().into_iter().filter(|block| block.file == page).collect();
        assert!(shown.len() >= 3, "{page} shows {} parts", shown.len());
        for block in shown {
            assert!(whole.contains(&block.text), "{recipe} does not have what {page} shows:\n{}", block.text);
        }
    }
}

#[test]
fn the_first_commands() {
    let shell = Shell::new();
    let script = block("sh", "ci/test");
    // The last of them is the one that runs this.
    let script = script.strip_suffix("ci/test\n").expect("ci/test is the last command");
    shell.run(shell.place.path(), script).ok();
    assert!(shell.place.path().join("arm-env.oci/index.json").is_file());
    for (command, printed) in console(&block("console", "arm-none-eabi-gcc --version")) {
        let ended = shell.run(shell.place.path(), &command).ok();
        for line in printed {
            assert!(ended.stdout.lines().any(|real| shows(&line, real)), "{command}: {line}: {}", ended.stdout);
        }
    }
}

#[test]
fn the_first_blueprint_and_a_team_s_cache() {
    let (shell, place) = (Shell::new(), tempfile::tempdir().unwrap());
    for name in ["manifest.yml", "hello.yml"] {
        fs::write(place.path().join(name), block("yaml", &format!("# {name}"))).unwrap();
    }
    shell.run(place.path(), "alloy check . --strict && alloy build . -t hello").ok();
    let greeting = shell.run(place.path(), "alloy run hello -- bash -lc 'echo $GREETING; git --version'").ok();
    assert!(greeting.stdout.starts_with("Hello from a blueprint\ngit version"), "{}", greeting.stdout);
    let ended = shell.run(place.path(), &block("sh", "alloy cache ls")).ok();
    for part in ["hello.yml: cached", "would delete 0 entries", "brought"] {
        assert!(ended.stdout.contains(part), "no {part}: {}", ended.stdout);
    }
    shell.run(place.path(), "alloy inspect registry.example/team/arm-env:1.2").ok();
}

#[test]
fn the_tutorial() {
    let shell = Shell::new();
    let place = shell.place.path();
    let follow = |part: &str| shell.run(place, &block("sh", part)).ok();
    let planned = follow("mkdir greeter").stdout;
    assert!(planned.contains("00-greeting.yml"), "{planned}");
    assert_eq!(follow("alloy run greeter printenv").stdout.lines().last(), Some("Hello, world"));
    let changed = follow("cat > greeter/10-tools.yml");
    assert!(changed.stdout.contains("patch"), "{}", changed.stdout);
    assert!(changed.stderr.contains("[1/2] cached"), "{}", changed.stderr);
    assert_eq!(follow("alloy build greeter -t greeter:you").stdout.lines().last(), Some("Hello, you"));
    assert!(follow("alloy lock greeter").stdout.contains("identical: "));
    follow("team/greeter:1.0.0 --push");
    assert!(fs::read_to_string(place.join("sbom.spdx.json")).unwrap().contains("\"patch\""));
    assert_eq!(follow("mkdir -p work").stdout.lines().last(), Some("Hello, world"));
}

#[test]
fn a_dockerfile_and_the_blueprint_in_its_place() {
    let (shell, place) = (Shell::new(), tempfile::tempdir().unwrap());
    let parts = [
        ("manifest.yml", "# The manifest of the migrated environment."),
        ("00-packages.yml", "# 00-packages.yml"),
        ("10-configuration.yml", "# 10-configuration.yml"),
    ];
    for (name, part) in parts {
        fs::write(place.path().join(name), block("yaml", part)).unwrap();
    }
    fs::create_dir(place.path().join("config")).unwrap();
    fs::write(place.path().join("config/tool.conf"), "").unwrap();
    // What the one installs, copies and sets, the other does, too.
    let dockerfile = block("dockerfile", "COPY config/");
    let packages = dockerfile.split_once("install -y ").unwrap().1.split_once(" &&").unwrap().0.to_owned();
    assert!(block("yaml", "# 00-packages.yml").contains(&packages.replace(' ', ", ")), "{packages}");
    let ended = shell
        .run(
            place.path(),
            "alloy check . --strict && alloy build . -t migrated
             alloy run migrated -- sh -c 'pwd; echo $WORKSPACE; ls /etc/tool; gcc --version; make --version'
             alloy inspect migrated",
        )
        .ok();
    assert!(ended.stdout.contains("\n/work\n/work\ntool.conf\ngcc "), "{}", ended.stdout);
    for part in ["GNU Make", "WorkingDir\": \"/work", "/bin/bash"] {
        assert!(ended.stdout.contains(part), "no {part}: {}", ended.stdout);
    }
    for part in ["WORKSPACE=/work", "WORKDIR /work", "/bin/bash"] {
        assert!(dockerfile.contains(part), "{part}");
    }
}

#[test]
fn files_of_a_blueprint() {
    let (shell, place) = (Shell::new(), tempfile::tempdir().unwrap());
    let manifest = "name: Test\nversion: 1.0.0\nrun_order: [tasks.yml]\n";
    fs::write(place.path().join("manifest.yml"), manifest).unwrap();
    fs::write(place.path().join("tasks.yml"), block("yaml", "source: config/            #")).unwrap();
    fs::create_dir_all(place.path().join("config/more")).unwrap();
    for name in ["tool.conf", "more/old.orig"] {
        fs::write(place.path().join("config").join(name), name).unwrap();
    }
    let ended =
        shell.run(place.path(), "alloy check . --strict && alloy build . -t test && alloy run test -- find /etc/tool");
    let ended = ended.ok();
    assert!(ended.stdout.contains("/etc/tool/tool.conf") && !ended.stdout.contains("old.orig"), "{}", ended.stdout);
}

#[test]
fn what_the_lockfile_pins() {
    let (shell, place) = (Shell::new(), tempfile::tempdir().unwrap());
    let task = "- {name: tool, action: get_file, url: https://a.example/tool-1.2.tar.xz, dest: /opt/tool}\n\
                - {name: west, action: python_package, package: west, version: 1.3.0}\n";
    let lock = [block("yaml", "tool-1.2.tar.xz"), block("yaml", "west-1.3.0-py3")].concat();
    let manifest = "name: Test\nversion: 1.0.0\nrun_order: [tasks.yml]\nimage: {base: 'rootfs:base'}\n";
    fs::create_dir_all(place.path().join("base/etc")).unwrap();
    for (name, content) in [("manifest.yml", manifest), ("tasks.yml", task), ("alloy.lock.yml", &lock)] {
        fs::write(place.path().join(name), content).unwrap();
    }
    let planned = shell.run(place.path(), "alloy check . && alloy plan . --locked").ok();
    for part in ["download https://a.example/tool-1.2.tar.xz: 1.0 MiB", "91.0 KiB"] {
        assert!(planned.stdout.contains(part), "no {part}: {}", planned.stdout);
    }
}

#[test]
fn who_asks_for_downloads() {
    let (shell, place) = (Shell::new(), tempfile::tempdir().unwrap());
    fs::create_dir_all(place.path().join("config/alloy")).unwrap();
    fs::write(place.path().join("config/alloy/config.yml"), block("yaml", "CI_JOB_TOKEN")).unwrap();
    let script = format!(
        "mkdir /run/secrets; echo secret > /run/secrets/artifactory; export CI_JOB_TOKEN=token XDG_CONFIG_HOME={}
         alloy build {} -t hello",
        text(&place.path().join("config")),
        text(&repository("examples/hello"))
    );
    let ended = shell.run(place.path(), &script).ok();
    assert!(!ended.stderr.contains("warning"), "{}", ended.stderr);
}

#[test]
fn blueprints_in_registries() {
    let (shell, place, catalog) = (Shell::new(), copy_of("examples/hello"), crate::catalog::repository());
    let manifest = fs::read_to_string(place.path().join("manifest.yml")).unwrap();
    fs::write(place.path().join("manifest.yml"), manifest.replace("version: 1.0.0", "version: 1.2.0")).unwrap();
    let git = tempfile::NamedTempFile::new().unwrap();
    let instead = format!("[url \"{}\"]\n\tinsteadOf = https://git.example/alloy-catalog\n", text(catalog.path()));
    fs::write(git.path(), instead).unwrap();
    let store = Store::new();
    let script = format!(
        "export GIT_CONFIG_GLOBAL={} ALLOY_CATALOG={}\n{}",
        text(git.path()),
        text(&store.path().join("catalog")),
        block("sh", "alloy publish")
    );
    let ended = shell.run(place.path(), &script).ok();
    for part in ["community/arm/cortex-m:1.2.0@", "my-board", "updated: 1 tool from https://git.example"] {
        assert!(ended.stdout.contains(part), "no {part}: {}", ended.stdout);
    }
    assert!(place.path().join("my-board/alloy.lock.yml").is_file());
}

#[test]
fn what_differs_when_it_is_built_again() {
    let shell = Shell::new();
    let noisy = shell.place.path().join("noisy");
    fs::create_dir(&noisy).unwrap();
    let write = |name: &str, content: &str| fs::write(noisy.join(name), content).unwrap();
    write("manifest.yml", "name: Noisy\nversion: 1.0.0\nrun_order: [a.yml, b.yml, noise.yml]\n");
    for name in ["a", "b"] {
        write(
            &format!("{name}.yml"),
            &format!("- {{name: {name}, action: write_env_file, file: /srv/{name}, content: {name}}}\n"),
        );
    }
    write(
        "noise.yml",
        "- {name: Note the time, action: run_command, reason: x, command: date '+Sat Nov 21 %T UTC 2026' > /srv/now}\n",
    );
    shell.run(shell.place.path(), "alloy build noisy -t noisy").ok();
    for (command, printed) in console(&block("console", "alloy verify noisy")) {
        let ended = shell.run(shell.place.path(), &command);
        let real: Vec<&str> = ended.stdout.lines().collect();
        for line in &printed {
            assert!(real.iter().any(|real| shows(line, real)), "{command}: {line}: {}{}", ended.stdout, ended.stderr);
        }
    }
}

#[test]
fn what_is_shown_stands_for_what_is_printed() {
    assert!(shows("identical: 6 layers, manifest sha256:…", "identical: 6 layers, manifest sha256:0a1b"));
    assert!(shows("a …, built anew …", "a b, built anew c") && !shows("a …, built anew …", "a b"));
    assert!(shows("was \"10:01\"", "was \"23:59\"") && !shows("was", "was not"));
}
