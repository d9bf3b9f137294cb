//! `owner` and `mode` on what an action wrote. Links are never followed: their targets may be anybody's.
//!
//! The user whom files are given to may be at work in the same directories: the walk goes by handles from one directory
//! into the next, and what is set is set on the file that was looked at, not on its name.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::path::Path;

use layers::root::{Descent, FileKind, Handle, Metadata, Root};

use super::TargetError;
use crate::op::Mode;

/// What a step has made, as inodes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Made<'m> {
    /// At the path itself; `None` if that is not known, as of what commands do.
    pub top: Option<(u64, u64)>,
    /// Below it; `None` if that is not known.
    pub below: Option<&'m HashSet<(u64, u64)>>,
}

/// The owner and the mode that something is to have.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attributes<'m> {
    /// User, and group where that is to be another as well.
    pub owner: Option<(u32, Option<u32>)>,
    /// The mode.
    pub mode: Option<&'m Mode>,
    /// Everything below a directory is to have them, too.
    pub recursive: bool,
}

/// Sets owner, then mode (chown(2) clears set-id bits), on `path`.
///
/// In a shared root only what was `made` is given away: what else others have put under the same names, or into the
/// same directories, stays as it is.
pub fn set(root: &Root, path: &Path, attributes: Attributes<'_>, made: Made<'_>) -> Result<(), TargetError> {
    let parent = root.directory(path.parent().unwrap_or(Path::new("")))?;
    let name = path.file_name().unwrap_or(OsStr::new("."));
    let made = if root.is_shared() { made } else { Made::default() };
    let top = parent.handle(name)?;
    let found = top.metadata()?;
    // A link may have stood there before; it is itself.
    if found.kind != FileKind::Symlink && made.top.is_some_and(|inode| found.inode != inode) {
        return Err(TargetError::Exchanged { path: path.to_owned() });
    }
    set_on(top, attributes, made.below)
}

/// The same on what `top` holds, wherever it is now.
pub fn set_on(
    top: Handle,
    Attributes { owner, mode, recursive }: Attributes<'_>,
    made: Option<&HashSet<(u64, u64)>>,
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
    while let Some((directory, (inside, names))) = descent.here() {
        let Some(name) = names.next() else {
            // A directory comes after what is in it: its new mode may lock out who sets it.
            let Some((directory, (found, _))) = descent.pop()? else { continue };
            let above = descent.here().map(|(_, (above, _))| *above);
            if !stays(made, &found, above.as_ref()) {
                one(&directory.into_handle(), &found)?;
            }
            continue;
        };
        let handle = directory.handle(&name)?;
        let found = handle.metadata()?;
        if stays(made, &found, Some(inside)) {
            // Below directories of their own there may be more of what was made.
            if found.kind == FileKind::Directory && found.uid != 0 {
                enter(&mut descent, handle, found)?;
            }
        } else if found.kind == FileKind::Directory {
            enter(&mut descent, handle, found)?;
        } else {
            one(&handle, &found)?;
        }
    }
    Ok(())
}

/// True for what the step did not make, in a directory of another user: it is given to nobody.
fn stays(made: Option<&HashSet<(u64, u64)>>, found: &Metadata, inside: Option<&Metadata>) -> bool {
    let others = |inside: &Metadata| inside.uid != 0 || inside.mode & 0o002 != 0;
    inside.is_some_and(others) && made.is_some_and(|made| !made.contains(&found.inode))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    fn mode_of(path: &Path) -> u32 {
        path.metadata().unwrap().mode() & 0o7777
    }

    fn below(mode: &Mode) -> Attributes<'_> {
        Attributes { mode: Some(mode), recursive: true, ..Attributes::default() }
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
        set_on(top, below(&Mode::Octal(0o640)), None).unwrap();
        assert_eq!(mode_of(&at("home/moved/d/shadow")), 0o640);
        assert_eq!(mode_of(&at("home/moved")), 0o640);
        std::fs::set_permissions(at("home/moved"), PermissionsExt::from_mode(0o755)).unwrap();
        // By the path there is a link now: it is neither followed nor given a mode.
        set(&root, Path::new("/home/x"), below(&Mode::Octal(0o777)), Made::default()).unwrap();
        set(&root, Path::new("/home/moved/link"), below(&Mode::Octal(0o777)), Made::default()).unwrap();
        assert_eq!(mode_of(&at("etc/shadow")), 0o600);
        assert_ne!(mode_of(&at("etc")), 0o777);
    }
}
