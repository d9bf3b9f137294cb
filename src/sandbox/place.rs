//! The worker's private place: a directory of its own mount namespace in which the store and all loans are attached.
//!
//! The worker of a user namespace may not search directories like `/root`, so that nothing stays where it is outside.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, chown};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, CWD};
use rustix::mount::{MountFlags, MoveMountFlags, mount, move_mount};

use super::Overlay;
use super::error::SandboxError;

/// Directories that the worker has no use for; the first that there is is covered, for the worker alone.
const COVERED: [&str; 4] = ["/mnt", "/media", "/srv", "/tmp"];

/// Name of the store in the place.
pub(super) const STORE: &str = "store";

/// Makes the place, with the store in it, and tries there what commands will need. `work` is an empty directory of the
/// store, relative to it.
pub(super) fn furnish(store: &OwnedFd, work: &Path) -> io::Result<PathBuf> {
    // Every command starts with alloy's own program.
    rustix::fs::access("/proc/self/exe", Access::EXEC_OK)?;
    let place = COVERED.iter().map(PathBuf::from).find(|path| path.is_dir());
    let place = place.ok_or_else(|| io::Error::other("no directory to mount on"))?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("tmpfs", &place, "tmpfs", flags, c"mode=0700,size=64m")?;
    attach(store, &place.join(STORE), true)?;
    try_proc(&place.join("proc"))?;
    try_overlay(&place.join(STORE).join(work))?;
    Ok(place)
}

/// Attaches what was handed over as `at`, which must not exist.
pub fn attach(loan: &OwnedFd, at: &Path, directory: bool) -> io::Result<()> {
    if directory {
        DirBuilder::new().recursive(true).mode(0o755).create(at)?;
    } else {
        fs::create_dir_all(at.parent().unwrap_or(Path::new("/")))?;
        File::create_new(at)?;
    }
    Ok(move_mount(loan, c"", CWD, at, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
}

/// Overlays on layers whose ids are translated came with Linux 5.19, and not for every file system.
fn try_overlay(work: &Path) -> io::Result<()> {
    let (lower, scratch) = (work.join("try-lower"), work.join("try"));
    fs::create_dir(&lower)?;
    fs::create_dir(&scratch)?;
    fs::write(lower.join("file"), "")?;
    let other = |error: SandboxError| io::Error::other(error.to_string());
    let overlay = Overlay::mount(std::slice::from_ref(&lower), &scratch).map_err(other)?;
    let file = overlay.merged().join("file");
    fs::OpenOptions::new().append(true).open(&file)?.write_all(b"x")?;
    chown(&file, Some(65_534), Some(65_534))?;
    fs::remove_file(&file)?;
    drop(overlay);
    fs::remove_dir_all(&scratch)?;
    fs::remove_dir_all(&lower)
}

/// Where parts of `/proc` are covered, as in many containers, the kernel refuses a fresh one to a user namespace.
#[allow(unsafe_code)]
fn try_proc(at: &Path) -> io::Result<()> {
    fs::create_dir(at)?;
    // SAFETY: this process has one thread, so that the child may go on as usual; it ends with `_exit`, by which
    // nothing of its parent's is flushed or dropped.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let tried = try_proc_in_child(at);
        // SAFETY: as above.
        unsafe { libc::_exit(i32::from(tried.is_err())) };
    }
    if ended_well(child)? { Ok(()) } else { Err(io::Error::other("a fresh /proc cannot be mounted")) }
}

#[allow(unsafe_code)]
fn try_proc_in_child(at: &Path) -> io::Result<()> {
    use rustix::thread::UnshareFlags;
    super::worker::unshare(UnshareFlags::NEWPID | UnshareFlags::NEWNS | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS)?;
    // Only children are in the new pid namespace.
    // SAFETY: as in `try_proc`.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        let mounted = mount("proc", at, "proc", flags, c"");
        // SAFETY: as in `try_proc`.
        unsafe { libc::_exit(i32::from(mounted.is_err())) };
    }
    if ended_well(child)? { Ok(()) } else { Err(io::Error::other("refused")) }
}

fn ended_well(child: libc::pid_t) -> io::Result<bool> {
    // Called right after the fork, whose error it is.
    let child = if child > 0 { rustix::process::Pid::from_raw(child) } else { None };
    let child = child.ok_or_else(io::Error::last_os_error)?;
    let status = rustix::process::waitpid(Some(child), rustix::process::WaitOptions::empty())?;
    Ok(status.is_some_and(|(_, status)| status.exit_status() == Some(0)))
}
