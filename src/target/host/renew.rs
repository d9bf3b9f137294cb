//! A clone that takes the place of an earlier one of the same task. It is made beside it, and then the earlier one gets
//! another name, or gets back what differs. Nothing of the earlier one is deleted: whoever worked in it finds it there.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use layers::root::{Directory, Root};

use super::Host;
use crate::op::{Command, Op, Source, Step};
use crate::target::request::Outcome;
use crate::target::{TargetError, commit_of, in_root};

/// What is to be done with a clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renew {
    /// The directory of the clone.
    pub place: PathBuf,
    /// How.
    pub how: How,
}

impl Renew {
    /// True if the new clone takes the place of the earlier one.
    pub fn is_whole(&self) -> bool {
        matches!(self.how, How::Whole { .. })
    }
}

/// How a new clone is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// It takes the place of the earlier one.
    Whole {
        /// Where the earlier one stays.
        kept: PathBuf,
        /// The mode that somebody has given the directory of the earlier one.
        mode: Option<u32>,
    },
    /// The earlier one gets these of its files, relative to it, if both are of this commit.
    Files {
        /// What differs.
        files: Vec<PathBuf>,
        /// What is checked out.
        commit: String,
    },
}

/// What is to become of a new clone, by what is in its place when it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is used.
    Use,
    /// What is in its place is the same: that stays.
    Same,
    /// Nothing is changed, and this is why.
    Refused(String),
}

/// A last look before something is changed, at the root and at where the new clone is in it.
pub type Look<'a> = &'a dyn Fn(&Root, &Path) -> Verdict;

impl Host {
    /// Performs a step that clones into [`Renew::place`], where its own earlier clone is.
    pub fn renew(
        &mut self,
        step: &Step,
        files: &BTreeMap<Source, PathBuf>,
        output: &dyn Fn(&[u8]),
        renew: &Renew,
        look: Look<'_>,
    ) -> (Result<Outcome, TargetError>, Vec<PathBuf>) {
        let begun =
            real(&self.root, &renew.place).and_then(|real| Beside::make(&self.root, &real).map(|new| (real, new)));
        let (real, new) = match begun {
            Ok(begun) => begun,
            Err(error) => return (Err(error), Vec::new()),
        };
        let (outcome, mut written) = self.perform(&elsewhere(step, &renew.place, &new.path), files, output);
        let outcome = match outcome {
            // It may have taken minutes, in which somebody was at work.
            Ok(Outcome::Ran(warnings)) => match look(&self.root, &new.path) {
                Verdict::Use => use_clone(&self.root, &real, &new, &renew.how).map(|()| Outcome::Ran(warnings)),
                Verdict::Same => Ok(Outcome::Ran(warnings)),
                Verdict::Refused(why) => Err(TargetError::Kept(why)),
            },
            other => other,
        };
        let removed = new.remove(&self.root);
        if !matches!((&outcome, &renew.how), (Ok(Outcome::Ran(_)), How::Whole { .. })) {
            // Why it failed says more than what was left.
            return (outcome.and_then(|outcome| removed.map(|()| outcome)), Vec::new());
        }
        let (place, made) = (in_root(&renew.place), in_root(&new.path));
        for path in &mut written {
            // No name ends with a slash.
            let inside = path.strip_prefix(&made).map(|inside| place.join(inside).components().collect());
            *path = inside.unwrap_or_else(|_| path.clone());
        }
        (outcome, written)
    }
}

/// The name that the clone in `place` gets, of which `commit` is checked out, when another one takes its place: hidden, as
/// programs may take all that they find beside it, and free.
pub fn name_to_keep(root: &Root, place: &Path, commit: &str) -> Result<PathBuf, TargetError> {
    let real = real(root, place)?;
    let commit: String = commit.chars().filter(char::is_ascii_alphanumeric).take(12).collect();
    let mut number = 1;
    loop {
        let further = if number == 1 { String::new() } else { format!("-{number}") };
        let kept = real.with_file_name(name(&real, &format!("{BEFORE}{commit}{further}")));
        if root.metadata(&kept).is_err() {
            return Ok(kept);
        }
        number += 1;
    }
}

/// Names of earlier clones of `place` that have stayed beside it, in their order.
pub fn kept_beside(root: &Root, place: &Path) -> Vec<PathBuf> {
    let beside = |real: PathBuf| {
        let above = real.parent()?.to_owned();
        let names = root.directory(&above).and_then(|directory| directory.names()).ok()?;
        let begin = name(&real, BEFORE);
        let mut kept: Vec<PathBuf> = names
            .into_iter()
            .filter(|name| name.to_string_lossy().starts_with(&begin))
            .map(|name| above.join(name))
            .collect();
        kept.sort();
        Some(kept)
    };
    real(root, place).ok().and_then(beside).unwrap_or_default()
}

/// What stands before the commit in the name of an earlier clone.
const BEFORE: &str = "before-";
/// In the directory that is made beside a clone for a new one: the new one, and what says that it is alloy's.
const CLONE: &str = "clone";
const MARK: &str = "alloy-is-cloning";

/// A directory that was made for a clone, and is held: whoever may write in the directory that it is in may put another one
/// under its name.
struct Beside {
    /// Absolute in the root.
    path: PathBuf,
    /// What it is in.
    around: PathBuf,
    directory: Directory,
    inode: (u64, u64),
}

impl Beside {
    /// Makes one beside `place`.
    fn make(root: &Root, place: &Path) -> Result<Self, TargetError> {
        let around = place.with_file_name(name(place, "alloy-new"));
        let (parent, called) = (root.directory(around.parent().unwrap_or(Path::new("/")))?, last(&around));
        if let Err(error) = parent.create_dir(called, 0o755) {
            if error.kind() != io::ErrorKind::AlreadyExists {
                return Err(error.into());
            }
            // What an installation that was cut off has left, and nothing else, goes.
            let ours = parent.directory(called).is_ok_and(|left| {
                left.metadata(OsStr::new(MARK)).is_ok() || left.names().is_ok_and(|names| names.is_empty())
            });
            if !ours || !is_ours_alone(&parent)? {
                return Err(TargetError::Kept(format!(
                    "{} is there already: an installation that was cut off has left it, or somebody else has made it. \
                     Look into it, move it away, and install again",
                    around.display()
                )));
            }
            parent.remove_all(called)?;
            parent.create_dir(called, 0o755)?;
        }
        let made = parent.directory(called)?;
        if !made.names()?.is_empty() {
            return Err(replaced(&around));
        }
        made.create_file(OsStr::new(MARK), 0o644)?;
        made.create_dir(OsStr::new(CLONE), 0o755)?;
        let directory = made.directory(OsStr::new(CLONE))?;
        let inode = directory.metadata(OsStr::new("."))?.inode;
        Ok(Self { path: around.join(CLONE), around, directory, inode })
    }

    /// An error unless it is what is at `path`.
    fn is_at(&self, root: &Root, path: &Path) -> Result<(), TargetError> {
        if root.metadata(path)?.inode == self.inode { Ok(()) } else { Err(replaced(path)) }
    }

    /// Deletes what was made for it, and the new clone unless that has another name by now.
    fn remove(&self, root: &Root) -> Result<(), TargetError> {
        if self.is_at(root, &self.path).is_ok() {
            for name in self.directory.names()? {
                self.directory.remove_all(&name)?;
            }
            root.directory(&self.around)?.remove_empty(OsStr::new(CLONE))?;
        }
        let parent = root.directory(self.around.parent().unwrap_or(Path::new("/")))?;
        root.directory(&self.around)?.remove_all(OsStr::new(MARK))?;
        parent.remove_empty(last(&self.around))?;
        Ok(())
    }
}

/// True if nobody else may give names in `directory`.
fn is_ours_alone(directory: &Directory) -> Result<bool, TargetError> {
    let found = directory.metadata(OsStr::new("."))?;
    Ok(found.uid == rustix::process::geteuid().as_raw() && found.mode & 0o022 == 0)
}

fn replaced(path: &Path) -> TargetError {
    TargetError::Kept(format!("somebody has put another directory at {} meanwhile", path.display()))
}

/// Where `place` really is, absolute in the root.
fn real(root: &Root, place: &Path) -> Result<PathBuf, TargetError> {
    // No name ends with a slash.
    Ok(Path::new("/").join(root.resolve(&in_root(place))?).components().collect())
}

fn last(path: &Path) -> &OsStr {
    path.file_name().unwrap_or_default()
}

/// Bytes of a name (Linux `limits.h`, `NAME_MAX`), and those of the longest that is put behind that of a clone.
const NAME_MAX: usize = 255;
const LONGEST: usize = "..before-0123456789ab-9999".len();

/// A hidden name beside `place`. A long one loses its end.
fn name(place: &Path, what: &str) -> String {
    let whole = last(place).to_string_lossy();
    let end = (0..=whole.len().min(NAME_MAX - LONGEST)).rev().find(|end| whole.is_char_boundary(*end));
    format!(".{}.{what}", &whole[..end.unwrap_or_default()])
}

/// The step as it is to be performed, with `new` in the place of `place`.
fn elsewhere(step: &Step, place: &Path, new: &Path) -> Step {
    let moved = |text: &mut String| {
        if let Ok(inside) = Path::new(text.as_str()).strip_prefix(place) {
            let path = if inside.as_os_str().is_empty() { new.to_owned() } else { new.join(inside) };
            *text = path.to_string_lossy().into_owned();
        }
    };
    let mut step = step.clone();
    step.guards.creates.iter_mut().for_each(moved);
    for op in &mut step.ops {
        match op {
            Op::MakeDir { path } | Op::SetAttributes { path, .. } | Op::Remove { path } | Op::Expect { path } => {
                moved(path)
            }
            Op::Run { command, cwd, .. } => {
                if let Command::Argv(words) = command {
                    words.iter_mut().for_each(moved);
                }
                cwd.iter_mut().for_each(moved);
            }
            _ => {}
        }
    }
    step
}

fn use_clone(root: &Root, place: &Path, new: &Beside, how: &How) -> Result<(), TargetError> {
    new.is_at(root, &new.path)?;
    match how {
        How::Whole { kept, mode } => exchange(root, place, new, kept, *mode),
        How::Files { files, commit } => {
            let is = commit_of(root, &in_root(&new.path.join(".git")));
            if is.as_ref() != Some(commit) {
                let is = is.unwrap_or_else(|| "no commit".to_owned());
                return Err(TargetError::Kept(format!(
                    "{} is a clone of {commit}, and what this task clones is {is} by now: pin the revision (`alloy lock`), or \
                     move the clone away, and install again",
                    place.display()
                )));
            }
            // Each by itself: one that cannot be put back keeps no other from it.
            let mut ended = Ok(());
            for file in files {
                ended = ended.and(put_back(root, place, &new.path, file));
            }
            ended
        }
    }
}

/// Moves `file` from `new` to `place`, over what has its name there.
fn put_back(root: &Root, place: &Path, new: &Path, file: &Path) -> Result<(), TargetError> {
    let way: Vec<&Path> = file.ancestors().skip(1).filter(|up| up.file_name().is_some()).collect();
    for up in way.into_iter().rev() {
        if root.metadata(&place.join(up)).is_err() {
            let of = root.metadata(&new.join(up))?;
            let made = root.create_dir_all(&place.join(up), of.mode)?;
            let directory = root.directory(&place.join(up))?;
            if directory.metadata(OsStr::new("."))?.inode == made {
                directory.into_handle().set_owner(Some(of.uid), Some(of.gid))?;
            }
        }
    }
    root.rename_over(&new.join(file), &place.join(file)).map_err(|error| match error.kind() {
        io::ErrorKind::CrossesDevices => TargetError::Kept(format!(
            "{} cannot be put back, as something is mounted there, or on the way: `git checkout -- {}` in {} does it",
            place.join(file).display(),
            file.display(),
            place.display()
        )),
        _ => error.into(),
    })
}

/// Gives `new` the name of `place`, whose clone gets the name `kept`.
fn exchange(root: &Root, place: &Path, new: &Beside, kept: &Path, mode: Option<u32>) -> Result<(), TargetError> {
    if let Some(mode) = mode {
        // What nobody else was to look into, nobody else is to look into; nobody gets more than a fresh clone gives.
        let fresh = new.directory.metadata(OsStr::new("."))?.mode;
        new.directory.again()?.into_handle().set_mode(fresh & mode)?;
    }
    let why = |error: &layers::root::RootError| match error.kind() {
        io::ErrorKind::ResourceBusy => Some("as something is mounted there"),
        // overlayfs renames no directory of a layer below.
        io::ErrorKind::CrossesDevices => Some("as it is in a layer of this container's image"),
        _ => None,
    };
    let told = |error: layers::root::RootError| match why(&error) {
        Some(why) => TargetError::Kept(format!(
            "{} cannot be exchanged for its new clone, {why}: give the task another `dest`, or move away what is in it, and \
             install again",
            place.display()
        )),
        None => error.into(),
    };
    // In one step: there is no moment without a clone. What a kill leaves under the other name is nobody's work.
    root.rename(&new.path, kept)?;
    match root.exchange(kept, place) {
        Ok(()) => return new.is_at(root, place),
        Err(error) => {
            root.rename(kept, &new.path)?;
            use io::ErrorKind::{InvalidInput, PermissionDenied, Unsupported};
            if !matches!(error.kind(), InvalidInput | Unsupported | PermissionDenied) {
                return Err(told(error));
            }
        }
    }
    // A file system that cannot exchange names, such as NFS.
    root.rename(place, kept).map_err(told)?;
    if let Err(error) = root.rename(&new.path, place) {
        root.rename(kept, place)?;
        return Err(error.into());
    }
    new.is_at(root, place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_beside_are_no_longer_than_names_may_be() {
        for (length, expected) in [(1, 1), (200, 200), (255, NAME_MAX - LONGEST)] {
            let place = Path::new("/opt").join("x".repeat(length));
            let made = name(&place, "before-0123456789ab-9999");
            assert!(made.len() <= NAME_MAX && made.matches('x').count() == expected, "{made}");
        }
        // Of letters that take two bytes each, no half is left.
        assert!(name(&Path::new("/").join("ü".repeat(127)), "alloy-new").starts_with(".üü"));
        assert_eq!(name(Path::new("/opt/r"), "alloy-new"), ".r.alloy-new");
    }
}
