//! `/run` and `/tmp` while a layer is made. What a task puts into `/run` without a program becomes part of the image, and
//! what is done to what the image has there already holds; what programs leave there, and all of `/tmp`, does not stay.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use layers::diff::ExcludeSet;
use layers::root::{Metadata, Root};
use serde::{Deserialize, Serialize};

use super::excluded::excluded;
use crate::op::Step;

const RUN: &str = "run";
/// What of it is the sandbox's, relative to the root.
const OWN: &str = "run/alloy";
/// Names of one layer that are looked at.
const MOST: usize = 100_000;

/// What is in `/run` and `/tmp`, and whose it is.
pub struct Passing {
    tmp: PathBuf,
    /// What was changed in `/run`.
    run: PathBuf,
    /// What was there by now, and which task's commands have left it.
    left: BTreeMap<PathBuf, Option<String>>,
    /// What steps have written elsewhere that enters no layer, and which task's it is.
    lost: Vec<(PathBuf, String)>,
    exclude: ExcludeSet,
}

/// What tasks have put where no layer has anything, by each task's name and place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// In `/run` and `/tmp`, by commands.
    pub passing: BTreeMap<String, Vec<PathBuf>>,
    /// Elsewhere, by files that were written, copied or unpacked.
    pub lost: BTreeMap<String, Vec<PathBuf>>,
}

impl Passing {
    /// Of directories that hold what is new in `/tmp` and `/run`.
    pub fn new(tmp: PathBuf, run: PathBuf) -> Self {
        Self { tmp, run, left: BTreeMap::new(), lost: Vec::new(), exclude: excluded() }
    }

    /// Notes that `step` was performed: what it has put into `/run` without a program is kept, and what else is new was left
    /// there by it, if that is somebody's own commands. Its files were `written`, relative to the root.
    pub fn note(&mut self, step: &Step, written: Vec<PathBuf>) {
        let passes = |path: &Path| path.starts_with(RUN) || path.starts_with("tmp");
        let goes = |path: &Path| self.exclude.covers(path) || self.exclude.empties(path);
        let lost = written.into_iter().filter(|path| goes(path) && !passes(path));
        self.lost.extend(lost.map(|path| (path, step.placed())));
        let own = step.is_own_commands() || !step.works_by_programs();
        let task = own.then(|| step.placed());
        for path in self.all() {
            if self.left.contains_key(&path) {
                continue;
            }
            if !step.works_by_programs() && path.starts_with(RUN) {
                self.exclude.keep(path.clone(), false);
            }
            // What installers leave there is theirs.
            self.left.insert(path, task.clone());
        }
    }

    /// What enters no layer. What is done to something in `/run` that one of `lowers` has holds: only what is new there is
    /// left out.
    pub fn exclude(&self, lowers: &[PathBuf]) -> ExcludeSet {
        let mut exclude = self.exclude.clone();
        for path in walk(&self.run, Path::new(RUN), true) {
            if lowers.iter().any(|lower| lower.join(&path).symlink_metadata().is_ok()) {
                exclude.keep(path, false);
            }
        }
        exclude
    }

    /// All that is there and not the sandbox's, relative to the root.
    fn all(&self) -> BTreeSet<PathBuf> {
        let mut all = walk(&self.tmp, Path::new("tmp"), false);
        all.extend(walk(&self.run, Path::new(RUN), false));
        all
    }

    /// What enters no layer, of a directory itself alone. What was written is looked at in `root`: it may be gone by now.
    pub fn left(&self, lowers: &[PathBuf], root: &Root) -> Left {
        let mut lost: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
        let all: HashSet<(&Path, &str)> =
            self.lost.iter().map(|(path, task)| (path.as_path(), task.as_str())).collect();
        for (path, task) in &self.lost {
            let inside = path.parent().is_some_and(|parent| all.contains(&(parent, task)));
            let told = lost.entry(task.clone()).or_default();
            let absolute = Path::new("/").join(path);
            // What stays, empty, and was written so, is as it was written.
            let is_lost = |found: Metadata| found.size > 0 || !self.exclude.empties(path);
            if !inside && root.metadata(path).is_ok_and(is_lost) && !told.contains(&absolute) {
                told.push(absolute);
            }
        }
        lost.retain(|_, paths| !paths.is_empty());
        Left { passing: self.passing(lowers), lost }
    }

    fn passing(&self, lowers: &[PathBuf]) -> BTreeMap<String, Vec<PathBuf>> {
        let exclude = self.exclude(lowers);
        let mut found: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
        for path in self.all().into_iter().filter(|path| exclude.contains(path)) {
            let inside = path.parent().is_some_and(|parent| exclude.contains(parent));
            if let (Some(Some(task)), false) = (self.left.get(&path), inside) {
                found.entry(task.clone()).or_default().push(Path::new("/").join(path));
            }
        }
        found
    }
}

/// Where `paths` lead to by the links on the way to each.
pub fn really(root: &Root, paths: Vec<PathBuf>) -> Vec<PathBuf> {
    let mut known: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
    let real = |path: PathBuf| match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => {
            let resolved = || root.resolve(parent).unwrap_or_else(|_| parent.to_owned());
            known.entry(parent.to_owned()).or_insert_with(resolved).join(name)
        }
        _ => path,
    };
    paths.into_iter().map(real).collect()
}

/// All below `directory`, which is `place` in the root; what is marked as gone as well, if it is `gone` that counts.
fn walk(directory: &Path, place: &Path, gone: bool) -> BTreeSet<PathBuf> {
    let (mut found, mut open) = (BTreeSet::new(), vec![place.to_owned()]);
    while let Some(at) = open.pop() {
        let inside = at.strip_prefix(place).unwrap_or(&at);
        for entry in fs::read_dir(directory.join(inside)).into_iter().flatten().flatten() {
            let path = at.join(entry.file_name());
            let Ok(kind) = entry.file_type() else { continue };
            if path == Path::new(OWN) || (kind.is_char_device() && !gone) || found.len() >= MOST {
                continue;
            }
            if kind.is_dir() {
                open.push(path.clone());
            }
            found.insert(path);
        }
    }
    // There in every sandbox.
    found.remove(&Path::new(RUN).join("lock"));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::{Command, Op};

    fn step(line: usize, program: bool) -> Step {
        let command = Command::Argv(vec!["true".into()]);
        let run = Op::Run { command, user: None, env: BTreeMap::new(), cwd: None };
        let ops = if program { vec![run] } else { Vec::new() };
        Step { name: "make".into(), action: "run_command".into(), file: "a.yml".into(), line, ops, ..Step::default() }
    }

    #[test]
    fn what_tasks_put_there_is_kept_and_what_programs_leave_is_told() {
        let place = tempfile::tempdir().unwrap();
        let (tmp, run, lower) = (place.path().join("tmp"), place.path().join("run"), place.path().join("lower"));
        let make = |path: PathBuf| fs::create_dir_all(path).unwrap();
        for path in ["run/lock", "run/alloy", "run/mine/deep", "tmp", "lower/run/base/below"] {
            make(place.path().join(path));
        }
        let mut passing = Passing::new(tmp.clone(), run.clone());
        passing.note(&step(1, false), Vec::new());
        make(run.join("mine/left"));
        make(run.join("left/deep"));
        make(run.join("base/new"));
        make(run.join("lock/x"));
        fs::write(tmp.join("x"), "").unwrap();
        passing.note(&step(2, true), Vec::new());
        let lowers = [lower];
        let exclude = passing.exclude(&lowers);
        for path in ["run/mine", "run/mine/deep", "run/base", "run/lock"] {
            assert!(!exclude.contains(Path::new(path)), "{path}");
        }
        let left = ["/run/base/new", "/run/left", "/run/lock/x", "/run/mine/left", "/tmp/x"].map(PathBuf::from);
        for path in left.iter().map(|path| path.strip_prefix("/").unwrap()) {
            assert!(exclude.contains(path), "{}", path.display());
        }
        assert!(exclude.contains(Path::new("run/alloy")) && exclude.contains(Path::new("run/alloy/x")));
        let told: Vec<_> = passing.passing(&lowers).into_iter().collect();
        assert_eq!(told, [("make (a.yml:2)".to_owned(), left.to_vec())]);
    }

    #[test]
    fn what_files_were_written_for_and_no_image_has_is_told() {
        let place = tempfile::tempdir().unwrap();
        let written =
            ["etc/hosts", "etc/hosts.allow", "srv/x", "tmp/x", "root/.cache/pip", "root/.cache/pip/y", "dev/gone"];
        for path in &written[..6] {
            fs::create_dir_all(place.path().join(path)).unwrap();
        }
        let mut passing = Passing::new(place.path().join("none"), place.path().join("run"));
        passing.note(&step(3, false), written.map(PathBuf::from).to_vec());
        passing.note(&step(3, false), vec!["etc/hosts".into(), "etc/machine-id".into(), "etc/empty".into()]);
        // It stays in every image, and is empty there.
        fs::write(place.path().join("etc/machine-id"), "").unwrap();
        let left = passing.left(&[], &Root::open(place.path()).unwrap());
        let lost = ["/etc/hosts", "/root/.cache/pip"].map(PathBuf::from);
        assert_eq!(left.lost, BTreeMap::from([("make (a.yml:3)".to_owned(), lost.to_vec())]));
        assert!(left.passing.is_empty());
        fs::write(place.path().join("etc/machine-id"), "1").unwrap();
        let left = passing.left(&[], &Root::open(place.path()).unwrap());
        assert!(left.lost["make (a.yml:3)"].contains(&"/etc/machine-id".into()), "{left:?}");
    }
}
