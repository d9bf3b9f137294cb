//! `owner` and `mode` on what an action wrote. Links are never followed: their targets may be anybody's.

use std::path::Path;

use layers::root::{FileKind, Root};

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
    let metadata = root.metadata(path)?;
    if recursive && metadata.kind == FileKind::Directory {
        for name in root.read_dir(path)? {
            set(root, &path.join(name), owner, mode, true)?;
        }
    }
    if let Some((uid, gid)) = owner {
        root.chown(path, Some(uid), gid)?;
    }
    let Some(mode) = mode.filter(|_| metadata.kind != FileKind::Symlink) else { return Ok(()) };
    Ok(root.chmod(path, mode.apply(metadata.mode, metadata.kind == FileKind::Directory))?)
}
