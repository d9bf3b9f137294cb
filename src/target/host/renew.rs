//! A clone that takes the place of an earlier one of the same task: it is made beside it, and then the two change names, or
//! the earlier one gets back what differs. Until then, and if it cannot be made, the earlier one stays as it is.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use layers::root::Root;

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
    /// It takes the place of the earlier one, which is deleted once that is recorded.
    Whole,
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
        let found = real(&self.root, &renew.place).and_then(|real| {
            let new = beside(&real, "new");
            self.root.remove_all(&new)?;
            Ok((real, new))
        });
        let (real, new) = match found {
            Ok(found) => found,
            Err(error) => return (Err(error), Vec::new()),
        };
        let (outcome, mut written) = self.perform(&elsewhere(step, &renew.place, &new), files, output);
        let outcome = match outcome {
            // It may have taken minutes, in which somebody was at work.
            Ok(Outcome::Ran(warnings)) => match look(&self.root) {
                None => use_clone(&self.root, &real, &new, &renew.how).map(|()| Outcome::Ran(warnings)),
                Some(why) => Err(TargetError::Kept(why)),
            },
            other => other,
        };
        if !matches!(outcome, Ok(Outcome::Ran(_))) {
            let removed = self.root.remove_all(&new).map_err(TargetError::from);
            return (removed.and(outcome), Vec::new());
        }
        let (place, made) = (in_root(&renew.place), in_root(&new));
        for path in &mut written {
            // No name ends with a slash.
            let inside = path.strip_prefix(&made).map(|inside| place.join(inside).components().collect());
            *path = inside.unwrap_or_else(|_| path.clone());
        }
        (outcome, written)
    }

    /// Deletes the clone that another one has taken the place of, once that is recorded.
    pub fn settle(&self, place: &Path) -> Result<(), TargetError> {
        let real = real(&self.root, place)?;
        let (before, old) = (beside(&real, "before"), beside(&real, "old"));
        if self.root.metadata(&before).is_ok() {
            self.root.remove_all(&old)?;
            self.root.rename(&before, &old)?;
        }
        Ok(self.root.remove_all(&old)?)
    }

    /// Gives the directory `place` back its clone, if an installation was cut off while it was exchanged, and deletes what
    /// that left beside it. Where both are there, nobody knows who has worked in them since.
    pub fn recover(&self, place: &Path) -> Result<(), TargetError> {
        let Ok(real) = real(&self.root, place) else { return Ok(()) };
        let before = beside(&real, "before");
        if self.root.metadata(&before).is_ok() {
            if self.root.metadata(&real).is_ok() {
                return Err(TargetError::Kept(format!(
                    "{} is this task's clone from before an installation that was cut off, and {} the one that it made \
                     instead, which is not recorded: delete the latter, and give the other its name",
                    before.display(),
                    real.display()
                )));
            }
            self.root.rename(&before, &real)?;
        }
        for left in ["new", "old"] {
            self.root.remove_all(&beside(&real, left))?;
        }
        Ok(())
    }
}

/// Where `place` really is, absolute in the root.
fn real(root: &Root, place: &Path) -> Result<PathBuf, TargetError> {
    Ok(Path::new("/").join(root.resolve(&in_root(place))?))
}

/// A name beside `place` that only alloy gives.
fn beside(place: &Path, what: &str) -> PathBuf {
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    place.with_file_name(format!(".{name}.alloy-{what}"))
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

fn use_clone(root: &Root, place: &Path, new: &Path, how: &How) -> Result<(), TargetError> {
    match how {
        How::Whole => exchange(root, place, new),
        How::Files { files, commit } => {
            let is = commit_of(root, &in_root(&new.join(".git")));
            if is.as_ref() != Some(commit) {
                let is = is.unwrap_or_else(|| "no commit".to_owned());
                return Err(TargetError::Kept(format!(
                    "{} is a clone of {commit}, and what this task clones is {is} by now: pin the revision (`alloy lock`), or \
                     move the clone away, and install again",
                    place.display()
                )));
            }
            files.iter().try_for_each(|file| put_back(root, place, new, file))?;
            Ok(root.remove_all(new)?)
        }
    }
}

/// Moves `file` from `new` to `place`, where something else has its name or nothing.
fn put_back(root: &Root, place: &Path, new: &Path, file: &Path) -> Result<(), TargetError> {
    let way: Vec<&Path> = file.ancestors().skip(1).filter(|up| up.file_name().is_some()).collect();
    for up in way.into_iter().rev() {
        if root.metadata(&place.join(up)).is_err() {
            let of = root.metadata(&new.join(up))?;
            root.create_dir_all(&place.join(up), of.mode)?;
            root.chown(&place.join(up), Some(of.uid), Some(of.gid))?;
        }
    }
    root.remove_all(&place.join(file))?;
    Ok(root.rename(&new.join(file), &place.join(file))?)
}

/// Gives `new` the name of `place`, whose earlier clone is put aside.
fn exchange(root: &Root, place: &Path, new: &Path) -> Result<(), TargetError> {
    let before = beside(place, "before");
    let was = root.metadata(place)?;
    root.rename(place, &before).map_err(|error| match error.kind() {
        io::ErrorKind::ResourceBusy => TargetError::Kept(format!(
            "{} cannot be exchanged for its new clone, as something is mounted there: give the task a `dest` below that, or \
             empty it and install again",
            place.display()
        )),
        _ => error.into(),
    })?;
    if let Err(error) = root.rename(new, place) {
        root.rename(&before, place)?;
        return Err(error.into());
    }
    // Who may look into it was decided by somebody, and not by the clone.
    root.chown(place, Some(was.uid), Some(was.gid))?;
    Ok(root.chmod(place, was.mode)?)
}
