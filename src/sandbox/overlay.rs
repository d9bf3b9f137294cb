//! Overlay mounts made by the worker, in its own mount namespace.
//!
//! Linux `Documentation/filesystems/overlayfs.rst`: `userxattr` for what a user namespace may use, `volatile` because
//! a build that is cut off starts over: syncing what dpkg asks to be synced would buy nothing.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rustix::fs::{StatVfsMountFlags, XattrFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::spec::Bind;
use super::{SandboxError, mounts};

/// `OVERLAYFS_SUPER_MAGIC` of linux/magic.h.
const OVERLAYFS: i64 = 0x794c_7630;

/// An error if the kernel is known to mount no overlay whose changes lie below `place`.
pub fn fits(place: &Path) -> Result<(), SandboxError> {
    match rustix::fs::statfs(place) {
        Ok(found) if found.f_type == OVERLAYFS || !has_attributes(place) => Err(unfit(place)),
        // What is wrong with the place is told by who uses it.
        _ => Ok(()),
    }
}

/// False for a file system, such as ramfs, without the attributes by which an overlay remembers what was renamed, and what
/// a directory hides: it is mounted there, and fails later.
fn has_attributes(place: &Path) -> bool {
    const PROBE: &str = "user.overlay.alloy";
    match rustix::fs::setxattr(place, PROBE, b"", XattrFlags::empty()) {
        Ok(()) => drop(rustix::fs::removexattr(place, PROBE)),
        Err(Errno::OPNOTSUPP) => return false,
        // What else is in the way has nothing to do with the file system.
        Err(_) => {}
    }
    true
}

fn unfit(place: &Path) -> SandboxError {
    let file_system = match rustix::fs::statfs(place).map(|found| found.f_type) {
        Ok(OVERLAYFS) => "an overlay itself, as the root of a container mostly is".to_owned(),
        Ok(_) if !has_attributes(place) => "a file system without extended attributes, as ramfs is".to_owned(),
        Ok(kind) => format!("a file system that takes no overlay (0x{kind:x})"),
        Err(_) => "a file system that takes no overlay".to_owned(),
    };
    SandboxError::Overlay { path: place.to_owned(), file_system }
}

/// A mounted overlay; unmounted when dropped, if it was not before. The directories stay.
pub struct Overlay {
    merged: PathBuf,
    upper: PathBuf,
    mounted: bool,
}

impl Overlay {
    /// Mounts `lowers` (topmost first) with a fresh upper directory below `scratch`, an empty directory.
    pub fn mount(lowers: &[PathBuf], scratch: &Path) -> Result<Self, SandboxError> {
        let failed = |what: &str| {
            let what = format!("{what} in {}", scratch.display());
            move |e: std::io::Error| SandboxError::setup(what, e)
        };
        for name in ["upper", "work", "merged"] {
            std::fs::create_dir(scratch.join(name)).map_err(failed("make a directory"))?;
        }
        // Short relative names: the options of one mount have to fit in a page.
        let mut names = Vec::new();
        for (index, lower) in lowers.iter().enumerate() {
            let name = format!("l{index}");
            symlink(lower, scratch.join(&name)).map_err(failed("name a layer"))?;
            names.push(name);
        }
        let options = format!("lowerdir={},upperdir=upper,workdir=work,userxattr,volatile", names.join(":"));
        let options = std::ffi::CString::new(options).map_err(|e| failed("mount an overlay")(e.into()))?;
        rustix::process::chdir(scratch).map_err(|e| failed("enter")(e.into()))?;
        let mounted = mount("overlay", "merged", "overlay", MountFlags::empty(), options.as_c_str());
        let _ = rustix::process::chdir("/");
        match mounted {
            Ok(()) => {}
            // Said of every place that cannot hold the changes: the options are always the same.
            Err(Errno::INVAL) => return Err(unfit(scratch)),
            Err(error) => return Err(failed("mount an overlay")(error.into())),
        }
        let overlay = Self { merged: scratch.join("merged"), upper: scratch.join("upper"), mounted: true };
        overlay.writable(scratch).map_err(failed("mount an overlay"))?;
        Ok(overlay)
    }

    /// Fails unless it can be written to. Where the kernel can make no working directory, as on a disk without inodes, it
    /// mounts it to be read, and says that in its log alone.
    fn writable(&self, scratch: &Path) -> std::io::Result<()> {
        let found = rustix::fs::statvfs(&self.merged)?;
        if !found.f_flag.contains(StatVfsMountFlags::RDONLY) {
            return Ok(());
        }
        // The same fails here for the same reason.
        std::fs::create_dir(scratch.join("probe"))?;
        Err(Errno::ROFS.into())
    }

    /// Mounts `bind` inside the merged view, for all that looks at it until the overlay is dropped.
    pub fn lend(&self, bind: &Bind) -> Result<(), SandboxError> {
        mounts::lend(&mounts::open_root(&self.merged)?, bind)
    }

    /// The merged view.
    pub fn merged(&self) -> &Path {
        &self.merged
    }

    /// Unmounts it, and gives the directory that holds what was changed. Nobody reads or deletes that before: what is done
    /// to it under a mounted overlay is done to both, and as good as undefined.
    pub fn unmount(mut self) -> Result<PathBuf, SandboxError> {
        self.detach()?;
        Ok(std::mem::take(&mut self.upper))
    }

    /// What was changed so far.
    pub fn upper(&self) -> &Path {
        &self.upper
    }

    fn detach(&mut self) -> Result<(), SandboxError> {
        if !self.mounted {
            return Ok(());
        }
        let what = || format!("unmount the overlay {}", self.merged.display());
        unmount(&self.merged, UnmountFlags::DETACH).map_err(|e| SandboxError::setup(what(), e))?;
        // Believed when it is seen.
        if mounts::is_mount(&mounts::open_root(&self.merged)?).map_err(|e| SandboxError::setup(what(), e))? {
            return Err(SandboxError::setup(what(), std::io::Error::other("it is still there")));
        }
        self.mounted = false;
        Ok(())
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        // What stays mounted ends with the worker; until then, nothing below it is deleted.
        let _ = self.detach();
    }
}
