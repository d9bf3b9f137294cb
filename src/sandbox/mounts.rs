//! The file systems a command sees: its root, a minimal `/dev`, a fresh `/proc`, a `/sys`, and what is lent to it.
//!
//! Every mount point is opened inside the root first: a link of the image cannot point a mount outside.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use layers::beneath::openat2;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, StatxAttributes, StatxFlags, statx};
use rustix::mount::{MountAttrFlags, MountFlags, UnmountFlags, mount, mount_bind_recursive, unmount};
use rustix::process::pivot_root;

use super::SandboxError;
use super::error::NO_DIRECTORY;
use super::spec::{Bind, RunSpec};

mod attributes;
mod dev;
mod kernel;

pub(super) use attributes::restrict;

/// Mounts everything below the root of `spec` and makes it this process's `/`.
pub(super) fn enter(spec: &RunSpec) -> Result<(), SandboxError> {
    let root = own_mount(spec)?;
    // What the image is, and what the caller has mounted in it, holds no devices: those of `/dev` are all.
    restrict(&root, MountAttrFlags::MOUNT_ATTR_NODEV)
        .map_err(|e| SandboxError::setup("forbid the devices of the image", e))?;
    dev::mount(&root, spec.stdio)?;
    kernel::mount(&root)?;
    for bind in &spec.binds {
        lend(&root, bind)?;
    }
    pivot(&root)
}

/// Opens the root. pivot_root(2) takes nothing but mounts: a plain directory becomes one, for this namespace alone. What
/// is opened is what `root_is` says, however often the name was given to something else. Nor does it take a mount that a
/// user namespace above has made.
fn own_mount(spec: &RunSpec) -> Result<OwnedFd, SandboxError> {
    let (path, root_is) = (&spec.root, spec.root_is);
    let failed = |e: io::Error| SandboxError::setup(format!("mount {}", path.display()), e);
    let root = open_same(path, root_is)?;
    if spec.exchange.is_none() && is_mount(&root).map_err(failed)? {
        return Ok(root);
    }
    mount_bind_recursive(by_descriptor(&root), by_descriptor(&root)).map_err(|e| failed(e.into()))?;
    // The descriptor still names what is below the new mount.
    let mounted = open_same(path, root_is)?;
    if is_mount(&mounted).map_err(failed)? { Ok(mounted) } else { Err(failed(replaced())) }
}

fn open_same(path: &Path, root_is: Option<(u64, u64)>) -> Result<OwnedFd, SandboxError> {
    let root = open_root(path)?;
    let failed = |e: io::Error| SandboxError::setup(format!("open {}", path.display()), e);
    let found = rustix::fs::fstat(&root).map_err(|e| failed(e.into()))?;
    match root_is {
        Some(meant) if meant != (found.st_dev, found.st_ino) => Err(failed(replaced())),
        _ => Ok(root),
    }
}

fn replaced() -> io::Error {
    io::Error::other("somebody has put another directory there meanwhile")
}

pub(super) fn is_mount(root: &OwnedFd) -> io::Result<bool> {
    let found = statx(root, "", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)?;
    Ok(found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

pub(super) fn open_root(path: &Path) -> Result<OwnedFd, SandboxError> {
    rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|e| SandboxError::setup(format!("open {}", path.display()), e))
}

fn open_in(root: &OwnedFd, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let mode = if flags.contains(OFlags::CREATE) { Mode::from_raw_mode(0o644) } else { Mode::empty() };
    openat2(root, path, flags | OFlags::CLOEXEC, mode, resolve)
}

/// A mount point that exists: made where it is missing, a file for a file and a directory for a directory.
fn mount_point(root: &OwnedFd, path: &Path, directory: bool) -> io::Result<OwnedFd> {
    match open_in(root, path, OFlags::PATH) {
        Ok(fd) if directory && !is_directory(&fd)? => return Err(io::Error::other(NO_DIRECTORY)),
        Ok(fd) => return Ok(fd),
        Err(rustix::io::Errno::NOTDIR) => return Err(io::Error::other(NO_DIRECTORY)),
        Err(rustix::io::Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::other("no such directory"));
    };
    let parent = mount_point(root, parent, true)?;
    if directory {
        match rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    } else {
        // Through the root again: the name may be a dangling link, whose target is then what is made.
        drop(open_in(root, path, OFlags::CREATE | OFlags::WRONLY)?);
    }
    Ok(open_in(root, path, OFlags::PATH)?)
}

fn is_directory(fd: &OwnedFd) -> rustix::io::Result<bool> {
    Ok(FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode) == FileType::Directory)
}

/// A path that names what `fd` refers to, for the mount calls that take paths only.
fn by_descriptor(fd: impl AsFd) -> String {
    format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd())
}

fn file_system(root: &OwnedFd, target: &str, kind: &str, flags: MountFlags, data: &str) -> Result<(), SandboxError> {
    let failed = |e: io::Error| SandboxError::setup(format!("mount {target} ({kind})"), e);
    let point = mount_point(root, Path::new(target), true).map_err(failed)?;
    let data = std::ffi::CString::new(data).map_err(|e| failed(e.into()))?;
    mount(kind, by_descriptor(&point), kind, flags, data.as_c_str()).map_err(|e| failed(e.into()))
}

/// Mounts what is lent at its place in `root`, made where it is missing.
pub(super) fn lend(root: &OwnedFd, bind: &Bind) -> Result<(), SandboxError> {
    let metadata =
        std::fs::metadata(&bind.source).map_err(|_| SandboxError::NoSuchSource { path: bind.source.clone() })?;
    let failed =
        |e: io::Error| SandboxError::setup(format!("lend {} as {}", bind.source.display(), bind.target.display()), e);
    let point = mount_point(root, &bind.target, metadata.is_dir()).map_err(failed)?;
    mount_bind_recursive(&bind.source, by_descriptor(&point)).map_err(|e| failed(e.into()))?;
    // The descriptor still names what is below the new mount.
    let mounted = open_in(root, &bind.target, OFlags::PATH).map_err(|e| failed(e.into()))?;
    let mut flags = MountAttrFlags::empty();
    // Whoever lends something of `/dev` by name lends devices.
    flags.set(MountAttrFlags::MOUNT_ATTR_NODEV, !bind.device && !bind.source.starts_with("/dev"));
    flags.set(MountAttrFlags::MOUNT_ATTR_RDONLY, bind.read_only);
    flags.set(MountAttrFlags::MOUNT_ATTR_NOSUID, bind.no_set_id);
    if !flags.is_empty() {
        restrict(&mounted, flags).map_err(failed)?;
    }
    Ok(())
}

/// Flags of a mount that came from a more privileged namespace must be kept when it is remounted.
fn locked_flags(mounted: &OwnedFd) -> MountFlags {
    use rustix::fs::StatVfsMountFlags as Has;
    let Ok(stat) = rustix::fs::fstatvfs(mounted) else { return MountFlags::empty() };
    [(Has::NOSUID, MountFlags::NOSUID), (Has::NODEV, MountFlags::NODEV), (Has::NOEXEC, MountFlags::NOEXEC)]
        .into_iter()
        .filter(|(has, _)| stat.f_flag.contains(*has))
        .fold(MountFlags::empty(), |flags, (_, keep)| flags | keep)
}

/// pivot_root(2), "pivot_root(".", ".")": the old root is stacked on the new one, then detached.
fn pivot(root: &OwnedFd) -> Result<(), SandboxError> {
    let failed = |e: rustix::io::Errno| SandboxError::setup("make the image the root", e);
    rustix::process::fchdir(root).map_err(failed)?;
    pivot_root(".", ".").map_err(failed)?;
    unmount(".", UnmountFlags::DETACH).map_err(failed)?;
    rustix::process::chdir("/").map_err(failed)
}
