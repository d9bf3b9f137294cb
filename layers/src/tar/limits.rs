//! What Linux can make of a member: a layer that no machine can unpack is not made.

use super::{Entry, Kind};

/// `PATH_MAX` without its NUL: the target of a symbolic link.
const MAX_TARGET: usize = 4095;
/// `XATTR_NAME_MAX` and `XATTR_SIZE_MAX`.
const MAX_XATTR_NAME: usize = 255;
const MAX_XATTR_VALUE: usize = 64 << 10;

/// Says what is too much, beside the names, of which [`crate::path`] knows.
pub(super) fn check(entry: &Entry) -> Result<(), &'static str> {
    use std::os::unix::ffi::OsStrExt;
    let target = entry.link.as_os_str().as_bytes();
    if entry.kind == Kind::Symlink && target.len() > MAX_TARGET {
        return Err("is a link to a name longer than the 4095 bytes that Linux allows");
    }
    if target.contains(&0) {
        return Err("is a link to a name with a NUL byte");
    }
    for (name, value) in &entry.xattrs {
        if name.is_empty() || name.len() > MAX_XATTR_NAME || name.as_bytes().contains(&0) {
            return Err("has an extended attribute whose name is not one of 1 to 255 bytes");
        }
        if value.len() > MAX_XATTR_VALUE {
            return Err("has an extended attribute larger than the 64 KiB that Linux allows");
        }
    }
    Ok(())
}
