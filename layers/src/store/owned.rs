//! Whose a store is. What somebody else can write in leads wherever they say, and what they say of layers is believed.

use std::fs::{self, DirBuilder, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

use super::{PARTS, Result, StoreError, failed};

const WRITABLE: u32 = 0o022;
const ENTERED: u32 = 0o011;

/// Makes the directory of a store where there is none, and checks one that is there: it belongs to this user, and nobody
/// else writes in it. Gives its path without links.
pub(super) fn directory(root: &Path) -> Result<PathBuf> {
    if let Some(above) = root.parent() {
        fs::create_dir_all(above).map_err(failed("make", above))?;
    }
    match DirBuilder::new().mode(0o700).create(root) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed("make", root)(error)),
        Err(_) => take_empty(root)?,
        Ok(()) => {}
    }
    check(root, &[geteuid().as_raw()])
}

/// Closes an empty directory of this user's own to others: some machines make all directories open to everybody.
fn take_empty(root: &Path) -> Result<()> {
    let found = root.symlink_metadata().map_err(failed("look at", root))?;
    let own = found.is_dir() && found.uid() == geteuid().as_raw();
    if own && fs::read_dir(root).is_ok_and(|mut names| names.next().is_none()) {
        fs::set_permissions(root, Permissions::from_mode(0o700)).map_err(failed("protect", root))?;
    }
    Ok(())
}

/// Checks the directory of a store that is only read; root's may be read by everybody.
pub(super) fn readable(root: &Path) -> Result<PathBuf> {
    check(root, &[geteuid().as_raw(), 0])
}

/// Makes a part of a store, which is no link.
pub(super) fn part(root: &Path, name: &str) -> Result<()> {
    let mut path = root.to_owned();
    for name in Path::new(name) {
        path.push(name);
        match DirBuilder::new().mode(0o755).create(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed("make", &path)(error)),
            _ => {}
        }
    }
    Ok(())
}

fn check(root: &Path, owners: &[u32]) -> Result<PathBuf> {
    let refused = |path: &Path, why: String| StoreError::Foreign { path: path.to_owned(), why };
    let look = |path: &Path| path.symlink_metadata().map_err(failed("look at", path));
    // A link of one's own, or of root, leads where it should.
    let named = look(root)?;
    if named.is_symlink() && named.uid() != 0 && !owners.contains(&named.uid()) {
        return Err(refused(root, format!("is a link that belongs to {}", of(&named))));
    }
    let root = root.canonicalize().map_err(failed("find", root))?;
    let found = look(&root)?;
    if !found.is_dir() {
        return Err(refused(&root, "is not a directory".into()));
    }
    if !owners.contains(&found.uid()) {
        return Err(refused(&root, format!("belongs to {}, not to {}", of(&found), whose(geteuid().as_raw()))));
    }
    let mode = found.permissions().mode();
    if mode & WRITABLE != 0 {
        return Err(refused(&root, "may be written by others: take that from them with `chmod go-w`".into()));
    }
    let parts = PARTS.iter().flat_map(|part| Path::new(part).ancestors());
    for path in parts.filter(|part| !part.as_os_str().is_empty()).map(|part| root.join(part)) {
        let part = match path.symlink_metadata() {
            Ok(part) => part,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(failed("look at", &path)(error)),
        };
        if !part.is_dir() {
            return Err(refused(&path, "is not a directory".into()));
        }
        if part.uid() != found.uid() {
            return Err(refused(&path, format!("belongs to {}, and the store to {}", of(&part), of(&found))));
        }
        // Where nobody else goes in, nobody else writes.
        if mode & ENTERED != 0 && part.permissions().mode() & WRITABLE != 0 {
            return Err(refused(&path, "may be written by others: take that from them with `chmod go-w`".into()));
        }
    }
    Ok(root)
}

fn of(found: &Metadata) -> String {
    whose(found.uid())
}

fn whose(uid: u32) -> String {
    if uid == 0 { "root".into() } else { format!("user {uid}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;
    use std::os::unix::fs::{chown, symlink};

    fn refused(path: &Path) -> String {
        let made = Store::open(path).unwrap_err();
        assert!(matches!(made, StoreError::Foreign { .. }), "{made}");
        assert!(matches!(Store::look(path), Err(StoreError::Foreign { .. })));
        made.to_string()
    }

    #[test]
    fn parts_that_lead_elsewhere_are_refused() {
        for part in ["work", "tmp", "blobs", "blobs/sha256"] {
            let place = tempfile::tempdir().unwrap();
            let (store, victim) = (place.path().join("store"), place.path().join("victim"));
            Store::open(&store).unwrap();
            fs::rename(store.join(part), &victim).unwrap();
            symlink(&victim, store.join(part)).unwrap();
            assert!(refused(&store).contains("is not a directory"));
        }
        // One that has only begun.
        let place = tempfile::tempdir().unwrap();
        let (store, victim) = (place.path().join("store"), place.path().join("victim"));
        fs::create_dir(&store).unwrap();
        fs::create_dir(&victim).unwrap();
        symlink(&victim, store.join("blobs")).unwrap();
        refused(&store);
        assert_eq!(fs::read_dir(&victim).unwrap().count(), 0);
    }

    #[test]
    fn an_empty_directory_of_one_s_own_is_taken() {
        let place = tempfile::tempdir().unwrap();
        let store = place.path().join("store");
        fs::create_dir(&store).unwrap();
        fs::set_permissions(&store, Permissions::from_mode(0o777)).unwrap();
        Store::open(&store).unwrap();
        assert_eq!(fs::metadata(&store).unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn what_others_write_in_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let store = place.path().join("store");
        Store::open(&store).unwrap();
        for mode in [0o777, 0o770, 0o1777, 0o702] {
            fs::set_permissions(&store, Permissions::from_mode(mode)).unwrap();
            assert!(refused(&store).contains("others"));
        }
        fs::set_permissions(&store, Permissions::from_mode(0o755)).unwrap();
        Store::open(&store).unwrap();
        fs::set_permissions(store.join("records"), Permissions::from_mode(0o777)).unwrap();
        assert!(refused(&store).contains("others"));
        fs::set_permissions(&store, Permissions::from_mode(0o700)).unwrap();
        Store::open(&store).unwrap();
    }

    #[test]
    fn a_store_of_somebody_else_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let (store, link) = (place.path().join("store"), place.path().join("link"));
        Store::open(&store).unwrap();
        symlink(&store, &link).unwrap();
        Store::open(&link).unwrap();
        // Only root gives files away.
        if geteuid().is_root() {
            std::os::unix::fs::lchown(&link, Some(4242), None).unwrap();
            assert!(refused(&link).contains("link that belongs to user 4242"));
            chown(store.join("tmp"), Some(4242), None).unwrap();
            assert!(refused(&store).contains("tmp belongs to user 4242, and the store to root"));
            chown(&store, Some(4242), None).unwrap();
            assert!(refused(&store).contains("belongs to user 4242, not to root"));
        }
    }
}
