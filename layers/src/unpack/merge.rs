//! One directory moved into another: what was in `lib` is in `usr/lib` when `lib` becomes a link to it.

use std::ffi::{OsStr, OsString};
use std::io::{self, BufReader, Read};
use std::path::{Component, Path, PathBuf};

use super::place::Brought;
use crate::diff::is_overlay_attribute;
use crate::root::{Directory, FileKind, RootError};

/// Why two directories cannot become one.
#[derive(Debug, thiserror::Error)]
pub(super) enum MergeError {
    /// The same name in both, and not the same behind it.
    #[error("`{}` and `{}` differ", shown(.one), shown(.other))]
    Differ { one: PathBuf, other: PathBuf },
    /// A link whose target cannot be told by its text.
    #[error("the relative link `{}` has `..` behind other names, and may lead elsewhere from there", shown(.path))]
    Link { path: PathBuf },
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
/// owners. What is made anew and deleted on the way is told `brought`.
pub(super) fn directories(
    from: &Directory,
    to: &Directory,
    lax: bool,
    brought: &mut Brought,
) -> Result<(), MergeError> {
    let top = from.real_path()?;
    if to.real_path()?.starts_with(&top) {
        return Err(MergeError::Within);
    }
    possible(&top, from, to)?;
    moved(&top, from, to, lax, brought)
}

/// An error if something cannot be moved.
fn possible(top: &Path, from: &Directory, to: &Directory) -> Result<(), MergeError> {
    // Beside each directory the one that it goes to, where there is one already, and the path of that.
    let mut stack = vec![(from.again()?, Some(to.again()?), to.real_path()?)];
    while let Some((from, to, place)) = stack.pop() {
        for name in from.names()? {
            let here = from.metadata(&name)?;
            let link = if here.kind == FileKind::Symlink { Some(carried(top, &from, &place, &name)?) } else { None };
            let there = to.as_ref().and_then(|to| Some((to, to.metadata(&name).ok()?)));
            let differ =
                |to: &Directory| MergeError::Differ { one: from.path().join(&name), other: to.path().join(&name) };
            match there {
                Some((to, there)) if there.kind != here.kind => return Err(differ(to)),
                Some((to, _)) if here.kind != FileKind::Directory && !same(&from, to, &name, link.as_deref())? => {
                    return Err(differ(to));
                }
                _ if here.kind != FileKind::Directory => {}
                there => {
                    let below = there.map(|(to, _)| to.directory(&name)).transpose()?;
                    stack.push((from.directory(&name)?, below, place.join(&name)));
                }
            }
        }
    }
    Ok(())
}

/// What the link `name` says when it moves from a directory of the tree `top` to `there`, so that it leads to the same
/// place: a relative link that climbs out of the tree would lead elsewhere from there.
fn carried(top: &Path, from: &Directory, there: &Path, name: &OsStr) -> Result<PathBuf, MergeError> {
    let target = from.read_link(name)?;
    if target.is_absolute() {
        return Ok(target);
    }
    let ups = target.components().take_while(|element| *element == Component::ParentDir).count();
    let here = from.real_path()?;
    let depth = here.strip_prefix(top).map_or(0, |below| below.components().count());
    let rest = target.components().skip(ups);
    if rest.clone().any(|element| element == Component::ParentDir) {
        // What is before such a `..` may be a link.
        return Err(MergeError::Link { path: from.path().join(name) });
    }
    if ups <= depth {
        return Ok(target);
    }
    let Some(base) = here.ancestors().nth(ups) else { return Ok(target) };
    let meant: PathBuf = base.components().chain(rest).collect();
    let common = meant.components().zip(there.components()).take_while(|(one, other)| one == other).count();
    let climbed = std::iter::repeat_n(Component::ParentDir, there.components().count() - common);
    Ok(climbed.chain(meant.components().skip(common)).collect())
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

fn moved(top: &Path, from: &Directory, to: &Directory, lax: bool, brought: &mut Brought) -> Result<(), MergeError> {
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
                brought.deleted(&here);
                continue;
            }
            let link = match here.kind {
                FileKind::Symlink => Some(carried(top, &level.from, &level.to.real_path()?, &name)?),
                _ => None,
            };
            match link {
                Some(target) if target != level.from.read_link(&name)? => {
                    level.to.symlink(&name, &target)?;
                    let made = level.to.handle(&name)?.just_made(FileKind::Symlink)?;
                    if !lax {
                        made.set_owner(Some(here.uid), Some(here.gid))?;
                    }
                    made.set_mtime(here.mtime)?;
                    brought.made_anew(&here, &made.metadata()?);
                    level.from.remove_file(&name)?;
                    brought.deleted(&here);
                }
                _ => level.from.move_file(&name, &level.to)?,
            }
            continue;
        }
        // An overlay refuses to rename directories of its lower layers: all are made anew.
        let mut made = None;
        if there.is_none() {
            level.to.create_dir(&name, 0o700)?;
            let handle = level.to.handle(&name)?.just_made(FileKind::Directory)?;
            if !lax {
                handle.set_owner(Some(here.uid), Some(here.gid))?;
            }
            for (attribute, value) in level.from.xattrs(&name)? {
                if !is_overlay_attribute(&attribute) && attribute != "security.selinux" {
                    handle.set_xattr(&attribute, &value)?;
                }
            }
            handle.set_mode(here.mode)?;
            brought.made_anew(&here, &handle.metadata()?);
            made = Some((name.clone(), here.mtime));
        }
        let next = Level::new(level.from.directory(&name)?, level.to.directory(&name)?, made)?;
        stack.push(next);
    }
    Ok(())
}

/// True if `name`, of one kind and no directory, is the same in both; `link` is what it says where it goes.
fn same(one: &Directory, other: &Directory, name: &OsStr, link: Option<&Path>) -> Result<bool, MergeError> {
    let (here, there) = (one.metadata(name)?, other.metadata(name)?);
    if here.inode == there.inode {
        return Ok(true);
    }
    match here.kind {
        FileKind::Symlink => Ok(link == Some(other.read_link(name)?.as_path())),
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
