//! `/proc` and `/sys`: what the kernel says of itself can be read, but for what is secret; nothing of it can be set.
//!
//! The kernel asks for the machine's uid 0 where a sysctl is set, and not for a capability: root of a sandbox without a
//! user namespace has that. The lists are those of runc, containerd, Docker and podman, and what else names addresses and pages of
//! the machine's memory.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, OFlags, StatxFlags, statx};
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, MountFlags, UnmountFlags, mount_bind, mount_bind_recursive, unmount};

use super::attributes::restrict;
use super::{SandboxError, by_descriptor, file_system, open_in};

const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];
const MASKED: [&str; 19] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kallsyms",
    "/proc/kcore",
    "/proc/keys",
    "/proc/kpagecgroup",
    "/proc/kpagecount",
    "/proc/kpageflags",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/vmallocinfo",
    "/sys/dev/block",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/fs/selinux",
];
const PLAIN: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);
const CLOSED: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_RDONLY
    .union(MountAttrFlags::MOUNT_ATTR_NOSUID)
    .union(MountAttrFlags::MOUNT_ATTR_NODEV)
    .union(MountAttrFlags::MOUNT_ATTR_NOEXEC);

/// Mounts both. `/dev` of `root` must be there.
pub(super) fn mount(root: &OwnedFd) -> Result<(), SandboxError> {
    file_system(root, "/proc", "proc", PLAIN, "")?;
    sys(root);
    for path in READ_ONLY {
        read_only(root, path).map_err(|e| SandboxError::setup(format!("make {path} read-only"), e))?;
    }
    for path in MASKED {
        mask(root, path).map_err(|e| SandboxError::setup(format!("mask {path}"), e))?;
    }
    Ok(())
}

/// Nothing where the root has no such directory, and nothing where the machine allows none: programs that look there get
/// along without, and a directory of ours would be in the image.
fn sys(root: &OwnedFd) {
    let place = Path::new("/sys");
    let Ok(point) = open_in(root, place, OFlags::PATH | OFlags::DIRECTORY) else { return };
    let flags = PLAIN | MountFlags::RDONLY;
    if rustix::mount::mount("sysfs", by_descriptor(&point), "sysfs", flags, None).is_err() {
        // In a user namespace it takes a network namespace as well: then the machine's, with all that is mounted there.
        let _ = lend_closed(root, place);
        return;
    }
    // Where programs learn how much memory and how many processors are theirs.
    let _ = lend_closed(root, Path::new("/sys/fs/cgroup"));
}

/// Lends what the machine has at `path`, with all that is mounted below, or leaves the place as it is.
fn lend_closed(root: &OwnedFd, path: &Path) -> io::Result<()> {
    let point = open_in(root, path, OFlags::PATH | OFlags::DIRECTORY)?;
    mount_bind_recursive(path, by_descriptor(&point))?;
    let mounted = open_in(root, path, OFlags::PATH)?;
    restrict(&mounted, CLOSED).inspect_err(|_| {
        let _ = unmount(by_descriptor(&mounted), UnmountFlags::DETACH);
    })
}

fn open_if_there(root: &OwnedFd, path: &str) -> io::Result<Option<OwnedFd>> {
    match open_in(root, Path::new(path), OFlags::PATH) {
        Ok(fd) => Ok(Some(fd)),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn read_only(root: &OwnedFd, path: &str) -> io::Result<()> {
    let Some(point) = open_if_there(root, path)? else { return Ok(()) };
    mount_bind(by_descriptor(&point), by_descriptor(&point))?;
    restrict(&open_in(root, Path::new(path), OFlags::PATH)?, CLOSED)
}

/// Puts an empty directory over a directory, and `/dev/null` over a file.
fn mask(root: &OwnedFd, path: &str) -> io::Result<()> {
    let Some(point) = open_if_there(root, path)? else { return Ok(()) };
    let found = statx(&point, "", AtFlags::EMPTY_PATH, StatxFlags::TYPE)?;
    if FileType::from_raw_mode(found.stx_mode.into()) == FileType::Directory {
        let flags = PLAIN | MountFlags::RDONLY;
        return Ok(rustix::mount::mount("tmpfs", by_descriptor(&point), "tmpfs", flags, c"size=4k,mode=0755")?);
    }
    let null = open_in(root, Path::new("/dev/null"), OFlags::PATH)?;
    Ok(mount_bind(by_descriptor(&null), by_descriptor(&point))?)
}
