//! A store of the layout before: its records have no digests of their own, and its trees no seals.

use std::io;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::records::{read, sealed, unsealed};
use super::version::{Found, look};
use super::{Lock, Result, Store, StoreError, VERSION, failed, list};

/// Whoever brings a store to this layout holds it.
const UPGRADE: &str = "upgrade";
/// How long an older alloy that is at work is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Brings the store to this layout, unless somebody else has done so by now. One process alone does it, and nobody works
/// in the store meanwhile: what others have written since would be taken for what was there before.
pub(super) fn upgrade(root: &Path) -> Result<()> {
    let store = Store::at(root.to_owned());
    let _one = store.lock(UPGRADE)?;
    if look(root)? != Found::Unsealed {
        return Ok(());
    }
    let _alone = alone(&store, PATIENCE)?;
    seal_all(&store)
}

/// Of this layout is nobody who is at work in it.
fn alone(store: &Store, patience: Duration) -> Result<Lock> {
    let start = Instant::now();
    loop {
        if let Some(lock) = store.enter_alone()? {
            return Ok(lock);
        }
        if start.elapsed() > patience {
            return Err(StoreError::Older { path: store.root.clone() });
        }
        sleep(Duration::from_millis(50));
    }
}

/// True if the store cannot be brought to this layout because this user may not write in it.
pub(super) fn is_refused(error: &StoreError) -> bool {
    let kinds = [io::ErrorKind::PermissionDenied, io::ErrorKind::ReadOnlyFilesystem];
    matches!(error, StoreError::Io { source, .. } if kinds.contains(&source.kind()))
}

/// Gives all records a digest, and puts the trees aside. Whoever is interrupted has sealed some, and the next begins
/// again.
fn seal_all(store: &Store) -> Result<()> {
    let place = store.root.join("records");
    for directory in list(&place)? {
        // Records of those who trust something are beside the others, under a name with a dot.
        let kind = directory.split('.').next().unwrap_or_default();
        for key in list(&place.join(&directory))? {
            let path = place.join(&directory).join(&key);
            // What cannot be read is found when it is wanted.
            let Ok(bytes) = read(&path) else { continue };
            if unsealed(kind, &key, bytes.clone()).is_err() {
                store.replace(&path, &sealed(kind, &key, &bytes))?;
            }
        }
    }
    // They have no seals. Files of images' users are not everybody's to delete: `prune` can.
    for name in store.trees()? {
        store.moved_aside(&store.tree_place(&name)).map_err(failed("put aside", &store.tree_place(&name)))?;
    }
    store.replace(&store.root.join("version"), format!("{VERSION}\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::store::tests::store;

    /// A store of the layout before, with a record.
    fn before() -> (tempfile::TempDir, Store) {
        let (directory, store) = store();
        let place = store.root().join("records/layers");
        fs::create_dir_all(&place).unwrap();
        fs::write(place.join("a"), "1").unwrap();
        fs::write(store.root().join("version"), "1\n").unwrap();
        (directory, store)
    }

    #[test]
    fn records_of_the_layout_before_get_digests() {
        let (_directory, store) = before();
        let opened = Store::open(store.root()).unwrap();
        assert_eq!(opened.record("layers", "a").unwrap().unwrap(), b"1");
        assert_eq!(fs::read_to_string(store.root().join("version")).unwrap(), "2\n");
        assert!(opened.damage().is_empty());
    }

    #[test]
    fn who_is_second_touches_nothing_that_the_first_has_made() {
        let (_directory, store) = before();
        let one = store.lock(UPGRADE).unwrap();
        let second = std::thread::spawn({
            let root = store.root().to_owned();
            move || Store::open(root).unwrap()
        });
        // It has seen the layout before, or will see this one: both have to end the same.
        sleep(Duration::from_millis(200));
        seal_all(&store).unwrap();
        store.put_record("layers", "a", b"2").unwrap();
        let staged = store.stage_tree().unwrap();
        assert!(store.publish_tree(&staged, "layer-x").unwrap());
        drop(one);
        let second = second.join().unwrap();
        assert_eq!(second.record("layers", "a").unwrap().unwrap(), b"2");
        assert!(second.tree("layer-x").is_some() && second.aside().unwrap().is_empty());
    }

    #[test]
    fn nothing_is_taken_from_an_older_alloy_at_work() {
        let (_directory, store) = before();
        let at_work = store.lock_shared("store").unwrap();
        let refused = alone(&store, Duration::ZERO).unwrap_err();
        assert!(
            matches!(&refused, StoreError::Older { .. }) && refused.to_string().contains("older alloy"),
            "{refused}"
        );
        drop(at_work);
        alone(&store, Duration::ZERO).unwrap();
    }

    #[test]
    fn who_may_only_read_sees_it_as_it_is() {
        let (_directory, mut store) = before();
        assert_eq!(store.record("layers", "a").unwrap(), None, "of this layout it would be damaged");
        let (_directory, before) = before();
        store = Store { unsealed: true, ..Store::at(before.root().to_owned()) };
        assert_eq!(store.record("layers", "a").unwrap().unwrap(), b"1");
        fs::write(store.root().join("records/layers/a"), sealed("layers", "a", b"2")).unwrap();
        assert_eq!(store.record("layers", "a").unwrap().unwrap(), b"2", "somebody else brings it to this layout");
    }
}
