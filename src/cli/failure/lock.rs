//! Errors of making a lockfile.

use super::with;
use crate::cli::error::{CommandError, Kind};
use crate::cli::located::Place;
use crate::cli::meant;
use crate::locker::{At, LockError};
use crate::plan::{ONE_NAME, Platform};

impl From<LockError> for CommandError {
    fn from(error: LockError) -> Self {
        match error {
            LockError::Problems(problems) => problems.into(),
            LockError::Build(error) => error.into(),
            LockError::Registry(error) => error.into(),
            LockError::Resolve(error) => error.into(),
            LockError::Store(error) => error.into(),
            LockError::Platforms { of, failed } => by_platform(failed, of),
            LockError::Downloads(errors) => several(errors, "downloads cannot be pinned"),
            LockError::Packages { errors, lacking } => {
                let errors = errors.into_iter().map(|error| meant::explain(error, &lacking));
                several(errors, "tasks have packages that cannot be pinned")
            }
            LockError::SameName { .. } => with(Kind::Blueprint, &error, Some(ONE_NAME.to_owned())),
            LockError::NothingCalled { .. } => {
                let hint = "name a toolchain, a URL, a package that a task asks for, `base`, `commits`, `apt`, `python`, \
                            `npm` or `rust`";
                with(Kind::Usage, &error, Some(hint.to_owned()))
            }
            LockError::Revision { at, error, hint } => told(at, hint.into_iter().fold(error.into(), Self::hint)),
            LockError::NoRevision { ref at, ref url, .. } => {
                let hint = format!("see which tags and branches there are: git ls-remote {url}");
                told(at.clone(), with(Kind::Failed, &error, Some(hint)))
            }
            LockError::Read { .. } => with(Kind::Failed, &error, None),
            LockError::Platform(_) => with(Kind::Usage, &error, None),
        }
    }
}

/// Says which task failed.
fn told(at: Option<At>, failure: CommandError) -> CommandError {
    match at {
        Some(At { task, file, line, quoted }) => Place::of(&file, line, &quoted).told_of(failure, &task),
        None => failure,
    }
}

/// Several failures, which are `what`, as one.
fn several<E: Into<CommandError>>(errors: impl IntoIterator<Item = E>, what: &str) -> CommandError {
    let all = CommandError::all(errors.into_iter().map(Into::into).collect(), what);
    all.unwrap_or_else(|| CommandError::new(Kind::Failed, what))
}

/// What failed on some of so many platforms; what is the same on several is told once.
fn by_platform(failed: Vec<(Platform, LockError)>, of: usize) -> CommandError {
    let mut told: Vec<(Vec<String>, CommandError)> = Vec::new();
    for (platform, error) in failed {
        let error = CommandError::from(error);
        match told.iter_mut().find(|(_, other)| other.message == error.message) {
            Some((platforms, _)) => platforms.push(platform.to_string()),
            None => told.push((vec![platform.to_string()], error)),
        }
    }
    let named = told.into_iter().map(|(platforms, mut error)| {
        if platforms.len() < of {
            error.message = format!("{}: {}", platforms.join(", "), error.message);
        }
        error
    });
    several(named, "problems")
}
