//! What Linux can make of a member: a layer that no machine can unpack is not made.

use super::{Entry, Kind};
use crate::diff::is_overlay_attribute;

/// `PATH_MAX` without its NUL: the target of a symbolic link.
const MAX_TARGET: usize = 4095;
/// `XATTR_NAME_MAX` and `XATTR_SIZE_MAX`.
const MAX_XATTR_NAME: usize = 255;
const MAX_XATTR_VALUE: usize = 64 << 10;
/// `XATTR_LIST_MAX`: the names of one file, each with its NUL.
const MAX_XATTR_NAMES: usize = 64 << 10;
/// What names of attributes begin with (xattr(7)); behind it there is a name.
const CLASSES: [&str; 4] = ["security.", "system.", "trusted.", "user."];

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
    let mut names: usize = 0;
    for (name, value) in &entry.xattrs {
        names += name.len() + 1;
        if name.is_empty() || name.len() > MAX_XATTR_NAME || name.as_bytes().contains(&0) {
            return Err("has an extended attribute whose name is not one of 1 to 255 bytes");
        }
        if value.len() > MAX_XATTR_VALUE {
            return Err("has an extended attribute larger than the 64 KiB that Linux allows");
        }
        if CLASSES.iter().any(|class| name == class) {
            return Err("has an extended attribute of whose name there is only the beginning");
        }
        let plain = matches!(entry.kind, Kind::File | Kind::Directory | Kind::HardLink);
        if !plain && name.as_bytes().starts_with(b"user.") && !is_overlay_attribute(name) {
            return Err("has a `user.` attribute, which Linux allows for files and directories alone");
        }
        if name == "security.capability" && !value.is_empty() && !is_capability(value) {
            return Err("has capabilities that Linux does not understand");
        }
    }
    if names > MAX_XATTR_NAMES {
        return Err("has extended attributes whose names are longer than the 64 KiB that Linux allows in all");
    }
    Ok(())
}

/// `struct vfs_cap_data` as setxattr(2) takes it: of revision 2, or of 3 with the user of a namespace, and of no flag
/// but "effective" (capabilities(7)).
fn is_capability(value: &[u8]) -> bool {
    let length = match value.get(..4) {
        Some([0 | 1, 0, 0, 2]) => 20,
        Some([0 | 1, 0, 0, 3]) => 24,
        _ => return false,
    };
    value.len() == length
}
