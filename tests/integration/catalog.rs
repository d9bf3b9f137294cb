//! `alloy catalog`: real git, real directories.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::files::Files;
use crate::support::{Store, text, tool};

const GCC: &str = "toolchain.arm-gnu.arm-none-eabi";

/// The file of a version.
fn version(id: &str, number: &str) -> String {
    format!(
        "spec_version: 1\nid: {id}\nversion: \"{number}\"\nname: Arm GNU Toolchain\nlicense: GPL-3.0\n\
         capabilities: [target.cortex-m]\nproviders:\n  - id: archive\n    method: archive\n    host_platforms:\n      \
         linux/amd64: {{url: 'https://a.example/{number}.tar.xz', sha256: {}}}\n\
         install_hints: {{creates: bin/gcc, note: \"wants \\e[31m Python\"}}\nlifecycle: {{status: stable, released_at: 2024-06-01}}\n",
        "ab".repeat(32)
    )
}

fn index(id: &str, number: &str) -> String {
    format!(
        "spec_version: 1\nid: {id}\ntype: index\naliases: {{stable: \"{number}\"}}\nversions:\n  \
         # newest first\n  - version: \"{number}\"\n    file: {number}.yaml\n"
    )
}

fn write(path: &Path, content: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

/// A catalog with one tool.
fn fill(root: &Path) -> PathBuf {
    let tool = root.join("toolchains/arm-gnu/arm-none-eabi");
    write(&tool.join("index.yaml"), &index(GCC, "13.3.rel1"));
    write(&tool.join("13.3.rel1.yaml"), &version(GCC, "13.3.rel1"));
    tool
}

fn json(store: &Store, arguments: &[&str]) -> Value {
    let ended = store.run(&[arguments, &["--format", "json"]].concat()).ok();
    serde_json::from_str(&ended.stdout).unwrap()
}

pub fn git(directory: &Path, script: &str) {
    let identity = "export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.com \
                    GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.com";
    tool("bash", &["-c", &format!("set -eu; {identity}; cd {}; {script}", text(directory))]).ok();
}

/// A repository with a catalog in its `catalog/`, as the published one has it.
pub fn repository() -> tempfile::TempDir {
    let remote = tempfile::tempdir().unwrap();
    fill(&remote.path().join("catalog"));
    git(remote.path(), "git init -q -b main; git add -A; git commit -qm one");
    remote
}

#[test]
fn a_clone_is_searched_and_shown() {
    let (store, remote) = (Store::new(), repository());
    let none = store.run(&["catalog", "search", "arm"]).fails(1);
    assert!(none.stderr.contains("there is no catalog") && none.stderr.contains("catalog update --remote"));
    store.run(&["catalog", "update"]).fails(2);
    let ended = store.run(&["catalog", "update", "--remote", text(remote.path())]).ok();
    assert!(ended.stdout.starts_with("updated: 1 tool from "), "{}", ended.stdout);
    let found = store.run(&["catalog", "search", "CORTEX", "gnu"]).ok();
    assert!(found.stdout.contains("toolchain.arm-gnu.arm-none-eabi  13.3.rel1  Arm GNU Toolchain"), "{}", found.stdout);
    let nothing = store.run(&["catalog", "search", "avr"]).ok();
    assert!(nothing.stdout.is_empty() && nothing.stderr.contains("none of 1 tool matches `avr`"));
    let shown = store.run(&["catalog", "info", &format!("{GCC}@stable")]).ok().stdout;
    for part in [
        "13.3.rel1        stable",
        "released 2024-06-01",
        "archive (archive)",
        "linux/amd64",
        "sha256:abab",
        "creates    bin/gcc",
    ] {
        assert!(shown.contains(part), "{part} is not in\n{shown}");
    }
    assert!(!shown.contains('\u{1b}'), "what others write must not steer the terminal");
    let told = json(&store, &["catalog", "info", GCC]);
    assert_eq!(
        told["version"]["providers"][0]["host_platforms"]["linux/amd64"]["url"],
        "https://a.example/13.3.rel1.tar.xz"
    );
    let unknown = store.run(&["catalog", "info", "toolchain.arm-gnu.arm-none-eabj"]).fails(2);
    assert!(unknown.stderr.contains("did you mean `toolchain.arm-gnu.arm-none-eabi`?"), "{}", unknown.stderr);
}

#[test]
fn an_update_is_whole_or_nothing() {
    let (store, remote) = (Store::new(), repository());
    let update = ["catalog", "update", "--remote", text(remote.path())];
    assert_eq!(json(&store, &update)["changed"], true);
    assert_eq!(json(&store, &["catalog", "update"])["changed"], false);
    fill(&remote.path().join("catalog"));
    let west = remote.path().join("catalog/tools/python/west");
    write(&west.join("index.yaml"), &index("tool.python.west", "1.3"));
    write(&west.join("1.3.yaml"), &version("tool.python.west", "1.3"));
    git(remote.path(), "git add -A; git commit -qm two");
    let updated = json(&store, &["catalog", "update"]);
    assert_eq!((&updated["changed"], &updated["tools"]), (&true.into(), &2.into()));
    // The next state is no catalog any more: the last one stays.
    git(remote.path(), "git rm -qr catalog; echo gone > README; git add -A; git commit -qm three");
    let broken = store.run(&["catalog", "update"]).fails(1);
    assert!(broken.stderr.contains("holds no catalog"), "{}", broken.stderr);
    let gone = store.run(&["catalog", "update", "--remote", "https://127.0.0.1:1/none"]).fails(4);
    assert!(gone.stderr.contains("git failed"), "{}", gone.stderr);
    assert_eq!(json(&store, &["catalog", "search"])["tools"].as_array().unwrap().len(), 2);
    let left = std::fs::read_dir(store.path().join("store")).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(left.into_iter().all(|name| !name.to_string_lossy().contains(".alloy-")));
}

#[test]
fn nothing_of_anybody_else_is_replaced() {
    let (store, remote) = (Store::new(), repository());
    let mine = repository();
    let update = ["catalog", "update", "--remote", text(remote.path())];
    let refused = store.run(&[&update[..], &["--catalog", text(mine.path())]].concat()).fails(2);
    assert!(refused.stderr.contains("is left alone"), "{}", refused.stderr);
    store.run(&update).ok();
    let added = store.path().join("2.yaml");
    write(&added, &version(GCC, "2"));
    store.run(&["catalog", "add", text(&added)]).ok();
    git(remote.path(), "git commit -q --allow-empty -m two");
    let refused = store.run(&["catalog", "update"]).fails(1);
    assert!(
        refused.stderr.contains("changes of its own") && refused.stderr.contains("--discard"),
        "{}",
        refused.stderr
    );
    store.run(&["catalog", "update", "--discard"]).ok();
    store.run(&["catalog", "info", &format!("{GCC}@2")]).fails(2);
}

/// The existing tools clone their catalog with git.
#[test]
fn a_clone_of_another_tool_is_taken_over_if_nothing_is_lost() {
    let (store, remote, other) = (Store::new(), repository(), repository());
    let place = store.path().join("theirs");
    let clone = || {
        let _ = std::fs::remove_dir_all(&place);
        git(store.path(), &format!("git clone -q {} theirs", text(remote.path())));
    };
    let update = |from: &Path, more: &[&str]| {
        store.run(&[&["catalog", "update", "--remote", text(from), "--catalog", text(&place)], more].concat())
    };
    for change in [
        "echo x > own.txt",
        "echo own.txt >> .git/info/exclude; echo x > own.txt",
        "git commit -q --allow-empty -m own",
        "git checkout -q -b own; git commit -q --allow-empty -m own; git checkout -q main",
        "echo x >> catalog/toolchains/arm-gnu/arm-none-eabi/index.yaml; git stash -q",
    ] {
        clone();
        git(&place, change);
        git(remote.path(), "git commit -q --allow-empty -m more");
        let said = update(remote.path(), &["--discard"]).fails(1).stderr;
        assert!(said.contains("changes of its own") && said.contains("move it away"), "{change}: {said}");
    }
    clone();
    let said = update(other.path(), &[]).fails(2).stderr;
    assert!(said.contains("is a clone of") && said.contains("is left alone"), "{said}");
    git(remote.path(), "git commit -q --allow-empty -m last");
    assert!(update(remote.path(), &[]).ok().stdout.starts_with("updated: 1 tool"));
    assert!(place.join(".git/alloy-catalog").exists());
    assert!(update(remote.path(), &[]).ok().stdout.starts_with("up to date"));
}

#[test]
fn a_plain_web_server_is_enough() {
    let (store, files) = (Store::new(), Files::serve());
    let script = format!(
        "mkdir -p tools/python/west; cat > tools/python/west/index.yaml <<'END'\n{}END\ncommit one",
        index("tool.python.west", "1")
    );
    let remote = files.repository("catalog", &script);
    let ended = store.run(&["catalog", "update", "--remote", &remote]).ok();
    // The version's file is missing: that is said, and the tool is there.
    assert!(
        ended.stdout.contains("1 tool") && ended.stderr.contains("1.yaml:1:1: the index lists this file"),
        "{}",
        ended.stderr
    );
}

#[test]
fn broken_entries_are_named_and_no_more() {
    let (store, directory) = (Store::new(), tempfile::tempdir().unwrap());
    let gcc = fill(directory.path());
    write(
        &directory.path().join("sdks/zephyr/zephyr-sdk/index.yaml"),
        "spec_version: 1\nid: sdk.zephyr.zephyr-sdk\nversions: none\n",
    );
    let here = ["--catalog", text(directory.path())];
    let search = [&["catalog", "search"], &here[..]].concat();
    for _ in 0..2 {
        let ended = store.run(&search).ok();
        assert!(ended.stdout.contains(GCC) && !ended.stdout.contains("zephyr"), "{}", ended.stdout);
        assert!(ended.stderr.contains("zephyr-sdk/index.yaml:3:11: `versions` must be a list"), "{}", ended.stderr);
    }
    // What is remembered follows the files, however they change.
    let other = version(GCC, "13.3.rel1").replace("Arm GNU", "Gnu Arm");
    write(&gcc.join("13.3.rel1.yaml"), &other);
    assert!(store.run(&search).ok().stdout.contains("Gnu Arm Toolchain"));
    std::fs::remove_dir_all(directory.path().join("sdks")).unwrap();
    assert_eq!(json(&store, &search)["problems"], serde_json::json!([]));
    write(&gcc.join("13.3.rel1.yaml"), &other.replace("method: archive", "method: zip"));
    let broken = store.run(&[&["catalog", "info", GCC], &here[..]].concat()).fails(3);
    assert!(
        broken.stderr.contains("13.3.rel1.yaml:9:13") && broken.stderr.contains("did you mean `pip`?"),
        "{}",
        broken.stderr
    );
}

#[test]
fn a_version_is_added_where_it_belongs() {
    let (store, directory) = (Store::new(), tempfile::tempdir().unwrap());
    let gcc = fill(directory.path());
    let file = store.path().join("new.yaml");
    write(&file, &version(GCC, "14.10"));
    let here = ["--catalog", text(directory.path())];
    let add = [&["catalog", "add", text(&file)], &here[..]].concat();
    store.run(&[&add[..], &["--alias", "latest"]].concat()).ok();
    let expected = index(GCC, "13.3.rel1").replace("aliases: {", "aliases: {latest: \"14.10\", ").replace(
        "  - version: \"13",
        "  - version: \"14.10\"\n    file: \"14.10.yaml\"\n    status: \"stable\"\n  - version: \"13",
    );
    assert_eq!(std::fs::read_to_string(gcc.join("index.yaml")).unwrap(), expected);
    assert_eq!(std::fs::read_to_string(gcc.join("14.10.yaml")).unwrap(), version(GCC, "14.10"));
    // Twice is once; another file of that version has to be meant.
    store.run(&add).ok();
    write(&file, &version(GCC, "14.10").replace("Arm", "ARM"));
    assert!(store.run(&add).fails(2).stderr.contains("--replace"));
    store.run(&[&add[..], &["--replace"]].concat()).ok();
    assert_eq!(std::fs::read_to_string(gcc.join("index.yaml")).unwrap(), expected);
    // A file that stands in a catalog says itself which.
    let standing = directory.path().join("tools/python/west/1.3.yaml");
    write(&standing, &version("tool.python.west", "1.3"));
    store.run(&["catalog", "add", text(&standing)]).ok();
    assert_eq!(
        json(&store, &[&["catalog", "info", "tool.python.west"], &here[..]].concat())["aliases"]["stable"],
        "1.3"
    );
    write(&file, &version(GCC, "15").replace("method: archive", "method: zip").replace("license:", "name:"));
    let wrong = store.run(&add).fails(3);
    assert!(wrong.stderr.contains("new.yaml:5:1") && !gcc.join("15.yaml").exists(), "{}", wrong.stderr);
}

/// As many entries as a public catalog will have.
#[test]
fn thousands_of_entries_are_read_once() {
    let (store, directory) = (Store::new(), tempfile::tempdir().unwrap());
    for number in 0..3000 {
        let id = format!("tool.vendor{}.tool{number}", number % 60);
        let place = directory.path().join(format!("tools/vendor{}/tool{number}", number % 60));
        write(&place.join("index.yaml"), &index(&id, "1.0"));
        write(&place.join("1.0.yaml"), &version(&id, "1.0"));
    }
    let search = ["catalog", "search", "tool2999", "--catalog", text(directory.path())];
    assert_eq!(json(&store, &search)["tools"][0]["id"], "tool.vendor59.tool2999");
    // Whether the files are read again shows in a record that says something else than they do.
    let (key, remembered) = store.opened().records("catalog").unwrap().remove(0);
    let other = String::from_utf8(remembered).unwrap().replace("Arm GNU", "Remembered");
    store.opened().put_record("catalog", &key, other.as_bytes()).unwrap();
    assert_eq!(json(&store, &search)["tools"][0]["name"], "Remembered Toolchain");
    write(&directory.path().join("tools/vendor0/tool0/2.0.yaml"), &version("tool.vendor0.tool0", "2.0"));
    assert_eq!(json(&store, &search)["tools"][0]["name"], "Arm GNU Toolchain");
}
