//! One directory moved into another: what was in `lib` is in `usr/lib` when `lib` becomes a link to it.

use std::ffi::{OsStr, OsString};
use std::io::{self, BufReader, Read};
use std::path::PathBuf;

use crate::diff::is_overlay_attribute;
use crate::root::{Directory, FileKind, RootError};

/// Why two directories cannot become one.
#[derive(Debug, thiserror::Error)]
pub(super) enum MergeError {
    /// The same name in both, and not the same behind it.
    #[error("`{}` and `{}` differ", shown(.one), shown(.other))]
    Differ { one: PathBuf, other: PathBuf },
    /// One is in the other.
    #[error("it would lead into that directory itself")]
    Within,
    /// A directory.
    #[error(transparent)]
    Root(#[from] RootError),
    /// A file.
    #[error("cannot read {}: {source}", shown(.path))]
    Read { path: PathBuf, source: io::Error },
}

fn shown(path: &std::path::Path) -> String {
    std::path::Path::new("/").join(path).display().to_string()
}

/// Moves all that is in `from` to `to`. Nothing is moved when a name that both have is not the same in both;
/// directories that both have become one, with the attributes that the one in `to` has. `lax` is for who may not set
/// owners.
pub(super) fn directories(from: &Directory, to: &Directory, lax: bool) -> Result<(), MergeError> {
    if to.real_path()?.starts_with(from.real_path()?) {
        return Err(MergeError::Within);
    }
    walk(from, to, &mut |from, to, name| {
        let Ok(there) = to.metadata(name) else { return Ok(false) };
        let here = from.metadata(name)?;
        let both = (here.kind, there.kind);
        match both {
            (FileKind::Directory, FileKind::Directory) => Ok(true),
            _ if here.kind == there.kind && same(from, to, name)? => Ok(false),
            _ => Err(MergeError::Differ { one: from.path().join(name), other: to.path().join(name) }),
        }
    })?;
    moved(from, to, lax)
}

/// Visits the names in `from`, beside `to`, and goes into the directories for which `visit` says so.
fn walk(
    from: &Directory,
    to: &Directory,
    visit: &mut dyn FnMut(&Directory, &Directory, &OsStr) -> Result<bool, MergeError>,
) -> Result<(), MergeError> {
    let mut stack = vec![(from.again()?, to.again()?)];
    while let Some((from, to)) = stack.pop() {
        for name in from.names()? {
            if visit(&from, &to, &name)? {
                stack.push((from.directory(&name)?, to.directory(&name)?));
            }
        }
    }
    Ok(())
}

/// A directory on the way: what is still to be moved out of it, and the time that its new one gets at the end.
struct Level {
    from: Directory,
    to: Directory,
    names: std::vec::IntoIter<OsString>,
    made: Option<(OsString, (i64, u32))>,
}

impl Level {
    fn new(from: Directory, to: Directory, made: Option<(OsString, (i64, u32))>) -> Result<Self, MergeError> {
        let names = from.names()?.into_iter();
        Ok(Self { from, to, names, made })
    }
}

fn moved(from: &Directory, to: &Directory, lax: bool) -> Result<(), MergeError> {
    let mut stack = vec![Level::new(from.again()?, to.again()?, None)?];
    while let Some(level) = stack.last_mut() {
        let Some(name) = level.names.next() else {
            let Some(Level { from, made, .. }) = stack.pop() else { break };
            if let Some(above) = stack.last() {
                let name = from.path().file_name().unwrap_or_default().to_owned();
                above.from.remove_empty(&name)?;
                if let Some((name, mtime)) = made {
                    above.to.set_mtime(&name, mtime)?;
                }
            }
            continue;
        };
        let here = level.from.metadata(&name)?;
        let there = level.to.metadata(&name).ok();
        if here.kind != FileKind::Directory {
            if there.is_some() {
                level.from.remove_file(&name)?;
            } else {
                level.from.move_file(&name, &level.to)?;
            }
            continue;
        }
        // An overlay refuses to rename directories of its lower layers: all are made anew.
        let mut made = None;
        if there.is_none() {
            level.to.create_dir(&name, 0o700)?;
            let handle = level.to.handle(&name)?;
            if !lax {
                handle.set_owner(Some(here.uid), Some(here.gid))?;
            }
            for (attribute, value) in level.from.xattrs(&name)? {
                if !is_overlay_attribute(&attribute) && attribute != "security.selinux" {
                    level.to.set_xattr(&name, &attribute, &value)?;
                }
            }
            handle.set_mode(here.mode)?;
            made = Some((name.clone(), here.mtime));
        }
        let next = Level::new(level.from.directory(&name)?, level.to.directory(&name)?, made)?;
        stack.push(next);
    }
    Ok(())
}

/// True if `name`, of one kind and no directory, is the same in both.
fn same(one: &Directory, other: &Directory, name: &OsStr) -> Result<bool, MergeError> {
    let (here, there) = (one.metadata(name)?, other.metadata(name)?);
    if here.inode == there.inode {
        return Ok(true);
    }
    match here.kind {
        FileKind::Symlink => Ok(one.read_link(name)? == other.read_link(name)?),
        FileKind::File => {
            let attributes = |found: &crate::root::Metadata| (found.mode, found.uid, found.gid, found.size);
            if attributes(&here) != attributes(&there) {
                return Ok(false);
            }
            let failed = |source| MergeError::Read { path: one.path().join(name), source };
            let mut other = BufReader::new(other.open_file(name)?).bytes();
            for byte in BufReader::new(one.open_file(name)?).bytes() {
                let byte = byte.map_err(failed)?;
                if other.next().transpose().map_err(failed)? != Some(byte) {
                    return Ok(false);
                }
            }
            Ok(other.next().is_none())
        }
        FileKind::Fifo => Ok(true),
        _ => Ok(false),
    }
}
