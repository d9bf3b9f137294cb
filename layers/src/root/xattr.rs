//! Extended attributes of a name in an open directory.
//!
//! There are no `*at` calls for them before Linux 6.13; `/proc/self/fd/N/name` with the `l` calls is the same.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::fs::{XattrFlags, lgetxattr, llistxattr, lremovexattr, lsetxattr};
use rustix::io::{Errno, Result};

/// xattr(7): the kernel's own bounds.
const LIST_MAX: usize = 64 << 10;
const VALUE_MAX: usize = 64 << 10;

fn place(directory: &OwnedFd, name: &OsStr) -> PathBuf {
    super::by_descriptor(directory.as_fd()).join(name)
}

/// Names of all attributes; none where the file system has none.
pub(super) fn names(directory: &OwnedFd, name: &OsStr) -> Result<Vec<OsString>> {
    let path = place(directory, name);
    let mut list = [0_u8; 1024];
    let names = match llistxattr(&path, &mut list[..]) {
        Ok(length) => list[..length].to_vec(),
        Err(Errno::NOTSUP) => return Ok(Vec::new()),
        Err(Errno::RANGE) => {
            let mut list = vec![0; LIST_MAX];
            let length = llistxattr(&path, &mut list[..])?;
            list.truncate(length);
            list
        }
        Err(error) => return Err(error),
    };
    let names = names.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    Ok(names.map(|name| OsStr::from_bytes(name).to_owned()).collect())
}

/// All attributes, sorted by name.
pub(super) fn read(directory: &OwnedFd, name: &OsStr) -> Result<Vec<(OsString, Vec<u8>)>> {
    let path = place(directory, name);
    let mut attributes = Vec::new();
    for attribute in names(directory, name)? {
        let mut value = vec![0; VALUE_MAX];
        match lgetxattr(&path, &attribute, &mut value[..]) {
            Ok(length) => {
                value.truncate(length);
                value.shrink_to_fit();
                attributes.push((attribute, value));
            }
            Err(Errno::NODATA | Errno::NOTSUP) => {}
            Err(error) => return Err(error),
        }
    }
    attributes.sort_unstable();
    Ok(attributes)
}

/// Removes one; none there is fine.
pub(super) fn remove(directory: &OwnedFd, name: &OsStr, attribute: &OsStr) -> Result<()> {
    match lremovexattr(place(directory, name), attribute) {
        Err(Errno::NODATA) => Ok(()),
        other => other,
    }
}

/// Sets one.
pub(super) fn set(directory: &OwnedFd, name: &OsStr, attribute: &OsStr, value: &[u8]) -> Result<()> {
    lsetxattr(place(directory, name), attribute, value, XattrFlags::empty())
}

/// Why one could not be set. Of a disk with any amount of room, a file system may have too little for the attributes of
/// one file, and says the same of both.
pub(super) fn not_set(errno: Errno) -> io::Error {
    match errno {
        Errno::NOSPC => io::Error::other(
            "the file system has no room for so many or so large attributes of one file (ext4 has about 4 KiB for them)",
        ),
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_that_do_not_fit_are_no_full_disk() {
        let error = not_set(Errno::NOSPC);
        assert!(
            error.kind() != io::ErrorKind::StorageFull && error.to_string().contains("large attributes of one file")
        );
        assert!(!error.to_string().contains(&Errno::NOSPC.to_string()), "{error}");
        assert_eq!(not_set(Errno::PERM).kind(), io::ErrorKind::PermissionDenied);
    }
}
