//! What the store holds: listed, counted, and deleted in parts.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Store, blueprint, tasks, text};

const MANIFEST: &str = "name: Test\nversion: 1.0.0\nrun_order: [tasks.yml]\nvariables: {ONE: first}\n";
const HOUR: Duration = Duration::from_secs(3600);

/// A store, and a blueprint that a file and a variable go into, on a small root file system.
struct Small {
    store: Store,
    blueprint: TempDir,
    base: String,
}

impl Small {
    fn new() -> Self {
        let store = Store::new();
        let manifest = format!("{MANIFEST}image: {{env_from_profile: false, labels: {{team: small}}}}\n");
        let tasks = "- {name: one, action: write_env_file, file: /etc/one, content: '{{.Vars.ONE}}'}\n";
        let root = store.path().join("root");
        std::fs::create_dir_all(root.join("etc")).unwrap();
        std::fs::write(root.join("etc/root"), "root\n".repeat(1000)).unwrap();
        let base = format!("rootfs:{}", text(&root));
        Self { store, blueprint: blueprint(&[("manifest.yml", &manifest), ("tasks.yml", tasks)]), base }
    }

    /// Builds it with `ONE`, and gives the digest.
    #[track_caller]
    fn build(&self, one: &str, more: &[&str]) -> String {
        let variable = format!("ONE={one}");
        let all = ["build", "-q", text(self.blueprint.path()), "--base", &self.base, "--var", &variable];
        let printed = self.store.run(&[&all[..], more].concat()).ok().stdout;
        printed.trim().rsplit('@').next().unwrap().to_owned()
    }

    #[track_caller]
    fn du(&self) -> Value {
        serde_json::from_str(&self.store.run(&["du", "--format", "json"]).ok().stdout).unwrap()
    }

    /// What `prune` with these options says that it deletes, in bytes; `verb` stands before it.
    #[track_caller]
    fn prune(&self, more: &[&str]) -> String {
        let ended = self.store.run(&[&["prune"], more].concat()).ok();
        ended.stdout.lines().last().unwrap().split_once(' ').unwrap().1.replace("free ", "")
    }

    fn place(&self, path: &str) -> PathBuf {
        self.store.path().join("store").join(path)
    }

    /// Makes everything below a directory of the store as old as that.
    fn age(&self, directory: &str, age: Duration) {
        let entries = std::fs::read_dir(self.place(directory)).unwrap().flatten();
        entries.for_each(|entry| aged(&entry.path(), age));
    }

    fn count(&self, directory: &str) -> usize {
        std::fs::read_dir(self.place(directory)).unwrap().count()
    }
}

fn aged(path: &Path, age: Duration) {
    File::open(path).unwrap().set_modified(SystemTime::now() - age).unwrap();
}

fn lines(text: &str) -> Vec<&str> {
    text.lines().collect()
}

#[test]
fn images_are_listed_as_they_are_asked_for() {
    let small = Small::new();
    let store = &small.store;
    let first = small.build("first", &["-t", "r.example/team/rig:1", "-t", "kept"]);
    let second = small.build("second", &["-t", "rig:pr-7", "-t", "rig:pr-8"]);
    let nameless = small.build("third", &[]);
    let quiet = |more: &[&str]| {
        let printed = store.run(&[&["images", "-q"], more].concat()).ok().stdout;
        printed.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(quiet(&[]), [first.clone(), second.clone()], "each once, in the order of the names");
    assert_eq!(quiet(&["rig"]), [first.clone(), second.clone()]);
    assert_eq!(quiet(&["team/*"]), [first.as_str()]);
    assert_eq!(quiet(&["rig:pr-*", "none"]), [second.as_str()]);
    assert_eq!(quiet(&["--filter", "reference=r.example/*/rig", "kept"]), [first.as_str()]);
    assert_eq!(quiet(&["--filter", "label=team"]).len(), 2);
    assert_eq!(quiet(&["--filter", "label=team=small", "kept"]), [first.as_str()]);
    assert_eq!(quiet(&["--filter", "label=team=large"]), [""; 0]);
    assert_eq!(quiet(&["--filter", "dangling=true"]), [nameless.as_str()]);
    assert_eq!(quiet(&["--filter", "dangling=true", "--filter", "label=team=large"]), [""; 0]);
    assert_eq!(quiet(&["--all"]).len(), 3);
    assert_eq!(quiet(&["--filter", "until=1h"]), [""; 0]);
    assert_eq!(quiet(&["--filter", "until=0s"]).len(), 2);
    assert_eq!(quiet(&["--filter", "until=2000-01-01T00:00:00Z"]), [""; 0]);
    assert_eq!(quiet(&["--filter", "before=kept"]), [""; 0]);
    // Built within one second, they have an order all the same; names of one build have none.
    assert_eq!(quiet(&["--filter", "since=kept"]), [second.as_str()]);
    assert_eq!(quiet(&["--filter", "before=rig:pr-7"]), [first.as_str()]);
    assert_eq!(quiet(&["--filter", "since=rig:pr-7"]), [""; 0]);
    // An image is not older or newer than itself, whatever it was called when.
    store.run(&["tag", "kept", "later:1"]).ok();
    assert_eq!(quiet(&["--filter", "before=later:1"]), [second.as_str()]);
    assert_eq!(quiet(&["--filter", "since=kept"]), [second.as_str()]);
    store.run(&["untag", "later:1"]).ok();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    for (until, count) in [((now - 3600).to_string(), 0), ((now + 1).to_string(), 2), ("2099-01-01".to_owned(), 2)] {
        assert_eq!(quiet(&["--filter", &format!("until={until}")]).len(), count, "{until}");
    }
    assert_eq!(quiet(&["--filter", "until=1h30m"]), [""; 0]);
    // Of one condition any is enough, of different ones all are needed.
    assert_eq!(quiet(&["--filter", "reference=kept", "--filter", "reference=rig:pr-*"]).len(), 2);
    assert_eq!(quiet(&["--filter", "reference=rig:pr-*", "--filter", "before=rig:pr-7"]), [""; 0]);
    store.run(&["images", "--filter", "dangling=true", "--filter", "dangling=false"]).fails(2);
    let said = store.run(&["inspect", &second["sha256:".len()..][..5]]).fails(1).stderr;
    assert!(said.contains("has at least 7 digits, or 4 behind `sha256:`"), "{said}");
    for reserved in ["sha256:abcdef", "local:rig", "alloy-failed"] {
        for command in [&["tag", "kept", reserved][..], &["pull", reserved], &["build", ".", "-t", reserved]] {
            let said = store.run(command).fails(2).stderr;
            assert!(said.contains("is no name for an image") && said.contains("REGISTRY/"), "{command:?}: {said}");
        }
    }
    let said = store.run(&["images", "--filter", "name=rig"]).fails(2).stderr;
    assert!(said.contains("there is no filter `name`") && said.contains("reference=GLOB"), "{said}");
    store.run(&["images", "--filter", "since=none"]).fails(1);

    let table = store.run(&["images", "--no-trunc", "kept"]).ok().stdout;
    assert!(table.contains(&first) && table.contains("kept:latest"), "{table}");
    let table = store.run(&["images", "--all"]).ok().stdout;
    assert_eq!(lines(&table).iter().filter(|line| line.starts_with("- ")).count(), 1, "{table}");
    let all: Value = serde_json::from_str(&store.run(&["images", "--all", "--format", "json"]).ok().stdout).unwrap();
    let by_line = store.run(&["images", "--all", "--json"]).ok().stdout;
    let by_line: Vec<Value> = by_line.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(all.as_array().unwrap(), &by_line);
    assert_eq!(by_line.last().unwrap()["name"], Value::Null);
    // What is listed is what other commands take.
    let digests = quiet(&["rig:pr-*"]);
    let gone = store.run(&["rmi", &digests[0]]).ok().stdout;
    assert_eq!(gone, "rig:pr-7\nrig:pr-8\n");
}

#[test]
fn what_is_counted_is_what_prune_frees() {
    let small = Small::new();
    small.build("first", &["-t", "kept", "-t", "same"]);
    small.build("second", &["-t", "other"]);
    small.build("third", &[]);
    std::fs::write(small.place("downloads").join("0".repeat(64)), vec![0; 100_000]).unwrap();
    std::fs::create_dir_all(small.place("cache/lists/one")).unwrap();
    std::fs::write(small.place("cache/lists/one/list"), vec![0; 50_000]).unwrap();
    std::fs::create_dir(small.place("work/build-dead")).unwrap();
    std::fs::write(small.place("work/build-dead/file"), vec![0; 20_000]).unwrap();
    let before = small.du();
    let row = |all: &Value, kind: &str, what: &str| {
        let found = all["kinds"].as_array().unwrap().iter();
        let mut found = found.filter(|row| row["kind"] == kind && row["what"].as_str().unwrap().contains(what));
        found.next().unwrap_or_else(|| panic!("{kind} {what} in {all}")).clone()
    };
    let count = |kind: &str, what: &str| row(&before, kind, what)["count"].as_u64().unwrap();
    assert_eq!([count("images", ""), count("layers", "several"), count("layers", "one image")], [3, 1, 2]);
    assert_eq!([count("layers", "no image"), count("downloads", ""), count("caches", "")], [1, 1, 1]);
    let (total, can_go) = (before["bytes"].as_u64().unwrap(), before["can_go"].as_u64().unwrap());
    assert!(can_go > 170_000 && can_go < total, "{before}");
    let dry = small.prune(&["--dry-run"]);
    assert_eq!(small.du(), before);
    let human = small.store.run(&["du"]).ok().stdout;
    assert!(human.lines().last().unwrap().ends_with(&format!("  {dry}")), "{dry} is not the end of\n{human}");
    assert_eq!(small.prune(&[]), dry);
    let after = small.du();
    assert_eq!(after["can_go"], 0, "{after}");
    assert_eq!(row(&after, "layers", "no image")["count"], 0);
    // Directories, records and locks come and go with what is in them.
    let freed = total - after["bytes"].as_u64().unwrap();
    assert!(freed >= can_go && freed < can_go + 200_000, "{freed} of {can_go}");
}

#[test]
fn what_was_used_last_goes_last() {
    let small = Small::new();
    small.build("first", &["-t", "kept"]);
    let blobs = small.count("blobs/sha256");
    small.build("second", &[]);
    let download = |digit: &str| small.place("downloads").join(digit.repeat(64));
    for (digit, hours) in [("1", 1), ("2", 50), ("3", 100)] {
        std::fs::write(download(digit), vec![0; 1 << 20]).unwrap();
        aged(&download(digit), hours * HOUR);
    }
    // Age alone: of those kinds that are named.
    assert_eq!(small.prune(&["--older-than", "4d", "--kind", "layers"]), "0 B");
    small.prune(&["--older-than", "4d", "--kind", "downloads,caches"]);
    assert!(download("1").exists() && download("2").exists() && !download("3").exists());
    // Until the store is small enough, from what was used longest ago.
    let keep = (small.du()["bytes"].as_u64().unwrap() - (1 << 19)).to_string();
    small.prune(&["--keep-storage", &keep]);
    assert!(download("1").exists() && !download("2").exists());
    small.prune(&["--keep-storage", "1TB"]);
    assert!(download("1").exists());
    assert_eq!(small.count("blobs/sha256"), blobs + 4);
    // A layer that a build finds again is used, however old it is.
    small.age("blobs/sha256", 100 * HOUR);
    small.age("records/layers", 100 * HOUR);
    small.build("second", &[]);
    small.prune(&["--older-than", "2d", "--kind", "layers"]);
    assert_eq!(small.count("blobs/sha256"), blobs + 4);
    small.age("blobs/sha256", 100 * HOUR);
    small.age("records/layers", 100 * HOUR);
    small.prune(&["--older-than", "2d", "--kind", "layers", "--dry-run"]);
    small.prune(&["--older-than", "2d", "--kind", "layers"]);
    assert_eq!(small.count("blobs/sha256"), blobs + 3);
    // What a name stands for never goes, and what went is made again.
    let ended = small.store.run(&["run", "kept", "/none"]);
    assert_eq!(ended.code, Some(127), "{}", ended.stderr);
    small.build("second", &["-t", "again"]);
    assert_eq!(small.count("blobs/sha256"), blobs + 4);
    for more in [&["--dry-run"][..], &[]] {
        let said = small.store.run(&[&["prune", "--keep-storage", "1kB"], more].concat()).ok().stderr;
        assert!(said.contains("of --keep-storage: images need "), "{said}");
    }
    let said = small.store.run(&["prune", "--keep-storage", "1TB"]).ok().stderr;
    assert!(!said.contains("images need"), "{said}");
    let said = small.store.run(&["prune", "--older-than", "1mo"]).fails(2).stderr;
    assert!(said.contains("`mo` is no unit; units are y (365 days), w, d, h"), "{said}");
    small.prune(&["--older-than", "1y"]);
    let said = small.store.run(&["prune", "--keep-storage", "much"]).fails(2).stderr;
    assert!(said.contains("write 10GB"), "{said}");
}

#[test]
fn a_name_goes_with_what_it_alone_needed() {
    let small = Small::new();
    small.build("first", &["-t", "one"]);
    let digest = small.build("second", &["-t", "two", "-t", "three"]);
    small.build("third", &[]);
    let download = small.place("downloads").join("1".repeat(64));
    std::fs::write(&download, "wanted").unwrap();
    let before = small.count("blobs/sha256");
    assert_eq!(small.prune(&["two", "--dry-run"]), "0 B");
    small.prune(&["two"]);
    assert_eq!(small.count("blobs/sha256"), before, "three needs all of it");
    small.prune(&[&digest]);
    // Layer, config, manifest and provenance.
    assert_eq!(small.count("blobs/sha256"), before - 4);
    assert!(download.exists());
    assert_eq!(lines(&small.store.run(&["images"]).ok().stdout).len(), 2);
    small.build("third", &["-t", "four"]);
    assert_eq!(small.count("blobs/sha256"), before - 4);
    small.prune(&["--kind", "downloads"]);
    assert!(!download.exists());
    let logs = small.count("logs");
    small.prune(&[]);
    assert_eq!(small.count("logs"), logs);
    small.prune(&["--kind", "logs"]);
    assert_eq!(small.count("logs"), 0);
}

#[test]
fn what_failed_builds_leave_has_a_name_each_and_goes() {
    let small = Small::new();
    let fails = |name: &str| {
        let script = format!("- {{name: x, action: write_env_file, file: /etc/{name}, content: x}}\n");
        tasks(&(script + "- {name: fail, action: run_command, reason: test, command: /none}\n"))
    };
    let (one, two) = (fails("one"), fails("two"));
    let mut names = Vec::new();
    for blueprint in [&one, &two] {
        let said = small.store.run(&["build", text(blueprint.path()), "--base", &small.base]).fails(1).stderr;
        let name = said.trim_end().rsplit("alloy run ").next().unwrap().to_owned();
        assert!(name.starts_with("alloy-failed:"), "{said}");
        names.push(name);
    }
    assert_ne!(names[0], names[1]);
    let inspected =
        |name: &str| -> Value { serde_json::from_str(&small.store.run(&["inspect", name]).ok().stdout).unwrap() };
    assert_ne!(inspected(&names[0])["digest"], inspected(&names[1])["digest"]);
    assert_eq!(inspected("alloy-failed")["digest"], inspected(&names[1])["digest"], "the last one");
    small.prune(&["--older-than", "1h"]);
    small.prune(&["--kind", "downloads"]);
    small.prune(&["--dry-run"]);
    inspected(&names[0]);
    let can_go = small.du()["can_go"].as_u64().unwrap();
    assert!(can_go > 0);
    let ended = small.store.run(&["prune"]).ok();
    assert!(ended.stderr.contains(&format!("{} goes", names[0])), "{}", ended.stderr);
    small.store.run(&["inspect", &names[0]]).fails(1);
    assert_eq!(small.du()["can_go"], 0);
    assert_eq!(small.count("blobs/sha256"), 0);
}

#[test]
fn commands_of_other_tools_lead_to_ours() {
    let store = Store::new();
    for (typed, said) in [
        ("ps", "alloy run"),
        ("exec", "alloy run"),
        ("shell", "-v .:/work"),
        ("history", "alloy inspect"),
        ("ls", "alloy images"),
        ("init", "manifest.yml"),
        ("version", "alloy --version"),
        ("save", "type=oci-archive"),
    ] {
        let ended = store.run(&[typed]).fails(2);
        assert!(ended.stderr.contains(&format!("there is no command `{typed}`")), "{}", ended.stderr);
        assert!(ended.stderr.contains(said) && ended.stderr.contains("hint: "), "{}", ended.stderr);
    }
    // What is only misspelt is told as before.
    assert!(store.run(&["biuld"]).fails(2).stderr.contains("build"));
}
