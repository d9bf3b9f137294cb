//! What no layer can hold, found by names alone, those of attributes as well: at once after whatever made it, when it is still known what that was.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::{DiffError, ExcludeSet, is_overlay_attribute, is_whiteout};
use crate::path;
use crate::root::{FileKind, Root};
use crate::whiteout;

/// The longest name of which a layer can say that it is gone.
const LONGEST_GONE: usize = 255 - whiteout::PREFIX.len();
/// Bytes of a name that are shown of each end of a long one.
const SHOWN: usize = 120;

/// Fails if something in the upper directory `upper` cannot be in a layer. Gives the sockets there, which are left out.
pub fn look(upper: &Root, exclude: &ExcludeSet) -> Result<Vec<PathBuf>, DiffError> {
    let (mut sockets, mut waiting) = (Vec::new(), vec![PathBuf::new()]);
    // A name may have very many elements: nothing here calls itself for each.
    while let Some(at) = waiting.pop() {
        let directory = upper.directory(&at)?;
        for name in directory.names()? {
            let path = at.join(&name);
            if exclude.contains(&path) {
                continue;
            }
            check(&path)?;
            let kind = directory.metadata(&name)?.kind;
            if kind != FileKind::Socket {
                let attributes = directory.xattr_names(&name)?;
                attributes.iter().try_for_each(|attribute| check_attribute(&path, attribute))?;
            }
            match kind {
                FileKind::Directory => waiting.push(path),
                FileKind::Socket => sockets.push(path),
                FileKind::CharDevice | FileKind::File
                    if name.len() > LONGEST_GONE
                        && is_whiteout(&directory.metadata(&name)?, &directory.xattrs(&name)?) =>
                {
                    check_gone(&path)?;
                }
                _ => {}
            }
        }
    }
    sockets.sort_unstable();
    Ok(sockets)
}

/// Fails if nothing in a layer can have the name `path`.
pub(super) fn check(path: &Path) -> Result<(), DiffError> {
    if crate::tar::file_name(path).as_bytes().starts_with(whiteout::PREFIX.as_bytes()) {
        return Err(DiffError::Name { path: path.to_owned() });
    }
    limits(path)
}

/// Fails if a layer cannot hold an attribute of the name `attribute`.
pub(super) fn check_attribute(path: &Path, attribute: &OsStr) -> Result<(), DiffError> {
    if attribute.as_bytes().contains(&b'=') && !is_overlay_attribute(attribute) {
        return Err(DiffError::Attribute { path: path.to_owned(), attribute: attribute.to_owned() });
    }
    Ok(())
}

/// Fails if a layer cannot say that `path` is gone.
pub(super) fn check_gone(path: &Path) -> Result<(), DiffError> {
    if crate::tar::file_name(path).len() > LONGEST_GONE {
        return Err(DiffError::Gone { path: path.to_owned() });
    }
    limits(&path.with_file_name(whiteout::of(crate::tar::file_name(path))))
}

/// Readers of layers, alloy's own first, refuse what is longer.
pub(super) fn limits(path: &Path) -> Result<(), DiffError> {
    match path::clean(path.as_os_str().as_bytes()) {
        Ok(_) => Ok(()),
        Err(error) => Err(DiffError::Long { path: path.to_owned(), problem: error.problem() }),
    }
}

/// A path for messages, the middle of a long one left out.
pub(super) fn shown(path: &Path) -> String {
    let bytes = path.as_os_str().as_bytes();
    if bytes.len() <= 3 * SHOWN {
        return path::shown(bytes);
    }
    let (first, last) = (&bytes[..SHOWN], &bytes[bytes.len() - SHOWN..]);
    format!("{}…{}", path::shown(first), path::shown(last))
}
