//! A store in which something was damaged: every command gives what it should, or says what is wrong; a build heals it.
//!
//! `ALLOY_DAMAGE=all` has every file damaged in every way, which takes minutes; without it some of each kind are.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::support::files::Files;
use crate::support::{ALLOY, Ended, blueprint, run, text, tool};

const MANIFEST: &str = "name: Damage\nversion: 1.0.0\nrun_order: [a.yml, b.yml, c.yml]\n\
                        image: {base: \"rootfs:base\", env_from_profile: false}\n";

/// A store with an image, from which every case gets a copy of its own.
struct Whole {
    files: Files,
    blueprint: TempDir,
    place: TempDir,
    digest: String,
    archive: Vec<u8>,
}

impl Whole {
    fn new() -> Self {
        let files = Files::serve();
        files.script(
            "mkdir one two; echo one > one/file; echo tool > tool; seq 9999 > two/numbers; \
             tar -C one --sort=name --mtime=@0 --owner=0 --group=0 -czf one.tar.gz .; tar -C two --mtime=@0 -cf two.tar numbers",
        );
        let archive = |name: &str| {
            format!(
                "- {{name: {name}, action: unarchive_from_url, url: \"{}\", sha256: {}, dest: /opt/{name}}}\n",
                files.url(name),
                files.sha256(name)
            )
        };
        let a = archive("one.tar.gz") + &archive("two.tar");
        let b = format!(
            "- {{name: tool, action: get_file, url: \"{}\", sha256: {}, dest: /opt/tool}}\n",
            files.url("tool"),
            files.sha256("tool")
        );
        let c = "- {name: count, action: run_command, command: 'cat /opt/tool /opt/one.tar.gz/file > /opt/all'}\n";
        let blueprint = blueprint(&[("manifest.yml", MANIFEST), ("a.yml", &a), ("b.yml", &b), ("c.yml", c)]);
        base(&blueprint.path().join("base"));
        let mut whole =
            Self { files, blueprint, place: tempfile::tempdir().unwrap(), digest: String::new(), archive: Vec::new() };
        let (built, archive) = whole.build("whole", &["-t", "image"]);
        whole.digest = digest(&built.ok());
        whole.archive = archive.unwrap();
        // All that the store can know, it knows.
        whole.alloy("whole", &["run", "image", "cat", "/opt/all"]).ok();
        whole.alloy("whole", &["build", text(whole.blueprint.path()), "-t", "image"]).ok();
        whole
    }

    fn alloy(&self, store: &str, arguments: &[&str]) -> Ended {
        let mut command = Command::new(ALLOY);
        command.arg("--progress=plain").args(arguments).env("ALLOY_HOME", self.place.path().join(store));
        run(&mut command)
    }

    /// A build, and the archive that it has written.
    fn build(&self, store: &str, more: &[&str]) -> (Ended, Option<Vec<u8>>) {
        let out = self.place.path().join("out.oci");
        let _ = fs::remove_file(&out);
        let output = format!("type=oci-archive,dest={}", text(&out));
        let ended = self.alloy(store, &[&["build", text(self.blueprint.path()), "-o", &output], more].concat());
        (ended, fs::read(&out).ok())
    }

    /// A copy of the store in which `file` is damaged.
    fn damaged(&self, file: &Path, damage: Damage) {
        let (whole, store) = (self.place.path().join("whole"), self.place.path().join("store"));
        tool("rm", &["-rf", text(&store)]).ok();
        tool("cp", &["-a", text(&whole), text(&store)]).ok();
        let path = store.join(file);
        let mut bytes = fs::read(&path).unwrap();
        damage(&mut bytes);
        fs::write(&path, bytes).unwrap();
    }

    /// Every file of the store that says something, by its kind.
    fn kinds(&self) -> BTreeMap<String, Vec<PathBuf>> {
        let store = self.place.path().join("whole");
        let mut kinds: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
        let found = tool("find", &[text(&store), "-type", "f", "-size", "+0", "-printf", "%P\\n"]).ok().stdout;
        for path in found.lines().map(PathBuf::from) {
            let names: Vec<_> = path.iter().map(|name| name.to_str().unwrap()).collect();
            let kind = match names.as_slice() {
                ["locks" | "work" | "tmp" | "version", ..] => continue,
                ["records", kind, _] => format!("records of {kind}"),
                ["trees", _, "seal"] => "seals".to_owned(),
                ["trees", ..] => "trees".to_owned(),
                [kind, ..] => (*kind).to_owned(),
                [] => unreachable!(),
            };
            kinds.entry(kind).or_default().push(path);
        }
        kinds
    }
}

/// A root file system with a shell and what it needs, of this machine.
fn base(place: &Path) {
    let script = "set -eu; mkdir -p \"$0/bin\" \"$0/etc\" \"$0/tmp\"; \
                  for p in sh bash cat; do cp -L /bin/$p \"$0/bin/$p\"; \
                  for l in $(ldd /bin/$p | grep -o '/[^ )]*'); do mkdir -p \"$0$(dirname $l)\"; cp -L $l \"$0$l\"; done; done; \
                  echo 'root:x:0:0::/:/bin/sh' > \"$0/etc/passwd\"; echo 'root:x:0:' > \"$0/etc/group\"";
    tool("sh", &["-c", script, text(place)]).ok();
}

fn digest(built: &Ended) -> String {
    built.stdout.trim().rsplit('@').next().unwrap().to_owned()
}

type Damage = fn(&mut Vec<u8>);

const FLIP: Damage = |bytes| {
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
};
const HALF: Damage = |bytes| bytes.truncate(bytes.len() / 2);
const EMPTY: Damage = Vec::clear;
const LONGER: Damage = |bytes| bytes.push(b'0');

/// How many of a kind are damaged; it is the same ones every time.
fn some(files: &[PathBuf]) -> Vec<&PathBuf> {
    let most = if std::env::var_os("ALLOY_DAMAGE").is_some_and(|how| how == "all") { usize::MAX } else { 3 };
    let step = files.len().div_ceil(most).max(1);
    files.iter().step_by(step).collect()
}

/// Every command on a store with one damaged file. Gives how many were tried.
fn tried(whole: &Whole, file: &Path, damage: Damage, how: &str) -> usize {
    let case = format!("{how} {}", file.display());
    let said = |ended: &Ended| {
        assert!(matches!(ended.code, Some(1 | 3 | 4 | 5)), "{case}: {}", ended.stderr);
        assert!(ended.stderr.contains("damaged"), "{case}: {}", ended.stderr);
    };
    // A build heals, and gives the same bytes.
    for more in [&["-t", "image"][..], &["-t", "image", "--no-cache"]] {
        whole.damaged(file, damage);
        let (built, archive) = whole.build("store", more);
        assert_eq!(built.code, Some(0), "{case}: {more:?}: {}", built.stderr);
        assert_eq!(digest(&built), whole.digest, "{case}: {more:?}: {}", built.stderr);
        assert!(archive.as_ref() == Some(&whole.archive), "{case}: {more:?}: another archive");
        let run = whole.alloy("store", &["run", "image", "cat", "/opt/all"]);
        assert_eq!((run.code, run.stdout.as_str()), (Some(0), "tool\none\n"), "{case}: {}", run.stderr);
    }
    // A command that cannot make anything gives what is right, or says what is wrong.
    whole.damaged(file, damage);
    let run = whole.alloy("store", &["run", "image", "cat", "/opt/all"]);
    if run.code == Some(0) {
        assert_eq!(run.stdout, "tool\none\n", "{case}")
    } else {
        said(&run)
    }
    whole.damaged(file, damage);
    let verified = whole.alloy("store", &["verify", text(whole.blueprint.path())]);
    if verified.code != Some(0) {
        said(&verified)
    }
    whole.damaged(file, damage);
    let to = whole.place.path().join("cache");
    let _ = fs::remove_dir_all(&to);
    let exported = whole.alloy("store", &["cache", "export", &format!("type=local,dest={}", text(&to))]);
    if exported.code == Some(0) {
        sound(&to, &case)
    } else {
        said(&exported)
    }
    5
}

fn sound(layout: &Path, case: &str) {
    let Ok(blobs) = fs::read_dir(layout.join("blobs/sha256")) else { return };
    for blob in blobs {
        let blob = blob.unwrap().path();
        let found = layers::digest::Digest::of(fs::read(&blob).unwrap()).hex();
        assert_eq!(blob.file_name().unwrap().to_str().unwrap(), found, "{case}");
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "the counts are what whoever has everything tried wants to read")]
fn what_is_damaged_is_healed_or_named() {
    let whole = Whole::new();
    let kinds = whole.kinds();
    for kind in ["blobs", "downloads", "records of layers", "records of images", "seals", "trees"] {
        assert!(kinds.contains_key(kind), "{kind} is not in {:?}", kinds.keys());
    }
    let mut count = 0;
    for (kind, files) in &kinds {
        let ways: &[(&str, Damage)] =
            &[("one bit of", FLIP), ("half of", HALF), ("all of", EMPTY), ("a byte behind", LONGER)];
        for (at, file) in some(files).into_iter().enumerate() {
            for (way, (how, damage)) in ways.iter().enumerate() {
                if std::env::var_os("ALLOY_DAMAGE").is_none() && way != at % ways.len() {
                    continue;
                }
                count += tried(&whole, file, *damage, how);
            }
        }
        println!("{kind}: {} files", files.len());
    }
    println!("{count} commands on damaged stores: 0 wrong");
    let _ = &whole.files;
}

/// The largest file of a kind, damaged as nobody but who reads all of it can tell: its size and its time stay.
fn turn_a_bit(whole: &Whole, kind: &str) -> PathBuf {
    let store = whole.place.path().join("store");
    let size = |path: &PathBuf| fs::metadata(store.join(path)).unwrap().len();
    let file = whole.kinds().remove(kind).unwrap().into_iter().max_by_key(size).unwrap();
    let path = store.join(&file);
    let time = fs::metadata(&path).unwrap().modified().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    FLIP(&mut bytes);
    fs::write(&path, bytes).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    path
}

#[test]
fn a_check_finds_all_and_repairs_it() {
    let whole = Whole::new();
    let first = whole.kinds().remove("blobs").unwrap().remove(0);
    // What is sound stays sound.
    whole.damaged(&first, |_| ());
    let checked = whole.alloy("store", &["store", "check"]).ok();
    assert!(checked.stdout.contains("images") && !checked.stdout.contains("damaged"), "{}", checked.stdout);
    // Without the layer that it was unpacked from, a tree's content can be compared with nothing.
    turn_a_bit(&whole, "trees");
    let checked = whole.alloy("store", &["store", "check"]).fails(1);
    assert!(checked.stderr.contains("is not what the layer"), "{}", checked.stderr);
    whole.alloy("store", &["store", "check", "--repair"]).ok();
    whole.alloy("store", &["run", "image", "cat", "/opt/all"]).ok();
    whole.alloy("store", &["store", "check"]).ok();
    let kinds = ["blobs", "downloads", "records of layers"];
    let paths: Vec<PathBuf> = kinds.iter().map(|kind| turn_a_bit(&whole, kind)).collect();
    let before: Vec<Vec<u8>> = paths.iter().map(|path| fs::read(path).unwrap()).collect();
    let checked = whole.alloy("store", &["store", "check"]).fails(1);
    for word in ["blob sha256:", "download sha256:", "record layers/"] {
        let named = checked.stderr.lines().any(|line| line.contains(word) && line.contains("is damaged ("));
        assert!(named, "{word}: {}", checked.stderr);
    }
    assert!(checked.stderr.contains("3 things damaged") && checked.stderr.contains("--repair"), "{}", checked.stderr);
    // Nothing was changed.
    for (path, bytes) in paths.iter().zip(&before) {
        assert!(fs::read(path).unwrap() == *bytes, "{}", path.display());
    }
    // The damaged blob is the base's: what only a build can make is missing until there is one.
    let repaired = whole.alloy("store", &["store", "check", "--repair"]).fails(1);
    assert!(repaired.stderr.contains("build it again"), "{}", repaired.stderr);
    assert!(paths.iter().all(|path| !path.exists()), "{}", repaired.stderr);
    let (built, archive) = whole.build("store", &["-t", "image"]);
    assert_eq!(digest(&built.ok()), whole.digest);
    assert!(archive == Some(whole.archive.clone()));
    whole.alloy("store", &["store", "check"]).ok();
    // What was put aside goes with the next prune.
    whole.alloy("store", &["prune"]).ok();
    assert!(
        !whole.place.path().join("store/aside").is_dir()
            || fs::read_dir(whole.place.path().join("store/aside")).unwrap().count() == 0
    );
}

#[test]
fn prune_deletes_nothing_of_an_image_whose_needs_are_not_known() {
    let whole = Whole::new();
    let kinds = whole.kinds();
    let layers = |store: &Path| {
        let lists = ["blobs/sha256", "trees"].map(|part| fs::read_dir(store.join(part)).unwrap().count());
        lists.iter().sum::<usize>()
    };
    let store = whole.place.path().join("store");
    let manifest = PathBuf::from("blobs/sha256").join(whole.digest.strip_prefix("sha256:").unwrap());
    let cases = [
        (&manifest, "it is not known what the image image:latest needs", 1),
        (&kinds["records of images"][0], "an image has lost its name", 0),
    ];
    for (file, said, gone) in cases {
        whole.damaged(file, FLIP);
        let before = layers(&store);
        let pruned = whole.alloy("store", &["prune"]).fails(1);
        assert!(pruned.stderr.contains(said) && pruned.stderr.contains("build it again"), "{}", pruned.stderr);
        assert_eq!(layers(&store), before - gone, "but for what was put aside");
        // All is as it was, by what is there still.
        let (built, archive) = whole.build("store", &["-t", "image"]);
        assert!(built.stderr.contains("4 layers, 4 of them cached"), "{}", built.stderr);
        assert_eq!(digest(&built.ok()), whole.digest);
        assert!(archive == Some(whole.archive.clone()));
        whole.alloy("store", &["prune"]).ok();
        whole.alloy("store", &["run", "image", "cat", "/opt/all"]).ok();
    }
    // Who gives the image up is in nobody's way.
    for more in [&["image"][..], &["--all"]] {
        whole.damaged(&manifest, FLIP);
        whole.alloy("store", &[&["prune"], more].concat()).ok();
        assert_eq!(layers(&store), 0);
    }
    whole.damaged(&kinds["records of images"][0], FLIP);
    let repaired = whole.alloy("store", &["store", "check", "--repair"]).fails(1);
    assert!(repaired.stderr.contains("1 name of images lost"), "{}", repaired.stderr);
}

#[test]
fn nothing_goes_down_a_pipe_twice() {
    let whole = Whole::new();
    whole.damaged(&whole.kinds()["records of lasts"][0], FLIP);
    // The record is put aside, the archive is written, and then nobody answers.
    let name = format!("{}/x:1", crate::support::http::refused());
    let mut command = Command::new(ALLOY);
    command.args(["build", text(whole.blueprint.path()), "-t", &name, "--push", "-o", "type=oci-archive,dest=-"]);
    command.arg("--progress=plain").env("ALLOY_HOME", whole.place.path().join("store"));
    let ended = command.output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(4), "{said}");
    assert!(said.contains("put aside") && said.matches("wrote standard output").count() == 1, "{said}");
}

#[test]
fn nothing_damaged_goes_down_a_pipe() {
    let whole = Whole::new();
    let largest = |path: &&PathBuf| fs::metadata(whole.place.path().join("whole").join(path)).unwrap().len();
    let kinds = whole.kinds();
    let blob = kinds["blobs"].iter().max_by_key(largest).unwrap();
    whole.damaged(blob, FLIP);
    let mut command = Command::new(ALLOY);
    command.args(["build", text(whole.blueprint.path()), "-o", "type=oci-archive,dest=-", "--progress=plain"]);
    command.env("ALLOY_HOME", whole.place.path().join("store"));
    let ended = command.output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    assert!(ended.stdout == whole.archive, "{} bytes, not {}", ended.stdout.len(), whole.archive.len());
}
