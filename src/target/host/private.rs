//! Private directories on a live host.
//!
//! In an image nobody else is at work, and ops keep to fixed names below `/tmp`. On a host anybody may have made such a
//! name before, and change what is in it while root runs it. So each step gets a new directory where only root may make
//! names, and what it was told of the reserved ones goes there. So does what alloy lends to commands.

use std::ffi::OsStr;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::path::{Path, PathBuf};

use layers::root::{Directory, FileKind, Root, RootError};

use super::super::TargetError;
use crate::op::{Command, Op, PRIVATE, Step};

/// Where private directories are made, below the root.
const BASE: &str = "var/cache/alloy";
/// With what their names begin: of steps, of runs, of pinned packages, and of agents that are lent.
const PREFIXES: [&str; 5] = ["step-", "run-", "debs", "packages", "ssh-"];

/// The step as it is to be performed, and its private directory, relative to the root, if it needs one. Whoever asked
/// deletes the directory afterwards.
pub(super) fn realised(root: &Root, step: &Step) -> Result<(Step, Option<PathBuf>), TargetError> {
    let names = |op: &Op| match op {
        Op::MakeDir { path } | Op::PlaceBlob { path, .. } => PRIVATE.contains(&path.as_str()),
        _ => false,
    };
    if !step.ops.iter().any(names) {
        return Ok((step.clone(), None));
    }
    let directory = directory(root, "step")?;
    let mut step = step.clone();
    let place = Path::new("/").join(&directory).to_string_lossy().into_owned();
    step.ops.iter_mut().for_each(|op| redirect(op, &place));
    Ok((step, Some(directory)))
}

/// A new directory that nobody but root can change, and that the users of tasks may pass. Its name begins with `what`.
pub(super) fn directory(root: &Root, what: &str) -> Result<PathBuf, TargetError> {
    root.create_dir_all(Path::new(BASE), 0o755)?;
    let base = base(root)?;
    let number = std::hash::RandomState::new().build_hasher().finish();
    let name = format!("{what}-{number:016x}");
    base.create_dir(OsStr::new(&name), 0o700)?;
    base.handle(OsStr::new(&name))?.set_mode(0o711)?;
    Ok(Path::new(BASE).join(name))
}

/// Deletes what killed runs have left. No other run may be at work on this host.
pub(super) fn sweep(root: &Root) -> Result<(), TargetError> {
    // Where others may write there is nothing of ours.
    let Ok(base) = base(root) else { return Ok(()) };
    for name in base.names()? {
        if PREFIXES.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            base.remove_all(&name)?;
        }
    }
    Ok(())
}

/// Where they are made, if it is root's alone.
fn base(root: &Root) -> Result<Directory, TargetError> {
    let base = root.directory(Path::new(BASE))?;
    let found = base.metadata(OsStr::new("."))?;
    let ours = found.uid == rustix::process::geteuid().as_raw();
    if found.kind != FileKind::Directory || !ours || found.mode & 0o022 != 0 {
        let refused = io::Error::other("others may write there: it has to be root's, with mode 0755");
        return Err(RootError::new("use", Path::new(BASE), refused).into());
    }
    Ok(base)
}

/// The reserved names, alone or with more behind them, and nothing that only looks like them.
fn redirected(text: &mut String, place: &str) {
    let path = Path::new(&*text);
    let Some(name) = PRIVATE.iter().find(|name| path.starts_with(name)) else { return };
    let file = Path::new(name).file_name().unwrap_or_default();
    let rest = path.strip_prefix(name).unwrap_or(Path::new(""));
    let new = Path::new(place).join(file);
    let new = if rest.as_os_str().is_empty() { new } else { new.join(rest) };
    *text = new.to_string_lossy().into_owned();
}

fn redirect(op: &mut Op, place: &str) {
    match op {
        Op::MakeDir { path }
        | Op::PlaceBlob { path, .. }
        | Op::SetAttributes { path, .. }
        | Op::Remove { path }
        | Op::Expect { path }
        | Op::Copy { dest: path, .. }
        | Op::Unpack { dest: path, .. } => redirected(path, place),
        Op::Run { command, cwd, .. } => {
            if let Command::Argv(words) = command {
                words.iter_mut().for_each(|word| redirected(word, place));
            }
            if let Some(cwd) = cwd {
                redirected(cwd, place);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    fn step() -> Step {
        let path = PRIVATE[0].to_owned();
        let words = ["./configure", "--prefix=/tmp/alloy-build", "/tmp/alloy-builder", PRIVATE[0]].map(str::to_owned);
        let run = Op::Run {
            command: Command::Argv(words.into()),
            user: None,
            env: std::collections::BTreeMap::new(),
            cwd: Some(path.clone()),
        };
        let ops = vec![Op::MakeDir { path: path.clone() }, run, Op::Remove { path }];
        Step { name: "x".into(), action: "build_artifact".into(), ops, ..Step::default() }
    }

    #[test]
    fn what_others_have_made_in_tmp_is_never_used() {
        let place = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(place.path().join("tmp")).unwrap();
        symlink("/etc", place.path().join(PRIVATE[0].trim_start_matches('/'))).unwrap();
        let root = Root::open(place.path()).unwrap();
        let (realised, directory) = realised(&root, &step()).unwrap();
        let directory = directory.unwrap();
        assert_eq!(place.path().join(&directory).metadata().unwrap().mode() & 0o777, 0o711);
        let own = Path::new("/").join(&directory).join("alloy-build").to_string_lossy().into_owned();
        assert_eq!(realised.ops[0], Op::MakeDir { path: own.clone() });
        let Op::Run { command: Command::Argv(words), cwd, .. } = &realised.ops[1] else { panic!("a command") };
        assert_eq!(words[1..], ["--prefix=/tmp/alloy-build".to_owned(), "/tmp/alloy-builder".to_owned(), own.clone()]);
        assert_eq!(cwd.as_deref(), Some(own.as_str()));
        // What a run has left that was killed is swept, and nothing else.
        std::fs::create_dir(place.path().join(BASE).join("mine")).unwrap();
        sweep(&root).unwrap();
        assert!(!place.path().join(&directory).exists() && place.path().join(BASE).join("mine").exists());
        // Another step gets another one, and a place that others may write in is refused.
        assert_ne!(super::realised(&root, &step()).unwrap().1.unwrap(), directory);
        std::fs::set_permissions(place.path().join(BASE), PermissionsExt::from_mode(0o777)).unwrap();
        assert!(super::realised(&root, &step()).is_err());
    }
}
