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

/// How a new clone is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// It takes the place of the earlier one.
    Whole {
        /// Where the earlier one stays.
        kept: PathBuf,
        /// The mode that somebody has given the directory of the earlier one.
        mode: Option<u32>,
        /// The commit with which the earlier one, which is as it was left, is what is wanted.
        same: Option<String>,
    },
    /// The earlier one gets these of its files, relative to it, if both are of this commit.
    Files {
        /// What differs.
        files: Vec<PathBuf>,
        /// What is checked out.
        commit: String,
    },
}

/// A last look before something is changed: why it is not to be, if so.
pub type Look<'a> = &'a dyn Fn(&Root) -> Option<String>;

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
        let begun = real(&self.root, &renew.place).and_then(|real| {
            Beside::make(&self.root, real.with_file_name(name(&real, "alloy-new"))).map(|new| (real, new))
        });
        let (real, new) = match begun {
            Ok(begun) => begun,
            Err(error) => return (Err(error), Vec::new()),
        };
        let (outcome, mut written) = self.perform(&elsewhere(step, &renew.place, &new.path), files, output);
        let outcome = match outcome {
            // It may have taken minutes, in which somebody was at work.
            Ok(Outcome::Ran(warnings)) => match look(&self.root) {
                None => use_clone(&self.root, &real, &new, &renew.how).map(|()| Outcome::Ran(warnings)),
                Some(why) => Err(TargetError::Kept(why)),
            },
            other => other,
        };
        // Unless it has another name by now.
        let stands = new.is_at(&self.root, &new.path).is_ok();
        let removed = if stands { new.remove(&self.root) } else { Ok(()) };
        if !matches!((&outcome, &renew.how), (Ok(Outcome::Ran(_)), How::Whole { .. })) {
            return (removed.and(outcome), Vec::new());
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
        let kept = real.with_file_name(name(&real, &format!("before-{commit}{further}")));
        if root.metadata(&kept).is_err() {
            return Ok(kept);
        }
        number += 1;
    }
}

/// A directory that was made for a clone, and is held: whoever may write in the directory that it is in may put another one
/// under its name.
struct Beside {
    /// Absolute in the root.
    path: PathBuf,
    directory: Directory,
    inode: (u64, u64),
}

impl Beside {
    fn make(root: &Root, path: PathBuf) -> Result<Self, TargetError> {
        let (parent, name) = (root.directory(path.parent().unwrap_or(Path::new("/")))?, last(&path));
        if is_ours_alone(&parent)? {
            // What an installation that was cut off has left.
            parent.remove_all(name)?;
        }
        if let Err(error) = parent.create_dir(name, 0o755) {
            if error.kind() == io::ErrorKind::AlreadyExists {
                return Err(TargetError::Kept(format!(
                    "{} is there already: an installation that was cut off has left it, or somebody else has made it. \
                     Delete it, and install again",
                    path.display()
                )));
            }
            return Err(error.into());
        }
        let directory = parent.directory(name)?;
        if !directory.names()?.is_empty() {
            return Err(replaced(&path));
        }
        let inode = directory.metadata(OsStr::new("."))?.inode;
        Ok(Self { path, directory, inode })
    }

    /// An error unless it is what is at `path`.
    fn is_at(&self, root: &Root, path: &Path) -> Result<(), TargetError> {
        if root.metadata(path)?.inode == self.inode { Ok(()) } else { Err(replaced(path)) }
    }

    /// Deletes what is in it, and then its name, if nothing else has that.
    fn remove(&self, root: &Root) -> Result<(), TargetError> {
        for name in self.directory.names()? {
            self.directory.remove_all(&name)?;
        }
        let parent = root.directory(self.path.parent().unwrap_or(Path::new("/")))?;
        parent.remove_empty(last(&self.path))?;
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
    Ok(Path::new("/").join(root.resolve(&in_root(place))?))
}

fn last(path: &Path) -> &OsStr {
    path.file_name().unwrap_or_default()
}

/// A hidden name beside `place`.
fn name(place: &Path, what: &str) -> String {
    format!(".{}.{what}", last(place).to_string_lossy())
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
        How::Whole { same: Some(same), .. }
            if commit_of(root, &in_root(&new.path.join(".git"))).as_ref() == Some(same) =>
        {
            Ok(())
        }
        How::Whole { kept, mode, .. } => exchange(root, place, new, kept, *mode),
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
    root.rename(place, kept).map_err(|error| match why(&error) {
        Some(why) => TargetError::Kept(format!(
            "{} cannot be exchanged for its new clone, {why}: give the task another `dest`, or move away what is in it, and \
             install again",
            place.display()
        )),
        None => error.into(),
    })?;
    if let Err(error) = root.rename(&new.path, place) {
        root.rename(kept, place)?;
        return Err(error.into());
    }
    new.is_at(root, place)
}
