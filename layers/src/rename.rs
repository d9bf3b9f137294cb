//! Renaming to a free name (renameat2(2), `RENAME_NOREPLACE`), also where the file system or the kernel cannot.

use std::os::fd::AsFd;

use rustix::fs::{AtFlags, RenameFlags, renameat, renameat_with, statat};
use rustix::io::{Errno, Result};
use rustix::path::Arg;

/// Gives what is called `old` in the directory `from` the name `new` in `to`. False if something has that by now.
pub fn to_free(from: impl AsFd, old: impl Arg + Copy, to: impl AsFd, new: impl Arg + Copy) -> Result<bool> {
    let renamed = match renameat_with(&from, old, &to, new, RenameFlags::NOREPLACE) {
        // A file system that knows no such flag, such as NFS, or a filter that knows no such call. Whoever comes between
        // loses a file or an empty directory, and never a directory that holds something.
        Err(Errno::INVAL | Errno::NOSYS | Errno::PERM) => match statat(&to, new, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => return Ok(false),
            Err(_) => renameat(from, old, to, new),
        },
        renamed => renamed,
    };
    match renamed {
        Ok(()) => Ok(true),
        Err(Errno::EXIST | Errno::NOTEMPTY) => Ok(false),
        Err(error) => Err(error),
    }
}
