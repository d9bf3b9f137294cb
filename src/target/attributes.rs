//! `owner` and `mode` on what an action wrote. Links are never followed: their targets may be anybody's.
//!
//! The user whom files are given to may be at work in the same directories: the walk goes by handles from one directory
//! into the next, and what is set is set on the file that was looked at, not on its name.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use layers::root::{Descent, FileKind, Handle, Metadata, Root};

use super::TargetError;
use crate::op::Mode;

/// Sets owner, then mode (chown(2) clears set-id bits), on `path`; with `recursive` on all below a directory.
pub fn set(
    root: &Root,
    path: &Path,
    owner: Option<(u32, Option<u32>)>,
    mode: Option<&Mode>,
    recursive: bool,
) -> Result<(), TargetError> {
    let parent = root.directory(path.parent().unwrap_or(Path::new("")))?;
    let top = parent.handle(path.file_name().unwrap_or(OsStr::new(".")))?;
    set_on(top, owner, mode, recursive)
}

/// The same on what `top` holds, wherever it is now.
pub fn set_on(
    top: Handle,
    owner: Option<(u32, Option<u32>)>,
    mode: Option<&Mode>,
    recursive: bool,
) -> Result<(), TargetError> {
    let one = |handle: &Handle, found: &Metadata| -> Result<(), TargetError> {
        if let Some((uid, gid)) = owner {
            handle.set_owner(Some(uid), gid)?;
        }
        match mode {
            Some(mode) if found.kind != FileKind::Symlink => {
                Ok(handle.set_mode(mode.apply(found.mode, found.kind == FileKind::Directory))?)
            }
            _ => Ok(()),
        }
    };
    let found = top.metadata()?;
    if !recursive || found.kind != FileKind::Directory {
        return one(&top, &found);
    }
    let mut descent = Descent::default();
    let enter = |descent: &mut Descent<(Metadata, std::vec::IntoIter<OsString>)>, handle: Handle, found: Metadata| {
        let directory = handle.into_directory()?;
        let names = directory.names()?.into_iter();
        descent.push(directory, (found, names))
    };
    enter(&mut descent, top, found)?;
    while let Some((directory, (_, names))) = descent.here() {
        let Some(name) = names.next() else {
            // A directory comes after what is in it: its new mode may lock out who sets it.
            if let Some((directory, (found, _))) = descent.pop()? {
                one(&directory.into_handle(), &found)?;
            }
            continue;
        };
        let handle = directory.handle(&name)?;
        let found = handle.metadata()?;
        if found.kind == FileKind::Directory {
            enter(&mut descent, handle, found)?;
        } else {
            one(&handle, &found)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    fn mode_of(path: &Path) -> u32 {
        path.metadata().unwrap().mode() & 0o7777
    }

    #[test]
    fn a_walk_goes_on_in_the_directory_it_began_in() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        for path in ["etc", "home/x/d"] {
            std::fs::create_dir_all(at(path)).unwrap();
        }
        for path in ["etc/shadow", "home/x/d/shadow", "home/x/d/other"] {
            std::fs::write(at(path), "").unwrap();
            std::fs::set_permissions(at(path), PermissionsExt::from_mode(0o600)).unwrap();
        }
        symlink("/etc/shadow", at("home/x/link")).unwrap();
        symlink("../../etc", at("home/x/directory")).unwrap();
        let root = Root::open(place.path()).unwrap();
        let top = root.directory(Path::new("home")).unwrap().handle(OsStr::new("x")).unwrap();
        // Its owner puts a link to somewhere else in its place before the walk goes in.
        std::fs::rename(at("home/x"), at("home/moved")).unwrap();
        symlink("/etc", at("home/x")).unwrap();
        set_on(top, None, Some(&Mode::Octal(0o640)), true).unwrap();
        assert_eq!(mode_of(&at("home/moved/d/shadow")), 0o640);
        assert_eq!(mode_of(&at("home/moved")), 0o640);
        std::fs::set_permissions(at("home/moved"), PermissionsExt::from_mode(0o755)).unwrap();
        // By the path there is a link now: it is neither followed nor given a mode.
        set(&root, Path::new("/home/x"), None, Some(&Mode::Octal(0o777)), true).unwrap();
        set(&root, Path::new("/home/moved/link"), None, Some(&Mode::Octal(0o777)), true).unwrap();
        assert_eq!(mode_of(&at("etc/shadow")), 0o600);
        assert_ne!(mode_of(&at("etc")), 0o777);
    }
}
