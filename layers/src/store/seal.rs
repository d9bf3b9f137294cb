//! Whether a tree still is what was unpacked.
//!
//! A tree is read by the kernel, file by file, and nobody can hash its content each time. So the digest of all names,
//! modes, sizes, times and links is kept beside it: that finds what was edited, cut, deleted or lost with the power, by
//! reading directories alone. A bit that the disk has turned by itself is found by comparing content, on request.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::aside::unreadable;
use super::reading::hashed;
use super::{Damage, Result, Store, StoreError, failed};
use crate::compress::layer_decoder;
use crate::digest::{Digest, Hasher};
use crate::root::Root;
use crate::tar::{Kind, TarError, for_each};
use crate::verified::HashingReader;

/// Beside the tree in its place.
const SEAL: &str = "seal";
/// The tree in its place.
pub(super) const TREE: &str = "tree";

/// Writes the seal of the tree in `place`.
pub(super) fn seal(place: &Path) -> Result<()> {
    let tree = place.join(TREE);
    let digest = digest(&tree).map_err(failed("look at", &tree))?;
    let path = place.join(SEAL);
    let written = File::create_new(&path).and_then(|mut file| file.write_all(digest.hex().as_bytes()));
    written.map_err(failed("write", &path))
}

impl Store {
    /// Looks whether the tree of that name is what was unpacked: all names, modes, sizes, times and links, not the
    /// content. One that is not is put aside. Files of the image's users are looked at, so that only their namespace's
    /// root can.
    pub fn check_tree(&self, name: &str) -> Result<Option<Damage>> {
        self.examine_tree(name, None, true)
    }

    /// The same, and with the layer that it was unpacked from, its content. It is put aside if `repair`.
    pub fn examine_tree(&self, name: &str, layer: Option<&Digest>, repair: bool) -> Result<Option<Damage>> {
        let place = self.tree_place(name);
        // What has none that can be read is not what was unpacked.
        let said = match crate::regular::read(&place.join(SEAL), 1 << 10) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(failed("read", &place.join(SEAL))(error));
            }
            said => said.unwrap_or_default(),
        };
        let why = match digest(&place.join(TREE)) {
            Ok(found) if said == found.hex().as_bytes() => match layer {
                None => return Ok(None),
                Some(layer) => match self.content_differs(&place.join(TREE), layer)? {
                    None => return Ok(None),
                    Some(path) => format!("/{} is not what the layer {layer} has", path.display()),
                },
            },
            Ok(_) => "names, modes, sizes or times in it have changed".to_owned(),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                error.to_string()
            }
            Err(error) => unreadable(error).map_err(failed("look at", &place))?,
        };
        Ok(Some(self.found_wrong(&place, format!("tree {name}"), why, repair)))
    }

    /// A file of the tree that does not hold what the layer says.
    fn content_differs(&self, tree: &Path, layer: &Digest) -> Result<Option<PathBuf>> {
        let root = Root::open(tree).map_err(|error| failed("look at", tree)(io::Error::other(error)))?;
        let damaged = |message: String| StoreError::Damaged { blob: *layer, message };
        let expected = self.read_whole(layer, |blob| {
            let (_, reader) = layer_decoder(blob).map_err(|error| damaged(error.to_string()))?;
            // Of a name that comes twice, the last one counts.
            let mut files: BTreeMap<PathBuf, Digest> = BTreeMap::new();
            for_each::<_, TarError>(reader, |entry, content| {
                if entry.kind == Kind::File {
                    files.insert(entry.path.clone(), HashingReader::new(content).finish()?);
                } else {
                    files.remove(&entry.path);
                }
                Ok(())
            })
            .map_err(|error| damaged(error.to_string()))?;
            Ok::<_, StoreError>(files)
        })?;
        for (path, expected) in expected {
            // What a layer deletes, or replaces later on, is not in the tree; names are the seal's part.
            let Ok(file) = root.open_file(&path) else { continue };
            match hashed(file) {
                Ok((found, _)) if found == expected => {}
                Ok(_) => return Ok(Some(path)),
                Err(error) => {
                    unreadable(error).map_err(failed("read", &tree.join(&path)))?;
                    return Ok(Some(path));
                }
            }
        }
        Ok(None)
    }
}

/// The digest of all that can be known of a tree without reading its files.
fn digest(tree: &Path) -> io::Result<Digest> {
    let mut hasher = Hasher::new();
    add(&mut hasher, Path::new(""), &fs::symlink_metadata(tree)?, false);
    let mut directories = vec![PathBuf::new()];
    while let Some(directory) = directories.pop() {
        let mut entries: Vec<(OsString, Metadata)> = Vec::new();
        for entry in fs::read_dir(tree.join(&directory))? {
            let entry = entry?;
            entries.push((entry.file_name(), entry.metadata()?));
        }
        entries.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        for (name, found) in entries {
            let path = directory.join(name);
            add(&mut hasher, &path, &found, true);
            if found.is_symlink() {
                let target = fs::read_link(tree.join(&path))?;
                hasher.update(&(target.as_os_str().len() as u64).to_le_bytes());
                hasher.update(target.as_os_str().as_bytes());
            } else if found.is_dir() {
                directories.push(path);
            }
        }
    }
    Ok(hasher.finish())
}

/// Owners are left out: they are others in another user namespace. `timed` is false for the tree itself, whose time says
/// when it got its name.
fn add(hasher: &mut Hasher, path: &Path, found: &Metadata, timed: bool) {
    let bytes = path.as_os_str().as_bytes();
    hasher.update(&(bytes.len() as u64).to_le_bytes());
    hasher.update(bytes);
    hasher.update(&found.mode().to_le_bytes());
    if found.is_file() {
        hasher.update(&found.size().to_le_bytes());
    }
    hasher.update(&found.rdev().to_le_bytes());
    if timed {
        hasher.update(&found.mtime().to_le_bytes());
        hasher.update(&found.mtime_nsec().to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::store::tests::store;

    #[test]
    fn a_tree_that_was_changed_is_put_aside() {
        type Change = fn(&Path);
        let changes: [(&str, Change); 7] = [
            ("edited", |tree| fs::write(tree.join("d/file"), "hellO").unwrap()),
            ("cut", |tree| {
                let file = File::options().write(true).open(tree.join("d/file")).unwrap();
                let time = file.metadata().unwrap().modified().unwrap();
                file.set_len(0).unwrap();
                file.set_modified(time).unwrap();
            }),
            ("deleted", |tree| fs::remove_file(tree.join("d/file")).unwrap()),
            ("added", |tree| fs::write(tree.join("d/other"), "").unwrap()),
            ("opened", |tree| fs::set_permissions(tree.join("d/file"), Permissions::from_mode(0o666)).unwrap()),
            ("led elsewhere", |tree| {
                fs::remove_file(tree.join("link")).unwrap();
                symlink("other", tree.join("link")).unwrap();
            }),
            ("without its seal", |tree| fs::remove_file(tree.with_file_name(SEAL)).unwrap()),
        ];
        for (what, change) in changes {
            let (_directory, store) = store();
            let staged = store.stage_tree().unwrap();
            fs::create_dir(staged.join("d")).unwrap();
            fs::write(staged.join("d/file"), "hello").unwrap();
            symlink("d/file", staged.join("link")).unwrap();
            assert!(store.publish_tree(&staged, "t").unwrap());
            assert_eq!(store.check_tree("t").unwrap(), None, "{what}");
            change(&store.tree("t").unwrap());
            let damage = store.check_tree("t").unwrap().unwrap();
            assert!(damage.to_string().contains("tree t"), "{damage}");
            assert!(store.tree("t").is_none() && store.aside().unwrap().len() == 1, "{what}");
        }
    }
}
