//! What a root that is not this machine's own is lent, and what lending leaves behind in it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use layers::root::{FileKind, Root};

use super::super::TargetError;
use super::super::lent::{Lent, PLACE};
use crate::sandbox::Bind;

/// Directory of the scratch space that is lent as [`PLACE`].
pub(super) const LENT: &str = "lent";

/// Keeps services of the root from starting on this machine (Debian policy 9.3.3.2, `policy-rc.d`).
const POLICY: &str = "#!/bin/sh\nexit 101\n";
const POLICY_PATH: &str = "/usr/sbin/policy-rc.d";

/// Loans to another root. What had to be made to lend something is deleted when this is dropped.
pub(super) struct Elsewhere {
    root: Root,
    binds: Vec<Bind>,
    made: Vec<PathBuf>,
}

impl Elsewhere {
    /// Prepares loans to `root` in the directory `scratch`.
    pub(super) fn lend(root: &Root, lent: &Lent, scratch: &Path) -> Result<Self, TargetError> {
        let place = scratch.join(LENT);
        fs::create_dir_all(&place).map_err(TargetError::scratch)?;
        for (name, content) in &lent.files {
            fs::write(place.join(name), content).map_err(TargetError::scratch)?;
        }
        let policy = scratch.join("policy-rc.d");
        fs::write(&policy, POLICY).map_err(TargetError::scratch)?;
        fs::set_permissions(&policy, PermissionsExt::from_mode(0o755)).map_err(TargetError::scratch)?;
        let mut binds = vec![Bind { source: place, target: PLACE.into(), read_only: false }];
        binds.extend(lent.binds.iter().cloned());
        binds.push(Bind { source: policy, target: POLICY_PATH.into(), read_only: true });
        let below = |bind: &Bind| bind.target.starts_with(PLACE) && bind.target != Path::new(PLACE);
        let targets = binds.iter().filter(|bind| !below(bind)).map(|bind| bind.target.clone());
        let made = targets.filter(|target| !root.exists(target).unwrap_or(true)).collect();
        Ok(Self { root: Root::shared(root.path())?, binds, made })
    }

    /// What every command is lent.
    pub(super) fn binds(&self) -> &[Bind] {
        &self.binds
    }
}

impl Drop for Elsewhere {
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
