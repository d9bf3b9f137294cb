//! When what is in a store was used last: its modification time, which alloy sets when it uses it. Nothing that is in a
//! store is changed in place, and times of access are kept by few file systems.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::Store;

/// What was used less long ago than this counts as used now.
const SOON: Duration = Duration::from_secs(3600);

/// Notes that what is at `path` is used. Where that cannot be noted, work goes on.
pub(super) fn mark(path: &Path) {
    let now = SystemTime::now();
    let known = path.symlink_metadata().and_then(|found| found.modified());
    if known.is_ok_and(|before| now.duration_since(before).is_ok_and(|age| age > SOON)) {
        let _ = File::open(path).and_then(|file| file.set_modified(now));
    }
}

impl Store {
    /// Notes that what is at `path`, in the store, is used.
    pub fn mark_used(&self, path: &Path) {
        if path.starts_with(&self.root) {
            mark(path);
        }
    }

    /// When what is at `path` was used last, or else written.
    pub fn last_used(&self, path: &Path) -> SystemTime {
        path.symlink_metadata().and_then(|found| found.modified()).unwrap_or(SystemTime::UNIX_EPOCH)
    }

    /// The same of a record.
    pub fn record_used(&self, kind: &str, key: &str) -> SystemTime {
        self.record_path(kind, key).map_or(SystemTime::UNIX_EPOCH, |path| self.last_used(&path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use crate::store::tests::store;

    #[test]
    fn reading_marks_and_listing_does_not() {
        let (_directory, store) = store();
        store.put_record("kind", "key", b"value").unwrap();
        let blob = store.put_blob(b"blob").unwrap();
        let long_ago = SystemTime::now() - 48 * SOON;
        let age = |path: &Path| File::open(path).unwrap().set_modified(long_ago).unwrap();
        let record = store.root.join("records/kind/key");
        age(&record);
        age(&store.blob_path(&blob));
        store.records("kind").unwrap();
        store.contains(&blob);
        assert_eq!([store.record_used("kind", "key"), store.last_used(&store.blob_path(&blob))], [long_ago; 2]);
        store.record("kind", "key").unwrap();
        store.read_blob(&blob, 9).unwrap();
        let recent = |used: SystemTime| used.elapsed().is_ok_and(|age| age < SOON);
        assert!(recent(store.record_used("kind", "key")) && recent(store.last_used(&store.blob_path(&blob))));
        assert_eq!(store.last_used(&store.blob_path(&Digest::of("none"))), SystemTime::UNIX_EPOCH);
    }
}
