//! `/run` and `/tmp` while a layer is made. What a task names in `/run` becomes part of the image; what its commands leave
//! there, and all of `/tmp`, does not.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use layers::diff::ExcludeSet;
use layers::root::Root;

use super::in_root;
use crate::op::{Op, Step};

/// Names in `/run` that are the sandbox's.
const OWN: [&str; 2] = ["alloy", "lock"];

/// What is in `/run` and `/tmp`, and whose it is.
pub struct Passing {
    /// Where it is kept while the layer is made, and what that is in the root.
    places: [(PathBuf, &'static str); 2],
    /// Which task's commands have left it there.
    left: BTreeMap<PathBuf, Option<String>>,
    exclude: ExcludeSet,
}

impl Passing {
    /// Of directories that hold what is new in `/tmp` and `/run`.
    pub fn new(tmp: PathBuf, run: PathBuf) -> Self {
        Self { places: [(tmp, "tmp"), (run, "run")], left: BTreeMap::new(), exclude: ExcludeSet::normal() }
    }

    /// What enters no layer.
    pub fn exclude(&self) -> &ExcludeSet {
        &self.exclude
    }

    /// Notes that `step` was performed in `root`: what it names in `/run` is kept, and what else is new was left there by
    /// it, if that is somebody's own commands.
    pub fn note(&mut self, root: &Root, step: &Step) {
        for (path, whole) in step.ops.iter().filter_map(named) {
            let path = in_root(Path::new(path));
            // The name may lead there by a link, as `/var/run` does.
            let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { continue };
            let Ok(parent) = root.resolve(parent) else { continue };
            let path = parent.join(name);
            let inside = path.strip_prefix("run").ok().and_then(|inside| inside.iter().next());
            if inside.is_some_and(|first| first != OWN[0]) {
                self.exclude.keep(path, whole);
            }
        }
        // What installers leave there is theirs.
        let own = step.is_own_commands() || !step.runs_programs();
        let task = own.then(|| step.placed());
        for path in self.names() {
            self.left.entry(path).or_insert_with(|| task.clone());
        }
    }

    /// Names that enter no layer.
    fn names(&self) -> Vec<PathBuf> {
        let entries = self.places.iter().flat_map(|(place, name)| {
            let entries = fs::read_dir(place).into_iter().flatten().flatten();
            // Overlay marks so what is gone.
            let there = entries.filter(|entry| !entry.file_type().is_ok_and(|kind| kind.is_char_device()));
            there.map(move |entry| Path::new(name).join(entry.file_name()))
        });
        let foreign = entries.filter(|path| OWN.iter().all(|own| *path != Path::new("run").join(own)));
        foreign.filter(|path| self.exclude.contains(path)).map(|path| Path::new("/").join(path)).collect()
    }

    /// What commands have left that enters no layer, by their tasks.
    pub fn left(&self) -> BTreeMap<String, Vec<PathBuf>> {
        let mut found: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
        for path in self.names() {
            if let Some(Some(task)) = self.left.get(&path) {
                found.entry(task.clone()).or_default().push(path);
            }
        }
        found.values_mut().for_each(|paths| paths.sort_unstable());
        found
    }
}

/// The path that an operation is for, and whether all that is in it is meant.
fn named(op: &Op) -> Option<(&str, bool)> {
    match op {
        Op::MakeDir { path } | Op::WriteFile { path, .. } | Op::PlaceBlob { path, .. } => Some((path, false)),
        Op::Copy { dest, .. } | Op::Unpack { dest, .. } => Some((dest, true)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_is_kept_and_what_is_left_is_told() {
        let place = tempfile::tempdir().unwrap();
        let (tmp, root) = (place.path().join("tmp"), place.path().join("root"));
        for directory in ["run/lock", "run/alloy", "run/named/deep", "run/left", "var"] {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        fs::create_dir(&tmp).unwrap();
        std::os::unix::fs::symlink("../run", root.join("var/run")).unwrap();
        fs::write(tmp.join("x"), "").unwrap();
        let mut passing = Passing::new(tmp, root.join("run"));
        let make = |path: &str| Op::MakeDir { path: path.to_owned() };
        fs::write(root.join("run/named/file"), "").unwrap();
        let file = Op::WriteFile { path: "/var/run/named/file".to_owned(), content: Vec::new() };
        let ops = vec![make("/var/run/named/deep"), file, make("/run/alloy/x"), make("/run"), make("/srv")];
        let step = Step { name: "make".into(), file: "a.yml".into(), line: 3, ops, ..Step::default() };
        passing.note(&Root::open(&root).unwrap(), &step);
        let excluded = |path: &str| passing.exclude().contains(Path::new(path));
        for path in ["run/named", "run/named/deep", "run/named/file"] {
            assert!(!excluded(path), "{path}");
        }
        for path in ["run/named/deep/x", "run/named/y", "run/left", "run/alloy", "run/alloy/x", "tmp/x"] {
            assert!(excluded(path), "{path}");
        }
        let left: Vec<_> = passing.left().into_iter().collect();
        assert_eq!(left, [("make (a.yml:3)".to_owned(), vec!["/run/left".into(), "/tmp/x".into()])]);
    }

    #[test]
    fn a_copied_directory_is_kept_whole() {
        let place = tempfile::tempdir().unwrap();
        let mut passing = Passing::new(place.path().join("tmp"), place.path().join("run"));
        let source = crate::op::Source::Tree { path: "d".into(), excludes: Vec::new() };
        let ops = vec![Op::Copy { source, dest: "/run/app".into(), into: false }];
        passing.note(&Root::open(place.path()).unwrap(), &Step { ops, ..Step::default() });
        assert!(!passing.exclude().contains(Path::new("run/app/bin/x")));
        assert!(passing.exclude().contains(Path::new("run/apple")));
    }
}
