//! What a root that is not this machine's own is lent, and what lending leaves behind in it.
//!
//! uid 0 of such a root is uid 0 of the machine, and others may be at work on the machine meanwhile. What is lent lies
//! in a directory of the store, below one that only its owner may search: nobody else reads the passwords in it, and no
//! command writes there. A run that is killed leaves it to the next one.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use layers::root::{Root, remove_tree};
use layers::store::{Store, WorkDir};

use super::super::TargetError;
use super::super::lent::{Lent, PLACE, Place};
use super::points::MountPoints;
use crate::sandbox::Bind;

/// Keeps services of the root from starting on this machine (Debian policy 9.3.3.2, `policy-rc.d`).
const POLICY: &str = "#!/bin/sh\nexit 101\n";
const POLICY_PATH: &str = "/usr/sbin/policy-rc.d";
/// What every sandbox mounts, lent or not.
const SANDBOX: [&str; 2] = ["/dev", "/proc"];

/// Loans to another root; deleted when this is dropped.
pub(super) struct Elsewhere {
    binds: Vec<Bind>,
    /// What appears in [`PLACE`].
    place: Place,
    /// Held, so that no other run takes it for left over.
    work: WorkDir,
}

impl Elsewhere {
    /// Prepares loans, with `conf` for apt.
    pub(super) fn prepare(store: &Store, lent: &Lent, conf: &str) -> Result<Self, TargetError> {
        for stale in store.stale()? {
            // Files of a build's users may be out of reach here; the next build deletes them.
            let _ = remove_tree(&stale.path);
        }
        let work = store.work_dir()?;
        let furnished = Self::furnish(&work, lent, conf);
        let (place, binds) = furnished.inspect_err(|_| drop(remove_tree(work.path()))).map_err(TargetError::scratch)?;
        Ok(Self { binds, place, work })
    }

    fn furnish(work: &WorkDir, lent: &Lent, conf: &str) -> std::io::Result<(Place, Vec<Bind>)> {
        let place = Place::create(work.path().join("lent"), lent)?;
        place.write("apt.conf", conf, 0o644)?;
        let policy = work.path().join("policy-rc.d");
        fs::write(&policy, POLICY)?;
        fs::set_permissions(&policy, PermissionsExt::from_mode(0o755))?;
        let mut binds = vec![place.bind()];
        binds.extend(lent.binds.iter().cloned());
        binds.push(Bind::lent(policy, POLICY_PATH));
        Ok((place, binds))
    }

    /// What appears in [`PLACE`].
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// The run's own directory, which only its owner may enter.
    pub(super) fn work(&self) -> &Path {
        self.work.path()
    }

    /// What every command is lent.
    pub(super) fn binds(&self) -> &[Bind] {
        &self.binds
    }

    /// Makes what is missing in `root` to mount on; it is deleted again when what is given is dropped, so that no task
    /// finds it.
    pub(super) fn mount_points<'r>(&self, root: &'r Root) -> Result<MountPoints<'r>, TargetError> {
        // What is mounted in what is lent has its place there.
        let below = |target: &Path| target.starts_with(PLACE) && target != Path::new(PLACE);
        let lent = self.binds.iter().filter(|bind| !below(&bind.target));
        let lent = lent.map(|bind| (bind.target.clone(), bind.source.is_dir()));
        MountPoints::make(root, SANDBOX.map(|path| (PathBuf::from(path), true)).into_iter().chain(lent))
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        // What cannot be deleted now is deleted by the next run.
        let _ = remove_tree(self.work.path());
    }
}
