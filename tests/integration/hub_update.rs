//! Clones that become later versions of themselves, and never lose what their users changed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use layers::digest::Digest;
use layers::tar::Kind;

use crate::support::hub::{archive, files, hub};
use crate::support::registry::Registry;
use crate::support::{Ended, Store, blueprint, run, text};

/// A registry, and who clones from it.
struct Clones {
    registry: Registry,
    store: Store,
    place: tempfile::TempDir,
}

impl Clones {
    fn new() -> Self {
        Self { registry: Registry::start(), store: Store::new(), place: tempfile::tempdir().unwrap() }
    }

    fn name(&self, tag: &str) -> String {
        self.registry.image(&format!("community/arm/board:{tag}"))
    }

    /// Publishes a version with these files, which a task copies; those that begin with `#!` are programs.
    fn publish(&self, tag: &str, content: &[(&str, &str)]) {
        let manifest = format!("name: Board\nversion: {tag}.0.0\nrun_order: [tasks.yml]\n");
        let tasks = "- {name: all, action: copy, source: files, dest: /srv}\n";
        let of = [("manifest.yml", manifest.as_str()), ("tasks.yml", tasks)];
        let directory = blueprint(&of);
        for (name, text) in content {
            let path = directory.path().join("files").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            let mode = if text.starts_with("#!") { 0o755 } else { 0o644 };
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
        hub(&self.store, self.place.path(), &["publish", text(directory.path()), &self.name(tag)]).ok();
    }

    fn update(&self, tag: &str, output: &str) -> Ended {
        hub(&self.store, self.place.path(), &["clone", &self.name(tag), "--update", "-o", output])
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.place.path().join(name)).unwrap()
    }
}

#[test]
fn a_clone_becomes_another_version_whatever_that_has() {
    let clones = Clones::new();
    clones.publish("1", &[("a/x", "1"), ("b", "1"), ("tool", "x"), ("same", "s"), ("old", "o")]);
    clones.publish("2", &[("a", "2"), ("b/x", "2"), ("tool", "#!x"), ("same", "s")]);
    clones.publish("3", &[("a", "3"), ("c", "3")]);
    // An ordinary clone can be brought up to date; nothing else is there, and the next time nothing is to be done.
    hub(&clones.store, clones.place.path(), &["clone", &clones.name("1"), "-o", "c"]).ok();
    let said = clones.update("2", "c").ok().stderr;
    assert!(said.contains("files changed"), "{said}");
    let here = clones.place.path().join("c");
    let expected = ["files/a", "files/b/x", "files/same", "files/tool", "manifest.yml", "tasks.yml"];
    assert_eq!(files(&here), expected);
    let mode = fs::metadata(here.join("files/tool")).unwrap().permissions().mode();
    assert_eq!(mode & 0o100, 0o100, "{mode:o}");
    assert!(clones.update("2", "c").ok().stderr.contains("as it was"));
    // From within; what its user has added stays.
    fs::write(here.join("notes.txt"), "mine").unwrap();
    hub(&clones.store, &here, &["clone", &clones.name("3"), "--update", "-o", "."]).ok();
    assert_eq!(files(&here), ["files/a", "files/c", "manifest.yml", "notes.txt", "tasks.yml"]);
    // What lies in the way is nobody else's to replace: then nothing is.
    fs::write(here.join("files/a"), "changed").unwrap();
    let said = clones.update("2", "c").fails(1).stderr;
    assert!(said.contains("files/a") && said.contains("Nothing was changed here"), "{said}");
    assert_eq!((clones.read("c/files/a").as_str(), clones.read("c/files/c").as_str()), ("changed", "3"));
    // Neither is a link, wherever it leads.
    fs::write(here.join("files/a"), "3").unwrap();
    let outside = tempfile::tempdir().unwrap();
    fs::rename(here.join("files"), here.join("moved")).unwrap();
    std::os::unix::fs::symlink(outside.path(), here.join("files")).unwrap();
    clones.update("1", "c").fails(1);
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn a_kill_in_the_middle_leaves_what_any_version_goes_on_from() {
    let clones = Clones::new();
    for version in ["1", "2", "3"] {
        clones.publish(version, &[("a", version), ("b", version), ("c", version), ("same", "s")]);
    }
    clones.update("1", "c").ok();
    // As a kill between two files leaves it: the record is of both versions, the files are some of each.
    let record = clones.place.path().join("c/.alloy-clone.json");
    let first: serde_json::Value = serde_json::from_str(&fs::read_to_string(&record).unwrap()).unwrap();
    clones.update("2", "c").ok();
    let mut both: serde_json::Value = serde_json::from_str(&fs::read_to_string(&record).unwrap()).unwrap();
    for (path, states) in first["files"].as_object().unwrap() {
        both["files"][path].as_array_mut().unwrap().extend(states.as_array().unwrap().iter().cloned());
    }
    both["unfinished"] = true.into();
    fs::write(&record, both.to_string()).unwrap();
    fs::write(clones.place.path().join("c/files/b"), "1").unwrap();
    fs::remove_file(clones.place.path().join("c/files/same")).unwrap();
    clones.update("3", "c").ok();
    for (name, text) in [("a", "3"), ("b", "3"), ("c", "3"), ("same", "s")] {
        assert_eq!(clones.read(&format!("c/files/{name}")), text);
    }
}

#[test]
fn what_its_user_has_removed_stays_removed_until_a_version_has_more_to_say() {
    let clones = Clones::new();
    clones.publish("1", &[("a", "1"), ("b", "1"), ("c", "1")]);
    clones.publish("2", &[("a", "1"), ("b", "2"), ("c", "1")]);
    clones.publish("3", &[("a", "1"), ("b", "2"), ("c", "3")]);
    clones.update("1", "c").ok();
    let here = clones.place.path().join("c");
    fs::remove_file(here.join("files/a")).unwrap();
    fs::remove_file(here.join("files/b")).unwrap();
    for version in ["2", "2", "3"] {
        clones.update(version, "c").ok();
        assert_eq!(files(&here), ["files/b", "files/c", "manifest.yml", "tasks.yml"], "{version}");
        assert_eq!(clones.read("c/files/b"), "2");
    }
}

#[test]
fn a_clone_that_was_killed_in_an_empty_directory_is_gone_on_with() {
    let clones = Clones::new();
    clones.publish("1", &[("a", "1"), ("b", "1")]);
    let here = clones.place.path().join("c");
    let clone = || hub(&clones.store, clones.place.path(), &["clone", &clones.name("1"), "-o", "c"]);
    fs::create_dir(&here).unwrap();
    clone().ok();
    // As a kill leaves it: the record comes first, the manifest last.
    let killed = || {
        let record = here.join(".alloy-clone.json");
        let mut said: serde_json::Value = serde_json::from_str(&fs::read_to_string(&record).unwrap()).unwrap();
        said["unfinished"] = true.into();
        fs::write(&record, said.to_string()).unwrap();
        fs::remove_file(here.join("manifest.yml")).unwrap();
        fs::remove_file(here.join("files/b")).unwrap();
    };
    killed();
    clone().ok();
    assert_eq!(files(&here), ["files/a", "files/b", "manifest.yml", "tasks.yml"]);
    assert!(clone().fails(2).stderr.contains("is there already"));
    // What its user has put there since is not replaced.
    killed();
    fs::write(here.join("files/b"), "mine").unwrap();
    assert!(clone().fails(1).stderr.contains("files/b"));
    assert_eq!(clones.read("c/files/b"), "mine");
}

#[test]
fn a_lockfile_of_one_s_own_is_told_with_what_helps() {
    let clones = Clones::new();
    clones.publish("1", &[("a", "1")]);
    clones.update("1", "c").ok();
    fs::write(clones.place.path().join("c/alloy.lock.yml"), "mine").unwrap();
    let manifest = "name: Board\nversion: 2.0.0\nrun_order: [tasks.yml]\n";
    let tasks = "- {name: all, action: write_env_file, file: /srv/x, content: x}\n";
    let locked = blueprint(&[("manifest.yml", manifest), ("tasks.yml", tasks)]);
    hub(&clones.store, clones.place.path(), &["lock", text(locked.path())]).ok();
    hub(&clones.store, clones.place.path(), &["publish", text(locked.path()), &clones.name("2")]).ok();
    let said = clones.update("2", "c").fails(1).stderr;
    assert!(said.contains("alloy.lock.yml") && said.contains("`alloy lock` adds to it what it lacks"), "{said}");
    assert_eq!(clones.read("c/alloy.lock.yml"), "mine");
}

#[test]
fn no_artifact_says_what_is_its_user_s() {
    let clones = Clones::new();
    let registry = &clones.registry;
    let manifest = "name: x\nversion: 1.0.0\nrun_order: []\n";
    let head = Digest::of("ref: refs/heads/main\n");
    let record = format!("{{\"from\":\"x\",\"files\":{{\".git/HEAD\":[\"{head}\"]}}}}");
    for private in [".alloy-clone.json", "alloy.state.yml", ".env", "deep/.env"] {
        let packed = archive(&[(Kind::File, "manifest.yml", manifest), (Kind::File, private, &record)]);
        let layer = registry.put_blob("a/bad", &packed);
        registry.put_manifest("a/bad", "1", &registry.artifact("a/bad", &[layer]));
        let said = hub(&clones.store, clones.place.path(), &["clone", &registry.image("a/bad:1")]).fails(4).stderr;
        assert!(said.contains("is of one machine or person"), "{private}: {said}");
    }
    // What git has is never a clone's, whatever a record says.
    clones.publish("1", &[("a", "1")]);
    clones.publish("2", &[("a", "2")]);
    clones.update("1", "c").ok();
    let here = clones.place.path().join("c");
    run(std::process::Command::new("git").args(["init", "-q", "-b", "main"]).current_dir(&here)).ok();
    fs::write(here.join(".alloy-clone.json"), record).unwrap();
    clones.update("2", "c").fails(1);
    assert!(here.join(".git/HEAD").is_file());
    // Nor does a clone go into an image, or into what is published.
    let whole = blueprint(&[("manifest.yml", "name: D\nversion: 1.0.0\nrun_order: [t.yml]\n")]);
    fs::write(whole.path().join("t.yml"), "- {name: all, action: copy, source: ., dest: /srv}\n").unwrap();
    let name = registry.image("a/dot:1");
    let publish =
        |directory: &Path| hub(&clones.store, clones.place.path(), &["publish", text(directory), &name]).ok().stdout;
    let first = publish(whole.path());
    hub(&clones.store, clones.place.path(), &["clone", &name, "-o", "dot"]).ok();
    assert_eq!(publish(&clones.place.path().join("dot")), first);
}

/// What another tool has cloned, or somebody has put beside it, is gone on with.
#[test]
fn what_another_tool_has_put_there_is_taken_for_the_clone() {
    let clones = Clones::new();
    clones.publish("1", &[("a", "1"), ("tool", "#!x")]);
    clones.publish("2", &[("a", "2"), ("tool", "#!x")]);
    clones.update("1", "c").ok();
    let here = clones.place.path().join("c");
    let theirs =
        [(".env", "A=1\n"), ("alloy.state.yml", "completed: []\n"), ("Vagrantfile", "v\n"), ("deep/own", "o\n")];
    let forget = || {
        fs::remove_file(here.join(".alloy-clone.json")).ok();
        fs::create_dir_all(here.join("deep")).unwrap();
        theirs.iter().for_each(|(name, text)| fs::write(here.join(name), text).unwrap());
    };
    let stay = || theirs.iter().for_each(|(name, text)| assert_eq!(clones.read(&format!("c/{name}")), *text));
    // As it was cloned, with modes of its own, and without one of its files.
    forget();
    fs::set_permissions(here.join("tasks.yml"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(here.join("files/tool"), fs::Permissions::from_mode(0o644)).unwrap();
    fs::remove_file(here.join("files/a")).unwrap();
    clones.update("1", "c").ok();
    assert_eq!(clones.read("c/files/a"), "1");
    let mode = |name: &str| fs::metadata(here.join(name)).unwrap().permissions().mode() & 0o100;
    assert_eq!((mode("tasks.yml"), mode("files/tool")), (0, 0o100));
    stay();
    assert!(clones.update("1", "c").ok().stderr.contains("as it was"));
    clones.update("2", "c").ok();
    assert_eq!(clones.read("c/files/a"), "2");
    stay();
    // Files that differ are named, and nothing is overwritten; what is said to do helps.
    forget();
    fs::write(here.join("files/a"), "mine").unwrap();
    let said = clones.update("2", "c").fails(1).stderr;
    assert!(said.contains("was not put there by alloy") && said.contains("files/a"), "{said}");
    assert!(!said.contains("tasks.yml") && !here.join(".alloy-clone.json").exists(), "{said}");
    assert_eq!(clones.read("c/files/a"), "mine");
    fs::rename(here.join("files/a"), clones.place.path().join("away")).unwrap();
    clones.update("2", "c").ok();
    assert_eq!(clones.read("c/files/a"), "2");
    stay();
    // Beside its user's files alone, and not where a file is.
    fs::create_dir(clones.place.path().join("d")).unwrap();
    fs::write(clones.place.path().join("d/.env"), "A=1\n").unwrap();
    clones.update("1", "d").ok();
    assert_eq!((clones.read("d/files/a").as_str(), clones.read("d/.env").as_str()), ("1", "A=1\n"));
    fs::write(clones.place.path().join("file"), "x").unwrap();
    let said = clones.update("1", "file").fails(2).stderr;
    assert!(said.contains("file is no directory") && !said.contains("--update"), "{said}");
}
