//! Layers unpacked for overlays: a tree has its name once it is complete.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{Result, Store, failed, list};

impl Store {
    /// The unpacked tree of that name, if it is complete.
    pub fn tree(&self, name: &str) -> Option<PathBuf> {
        let path = self.root.join("trees").join(name);
        path.is_dir().then_some(path)
    }

    /// A new directory to unpack into.
    pub fn stage_tree(&self) -> Result<PathBuf> {
        let place = self.root.join("tmp");
        let staged = tempfile::Builder::new().prefix("tree-").tempdir_in(&place).map_err(failed("write to", &place))?;
        let path = staged.keep();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).map_err(failed("protect", &path))?;
        Ok(path)
    }

    /// Gives a staged tree its name. False if another process was first: the staged one is then the caller's to delete.
    pub fn publish_tree(&self, staged: &Path, name: &str) -> Result<bool> {
        let path = self.root.join("trees").join(name);
        match rustix::fs::renameat_with(
            rustix::fs::CWD,
            staged,
            rustix::fs::CWD,
            &path,
            rustix::fs::RenameFlags::NOREPLACE,
        ) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::EXIST | rustix::io::Errno::NOTEMPTY) => Ok(false),
            Err(error) => Err(failed("publish", &path)(error.into())),
        }
    }

    /// Names of all trees.
    pub fn trees(&self) -> Result<Vec<String>> {
        list(&self.root.join("trees"))
    }
}

#[cfg(test)]
mod tests {
    use crate::store::tests::store;

    #[test]
    fn the_first_tree_stays() {
        let (_directory, store) = store();
        let (first, second) = (store.stage_tree().unwrap(), store.stage_tree().unwrap());
        assert!(store.publish_tree(&first, "t").unwrap());
        assert!(!store.publish_tree(&second, "t").unwrap());
        assert!(store.tree("t").is_some() && second.exists());
    }
}
