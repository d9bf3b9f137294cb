//! Layers unpacked for overlays: a tree has its name once it is complete.
//!
//! A tree is named by what decides what is in it. A layer that names all directories it needs is the same wherever it
//! lies: its diff ID is enough. One that leaves some out, or links to files below, takes them from there: its tree
//! belongs to the stack, by the chain ID. One in which users have changed places says so in its name. Trees with other
//! names are an older alloy's, which has applied layers otherwise, and `prune` deletes them, as it does those of users who
//! have changed places: whoever changes what a layer comes to changes the names.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::seal::{TREE, seal};
use super::{Result, Store, failed, list};
use crate::digest::{ChainId, DiffId};
use crate::ids::Exchange;
use crate::rename;

/// What the tree of one layer in a stack may be called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeNames {
    /// For a layer that takes nothing from those below. `None` if the same layer lies below it already: an overlay does
    /// not take one directory twice.
    alone: Option<String>,
    stacked: String,
}

impl TreeNames {
    /// Of the topmost layer of the stack with that chain ID. `repeated` if the stack has the layer below, too.
    pub fn new(layer: DiffId, chain: ChainId, repeated: bool) -> Self {
        let alone = (!repeated).then(|| layer_tree(layer));
        Self { alone, stacked: stack_tree(chain) }
    }

    /// For a tree in which `ids` have changed places: it is another one.
    #[must_use]
    pub fn exchanged(self, ids: Exchange) -> Self {
        if ids.is_none() {
            return self;
        }
        let name = |name: String| format!("{name}-{}-{}", ids.uid, ids.gid);
        Self { alone: self.alone.map(name), stacked: name(self.stacked) }
    }

    /// The name for a tree that took nothing from below, or did.
    pub fn name(&self, took: bool) -> &str {
        self.alone.as_deref().filter(|_| !took).unwrap_or(&self.stacked)
    }

    /// The one that is in `store`, which counts as used.
    pub fn find(&self, store: &Store) -> Option<&str> {
        let found = [self.name(false), self.name(true)].into_iter().find(|name| store.tree(name).is_some())?;
        super::used::mark(&store.tree_place(found));
        Some(found)
    }
}

/// The tree of a layer that takes nothing from those below.
pub fn layer_tree(layer: DiffId) -> String {
    format!("tree-{}", layer.0.hex())
}

/// The tree of the topmost layer of a stack.
pub fn stack_tree(chain: ChainId) -> String {
    format!("stack-{}", chain.0.hex())
}

impl Store {
    /// The unpacked tree of that name, if it is complete.
    pub fn tree(&self, name: &str) -> Option<PathBuf> {
        let path = self.tree_place(name).join(TREE);
        path.is_dir().then_some(path)
    }

    /// The place of the tree of that name: all that there is of it.
    pub fn tree_place(&self, name: &str) -> PathBuf {
        self.root.join("trees").join(name)
    }

    /// A new directory to unpack into.
    pub fn stage_tree(&self) -> Result<PathBuf> {
        let path = self.temporary_tree()?.keep();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).map_err(failed("protect", &path))?;
        Ok(path)
    }

    fn temporary_tree(&self) -> Result<tempfile::TempDir> {
        let place = self.temporaries();
        tempfile::Builder::new().prefix("tree-").tempdir_in(&place).map_err(failed("write to", &place))
    }

    /// Seals a staged tree and gives it its name. False if another process was first: the staged one is then the
    /// caller's to delete.
    pub fn publish_tree(&self, staged: &Path, name: &str) -> Result<bool> {
        let path = self.tree_place(name);
        let wrapped = self.temporary_tree()?;
        let inner = wrapped.path().join(TREE);
        fs::rename(staged, &inner).map_err(failed("publish", &path))?;
        let published = seal(wrapped.path()).and_then(|()| {
            let here = rustix::fs::CWD;
            rename::to_free(here, wrapped.path(), here, path.as_path())
                .map_err(|error| failed("publish", &path)(error.into()))
        });
        if published.as_ref().is_ok_and(|first| *first) {
            let _ = wrapped.keep();
        } else {
            fs::rename(&inner, staged).map_err(failed("give back", staged))?;
        }
        published
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
