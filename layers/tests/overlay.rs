//! What overlay shows is what the layers of it come to elsewhere: directories deleted and made anew, layer upon layer,
//! in mounts of the kernel's own.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a failing test panics")]

mod support;

use std::fs::{create_dir, create_dir_all, remove_dir_all, remove_file};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use layers::apply::{ApplyOptions, Form, Ownership, apply};
use layers::diff::{DiffOptions, ExcludeSet, diff};
use layers::ids::Exchange;
use layers::root::Root;
use layers::tree::{difference, read};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// What is at `d`, and in it.
const STATES: [&str; 6] = ["", "d/", "d/x/", "d/x/y/", "d/x/f", "d -> other"];

/// Makes what `state` says; `false` where something else stands in the way. The directory that the link leads to has
/// directories of the same names and attributes.
fn make(root: &Path, state: &str) -> bool {
    if state.is_empty() {
        return true;
    }
    let (path, target) = state.split_once(" -> ").map_or((state, None), |(path, target)| (path, Some(target)));
    let place = root.join(path.trim_end_matches('/'));
    if root.join("d").is_symlink() || create_dir_all(place.parent().unwrap()).is_err() {
        return false;
    }
    match target {
        Some(target) => symlink(target, place).is_ok(),
        None if path.ends_with('/') => place.is_dir() || create_dir(place).is_ok(),
        None => std::fs::write(place, "").is_ok(),
    }
}

fn delete(place: &Path) {
    let _ = if place.is_symlink() { remove_file(place) } else { remove_dir_all(place) };
}

struct Walk {
    scratch: PathBuf,
    mounts: usize,
    compared: usize,
}

impl Walk {
    fn fresh(&mut self) -> PathBuf {
        self.mounts += 1;
        let path = self.scratch.join(self.mounts.to_string());
        create_dir(&path).unwrap();
        path
    }

    /// All that may come on top of the layers `below`, which are trees (topmost first) and tars (the first one first).
    fn go(&mut self, trees: &[PathBuf], tars: &[Vec<u8>], said: &str, depth: usize) {
        for (state, anew) in STATES.iter().flat_map(|state| [(state, false), (state, true)]) {
            let said = format!("{said}{} {state:?}; ", if anew { "instead of it" } else { "added" });
            let place = self.fresh();
            for name in ["upper", "work", "merged", "tree", "plain"] {
                create_dir(place.join(name)).unwrap();
            }
            let merged = place.join("merged");
            let lowers = trees.iter().map(|tree| tree.to_str().unwrap()).collect::<Vec<_>>().join(":");
            let options = std::ffi::CString::new(format!(
                "lowerdir={lowers},upperdir={0}/upper,workdir={0}/work,userxattr",
                place.display()
            ));
            mount("overlay", &merged, "overlay", MountFlags::empty(), options.unwrap().as_c_str()).unwrap();
            if anew {
                delete(&merged.join("d"));
            }
            if make(&merged, state) {
                self.compared += 1;
                self.compare(&place, trees, tars, &said, depth);
            }
        }
    }

    fn compare(&mut self, place: &Path, trees: &[PathBuf], tars: &[Vec<u8>], said: &str, depth: usize) {
        let open = |path: &Path| Root::open(path).unwrap();
        let lowers: Vec<Root> = trees.iter().map(|tree| open(tree)).collect();
        let exclude = ExcludeSet::default();
        let mut tar = Vec::new();
        let options = DiffOptions { mtime_max: u64::MAX, exclude: &exclude, lowers: &lowers, ids: Exchange::default() };
        diff(&open(&place.join("upper")), &mut tar, &options).unwrap();
        let tars = [tars, &[tar]].concat();
        let plain = ApplyOptions { form: Form::Plain, parents: None, ownership: Ownership::Invoker };
        for tar in &tars {
            apply(tar.as_slice(), &open(&place.join("plain")), &plain).unwrap();
        }
        let mut found =
            difference(&read(&open(&place.join("merged"))).unwrap(), &read(&open(&place.join("plain"))).unwrap());
        // A directory in which nothing is left of what was made has no member, so its time is the one from below.
        found.retain(|difference| difference.field != "mtime");
        assert!(found.is_empty(), "{said}: {found:#?}");
        if depth == 0 {
            return;
        }
        // The next layer goes onto the upper directory itself, or onto what was unpacked.
        let tree = place.join("tree");
        let lower = ApplyOptions { form: Form::OverlayLower, parents: Some(&lowers), ownership: Ownership::Invoker };
        apply(tars.last().unwrap().as_slice(), &open(&tree), &lower).unwrap();
        unmount(place.join("merged"), UnmountFlags::DETACH).unwrap();
        let top = if self.compared.is_multiple_of(2) { tree } else { place.join("upper") };
        self.go(&[&[top], trees].concat(), &tars, said, depth - 1);
    }
}

#[test]
#[ignore = "runs in the mount namespace that the other test makes"]
fn in_a_namespace() {
    // The mounts stay until the namespace ends.
    let scratch = tempfile::tempdir().unwrap().keep();
    let mut walk = Walk { scratch, mounts: 0, compared: 0 };
    let base = walk.fresh();
    create_dir_all(base.join("other/x/y")).unwrap();
    let exclude = ExcludeSet::default();
    let mut tar = Vec::new();
    let options = DiffOptions { mtime_max: u64::MAX, exclude: &exclude, lowers: &[], ids: Exchange::default() };
    diff(&Root::open(&base).unwrap(), &mut tar, &options).unwrap();
    walk.go(&[base], &[tar], "", 2);
    assert!(walk.compared > 1000, "{} views were compared", walk.compared);
}

#[test]
fn layers_come_to_what_overlay_shows() {
    support::run_in_a_namespace();
}
