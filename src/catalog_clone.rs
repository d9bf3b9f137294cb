//! The catalog as a clone of its repository: a new clone takes the place of the old one in a single step, or not at all.

mod error;
mod git_config;
mod known;

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

pub use error::CloneError;
pub use known::{Known, Problem, all};

use crate::catalog::Catalog;
use crate::git::{Git, Programs};
use crate::sink::{Staged, Theirs};

/// What tells a clone that alloy made, and may replace, from everybody else's. It holds nothing.
const MARK: &str = ".git/alloy-catalog";
/// Lines of what git says that are quoted.
const QUOTED: usize = 10;

/// Which catalog is wanted, and from where.
pub struct Wanted<'a> {
    /// Where the clone is, or is to be.
    pub directory: &'a Path,
    /// The repository that it comes from; `None` for where it came from the last time.
    pub remote: Option<&'a str>,
    /// Drop changes that were made in the clone since.
    pub discard: bool,
    /// A server that is silent for so many seconds counts as gone.
    pub stall: u64,
    /// How git starts ssh.
    pub programs: &'a Programs,
}

/// The clone as it is now.
#[derive(Clone, Debug)]
pub struct Updated {
    /// The repository, without its password.
    pub remote: String,
    /// The commit.
    pub commit: String,
    /// False if it was there already.
    pub changed: bool,
}

/// Gets the catalog, or a newer one. Who calls keeps others from doing the same.
pub fn update(wanted: &Wanted<'_>) -> Result<Updated, CloneError> {
    let Wanted { directory, discard, stall, programs, .. } = *wanted;
    let old = existing(directory)?;
    let remote = remote(wanted, old.as_ref())?;
    if let Some(old) = old.as_ref().filter(|old| !old.own && !same(&old.remote, &remote)) {
        return Err(CloneError::OfAnother { directory: directory.to_owned(), remote: old.remote.clone() });
    }
    let git = Git::new(&remote, stall).with_programs(programs);
    let commit = git.newest()?;
    let changed = old.as_ref().is_none_or(|old| old.remote != remote || old.commit != commit);
    if changed {
        if let Some(old) = old.as_ref().filter(|old| !old.own || !discard) {
            old.unchanged(directory)?;
        }
        // The catalog in the home of whoever calls by `sudo -E` is theirs.
        let theirs = Theirs::of(directory);
        replace(&git, directory)?;
        theirs.map_or(Ok(()), |theirs| theirs.hand_over()).map_err(|error| failed("hand over", directory, error))?;
    }
    Ok(Updated { remote: git.shown(), commit, changed })
}

/// The repository that is wanted, or where the clone came from.
fn remote(wanted: &Wanted<'_>, old: Option<&Clone>) -> Result<String, CloneError> {
    match (wanted.remote, old) {
        (Some(remote), _) if Path::new(remote).is_dir() => {
            let real = fs::canonicalize(remote);
            let real = real.map_err(|source| CloneError::Remote { remote: remote.to_owned(), source })?;
            Ok(real.to_string_lossy().into_owned())
        }
        (Some(remote), _) => Ok(remote.to_owned()),
        (None, Some(old)) => Ok(old.remote.clone()),
        (None, None) => Err(CloneError::NoRemote),
    }
}

/// True for two names of one repository: with `.git` at the end, or without.
fn same(one: &str, other: &str) -> bool {
    let plain = |text: &str| {
        let text = text.trim_end_matches('/');
        text.strip_suffix(".git").unwrap_or(text).trim_end_matches('/').to_owned()
    };
    plain(one) == plain(other)
}

/// A clone of a catalog.
struct Clone {
    remote: String,
    commit: String,
    /// alloy made it: somebody else's has to be as it was cloned.
    own: bool,
}

/// The clone in `directory`, if there is one, also if it was made by hand or by another tool; anything else there is not
/// alloy's to replace.
fn existing(directory: &Path) -> Result<Option<Clone>, CloneError> {
    let empty = fs::read_dir(directory).map_or(true, |mut entries| entries.next().is_none());
    if empty {
        return Ok(None);
    }
    let own = directory.join(MARK).is_file();
    let alone = || CloneError::NotOwn { directory: directory.to_owned() };
    if !own && !directory.join(".git").is_dir() {
        return Err(alone());
    }
    if let Some(what) = git_config::foreign(directory) {
        return Err(CloneError::Untrusted { directory: directory.to_owned(), what });
    }
    let remote = Git::local(directory, &["remote", "get-url", "origin"]);
    let remote = if own { remote? } else { remote.map_err(|_| alone())? };
    Ok(Some(Clone { remote, commit: Git::local(directory, &["rev-parse", "HEAD"])?, own }))
}

impl Clone {
    /// Refuses to lose what somebody has done in the clone.
    fn unchanged(&self, directory: &Path) -> Result<(), CloneError> {
        // Of what is not alloy's, nothing at all is lost.
        let looks: &[&[&str]] = match self.own {
            true => &[&["status", "--porcelain"], &["log", "--oneline", "HEAD", "--not", "--remotes"]],
            false => &[
                &["status", "--porcelain", "--ignored"],
                &["log", "--oneline", "HEAD", "--branches", "--tags", "--not", "--remotes"],
                &["stash", "list"],
            ],
        };
        let mut lines: Vec<String> = Vec::new();
        for look in looks {
            lines.extend(Git::local(directory, look)?.lines().map(str::to_owned));
        }
        if lines.is_empty() {
            return Ok(());
        }
        lines.truncate(QUOTED);
        Err(CloneError::Changed { lines, own: self.own })
    }
}

fn failed(doing: &'static str, path: &Path, source: io::Error) -> CloneError {
    CloneError::Files { doing, path: path.to_owned(), source }
}

/// Puts a new clone in the place of `directory`.
fn replace(git: &Git, directory: &Path) -> Result<(), CloneError> {
    let directory = std::path::absolute(directory).map_err(|error| failed("find", directory, error))?;
    let parent = directory.parent().map_or_else(|| PathBuf::from("/"), Path::to_owned);
    fs::create_dir_all(&parent).map_err(|error| failed("make", &parent, error))?;
    let staged = Staged::of(&directory).map_err(|error| failed("write to", &parent, error))?;
    git.clone_into(staged.path())?;
    Catalog::open(staged.path()).map_err(|_| CloneError::NoCatalog { remote: git.shown() })?;
    let mark = staged.path().join(MARK);
    fs::write(&mark, "").map_err(|error| failed("write", &mark, error))?;
    let readable = Permissions::from_mode(0o755);
    fs::set_permissions(staged.path(), readable).map_err(|error| failed("open", staged.path(), error))?;
    staged.persist(&directory).map_err(|error| failed("replace", &directory, error))
}
