//! `/dev`: the few devices that every program counts on, and terminals and shared memory of the sandbox's own.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, chmodat, makedev, mknodat};
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, MountFlags, mount_bind};

use super::attributes::restrict;
use super::{SandboxError, by_descriptor, file_system, mount_point, open_in};
use crate::sandbox::spec::Stdio;

/// Linux `Documentation/admin-guide/devices.txt`: names, major and minor numbers.
const DEVICES: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];
const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("ptmx", "pts/ptmx"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

pub(super) fn mount(root: &OwnedFd, stdio: Stdio) -> Result<(), SandboxError> {
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    file_system(root, "/dev", "tmpfs", flags, "mode=0755,size=64m")?;
    let dev = open_in(root, Path::new("/dev"), OFlags::PATH).map_err(|e| SandboxError::setup("open /dev", e))?;
    for (name, major, minor) in DEVICES {
        // Without a controlling terminal there is no use for `tty`, and some machines have none.
        if name != "tty" || stdio == Stdio::Terminal {
            device(root, &dev, name, makedev(major, minor))
                .map_err(|e| SandboxError::setup(format!("make /dev/{name}"), e))?;
        }
    }
    for directory in ["/dev/pts", "/dev/shm"] {
        mount_point(root, Path::new(directory), true)
            .map_err(|e| SandboxError::setup(format!("make {directory}"), e))?;
    }
    const PTS: &str = "newinstance,ptmxmode=0666,mode=0620";
    match file_system(root, "/dev/pts", "devpts", flags, &format!("{PTS},gid=5")) {
        // Whoever has one id alone has none for the group `tty`: terminals are then of who opens them.
        Err(SandboxError::Setup { source, .. }) if source.raw_os_error() == Some(libc::EINVAL) => {
            file_system(root, "/dev/pts", "devpts", flags, PTS)?;
        }
        other => other?,
    }
    file_system(root, "/dev/shm", "tmpfs", flags | MountFlags::NODEV, "mode=1777")?;
    for (name, target) in LINKS {
        rustix::fs::symlinkat(target, &dev, name).map_err(|e| SandboxError::setup(format!("make /dev/{name}"), e))?;
    }
    Ok(())
}

/// A node of the sandbox's own, which a command may change as it likes. In a user namespace nobody makes devices: there
/// it is the machine's, and nothing about it can be changed. Devices are written to through a read-only mount as well.
fn device(root: &OwnedFd, dev: &OwnedFd, name: &str, number: rustix::fs::Dev) -> io::Result<()> {
    let mode = Mode::from_raw_mode(0o666);
    match mknodat(dev, name, FileType::CharacterDevice, mode, number) {
        Ok(()) => return Ok(chmodat(dev, name, mode, AtFlags::empty())?),
        Err(Errno::PERM) => {}
        Err(error) => return Err(error.into()),
    }
    let source = Path::new("/dev").join(name);
    if !source.exists() {
        return Ok(());
    }
    let point = mount_point(root, &source, false)?;
    mount_bind(&source, by_descriptor(&point))?;
    let mounted = open_in(root, &source, OFlags::PATH)?;
    restrict(
        &mounted,
        MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC,
    )
}
