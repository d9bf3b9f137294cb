//! What a root that is not this machine's own is lent, and what lending leaves behind in it.
//!
//! uid 0 of such a root is uid 0 of the machine, and others may be at work on the machine meanwhile. What is lent lies
//! in a directory of the store, below one that only its owner may search: nobody else reads the passwords in it, and no
//! command writes there. A run that is killed leaves it to the next one.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use layers::root::{FileKind, Root, remove_tree};
use layers::store::{Store, WorkDir};

use super::super::TargetError;
use super::super::lent::{Lent, PLACE, Place};
use crate::sandbox::Bind;

/// Keeps services of the root from starting on this machine (Debian policy 9.3.3.2, `policy-rc.d`).
const POLICY: &str = "#!/bin/sh\nexit 101\n";
const POLICY_PATH: &str = "/usr/sbin/policy-rc.d";

/// Loans to another root; deleted when this is dropped.
pub(super) struct Elsewhere {
    binds: Vec<Bind>,
    /// Held, so that no other run takes it for left over.
    work: WorkDir,
}

impl Elsewhere {
    /// Prepares loans, with `conf` for apt.
    pub(super) fn prepare(store: &Store, lent: &Lent, conf: &str) -> Result<Self, TargetError> {
        for path in store.stale()? {
            // Files of a build's users may be out of reach here; the next build deletes them.
            let _ = remove_tree(&path);
        }
        let work = store.work_dir()?;
        let mut elsewhere = Self { binds: Vec::new(), work };
        elsewhere.furnish(lent, conf).map_err(TargetError::scratch)?;
        Ok(elsewhere)
    }

    fn furnish(&mut self, lent: &Lent, conf: &str) -> std::io::Result<()> {
        let place = Place::create(self.work.path().join("lent"), lent)?;
        place.write("apt.conf", conf, 0o644)?;
        let policy = self.work.path().join("policy-rc.d");
        fs::write(&policy, POLICY)?;
        fs::set_permissions(&policy, PermissionsExt::from_mode(0o755))?;
        self.binds.push(place.bind());
        self.binds.extend(lent.binds.iter().cloned());
        self.binds.push(Bind::lent(policy, POLICY_PATH));
        Ok(())
    }

    /// What every command is lent.
    pub(super) fn binds(&self) -> &[Bind] {
        &self.binds
    }

    /// Makes what is missing in `root` to mount on, through no link of somebody else's; it is deleted again when what is
    /// given is dropped, so that no task finds it.
    pub(super) fn mount_points<'r>(&self, root: &'r Root) -> Result<MountPoints<'r>, TargetError> {
        let mut points = MountPoints { root, made: Vec::new() };
        for bind in &self.binds {
            let (target, below) = (&bind.target, bind.target.starts_with(PLACE) && bind.target != Path::new(PLACE));
            // A link to nowhere is a name, too: what it names is the sandbox's to make.
            if below || root.exists(target)? || root.metadata(target).is_ok() {
                continue;
            }
            points.made(target)?;
            if bind.source.is_dir() {
                root.create_dir_all(target, 0o755)?;
            } else {
                root.create_dir_all(target.parent().unwrap_or(Path::new("/")), 0o755)?;
                root.write_file(target, &mut std::io::empty(), 0o644)?;
            }
        }
        Ok(points)
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        // What cannot be deleted now is deleted by the next run.
        let _ = remove_tree(self.work.path());
    }
}

/// Mount points that were made in a root, the deepest first.
pub(super) struct MountPoints<'r> {
    root: &'r Root,
    made: Vec<PathBuf>,
}

impl MountPoints<'_> {
    /// Notes what of `path` is about to be made.
    fn made(&mut self, path: &Path) -> Result<(), TargetError> {
        let mut missing = Vec::new();
        for path in path.ancestors() {
            if self.root.exists(path)? {
                break;
            }
            missing.push(path.to_owned());
        }
        self.made.splice(0..0, missing);
        Ok(())
    }
}

impl Drop for MountPoints<'_> {
    fn drop(&mut self) {
        for path in &self.made {
            // What a task has written by now stays.
            let empty = self.root.metadata(path).is_ok_and(|found| match found.kind {
                FileKind::File => found.size == 0,
                FileKind::Directory => self.root.read_dir(path).is_ok_and(|names| names.is_empty()),
                _ => false,
            });
            if empty {
                let _ = self.root.remove_all(path);
            }
        }
    }
}
