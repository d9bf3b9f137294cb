//! What the mounts of a tree forbid: mount_setattr(2), for the whole tree at once.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::mount::{MountAttrFlags, MountFlags, mount_remount};

use super::{by_descriptor, locked_flags};

/// linux/mount.h
#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

/// Adds `flags` to the mount whose root `mounted` is, and to all mounts below it.
#[allow(unsafe_code)]
pub(in crate::sandbox) fn restrict(mounted: &OwnedFd, flags: MountAttrFlags) -> io::Result<()> {
    let wanted = MountAttr { set: u64::from(flags.bits()), clear: 0, propagation: 0, user_namespace: 0 };
    // SAFETY: the kernel reads an empty string and `wanted`, whose size it is told; both outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mounted.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
            std::ptr::from_ref(&wanted),
            size_of::<MountAttr>(),
        )
    };
    if result == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    if error.raw_os_error() != Some(libc::ENOSYS) {
        return Err(error);
    }
    // Before Linux 5.12 one mount at a time is all there is: the mounts below stay as they are.
    Ok(mount_remount(by_descriptor(mounted), MountFlags::BIND | old_flags(flags) | locked_flags(mounted), "")?)
}

fn old_flags(flags: MountAttrFlags) -> MountFlags {
    [
        (MountAttrFlags::MOUNT_ATTR_RDONLY, MountFlags::RDONLY),
        (MountAttrFlags::MOUNT_ATTR_NOSUID, MountFlags::NOSUID),
        (MountAttrFlags::MOUNT_ATTR_NODEV, MountFlags::NODEV),
        (MountAttrFlags::MOUNT_ATTR_NOEXEC, MountFlags::NOEXEC),
    ]
    .into_iter()
    .filter(|(new, _)| flags.contains(*new))
    .fold(MountFlags::empty(), |flags, (_, old)| flags | old)
}
