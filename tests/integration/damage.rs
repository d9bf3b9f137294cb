//! A store in which something was damaged: every command gives what it should, or says what is wrong; a build heals it.
//!
//! `ALLOY_DAMAGE=all` has every file damaged in every way, which takes minutes; without it some of each kind are.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::damaged::{Damage, EMPTY, FLIP, HALF, LONGER, Whole, digest};
use crate::support::{Ended, text};

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
