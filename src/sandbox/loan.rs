//! Files and directories of the machine for a worker that may not reach them by itself.
//!
//! Root of the machine clones the mount below a path, has ids translated in it for the worker's user namespace
//! (mount_setattr(2), idmapped mounts, Linux 5.12), and hands it over as a descriptor. What has no parent mount
//! appears nowhere until the worker attaches it in its own namespace.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD};
use rustix::mount::{OpenTreeFlags, open_tree};

/// `struct mount_attr` of linux/mount.h, in its first version.
#[repr(C)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

const READ_ONLY: u64 = 0x1;
const TRANSLATED: u64 = 0x0010_0000;

/// A mount that is to be attached by whoever has the descriptor.
pub struct Loan {
    pub(super) mount: OwnedFd,
    /// Owners in it are those of the disk. Without this, all belongs to nobody.
    pub owned: bool,
    /// It is a directory.
    pub directory: bool,
    /// It is a regular file.
    pub file: bool,
}

impl Loan {
    /// Lends `path` to the user namespace `ids`.
    pub(super) fn open(path: &Path, ids: &OwnedFd, read_only: bool) -> io::Result<Self> {
        let kind = std::fs::metadata(path)?.file_type();
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
        let mount = open_tree(CWD, path, flags)?;
        // Nothing that is mounted in it later may show up on the machine, or the other way round.
        let plain = if read_only { READ_ONLY } else { 0 };
        change(&mount, true, plain, None)?;
        // Below it there may be file systems that cannot translate, as in `-v /:/host`.
        let owned = [true, false].iter().any(|below| change(&mount, *below, TRANSLATED, Some(ids)).is_ok());
        Ok(Self { mount, owned, directory: kind.is_dir(), file: kind.is_file() })
    }
}

#[allow(unsafe_code)]
fn change(mount: &OwnedFd, below: bool, set: u64, ids: Option<&OwnedFd>) -> io::Result<()> {
    let user_namespace = ids.map_or(0, |ids| u64::try_from(ids.as_fd().as_raw_fd()).unwrap_or_default());
    let attributes = MountAttributes { set, clear: 0, propagation: libc::MS_PRIVATE, user_namespace };
    let flags = AtFlags::EMPTY_PATH.bits() | if below { OpenTreeFlags::AT_RECURSIVE.bits() } else { 0 };
    let size = std::mem::size_of::<MountAttributes>();
    // SAFETY: the path is an empty string that ends in NUL, `attributes` lives through the call and has the given
    // size, and both descriptors are open.
    let result = unsafe {
        let attributes = std::ptr::from_ref(&attributes);
        libc::syscall(libc::SYS_mount_setattr, mount.as_raw_fd(), c"".as_ptr(), flags, attributes, size)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
