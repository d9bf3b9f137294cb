//! alloy's own program, as it is started on the way to a command.
//!
//! An image can have that very program started once more, with libraries of its own: by a script that names `/proc/self/exe`
//! as its interpreter, when pid 1 executes it. What is running then could change mode and content of the program's file.
//! So it is reached through a mount that is read-only, or is a sealed copy.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::fs::{
    MemfdFlags, Mode, OFlags, SealFlags, StatVfsMountFlags, fcntl_add_seals, fstat, fstatvfs, memfd_create,
};

use super::streams::read_only;

/// The program that this process runs.
const OWN: &str = "/proc/self/exe";

/// Where helpers of this process find it, from now on.
static FIXED: OnceLock<Option<OwnedFd>> = OnceLock::new();

/// The program for a helper that enters namespaces first: read-only if whoever starts it may do that, else as it is.
pub(super) fn for_worker() -> PathBuf {
    if !rustix::process::geteuid().is_root() {
        // A user makes mounts in a namespace of the user's own, as the worker does.
        return OWN.into();
    }
    FIXED.get_or_init(|| read_only(Path::new(OWN))).as_ref().map_or_else(|| OWN.into(), named)
}

/// The program for what leads to a command of an image: such that nothing can change it.
pub(super) fn for_command() -> io::Result<PathBuf> {
    let own = rustix::fs::open(OWN, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    if fstatvfs(&own)?.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Ok(OWN.into());
    }
    if let Some(Some(fixed)) = FIXED.get() {
        return Ok(named(fixed));
    }
    let fixed = match read_only(Path::new(OWN)).or_else(|| by_name(&own)) {
        Some(mount) => mount,
        None => copy()?,
    };
    // Another thread may have been first: one is as good as the other.
    Ok(FIXED.get_or_init(|| Some(fixed)).as_ref().map_or_else(|| OWN.into(), named))
}

fn named(fd: &OwnedFd) -> PathBuf {
    format!("/proc/self/fd/{}", fd.as_raw_fd()).into()
}

/// In a mount namespace entered since this process was started, it is on a mount of the old one, and has to be found anew.
fn by_name(own: &OwnedFd) -> Option<OwnedFd> {
    let mount = read_only(&std::fs::read_link(OWN).ok()?)?;
    let which = |fd: &OwnedFd| fstat(fd.as_fd()).ok().map(|found| (found.st_dev, found.st_ino));
    (which(&mount)? == which(own)?).then_some(mount)
}

/// In memory, once for this process.
fn copy() -> io::Result<OwnedFd> {
    /// Since Linux 6.3: it is to be executed. Older kernels allow that always.
    const EXECUTABLE: MemfdFlags = MemfdFlags::from_bits_retain(0x10);
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let memory = memfd_create("alloy", flags | EXECUTABLE).or_else(|_| memfd_create("alloy", flags))?;
    io::copy(&mut File::open(OWN)?, &mut File::from(memory.try_clone()?))?;
    fcntl_add_seals(&memory, SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE)?;
    // What was written to may not be executed: this one is only read.
    let program = rustix::fs::open(named(&memory), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    Ok(program)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_copy_runs_and_cannot_be_changed() {
        let copied = copy().unwrap();
        let listed = Command::new(named(&copied)).args(["--list", "a_copy_runs"]).output().unwrap();
        assert!(String::from_utf8_lossy(&listed.stdout).contains("a_copy_runs_and_cannot_be_changed"));
        let opened = File::options().write(true).open(named(&copied)).unwrap();
        assert!(opened.set_len(0).is_err());
        let before = std::fs::metadata(OWN).unwrap();
        assert_ne!(fstat(&copied).unwrap().st_ino, std::os::unix::fs::MetadataExt::ino(&before));
    }
}
