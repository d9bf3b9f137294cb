//! A clone that takes the place of an earlier one of the same task: it is made beside it, and then the two change names.
//! Until then, and if it cannot be made, the earlier one stays as it is. What was put into it since comes along.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use layers::root::{FileKind, Root};

use super::Host;
use crate::op::{Command, Op, Source, Step};
use crate::target::request::Outcome;
use crate::target::{TargetError, in_root};

/// What is to be exchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renew {
    /// The directory of the clone.
    pub place: PathBuf,
    /// What was put into it since, relative to it.
    pub added: Vec<PathBuf>,
}

impl Host {
    /// Performs a step that clones into [`Renew::place`], where its own earlier clone is.
    pub fn renew(
        &mut self,
        step: &Step,
        files: &BTreeMap<Source, PathBuf>,
        output: &dyn Fn(&[u8]),
        renew: &Renew,
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
            Ok(Outcome::Ran(warnings)) => {
                exchange(&self.root, &real, &new, &renew.added).map(|()| Outcome::Ran(warnings))
            }
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

    /// Gives the directory `place` back its clone, if an installation was cut off while it was exchanged.
    pub fn recover(&self, place: &Path) -> Result<(), TargetError> {
        let Ok(real) = real(&self.root, place) else { return Ok(()) };
        let before = beside(&real, "before");
        if self.root.metadata(&before).is_err() {
            return Ok(());
        }
        if self.root.metadata(&real).is_err() {
            return Ok(self.root.rename(&before, &real)?);
        }
        Err(TargetError::Kept(format!(
            "{} is a clone from before an installation that was cut off, and {} the one that this made: delete one of them, \
             and give the other the name {1}",
            before.display(),
            real.display()
        )))
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

/// Gives `new` the name of `place`, and what was `added` there. What was there before is deleted when all else is done.
fn exchange(root: &Root, place: &Path, new: &Path, added: &[PathBuf]) -> Result<(), TargetError> {
    for path in added {
        let parent = path.parent().unwrap_or(Path::new(""));
        let blocked = parent
            .ancestors()
            .any(|up| root.metadata(&new.join(up)).is_ok_and(|found| found.kind != FileKind::Directory));
        if blocked || root.metadata(&new.join(path)).is_ok() {
            let shown = place.join(path);
            return Err(TargetError::Kept(format!(
                "{} is nothing that this task has cloned, and stands where its new clone has something of its own: move it \
                 away, and install again",
                shown.display()
            )));
        }
    }
    let before = beside(place, "before");
    root.rename(place, &before)?;
    if let Err(error) = root.rename(new, place) {
        root.rename(&before, place)?;
        return Err(error.into());
    }
    for path in added {
        let way: Vec<&Path> = path.ancestors().skip(1).filter(|up| up.file_name().is_some()).collect();
        for up in way.into_iter().rev() {
            if root.metadata(&place.join(up)).is_err() {
                let was = root.metadata(&before.join(up))?;
                root.create_dir_all(&place.join(up), was.mode)?;
                root.chown(&place.join(up), Some(was.uid), Some(was.gid))?;
            }
        }
        root.rename(&before.join(path), &place.join(path))?;
    }
    Ok(root.remove_all(&before)?)
}
