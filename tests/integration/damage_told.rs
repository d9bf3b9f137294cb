//! A store in which something was damaged: what an image may need stays, and nobody gets an output twice.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::damaged::{FLIP, Whole, ZEROS, digest};
use crate::support::{ALLOY, run, text, tool};

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
    // Whoever finds it first, prune knows.
    whole.damaged(&kinds["records of images"][0], FLIP);
    let before = layers(&store);
    assert!(whole.alloy("store", &["images"]).ok().stderr.contains("put aside"));
    let pruned = whole.alloy("store", &["prune"]).fails(1);
    assert!(pruned.stderr.contains("an image has lost its name"), "{}", pruned.stderr);
    assert_eq!(layers(&store), before);
    // It is told once.
    whole.alloy("store", &["prune"]).ok();
    assert_eq!(layers(&store), 0);
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

/// Gives the record of the image a value that is sealed as it should be, and no record of this alloy's.
fn strange(whole: &Whole, value: &str) -> PathBuf {
    let file = whole.kinds().remove("records of images").unwrap().remove(0);
    whole.damaged(&file, |_| ());
    let key = file.file_name().unwrap().to_str().unwrap();
    let seal = layers::digest::Digest::of(format!("images\0{key}\0{value}")).hex();
    let path = whole.place.path().join("store").join(&file);
    fs::write(&path, format!("{value}\n#{seal}\n")).unwrap();
    path
}

#[test]
fn a_name_that_this_alloy_cannot_read_keeps_all_it_may_need() {
    let whole = Whole::new();
    let store = whole.place.path().join("store");
    let layers = || fs::read_dir(store.join("blobs/sha256")).unwrap().count();
    for value in [r#"{"name": "image:latest", "newer": 1}"#, "[]", "no JSON"] {
        let record = strange(&whole, value);
        let before = layers();
        for _ in 0..2 {
            let pruned = whole.alloy("store", &["prune"]).fails(1);
            assert!(pruned.stderr.contains("none that this alloy can read"), "{}", pruned.stderr);
            assert!(pruned.stderr.contains("build it again, or give it up: alloy prune "), "{}", pruned.stderr);
        }
        let listed = whole.alloy("store", &["images"]).ok();
        assert!(listed.stderr.contains("is not listed"), "{}", listed.stderr);
        let checked = whole.alloy("store", &["store", "check", "--repair"]).fails(1);
        assert!(checked.stderr.contains("1 image incomplete"), "{}", checked.stderr);
        for command in [&["run", "image", "true"][..], &["sbom", "image"], &["push", "image", "localhost:1/x"]] {
            let ended = whole.alloy("store", command).fails(1);
            assert!(ended.stderr.contains("none that this alloy can read"), "{}", ended.stderr);
        }
        assert!(record.exists() && layers() == before);
        // Built again, it is one that is understood.
        let (built, archive) = whole.build("store", &["-t", "image"]);
        assert_eq!(digest(&built.ok()), whole.digest);
        assert!(archive == Some(whole.archive.clone()));
        whole.alloy("store", &["prune"]).ok();
        for given_up in ["image", "--all"] {
            strange(&whole, value);
            whole.alloy("store", &["prune", given_up]).ok();
            assert!(!record.exists() && layers() == 0);
        }
    }
}

#[test]
fn a_layer_of_zeros_is_damaged_and_no_other_kind_of_layer() {
    let whole = Whole::new();
    let blobs = whole.kinds().remove("blobs").unwrap();
    let kept = format!("{}/x:1", crate::support::http::refused());
    for blob in &blobs {
        whole.damaged(blob, ZEROS);
        let pushed = whole.alloy("store", &["push", "image", &kept]);
        assert!(matches!(pushed.code, Some(1 | 4)), "{}", pushed.stderr);
        assert!(!pushed.stderr.contains("is not how it is compressed"), "{}", pushed.stderr);
        whole.damaged(blob, ZEROS);
        let (built, archive) = whole.build("store", &[]);
        assert_eq!(digest(&built.ok()), whole.digest, "{}", blob.display());
        assert!(archive == Some(whole.archive.clone()), "{}", blob.display());
    }
}

#[test]
fn nothing_goes_into_a_fifo_twice() {
    let whole = Whole::new();
    let fifo = whole.place.path().join("fifo");
    tool("mkfifo", &[text(&fifo)]).ok();
    let reader = fifo.clone();
    // Whoever writes a second time waits for a reader.
    let reader = std::thread::spawn(move || fs::read(reader).unwrap());
    whole.damaged(&whole.kinds()["records of lasts"][0], FLIP);
    let name = format!("{}/x:1", crate::support::http::refused());
    let output = format!("type=oci-archive,dest={}", text(&fifo));
    let arguments = ["build", text(whole.blueprint.path()), "-t", &name, "--push", "-o", &output, "--progress=plain"];
    let mut command = Command::new("timeout");
    command.args(["60", ALLOY]).args(arguments).env("ALLOY_HOME", whole.place.path().join("store"));
    let ended = run(&mut command).fails(4);
    assert!(ended.stderr.contains("put aside"), "{}", ended.stderr);
    assert_eq!(ended.stderr.matches(&format!("wrote {}", text(&fifo))).count(), 1, "{}", ended.stderr);
    assert!(!reader.join().unwrap().is_empty());
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
